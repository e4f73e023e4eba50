//! Goal: many files of every kind, drained once or with the drain killed again and again, leave exactly what an
//! independent oracle says, once.

use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

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

/// How far a drain is, as its files tell: objects in the archive and in the curated store.
fn progress(project: &Project) -> u64 {
    let objects = |folder: &str| files_under(&project.path(folder)).len() as u64;
    objects("var/archive") + objects("var/curated")
}

/// When the journal was last written to; its size tells nothing, for the log's room is used again.
fn written(project: &Project) -> Option<SystemTime> {
    project.path("var/state.db-wal").metadata().and_then(|metadata| metadata.modified()).ok()
}

/// Kills a drain after it has moved on by `steps` objects and then some; whether it was still at work.
fn kill_during_drain(project: &Project, steps: u64, then: Duration) -> bool {
    let before = progress(project);
    let journal = written(project);
    let mut drain = project.start(&["drain"]);
    while progress(project) < before + steps || (steps == 0 && written(project) == journal) {
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

/// Documents that have landed, taken away to land again as they were, the oldest first.
struct Aside<'a> {
    project: &'a Project,
    documents: Vec<&'a Document>,
}

impl<'a> Aside<'a> {
    fn take(project: &'a Project, documents: &'a [Document]) -> Self {
        let mut documents: Vec<&Document> = documents.iter().collect();
        documents.sort_by_key(|document| document.modified);
        let aside = Self { project, documents };
        fs::create_dir(aside.place("")).unwrap();
        for (number, document) in aside.documents.iter().enumerate() {
            fs::rename(project.landing().join(&document.key), aside.place(&number.to_string())).unwrap();
        }
        aside
    }

    fn place(&self, name: &str) -> PathBuf {
        self.project.path("aside").join(name)
    }

    fn land(&self, numbers: Range<usize>) {
        for number in numbers {
            let landing = self.project.landing().join(&self.documents[number].key);
            fs::rename(self.place(&number.to_string()), landing).unwrap();
        }
    }
}

/// Drains `documents` while the drain is killed at least `kills` times, at moments that follow from `seed`.
pub(crate) fn drained_with_kills(project: &Project, documents: &[Document], seed: u64, kills: u64) {
    let landed = landed(project, documents);
    let expected = Expected::of(documents);
    let mut random = Random::new(seed);
    // New documents land before each drain, so that every kill meets one at work, however much an earlier one did before
    // it was killed. On a machine that stands still for a while some drains may be done before.
    let aside = Aside::take(project, documents);
    let lives = 2 * kills as usize;
    let portion = documents.len().div_ceil(lives);
    // Three objects come of most batches.
    let objects = 3 * portion as u64 / project.batch_documents();
    let most_steps = (objects * 2 / 3).max(2);
    let mut killed = 0;
    for life in 0..lives {
        let end = |life: usize| documents.len().min(life * portion);
        aside.land(end(life)..end(life + 1));
        let steps = random.below(most_steps);
        let then = Duration::from_micros(random.below(25_000));
        killed += u64::from(kill_during_drain(project, steps, then));
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
