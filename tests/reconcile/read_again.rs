//! A job that replaces reads again what is loaded, under today's job file; and everything still balances.

use std::fs;

use serde_json::Value;

use crate::support::Project;
use crate::world::{date, day, days_ago, land, reconcile};

/// What the shipped job reads as `from_party` and as `to_party`, exchanged: a mistake that no check finds.
fn exchange(project: &Project) {
    for (from, to) in [
        (r#"label = "From""#, r#"label = "Other""#),
        (r#"label = "To""#, r#"label = "From""#),
        (r#"label = "Other""#, r#"label = "To""#),
    ] {
        project.edit("jobs/invoices.toml", from, to);
    }
}

fn query(project: &Project, sql: &str) -> String {
    let answer = project.run(&["query", sql, "--output", "json"]).exits(0).json();
    answer["rows"].to_string()
}

/// What `jobs show` says became of a document.
fn shown(project: &Project, key: &str) -> Value {
    project.run(&["jobs", "show", key, "--output", "json"]).exits(0).json()["documents"][0].clone()
}

fn read_again(project: &Project) {
    project.edit("jobs/invoices.toml", "documents = 1000\n", "documents = 3\n");
    exchange(project);
    land(project, 0..5, 2);
    project.land("letter.txt", b"Dear Sir or Madam\n", days_ago(2));
    project.run(&["drain", "--crawl"]).exits(3);
    reconcile(project, &[], 0);
    let parties = "SELECT invoice_id, from_party, to_party FROM invoices ORDER BY invoice_id";
    let wrong = query(project, parties);

    // With `reject`, what is loaded stays so, and the command says so.
    exchange(project);
    let all = ["jobs", "replay", "--all", "--key", "in/*"];
    let plan = project.run(&[&all[..], &["--dry-run", "--output", "json"]].concat()).exits(0).json();
    assert_eq!((&plan["new_batches"], &plan["left_out"][0]["documents"]), (&Value::Array(vec![]), &5.into()));
    project
        .run(&[&all[..], &["--yes"]].concat())
        .exits(0)
        .prints("loaded, and stays so")
        .prints("nothing to replay");
    assert_eq!(query(project, parties), wrong);

    // With `replace` it is read again from the archive alone.
    project.edit("jobs/invoices.toml", r#"on_conflict = "reject""#, r#"on_conflict = "replace""#);
    fs::remove_dir_all(project.landing()).unwrap();
    fs::create_dir(project.landing()).unwrap();
    let plan = project.run(&[&all[..], &["--dry-run", "--output", "json"]].concat()).exits(0).json();
    let done = project.run(&[&all[..], &["--yes", "--output", "json"]].concat()).exits(0).json();
    assert_eq!(
        (&plan["new_batches"], plan["new_batches"].as_array().unwrap().len()),
        (&done["new_batches"], 2)
    );
    assert_eq!(done["failed"], Value::Array(vec![]), "{done}");
    let parent = plan["new_batches"][0]["parents"][0].as_str().unwrap();
    let document = shown(project, "in/0.txt");
    assert_eq!(document["outcome"], "loaded", "{document}");
    assert_ne!(document["batch_id"], parent, "{document}");
    project.run(&["drain", "--crawl"]).exits(0);
    let right = query(project, parties);
    assert_ne!(right, wrong, "the newest wins in the view");
    assert_eq!(query(project, "SELECT count(*) AS n FROM invoices"), query(project, "SELECT 5 AS n"));
    let report = reconcile(project, &[], 0);
    let balance = &day(&report, &date(2))["balance"];
    assert_eq!(
        (&balance["received"], &balance["loaded"], &balance["rejected"]),
        (&6.into(), &5.into(), &1.into())
    );
    let old = &reconcile(project, &["--date", &date(2)], 0);
    assert_eq!(day(old, &date(2))["balanced"], true);

    // Whoever names a batch gives the command again for nothing: its documents have another one now.
    project
        .run(&["jobs", "replay", "--all", parent, "--key", "in/*", "--yes"])
        .exits(1)
        .tells("holds anything to replay");

    // What today's job file cannot read stays as it was loaded, and a person is told.
    project.edit("jobs/invoices.toml", r#"label = "Customer-ID""#, r#"label = "Customer-No""#);
    let kept = project.run(&[&all[..], &["--yes", "--output", "json"]].concat()).exits(3).json();
    assert_eq!(kept["failed"].as_array().unwrap().len(), 5, "{kept}");
    assert!(kept["failed"][0]["reason"].as_str().unwrap().contains("stays as it was loaded"), "{kept}");
    assert_eq!(shown(project, "in/0.txt"), document);
    assert_eq!(query(project, parties), right);
    reconcile(project, &[], 0);
}

#[test]
fn what_is_loaded_is_read_again_where_the_later_wins() {
    read_again(&Project::new());
}

#[cfg(feature = "postgres")]
#[test]
fn what_is_loaded_is_read_again_in_postgresql() {
    let Some(database) = crate::server::Database::new() else { return };
    read_again(&Project::new().with("SLUICEGATE_WAREHOUSE", database.url.as_str()));
}
