//! Goal: pending work is found by partial indexes. Whoever changes a query or an index sees it here before an operator
//! with ten million journaled notifications does.

use rusqlite::StatementStatus;
use rusqlite::types::Null;

use super::{Store, batches, incarnations, journal, pages, seal, status};
use crate::BatchState;
use crate::seam::Seam;

/// The lines of SQLite's plan for a query.
fn plan(store: &Store, sql: &str) -> Vec<String> {
    let mut statement = store.connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let parameters = vec![Null; statement.parameter_count()];
    let rows = statement.query_map(rusqlite::params_from_iter(parameters), |row| row.get("detail")).unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn pending_work_is_found_by_partial_indexes() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Seam::default()).unwrap();
    let due = format!("{} {}", batches::SELECT, batches::DUE);
    let in_turn = format!("{} {}", batches::SELECT, batches::IN_TURN);
    let in_state = format!("{} {}", batches::SELECT, batches::IN_STATE);
    for (sql, index) in [
        (in_state.as_str(), "batch_unfinished"),
        (in_turn.as_str(), "batch_unfinished"),
        (seal::PENDING, "notification_pending"),
        (pages::PENDING_PAGE, "notification_pending"),
        (due.as_str(), "batch_unfinished"),
        (batches::NEXT_BATCH, "batch_retry"),
        (batches::NEXT_NOTIFICATION, "notification_deferred"),
        (batches::NEXT_DEFERRED, "notification_deferred"),
        (status::PENDING_SUMMARY, "notification_pending"),
        (status::OPEN_SUMMARY, "batch_by_state"),
        (incarnations::UNENDED, "incarnation_unended"),
        (journal::IS_KNOWN, "notification_identity"),
        (journal::EARLIER, "notification_identity"),
        (journal::COUNT_AGAIN, "notification_identity"),
        (journal::OF_KEY, "notification_identity"),
    ] {
        let plan = plan(&store, sql);
        assert!(plan.iter().any(|line| line.contains(index)), "{sql}\nuses {index}? {plan:#?}");
        let walks = |line: &&String| line.starts_with("SCAN ") && !line.contains(index);
        assert!(plan.iter().find(walks).is_none_or(|line| line.contains("CONSTANT ROW")), "{sql}\n{plan:#?}");
    }
}

#[test]
fn parked_batches_are_found_job_by_job() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Seam::default()).unwrap();
    let plan = plan(&store, &format!("{} {}", batches::SELECT, batches::PARKED));
    assert!(
        plan.iter().any(|line| line.contains("USING INDEX batch_by_state (job=? AND state=?)")),
        "{plan:#?}"
    );
    let walks = |line: &String| line.starts_with("SCAN ") && !line.starts_with("SCAN known");
    assert!(!plan.iter().any(walks), "{plan:#?}");
}

#[test]
fn pending_work_comes_in_order_without_sorting() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Seam::default()).unwrap();
    let due = format!("{} {}", batches::SELECT, batches::DUE);
    for sql in [seal::PENDING, due.as_str()] {
        let plan = plan(&store, sql);
        assert!(!plan.iter().any(|line| line.contains("TEMP B-TREE")), "{sql}\n{plan:#?}");
    }
}

#[test]
fn a_query_is_planned_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Seam::default()).unwrap();
    let now = "2026-03-01T10:00:00Z".parse().unwrap();
    for limit in [1, 20, 20_000] {
        store.due_batches(BatchState::Sealed, now, limit).unwrap();
    }
    let due = format!("{} {}", batches::SELECT, batches::DUE);
    let statement = store.connection.prepare_cached(&due).unwrap();
    assert_eq!(statement.get_status(StatementStatus::Run), 3);
    assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
}
