//! Single rows for the proof: those that nobody knows, those that disagree, and those that are put back.

use rusqlite::{Connection, params, params_from_iter};

use crate::failure::Outcome;
use crate::ports::proof::{LostRow, StrangeRows, UnsettledDocument};
use crate::schema::{ColumnType, Schema};

use super::content::{Bound, canonical};
use super::{failure, parse_time, quoted};

/// Batches with strange rows that are told of one by one.
const STRANGERS: i64 = 1_000;

/// Whether batch `b` has documents of the day `?3`, if there is one. A batch whose documents were all taken over by replays
/// still has the CSV objects that it made of them, so it belongs to the days that they have.
pub(super) const OF_DAY: &str = "
    (?3 IS NULL OR EXISTS (SELECT 1 FROM sluicegate_document d WHERE d.batch_id = b.batch_id AND d.day = ?3)
     OR (NOT EXISTS (SELECT 1 FROM sluicegate_document d WHERE d.batch_id = b.batch_id)
         AND EXISTS (SELECT 1 FROM sluicegate_verdict v
                     JOIN sluicegate_document d
                       ON d.job = v.job AND d.bucket = v.bucket AND d.key = v.key AND d.version = v.version
                     WHERE v.batch_id = b.batch_id AND v.rows > 0 AND d.day = ?3)))";

/// The batches of job `?1` that the definitions `?2` (a JSON array of hashes) loaded; with a day `?3`, those of that day.
pub(super) fn loaded_by() -> String {
    format!(
        "SELECT b.batch_id FROM sluicegate_batch b
         WHERE b.job = ?1 AND b.definition_hash IN (SELECT value FROM json_each(?2)) AND {OF_DAY}"
    )
}

pub(super) fn strange_rows(
    connection: &Connection,
    schema: &Schema,
    records: usize,
) -> rusqlite::Result<Vec<StrangeRows>> {
    let mut found = Vec::new();
    for (index, table) in schema.tables.iter().enumerate() {
        let name = quoted(&table.name);
        let mut statement = connection.prepare(&format!(
            "SELECT batch_id, count(*) FROM {name} WHERE batch_id NOT IN (SELECT batch_id FROM sluicegate_batch)
             GROUP BY batch_id ORDER BY batch_id LIMIT {STRANGERS}"
        ))?;
        let batches = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let batches: Vec<(String, u64)> = batches.collect::<Result<_, _>>()?;
        for (batch_id, rows) in batches {
            let records = records_of(connection, schema, index, &batch_id, records)?;
            found.push(StrangeRows { table: table.name.clone(), batch_id, rows, records });
        }
    }
    Ok(found)
}

fn records_of(
    connection: &Connection,
    schema: &Schema,
    table: usize,
    batch_id: &str,
    limit: usize,
) -> rusqlite::Result<Vec<Vec<(String, String)>>> {
    let columns = schema.record_key_columns(table);
    let names: Vec<String> =
        columns.iter().map(|&column| quoted(&schema.tables[table].columns[column].name)).collect();
    let sql = format!(
        "SELECT DISTINCT {0} FROM {1} WHERE batch_id = ?1 ORDER BY {0} LIMIT ?2",
        names.join(", "),
        quoted(&schema.tables[table].name)
    );
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query(params![batch_id, limit as i64])?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        let mut record = Vec::new();
        for (place, &column) in columns.iter().enumerate() {
            let described = &schema.tables[table].columns[column];
            record.push((described.name.clone(), canonical(described.kind, row.get_ref(place)?)));
        }
        records.push(record);
    }
    Ok(records)
}

/// A loaded document whose records were all replaced is superseded, and its verdict stays; so does that of a batch that came
/// too late to read what another one had read.
pub(super) fn unsettled_documents(
    connection: &Connection,
    job: &str,
    limit: usize,
) -> Outcome<Vec<UnsettledDocument>> {
    let read = || -> rusqlite::Result<Vec<(Option<String>, UnsettledDocument)>> {
        let mut statement = connection.prepare(
            "SELECT v.batch_id, v.key, d.landed_at, v.outcome, d.outcome
             FROM sluicegate_verdict v
             LEFT JOIN sluicegate_document d
               ON d.job = v.job AND d.bucket = v.bucket AND d.key = v.key AND d.version = v.version
             WHERE v.job = ?1 AND v.outcome NOT IN ('again', 'deferred')
               AND (d.outcome IS NULL
                        AND NOT (v.outcome IN ('missing', 'expired', 'superseded')
                                 AND EXISTS (SELECT 1 FROM sluicegate_document o
                                             WHERE o.job = v.job AND o.bucket = v.bucket AND o.key = v.key
                                               AND o.etag || '@' = v.version AND o.sha256 IS NOT NULL))
                    OR (d.batch_id = v.batch_id AND d.ordinal = v.ordinal AND d.outcome <> v.outcome
                        AND NOT (d.outcome = 'superseded' AND v.outcome = 'loaded'
                                 AND EXISTS (SELECT 1 FROM sluicegate_replaced r WHERE r.batch_id = d.batch_id))
                        AND NOT (d.outcome = 'abandoned' AND v.outcome IN ('rejected', 'conflict', 'missing', 'expired'))))
             ORDER BY v.batch_id, v.ordinal LIMIT ?2",
        )?;
        let rows = statement.query_map(params![job, limit as i64], |row| {
            let document = UnsettledDocument {
                batch_id: row.get(0)?,
                key: row.get(1)?,
                landed_at: None,
                verdict: row.get(3)?,
                outcome: row.get(4)?,
            };
            Ok((row.get(2)?, document))
        })?;
        rows.collect()
    };
    let timed = |(landed_at, document): (Option<String>, UnsettledDocument)| {
        let landed_at = landed_at.as_deref().map(parse_time).transpose()?;
        Ok(UnsettledDocument { landed_at, ..document })
    };
    read().map_err(failure)?.into_iter().map(timed).collect()
}

/// Inserts one row, unless its key is there, or its record is there as another batch has it: a record is never a mixture of
/// two.
pub(super) fn put_back(connection: &Connection, schema: &Schema, row: &LostRow) -> rusqlite::Result<u64> {
    let table = &schema.tables[row.table];
    let names: Vec<String> = table.all_column_names().map(quoted).collect();
    let marks: Vec<String> = (1..=names.len()).map(|number| format!("?{number}")).collect();
    let record = schema.record_key_columns(row.table);
    let same = schema
        .parent()
        .key_names()
        .zip(record)
        .map(|(name, index)| format!("{} = {} AND ", quoted(name), marks[index]));
    let sql = format!(
        "INSERT INTO {} ({}) SELECT {} WHERE NOT EXISTS (SELECT 1 FROM {} WHERE {} batch_id <> {}) ON CONFLICT DO NOTHING",
        quoted(&table.name),
        names.join(", "),
        marks.join(", "),
        quoted(&schema.parent().name),
        same.collect::<String>(),
        marks[table.columns.len()],
    );
    let kinds = table.columns.iter().map(|column| column.kind).chain([ColumnType::Text; 2]);
    let values = kinds.zip(&row.values).map(|(kind, text)| Bound { kind, text });
    Ok(connection.prepare_cached(&sql)?.execute(params_from_iter(values))? as u64)
}
