//! Days are closed once they are over and balance; what comes later makes a new revision that says what differs.

use std::fs;

use crate::support::{Project, files_under};
use crate::world::{as_told, begins_today, by_hand, date, day, invoice, land, objects, only, reconcile};

fn revisions(project: &Project) -> i64 {
    let sql = format!("SELECT count(*) FROM sluicegate_reconciliation WHERE day = '{}'", date(2));
    project.ask(&sql).unwrap()
}

#[test]
fn a_closed_day_is_left_out_until_it_changes() {
    // A tick between the publication and the first reconciliation would end its window.
    let project = Project::new().with("SLUICEGATE_WINDOW", "0 0 0 1 1 *");
    land(&project, 0..3, 2);
    project.run(&["drain"]).exits(0);
    let report = reconcile(&project, &[], 0);
    let told = day(&report, &date(2));
    assert_eq!(told["closed"], false, "its window has not ended: {report:#}");
    project.run(&["drain", "--crawl"]).exits(0);
    let report = reconcile(&project, &[], 0);
    assert_eq!((&day(&report, &date(2))["closed"], revisions(&project)), (&true.into(), 2), "{report:#}");
    let report = reconcile(&project, &[], 0);
    assert_eq!((begins_today(&report), revisions(&project)), (true, 2), "{report:#}");
    // A document of that day comes late.
    land(&project, 3..4, 2);
    project.run(&["drain", "--crawl"]).exits(0);
    let report = reconcile(&project, &[], 0);
    let told = day(&report, &date(2));
    assert_eq!((&told["revision"], &told["closed"]), (&3.into(), &true.into()), "{report:#}");
    let changes: Vec<&str> =
        told["changes"].as_array().unwrap().iter().filter_map(|text| text.as_str()).collect();
    assert_eq!(changes, ["received: 3 before, 4 now", "loaded: 3 before, 4 now"]);
}

#[test]
fn a_hand_in_a_closed_day_is_seen() {
    let project = Project::new();
    land(&project, 0..3, 2);
    project.run(&["drain", "--crawl"]).exits(0);
    reconcile(&project, &[], 0);
    by_hand(
        &project,
        &format!("UPDATE invoices SET total = '0.01' WHERE invoice_id = '{}'", invoice(1).number),
    );
    let report = reconcile(&project, &[], 3);
    let told = day(&report, &date(2));
    assert_eq!((&told["revision"], &told["closed"]), (&2.into(), &false.into()), "{report:#}");
    project.run(&["status"]).exits(3).prints("the last reconciliation does not balance");
}

#[test]
fn one_day_is_asked_for() {
    let project = Project::new();
    land(&project, 0..2, 3);
    land(&project, 2..5, 2);
    project.run(&["drain", "--crawl"]).exits(0);
    let report = reconcile(&project, &["--date", &date(2)], 0);
    assert_eq!((&report["from"], &report["to"]), (&date(2).into(), &date(2).into()));
    assert_eq!(report["jobs"].as_array().unwrap().len(), 1);
    assert_eq!(report["jobs"][0]["balance"]["received"], 3, "{report:#}");
    project.run(&["reconcile", "--date", "yesterday"]).exits(2);
}

/// Three documents of the day before yesterday, and that day closed.
fn closed() -> Project {
    let project = Project::new();
    land(&project, 0..3, 2);
    project.run(&["drain", "--crawl"]).exits(0);
    let report = reconcile(&project, &[], 0);
    assert_eq!(day(&report, &date(2))["closed"], true, "{report:#}");
    assert!(begins_today(&reconcile(&project, &[], 0)), "it is left out");
    project
}

#[test]
fn an_object_that_is_gone_from_a_closed_day_is_seen_and_mended() {
    let project = closed();
    fs::remove_file(objects(&project, "invoices").remove(0)).unwrap();
    let report = reconcile(&project, &[], 3);
    let found = only(&report, "missing_object");
    assert_eq!(day(&report, &date(2))["closed"], false, "{report:#}");
    as_told(&project, found["command"].as_str().unwrap()).exits(0);
    let report = reconcile(&project, &[], 0);
    assert!(begins_today(&report), "it is closed again: {report:#}");
}

#[test]
fn an_object_of_another_size_in_a_closed_day_is_seen() {
    let project = closed();
    let object = objects(&project, "invoice_items").remove(0);
    let bytes = fs::read(&object).unwrap();
    fs::write(&object, &bytes[..bytes.len() - 1]).unwrap();
    only(&reconcile(&project, &[], 3), "damaged_object");
}

#[test]
fn an_archive_that_is_gone_from_a_closed_day_is_told_until_it_is_accepted() {
    let project = closed();
    fs::remove_dir_all(project.path("var/archive/invoices")).unwrap();
    let found = only(&reconcile(&project, &[], 3), "missing_original");
    as_told(&project, found["command"].as_str().unwrap()).exits(0);
    let report = reconcile(&project, &[], 0);
    assert!(begins_today(&report), "nothing is news: {report:#}");
}

#[test]
fn a_partition_that_is_gone_from_a_closed_day_is_seen() {
    let project = closed();
    let catalog = rusqlite::Connection::open(project.path("var/curated/.catalog/catalog.db")).unwrap();
    assert_eq!(catalog.execute("DELETE FROM partition WHERE table_name = 'invoices'", []).unwrap(), 1);
    let found = only(&reconcile(&project, &[], 3), "missing_partition");
    as_told(&project, found["command"].as_str().unwrap()).exits(0);
    project.run(&["drain", "--crawl"]).exits(0);
    reconcile(&project, &[], 0);
    assert!(begins_today(&reconcile(&project, &[], 0)), "it is closed again");
}

#[test]
fn an_archive_that_nobody_loaded_is_found_however_old_it_is() {
    let project = Project::new();
    land(&project, 0..3, 2);
    project.run(&["drain", "--crawl"]).exits(0);
    let (_, archive) = files_under(&project.path("var/archive/invoices")).remove(0);
    let old = project.path("var/archive/invoices/dt=2026-01-01/20260101T000000Z-00000000000000aa.tar.zst");
    fs::create_dir_all(old.parent().unwrap()).unwrap();
    fs::copy(archive, old).unwrap();
    let found = only(&reconcile(&project, &[], 3), "unfinished_batch");
    assert_eq!(found["batch_id"], "20260101T000000Z-00000000000000aa");
}
