//! A mending that is killed in its midst, and run again, ends as if it had never been killed.

use std::fs;
use std::time::Duration;

use crate::corpus::Random;
use crate::support::Project;
use crate::world::{by_hand, invoice, land, objects, reconcile};

/// Two lost objects, deleted rows and a missed document.
fn harmed() -> Project {
    let project = Project::with_batches_of(2);
    land(&project, 0..6, 2);
    project.run(&["drain", "--crawl"]).exits(0);
    fs::remove_file(&objects(&project, "invoices")[0]).unwrap();
    fs::remove_file(&objects(&project, "invoice_items")[1]).unwrap();
    let number = invoice(5).number;
    by_hand(&project, &format!("DELETE FROM invoice_items WHERE invoice_id = '{number}'"));
    land(&project, 6..7, 1);
    project
}

#[test]
fn a_mending_that_is_killed_anywhere_can_be_run_again() {
    let mut random = Random::new(71);
    let project = harmed();
    let sql = format!("SELECT batch_id FROM invoices WHERE invoice_id = '{}'", invoice(5).number);
    let batch: String = project.ask(&sql).unwrap();
    for _ in 0..10 {
        let mending = project.start(&["reconcile", "--repair", "--restore", &batch]);
        std::thread::sleep(Duration::from_millis(random.below(150)));
        mending.kill();
    }
    // What is mended already is not told again, so the rest may be one, or both, or neither.
    project.run(&["reconcile", "--repair"]);
    project.run(&["reconcile", "--restore", &batch]);
    project.run(&["drain", "--crawl"]).exits(0);
    let report = reconcile(&project, &[], 0);
    assert_eq!(report["balanced"], true, "{report:#}");
    let documents: i64 =
        project.ask("SELECT count(*) FROM sluicegate_document WHERE outcome = 'loaded'").unwrap();
    assert_eq!(documents, 7);
}
