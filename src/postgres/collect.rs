//! Gathers the rows of a batch while its documents are shown: in memory as long as they are few, else in the temporary
//! tables. Half a million invoices in one document take no more memory than a thousand.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::failure::{Failure, Outcome};
use crate::ports::warehouse::{DocumentEnd, DocumentOutcome, DocumentVisitor, Flow, LoadRequest, Verdict};
use crate::schema::{ColumnType, Schema};
use crate::transform::rows::{RecordView, Rows};
use crate::wording::Note;

use super::claim::{Claimed, Claims};
use super::client::Transaction;
use super::copy::Piece;
use super::decide::Fate;
use super::error::Error;
use super::load::{kept, noted, turned_away};
use super::recent::Recent;
use super::sql::Statements;
use super::stage;

/// Text of rows that is held in memory before the temporary tables are used.
const MEMORY_BYTES: usize = 32 << 20;
/// Text of rows that is gathered between two trips to the temporary tables.
const SPILL_BYTES: usize = 6 << 20;

/// Where a row came from.
#[derive(Clone, Copy)]
pub(super) struct Owner {
    pub(super) ordinal: u32,
    pub(super) record: u32,
    pub(super) line: u32,
}

/// Rows of one table in memory.
pub(super) struct Buffer {
    pub(super) rows: Rows,
    pub(super) owners: Vec<Owner>,
}

/// What is known of a document that was shown.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) records: u64,
    pub(super) rows: u64,
    /// Why the transformation rejects it.
    pub(super) rejected: Option<Note>,
    pub(super) warnings: String,
}

impl Seen {
    /// The verdict about the document if the database has nothing against it.
    fn expected(&self, ordinal: u32) -> Verdict {
        match &self.rejected {
            Some(note) => turned_away(ordinal, DocumentOutcome::Rejected, note),
            None => kept(ordinal, self, Fate::default()),
        }
    }
}

/// The rows of a batch.
pub(super) struct Gathered {
    pub(super) buffers: Vec<Buffer>,
    /// Some rows are in the temporary tables already.
    pub(super) spilled: bool,
    pub(super) documents: BTreeMap<u32, Seen>,
}

impl Gathered {
    pub(super) fn new(schema: &Schema) -> Self {
        let buffer = |columns: usize| Buffer { rows: Rows::new(columns), owners: Vec::new() };
        let buffers = schema.tables.iter().map(|table| buffer(table.columns.len())).collect();
        Self { buffers, spilled: false, documents: BTreeMap::new() }
    }

    fn bytes(&self) -> usize {
        let owners = |buffer: &Buffer| buffer.owners.len() * size_of::<Owner>();
        self.buffers.iter().map(|buffer| buffer.rows.text_bytes() + owners(buffer)).sum()
    }

    /// Whether the transformation took the document whole.
    pub(super) fn is_whole(&self, ordinal: u32) -> bool {
        self.documents.get(&ordinal).is_some_and(|seen| seen.rejected.is_none())
    }

    /// Whether there is a row to insert.
    pub(super) fn has_rows(&self) -> bool {
        self.documents.values().any(|seen| seen.rejected.is_none() && seen.rows > 0)
    }

    /// Copies all rows of whole documents into the target tables: tables in job order, sorted by key.
    pub(super) fn copy_direct(
        &self,
        transaction: &mut Transaction<'_>,
        statements: &Statements<'_>,
        request: &LoadRequest,
    ) -> Result<(), Error> {
        for (table, buffer) in self.buffers.iter().enumerate() {
            let mut piece = Piece::new(statements.copy_target(table));
            for index in self.sorted(statements.schema, table) {
                let ordinal = buffer.owners[index as usize].ordinal;
                let source_order = request.documents[ordinal as usize].source_order.as_str();
                let values = buffer.rows.row(index as usize).values();
                piece.line(values.chain([request.batch_id.as_str(), source_order]));
                piece.send_if_whole(transaction)?;
            }
            piece.send(transaction)?;
        }
        Ok(())
    }

    /// The rows of whole documents in the order of their keys, which is the order of locks.
    fn sorted(&self, schema: &Schema, table: usize) -> Vec<u32> {
        let buffer = &self.buffers[table];
        let key: Vec<(usize, ColumnType)> = schema.tables[table]
            .key
            .iter()
            .map(|&column| (column, schema.tables[table].columns[column].kind))
            .collect();
        let mut order: Vec<u32> = (0..buffer.owners.len() as u32)
            .filter(|&index| self.is_whole(buffer.owners[index as usize].ordinal))
            .collect();
        order.sort_by(|&a, &b| {
            let (a, b) = (buffer.rows.row(a as usize), buffer.rows.row(b as usize));
            key.iter()
                .map(|&(column, kind)| compare(kind, a.value(column), b.value(column)))
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal)
        });
        order
    }
}

/// The order of PostgreSQL for the type; text bytewise, as COLLATE "C" does.
fn compare(kind: ColumnType, a: &str, b: &str) -> Ordering {
    match kind {
        ColumnType::Integer => a.parse::<i64>().ok().cmp(&b.parse::<i64>().ok()),
        ColumnType::Decimal { .. } => {
            let value = |text: &str| text.parse::<rust_decimal::Decimal>().ok();
            value(a).cmp(&value(b))
        }
        _ => a.cmp(b),
    }
}

/// Sees the documents of a batch and gathers their rows.
pub(super) struct Collector<'a, 't> {
    pub(super) transaction: &'a mut Transaction<'t>,
    pub(super) statements: &'a Statements<'a>,
    pub(super) request: &'a LoadRequest,
    pub(super) recent: &'a Recent,
    /// None as long as everything is in memory: then nothing is claimed before it is known what to claim it as.
    pub(super) claimed: Option<Claimed>,
    pub(super) gathered: Gathered,
    pub(super) current: Seen,
}

impl Collector<'_, '_> {
    fn spill_if_large(&mut self) -> Outcome<()> {
        let limit = if self.gathered.spilled { SPILL_BYTES } else { MEMORY_BYTES };
        if self.gathered.bytes() < limit {
            return Ok(());
        }
        self.claim(&BTreeMap::new())?;
        let spilled = stage::spill(self.transaction, self.statements, self.request, &mut self.gathered);
        spilled.map_err(|error| self.failure(error))
    }

    /// Claims the documents, unless they are claimed.
    fn claim(&mut self, expected: &BTreeMap<u32, Verdict>) -> Outcome<()> {
        if self.claimed.is_some() {
            return Ok(());
        }
        let Self { transaction, request, recent, .. } = self;
        let claimed = Claims { transaction, request, recent, expected }.claim();
        let claimed = claimed.map_err(|error| self.failure(error))?;
        // What another batch has, and what could not be read, takes part no more.
        self.gathered.documents.retain(|ordinal, _| !claimed.known.contains_key(ordinal));
        self.claimed = Some(claimed);
        Ok(())
    }

    /// Everything was shown.
    pub(super) fn finish(mut self) -> Outcome<(Claimed, Gathered)> {
        let expected =
            self.gathered.documents.iter().map(|(ordinal, seen)| (*ordinal, seen.expected(*ordinal)));
        self.claim(&expected.collect())?;
        Ok((self.claimed.unwrap_or_default(), self.gathered))
    }

    fn is_known(&self, ordinal: u32) -> bool {
        self.claimed.as_ref().is_some_and(|claimed| claimed.known.contains_key(&ordinal))
    }

    fn failure(&self, error: Error) -> Failure {
        noted(self.recent, self.request, error)
    }
}

/// A small file that unpacks to blank lines has more lines than any number here; the place of a record behind them is told
/// as well as it can be.
fn line(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl DocumentVisitor for Collector<'_, '_> {
    fn begin(&mut self, ordinal: u32) -> Outcome<Flow> {
        if self.is_known(ordinal) {
            return Ok(Flow::Skip);
        }
        self.current = Seen::default();
        Ok(Flow::Continue)
    }

    fn record(&mut self, ordinal: u32, index: u64, record: RecordView<'_>) -> Outcome<()> {
        if self.is_known(ordinal) {
            // It was claimed in vain while it was being shown.
            return Ok(());
        }
        let number = u32::try_from(index).map_err(|_| {
            Failure::permanent("a document of more than four billion records cannot be loaded")
        })?;
        let owner = Owner { ordinal, record: number, line: line(record.line) };
        for (table, buffer) in self.gathered.buffers.iter_mut().enumerate() {
            for row in record.rows(table) {
                buffer.rows.push_row(row.values());
                buffer.owners.push(owner);
                self.current.rows += 1;
            }
        }
        self.current.records += 1;
        self.spill_if_large()
    }

    fn end(&mut self, ordinal: u32, end: DocumentEnd<'_>) -> Outcome<()> {
        let mut seen = std::mem::take(&mut self.current);
        match end {
            DocumentEnd::Rejected(reject) => seen.rejected = Some(Note::from(reject)),
            DocumentEnd::Whole(summary) => {
                let warnings: Vec<String> = summary.warnings.iter().map(ToString::to_string).collect();
                seen.warnings = warnings.join("; ");
            }
        }
        if !self.is_known(ordinal) {
            self.gathered.documents.insert(ordinal, seen);
        }
        Ok(())
    }
}
