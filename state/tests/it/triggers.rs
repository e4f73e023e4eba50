//! Goal: SQLite itself refuses what the state machine does not know, even when asked by the `sqlite3` shell.

use rusqlite::{Connection, params};
use sluicegate_state::{BatchEvent, BatchState, transition};

use crate::support::{House, standings};

const MOVE: &str = "
    UPDATE batch SET state = ?2, failed_from = ?3, event = ?4, changed_at = '2026-11-23T04:00:00.000000Z'
    WHERE batch_id = ?1";

#[test]
fn sqlite_allows_just_the_transitions_of_the_table() {
    let mut house = House::new();
    let shell = house.shell();
    let targets: Vec<(BatchState, Option<BatchState>)> = BatchState::ALL
        .iter()
        .flat_map(|state| {
            std::iter::once(None).chain(BatchState::ALL.iter().copied().map(Some)).map(|from| (*state, from))
        })
        .collect();
    for (index, (state, from)) in standings().into_iter().enumerate() {
        let id = house.batch_in(&format!("{index}"), state, from).batch_id;
        for event in BatchEvent::ALL {
            for (to, to_from) in &targets {
                if (state, from) == (*to, *to_from) {
                    continue;
                }
                let next = transition(state, *event, from);
                let next_from = (next == Some(BatchState::Failed)).then_some(state);
                let expected = next == Some(*to) && next_from == *to_from;
                shell.execute_batch("SAVEPOINT one").unwrap();
                let done = shell.execute(MOVE, params![id, to, to_from, event]);
                assert_eq!(done.is_ok(), expected, "{state} {from:?} +{event} = {to} {to_from:?}: {done:?}");
                shell.execute_batch("ROLLBACK TO one; RELEASE one").unwrap();
            }
        }
    }
}

#[test]
fn no_state_is_reached_by_insertion_but_sealed() {
    let mut house = House::new();
    let id = house.sealed(&["a"]).batch_id;
    let shell = house.shell();
    let copy = |state: &str, event: &str| {
        shell.execute(
            "INSERT INTO batch (batch_id, job, state, documents, bytes, estimated_rows, oldest_event_time, early,
                                sealed_at, incarnation, definition_hash, event, changed_at, changed_by, cause)
             SELECT '20261123T032404Z-0000000000000000', job, ?2, documents, bytes, estimated_rows, oldest_event_time,
                    early, sealed_at, incarnation, definition_hash, ?3, changed_at, changed_by, cause
             FROM batch WHERE batch_id = ?1",
            params![id, state, event],
        )
    };
    for state in ["archived", "loaded", "published", "abandoned", "failed", "nonsense", ""] {
        copy(state, "sealed").unwrap_err();
    }
    copy("sealed", "archived").unwrap_err();
    copy("sealed", "sealed").unwrap();
}

#[test]
fn what_must_not_change_cannot_be_changed() {
    let mut house = House::new();
    let id = house.sealed(&["a", "b"]).batch_id;
    house.journal(&["c"]);
    let attempt =
        house.store.begin_attempt(&id, sluicegate_state::Stage::Archive, "me", crate::support::at(3));
    attempt.unwrap();
    let shell = house.shell();
    let before = content(&shell);
    for sql in FORBIDDEN {
        let done = shell.execute_batch(sql);
        let error = done.expect_err(sql).to_string();
        let mistaken = ["syntax", "no such table", "no such column"].iter().any(|word| error.contains(word));
        assert!(!mistaken, "{sql}: {error}");
        assert_eq!(content(&shell), before, "{sql}");
    }
}

const FORBIDDEN: &[&str] = &[
    "UPDATE batch SET state = 'archived'",
    "UPDATE batch SET event = 'archived'",
    "UPDATE batch SET cause = 'another'",
    "UPDATE batch SET documents = 1",
    "UPDATE batch SET batch_id = '20261123T032404Z-0000000000000000'",
    "UPDATE batch SET definition_hash = 'other'",
    "UPDATE batch SET parents = '[]', replay = 1",
    "UPDATE batch SET deferred = 3",
    "DELETE FROM batch",
    "INSERT OR REPLACE INTO batch SELECT * FROM batch",
    "UPDATE member SET ordinal = ordinal + 5",
    "UPDATE member SET tries = 1",
    "DELETE FROM member",
    "INSERT OR REPLACE INTO member SELECT * FROM member",
    "INSERT INTO member SELECT batch_id, 2, (SELECT notification_id FROM notification WHERE key = 'c'), 0
     FROM batch",
    "UPDATE transition SET cause = 'another'",
    "DELETE FROM transition",
    "INSERT OR REPLACE INTO transition SELECT * FROM transition",
    "INSERT INTO transition (batch_id, from_state, to_state, event, at, incarnation, cause)
     SELECT batch_id, 'sealed', 'archived', 'archived', changed_at, 'x', 'x' FROM batch",
    "DELETE FROM notification",
    "INSERT OR REPLACE INTO notification SELECT * FROM notification",
    "INSERT OR REPLACE INTO notification (job, bucket, key, etag, event_time, event_name, source, received_at)
     SELECT job, bucket, key, etag, event_time, event_name, source, received_at FROM notification WHERE key = 'a'",
    "UPDATE notification SET key = 'other' WHERE key = 'a'",
    "UPDATE notification SET state = 'done' WHERE key = 'c'",
    "UPDATE notification SET state = 'batched' WHERE key = 'c'",
    "UPDATE notification SET state = 'batched', batch_id = (SELECT batch_id FROM batch), ordinal = 1 WHERE key = 'c'",
    "UPDATE notification SET state = 'pending', batch_id = NULL, ordinal = NULL WHERE key = 'a'",
    "UPDATE attempt SET outcome = 'succeeded'",
    "UPDATE attempt SET stage = 'load'",
    "DELETE FROM attempt",
    "INSERT OR REPLACE INTO attempt SELECT * FROM attempt",
];

/// Everything that the forbidden statements aim at.
fn content(shell: &Connection) -> Vec<String> {
    let mut lines = Vec::new();
    for table in ["batch", "member", "transition", "notification", "attempt"] {
        let mut statement = shell.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2")).unwrap();
        let width = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let cells = (0..width).map(|column| format!("{:?}", row.get_ref(column).unwrap()));
            lines.push(format!("{table}: {}", cells.collect::<Vec<_>>().join(" | ")));
        }
    }
    lines
}
