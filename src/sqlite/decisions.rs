//! What the ledger has decided about documents.

use std::collections::BTreeMap;

use rusqlite::{Row, params};
use sluicegate_state::time::to_text;

use crate::failure::Outcome;
use crate::ports::decisions::{Decision, DecisionQuery, Decisions, Hold, holds};

use super::failure;
use super::warehouse::SqliteWarehouse;

const PRESENT: &str = "
    SELECT d.bucket, d.key, d.version, d.batch_id, d.ordinal, d.outcome, coalesce(r.reason, d.reason), r.line, r.text,
           d.size, d.sha256 IS NOT NULL, d.landed_at, b.loaded_at, b.replay
    FROM sluicegate_document d
    JOIN sluicegate_batch b ON b.batch_id = d.batch_id
    LEFT JOIN sluicegate_reject r ON r.batch_id = d.batch_id AND r.ordinal = d.ordinal AND d.outcome <> 'abandoned'
    WHERE d.job = ?1 AND (d.batch_id, d.ordinal) > (?2, ?3) AND (?4 IS NULL OR b.loaded_at >= ?4)
      AND d.outcome IN (SELECT value FROM json_each(?5))
    ORDER BY d.batch_id, d.ordinal LIMIT ?6";

const HISTORY: &str = "
    SELECT v.bucket, v.key, v.version, v.batch_id, v.ordinal, v.outcome, coalesce(r.reason, v.reason), r.line, r.text,
           coalesce(d.size, 0), coalesce(d.sha256 IS NOT NULL, 0), coalesce(d.landed_at, ''), v.at, b.replay
    FROM sluicegate_verdict v
    JOIN sluicegate_batch b ON b.batch_id = v.batch_id
    LEFT JOIN sluicegate_reject r ON r.batch_id = v.batch_id AND r.ordinal = v.ordinal
    LEFT JOIN sluicegate_document d
      ON d.job = v.job AND d.bucket = v.bucket AND d.key = v.key AND d.version = v.version
    WHERE v.job = ?1 AND (v.batch_id, v.ordinal) > (?2, ?3) AND (?4 IS NULL OR v.at >= ?4)
      AND v.outcome IN (SELECT value FROM json_each(?5))
    ORDER BY v.batch_id, v.ordinal LIMIT ?6";

fn decision(row: &Row<'_>) -> rusqlite::Result<Decision> {
    Ok(Decision {
        bucket: row.get(0)?,
        key: row.get(1)?,
        version: row.get(2)?,
        batch_id: row.get(3)?,
        ordinal: row.get(4)?,
        outcome: row.get(5)?,
        reason: row.get(6)?,
        line: row.get(7)?,
        text: row.get(8)?,
        size: row.get(9)?,
        archived: row.get(10)?,
        landed_at: row.get(11)?,
        decided_at: row.get(12)?,
        replay: row.get(13)?,
    })
}

impl Decisions for SqliteWarehouse {
    fn decided(&mut self, query: &DecisionQuery<'_>) -> Outcome<Vec<Decision>> {
        let words: Vec<&str> = query.outcomes.iter().map(|outcome| outcome.as_str()).collect();
        let (batch_id, ordinal) =
            query.after.map_or(("", -1), |(batch, ordinal)| (batch, i64::from(ordinal)));
        let sql = if query.history { HISTORY } else { PRESENT };
        let read = || {
            let mut statement = self.connection().prepare_cached(sql)?;
            let since = query.since.map(to_text);
            let outcomes = serde_json::Value::from(words).to_string();
            let parameters = params![query.job, batch_id, ordinal, since, outcomes, query.limit];
            statement.query_map(parameters, decision)?.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(failure)
    }

    fn holds(&mut self) -> Outcome<BTreeMap<String, Hold>> {
        let read = || {
            let mut statement = self.connection().prepare_cached(
                "SELECT operator, at, reason, detail FROM sluicegate_operation
                 WHERE detail LIKE '{\"hold\":%' OR detail LIKE '{\"release\":%' ORDER BY operation_id",
            )?;
            let rows = statement.query_map([], |row| {
                Ok((Hold { operator: row.get(0)?, at: row.get(1)?, reason: row.get(2)? }, row.get(3)?))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map(holds).map_err(failure)
    }

    fn replays_of(&mut self, batch_id: &str) -> Outcome<Vec<String>> {
        let read = || {
            let mut statement = self.connection().prepare(
                "SELECT b.batch_id FROM sluicegate_batch b
                 WHERE b.replay > 0 AND EXISTS (SELECT 1 FROM json_each(b.parents) p WHERE p.value = ?1)
                 ORDER BY b.load_number",
            )?;
            statement.query_map([batch_id], |row| row.get(0))?.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(failure)
    }
}
