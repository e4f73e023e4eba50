//! One thing out of place at a time.

use std::fs;

use serde_json::Value;

use crate::support::Project;
use crate::world::{as_told, by_hand, date, day, invoice, kinds, land, objects, only, reconcile};

/// Six invoices of the day before yesterday, loaded and covered.
fn loaded() -> Project {
    let project = Project::new();
    land(&project, 0..6, 2);
    project.run(&["drain", "--crawl"]).exits(0);
    project
}

fn number(of: u64) -> String {
    invoice(of).number
}

#[test]
fn what_is_all_in_its_place_balances() {
    let project = loaded();
    let report = reconcile(&project, &[], 0);
    let told = day(&report, &date(2));
    assert_eq!(
        (told["balanced"].as_bool(), told["closed"].as_bool()),
        (Some(true), Some(true)),
        "{report:#}"
    );
    let balance = &told["balance"];
    assert_eq!((&balance["received"], &balance["loaded"]), (&6.into(), &6.into()));
    for place in told["places"].as_array().unwrap() {
        assert_eq!(place["expected"], place["ok"], "{place}");
        assert!(place["ok"].as_u64().unwrap() > 0, "every place was asked: {place}");
    }
    project.run(&["status"]).exits(0).prints("balanced");
}

#[test]
fn nothing_to_prove_is_fine() {
    let project = Project::new();
    assert_eq!(reconcile(&project, &[], 0)["balanced"], true);
    assert!(!project.path("var/warehouse.db").exists(), "looking makes nothing");
}

#[test]
fn deleted_rows_come_back_as_they_were() {
    let project = loaded();
    let dump = |project: &Project| -> Vec<String> {
        let warehouse = project.warehouse().unwrap();
        let sql =
            "SELECT customer_id || invoice_id || total || batch_id || source_order FROM invoices ORDER BY 1";
        let mut statement = warehouse.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    let before = dump(&project);
    by_hand(
        &project,
        &format!("DELETE FROM invoices WHERE invoice_id IN ('{}', '{}')", number(1), number(2)),
    );
    by_hand(&project, &format!("DELETE FROM invoice_items WHERE invoice_id = '{}'", number(1)));
    let found = only(&reconcile(&project, &[], 3), "deleted_rows");
    assert_eq!((&found["place"], &found["word"]), (&"warehouse".into(), &"lost".into()));
    assert_eq!(found["documents"], Value::from(vec!["in/1.txt", "in/2.txt"]));
    assert_eq!(found["records"].as_array().unwrap().len(), 2, "{found}");
    assert!(found["detail"].as_str().unwrap().starts_with("2 rows of invoices and"), "{found}");
    as_told(&project, found["command"].as_str().unwrap()).exits(0).tells("rows of");
    assert_eq!(dump(&project), before);
    reconcile(&project, &[], 0);
    let by: String = project.ask("SELECT command FROM sluicegate_operation").unwrap();
    assert!(by.contains("--restore"), "{by}");
    // Nothing is left to restore.
    let batch: String = project.ask("SELECT batch_id FROM sluicegate_batch").unwrap();
    project.run(&["reconcile", "--restore", &batch]).exits(2);
}

#[test]
fn a_changed_amount_names_record_and_amounts_and_can_be_accepted() {
    let project = loaded();
    let sql = format!("UPDATE invoices SET total = '7.77' WHERE invoice_id = '{}'", number(4));
    by_hand(&project, &sql);
    let found = only(&reconcile(&project, &[], 3), "changed_rows");
    assert_eq!(found["documents"], Value::from(vec!["in/4.txt"]));
    assert_eq!(found["records"][0]["invoice_id"], number(4).as_str());
    assert!(found["detail"].as_str().unwrap().contains("total is \"7.77\" and was loaded as"), "{found}");
    let id = found["id"].as_str().unwrap();
    project.run(&["reconcile", "--accept", id]).exits(2);
    let told = reconcile(&project, &["--accept", id, "--because", "a credit, see ticket 9"], 0);
    assert_eq!(day(&told, &date(2))["accepted"][0]["accepted"]["reason"], "a credit, see ticket 9");
    // Another change is another discrepancy.
    by_hand(&project, &sql.replace("7.77", "7.78"));
    let other = only(&reconcile(&project, &[], 3), "changed_rows");
    assert_ne!(other["id"], found["id"]);
    let reason: String = project.ask("SELECT reason FROM sluicegate_operation").unwrap();
    assert_eq!(reason, "a credit, see ticket 9");
}

#[test]
fn text_that_is_no_amount_changes_no_total_and_is_seen_all_the_same() {
    let project = loaded();
    by_hand(
        &project,
        &format!("UPDATE invoices SET to_party = 'Somebody' WHERE invoice_id = '{}'", number(5)),
    );
    let found = only(&reconcile(&project, &[], 3), "changed_rows");
    assert!(found["detail"].as_str().unwrap().contains("to_party is \"Somebody\""), "{found}");
}

#[test]
fn rows_that_somebody_inserted_are_unexpected() {
    let project = loaded();
    let copy = |id: &str, batch: &str| {
        format!(
            "INSERT INTO invoices SELECT customer_id, '{id}', dated, from_party, to_party, amount, sgst, total, in_words,
                                         {batch}, source_order FROM invoices WHERE invoice_id = '{}'",
            number(0)
        )
    };
    by_hand(&project, &copy("by hand", "batch_id"));
    let found = only(&reconcile(&project, &[], 3), "inserted_rows");
    assert_eq!(
        (&found["word"], &found["records"][0]["invoice_id"]),
        (&"unexpected".into(), &"by hand".into())
    );
    by_hand(&project, "DELETE FROM invoices WHERE invoice_id = 'by hand'");
    by_hand(&project, &copy("of no batch", "'nobody'"));
    let found = only(&reconcile(&project, &[], 3), "inserted_rows");
    assert_eq!(
        (&found["batch_id"], &found["records"][0]["invoice_id"]),
        (&"nobody".into(), &"of no batch".into())
    );
}

#[test]
fn a_lost_object_is_written_again_byte_for_byte() {
    let project = loaded();
    let object = objects(&project, "invoices").remove(0);
    let before = fs::read(&object).unwrap();
    fs::remove_file(&object).unwrap();
    let found = only(&reconcile(&project, &[], 3), "missing_object");
    as_told(&project, found["command"].as_str().unwrap()).exits(0);
    assert_eq!(fs::read(&object).unwrap(), before);
}

#[test]
fn a_damaged_object_is_not_written_over() {
    let project = loaded();
    let object = objects(&project, "invoices").remove(0);
    let mut bytes = fs::read(&object).unwrap();
    let last = bytes.len() - 2;
    bytes[last] ^= 1;
    fs::write(&object, &bytes).unwrap();
    let found = only(&reconcile(&project, &[], 3), "damaged_object");
    project.run(&["reconcile", "--repair"]).exits(3).tells("not mended");
    assert_eq!(fs::read(&object).unwrap(), bytes, "it is left as it is");
    fs::rename(&object, project.path("aside.csv")).unwrap();
    as_told(&project, found["command"].as_str().unwrap()).exits(0);
}

#[test]
fn a_stray_object_is_told() {
    let project = loaded();
    let object = objects(&project, "invoices").remove(0);
    fs::copy(&object, object.with_file_name("20260101T000000Z-00000000000000aa.csv")).unwrap();
    let found = only(&reconcile(&project, &[], 3), "stray_object");
    assert!(found["detail"].as_str().unwrap().contains("00000000000000aa.csv"), "{found}");
    as_told(&project, found["command"].as_str().unwrap()).exits(0);
}

#[test]
fn a_partition_that_was_dropped_is_registered_by_the_next_crawl() {
    let project = loaded();
    let catalog = rusqlite::Connection::open(project.path("var/curated/.catalog/catalog.db")).unwrap();
    assert_eq!(catalog.execute("DELETE FROM partition WHERE table_name = 'invoices'", []).unwrap(), 1);
    let found = only(&reconcile(&project, &[], 3), "missing_partition");
    as_told(&project, found["command"].as_str().unwrap()).exits(0);
    project.run(&["drain", "--crawl"]).exits(0);
    let report = reconcile(&project, &[], 0);
    assert_eq!(kinds(&report), Vec::<String>::new());
    let there = "SELECT count(*) FROM partition WHERE table_name = 'invoices'";
    assert_eq!(catalog.query_row(there, [], |row| row.get::<_, i64>(0)).unwrap(), 1);
}

/// The window, a quarter of an hour, ended long ago, and nothing has begun since.
#[test]
fn a_crawl_that_never_began_is_told() {
    let project = Project::new().with("SLUICEGATE_WINDOW", "0 */15 * * * *");
    land(&project, 0..2, 2);
    project.run(&["drain"]).exits(0);
    reconcile(&project, &[], 0);
    by_hand(&project, "UPDATE sluicegate_batch SET published_at = '2026-03-01T10:00:00.000Z'");
    assert_eq!(
        only(&reconcile(&project, &[], 3), "late_crawl")["documents"],
        Value::from(Vec::<String>::new())
    );
    // Somebody claimed it, and the catalog refuses to begin.
    by_hand(
        &project,
        "INSERT INTO sluicegate_crawl (crawl_id, job, window_end, state, owner, lease_until, batches, attempts, claimed_at)
         VALUES ('one', 'invoices', '2026-03-01T10:15:00.000Z', 'running', 'gone', '2026-03-01T10:16:00.000Z', 1, 1,
                 '2026-03-01T10:15:00.000Z')",
    );
    by_hand(&project, "UPDATE sluicegate_batch SET crawl_id = 'one'");
    only(&reconcile(&project, &[], 3), "late_crawl");
    by_hand(
        &project,
        "INSERT INTO sluicegate_crawl_attempt (crawl_id, attempt, owner, glue_crawl_id, state, started_at)
         VALUES ('one', 1, 'gone', 'a crawl of the catalog', 'running', '2026-03-01T10:15:00.000Z')",
    );
    reconcile(&project, &[], 0);
    by_hand(&project, "UPDATE sluicegate_crawl_attempt SET glue_crawl_id = NULL");
    let found = only(&reconcile(&project, &[], 3), "late_crawl");
    as_told(&project, found["command"].as_str().unwrap()).exits(0);
    assert_eq!(reconcile(&project, &[], 0)["balanced"], true);
}

/// What was published since waits for the end of its own window, which is far.
#[test]
fn a_crawl_that_failed_is_not_that_of_a_window_which_has_not_ended() {
    let project = Project::new().with("SLUICEGATE_WINDOW", "0 0 0 1 1 *");
    land(&project, 0..2, 2);
    project.run(&["drain", "--crawl"]).exits(0);
    by_hand(&project, "UPDATE sluicegate_crawl SET state = 'given_up'");
    land(&project, 2..3, 1);
    project.run(&["drain"]).exits(0);
    let report = reconcile(&project, &[], 3);
    let found = only(&report, "failed_crawl");
    assert_eq!(day(&report, &date(2))["discrepancies"][0]["id"], found["id"]);
    assert_eq!(day(&report, &date(1))["balanced"], true, "{report:#}");
}

#[test]
fn originals_that_are_gone_are_told() {
    let project = loaded();
    fs::remove_dir_all(project.path("var/archive/invoices")).unwrap();
    let found = only(&reconcile(&project, &[], 3), "missing_original");
    assert_eq!(found["place"], "archive");
}

#[test]
fn a_missed_document_is_journaled_and_loaded() {
    let project = loaded();
    land(&project, 6..7, 1);
    let found = only(&reconcile(&project, &[], 3), "missed_document");
    assert_eq!(found["documents"], Value::from(vec!["in/6.txt"]));
    let report = reconcile(&project, &["--repair"], 0);
    assert_eq!(day(&report, &date(1))["balance"]["in_flight"], 1, "{report:#}");
    project.run(&["drain", "--crawl"]).exits(0);
    let report = reconcile(&project, &[], 0);
    assert_eq!(day(&report, &date(1))["balance"]["loaded"], 1, "{report:#}");
}

#[test]
fn another_ledger_is_refused() {
    let project = loaded();
    fs::remove_file(project.path("var/warehouse.db")).unwrap();
    for rest in ["var/warehouse.db-wal", "var/warehouse.db-shm"] {
        let _ = fs::remove_file(project.path(rest));
    }
    let project = project.with("SLUICEGATE_STATE", "var/new");
    land(&project, 0..1, 1);
    project.run(&["drain"]).exits(0);
    let project = project.with("SLUICEGATE_STATE", "var");
    project.run(&["reconcile"]).exits(2);
}
