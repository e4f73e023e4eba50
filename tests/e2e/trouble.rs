//! Goal: a place that cannot be reached holds up only what needs it; the drain ends 1 and says what it waits for, and a
//! later one goes on from there without a loss and without doing anything twice.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::arriving::Steady;
use crate::checker::{check, no_stranger_in_curated};
use crate::corpus::{Document, Invoice, Meaning, Random, corpus, landed};
use crate::oracle::Expected;
use crate::support::{Ended, Project, Snapshot, files_under, until};

/// A corpus with what must become of it.
fn landed_corpus(project: &Project, seed: u64, originals: usize) -> (Expected, Snapshot) {
    let documents = corpus(seed, originals);
    project.land_all(&documents);
    (Expected::of(&documents), Snapshot::of(&project.landing()))
}

/// Documents that have nothing to do with each other, so that the order of loading, which back-off may change, changes no
/// outcome.
fn landed_strangers(project: &Project, seed: u64, count: u64) -> (Expected, Snapshot) {
    let mut random = Random::new(seed);
    let documents: Vec<Document> = (0..count)
        .map(|number| {
            let invoice = Invoice::made_up(&mut random, number);
            Document {
                key: format!("{number} of {count}.txt"),
                bytes: invoice.text().into_bytes(),
                modified: landed(number as usize),
                meaning: Meaning::Invoices(vec![invoice]),
            }
        })
        .collect();
    project.land_all(&documents);
    (Expected::of(&documents), Snapshot::of(&project.landing()))
}

/// A drain that cannot finish now.
#[track_caller]
fn stuck(project: &Project, told: &str) -> Ended {
    let ended = project.run(&["drain", "--patience", "100ms", "--output", "json"]).exits(1);
    let waiting = ended.json()["waiting"].to_string();
    assert!(waiting.contains(told), "{told:?} in {waiting}");
    ended.tells("not finished: ").tells(told)
}

/// Drains until it ends well; back-off may make it wait for a second or two.
fn drained(project: &Project) -> Value {
    let ended = project.run(&["drain", "--output", "json"]);
    assert!(matches!(ended.status.code(), Some(0 | 3)), "{ended:#?}");
    ended.json()
}

/// A folder where a file belongs, or a file where a folder belongs, is a place that cannot be used, even by root.
struct Blocked<'a>(&'a Path);

impl<'a> Blocked<'a> {
    fn folder(path: &'a Path) -> Self {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "in the way").unwrap();
        Self(path)
    }

    fn free(self) {
        fs::remove_file(self.0).unwrap();
    }
}

#[test]
fn while_the_ledger_is_away_originals_are_secured_and_the_landing_may_empty_itself() {
    let project = Project::with_batches_of(20);
    let (expected, landed) = landed_strangers(&project, 51, 120);
    let warehouse = project.path("var/warehouse.db");
    fs::create_dir_all(&warehouse).unwrap();
    stuck(&project, "warehouse");
    let archived = files_under(&project.path("var/archive/invoices")).len();
    assert!(archived > 5, "archiving waits for nothing behind it (I11): {archived} objects");
    fs::remove_dir(&warehouse).unwrap();
    let away = project.path("taken by the lifecycle");
    fs::rename(project.landing(), &away).unwrap();
    fs::create_dir(project.landing()).unwrap();
    let summary = drained(&project);
    assert_eq!(summary["documents"]["missing"], 0, "{summary}");
    assert_eq!(summary["rows"], expected.rows(), "{summary}");
    fs::remove_dir(project.landing()).unwrap();
    fs::rename(&away, project.landing()).unwrap();
    check(&project, &expected, &landed);
    project.drain(0);
    check(&project, &expected, &landed);
}

#[test]
fn an_archive_that_cannot_be_written_charges_no_document() {
    let project = Project::with_batches_of(20);
    let (expected, landed) = landed_strangers(&project, 52, 60);
    let archive = project.path("var/archive");
    let blocked = Blocked::folder(&archive);
    // Whatever the operating system says about it, the drain can go on once the place is there.
    let ended = project.run(&["drain", "--patience", "100ms"]);
    assert!(!ended.status.success(), "{ended:#?}");
    assert_eq!(project.ask("SELECT count(*) FROM sluicegate_document"), Some(0));
    blocked.free();
    drained(&project);
    check(&project, &expected, &landed);
}

#[test]
fn an_archive_folder_that_is_not_mounted_is_not_made_again() {
    let project = Project::with_batches_of(20);
    let (expected, landed) = landed_strangers(&project, 59, 60);
    drained(&project);
    let (archive, elsewhere) = (project.path("var/archive"), project.path("not mounted"));
    fs::rename(&archive, &elsewhere).unwrap();
    project.run(&["drain"]).exits(1).tells("3 batches are in it: mount it");
    assert!(!archive.exists());
    fs::rename(&elsewhere, &archive).unwrap();
    project.drain(0);
    check(&project, &expected, &landed);
}

#[test]
fn csv_objects_are_made_again_by_the_definition_that_the_load_fixed() {
    let project = Project::with_batches_of(20);
    let (expected, landed) = landed_corpus(&project, 53, 60);
    let curated = project.path("var/curated");
    let blocked = Blocked::folder(&curated);
    stuck(&project, "var/curated");
    assert_eq!(project.ask("SELECT count(*) FROM invoices"), Some(expected.invoices.len()));
    blocked.free();
    // What was loaded is published as it was loaded (I5), whatever the job says by now.
    project.edit("jobs/invoices.toml", r#"label = "To","#, r#"label = "Receiver","#);
    let summary = drained(&project);
    assert_eq!((&summary["rows"], &summary["failed_batches"]), (&0.into(), &0.into()), "{summary}");
    check(&project, &expected, &landed);
}

/// Whether the writer never stalled; only then the attempt proves something.
fn waits_for_a_file_that_grows() -> bool {
    let project = Project::new();
    let path = project.landing().join("endless.txt");
    let stop = AtomicBool::new(false);
    let steady = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut steady = Steady::begin();
            while !stop.load(Ordering::Relaxed) {
                // A new time is a new state, whatever is in it.
                steady.write(|| fs::write(&path, "Dear Sir or Madam\n"));
                std::thread::sleep(Duration::from_millis(20));
            }
            steady.was_steady()
        });
        until("the file is there", || path.exists().then_some(()));
        let ended = project.run(&["drain", "--patience", "600ms"]);
        stop.store(true, Ordering::Relaxed);
        let steady = writer.join().unwrap();
        if steady {
            ended.exits(1).tells("may still be growing");
        }
        steady
    });
    if steady {
        assert_eq!(project.drain(3)["documents"]["rejected"], 1, "once it rests, it is taken");
    }
    steady
}

#[test]
fn a_file_that_never_stops_growing_is_not_waited_for_without_end() {
    until("an attempt whose writer never stalls", || waits_for_a_file_that_grows().then_some(()));
}

/// While folders, databases and locks are made for the first time.
#[test]
fn a_drain_that_is_killed_while_it_begins_can_begin_again() {
    let mut random = Random::new(54);
    for _ in 0..6 {
        let project = Project::with_batches_of(5);
        let (expected, landed) = landed_corpus(&project, 54, 20);
        for _ in 0..8 {
            let drain = project.start(&["drain"]);
            std::thread::sleep(Duration::from_micros(random.below(25_000)));
            drain.kill();
            no_stranger_in_curated(&project);
        }
        drained(&project);
        check(&project, &expected, &landed);
    }
}

#[test]
fn crawls_cover_everything_once_whatever_was_killed() {
    let project = Project::with_batches_of(5).with("SLUICEGATE_WINDOW", "* * * * * *");
    let (expected, landed) = landed_corpus(&project, 55, 150);
    let mut random = Random::new(55);
    for _ in 0..12 {
        let drain = project.start(&["drain", "--crawl"]);
        std::thread::sleep(Duration::from_millis(10 + random.below(120)));
        drain.kill();
    }
    project.run(&["drain", "--crawl"]);
    check(&project, &expected, &landed);
    crate::crawls::check_covered(&project);
}

/// Names and times that a customer's system may come up with.
#[test]
fn odd_names_and_times_are_names_and_times() {
    let project = Project::new();
    let names = [
        "new\nline.txt",
        "tab\there.txt",
        "back\\slash.txt",
        "-rf.txt",
        "~root.txt",
        " leading blank.txt",
        "a/ . /.. /x.txt",
        "'; DROP TABLE invoices; --.txt",
        "😀.txt",
        "decomposed e\u{301}.txt",
        ".hidden.txt",
        ".txt",
    ];
    let mut documents = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let invoice = Invoice::made_up(&mut Random::new(index as u64), index as u64);
        let bytes = invoice.text().into_bytes();
        let modified = match index % 3 {
            0 => SystemTime::UNIX_EPOCH + Duration::from_millis(1_500 + index as u64),
            1 => SystemTime::now() + Duration::from_secs(86_400 * 30 + index as u64),
            _ => landed(index),
        };
        project.land(name, &bytes, modified);
        documents.push(Document {
            key: (*name).to_owned(),
            bytes,
            modified,
            meaning: Meaning::Invoices(vec![invoice]),
        });
    }
    let summary = project.drain(0);
    assert_eq!(summary["documents"]["loaded"], names.len(), "{summary}");
    for name in names {
        let shown = project.run(&["jobs", "show", "--output", "json", "--", name]).exits(0).json();
        assert_eq!(shown["documents"][0]["outcome"], "loaded", "{name:?}");
    }
    let held = Expected::of(&documents).invoices.len();
    assert_eq!(project.ask("SELECT count(*) FROM invoices"), Some(held));
    project.drain(0);
}

/// As if a minute had passed: nobody who was seen before counts as alive any more. A state that is lost takes with it what
/// would have told at once that its processes are dead.
fn outlive_leases(project: &Project) {
    let warehouse = rusqlite::Connection::open(project.path("var/warehouse.db")).unwrap();
    warehouse.busy_timeout(Duration::from_secs(30)).unwrap();
    let past = "2000-01-01T00:00:00.000000Z";
    warehouse.execute("UPDATE sluicegate_machine SET seen_at = ?1", [past]).unwrap();
}

/// The disk with the state is lost while originals wait in the archive, and the landing has emptied itself meanwhile.
#[test]
fn archived_originals_survive_the_loss_of_state_and_landing() {
    let project = Project::with_batches_of(20).with("SLUICEGATE_STATE", "var/state");
    let (expected, landed) = landed_strangers(&project, 56, 90);
    let warehouse = project.path("var/warehouse.db");
    fs::create_dir_all(&warehouse).unwrap();
    stuck(&project, "warehouse");
    fs::remove_dir(&warehouse).unwrap();
    fs::remove_dir_all(project.path("var/state")).unwrap();
    let away = project.path("taken by the lifecycle");
    fs::rename(project.landing(), &away).unwrap();
    fs::create_dir(project.landing()).unwrap();
    drained(&project);
    fs::remove_dir(project.landing()).unwrap();
    fs::rename(&away, project.landing()).unwrap();
    check(&project, &expected, &landed);
    project.drain(0);
    check(&project, &expected, &landed);
}

#[test]
fn loaded_batches_are_published_after_the_loss_of_the_state() {
    let project = Project::with_batches_of(20).with("SLUICEGATE_STATE", "var/state");
    let (expected, landed) = landed_corpus(&project, 57, 60);
    let curated = project.path("var/curated");
    let blocked = Blocked::folder(&curated);
    stuck(&project, "var/curated");
    blocked.free();
    fs::remove_dir_all(project.path("var/state")).unwrap();
    outlive_leases(&project);
    drained(&project);
    check(&project, &expected, &landed);
    project.drain(0);
    check(&project, &expected, &landed);
}

#[test]
fn a_drain_that_loses_its_state_with_each_death_loads_everything_once() {
    let mut random = Random::new(58);
    let project = Project::with_batches_of(10).with("SLUICEGATE_STATE", "var/state");
    let (expected, landed) = landed_strangers(&project, 58, 300);
    for lives_left in (0..8).rev() {
        let mut drain = project.start(&["drain"]);
        if lives_left == 0 {
            // On a slow machine nobody before may have come so far; it may also be done in no time.
            until("the ledger knows somebody", || {
                let known = project.ask::<u64>("SELECT count(*) FROM sluicegate_machine");
                (known > Some(0) || drain.has_ended()).then_some(())
            });
        }
        std::thread::sleep(Duration::from_millis(20 + random.below(250)));
        drain.kill();
        no_stranger_in_curated(&project);
        // A kill may come before there is any.
        if project.path("var/state").exists() {
            fs::remove_dir_all(project.path("var/state")).unwrap();
        }
    }
    outlive_leases(&project);
    drained(&project);
    check(&project, &expected, &landed);
    project.drain(0);
    check(&project, &expected, &landed);
}
