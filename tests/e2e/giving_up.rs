//! Goal: a person gives up one document, or a batch that never reached the archive, and is told what that changes and why
//! something cannot be given up.

use std::fs;

use crate::support::{Project, files_under};

const RIGHT: &str = r#"label = "Customer-ID""#;
const WRONG: &str = r#"label = "Customer-No""#;

fn invoice(number: u32, amount: u32) -> String {
    format!(
        "****\n Invoice\n****\nCustomer-ID: C\nInv-ID: {number}\nDated: Mar 1 2026\nFrom: A\nTo: B\nAmount: {amount}\n\
         SGST: 1\nTotal: {}\nInWords: some\n\nItems\n1) Lamp, {amount}, 1\n",
        amount + 1
    )
}

/// One that is loaded, one in conflict with it, one that nobody can read.
fn decided() -> Project {
    let project = Project::new();
    project.land_settled("a/good.txt", &invoice(1, 10));
    project.drain(0);
    project.land_settled("a/dearer.txt", &invoice(1, 20));
    project.land_settled("b/letter.txt", "Dear Sir or Madam\n");
    project.drain(3);
    project
}

fn abandon<'a>(id: &'a str, because: &'a str) -> [&'a str; 5] {
    ["jobs", "abandon", id, "--because", because]
}

#[test]
fn one_document_is_given_up_by_its_key() {
    let project = decided();
    project.run(&abandon("b/letter.txt", " ")).exits(2).tells("say why");
    project.run(&abandon("b/letter.txt", "not ours")).exits(0).prints("1 document is abandoned");
    let (outcome, reason) = project.outcomes("b/letter.txt").remove(0);
    assert_eq!(outcome, "abandoned");
    assert!(reason.ends_with("gave it up: not ours"), "{reason}");
    let told = project.run(&["jobs", "abandon", "a/dearer.txt", "--because", "ours", "--output", "json"]);
    assert_eq!(told.exits(0).json()["was"], "conflict");
    let operations = "SELECT count(*) FROM sluicegate_operation WHERE detail LIKE '{\"abandon_document\"%'";
    assert_eq!(project.ask(operations), Some(2));

    // It is no reject any more, and what was said of it once is still there.
    let rejects = project.run(&["jobs", "rejects", "--output", "json"]).exits(0).json();
    assert_eq!(rejects["documents"], 0, "{rejects}");
    let history = project.run(&["jobs", "rejects", "--history", "--output", "json"]).exits(0).json();
    assert_eq!(history["documents"], 2, "{history}");
    project.run(&["jobs", "show", "b/letter.txt"]).exits(0).prints("not ours");
    project.run(&["reconcile"]).exits(0).prints("2 abandoned");
    project.drain(0);

    // Its bytes are in the archive all the same.
    project.run(&["jobs", "replay", "--rejected", "--yes"]).exits(0).prints("nothing to replay");
    project.run(&["jobs", "replay", "--all", "--key", "b/*", "--yes"]).exits(3).prints("b/letter.txt");
    assert_eq!(project.outcomes("b/letter.txt")[0].0, "rejected");
}

#[test]
fn what_cannot_be_given_up_is_refused_with_the_reason() {
    let project = decided();
    let refused =
        |id: &str, code: i32, why: &str| drop(project.run(&abandon(id, "why not")).exits(code).tells(why));
    refused("a/good.txt", 1, "its rows are in the warehouse");
    refused("nothing.txt", 1, "nor is there a document with that key");
    project.run(&abandon("a/dearer.txt", "once")).exits(0);
    refused("a/dearer.txt", 1, "there is nothing left to do");
    // Two versions of one key.
    project.land_settled("b/letter.txt", "Dear Madam or Sir\n");
    project.drain(3);
    refused("b/letter.txt", 2, "--which");
    let version: String = project
        .ask("SELECT version FROM sluicegate_document WHERE key = 'b/letter.txt' ORDER BY batch_id DESC LIMIT 1")
        .unwrap();
    let words = ["jobs", "abandon", "b/letter.txt", "--which", &version[..20], "--because", "old"];
    project.run(&words).exits(0);
    let abandoned =
        "SELECT version FROM sluicegate_document WHERE key = 'b/letter.txt' AND outcome = 'abandoned'";
    assert_eq!(project.ask::<String>(abandoned), Some(version));
    // In a batch that is archived and not loaded, the members never change.
    project.run(&["jobs", "hold", "invoices"]).exits(0);
    project.land_settled("c/new.txt", "Dear Customer\n");
    project.drain(0);
    refused("c/new.txt", 1, "a batch's members never change");
    project.run(&["jobs", "release", "invoices"]).exits(0);
    project.drain(3);
    project.run(&abandon("c/new.txt", "now")).exits(0);
}

/// A replay that is parked before it has an archive object of its own: its parent's is gone.
#[test]
fn a_batch_that_was_never_archived_is_given_up_or_goes_on() {
    let project = Project::new();
    project.edit("jobs/invoices.toml", RIGHT, WRONG);
    project.land_settled("a/1.txt", &invoice(1, 10));
    project.land_settled("a/2.txt", &invoice(2, 10));
    project.drain(3);
    project.edit("jobs/invoices.toml", WRONG, RIGHT);
    let (_, archive) = files_under(&project.path("var/archive/invoices")).remove(0);
    let bytes = fs::read(&archive).unwrap();
    let parked = || {
        project.run(&["jobs", "replay", "--rejected", "--yes", "--no-wait"]).exits(0);
        fs::remove_file(&archive).unwrap();
        project.drain(3);
        let plan =
            project.run(&["jobs", "replay", "latest", "--dry-run", "--output", "json"]).exits(0).json();
        assert_eq!(plan["resumed"][0]["from"], "sealed", "{plan}");
        plan["resumed"][0]["batch_id"].as_str().unwrap().to_owned()
    };
    let first = parked();
    project.run(&["status"]).prints("1 batch parked, with 2 documents → sluicegate jobs list invoices");
    project.run(&["jobs", "list", "invoices"]).exits(0).prints("failed (sealed)").prints("put it back");
    // While it is parked, nobody replays its documents a second time, nor gives one of them up.
    project.run(&["jobs", "replay", "--rejected", "--yes"]).exits(3).prints("a replay that is parked");
    project.run(&abandon("a/1.txt", "why not")).exits(1).tells("is replaying");
    // Giving up a replay gives up no document: they stay rejected, as their own batch said.
    project
        .run(&abandon(&first, "the archive is lost"))
        .exits(0)
        .prints("2 documents stay as another batch left it");
    assert_eq!(project.outcomes("a/1.txt").len(), 1, "and no document is there twice");
    assert_eq!(project.outcomes("a/1.txt")[0].0, "rejected");
    project.run(&["reconcile"]).prints("2 rejected");

    // The archive is found again, and so is the way on.
    fs::write(&archive, &bytes).unwrap();
    let second = parked();
    fs::write(&archive, &bytes).unwrap();
    project.run(&["jobs", "replay", &second, "--yes"]).exits(0);
    assert_eq!(project.ask("SELECT count(*) FROM invoices"), Some(2));
    assert_eq!(project.outcomes("a/1.txt")[0].0, "loaded");
    project.run(&["reconcile"]).exits(0).prints("2 loaded");
}
