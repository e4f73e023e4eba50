//! A batch whose rows are not as they were loaded: its archive is read again, and each row compared.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::NaiveDate;
use sha2::{Digest, Sha256};
use sluicegate_state::{Batch, BatchState, Timestamp};

use crate::failure::{Failure, Outcome};
use crate::job::Job;
use crate::pipeline::archived::open_archived;
use crate::pipeline::context::Context;
use crate::pipeline::documents::ArchivedDocuments;
use crate::pipeline::load::load_request;
use crate::ports::proof::LostRow;
use crate::ports::warehouse::{
    DocumentEnd, DocumentOutcome, DocumentSource, DocumentVisitor, Flow, LoadDocument, LoadedBatch, Verdict,
    Warehouse,
};
use crate::schema::Schema;
use crate::transform::Definition;
use crate::transform::rows::RecordView;

use super::finding::{Finding, Kind, counted};
use super::model::RECORDS_SHOWN;

type Short = [u8; 16];

fn short<'a>(values: impl Iterator<Item = &'a str>) -> Short {
    let mut hasher = Sha256::new();
    for value in values {
        hasher.update((value.len() as u64).to_be_bytes());
        hasher.update(value.as_bytes());
    }
    let mut first = [0; 16];
    first.copy_from_slice(&hasher.finalize()[..16]);
    first
}

/// The batch as the pipeline names it; only id and job matter for reading it back.
pub(super) fn named(job: &str, batch_id: &str) -> Batch {
    let never = Timestamp::UNIX_EPOCH;
    Batch {
        batch_id: batch_id.to_owned(),
        job: job.to_owned(),
        state: BatchState::Loaded,
        failed_from: None,
        documents: 0,
        bytes: 0,
        estimated_rows: 0,
        oldest_event_time: never,
        earliest_expiry: None,
        early: false,
        sealed_at: never,
        incarnation: String::new(),
        definition_hash: String::new(),
        parents: Vec::new(),
        replay: 0,
        deferred: 0,
        attempts: 0,
        failures: 0,
        next_try_at: None,
        last_error: None,
        changed_at: never,
    }
}

/// What is known of a row that should be there.
#[derive(Clone, Copy)]
struct Should {
    content: Short,
    ordinal: u32,
}

/// A row that is not as it should be.
#[derive(Debug, Clone)]
struct Other {
    kind: Kind,
    table: usize,
    key: Short,
    ordinal: Option<u32>,
    content: Short,
    /// What is there; empty where the row is gone.
    there: Vec<String>,
}

/// The rows of a batch that are not as they were loaded.
pub(super) struct Compared {
    schema: Schema,
    documents: Vec<LoadDocument>,
    others: Vec<Other>,
    /// What was loaded, of the rows that differ, as canonical text.
    loaded: HashMap<(usize, Short), Vec<String>>,
}

/// Reads the archive and compares; `everything`: keep the values of all rows that are gone, and not only of those shown.
pub(super) fn compare(
    context: &Context,
    warehouse: &mut dyn Warehouse,
    job: &Job,
    batch_id: &str,
    everything: bool,
) -> Outcome<Compared> {
    let loaded = warehouse
        .loaded_batch(batch_id)?
        .ok_or_else(|| Failure::permanent(format!("the ledger knows no batch {batch_id}")))?;
    let definition = Definition::from_text(&loaded.definition_text)
        .map_err(|error| Failure::permanent(format!("its definition cannot be read: {error}")))?;
    let batch = named(&job.name, batch_id);
    let mut archived = open_archived(context, &batch)?;
    let request = load_request(context, job, &batch, &archived)?;
    let source = ArchivedDocuments::new(&definition, &archived.outcomes, &mut archived.content);
    let schema = definition.schema().clone();
    let replaced = warehouse.proof().replaced_keys(batch_id)?;
    let mut others = Vec::new();
    for table in 0..schema.tables.len() {
        let mut should: HashMap<Short, Should> = HashMap::new();
        visit(&source, &schema, &loaded, &request.documents, &replaced, &mut |at, ordinal, row| {
            if at == table {
                should.insert(key_of(&schema, table, row), Should { content: content_of(row), ordinal });
            }
        })?;
        warehouse.proof().rows_of_batch(&schema, table, batch_id, &mut |row| {
            others.extend(other(&schema, table, &mut should, row));
            Ok(())
        })?;
        others.extend(should.into_iter().map(|(key, should)| Other {
            kind: Kind::DeletedRows,
            table,
            key,
            ordinal: Some(should.ordinal),
            content: should.content,
            there: Vec::new(),
        }));
    }
    others.sort_by_key(|other| (other.kind, other.table, other.ordinal, other.key));
    let limit = if everything { usize::MAX } else { 4 * RECORDS_SHOWN };
    let wanted: BTreeSet<(usize, Short)> =
        others.iter().take(limit).map(|other| (other.table, other.key)).collect();
    let mut values = HashMap::new();
    visit(&source, &schema, &loaded, &request.documents, &replaced, &mut |table, _, row| {
        let place = (table, key_of(&schema, table, row));
        if wanted.contains(&place) {
            values.insert(place, row.iter().map(|value| (*value).to_owned()).collect());
        }
    })?;
    Ok(Compared { schema, documents: request.documents, others, loaded: values })
}

/// What is wrong with a row that is there; what is right is taken out of `should`.
fn other(
    schema: &Schema,
    table: usize,
    should: &mut HashMap<Short, Should>,
    row: &[String],
) -> Option<Other> {
    let values: Vec<&str> = row.iter().map(String::as_str).collect();
    let key = key_of(schema, table, &values);
    let found = should.remove(&key);
    let kind = match found {
        Some(should) if should.content == content_of(&values) => return None,
        Some(_) => Kind::ChangedRows,
        None => Kind::InsertedRows,
    };
    let ordinal = found.map(|should| should.ordinal);
    Some(Other { kind, table, key, ordinal, content: content_of(&values), there: row.to_vec() })
}

fn key_of(schema: &Schema, table: usize, row: &[&str]) -> Short {
    short(schema.tables[table].key.iter().map(|&column| row[column]))
}

fn content_of(row: &[&str]) -> Short {
    short(row.iter().copied())
}

/// Shows every row that the load inserted and that nothing replaced: table, member, values with bookkeeping.
fn visit(
    source: &dyn DocumentSource,
    schema: &Schema,
    loaded: &LoadedBatch,
    documents: &[LoadDocument],
    replaced: &BTreeSet<String>,
    row: &mut dyn FnMut(usize, u32, &[&str]),
) -> Outcome<()> {
    let verdicts = loaded.verdicts.iter().map(|verdict| (verdict.ordinal, verdict)).collect();
    source.visit(&mut Loaded { schema, batch_id: &loaded.batch_id, verdicts, documents, replaced, row })
}

struct Loaded<'a> {
    schema: &'a Schema,
    batch_id: &'a str,
    verdicts: BTreeMap<u32, &'a Verdict>,
    documents: &'a [LoadDocument],
    replaced: &'a BTreeSet<String>,
    row: &'a mut dyn FnMut(usize, u32, &[&str]),
}

impl Loaded<'_> {
    fn is_replaced(&self, record: RecordView<'_>) -> bool {
        if self.replaced.is_empty() {
            return false;
        }
        let parent = self.schema.parent();
        let pairs = parent.key.iter().map(|&column| {
            (parent.columns[column].name.clone(), serde_json::Value::from(record.parent().value(column)))
        });
        self.replaced.contains(&serde_json::Value::Object(pairs.collect()).to_string())
    }
}

impl DocumentVisitor for Loaded<'_> {
    fn begin(&mut self, ordinal: u32) -> Outcome<Flow> {
        let loaded =
            self.verdicts.get(&ordinal).is_some_and(|verdict| verdict.outcome == DocumentOutcome::Loaded);
        Ok(if loaded { Flow::Continue } else { Flow::Skip })
    }

    fn record(&mut self, ordinal: u32, index: u64, record: RecordView<'_>) -> Outcome<()> {
        if self.verdicts[&ordinal].refused.binary_search(&index).is_ok() || self.is_replaced(record) {
            return Ok(());
        }
        let source_order = &self.documents[ordinal as usize].source_order;
        for table in 0..self.schema.tables.len() {
            for row in record.rows(table) {
                let values: Vec<&str> = row.values().chain([self.batch_id, source_order.as_str()]).collect();
                (self.row)(table, ordinal, &values);
            }
        }
        Ok(())
    }

    fn end(&mut self, _ordinal: u32, _end: DocumentEnd<'_>) -> Outcome<()> {
        Ok(())
    }
}

impl Compared {
    /// The rows that are gone, parents first.
    pub(super) fn lost_rows(&self) -> Vec<LostRow> {
        let gone = self.others.iter().filter(|other| other.kind == Kind::DeletedRows);
        gone.filter_map(|other| {
            let values = self.loaded.get(&(other.table, other.key))?.clone();
            Some(LostRow { table: other.table, values })
        })
        .collect()
    }

    /// One finding for each kind and day. `home` is the day for rows of which no document is known.
    pub(super) fn findings(&self, batch_id: &str, home: NaiveDate) -> Vec<Finding> {
        let mut groups: BTreeMap<(Kind, NaiveDate), Vec<&Other>> = BTreeMap::new();
        for other in &self.others {
            let day = other.ordinal.map_or(home, |ordinal| self.documents[ordinal as usize].day);
            groups.entry((other.kind, day)).or_default().push(other);
        }
        groups.into_iter().map(|((kind, day), others)| self.finding(batch_id, kind, day, &others)).collect()
    }

    fn finding(&self, batch_id: &str, kind: Kind, day: NaiveDate, others: &[&Other]) -> Finding {
        let digest = others.iter().fold(0_u128, |sum, other| {
            let part = |bytes: &Short| u128::from_be_bytes(*bytes);
            sum.wrapping_add(part(&other.content)).wrapping_add(part(&other.key).wrapping_mul(3))
        });
        let mut records: BTreeSet<BTreeMap<String, String>> = BTreeSet::new();
        let mut unshown: BTreeSet<Short> = BTreeSet::new();
        for other in others {
            match self.record(other) {
                Some(record) if records.len() < RECORDS_SHOWN || records.contains(&record) => {
                    records.insert(record);
                }
                _ => {
                    unshown.insert(other.key);
                }
            }
        }
        let documents = others
            .iter()
            .filter_map(|other| Some(self.documents[other.ordinal? as usize].key.clone()))
            .collect();
        let mut finding =
            Finding::new(day, kind, format!("{digest:032x}"), self.detail(kind, others)).of_batch(batch_id);
        finding.records = records.into_iter().collect();
        finding.more = unshown.len() as u64;
        finding.count = others.len() as u64;
        finding.with_documents(documents)
    }

    fn record(&self, other: &Other) -> Option<BTreeMap<String, String>> {
        let loaded = self.loaded.get(&(other.table, other.key));
        let values = if other.there.is_empty() { loaded? } else { &other.there };
        let columns = self.schema.record_key_columns(other.table);
        let table = &self.schema.tables[other.table];
        Some(columns.into_iter().map(|c| (table.columns[c].name.clone(), values[c].clone())).collect())
    }

    fn detail(&self, kind: Kind, others: &[&Other]) -> String {
        let mut by_table: BTreeMap<usize, u64> = BTreeMap::new();
        for other in others {
            *by_table.entry(other.table).or_default() += 1;
        }
        let parts: Vec<String> = by_table
            .iter()
            .map(|(table, count)| {
                format!("{} of {}", counted(*count, "row"), self.schema.tables[*table].name)
            })
            .collect();
        let parts = parts.join(" and ");
        match kind {
            Kind::DeletedRows => {
                format!("{parts}: loaded, and not there any more; somebody deleted them by hand")
            }
            Kind::ChangedRows => {
                format!("{parts}: not as loaded; somebody changed them by hand: {}", self.differences(others))
            }
            _ => format!("{parts}: no document of this batch holds them; somebody inserted them by hand"),
        }
    }

    /// What the first changed rows say, and what they said when they were loaded.
    fn differences(&self, others: &[&Other]) -> String {
        let mut told = Vec::new();
        for other in others.iter().take(3) {
            let Some(loaded) = self.loaded.get(&(other.table, other.key)) else { continue };
            let names = self.schema.tables[other.table].all_column_names();
            for (name, (is, was)) in
                names.zip(other.there.iter().zip(loaded)).filter(|(_, (is, was))| is != was)
            {
                told.push(format!("{name} is {is:?} and was loaded as {was:?}"));
            }
        }
        told.truncate(6);
        told.join("; ")
    }
}
