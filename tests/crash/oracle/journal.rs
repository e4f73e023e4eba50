//! The state store: nothing in flight, nobody alive, every notification in one batch, every batch at its end (I1, I3, I9).

use rusqlite::Connection;

use super::{none, select};
use crate::workload::everything;

pub(super) fn check(journal: &Connection, ledger: &Connection) {
    let landed = everything().len();
    let received = select(journal, "SELECT received, redeliveries FROM journal_total");
    assert_eq!(received, [[landed.to_string(), "0".to_owned()]], "what was landed was journaled, once");
    let problems = [
        (
            "notifications that are in no batch, or in more than one",
            "SELECT key FROM notification AS n WHERE state <> 'batched'
                OR 1 <> (SELECT count(*) FROM member AS m WHERE m.notification_id = n.notification_id)",
        ),
        ("batches that are not at their end", "SELECT batch_id, state FROM batch WHERE state <> 'published'"),
        (
            "batches that did not go through each state once",
            "SELECT batch_id, group_concat(event) FROM transition GROUP BY batch_id
             HAVING group_concat(event) <> 'sealed,archived,loaded,published'",
        ),
        ("attempts that are still running", "SELECT attempt_id FROM attempt WHERE outcome = 'running'"),
        (
            "attempts that parked a batch, or lost a race that nobody ran",
            "SELECT attempt_id, outcome, error FROM attempt WHERE outcome IN ('permanent', 'lost')",
        ),
        (
            "stages that succeeded more or less than once",
            "SELECT batch_id, stage FROM attempt GROUP BY 1, 2
             HAVING count(*) FILTER (WHERE outcome = 'succeeded') <> 1",
        ),
        (
            "processes that nobody buried",
            "SELECT incarnation FROM incarnation WHERE ended_at IS NULL
             UNION ALL SELECT command_id FROM command WHERE ended_at IS NULL",
        ),
    ];
    for (what, sql) in problems {
        none(journal, what, sql);
    }
    check_batches(journal, ledger);
}

/// A state that was rebuilt knows only what was left; of that, nothing is in flight.
pub(super) fn check_rebuilt(journal: &Connection, ledger: &Connection) {
    let problems = [
        ("notifications that are in no batch", "SELECT key FROM notification WHERE state <> 'batched'"),
        ("batches that are not at their end", "SELECT batch_id, state FROM batch WHERE state <> 'published'"),
        ("attempts that are still running", "SELECT attempt_id FROM attempt WHERE outcome = 'running'"),
        ("attempts that parked a batch", "SELECT attempt_id, error FROM attempt WHERE outcome = 'permanent'"),
        ("processes that nobody buried", "SELECT incarnation FROM incarnation WHERE ended_at IS NULL"),
    ];
    for (what, sql) in problems {
        none(journal, what, sql);
    }
    let batches = select(ledger, "SELECT batch_id FROM sluicegate_batch");
    for batch in select(journal, "SELECT batch_id FROM batch") {
        assert!(batches.contains(&batch), "{batch:?} ended and the ledger does not know it");
    }
}

/// Journal and ledger know the same batches with the same members, in the same order (I3, I11).
fn check_batches(journal: &Connection, ledger: &Connection) {
    let sealed = "SELECT batch_id, ordinal, key FROM member JOIN notification USING (notification_id, batch_id, ordinal)
                  ORDER BY 1, 2";
    let decided = "SELECT batch_id, ordinal, key FROM sluicegate_verdict ORDER BY 1, 2";
    assert_eq!(select(journal, sealed), select(ledger, decided));
    let batches = "SELECT batch_id, documents FROM batch ORDER BY 1";
    let loaded = "SELECT batch_id, documents FROM sluicegate_batch ORDER BY 1";
    assert_eq!(select(journal, batches), select(ledger, loaded));
    let newest = select(journal, "SELECT value FROM meta WHERE key = 'ledger.newest_load'");
    let known = select(ledger, "SELECT batch_id FROM sluicegate_batch");
    assert!(known.contains(&newest[0]), "the state remembers a load that the ledger has");
}
