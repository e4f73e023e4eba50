//! What the ledger tells people: documents, verdicts and counts.

use std::collections::BTreeMap;

use rusqlite::Connection;

use crate::ports::warehouse::{DocumentRow, VerdictRow};

pub(super) fn outcome_counts(connection: &Connection, job: &str) -> rusqlite::Result<BTreeMap<String, u64>> {
    let mut statement = connection
        .prepare("SELECT outcome, count(*) FROM sluicegate_document WHERE job = ?1 GROUP BY outcome")?;
    let rows = statement.query_map([job], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

pub(super) fn documents_by_key(connection: &Connection, key: &str) -> rusqlite::Result<Vec<DocumentRow>> {
    let mut statement = connection.prepare(
        "SELECT d.job, d.bucket, d.key, d.version, d.batch_id, d.outcome, d.reason, d.sha256, d.rows, d.landed_at,
                r.line, r.text
         FROM sluicegate_document d
         LEFT JOIN sluicegate_reject r ON r.batch_id = d.batch_id AND r.ordinal = d.ordinal AND d.outcome <> 'abandoned'
         WHERE d.key = ?1 ORDER BY d.landed_at, d.version",
    )?;
    let rows = statement.query_map([key], |row| {
        Ok(DocumentRow {
            job: row.get(0)?,
            bucket: row.get(1)?,
            key: row.get(2)?,
            version: row.get(3)?,
            batch_id: row.get(4)?,
            outcome: row.get(5)?,
            reason: row.get(6)?,
            sha256: row.get(7)?,
            rows: row.get(8)?,
            landed_at: row.get(9)?,
            line: row.get(10)?,
            text: row.get(11)?,
        })
    })?;
    rows.collect()
}

/// `condition` is a constant of the caller's with one parameter.
pub(super) fn verdicts(
    connection: &Connection,
    condition: &'static str,
    parameter: &str,
) -> rusqlite::Result<Vec<VerdictRow>> {
    let mut statement = connection.prepare(&format!(
        "SELECT batch_id, ordinal, key, version, outcome, reason, rows, at FROM sluicegate_verdict
         WHERE {condition} ORDER BY at, batch_id, ordinal"
    ))?;
    let rows = statement.query_map([parameter], |row| {
        Ok(VerdictRow {
            batch_id: row.get(0)?,
            ordinal: row.get(1)?,
            key: row.get(2)?,
            version: row.get(3)?,
            outcome: row.get(4)?,
            reason: row.get(5)?,
            rows: row.get(6)?,
            at: row.get(7)?,
        })
    })?;
    rows.collect()
}
