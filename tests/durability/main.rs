//! Goal: what the program calls done is on the disk, and not only in the memory of a machine that may lose its power. A kill
//! cannot show this, for what a killed process wrote the system still has. So a shim between the built program and its C
//! library writes down what is written, synced and named, in one order with the program's own trace of its effects, and
//! the log is held against the rules. That the rules bite is shown by two canaries in `tests/canaries`.

#[path = "../e2e/corpus/mod.rs"]
#[allow(dead_code, unused_imports)]
mod corpus;
#[path = "../conformance/counts.rs"]
mod counts;
mod drains;
mod log;
mod rules;
#[allow(dead_code, reason = "no disk turns read-only here")]
mod shim;

use std::path::Path;

use drains::drains;
use log::{Event, Line};
use rules::hold;

#[test]
fn nothing_is_called_done_before_it_is_on_the_disk() {
    let Some(drains) = drains(2, None) else { return };
    let seen = hold(&drains.lines, &drains.kept);
    println!("{seen:?}");
    // Two drains, and six documents for each, three to a batch.
    let (batches, tables) = (4, 2);
    for effect in ["archive.put", "warehouse.commit"] {
        assert!(seen.times(effect) >= batches, "{effect}: {seen:?}");
    }
    for effect in ["journal.commit", "inbox.acknowledge", "seal.commit", "curated.put", "crawl.finish"] {
        assert!(seen.times(effect) >= 2, "{effect}: {seen:?}");
    }
    assert!(seen.objects >= batches + 2 * tables, "{seen:?}");
    assert_eq!(seen.put, seen.objects, "each object is put by an effect, in its thread: {seen:?}");
    assert!(seen.writes > 0 && seen.syncs > 0 && seen.checkpoints >= 4, "{seen:?}");
    let moments = seen.effects.values().sum();
    counts::note(
        "synced",
        moments,
        "effects of the built program: what it had written was synced before each was over",
    );
}

const OPENS: u64 = 1;
const WRITES: u64 = 2;

/// One thread opens a log of SQLite, another one is about to write its first commit into it: each event with its thread.
fn two_threads_and_a_log(events: &[(u64, Event)]) -> Vec<Line> {
    let lines = events.iter().enumerate().map(|(index, (thread, event))| {
        let folder = matches!(event, Event::SyncBegins | Event::Synced);
        let (file, path) = if folder { ("folder", "/kept") } else { ("log", "/kept/house.db-wal") };
        let thread = (0, *thread);
        Line { number: index + 1, event: event.clone(), thread, file: file.to_owned(), path: path.to_owned() }
    });
    lines.collect()
}

fn named() -> Event {
    Event::Named { folder: "folder".to_owned(), fresh: true }
}

fn written() -> Event {
    Event::Written { offset: Some(32) }
}

fn begins(effect: &str) -> Event {
    Event::Moment { effect: effect.to_owned(), after: false }
}

#[test]
fn what_another_thread_is_about_to_commit_is_not_called_done_yet() {
    let lines =
        two_threads_and_a_log(&[(OPENS, named()), (WRITES, written()), (OPENS, begins("crawl.claim"))]);
    hold(&lines, Path::new("/kept"));
}

#[test]
#[should_panic(expected = "was written in line 2, is not synced")]
fn who_wrote_into_a_log_has_to_sync_it() {
    let lines =
        two_threads_and_a_log(&[(OPENS, named()), (WRITES, written()), (WRITES, begins("seal.commit"))]);
    hold(&lines, Path::new("/kept"));
}

#[test]
#[should_panic(expected = "was named in line 1, is not synced")]
fn who_wrote_into_a_log_answers_for_its_name() {
    let mut lines = two_threads_and_a_log(&[
        (OPENS, named()),
        (WRITES, written()),
        (WRITES, Event::SyncBegins),
        (WRITES, Event::Synced),
        (WRITES, begins("seal.commit")),
    ]);
    // The log itself is synced, and not the folder that has its name.
    for line in &mut lines[2..4] {
        line.file = "log".to_owned();
    }
    hold(&lines, Path::new("/kept"));
}
