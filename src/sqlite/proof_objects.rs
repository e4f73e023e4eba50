//! The objects that the ledger says are there, for the proof to hold against a listing.

use std::collections::BTreeSet;

use rusqlite::{Connection, Row, params};

use crate::ports::proof::{FixedObject, ObjectsOf};

pub(super) fn fixed_objects(
    connection: &Connection,
    job: &str,
    of: ObjectsOf<'_>,
    after: &str,
    limit: usize,
) -> rusqlite::Result<Vec<FixedObject>> {
    let read = |row: &Row<'_>| {
        Ok(FixedObject { batch_id: row.get(0)?, key: row.get(1)?, bytes: row.get(2)?, covered: row.get(3)? })
    };
    match of {
        ObjectsOf::Table(table) => {
            let mut statement = connection.prepare_cached(
                "SELECT b.batch_id, t.csv_key, t.csv_bytes, coalesce(c.state = 'succeeded', 0)
                 FROM sluicegate_batch b
                 JOIN sluicegate_batch_table t ON t.batch_id = b.batch_id AND t.table_name = ?4
                 LEFT JOIN sluicegate_crawl c ON c.crawl_id = b.crawl_id
                 WHERE b.job = ?1 AND b.batch_id > ?2 AND b.published_at IS NOT NULL AND t.csv_key IS NOT NULL
                 ORDER BY b.batch_id LIMIT ?3",
            )?;
            statement.query_map(params![job, after, limit as i64, table], read)?.collect()
        }
        ObjectsOf::Archive => {
            let mut statement = connection.prepare_cached(
                "SELECT batch_id, archive_key, NULL, 0 FROM sluicegate_batch
                 WHERE job = ?1 AND batch_id > ?2 ORDER BY batch_id LIMIT ?3",
            )?;
            statement.query_map(params![job, after, limit as i64], read)?.collect()
        }
    }
}

/// As texts.
pub(super) fn days_of(connection: &Connection, batch_ids: &[String]) -> rusqlite::Result<BTreeSet<String>> {
    let mut statement =
        connection.prepare("SELECT DISTINCT day FROM sluicegate_document WHERE batch_id = ?1")?;
    let mut days = BTreeSet::new();
    for batch_id in batch_ids {
        for day in statement.query_map([batch_id], |row| row.get(0))? {
            days.insert(day?);
        }
    }
    Ok(days)
}
