//! Goal: what was rejected under a wrong job file is loaded under the mended one, once, out of the archive alone: the
//! landing has emptied itself, the state may be lost, and the replay may be killed at any moment.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::corpus::{Document, Invoice, Meaning, Random, landed};
use crate::oracle::Expected;
use crate::support::{Project, files_under, until};

const RIGHT: &str = r#"label = "Customer-ID""#;
const WRONG: &str = r#"label = "Customer-No""#;

/// Invoices that have nothing to do with each other.
fn strangers(count: u64) -> Vec<Document> {
    let mut random = Random::new(91);
    let document = |number: u64| {
        let invoice = Invoice::made_up(&mut random, number);
        Document {
            key: format!("customer {}/{number}.txt", number % 3),
            bytes: invoice.text().into_bytes(),
            modified: landed(number as usize),
            meaning: Meaning::Invoices(vec![invoice]),
        }
    };
    (0..count).map(document).collect()
}

/// A project whose documents were all rejected by a wrong job file; the landing is empty, the job file is mended.
fn rejected_then_mended(project: &Project, documents: &[Document]) {
    project.edit("jobs/invoices.toml", RIGHT, WRONG);
    project.land_all(documents);
    let summary = project.drain(3);
    assert_eq!(summary["documents"]["rejected"], documents.len(), "{summary}");
    fs::remove_dir_all(project.landing()).unwrap();
    fs::create_dir(project.landing()).unwrap();
    project.edit("jobs/invoices.toml", WRONG, RIGHT);
}

/// Everything is loaded, and once: rows, CSV objects, outcomes, and one verdict `loaded` a document.
#[track_caller]
fn loaded_once(project: &Project, documents: &[Document]) {
    let expected = Expected::of(documents);
    let count = |sql: &str| project.ask::<u64>(sql).unwrap();
    assert_eq!(count("SELECT count(*) FROM invoices"), expected.invoices.len() as u64);
    let rows = count("SELECT (SELECT count(*) FROM invoices) + (SELECT count(*) FROM invoice_items)");
    assert_eq!(rows, expected.rows());
    assert_eq!(count("SELECT count(*) FROM sluicegate_document"), documents.len() as u64, "none twice (I2)");
    let loaded = "SELECT count(*) FROM sluicegate_document WHERE outcome = 'loaded'";
    assert_eq!(count(loaded), documents.len() as u64);
    let verdicts = "SELECT count(*) FROM sluicegate_verdict WHERE outcome = 'loaded'";
    assert_eq!(count(verdicts), documents.len() as u64, "loaded once");
    let unpublished = "SELECT count(*) FROM sluicegate_batch WHERE published_at IS NULL";
    assert_eq!(count(unpublished), 0);
    let lines: usize = files_under(&project.path("var/curated"))
        .iter()
        .filter(|(name, _)| name.ends_with(".csv"))
        .map(|(_, path)| fs::read_to_string(path).unwrap().lines().count() - 1)
        .sum();
    assert_eq!(lines as u64, rows, "the CSV objects hold what the warehouse holds (I7)");
}

fn replay(project: &Project, words: &[&str], code: i32) -> Value {
    let words = [&["jobs", "replay", "--output", "json"], words].concat();
    project.run(&words).exits(code).json()
}

fn documents_of(plan: &Value) -> u64 {
    plan["new_batches"].as_array().unwrap().iter().map(|batch| batch["documents"].as_u64().unwrap()).sum()
}

#[test]
fn what_was_rejected_is_loaded_once_from_the_archive_alone() {
    let project = Project::with_batches_of(7);
    let documents = strangers(20);
    rejected_then_mended(&project, &documents);
    let plan = replay(&project, &["--rejected", "--dry-run"], 0);
    assert_eq!(documents_of(&plan), 20, "{plan}");
    let sizes: Vec<u64> =
        plan["new_batches"].as_array().unwrap().iter().map(|b| b["documents"].as_u64().unwrap()).collect();
    assert_eq!(sizes, [7, 7, 6], "the limits of the job hold for replays too");
    project.run(&["jobs", "replay", "--rejected"]).exits(2).tells("say --yes");
    assert_eq!(project.ask("SELECT count(*) FROM sluicegate_batch"), Some(3), "neither of them did anything");

    let done = replay(&project, &["--rejected", "--yes"], 0);
    assert_eq!(done["new_batches"], plan["new_batches"], "the dry run printed what was done");
    assert_eq!(done["failed"], Value::Array(Vec::new()));
    loaded_once(&project, &documents);
    let again = replay(&project, &["--rejected", "--yes"], 0);
    assert_eq!(documents_of(&again), 0, "{again}");
    project.drain(0);
    loaded_once(&project, &documents);
    project.run(&["reconcile"]).exits(0).prints("BALANCED");

    let operations = "SELECT count(*) FROM sluicegate_operation WHERE detail LIKE '{\"replay\"%'";
    assert_eq!(
        project.ask(operations),
        Some(1),
        "who did it is in the ledger, and what had nothing to do is not"
    );

    // Nothing of the history is gone, and both ends of a replay name the other.
    let parent = plan["new_batches"][0]["parents"][0].as_str().unwrap();
    let child = done["batches"][0]["batch_id"].as_str().unwrap();
    let shown = project.run(&["jobs", "show", "--output", "json", parent]).exits(0).json();
    assert_eq!(shown["verdicts"][0]["outcome"], "rejected", "{shown}");
    assert_eq!(shown["replayed_by"][0], child, "{shown}");
    let shown = project.run(&["jobs", "show", "--output", "json", child]).exits(0).json();
    assert_eq!(shown["parents"][0], parent, "{shown}");
}

#[test]
fn what_is_rejected_again_is_told_and_needs_a_person() {
    let project = Project::new();
    let documents = strangers(3);
    rejected_then_mended(&project, &documents);
    project.edit("jobs/invoices.toml", RIGHT, WRONG);
    let done = replay(&project, &["--rejected", "--yes"], 3);
    let failed = done["failed"].as_array().unwrap();
    assert_eq!(failed.len(), 3, "{done}");
    assert_eq!((&failed[0]["outcome"], &failed[0]["key"]), (&"rejected".into(), &"customer 0/0.txt".into()));
    project.edit("jobs/invoices.toml", WRONG, RIGHT);
    replay(&project, &["--rejected", "--yes"], 0);
    loaded_once(&project, &documents);
    let replays = project.ask::<u64>("SELECT max(replay) FROM sluicegate_batch");
    assert_eq!(replays, Some(2), "a replay of a replay has the next number");
}

#[test]
fn filters_choose_among_the_rejected() {
    let project = Project::new();
    let documents = strangers(9);
    rejected_then_mended(&project, &documents);
    project.land_settled("customer 9/letter.txt", "Dear Sir or Madam\n");
    project.drain(3);
    let matched =
        |words: &[&str]| documents_of(&replay(&project, &[&["--rejected", "--dry-run"], words].concat(), 0));
    assert_eq!(matched(&[]), 10);
    assert_eq!(matched(&["--key", "customer 1/*"]), 3);
    assert_eq!(matched(&["--reason", "CUSTOMER-ID"]) + matched(&["--key", "*letter.txt"]), 10);
    assert_eq!(matched(&["--since", "1h"]), 10);
    assert_eq!(matched(&["--since", "2999-01-01"]), 0);
    assert_eq!(matched(&["latest"]), 1);
    project.run(&["jobs", "replay"]).exits(2).tells("say what to replay");
    project.run(&["jobs", "replay", "--rejected", "--job", "nothing"]).exits(2).tells("there is no job");
    project.run(&["jobs", "replay", "--rejected", "1999", "--yes"]).exits(1);
    // The beginning of an id does where it begins no other.
    let ids = |order: &str| -> String {
        project
            .ask(&format!("SELECT batch_id FROM sluicegate_batch ORDER BY load_number {order} LIMIT 1"))
            .unwrap()
    };
    let (first, second) = (ids(""), ids("DESC"));
    let common = first.bytes().zip(second.bytes()).take_while(|(a, b)| a == b).count();
    assert_eq!(matched(&[&first[..=common]]), 9);
    assert_eq!(matched(&[&second[..=common]]), 1);
    assert_eq!(matched(&[&first[..=common], &second]), 10);
    project.run(&["jobs", "replay", "--rejected", &first[..common], "--yes"]).exits(2).tells("more than one");
    // What the dry run prints is just what the real one prints, before what came of it.
    let words = ["jobs", "replay", "--rejected", "--key", "customer 1/*"];
    let dry = project.run(&[&words[..], &["--dry-run"]].concat()).exits(0).stdout;
    let real = project.run(&[&words[..], &["--yes"]].concat()).exits(0).stdout;
    assert!(dry.contains("new batch 1") && real.starts_with(&dry), "{dry}\n{real}");
    assert_eq!(project.ask("SELECT count(*) FROM invoices"), Some(3));
}

#[test]
fn a_machine_that_lost_its_state_replays_from_ledger_and_archive() {
    let project = Project::with_batches_of(4).with("SLUICEGATE_STATE", "var/state");
    let documents = strangers(10);
    rejected_then_mended(&project, &documents);
    fs::remove_dir_all(project.path("var/state")).unwrap();
    replay(&project, &["--rejected", "--yes"], 0);
    loaded_once(&project, &documents);
    project.drain(0);
    loaded_once(&project, &documents);
}

#[test]
fn a_replay_that_is_killed_at_any_moment_goes_on_and_loads_once() {
    let mut random = Random::new(92);
    for round in 0..4 {
        let project = Project::with_batches_of(3);
        let documents = strangers(30);
        rejected_then_mended(&project, &documents);
        for _ in 0..6 {
            let running = project.start(&["jobs", "replay", "--rejected", "--yes"]);
            std::thread::sleep(Duration::from_micros(random.below(90_000)));
            running.kill();
        }
        // Either the same command goes on, or an ordinary drain does what it began.
        if round % 2 == 1 {
            project.run(&["drain"]);
        }
        let last = project.run(&["jobs", "replay", "--rejected", "--yes"]).exits(0);
        loaded_once(&project, &documents);
        drop(last);
        project.run(&["jobs", "replay", "--rejected", "--yes"]).exits(0).prints("nothing to replay");
    }
}

#[test]
fn a_replay_waits_for_the_drain_that_holds_the_folder() {
    let project = Project::new();
    let documents = strangers(5);
    rejected_then_mended(&project, &documents);
    let drain = project.start(&["drain", "--watch"]);
    let lock = project.path("var/drainer.lock");
    until("somebody drains", || fs::read_to_string(&lock).ok().filter(|holder| !holder.is_empty()));
    replay(&project, &["--rejected", "--yes"], 0);
    loaded_once(&project, &documents);
    drain.signal("TERM");
    drain.wait().0.exits(0);
}

#[test]
fn a_parked_batch_goes_on_from_where_it_failed() {
    let project = Project::new();
    let documents = strangers(5);
    project.land_all(&documents);
    // Archived, and not loaded: the warehouse is a folder.
    let warehouse = project.path("var/warehouse.db");
    fs::create_dir_all(&warehouse).unwrap();
    project.run(&["drain", "--patience", "100ms"]).exits(1);
    fs::remove_dir(&warehouse).unwrap();
    let (_, archive) = files_under(&project.path("var/archive/invoices")).remove(0);
    let bytes = fs::read(&archive).unwrap();
    fs::write(&archive, b"no archive").unwrap();
    project.drain(3);
    let failed = replay(&project, &["latest", "--yes"], 3);
    assert_eq!(failed["failed"][0]["outcome"], "parked", "{failed}");
    fs::write(&archive, &bytes).unwrap();
    assert_eq!(
        replay(&project, &["--state", "failed", "--reason", "no such trouble", "--yes"], 0)["resumed"],
        Value::Array(Vec::new())
    );
    let plan = replay(&project, &["--state", "failed", "--dry-run"], 0);
    assert_eq!(plan["resumed"][0]["from"], "archived", "{plan}");
    let id = plan["resumed"][0]["batch_id"].as_str().unwrap();
    for (words, matches) in [
        (&["--state", "failed", "--since", "1h"][..], true),
        (&["--state", "failed", "--since", "2999-01-01"], false),
        (&["--state", "failed", "--key", "customer 1/*"], true),
        (&["--state", "failed", "--key", "nobody/*"], false),
        (&["--state", "failed", "--reason", "*"], true),
        (&[&id[..18]], true),
    ] {
        let plan = replay(&project, &[words, &["--dry-run"]].concat(), 0);
        assert_eq!(plan["resumed"].as_array().unwrap().len(), usize::from(matches), "{words:?}: {plan}");
    }
    replay(&project, &["latest", "--yes"], 0);
    loaded_once(&project, &documents);
    let batch = plan["resumed"][0]["batch_id"].as_str().unwrap();
    project.run(&["jobs", "replay", batch, "--yes"]).exits(2).tells("it is published, not parked");
}

#[test]
fn rejects_are_grouped_for_people_and_listed_for_customers() {
    let project = Project::new();
    let documents = strangers(6);
    rejected_then_mended(&project, &documents);
    project.land_settled("customer 1/=cmd.txt", "=HYPERLINK(\"evil\")\n");
    project.drain(3);
    let rejects = |words: &[&str]| {
        let words = [&["jobs", "rejects", "--output", "json"], words].concat();
        project.run(&words).exits(0).json()
    };
    let shown = rejects(&[]);
    assert_eq!(shown["documents"], 7, "{shown}");
    let groups = shown["groups"].as_array().unwrap();
    assert_eq!((groups.len(), &groups[0]["documents"]), (2, &6.into()), "one trouble is one line: {shown}");
    assert_eq!(groups[0]["customers"]["customer 2"], 2, "{shown}");
    let csv = project.run(&["jobs", "rejects", "--output", "csv"]).exits(0).stdout;
    assert_eq!(csv.lines().count(), 8, "{csv}");
    assert!(csv.starts_with("key,line,reason,text,landed_at,batch_id\n"), "{csv}");
    assert!(csv.contains("'=HYPERLINK") && !csv.contains(",=HYPERLINK"), "no formula: {csv}");
    project.run(&["jobs", "list", "--output", "csv"]).exits(2).tells("jobs rejects");
    project.run(&["jobs", "rejects"]).exits(0).prints("sluicegate jobs replay --rejected");
    replay(&project, &["--rejected", "--key", "customer*/?.txt", "--yes"], 0);
    assert_eq!(rejects(&[])["documents"], 1, "what was replayed well is no reject any more");
    assert_eq!(rejects(&["--history"])["documents"], 7);
    assert_eq!(rejects(&["--since", "2999-01-01"])["documents"], 0);
}

/// A batch that is parked before its load: its archive object is damaged.
fn parked(project: &Project, documents: &[Document]) -> String {
    project.land_all(documents);
    let warehouse = project.path("var/warehouse.db");
    fs::create_dir_all(&warehouse).unwrap();
    project.run(&["drain", "--patience", "100ms"]).exits(1);
    fs::remove_dir(&warehouse).unwrap();
    let (_, archive) = files_under(&project.path("var/archive/invoices")).remove(0);
    fs::write(&archive, b"no archive").unwrap();
    project.drain(3);
    let plan = replay(project, &["--state", "failed", "--dry-run"], 0);
    plan["resumed"][0]["batch_id"].as_str().unwrap().to_owned()
}

#[test]
fn a_parked_batch_can_be_given_up_and_everything_still_has_an_outcome() {
    let project = Project::new();
    let documents = strangers(4);
    let batch = parked(&project, &documents);
    let abandon = ["jobs", "abandon", &batch, "--because", "the customer sends it again"];
    project.run(&abandon[..3]).exits(2);
    project.run(&abandon).exits(0).prints("4 documents are abandoned");
    let (outcome, reason) = project.outcomes("customer 0/0.txt").remove(0);
    assert_eq!(outcome, "abandoned");
    assert!(reason.contains("the customer sends it again"), "{reason}");
    let operation: Option<String> =
        project.ask("SELECT reason FROM sluicegate_operation WHERE detail LIKE '{\"abandon\"%'");
    assert_eq!(operation.as_deref(), Some("the customer sends it again"));
    assert_eq!(project.ask("SELECT count(*) FROM invoices"), Some(0));
    project.run(&abandon).exits(1).tells("only a parked batch can be abandoned");
    project.drain(0);
    assert_eq!(project.ask("SELECT count(*) FROM sluicegate_document WHERE outcome = 'abandoned'"), Some(4));
    let reconciled = project.run(&["reconcile", "--output", "json"]).json();
    let balance = reconciled["jobs"][0]["balance"].to_string();
    assert!(balance.contains("\"abandoned\":"), "{reconciled}");
}

#[test]
fn a_job_that_is_held_is_archived_and_loaded_after_its_release() {
    let project = Project::new();
    project.drain(0);
    project.run(&["jobs", "hold", "nothing"]).exits(2);
    project.run(&["jobs", "hold", "invoices", "--because", "year end"]).exits(0).prints("is held");
    project.run(&["jobs", "hold", "invoices"]).exits(0).prints("held already");
    let documents = strangers(5);
    project.land_all(&documents);
    project.drain(0);
    assert_eq!(
        files_under(&project.path("var/archive/invoices")).len(),
        1,
        "originals are secured all the same"
    );
    assert_eq!(project.ask("SELECT count(*) FROM sluicegate_document"), Some(0), "and nothing is loaded");
    let listed = project.run(&["jobs", "list", "--output", "json"]).exits(0).json();
    assert_eq!(listed["jobs"][0]["held"]["reason"], "year end", "{listed}");
    project.run(&["status"]).prints("jobs release invoices");
    project.run(&["jobs", "release", "invoices"]).exits(0).prints("is released");
    project.drain(0);
    loaded_once(&project, &documents);
    assert_eq!(project.ask("SELECT count(*) FROM sluicegate_operation"), Some(2));
}

#[test]
fn an_edited_job_file_is_tried_on_the_archive_before_anything_depends_on_it() {
    let project = Project::with_batches_of(4);
    let documents = strangers(9);
    rejected_then_mended(&project, &documents);
    let tried =
        |code| project.run(&["try", "--archive", "--since", "30d", "--output", "json"]).exits(code).json();
    let trial = tried(0);
    assert_eq!(
        (&trial["documents"], &trial["changes"]["rejected → read"]),
        (&9.into(), &9.into()),
        "{trial}"
    );
    assert_eq!(project.ask("SELECT count(*) FROM invoices"), Some(0), "nothing is loaded");
    replay(&project, &["--rejected", "--yes"], 0);
    assert_eq!((&tried(0)["unchanged"], &tried(0)["changes"]), (&9.into(), &serde_json::json!({})));
    project.edit("jobs/invoices.toml", RIGHT, WRONG);
    let trial = tried(3);
    assert_eq!(trial["changes"]["loaded → rejected"], 9, "{trial}");
    assert_eq!(trial["changed"][0]["before"], "loaded", "{trial}");
    project.run(&["try"]).exits(2);
    loaded_once(&project, &documents);
}
