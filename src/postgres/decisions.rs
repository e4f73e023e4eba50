//! What the ledger has decided about documents.

use std::collections::BTreeMap;

use postgres::Row;
use sluicegate_state::time::to_text;

use crate::failure::Outcome;
use crate::ports::decisions::{Decision, DecisionQuery, Decisions, Hold, holds};

use super::error::failure;
use super::ledger::time_text;
use super::warehouse::PostgresWarehouse;
use super::{count, integer, ordinal};

fn present() -> String {
    format!(
        "SELECT d.bucket::text, d.key::text, d.version::text, d.batch_id::text, d.ordinal, d.outcome,
                coalesce(r.reason, d.reason), r.line, r.text, d.size, d.sha256 IS NOT NULL,
                to_char(d.landed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), {}, b.replay
         FROM sluicegate.document d
         JOIN sluicegate.batch b ON b.batch_id = d.batch_id
         LEFT JOIN sluicegate.reject r ON r.batch_id = d.batch_id AND r.ordinal = d.ordinal AND d.outcome <> 'abandoned'
         WHERE d.job = $1 AND (d.batch_id, d.ordinal) > ($2::text, $3::int)
           AND ($4::text IS NULL OR b.loaded_at >= $4::text::timestamptz) AND d.outcome = ANY($5::text[])
         ORDER BY d.batch_id, d.ordinal LIMIT $6",
        time_text("b.loaded_at")
    )
}

fn history() -> String {
    format!(
        "SELECT v.bucket::text, v.key::text, v.version::text, v.batch_id::text, v.ordinal, v.outcome,
                coalesce(r.reason, v.reason), r.line, r.text, coalesce(d.size, 0), d.sha256 IS NOT NULL,
                coalesce(to_char(d.landed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), ''), {}, b.replay
         FROM sluicegate.verdict v
         JOIN sluicegate.batch b ON b.batch_id = v.batch_id
         LEFT JOIN sluicegate.reject r ON r.batch_id = v.batch_id AND r.ordinal = v.ordinal
         LEFT JOIN sluicegate.document d
           ON d.job = v.job AND d.bucket = v.bucket AND d.key = v.key AND d.version = v.version
         WHERE v.job = $1 AND (v.batch_id, v.ordinal) > ($2::text, $3::int)
           AND ($4::text IS NULL OR v.at >= $4::text::timestamptz) AND v.outcome = ANY($5::text[])
         ORDER BY v.batch_id, v.ordinal LIMIT $6",
        time_text("v.at")
    )
}

fn decision(row: &Row) -> Decision {
    Decision {
        bucket: row.get(0),
        key: row.get(1),
        version: row.get(2),
        batch_id: row.get(3),
        ordinal: ordinal(row.get(4)),
        outcome: row.get(5),
        reason: row.get(6),
        line: row.get::<_, Option<i64>>(7).map(count),
        text: row.get(8),
        size: count(row.get(9)),
        archived: row.get(10),
        landed_at: row.get(11),
        decided_at: row.get(12),
        replay: u32::try_from(row.get::<_, i64>(13)).unwrap_or(u32::MAX),
    }
}

impl Decisions for PostgresWarehouse {
    fn decided(&mut self, query: &DecisionQuery<'_>) -> Outcome<Vec<Decision>> {
        let words: Vec<&str> = query.outcomes.iter().map(|outcome| outcome.as_str()).collect();
        let (batch_id, after) = query.after.map_or(("", -1), |(batch, ordinal)| (batch, integer(ordinal)));
        let sql = if query.history { history() } else { present() };
        let since = query.since.map(to_text);
        let limit = i64::from(query.limit);
        let rows = self
            .client()
            .query(&sql, &[&query.job, &batch_id, &after, &since, &words, &limit])
            .map_err(failure)?;
        Ok(rows.iter().map(decision).collect())
    }

    fn holds(&mut self) -> Outcome<BTreeMap<String, Hold>> {
        let sql = format!(
            "SELECT operator, {}, reason, detail FROM sluicegate.operation
             WHERE detail LIKE '{{\"hold\":%' OR detail LIKE '{{\"release\":%' ORDER BY operation_id",
            time_text("at")
        );
        let rows = self.client().query(&sql, &[]).map_err(failure)?;
        let operation = |row: &Row| {
            (Hold { operator: row.get(0), at: row.get(1), reason: row.get(2) }, row.get::<_, String>(3))
        };
        Ok(holds(rows.iter().map(operation)))
    }

    fn replays_of(&mut self, batch_id: &str) -> Outcome<Vec<String>> {
        let sql = "SELECT batch_id::text FROM sluicegate.batch
                   WHERE replay > 0 AND parents @> to_jsonb(ARRAY[$1::text]) ORDER BY load_number";
        let rows = self.client().query(sql, &[&batch_id]).map_err(failure)?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}
