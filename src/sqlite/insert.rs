//! Inserts the rows of claimed documents, one document a savepoint, and decides about each.

use std::collections::BTreeMap;

use rusqlite::{Transaction, params};

use crate::failure::Outcome;
use crate::ports::warehouse::{
    DocumentEnd, DocumentOutcome, DocumentVisitor, Flow, LoadDocument, LoadRequest, Verdict,
};
use crate::schema::Schema;
use crate::transform::rows::RecordView;

use super::content::{Existing, Statements};
use super::failure;

/// What is known of the document being inserted.
#[derive(Default)]
struct Current {
    rows: u64,
    refused: Vec<u64>,
    /// The batch that has the first record that was skipped.
    other_batch: Option<String>,
    /// The document's fate, decided before its end.
    decided: Option<(DocumentOutcome, Note)>,
}

/// Where and why, for the `reject` table.
struct Note {
    line: Option<u64>,
    place: Option<String>,
    reason: String,
    text: String,
}

/// Inserts documents one by one, each under a savepoint.
pub(super) struct Inserter<'a> {
    transaction: &'a Transaction<'a>,
    request: &'a LoadRequest,
    statements: Statements<'a>,
    verdicts: BTreeMap<u32, Verdict>,
    current: Current,
}

impl<'a> Inserter<'a> {
    /// An inserter for the documents that `known` does not decide about.
    pub(super) fn new(
        transaction: &'a Transaction<'a>,
        request: &'a LoadRequest,
        schema: &'a Schema,
        known: BTreeMap<u32, Verdict>,
    ) -> Self {
        let statements = Statements::new(schema);
        Self { transaction, request, statements, verdicts: known, current: Current::default() }
    }

    /// What was decided, by ordinal.
    pub(super) fn into_verdicts(self) -> BTreeMap<u32, Verdict> {
        self.verdicts
    }
}

impl Inserter<'_> {
    fn document(&self, ordinal: u32) -> &LoadDocument {
        &self.request.documents[ordinal as usize]
    }

    /// Inserts a record, or finds it there. An error is the database's refusal of a row.
    fn insert_record(&mut self, ordinal: u32, index: u64, record: RecordView<'_>) -> rusqlite::Result<()> {
        let bookkeeping = [&*self.request.batch_id, &*self.document(ordinal).source_order];
        if self.statements.insert(self.transaction, 0, record.parent(), bookkeeping)? == 0 {
            return self.meet_existing(ordinal, index, record);
        }
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
        match self.statements.difference(&existing, record) {
            None => self.refuse(ordinal, index, record, existing),
            Some(difference) => {
                self.current.decided = Some(self.collision(ordinal, record, &existing, &difference));
                Ok(())
            }
        }
    }

    fn refuse(
        &mut self,
        ordinal: u32,
        index: u64,
        record: RecordView<'_>,
        existing: Existing,
    ) -> rusqlite::Result<()> {
        self.transaction
            .prepare_cached(
                "INSERT INTO sluicegate_refused (batch_id, ordinal, record, table_name, record_key, reason, other_batch_id)
                 VALUES (?1, ?2, ?3, ?4, ?5, 'duplicate', ?6)",
            )?
            .execute(params![
                self.request.batch_id,
                ordinal,
                index as i64,
                self.statements.schema.parent().name,
                self.statements.record_key_json(record),
                existing.batch_id,
            ])?;
        self.current.refused.push(index);
        self.current.other_batch.get_or_insert(existing.batch_id);
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
            (
                DocumentOutcome::Rejected,
                format!("the document holds {key} twice with different content: {difference}"),
            )
        } else {
            let batch = &existing.batch_id;
            (
                DocumentOutcome::Conflict,
                format!("{key} is already there with other content, from batch {batch}: {difference}"),
            )
        };
        (outcome, Note { line: Some(record.line), place: None, reason, text: key })
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
        let line = note.line.map_or_else(String::new, |line| format!("line {line}: "));
        self.decide(ordinal, outcome, format!("{line}{}", note.reason), 0, Vec::new());
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
            let batch = current.other_batch.as_deref().unwrap_or("this one");
            let reason = format!("every record is already there, from batch {batch}");
            self.decide(ordinal, DocumentOutcome::Duplicate, reason, 0, Vec::new());
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
                let reason = format!("the database refuses this record: {error}");
                let note = Note {
                    line: Some(record.line),
                    place: None,
                    reason,
                    text: self.statements.record_key(record),
                };
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
                let note = Note {
                    line: reject.line,
                    place: reject.place.clone(),
                    reason: reject.reason.clone(),
                    text: reject.text.clone(),
                };
                self.turn_away(ordinal, DocumentOutcome::Rejected, &note)
            }
            (_, Some((outcome, note))) => self.turn_away(ordinal, outcome, &note),
            (DocumentEnd::Whole(summary), None) => {
                let warnings: Vec<String> = summary.warnings.iter().map(ToString::to_string).collect();
                let current = Current { decided: None, ..current };
                self.keep(ordinal, current, warnings.join("; "))
            }
        }
    }
}
