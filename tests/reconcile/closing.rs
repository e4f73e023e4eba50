//! Days are closed once they are over and balance; what comes later makes a new revision that says what differs.

use crate::support::Project;
use crate::world::{by_hand, date, day, invoice, land, reconcile};

fn revisions(project: &Project) -> i64 {
    let sql = format!("SELECT count(*) FROM sluicegate_reconciliation WHERE day = '{}'", date(2));
    project.ask(&sql).unwrap()
}

#[test]
fn a_closed_day_is_left_out_until_it_changes() {
    let project = Project::new();
    land(&project, 0..3, 2);
    project.run(&["drain"]).exits(0);
    let report = reconcile(&project, &[], 0);
    let told = day(&report, &date(2));
    assert_eq!(told["closed"], false, "its window has not ended: {report:#}");
    project.run(&["drain", "--crawl"]).exits(0);
    let report = reconcile(&project, &[], 0);
    assert_eq!((&day(&report, &date(2))["closed"], revisions(&project)), (&true.into(), 2), "{report:#}");
    let report = reconcile(&project, &[], 0);
    assert_eq!((&report["from"], revisions(&project)), (&date(0).into(), 2), "{report:#}");
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
