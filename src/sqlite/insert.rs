//! Inserts the rows of claimed documents, one document a savepoint, and decides about each.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Transaction, params};
use sluicegate_state::Timestamp;

use crate::failure::Outcome;
use crate::ports::warehouse::{
    DocumentEnd, DocumentOutcome, DocumentVisitor, Flow, LoadDocument, LoadRequest, Verdict,
};
use crate::schema::Schema;
use crate::transform::rows::RecordView;
use crate::wording::{self, Content, Note, content_of};

use super::content::{Existing, Statements};
use super::failure;
use super::replace::{self, Holders};

/// What is known of the document being inserted.
#[derive(Default)]
struct Current {
    rows: u64,
    refused: Vec<u64>,
    /// The batch that has the first record that was skipped.
    other_batch: Option<String>,
    /// The batch that has the first record that was skipped because it is older.
    later_batch: Option<String>,
    /// What the document said first about the key that it holds twice with different content.
    said_first: Option<Content>,
    /// The document's fate, decided before its end.
    decided: Option<(DocumentOutcome, Note)>,
}

/// Inserts documents one by one, each under a savepoint.
pub(super) struct Inserter<'a> {
    transaction: &'a Transaction<'a>,
    request: &'a LoadRequest,
    statements: Statements<'a>,
    verdicts: BTreeMap<u32, Verdict>,
    current: Current,
    now: Timestamp,
    /// With `on_conflict = "replace"`: who has which key.
    holders: Option<&'a Holders>,
    /// Batch and `source_order` of what was replaced.
    displaced: BTreeSet<(String, String)>,
    /// The documents that were turned away for what the tables said.
    turned_away: Vec<u32>,
}

/// What an inserter found out.
pub(super) struct Inserted {
    /// What was decided, by ordinal.
    pub(super) verdicts: BTreeMap<u32, Verdict>,
    /// Batch and `source_order` of what was replaced.
    pub(super) displaced: BTreeSet<(String, String)>,
    /// The documents that were turned away for what the tables said.
    pub(super) turned_away: Vec<u32>,
}

impl<'a> Inserter<'a> {
    /// An inserter for the documents that `known` does not decide about.
    pub(super) fn new(
        transaction: &'a Transaction<'a>,
        request: &'a LoadRequest,
        schema: &'a Schema,
        known: BTreeMap<u32, Verdict>,
        now: Timestamp,
        holders: Option<&'a Holders>,
    ) -> Self {
        Self {
            transaction,
            request,
            statements: Statements::new(schema),
            verdicts: known,
            current: Current::default(),
            now,
            holders,
            displaced: BTreeSet::new(),
            turned_away: Vec::new(),
        }
    }

    /// What was found out.
    pub(super) fn finish(self) -> Inserted {
        let Self { verdicts, displaced, turned_away, .. } = self;
        Inserted { verdicts, displaced, turned_away }
    }
}

impl Inserter<'_> {
    fn document(&self, ordinal: u32) -> &LoadDocument {
        &self.request.documents[ordinal as usize]
    }

    /// Inserts a record, or finds it there. An error is the database's refusal of a row.
    fn insert_record(&mut self, ordinal: u32, index: u64, record: RecordView<'_>) -> rusqlite::Result<()> {
        if let Some(holders) = self.holders {
            let key = replace::key_of(self.statements.schema, record);
            if let Some(twice) = holders.clash(ordinal) {
                if key == *twice {
                    self.compare_with_first(record);
                }
                return Ok(());
            }
            if !holders.has(ordinal, &key) {
                let batch_id = self.request.batch_id.clone();
                return self.refuse(ordinal, index, record, "older", batch_id);
            }
        }
        let bookkeeping = [&*self.request.batch_id, &*self.document(ordinal).source_order];
        if self.statements.insert(self.transaction, 0, record.parent(), bookkeeping)? == 0 {
            return self.meet_existing(ordinal, index, record);
        }
        self.insert_children(ordinal, record)
    }

    fn insert_children(&mut self, ordinal: u32, record: RecordView<'_>) -> rusqlite::Result<()> {
        let bookkeeping = [&*self.request.batch_id, &*self.document(ordinal).source_order];
        let mut rows = 1;
        for table in 1..self.statements.schema.tables.len() {
            for row in record.rows(table) {
                self.statements.insert(self.transaction, table, row, bookkeeping)?;
                rows += 1;
            }
        }
        self.current.rows += rows;
        Ok(())
    }

    fn meet_existing(&mut self, ordinal: u32, index: u64, record: RecordView<'_>) -> rusqlite::Result<()> {
        let existing = self
            .statements
            .existing(self.transaction, record)?
            .expect("a key that conflicts is there, in the same transaction");
        let difference = self.statements.difference(&existing, record);
        let own = &self.document(ordinal).source_order;
        let foreign = self.request.replace && existing.source_order != *own;
        if foreign && *own > existing.source_order {
            return self.replace(ordinal, record, existing);
        }
        match difference {
            None => self.refuse(ordinal, index, record, "duplicate", existing.batch_id),
            Some(_) if foreign => self.refuse(ordinal, index, record, "older", existing.batch_id),
            Some(difference) => {
                self.current.decided = Some(self.collision(ordinal, record, &existing, &difference));
                Ok(())
            }
        }
    }

    /// The record that arrives is later than the one that is there.
    fn replace(&mut self, ordinal: u32, record: RecordView<'_>, existing: Existing) -> rusqlite::Result<()> {
        let key = self.statements.record_key_json(record);
        let (schema, batch_id) = (self.statements.schema, &self.request.batch_id);
        replace::record_replaced(self.transaction, schema, &existing, &key, batch_id, self.now)?;
        self.statements.delete(self.transaction, record)?;
        let bookkeeping = [&*self.request.batch_id, &*self.document(ordinal).source_order];
        self.statements.insert(self.transaction, 0, record.parent(), bookkeeping)?;
        self.displaced.insert((existing.batch_id, existing.source_order));
        self.insert_children(ordinal, record)
    }

    /// The document holds this record's key twice with different content; the second of the two says so.
    fn compare_with_first(&mut self, record: RecordView<'_>) {
        let here = content_of(record, self.statements.schema.tables.len());
        let there = self.current.said_first.get_or_insert_with(|| here.clone());
        if let Some(difference) = wording::difference(self.statements.schema, there, &here) {
            let key = self.statements.record_key(record);
            let reason = wording::held_twice(&key, &difference);
            self.current.decided = Some((DocumentOutcome::Rejected, Note::about(record.line, reason, key)));
        }
    }

    fn refuse(
        &mut self,
        ordinal: u32,
        index: u64,
        record: RecordView<'_>,
        reason: &str,
        other_batch: String,
    ) -> rusqlite::Result<()> {
        self.transaction
            .prepare_cached(
                "INSERT INTO sluicegate_refused (batch_id, ordinal, record, table_name, record_key, reason, other_batch_id)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                self.request.batch_id,
                ordinal,
                index as i64,
                self.statements.schema.parent().name,
                self.statements.record_key_json(record),
                reason,
                other_batch,
            ])?;
        self.current.refused.push(index);
        if reason == "older" {
            self.current.later_batch.get_or_insert_with(|| other_batch.clone());
        }
        self.current.other_batch.get_or_insert(other_batch);
        Ok(())
    }

    /// The same key with other content: in one document nobody can say which is right; elsewhere it is a conflict.
    fn collision(
        &self,
        ordinal: u32,
        record: RecordView<'_>,
        existing: &Existing,
        difference: &str,
    ) -> (DocumentOutcome, Note) {
        let key = self.statements.record_key(record);
        let own = existing.source_order == self.document(ordinal).source_order;
        let (outcome, reason) = if own {
            (DocumentOutcome::Rejected, wording::held_twice(&key, difference))
        } else {
            (DocumentOutcome::Conflict, wording::conflict(&key, &existing.batch_id, difference))
        };
        (outcome, Note::about(record.line, reason, key))
    }

    fn roll_back(&self) -> Outcome<()> {
        self.transaction.execute_batch("ROLLBACK TO document; RELEASE document").map_err(failure)
    }

    fn note(&self, ordinal: u32, note: &Note) -> Outcome<()> {
        let insert = || {
            self.transaction
                .prepare_cached(
                    "INSERT INTO sluicegate_reject (batch_id, ordinal, key, line, place, reason, text)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )?
                .execute(params![
                    self.request.batch_id,
                    ordinal,
                    self.document(ordinal).key,
                    note.line.map(|line| line as i64),
                    note.place,
                    note.reason,
                    note.text,
                ])
        };
        insert().map(drop).map_err(failure)
    }

    /// The document leaves no row; why is kept.
    fn turn_away(&mut self, ordinal: u32, outcome: DocumentOutcome, note: &Note) -> Outcome<()> {
        self.roll_back()?;
        self.note(ordinal, note)?;
        self.decide(ordinal, outcome, note.verdict_reason(), 0, Vec::new());
        Ok(())
    }

    fn decide(
        &mut self,
        ordinal: u32,
        outcome: DocumentOutcome,
        reason: String,
        rows: u64,
        refused: Vec<u64>,
    ) {
        self.verdicts.insert(ordinal, Verdict { ordinal, outcome, reason, rows, refused });
    }

    fn keep(&mut self, ordinal: u32, current: Current, warnings: String) -> Outcome<()> {
        self.transaction.execute_batch("RELEASE document").map_err(failure)?;
        if current.rows == 0 {
            let (outcome, reason) = match &current.later_batch {
                Some(batch) => (DocumentOutcome::Superseded, wording::older(batch)),
                None => (DocumentOutcome::Duplicate, wording::duplicate(current.other_batch.as_deref())),
            };
            self.decide(ordinal, outcome, reason, 0, Vec::new());
        } else {
            self.decide(ordinal, DocumentOutcome::Loaded, warnings, current.rows, current.refused);
        }
        Ok(())
    }
}

impl DocumentVisitor for Inserter<'_> {
    fn begin(&mut self, ordinal: u32) -> Outcome<Flow> {
        if self.verdicts.contains_key(&ordinal) {
            return Ok(Flow::Skip);
        }
        self.current = Current::default();
        self.transaction.execute_batch("SAVEPOINT document").map_err(failure)?;
        Ok(Flow::Continue)
    }

    fn record(&mut self, ordinal: u32, index: u64, record: RecordView<'_>) -> Outcome<()> {
        if self.current.decided.is_some() {
            return Ok(());
        }
        match self.insert_record(ordinal, index, record) {
            Ok(()) => {}
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
                let key = self.statements.record_key(record);
                let note = Note::about(record.line, wording::refused_by_database(error), key);
                self.current.decided = Some((DocumentOutcome::Rejected, note));
            }
            Err(error) => return Err(failure(error)),
        }
        Ok(())
    }

    fn end(&mut self, ordinal: u32, end: DocumentEnd<'_>) -> Outcome<()> {
        let current = std::mem::take(&mut self.current);
        match (end, current.decided) {
            (DocumentEnd::Rejected(reject), _) => {
                self.turn_away(ordinal, DocumentOutcome::Rejected, &Note::from(reject))
            }
            (_, Some((outcome, note))) => {
                self.turned_away.push(ordinal);
                self.turn_away(ordinal, outcome, &note)
            }
            (DocumentEnd::Whole(summary), None) => {
                let warnings: Vec<String> = summary.warnings.iter().map(ToString::to_string).collect();
                let current = Current { decided: None, ..current };
                self.keep(ordinal, current, warnings.join("; "))
            }
        }
    }
}
