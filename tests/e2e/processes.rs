//! Goal: several processes and signals at any moment. Whoever is told to stop stops within a second, one process drains
//! a state folder at a time, and the next run goes on from there.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::checker::check;
use crate::corpus::{Invoice, Random, corpus};
use crate::oracle::Expected;
use crate::stalls::Stalls;
use crate::support::{Ended, Project, Running, Snapshot, files_under, until};

const SIGNALS: [&str; 2] = ["TERM", "INT"];
/// What is promised, on a machine that goes on meanwhile and keeps nobody waiting.
const AT_ONCE: Duration = Duration::from_secs(1);

fn some_invoice(number: u64) -> String {
    Invoice::made_up(&mut Random::new(number), number).text()
}

/// Sends the signal; the end must come at once.
#[track_caller]
fn ends_at_once(running: Running, signal: &str) -> Ended {
    let stalls = Stalls::watch(running.id());
    running.signal(signal);
    let began = Instant::now();
    let (ended, _) = running.wait();
    let over = Instant::now();
    let took = over - began;
    let stalled = stalls.between(began, over);
    assert!(
        took.saturating_sub(stalled) <= AT_ONCE,
        "SIG{signal} took {took:?}, stalls of {stalled:?}: {ended:#?}"
    );
    ended
}

/// Sends the signal; the exit status must be `code`, and it must come at once.
#[track_caller]
fn stops(running: Running, signal: &str, code: i32) -> Ended {
    ends_at_once(running, signal).exits(code)
}

/// Whoever holds the right to drain has written who he is.
fn until_held(project: &Project) {
    let holder = |path: &Path| std::fs::read_to_string(path).ok().filter(|text| !text.is_empty());
    until("somebody drains", || holder(&project.path("var/drainer.lock")));
}

#[test]
fn signals_end_what_watches_within_a_second() {
    for words in [&["listen"][..], &["drain", "--watch"], &["run"]] {
        for (number, signal) in SIGNALS.iter().enumerate() {
            let project = Project::sealing_soon();
            project.land_settled("broken.txt", "no invoice\n");
            project.land_settled("first.txt", &some_invoice(number as u64));
            let running = project.start(words);
            let state = project.path("var/state.db");
            until("it is at work", || {
                let known = state.exists()
                    && project.run(&["jobs", "show", "first.txt"]).status.success()
                    && (words == ["listen"] || project.outcome_words("broken.txt") == ["rejected"]);
                known.then_some(())
            });
            stops(running, signal, 0);
            // The end of a watching drain says nothing about the documents it met; that of this one does.
            project.drain(if words == ["listen"] { 3 } else { 0 });
            assert_eq!(project.outcome_words("first.txt"), ["loaded"], "{words:?}");
        }
    }
}

#[test]
fn a_drain_that_is_stopped_says_so_and_the_next_one_completes() {
    let documents = corpus(6, 400);
    for signal in SIGNALS {
        let project = Project::with_batches_of(10);
        project.land_all(&documents);
        let landed = Snapshot::of(&project.landing());
        // No batch comes to its end before the signal, however late that is sent: a file lies where a folder belongs.
        let items = project.path("var/curated/invoice_items");
        std::fs::create_dir_all(items.parent().unwrap()).unwrap();
        std::fs::write(&items, "in the way").unwrap();
        let drain = project.start(&["drain"]);
        until("it has archived something", || {
            (files_under(&project.path("var/archive/invoices")).len() >= 5).then_some(())
        });
        stops(drain, signal, 1).tells("stopped");
        std::fs::remove_file(&items).unwrap();
        project.drain(3);
        check(&project, &Expected::of(&documents), &landed);
    }
}

/// While things are set up, at work, and when all is done.
#[test]
fn a_signal_at_any_moment_leaves_nothing_half_done() {
    let documents = corpus(7, 30);
    let project = Project::with_batches_of(5);
    project.land_all(&documents);
    let landed = Snapshot::of(&project.landing());
    let mut random = Random::new(7);
    let lock = project.path("var/drainer.lock");
    for _ in 0..30 {
        let mut drain = project.start(&["drain"]);
        // Before this moment the program may not yet have asked the kernel for the signal.
        until("it has begun", || (std::fs::metadata(&lock).is_ok() || drain.has_ended()).then_some(()));
        std::thread::sleep(Duration::from_micros(random.below(50_000)));
        let ended = if drain.has_ended() { drain.wait().0 } else { ends_at_once(drain, "TERM") };
        // Stopped, done, or done with something for a person; never ended by the signal itself.
        assert!(matches!(ended.status.code(), Some(0 | 1 | 3)), "{ended:#?}");
        assert!(!ended.stderr.contains("panicked"), "{ended:#?}");
        let _ = std::fs::remove_file(&lock);
    }
    project.run(&["drain"]);
    check(&project, &Expected::of(&documents), &landed);
}

#[test]
fn a_second_drain_says_who_drains_and_ends_well() {
    let project = Project::new();
    let first = project.start(&["drain", "--watch"]);
    until_held(&project);
    let second = project.run(&["drain", "--output", "json"]).exits(0);
    let second = second.tells("is being drained already, by process ");
    assert_eq!(second.json()["documents"]["loaded"], 0);
    project.run(&["run"]).exits(0).tells("is being drained already");
    stops(first, "TERM", 0);
    let holder = project.run(&["drain"]).exits(0);
    assert!(!holder.stderr.contains("already"), "the right ends with its holder: {holder:#?}");
}

#[test]
fn two_drains_at_once_decide_everything_once() {
    let documents = corpus(8, 150);
    let project = Project::with_batches_of(10);
    project.land_all(&documents);
    let landed = Snapshot::of(&project.landing());
    let both = [project.start(&["drain"]), project.start(&["drain"])];
    let mut codes = both.map(|drain| drain.wait().0.status.code());
    codes.sort();
    assert_eq!(codes, [Some(0), Some(3)], "one drains, the other ends");
    check(&project, &Expected::of(&documents), &landed);
}

#[test]
fn a_killed_holder_frees_the_folder_at_once() {
    let project = Project::new();
    let first = project.start(&["drain", "--watch"]);
    until_held(&project);
    first.kill();
    project.land_settled("a.txt", &some_invoice(1));
    assert_eq!(project.drain(0)["documents"]["loaded"], 1);
}

#[test]
fn a_listener_and_a_drainer_share_a_state_folder() {
    let project = Project::sealing_soon();
    let listen = project.start(&["listen"]);
    let drain = project.start(&["drain", "--watch"]);
    until_held(&project);
    for round in 0..3 {
        let key = format!("dropped later/{round}.txt");
        project.land_settled(&key, &some_invoice(round));
        until("it is loaded", || (project.outcome_words(&key) == ["loaded"]).then_some(()));
    }
    stops(listen, "TERM", 0);
    stops(drain, "INT", 0);
    assert_eq!(project.ask("SELECT count(*) FROM sluicegate_verdict"), Some(3));
    project.drain(0);
}
