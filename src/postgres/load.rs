//! One load: the batch key, the claims, the rows, the verdicts and the control totals in one transaction (I5, I6, §8).

use std::collections::BTreeMap;

use postgres::error::SqlState;
use sluicegate_state::canary::{Canary, sings};
use sluicegate_state::seam::Seam;
use sluicegate_state::time::to_text;

use crate::effects;
use crate::failure::{Failure, Outcome};
use crate::ports::warehouse::{
    BeginLoad, DocumentOutcome, DocumentSource, LoadRequest, LoadTransaction, LoadedTable, Verdict,
};
use crate::schema::Schema;
use crate::wording::{self, Note};

use super::bigint;
use super::claim::{self, Claimed};
use super::client::Transaction;
use super::collect::{Collector, Gathered, Seen};
use super::decide::Fate;
use super::error::{Error, failure, is_deadlock, refuses_row};
use super::ledger::{self, Record};
use super::merge::{Merge, Merged, Trouble};
use super::recent::Recent;
use super::replace;
use super::session::{Session, work_over};
use super::sql::Statements;
use super::stage;

/// An open load.
pub(super) struct PostgresLoad<'a> {
    transaction: Transaction<'a>,
    request: &'a LoadRequest,
    statements: Statements<'a>,
    recent: Recent,
    seam: Seam,
    /// When the load began, by the ledger's clock.
    loaded_at: String,
    /// Outcomes that stand in the ledger since the documents were claimed.
    written: BTreeMap<u32, Verdict>,
}

/// Begins a load by inserting the batch key (I6): it waits for a ghost that has it, as long as `lock_timeout` allows.
pub(super) fn begin<'a>(
    session: &'a mut Session,
    request: &'a LoadRequest,
    schema: &'a Schema,
    recent: &Recent,
    seam: Seam,
) -> Outcome<BeginLoad<'a>> {
    let statements = Statements::new(&session.schema, schema);
    let mut transaction = session.client.transaction().map_err(failure)?;
    let parents = serde_json::Value::from(request.parents.clone()).to_string();
    let inserted = transaction
        .query_opt(
            "INSERT INTO sluicegate.batch (batch_id, job, documents, rows, sealed_at, loaded_at, definition_hash,
                                           archive_key, incarnation, parents, replay)
             VALUES ($1, $2, $3, 0, $4::text::timestamptz, sluicegate.clock(), $5, $6, $7, $8::text::jsonb, $9)
             ON CONFLICT (batch_id) DO NOTHING RETURNING loaded_at::text",
            &[
                &request.batch_id,
                &request.job,
                &bigint(request.documents.len() as u64),
                &to_text(request.sealed_at),
                &request.definition_hash,
                &request.archive_key,
                &request.incarnation,
                &parents,
                &i64::from(request.replay),
            ],
        )
        .map_err(failure)?;
    let loaded_at = match inserted {
        Some(inserted) => inserted.get(0),
        None if sings(Canary::RetryWithoutAsking) => {
            transaction.query_one("SELECT sluicegate.clock()::text", &[]).map_err(failure)?.get(0)
        }
        None => return Ok(BeginLoad::AlreadyLoaded),
    };
    Ok(BeginLoad::Fresh(Box::new(PostgresLoad {
        transaction,
        request,
        statements,
        recent: recent.clone(),
        seam,
        loaded_at,
        written: BTreeMap::new(),
    })))
}

/// What an error means for the load; a deadlock is remembered.
pub(super) fn noted(recent: &Recent, request: &LoadRequest, error: Error) -> Failure {
    if is_deadlock(&error) {
        recent.note_deadlock(&request.batch_id);
    }
    failure(error)
}

impl PostgresLoad<'_> {
    fn failure(&self, error: Error) -> Failure {
        noted(&self.recent, self.request, error)
    }

    fn trouble(&self, trouble: Trouble) -> Failure {
        match trouble {
            Trouble::Database(error) => self.failure(error),
            Trouble::Other(failure) => failure,
        }
    }

    /// After a deadlock the retries of a job's batches wait for each other, instead of meeting again.
    fn wait_for_turn(&mut self) -> Result<(), Error> {
        if !self.recent.deadlocked(&self.request.batch_id) {
            return Ok(());
        }
        let sql = "SELECT pg_advisory_xact_lock(hashtextextended('sluicegate load ' || $1::text, 0))";
        self.transaction.execute(sql, &[&self.request.job]).map(drop)
    }

    /// Straight into the target tables; false where something collides or is refused, and then nothing is left.
    fn try_direct(&mut self, gathered: &Gathered) -> Result<bool, Error> {
        self.transaction.batch_execute("SAVEPOINT direct")?;
        match gathered.copy_direct(&mut self.transaction, &self.statements, self.request) {
            Ok(()) => self.transaction.batch_execute("RELEASE direct").map(|()| true),
            Err(error) if refuses_row(&error) => {
                if error.code() == Some(&SqlState::UNIQUE_VIOLATION) {
                    self.recent.note_collision(&self.request.job);
                }
                self.transaction.batch_execute("ROLLBACK TO direct; RELEASE direct").map(|()| false)
            }
            Err(error) => Err(error),
        }
    }

    fn insert_rows(&mut self, gathered: &mut Gathered) -> Result<Merged, Trouble> {
        if !gathered.has_rows() {
            return Ok(Merged::default());
        }
        let at_once = gathered.spilled || self.recent.collided(&self.request.job);
        if !at_once && self.try_direct(gathered)? {
            return Ok(Merged::default());
        }
        let Self { transaction, statements, request, .. } = self;
        stage::complete(transaction, statements, request, gathered)?;
        let merged = Merge { transaction, statements, request, gathered, culprits: BTreeMap::new() }.run()?;
        transaction.allow(work_over(0))?;
        if merged.fates.values().any(|fate| !fate.refused.is_empty() || fate.clash.is_some()) {
            self.recent.note_collision(&self.request.job);
        }
        Ok(merged)
    }

    /// The verdicts of all members, and why documents were turned away.
    fn verdicts(
        &self,
        mut known: BTreeMap<u32, Verdict>,
        gathered: &mut Gathered,
        mut merged: Merged,
    ) -> (Vec<Verdict>, Vec<(u32, Note)>) {
        let mut notes = Vec::new();
        for document in &self.request.documents {
            let ordinal = document.ordinal;
            let Some(mut seen) = gathered.documents.remove(&ordinal) else { continue };
            let here = seen.rejected.take().map(|note| (DocumentOutcome::Rejected, note));
            let verdict = match here.or_else(|| merged.turned_away.remove(&ordinal)) {
                Some((outcome, note)) => {
                    let verdict = turned_away(ordinal, outcome, &note);
                    notes.push((ordinal, note));
                    verdict
                }
                None => kept(ordinal, &seen, merged.fates.remove(&ordinal).unwrap_or_default()),
            };
            known.insert(ordinal, verdict);
        }
        for document in &self.request.documents {
            assert!(
                known.contains_key(&document.ordinal),
                "every member has a verdict (I9): {}",
                document.ordinal
            );
        }
        (known.into_values().collect(), notes)
    }
}

/// The verdict about a document that is turned away whole.
pub(super) fn turned_away(ordinal: u32, outcome: DocumentOutcome, note: &Note) -> Verdict {
    Verdict { ordinal, outcome, reason: note.verdict_reason(), rows: 0, refused: Vec::new() }
}

/// The verdict about a document that was not turned away.
pub(super) fn kept(ordinal: u32, seen: &Seen, fate: Fate) -> Verdict {
    let rows = seen.rows - fate.refused_rows;
    if rows > 0 {
        let refused = fate.refused.iter().map(|refusal| refusal.record).collect();
        let reason = seen.warnings.clone();
        return Verdict { ordinal, outcome: DocumentOutcome::Loaded, reason, rows, refused };
    }
    let older = fate.refused.iter().find(|refusal| refusal.reason == "older");
    let (outcome, reason) = match older {
        Some(refusal) => (DocumentOutcome::Superseded, wording::older(&refusal.other_batch_id)),
        None => {
            let first = fate.refused.first().map(|refusal| refusal.other_batch_id.as_str());
            (DocumentOutcome::Duplicate, wording::duplicate(first))
        }
    };
    Verdict { ordinal, outcome, reason, rows: 0, refused: Vec::new() }
}

impl LoadTransaction for PostgresLoad<'_> {
    fn insert(&mut self, source: &dyn DocumentSource) -> Outcome<Vec<Verdict>> {
        let turn = self.wait_for_turn();
        turn.map_err(|error| self.failure(error))?;
        let mut collector = Collector {
            transaction: &mut self.transaction,
            statements: &self.statements,
            request: self.request,
            recent: &self.recent,
            claimed: None,
            gathered: Gathered::new(self.statements.schema),
            current: Seen::default(),
        };
        source.visit(&mut collector)?;
        let (Claimed { known, written, loaded }, mut gathered) = collector.finish()?;
        self.written = written;
        let merged = self.insert_rows(&mut gathered);
        let merged = merged.map_err(|trouble| self.trouble(trouble))?;
        let replaces = merged.fates.values().any(|fate| !fate.replaces.is_empty());
        let (mut verdicts, notes) = self.verdicts(known, &mut gathered, merged);
        // First, so that a document is not superseded by what it says itself this time.
        let settled = claim::settle(&mut self.transaction, self.request, &loaded, &mut verdicts);
        settled.map_err(|error| self.failure(error))?;
        if replaces {
            let superseded = replace::supersede(&mut self.transaction, self.request);
            superseded.map_err(|error| self.failure(error))?;
        }
        let noted = ledger::record_rejects(&mut self.transaction, self.request, &notes);
        noted.map_err(|error| self.failure(error))?;
        Ok(verdicts)
    }

    fn commit(mut self: Box<Self>, verdicts: &[Verdict], tables: &[LoadedTable]) -> Outcome<()> {
        let Self { transaction, request, loaded_at, written, .. } = &mut *self;
        if sings(Canary::LedgerApart) {
            transaction.batch_execute("COMMIT; BEGIN").map_err(failure)?;
        }
        let recorded = Record { transaction, request, loaded_at, written }.record(verdicts, tables);
        recorded.map_err(|error| self.failure(error))?;
        let Self { transaction, request, recent, seam, .. } = *self;
        seam.perform(effects::WAREHOUSE_COMMIT, || transaction.commit().map_err(failure))?;
        recent.note_commit(&request.batch_id);
        Ok(())
    }
}
