//! What the ledger tells people: documents, verdicts and counts.

use std::collections::BTreeMap;

use postgres::Row;

use crate::ports::warehouse::{DocumentRow, VerdictRow};

use super::client::Client;
use super::error::Error;
use super::ledger::time_text;
use super::{count, ordinal};

pub(super) fn outcome_counts(client: &mut Client, job: &str) -> Result<BTreeMap<String, u64>, Error> {
    let rows = client.query(
        "SELECT outcome, count(*) FROM sluicegate.document WHERE job = $1 GROUP BY outcome",
        &[&job],
    )?;
    Ok(rows.iter().map(|row| (row.get(0), count(row.get(1)))).collect())
}

pub(super) fn documents_by_key(client: &mut Client, key: &str) -> Result<Vec<DocumentRow>, Error> {
    let rows = client.query(
        "SELECT d.job::text, d.bucket::text, d.key::text, d.version::text, d.batch_id::text, d.outcome, d.reason, d.sha256,
                d.rows, to_char(d.landed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), r.line, r.text
         FROM sluicegate.document d
         LEFT JOIN sluicegate.reject r ON r.batch_id = d.batch_id AND r.ordinal = d.ordinal AND d.outcome <> 'abandoned'
         WHERE d.key = $1 ORDER BY d.landed_at, d.version",
        &[&key],
    )?;
    let document = |row: &Row| DocumentRow {
        job: row.get(0),
        bucket: row.get(1),
        key: row.get(2),
        version: row.get(3),
        batch_id: row.get(4),
        outcome: row.get(5),
        reason: row.get(6),
        sha256: row.get(7),
        rows: count(row.get(8)),
        landed_at: row.get(9),
        line: row.get::<_, Option<i64>>(10).map(count),
        text: row.get(11),
    };
    Ok(rows.iter().map(document).collect())
}

/// `column` is a constant of the caller's.
pub(super) fn verdicts(
    client: &mut Client,
    column: &'static str,
    value: &str,
) -> Result<Vec<VerdictRow>, Error> {
    let sql = format!(
        "SELECT batch_id::text, ordinal, key::text, version, outcome, reason, rows, {} FROM sluicegate.verdict
         WHERE {column} = $1 ORDER BY at, batch_id, ordinal",
        time_text("at")
    );
    let rows = client.query(&sql, &[&value])?;
    let verdict = |row: &Row| VerdictRow {
        batch_id: row.get(0),
        ordinal: ordinal(row.get(1)),
        key: row.get(2),
        version: row.get(3),
        outcome: row.get(4),
        reason: row.get(5),
        rows: count(row.get(6)),
        at: row.get(7),
    };
    Ok(rows.iter().map(verdict).collect())
}
