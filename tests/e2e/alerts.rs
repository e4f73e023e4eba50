//! Goal: a person hears of documents that may be lost and of parked batches, once; and `status` says it first.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::corpus::{Invoice, Random};
use crate::support::Project;

fn project() -> Project {
    let project = Project::new().with("SLUICEGATE_ALERT_FILE", "alerts.jsonl");
    project.edit("jobs/invoices.toml", "format = ", "expires_after_hours = 24\nformat = ");
    project
}

fn land_hours_ago(project: &Project, key: &str, hours: u64) {
    let mut random = Random::new(hours);
    let modified = SystemTime::now() - Duration::from_secs(hours * 3_600);
    project.land(key, Invoice::made_up(&mut random, hours).text().as_bytes(), modified);
}

fn told(project: &Project) -> Vec<(String, String)> {
    let text = fs::read_to_string(project.path("alerts.jsonl")).unwrap_or_default();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let word = |line: &serde_json::Value, name: &str| line[name].as_str().unwrap().to_owned();
    lines.map(|line| (word(&line, "alert"), word(&line, "subject"))).collect()
}

#[test]
fn documents_that_cannot_be_archived_are_told_of_before_they_expire() {
    let project = project();
    land_hours_ago(&project, "soon.txt", 20);
    land_hours_ago(&project, "later.txt", 2);
    // A file in place of the archive folder: nothing can be secured.
    fs::write(project.path("var/archive"), "in the way").unwrap();
    let drain = ["drain", "--patience", "0s", "--output", "json"];
    project.run(&drain).exits(1);
    let first = told(&project);
    assert_eq!(first.len(), 1, "{first:?}");
    assert_eq!(first[0].0, "expiring:invoices");
    assert!(first[0].1.contains("1 document expires in 3 h 59 min"), "{first:?}");
    project.run(&drain).exits(1);
    assert_eq!(told(&project).len(), 1, "it is no worse");
    let status = project.run(&["status", "--output", "json"]).exits(3).json();
    let verdict = status["verdict"].as_str().unwrap();
    assert!(
        verdict.contains("expires in 3 h") && verdict.contains("archiving has been failing"),
        "{verdict}"
    );

    fs::remove_file(project.path("var/archive")).unwrap();
    project.drain(0);
    assert_eq!(told(&project).len(), 1);
    let verdict = project.run(&["status", "--output", "json"]).exits(0).json();
    assert!(verdict["verdict"].as_str().unwrap().starts_with("OK"), "{verdict}");
}

#[test]
fn what_is_archived_wakes_nobody_whatever_it_waits_for() {
    let project = project();
    land_hours_ago(&project, "old.txt", 23);
    // No directory can be made below a file, so there is no warehouse.
    fs::write(project.path("var/blocked"), "in the way").unwrap();
    let mut project = project;
    project.set("SLUICEGATE_WAREHOUSE", "sqlite:var/blocked/warehouse.db");
    project.run(&["drain", "--patience", "0s"]).exits(1);
    assert!(project.path("var/archive/invoices").is_dir());
    assert_eq!(told(&project), []);
}

/// The archive objects.
fn archived(project: &Project) -> Vec<PathBuf> {
    let days = fs::read_dir(project.path("var/archive/invoices")).unwrap();
    days.flat_map(|day| fs::read_dir(day.unwrap().path()).unwrap().map(|entry| entry.unwrap().path()))
        .collect()
}

#[test]
fn a_parked_batch_is_told_of_once() {
    let project = project();
    land_hours_ago(&project, "a.txt", 1);
    project.drain(0);
    let before = archived(&project);
    // The archive object of the next batch cannot be what its name says, once its bytes are spoiled.
    let mut random = Random::new(99);
    let modified = SystemTime::now() - Duration::from_secs(60);
    project.land("b.txt", Invoice::made_up(&mut random, 99).text().as_bytes(), modified);
    fs::write(project.path("var/blocked"), "in the way").unwrap();
    let mut blocked = project;
    blocked.set("SLUICEGATE_WAREHOUSE", "sqlite:var/blocked/warehouse.db");
    blocked.run(&["drain", "--patience", "0s"]).exits(1);
    let newest = archived(&blocked).into_iter().find(|object| !before.contains(object)).unwrap();
    let mut bytes = fs::read(&newest).unwrap();
    let end = bytes.len() - 40;
    bytes[end / 2..end].fill(0);
    fs::remove_file(&newest).unwrap();
    fs::write(&newest, bytes).unwrap();
    blocked.set("SLUICEGATE_WAREHOUSE", "sqlite:var/warehouse.db");
    blocked.drain(3);
    let first = told(&blocked);
    assert_eq!(first.len(), 1, "{first:?}");
    assert_eq!(first[0].0, "parked:invoices");
    assert!(first[0].1.contains("1 batch parked, with 1 document"), "{first:?}");
    blocked.drain(3);
    assert_eq!(told(&blocked).len(), 1);
}
