//! `on_conflict = "replace"`: what a later record overwrites goes to `replaced`, with its control totals.

use std::collections::BTreeMap;

use crate::curated::TableTotals;
use crate::failure::Failure;
use crate::ports::warehouse::LoadRequest;
use crate::wording;

use super::client::Transaction;
use super::error::Error;
use super::merge::{Trouble, canonical};
use super::sql::Statements;
use super::{bigint, integer};

/// Records that are overwritten at a time.
const PAGE: usize = 1_000;

/// A record's rows of one table that were there.
struct Displaced {
    record_key: String,
    batch_id: String,
    source_order: String,
    totals: TableTotals,
}

/// Deletes the records whose collisions are `seqs`, and keeps what they were. False where one of them is not there any
/// more, because another load replaced it in between.
pub(super) fn displace(
    transaction: &mut Transaction<'_>,
    statements: &Statements<'_>,
    request: &LoadRequest,
    seqs: &[i64],
) -> Result<bool, Trouble> {
    for page in seqs.chunks(PAGE) {
        for (index, table) in statements.schema.tables.iter().enumerate() {
            let mut displaced: BTreeMap<i64, Displaced> = BTreeMap::new();
            for row in transaction.query(&statements.delete_known(index), &[&page])? {
                let entry = displaced.entry(row.get(0)).or_insert_with(|| Displaced {
                    record_key: row.get(1),
                    batch_id: row.get(2),
                    source_order: row.get(3),
                    totals: TableTotals::new(table),
                });
                let values = canonical(&row, 4);
                let values = values.iter().map(String::as_str);
                entry.totals.add_row(values, &entry.batch_id, &entry.source_order).map_err(Failure::from)?;
            }
            if index == 0 && displaced.len() != page.len() {
                return Ok(false);
            }
            record(transaction, &table.name, displaced.into_values().collect(), request)?;
        }
    }
    Ok(true)
}

fn record(
    transaction: &mut Transaction<'_>,
    table: &str,
    displaced: Vec<Displaced>,
    request: &LoadRequest,
) -> Result<(), Error> {
    let batches: Vec<&str> = displaced.iter().map(|row| row.batch_id.as_str()).collect();
    let keys: Vec<&str> = displaced.iter().map(|row| row.record_key.as_str()).collect();
    let orders: Vec<&str> = displaced.iter().map(|row| row.source_order.as_str()).collect();
    let rows: Vec<i64> = displaced.iter().map(|row| bigint(row.totals.rows())).collect();
    let json =
        |row: &Displaced| serde_json::to_string(&row.totals.sums()).expect("a map of strings is always JSON");
    let sums: Vec<String> = displaced.iter().map(json).collect();
    let digests: Vec<String> = displaced.iter().map(|row| row.totals.digest()).collect();
    transaction
        .execute(
            "INSERT INTO sluicegate.replaced (batch_id, table_name, record_key, source_order, rows, sums, digest,
                                              by_batch_id, at)
             SELECT u.batch_id, $1, u.record_key, u.source_order, u.rows, u.sums::jsonb, u.digest, $2,
                    (SELECT loaded_at FROM sluicegate.batch WHERE batch_id = $2)
             FROM unnest($3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[])
                  u (batch_id, record_key, source_order, rows, sums, digest)",
            &[&table, &request.batch_id, &batches, &keys, &orders, &rows, &sums, &digests],
        )
        .map(drop)
}

/// A loaded document is superseded once all its rows have been replaced. Its row is locked before it is asked how many
/// have been: of two loads that replace the last two records, the second one sees both.
pub(super) fn supersede(transaction: &mut Transaction<'_>, request: &LoadRequest) -> Result<(), Error> {
    if !request.replace {
        return Ok(());
    }
    let sources = transaction.query(
        "SELECT DISTINCT batch_id::text, source_order::text FROM sluicegate.replaced r
         WHERE by_batch_id = $1 ORDER BY 1, 2",
        &[&request.batch_id],
    )?;
    let (mut batches, mut ordinals, mut orders) = (Vec::new(), Vec::new(), Vec::new());
    for row in sources {
        let source_order: String = row.get(1);
        if let Some(ordinal) = wording::ordinal_of(&source_order) {
            batches.push(row.get::<_, String>(0));
            ordinals.push(integer(ordinal));
            orders.push(source_order);
        }
    }
    transaction.query(
        "SELECT 1 FROM sluicegate.document d JOIN unnest($1::text[], $2::int[]) u (batch_id, ordinal)
           ON d.batch_id = u.batch_id AND d.ordinal = u.ordinal ORDER BY d.batch_id, d.ordinal FOR UPDATE OF d",
        &[&batches, &ordinals],
    )?;
    transaction
        .execute(
            "UPDATE sluicegate.document d SET outcome = 'superseded', reason = $4
             FROM unnest($1::text[], $2::int[], $3::text[]) u (batch_id, ordinal, source_order)
             WHERE d.batch_id = u.batch_id AND d.ordinal = u.ordinal AND d.outcome = 'loaded'
               AND d.rows <= (SELECT sum(r.rows) FROM sluicegate.replaced r
                              WHERE r.batch_id = u.batch_id AND r.source_order = u.source_order)",
            &[&batches, &ordinals, &orders, &wording::all_replaced(&request.batch_id)],
        )
        .map(drop)
}
