//! One load: the batch key, the claims, the rows, the verdicts and the control totals in one transaction (I5, §8).

use std::collections::BTreeMap;

use rusqlite::{Connection, Transaction, params};
use sluicegate_state::Timestamp;
use sluicegate_state::canary::{Canary, sings};
use sluicegate_state::seam::Seam;
use sluicegate_state::time::to_text;

use crate::effects;
use crate::failure::Outcome;
use crate::ports::warehouse::{
    BeginLoad, DocumentOutcome, DocumentSource, LoadDocument, LoadRequest, LoadTransaction, LoadedTable,
    Verdict,
};
use crate::schema::Schema;

use super::claim::{Claimed, Claims};
use super::failure;
use super::insert::{Inserted, Inserter};
use super::replace::{Holders, Members, supersede};

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
    if inserted == 0 && !sings(Canary::RetryWithoutAsking) {
        return Ok(BeginLoad::AlreadyLoaded);
    }
    Ok(BeginLoad::Fresh(Box::new(SqliteLoad { transaction, request, schema, now, seam })))
}

impl SqliteLoad<'_> {
    fn insert_documents(
        &self,
        source: &dyn DocumentSource,
        known: BTreeMap<u32, Verdict>,
        holders: Option<&Holders>,
    ) -> Outcome<Inserted> {
        let (transaction, request) = (&self.transaction, self.request);
        let mut inserter = Inserter::new(transaction, request, self.schema, known, self.now, holders);
        source.visit(&mut inserter)?;
        Ok(inserter.finish())
    }

    /// With `on_conflict = "replace"`. A document that the tables refuse frees its keys for earlier members, so all of
    /// them are inserted once more without it.
    fn insert_replacing(
        &self,
        source: &dyn DocumentSource,
        Claimed { known, loaded }: Claimed,
    ) -> Outcome<BTreeMap<u32, Verdict>> {
        let mut members = Members::new(self.schema, &known);
        source.visit(&mut members)?;
        let mut holders = members.finish();
        loop {
            self.transaction.execute_batch("SAVEPOINT round").map_err(failure)?;
            let mut inserted = self.insert_documents(source, known.clone(), Some(&holders))?;
            let freed = inserted.turned_away.iter().filter(|ordinal| holders.exclude(**ordinal)).count();
            if freed == 0 {
                self.transaction.execute_batch("RELEASE round").map_err(failure)?;
                // First, so that a document is not superseded by what it says itself this time.
                let claims = Claims { transaction: &self.transaction, request: self.request };
                claims.settle(&loaded, &mut inserted.verdicts).map_err(failure)?;
                supersede(&self.transaction, &inserted.displaced, &self.request.batch_id).map_err(failure)?;
                return Ok(inserted.verdicts);
            }
            self.transaction.execute_batch("ROLLBACK TO round; RELEASE round").map_err(failure)?;
        }
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
        let claimed = Claims { transaction: &self.transaction, request: self.request }.claim()?;
        let verdicts = if self.request.replace {
            self.insert_replacing(source, claimed)?
        } else {
            self.insert_documents(source, claimed.known, None)?.verdicts
        };
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
        if sings(Canary::LedgerApart) {
            self.transaction.execute_batch("COMMIT; BEGIN IMMEDIATE").map_err(failure)?;
        }
        self.record_all(verdicts, tables).map_err(failure)?;
        let Self { transaction, seam, .. } = *self;
        seam.perform(effects::WAREHOUSE_COMMIT, || transaction.commit().map_err(failure))
    }
}
