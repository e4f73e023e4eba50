//! Goal: files that are growing, renamed into place, overwritten or deleted at the worst moment are each taken once and
//! whole, or told as what they are.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::corpus::{Invoice, Random, landed};
use crate::support::{Project, until};

fn invoices(seed: u64, count: u64) -> Vec<Invoice> {
    let mut random = Random::new(seed);
    (1..=count).map(|number| Invoice::made_up(&mut random, number)).collect()
}

fn text(invoices: &[Invoice]) -> String {
    invoices.iter().map(Invoice::text).collect()
}

/// How long the writer pauses.
const PAUSE: Duration = Duration::from_millis(40);
/// A file that rests for 200 ms counts as whole, so a machine that stalls its writer longer than that makes an attempt
/// worthless.
const LONGEST_PAUSE: Duration = Duration::from_millis(150);

/// Whether a file that somebody writes to never rested for long.
pub(crate) struct Steady {
    last: Instant,
    steady: bool,
}

impl Steady {
    /// Before the first write.
    pub(crate) fn begin() -> Self {
        Self { last: Instant::now(), steady: true }
    }

    /// One write, which is seen at some moment while it lasts.
    pub(crate) fn write(&mut self, write: impl FnOnce() -> std::io::Result<()>) {
        let began = Instant::now();
        write().unwrap();
        self.steady &= self.last.elapsed() < LONGEST_PAUSE;
        self.last = began;
    }

    /// Once nothing is claimed any more of a file that grows.
    pub(crate) fn was_steady(self) -> bool {
        self.steady && self.last.elapsed() < LONGEST_PAUSE
    }
}

/// Writes `bytes` bit by bit; whether the file never rested for long.
fn grow(path: &std::path::Path, bytes: &[u8]) -> bool {
    let mut file = OpenOptions::new().create_new(true).append(true).open(path).unwrap();
    let mut steady = Steady::begin();
    for piece in bytes.chunks(bytes.len().div_ceil(25)) {
        steady.write(|| file.write_all(piece));
        thread::sleep(PAUSE);
    }
    steady.was_steady()
}

#[test]
fn a_growing_file_is_taken_once_and_whole() {
    let mut attempt = 0;
    until("an attempt whose writer never stalls", || {
        attempt += 1;
        let project = Project::new();
        let path = project.landing().join("growing.txt");
        let invoices = invoices(attempt, 30);
        let bytes = text(&invoices).into_bytes();
        let steady = thread::scope(|scope| {
            let writer = scope.spawn(|| grow(&path, &bytes));
            until("the file is there", || path.exists().then_some(()));
            let summary = project.run(&["drain", "--output", "json"]);
            let steady = writer.join().unwrap();
            if steady {
                let summary = summary.exits(0).json();
                assert_eq!(
                    (&summary["notifications"], &summary["documents"]["loaded"]),
                    (&1.into(), &1.into())
                );
            }
            steady
        });
        let loaded = project.ask("SELECT count(*) FROM invoices");
        assert!(!steady || loaded == Some(invoices.len()), "{loaded:?} invoices of {}", invoices.len());
        steady.then_some(())
    });
}

#[test]
fn a_file_renamed_into_place_is_taken_once_and_a_newer_one_over_it_too() {
    let project = Project::sealing_soon();
    let place = |invoice: &Invoice| {
        let hidden = project.landing().join("invoice.txt.part");
        fs::write(&hidden, invoice.text()).unwrap();
        fs::rename(&hidden, project.landing().join("invoice.txt")).unwrap();
    };
    let [first, second] = invoices(3, 2).try_into().unwrap();
    let drain = project.start(&["drain", "--watch"]);
    place(&first);
    until("the first is loaded", || (project.outcome_words("invoice.txt") == ["loaded"]).then_some(()));
    // A document's version has its second of landing, so the next one comes in another second.
    until("the next second", || {
        let first = fs::metadata(project.landing().join("invoice.txt")).unwrap().modified().unwrap();
        let seconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        (seconds(SystemTime::now()) > seconds(first)).then_some(())
    });
    place(&second);
    until("the second is loaded", || {
        (project.outcome_words("invoice.txt") == ["loaded", "loaded"]).then_some(())
    });
    drain.signal("TERM");
    drain.wait().0.exits(0);
    assert_eq!(project.ask("SELECT count(*) FROM invoices"), Some(2));
    assert_eq!(project.ask("SELECT count(*) FROM sluicegate_document"), Some(2));
    project.drain(0);
}

/// Journals what lies in the landings, which is so many documents of each job, and nothing else.
pub(crate) fn listen_until_pending(project: &Project, counts: &[u64]) {
    let listen = project.start(&["listen"]);
    until("everything is journaled", || {
        let list = project.run(&["jobs", "list", "--output", "json"]).exits(0).json();
        let pending = list["jobs"].as_array().unwrap().iter().map(|job| job["pending"].as_u64().unwrap());
        pending.eq(counts.iter().copied()).then_some(())
    });
    assert!(!project.path("var/warehouse.db").exists(), "listening never touches the warehouse");
    listen.signal("TERM");
    listen.wait().0.exits(0);
}

#[test]
fn what_is_overwritten_or_deleted_before_it_is_read_is_told_and_the_newer_content_loads() {
    let project = Project::new();
    let [kept, old, new, gone] = invoices(4, 4).try_into().unwrap();
    for (index, (key, invoice)) in
        [("kept.txt", &kept), ("changed.txt", &old), ("gone.txt", &gone)].iter().enumerate()
    {
        project.land(key, invoice.text().as_bytes(), landed(index));
    }
    listen_until_pending(&project, &[3]);
    project.land("changed.txt", new.text().as_bytes(), landed(10));
    fs::remove_file(project.landing().join("gone.txt")).unwrap();
    let summary = project.drain(3);
    for (outcome, count) in [("loaded", 2), ("superseded", 1), ("missing", 1), ("rejected", 0)] {
        assert_eq!(summary["documents"][outcome], count, "{outcome} in {summary}");
    }
    assert_eq!(project.outcome_words("kept.txt"), ["loaded"]);
    assert_eq!(project.outcome_words("changed.txt"), ["superseded", "loaded"]);
    assert_eq!(project.outcome_words("gone.txt"), ["missing"]);
    let told = project.outcomes("changed.txt");
    assert!(told[0].1.contains("overwritten before it was read"), "{told:?}");
    let told = project.outcomes("gone.txt");
    assert!(told[0].1.contains("gone from the landing before it was read"), "{told:?}");
    let numbers = |number: &str| {
        project.ask::<i64>(&format!("SELECT count(*) FROM invoices WHERE invoice_id = '{number}'"))
    };
    let there = [&kept, &old, &new, &gone].map(|invoice| numbers(&invoice.number));
    assert_eq!(there, [Some(1), Some(0), Some(1), Some(0)]);
    // A document that was never seen has a version without a time (I2).
    let unseen = "SELECT count(*) FROM sluicegate_document WHERE outcome IN ('superseded', 'missing') AND version LIKE '%-%@'";
    assert_eq!(project.ask(unseen), Some(2));
    project.drain(0);
}

/// The same content written again, with another time, is another document: its records are there already.
#[test]
fn a_file_that_is_only_touched_is_a_duplicate() {
    let project = Project::new();
    let [invoice] = invoices(5, 1).try_into().unwrap();
    project.land("a.txt", invoice.text().as_bytes(), landed(0));
    project.drain(0);
    project.land("a.txt", invoice.text().as_bytes(), landed(1));
    assert_eq!(project.drain(0)["documents"]["duplicate"], 1);
    assert_eq!(project.outcome_words("a.txt"), ["loaded", "duplicate"]);
}
