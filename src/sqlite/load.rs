//! One load: the batch key, the claims, the rows, the verdicts and the control totals in one transaction (I5, §8).

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use sluicegate_state::Timestamp;
use sluicegate_state::seam::Seam;
use sluicegate_state::time::to_text;

use crate::effects;
use crate::failure::Outcome;
use crate::ports::warehouse::{
    BeginLoad, DocumentEnd, DocumentOutcome, DocumentSource, DocumentVisitor, Flow, LoadDocument,
    LoadRequest, LoadTransaction, LoadedTable, Verdict,
};
use crate::schema::Schema;
use crate::transform::rows::RecordView;

use super::content::{Existing, Statements};
use super::{failure, seconds_text};

/// An open load.
pub(super) struct SqliteLoad<'a> {
    transaction: Transaction<'a>,
    request: &'a LoadRequest,
    schema: &'a Schema,
    now: Timestamp,
    seam: Seam,
}

/// Begins a load by inserting the batch key (I6).
pub(super) fn begin<'a>(
    connection: &'a mut Connection,
    request: &'a LoadRequest,
    schema: &'a Schema,
    now: Timestamp,
    seam: Seam,
) -> Outcome<BeginLoad<'a>> {
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(failure)?;
    let parents = serde_json::Value::from(request.parents.clone()).to_string();
    let inserted = transaction
        .execute(
            "INSERT INTO sluicegate_batch (batch_id, job, documents, rows, sealed_at, loaded_at, definition_hash,
                                           archive_key, incarnation, parents, replay)
             VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (batch_id) DO NOTHING",
            params![
                request.batch_id,
                request.job,
                request.documents.len() as i64,
                to_text(request.sealed_at),
                to_text(now),
                request.definition_hash,
                request.archive_key,
                request.incarnation,
                parents,
                request.replay,
            ],
        )
        .map_err(failure)?;
    if inserted == 0 {
        return Ok(BeginLoad::AlreadyLoaded);
    }
    Ok(BeginLoad::Fresh(Box::new(SqliteLoad { transaction, request, schema, now, seam })))
}

impl SqliteLoad<'_> {
    /// Claims every document in the order of identity; the verdicts that are known without a look at the bytes.
    fn claim(&self) -> Outcome<BTreeMap<u32, Verdict>> {
        let mut documents: Vec<&LoadDocument> = self.request.documents.iter().collect();
        documents.sort_by(|a, b| {
            (&a.bucket, &a.key, &a.version, a.ordinal).cmp(&(&b.bucket, &b.key, &b.version, b.ordinal))
        });
        let mut known = BTreeMap::new();
        for document in documents {
            if let Some(verdict) = self.claim_one(document).map_err(failure)? {
                known.insert(document.ordinal, verdict);
            }
        }
        Ok(known)
    }

    fn claim_one(&self, document: &LoadDocument) -> rusqlite::Result<Option<Verdict>> {
        let decided = |outcome, reason: &str| {
            let reason = reason.to_owned();
            Some(Verdict { ordinal: document.ordinal, outcome, reason, rows: 0, refused: Vec::new() })
        };
        if let Some((outcome, reason)) = &document.unread {
            if *outcome == DocumentOutcome::Deferred {
                return Ok(decided(*outcome, reason));
            }
            if let Some(owner) = self.owner_of_announced(document)? {
                let reason = format!("this object was already decided by batch {owner}");
                return Ok(decided(DocumentOutcome::Again, &reason));
            }
        }
        if !self.insert_identity(document)? && !self.take_over(document)? {
            let owner = self.owner(document)?;
            return Ok(decided(DocumentOutcome::Again, &format!("batch {owner} has this document")));
        }
        Ok(document.unread.as_ref().and_then(|(outcome, reason)| decided(*outcome, reason)))
    }

    /// The batch that decided about the very object that a notification announced, long ago perhaps, and under the version
    /// that it had when it was read. The same version is left to the claim, which knows what a replay may take over.
    fn owner_of_announced(&self, document: &LoadDocument) -> rusqlite::Result<Option<String>> {
        self.transaction
            .prepare_cached(
                "SELECT batch_id FROM sluicegate_document
                 WHERE key = ?1 AND job = ?2 AND bucket = ?3 AND etag = ?4 AND batch_id <> ?5 AND version <> ?6
                 LIMIT 1",
            )?
            .query_row(
                params![
                    document.key,
                    self.request.job,
                    document.bucket,
                    document.etag,
                    self.request.batch_id,
                    document.version
                ],
                |row| row.get(0),
            )
            .optional()
    }

    fn insert_identity(&self, document: &LoadDocument) -> rusqlite::Result<bool> {
        let inserted = self
            .transaction
            .prepare_cached(
                "INSERT INTO sluicegate_document (job, bucket, key, version, batch_id, ordinal, outcome, sha256, size,
                                                  etag, landed_at, day)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'claimed', ?7, ?8, ?9, ?10, ?11)
                 ON CONFLICT (job, bucket, key, version) DO NOTHING",
            )?
            .execute(params![
                self.request.job,
                document.bucket,
                document.key,
                document.version,
                self.request.batch_id,
                document.ordinal,
                document.sha256,
                document.size as i64,
                document.etag,
                seconds_text(document.landed_at),
                document.day.to_string(),
            ])?;
        Ok(inserted == 1)
    }

    /// Takes a document over from one of the batch's own replay parents, where that one could not load it.
    fn take_over(&self, document: &LoadDocument) -> rusqlite::Result<bool> {
        for parent in &self.request.parents {
            let taken = self
                .transaction
                .prepare_cached(
                    "UPDATE sluicegate_document SET batch_id = ?1, ordinal = ?2, outcome = 'claimed', reason = ''
                     WHERE job = ?3 AND bucket = ?4 AND key = ?5 AND version = ?6 AND batch_id = ?7
                       AND outcome IN ('rejected', 'conflict', 'missing', 'expired', 'abandoned')",
                )?
                .execute(params![
                    self.request.batch_id,
                    document.ordinal,
                    self.request.job,
                    document.bucket,
                    document.key,
                    document.version,
                    parent,
                ])?;
            if taken == 1 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn owner(&self, document: &LoadDocument) -> rusqlite::Result<String> {
        self.transaction.query_row(
            "SELECT batch_id FROM sluicegate_document WHERE job = ?1 AND bucket = ?2 AND key = ?3 AND version = ?4",
            params![self.request.job, document.bucket, document.key, document.version],
            |row| row.get(0),
        )
    }

    fn record_verdict(&self, document: &LoadDocument, verdict: &Verdict) -> rusqlite::Result<()> {
        let is_outcome = !matches!(verdict.outcome, DocumentOutcome::Again | DocumentOutcome::Deferred);
        if is_outcome {
            let changed = self
                .transaction
                .prepare_cached(
                    "UPDATE sluicegate_document SET outcome = ?1, reason = ?2, rows = ?3
                     WHERE job = ?4 AND bucket = ?5 AND key = ?6 AND version = ?7 AND batch_id = ?8
                       AND ordinal = ?9 AND outcome = 'claimed'",
                )?
                .execute(params![
                    verdict.outcome.as_str(),
                    verdict.reason,
                    verdict.rows as i64,
                    self.request.job,
                    document.bucket,
                    document.key,
                    document.version,
                    self.request.batch_id,
                    document.ordinal,
                ])?;
            assert_eq!(changed, 1, "an outcome is recorded for a claimed document, once (I9)");
        }
        self.transaction
            .prepare_cached(
                "INSERT INTO sluicegate_verdict (batch_id, ordinal, job, bucket, key, version, outcome, reason, rows, at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute(params![
                self.request.batch_id,
                verdict.ordinal,
                self.request.job,
                document.bucket,
                document.key,
                document.version,
                verdict.outcome.as_str(),
                verdict.reason,
                verdict.rows as i64,
                to_text(self.now),
            ])?;
        Ok(())
    }

    fn record_tables(&self, tables: &[LoadedTable]) -> rusqlite::Result<u64> {
        let mut total = 0;
        for (position, table) in tables.iter().enumerate() {
            let totals = &table.totals;
            let sums = serde_json::to_string(&totals.sums).expect("a map of strings is always JSON");
            self.transaction.execute(
                "INSERT INTO sluicegate_batch_table (batch_id, table_name, position, rows, sums, digest, csv_key,
                                                     csv_bytes, csv_sha256)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                params![
                    self.request.batch_id,
                    table.table,
                    position as i64,
                    totals.rows as i64,
                    sums,
                    totals.digest,
                    table.csv_key,
                    totals.bytes as i64,
                    totals.sha256,
                ],
            )?;
            total += totals.rows;
        }
        Ok(total)
    }

    fn record_batch(&self, rows: u64) -> rusqlite::Result<()> {
        self.transaction.execute(
            "INSERT INTO sluicegate_definition (hash, job, text, first_used_at) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (hash) DO NOTHING",
            params![
                self.request.definition_hash,
                self.request.job,
                self.request.definition_text,
                to_text(self.now)
            ],
        )?;
        // A batch without new rows has nothing to publish and nothing to crawl.
        self.transaction.execute(
            "UPDATE sluicegate_batch SET rows = ?2,
                    published_at = CASE WHEN ?2 = 0 THEN ?3 END, crawl_id = CASE WHEN ?2 = 0 THEN 'none' END
             WHERE batch_id = ?1",
            params![self.request.batch_id, rows as i64, to_text(self.now)],
        )?;
        Ok(())
    }

    fn record_all(&self, verdicts: &[Verdict], tables: &[LoadedTable]) -> rusqlite::Result<()> {
        for verdict in verdicts {
            self.record_verdict(&self.request.documents[verdict.ordinal as usize], verdict)?;
        }
        let rows = self.record_tables(tables)?;
        let from_verdicts: u64 = verdicts.iter().map(|verdict| verdict.rows).sum();
        assert_eq!(rows, from_verdicts, "the CSV objects hold the rows that were inserted (I7)");
        self.record_batch(rows)?;
        let unsettled: i64 = self.transaction.query_row(
            "SELECT count(*) FROM sluicegate_document WHERE batch_id = ?1 AND outcome = 'claimed'",
            [&self.request.batch_id],
            |row| row.get(0),
        )?;
        assert_eq!(unsettled, 0, "no claimed document is left without an outcome (I9)");
        Ok(())
    }
}

impl LoadTransaction for SqliteLoad<'_> {
    fn insert(&mut self, source: &dyn DocumentSource) -> Outcome<Vec<Verdict>> {
        let known = self.claim()?;
        let mut visitor = Inserter {
            transaction: &self.transaction,
            request: self.request,
            statements: Statements::new(self.schema),
            verdicts: known,
            current: Current::default(),
        };
        source.visit(&mut visitor)?;
        let verdicts = visitor.verdicts;
        for document in &self.request.documents {
            assert!(
                verdicts.contains_key(&document.ordinal),
                "every member has a verdict (I9): {}",
                document.ordinal
            );
        }
        Ok(verdicts.into_values().collect())
    }

    fn commit(self: Box<Self>, verdicts: &[Verdict], tables: &[LoadedTable]) -> Outcome<()> {
        self.record_all(verdicts, tables).map_err(failure)?;
        let Self { transaction, seam, .. } = *self;
        seam.perform(effects::WAREHOUSE_COMMIT, || transaction.commit().map_err(failure))
    }
}

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
struct Inserter<'a> {
    transaction: &'a Transaction<'a>,
    request: &'a LoadRequest,
    statements: Statements<'a>,
    verdicts: BTreeMap<u32, Verdict>,
    current: Current,
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
