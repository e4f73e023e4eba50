//! `on_conflict = "replace"` (§3 of the design): the record with the later `source_order` wins.
//!
//! Inside a batch the last member with a key has it, and what earlier members say about it is refused as `older`, before
//! anything is compared with the tables. So each key is inserted at most once by a batch, its CSV objects hold just the
//! rows that were inserted, and CSV − `replaced` = table (I7). A later record replaces also where its content is the
//! same, because the table must show how late the content was last said.

use std::collections::{BTreeSet, HashMap, HashSet};

use rusqlite::{Transaction, params};
use sha2::{Digest, Sha256};
use sluicegate_state::Timestamp;
use sluicegate_state::time::to_text;

use crate::curated::TableTotals;
use crate::failure::Outcome;
use crate::ports::warehouse::{DocumentEnd, DocumentVisitor, Flow, Verdict};
use crate::schema::Schema;
use crate::transform::rows::RecordView;
use crate::wording::{self, content_of};

use super::content::Existing;

/// Sixteen bytes of SHA-256: a key or a content, small enough for half a million of them.
pub(super) type Short = [u8; 16];

fn short<'a>(values: impl IntoIterator<Item = &'a str>) -> Short {
    let mut hasher = Sha256::new();
    for value in values {
        hasher.update((value.len() as u64).to_be_bytes());
        hasher.update(value.as_bytes());
    }
    let mut first = [0; 16];
    first.copy_from_slice(&hasher.finalize()[..16]);
    first
}

/// The key of a record.
pub(super) fn key_of(schema: &Schema, record: RecordView<'_>) -> Short {
    short(schema.parent().key.iter().map(|&column| record.parent().value(column)))
}

fn content_digest(schema: &Schema, record: RecordView<'_>) -> Short {
    let content = content_of(record, schema.tables.len());
    let counts: Vec<String> = content.iter().map(|rows| rows.len().to_string()).collect();
    let values = content.iter().flatten().flatten().map(String::as_str);
    short(counts.iter().map(String::as_str).chain(values))
}

/// Which members have which keys; found by a look at all documents before the first row is inserted.
pub(super) struct Members<'a> {
    schema: &'a Schema,
    known: &'a std::collections::BTreeMap<u32, Verdict>,
    /// The members with a key, in member order.
    holders: HashMap<Short, Vec<u32>>,
    /// The first key that a document holds twice with different content.
    clashes: HashMap<u32, Short>,
    current: HashMap<Short, Short>,
    clash: Option<Short>,
}

impl<'a> Members<'a> {
    pub(super) fn new(schema: &'a Schema, known: &'a std::collections::BTreeMap<u32, Verdict>) -> Self {
        let (holders, clashes, current) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { schema, known, holders, clashes, current, clash: None }
    }

    pub(super) fn finish(self) -> Holders {
        Holders { holders: self.holders, clashes: self.clashes, excluded: HashSet::new() }
    }
}

impl DocumentVisitor for Members<'_> {
    fn begin(&mut self, ordinal: u32) -> Outcome<Flow> {
        self.current.clear();
        self.clash = None;
        Ok(if self.known.contains_key(&ordinal) { Flow::Skip } else { Flow::Continue })
    }

    fn record(&mut self, _: u32, _: u64, record: RecordView<'_>) -> Outcome<()> {
        let key = key_of(self.schema, record);
        let content = content_digest(self.schema, record);
        if *self.current.entry(key).or_insert(content) != content {
            self.clash.get_or_insert(key);
        }
        Ok(())
    }

    fn end(&mut self, ordinal: u32, end: DocumentEnd<'_>) -> Outcome<()> {
        let keys = std::mem::take(&mut self.current);
        match (end, self.clash.take()) {
            (DocumentEnd::Rejected(_), _) => {}
            (DocumentEnd::Whole(_), Some(key)) => {
                self.clashes.insert(ordinal, key);
            }
            (DocumentEnd::Whole(_), None) => {
                for key in keys.into_keys() {
                    self.holders.entry(key).or_default().push(ordinal);
                }
            }
        }
        Ok(())
    }
}

/// Who has which key in a batch.
pub(super) struct Holders {
    holders: HashMap<Short, Vec<u32>>,
    clashes: HashMap<u32, Short>,
    /// Documents with a row that the database refuses: their keys are free.
    excluded: HashSet<u32>,
}

impl Holders {
    /// Whether the member is the last one with the key.
    pub(super) fn has(&self, ordinal: u32, key: &Short) -> bool {
        let last = self
            .holders
            .get(key)
            .and_then(|members| members.iter().rev().find(|member| !self.excluded.contains(member)));
        last.is_none_or(|last| *last == ordinal)
    }

    /// The key that the document holds twice with different content.
    pub(super) fn clash(&self, ordinal: u32) -> Option<&Short> {
        self.clashes.get(&ordinal)
    }

    /// Frees the keys of a document that was turned away; false where that was known.
    pub(super) fn exclude(&mut self, ordinal: u32) -> bool {
        !self.clashes.contains_key(&ordinal) && self.excluded.insert(ordinal)
    }
}

/// Keeps in the ledger what a record was that is about to be deleted.
pub(super) fn record_replaced(
    transaction: &Transaction<'_>,
    schema: &Schema,
    existing: &Existing,
    record_key: &str,
    by_batch_id: &str,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let unfit =
        |error: crate::curated::CuratedError| rusqlite::Error::ToSqlConversionFailure(Box::new(error));
    for (table, rows) in schema.tables.iter().zip(&existing.content) {
        let mut totals = TableTotals::new(table);
        for row in rows {
            let values = row.iter().map(String::as_str);
            totals.add_row(values, &existing.batch_id, &existing.source_order).map_err(unfit)?;
        }
        if totals.rows() == 0 {
            continue;
        }
        let sums = serde_json::to_string(&totals.sums()).expect("a map of strings is always JSON");
        transaction
            .prepare_cached(
                "INSERT INTO sluicegate_replaced (batch_id, table_name, record_key, source_order, rows, sums, digest,
                                                  by_batch_id, at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                existing.batch_id,
                table.name,
                record_key,
                existing.source_order,
                totals.rows() as i64,
                sums,
                totals.digest(),
                by_batch_id,
                to_text(now),
            ])?;
    }
    Ok(())
}

/// A loaded document is superseded once all its rows have been replaced. `sources` are batch and `source_order`.
pub(super) fn supersede(
    transaction: &Transaction<'_>,
    sources: &BTreeSet<(String, String)>,
    by_batch_id: &str,
) -> rusqlite::Result<()> {
    for (batch_id, source_order) in sources {
        let Some(ordinal) = wording::ordinal_of(source_order) else { continue };
        transaction
            .prepare_cached(
                "UPDATE sluicegate_document SET outcome = 'superseded', reason = ?4
                 WHERE batch_id = ?1 AND ordinal = ?2 AND outcome = 'loaded'
                   AND rows <= (SELECT sum(rows) FROM sluicegate_replaced WHERE batch_id = ?1 AND source_order = ?3)",
            )?
            .execute(params![batch_id, ordinal, source_order, wording::all_replaced(by_batch_id)])?;
    }
    Ok(())
}
