//! Single rows for the proof: those that nobody knows, those that disagree, and those that are put back. And the SQL for
//! the live control totals of many.

use postgres::types::ToSql;

use crate::failure::Outcome;
use crate::ports::proof::{LostRow, StrangeRows, UnsettledDocument};
use crate::schema::{ColumnType, Schema, Table};

use super::client::Transaction;
use super::error::{Error, failure};
use super::ledger::time_text;
use super::sql::{quoted, sql_type};
use super::{bigint, count, parse_time};

/// Batches with strange rows that are told of one by one.
const STRANGERS: usize = 1_000;

/// Whether batch `b` has documents of the day `$3`, if there is one. A batch whose documents were all taken over by replays
/// still has the CSV objects that it made of them, so it belongs to the days that they have.
pub(super) const OF_DAY: &str = "
    ($3::text IS NULL
     OR EXISTS (SELECT 1 FROM sluicegate.document d WHERE d.batch_id = b.batch_id AND d.day = $3::text::date)
     OR (NOT EXISTS (SELECT 1 FROM sluicegate.document d WHERE d.batch_id = b.batch_id)
         AND EXISTS (SELECT 1 FROM sluicegate.verdict v
                     JOIN sluicegate.document d
                       ON d.job = v.job AND d.bucket = v.bucket AND d.key = v.key AND d.version = v.version
                     WHERE v.batch_id = b.batch_id AND v.rows > 0 AND d.day = $3::text::date)))";

/// A target table by its whole name.
pub(super) fn target(place: &str, table: &Table) -> String {
    format!("{}.{}", quoted(place), quoted(&table.name))
}

/// A row's values as canonical texts, in order, NULL as the empty text.
fn canonical_columns(table: &Table, alias: &str) -> Vec<String> {
    table.all_column_names().map(|name| format!("coalesce({alias}.{}::text, '')", quoted(name))).collect()
}

/// Fills the table of live totals with those of one target table: `$1` the job, `$2` definition hashes, `$3` a day or
/// NULL. The digest is the sum, in four parts of 32 bits, of the first 16 bytes of each row's SHA-256, as
/// [`RowDigest`](crate::curated::RowDigest) has it.
pub(super) fn count_live(place: &str, table: &Table) -> String {
    let bytes = canonical_columns(table, "t").into_iter().map(|text| {
        format!("int8send(octet_length(convert_to({text}, 'UTF8'))::bigint) || convert_to({text}, 'UTF8')")
    });
    let hash = format!("encode(sha256({}), 'hex')", bytes.collect::<Vec<_>>().join(" || "));
    let decimals: Vec<String> =
        table.decimal_columns().map(|index| quoted(&table.columns[index].name)).collect();
    let sums = table.decimal_columns().map(|index| {
        let name = &table.columns[index].name;
        format!("'{name}', coalesce(sum(x.{}), 0)::text", quoted(name))
    });
    let own: Vec<String> = decimals.iter().map(|name| format!(", t.{name}")).collect();
    let part =
        |from: u32| format!("sum(('x' || lpad(substr(x.h, {from}, 8), 16, '0'))::bit(64)::bigint)::bigint");
    format!(
        "INSERT INTO pg_temp.sluicegate_live
         SELECT '{name}', x.batch_id, count(*), jsonb_build_object({sums}), {}, {}, {}, {}
         FROM (SELECT t.batch_id::text AS batch_id, {hash} AS h{own}
               FROM {target} t
               JOIN (SELECT b.batch_id FROM sluicegate.batch b
                     WHERE b.job = $1 AND b.definition_hash = ANY($2::text[]) AND {OF_DAY} OFFSET 0) b
                 ON b.batch_id = t.batch_id
               OFFSET 0) x
         GROUP BY x.batch_id",
        part(1),
        part(9),
        part(17),
        part(25),
        name = table.name,
        sums = sums.collect::<Vec<_>>().join(", "),
        own = own.concat(),
        target = target(place, table),
    )
}

/// Shows each row of a batch in one table.
pub(super) fn rows_of_batch(
    client: &mut Transaction<'_>,
    place: &str,
    table: &Table,
    batch_id: &str,
    visit: &mut dyn FnMut(&[String]) -> Outcome<()>,
) -> Outcome<()> {
    let columns = canonical_columns(table, "t");
    let sql = format!("SELECT {} FROM {} t WHERE t.batch_id = $1", columns.join(", "), target(place, table));
    let mut rows = client.query_raw(&sql, &[&batch_id]).map_err(failure)?;
    while let Some(row) = rows.next().map_err(failure)? {
        let values: Vec<String> = (0..columns.len()).map(|index| row.get(index)).collect();
        visit(&values)?;
    }
    Ok(())
}

pub(super) fn strange_rows(
    client: &mut Transaction<'_>,
    place: &str,
    schema: &Schema,
    records: usize,
) -> Result<Vec<StrangeRows>, Error> {
    let mut found = Vec::new();
    for (index, table) in schema.tables.iter().enumerate() {
        let name = target(place, table);
        let sql = format!(
            "SELECT t.batch_id::text, count(*) FROM {name} t
             WHERE NOT EXISTS (SELECT 1 FROM sluicegate.batch b WHERE b.batch_id = t.batch_id)
             GROUP BY 1 ORDER BY 1 LIMIT {STRANGERS}"
        );
        for row in client.query(&sql, &[])? {
            let batch_id: String = row.get(0);
            let records = records_of(client, place, schema, index, &batch_id, records)?;
            found.push(StrangeRows { table: table.name.clone(), batch_id, rows: count(row.get(1)), records });
        }
    }
    Ok(found)
}

fn records_of(
    client: &mut Transaction<'_>,
    place: &str,
    schema: &Schema,
    table: usize,
    batch_id: &str,
    limit: usize,
) -> Result<Vec<Vec<(String, String)>>, Error> {
    let described = &schema.tables[table];
    let names: Vec<&str> = schema
        .record_key_columns(table)
        .into_iter()
        .map(|column| described.columns[column].name.as_str())
        .collect();
    let texts: Vec<String> =
        names.iter().map(|name| format!("coalesce(t.{}::text, '')", quoted(name))).collect();
    let sql = format!(
        "SELECT DISTINCT {0} FROM {1} t WHERE t.batch_id = $1 ORDER BY {0} LIMIT $2",
        texts.join(", "),
        target(place, described)
    );
    let rows = client.query(&sql, &[&batch_id, &bigint(limit as u64)])?;
    let record = |row: &postgres::Row| {
        names.iter().enumerate().map(|(index, name)| ((*name).to_owned(), row.get(index))).collect()
    };
    Ok(rows.iter().map(record).collect())
}

/// A loaded document whose records were all replaced is superseded, and its verdict stays.
pub(super) fn unsettled_documents(
    client: &mut Transaction<'_>,
    job: &str,
    limit: usize,
) -> Outcome<Vec<UnsettledDocument>> {
    let sql = format!(
        "SELECT v.batch_id::text, v.key::text, {}, v.outcome, d.outcome
         FROM sluicegate.verdict v
         LEFT JOIN sluicegate.document d
           ON d.job = v.job AND d.bucket = v.bucket AND d.key = v.key AND d.version = v.version
         WHERE v.job = $1 AND v.outcome NOT IN ('again', 'deferred')
           AND (d.outcome IS NULL
                    AND NOT (v.outcome IN ('missing', 'expired', 'superseded')
                             AND EXISTS (SELECT 1 FROM sluicegate.document o
                                         WHERE o.job = v.job AND o.bucket = v.bucket AND o.key = v.key
                                           AND o.etag || '@' = v.version AND o.sha256 IS NOT NULL))
                OR (d.batch_id = v.batch_id AND d.ordinal = v.ordinal AND d.outcome <> v.outcome
                    AND NOT (d.outcome = 'superseded' AND v.outcome = 'loaded'
                             AND EXISTS (SELECT 1 FROM sluicegate.replaced r WHERE r.batch_id = d.batch_id))
                    AND NOT (d.outcome = 'abandoned' AND v.outcome IN ('rejected', 'conflict', 'missing', 'expired'))))
         ORDER BY v.batch_id, v.ordinal LIMIT $2",
        time_text("d.landed_at")
    );
    let rows = client.query(&sql, &[&job, &bigint(limit as u64)]).map_err(failure)?;
    let document = |row: &postgres::Row| {
        let landed_at: Option<String> = row.get(2);
        Ok(UnsettledDocument {
            batch_id: row.get(0),
            key: row.get(1),
            landed_at: landed_at.as_deref().map(parse_time).transpose()?,
            verdict: row.get(3),
            outcome: row.get(4),
        })
    };
    rows.iter().map(document).collect()
}

/// Inserts one row, unless its key is there, or its record is there as another batch has it: a record is never a mixture of
/// two.
pub(super) fn put_back(
    transaction: &mut Transaction<'_>,
    place: &str,
    schema: &Schema,
    row: &LostRow,
) -> Result<u64, Error> {
    let table = &schema.tables[row.table];
    let names: Vec<String> = table.all_column_names().map(quoted).collect();
    let kinds = table.columns.iter().map(|column| column.kind).chain([ColumnType::Text; 2]);
    let marks = kinds.enumerate().map(|(index, kind)| format!("${}::text::{}", index + 1, sql_type(kind)));
    let marks: Vec<String> = marks.collect();
    let record = schema.record_key_columns(row.table);
    let same = schema
        .parent()
        .key_names()
        .zip(record)
        .map(|(name, index)| format!("{} = {} AND ", quoted(name), marks[index]));
    let sql = format!(
        "INSERT INTO {} ({}) SELECT {} WHERE NOT EXISTS (SELECT 1 FROM {} WHERE {} batch_id <> {}) ON CONFLICT DO NOTHING",
        target(place, table),
        names.join(", "),
        marks.join(", "),
        target(place, schema.parent()),
        same.collect::<String>(),
        marks[table.columns.len()],
    );
    let values: Vec<Option<&str>> =
        row.values.iter().map(|value| (!value.is_empty()).then_some(value.as_str())).collect();
    let parameters: Vec<&(dyn ToSql + Sync)> =
        values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
    transaction.execute(&sql, &parameters)
}
