//! Goal: a second job, of another format and with another window, runs beside the first, and neither waits for the
//! other's backlog.

use std::fs;
use std::time::{Duration, SystemTime};

use crate::arriving::listen_until_pending;
use crate::corpus::{Invoice, Random};
use crate::support::{Project, until};

const EXAMPLE: &str = include_str!("../../examples/payments/payments.toml");
const MARCH: &str = include_str!("../../examples/payments/march.csv");

/// The shipped project with the example switched on, and the example's landing.
fn project(batches_of: usize) -> Project {
    let project = Project::with_batches_of(batches_of);
    fs::write(project.path("jobs/payments.toml"), EXAMPLE).unwrap();
    fs::create_dir_all(project.path("var/payments")).unwrap();
    project
}

fn land_payments(project: &Project, key: &str, text: &str) {
    let path = project.path("var/payments").join(key);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
}

fn land_invoices(project: &Project, count: u64) {
    let mut random = Random::new(7);
    for number in 1..=count {
        project.land_settled(&format!("{number:04}.txt"), &Invoice::made_up(&mut random, number).text());
    }
}

/// All CSV objects of a table, without their headers and bookkeeping columns.
fn csv_rows(project: &Project, table: &str, columns: usize) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let Ok(days) = fs::read_dir(project.path(&format!("var/curated/{table}"))) else { return rows };
    for day in days {
        for object in fs::read_dir(day.unwrap().path()).unwrap() {
            let mut reader = csv::Reader::from_path(object.unwrap().path()).unwrap();
            let records = reader.records().map(Result::unwrap);
            rows.extend(records.map(|row| row.iter().take(columns).map(str::to_owned).collect()));
        }
    }
    rows.sort();
    rows
}

#[test]
fn both_jobs_are_loaded_published_and_crawled_and_a_reject_stops_nobody() {
    let project = project(1_000);
    land_invoices(&project, 3);
    land_payments(&project, "deep/er/march.csv", MARCH);
    land_payments(&project, "again.csv", MARCH);
    land_payments(&project, "bad.csv", &MARCH.replace("P-100", "P-200").replace("439.60", "439.00"));
    let ended = project.run(&["drain", "--crawl", "--output", "json"]).exits(3).json();
    assert_eq!(ended["documents"]["loaded"], 4);
    assert_eq!(ended["documents"]["duplicate"], 1);
    assert_eq!(ended["documents"]["rejected"], 1);
    assert_eq!(ended["crawls"], 2, "one for each job");
    let bad = project.outcomes("bad.csv");
    assert_eq!(bad[0].0, "rejected");
    assert!(bad[0].1.contains("net 439.00 is not amount - fee = 439.60"), "{bad:?}");
    assert_eq!(
        csv_rows(&project, "payments", 8),
        [
            ["P-1001", "HL-0042", "2026-017", "2026-03-02", "5958.00", "1.50", "5956.50", ""],
            ["P-1002", "RW-3", "2026-018", "2026-03-03", "705.00", "0.00", "705.00", "Ropes, three in one"],
            [
                "P-1003",
                "TE-7",
                "2026-019",
                "2026-03-05",
                "440.00",
                "0.40",
                "439.60",
                "He said \"paid\", and it was"
            ],
        ]
    );
    let sum: String =
        project.ask("SELECT group_concat(net, '+') FROM (SELECT net FROM payments ORDER BY 1)").unwrap();
    assert_eq!(sum, "439.60+5956.50+705.00");
    assert_eq!(csv_rows(&project, "invoices", 2).len(), 3);
    let joined = "SELECT count(*) AS n FROM payments p LEFT JOIN invoices i ON i.invoice_id = p.invoice_id";
    assert_eq!(project.run(&["query", joined, "--output", "json"]).exits(0).json()["rows"][0]["n"], 3);
    let again = project.drain(0);
    assert_eq!((&again["batches"], &again["notifications"]), (&0.into(), &0.into()));
}

#[test]
fn one_document_does_not_wait_for_the_other_jobs_backlog() {
    let project = project(5);
    land_invoices(&project, 200);
    land_payments(&project, "march.csv", MARCH);
    // Both are known before the drain begins: who of its listeners is the first to look is not what this is about.
    listen_until_pending(&project, &[200, 1]);
    project.drain(0);
    let place = |job: &str| -> i64 {
        let sql = format!(
            "SELECT count(*) FROM sluicegate_batch
             WHERE loaded_at <= (SELECT min(loaded_at) FROM sluicegate_batch WHERE job = '{job}')"
        );
        project.ask(&sql).unwrap()
    };
    let all: i64 = project.ask("SELECT count(*) FROM sluicegate_batch").unwrap();
    assert_eq!(all, 41);
    assert!(place("payments") <= 8, "the payments came as number {} of {all}", place("payments"));
}

#[test]
fn a_switched_on_example_beside_a_running_drain_needs_a_restart_only() {
    let project = project(1_000);
    fs::remove_file(project.path("jobs/payments.toml")).unwrap();
    land_payments(&project, "march.csv", MARCH);
    land_invoices(&project, 1);
    project.drain(0);
    assert!(!project.path("var/curated/payments").exists(), "the example is off");
    fs::write(project.path("jobs/payments.toml"), EXAMPLE).unwrap();
    let drain = project.start(&["drain", "--watch"]);
    until("the payments are loaded", || (project.outcome_words("march.csv") == ["loaded"]).then_some(()));
    drain.signal("TERM");
    drain.wait().0.exits(0);
}

#[test]
fn a_batch_whose_job_is_gone_remains_parked_until_its_file_is_back() {
    let project = project(1_000);
    land_payments(&project, "march.csv", MARCH);
    let warehouse = project.path("var/warehouse.db");
    fs::create_dir_all(&warehouse).unwrap();
    project.run(&["drain", "--patience", "100ms"]).exits(1);
    fs::remove_dir(&warehouse).unwrap();
    fs::remove_file(project.path("jobs/payments.toml")).unwrap();
    for _ in 0..2 {
        let ended = project.run(&["drain", "--output", "json"]).exits(3).json();
        assert_eq!(ended["failed_batches"], 1);
    }
    project.run(&["status"]).exits(3).prints("there is no job \"payments\" any more");

    fs::write(project.path("jobs/payments.toml"), EXAMPLE).unwrap();
    project.run(&["jobs", "replay", "--job", "payments", "--state", "failed", "--yes"]).exits(0);
    project.drain(0);
    project.run(&["status"]).exits(0);
    assert_eq!(project.ask("SELECT count(*) FROM payments"), Some(3));
}
