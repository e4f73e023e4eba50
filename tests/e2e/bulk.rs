//! Goal: many files of every kind, drained once or with the drain killed again and again, leave exactly what an
//! independent oracle says, once.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::checker::{check, no_stranger_in_curated};
use crate::corpus::{Document, Random, corpus};
use crate::oracle::Expected;
use crate::support::{Project, Snapshot, files_under};

/// Files that no job asks for lie in the landing too.
fn land_strangers(project: &Project) {
    for name in ["notes.md", "2024/02/scan.pdf", "invoice.txt.part", "empty folder/.keep", "TXT"] {
        project.land_settled(name, "this is none of the job's documents\n");
    }
}

fn landed(project: &Project, documents: &[Document]) -> Snapshot {
    project.land_all(documents);
    land_strangers(project);
    Snapshot::of(&project.landing())
}

/// The counts that a drain of everything has to print.
fn check_summary(summary: &Value, expected: &Expected) {
    let counts = expected.counts();
    let told = summary["documents"].as_object().unwrap();
    for (outcome, count) in told {
        let wanted = counts.get(outcome.as_str()).copied().unwrap_or(0);
        assert_eq!(*count, wanted, "{outcome} in {summary}");
    }
    assert!(counts.keys().all(|outcome| told.contains_key(*outcome)), "{summary}");
    assert_eq!(summary["rows"], expected.rows(), "{summary}");
    assert_eq!(summary["failed_batches"], 0, "{summary}");
}

/// A drain that finds nothing to do.
fn check_nothing_left(project: &Project) {
    let summary = project.drain(0);
    let counts = summary["documents"].as_object().unwrap().values();
    assert!(counts.chain([&summary["rows"], &summary["batches"]]).all(|count| *count == 0), "{summary}");
}

/// Drains `documents` in one go, twice.
pub(crate) fn drained_once(project: &Project, documents: &[Document]) {
    let landed = landed(project, documents);
    let expected = Expected::of(documents);
    for outcome in ["loaded", "rejected", "duplicate", "conflict"] {
        assert!(expected.counts()[outcome] > 0, "the corpus has no document that ends {outcome}");
    }
    let began = Instant::now();
    let summary = project.drain(3);
    eprintln!("{} files drained in {:.1?}", documents.len(), began.elapsed());
    check_summary(&summary, &expected);
    check(project, &expected, &landed);
    check_nothing_left(project);
    check(project, &expected, &landed);
}

/// How far a drain is, as its files tell: objects in the archive and in the curated store, and bytes of the journal.
fn progress(project: &Project) -> u64 {
    let objects = |folder: &str| files_under(&project.path(folder)).len() as u64;
    objects("var/archive") + objects("var/curated")
}

fn size(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}

/// Kills a drain after it has moved on by `steps` objects and then some; whether it was still at work.
fn kill_during_drain(project: &Project, steps: u64, then: Duration) -> bool {
    let before = progress(project);
    let journal = size(&project.path("var/state.db-wal"));
    let mut drain = project.start(&["drain"]);
    while progress(project) < before + steps
        || (steps == 0 && size(&project.path("var/state.db-wal")) == journal)
    {
        if drain.has_ended() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    // The moment itself is random: inside a write, between a COMMIT and what follows it, or anywhere else.
    std::thread::sleep(then);
    let at_work = !drain.has_ended();
    drain.kill();
    no_stranger_in_curated(project);
    at_work
}

/// Drains `documents` while the drain is killed at least `kills` times, at moments that follow from `seed`.
pub(crate) fn drained_with_kills(project: &Project, documents: &[Document], seed: u64, kills: u64) {
    let landed = landed(project, documents);
    let expected = Expected::of(documents);
    let mut random = Random::new(seed);
    // Three objects come of most batches. The steps between kills use up a part of them only, since a drain moves on
    // while it is watched and killed; so every kill meets one at work.
    let objects = 3 * documents.len() as u64 / project.batch_documents();
    let most_steps = (objects / kills * 2 / 3).max(2);
    let mut killed = 0;
    for _ in 0..2 * kills {
        let steps = random.below(most_steps);
        let then = Duration::from_micros(random.below(25_000));
        killed += u64::from(kill_during_drain(project, steps, then));
        if killed >= kills {
            break;
        }
    }
    assert!(killed >= kills, "seed {seed}: only {killed} drains were killed at work");
    let last = project.run(&["drain", "--output", "json"]);
    assert!(matches!(last.status.code(), Some(0 | 3)), "seed {seed}: {last:#?}");
    check(project, &expected, &landed);
    check_nothing_left(project);
    check(project, &expected, &landed);
}

#[test]
fn a_thousand_files_become_just_what_the_oracle_says() {
    drained_once(&Project::with_batches_of(150), &corpus(1, 1_000));
}

#[test]
fn a_drain_that_is_killed_ten_times_ends_in_the_same_result() {
    drained_with_kills(&Project::with_batches_of(10), &corpus(2, 1_000), 2, 12);
}
