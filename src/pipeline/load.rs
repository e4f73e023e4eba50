//! The load stage: from an archived batch to rows in the warehouse, in one commit that fixes everything after it (I5).

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::SecondsFormat;
use sluicegate_state::{Batch, BatchEvent, BatchState, Stage as Step, Store, Timestamp};

use crate::archive::{Got, Manifest, ManifestMember, MemberOutcome, Outcomes, object_key};
use crate::failure::{Failure, FailureKind, Outcome};
use crate::job::{Job, OnConflict};
use crate::ports::decisions::Hold;
use crate::ports::warehouse::{
    BeginLoad, DocumentOutcome, DocumentSource, DocumentVisitor, LoadDocument, LoadRequest, LoadedTable,
    Verdict, Warehouse,
};

use super::archived::{ArchivedBatch, open_archived};
use super::attempt::{fail, idle};
use super::context::Context;
use super::documents::ArchivedDocuments;
use super::elsewhere::leave_to_whom_has_read;
use super::encode::encode;
use super::handover::{Gate, InWork, LoadedCopies, Taken};
use super::ledger::{LedgerConnection, remember_load};
use super::stage::{Idle, Stage, Tick};

/// Loads archived batches.
pub struct LoadStage {
    context: Arc<Context>,
    store: Store,
    ledger: LedgerConnection,
    /// The job that was served last; the next one with work goes first.
    last_job: String,
    /// Which of the process's load stages this is, from 0.
    number: usize,
}

/// A batch whose load is over.
pub struct Loaded {
    /// One for each member.
    pub verdicts: Vec<Verdict>,
    /// The tables and their CSV objects, where this load made them.
    pub copies: Option<LoadedCopies>,
    /// In words, for the transition log.
    pub cause: String,
}

impl LoadStage {
    /// A stage with a state connection and a ledger connection of its own.
    pub fn new(context: Arc<Context>) -> Outcome<Self> {
        Self::numbered(context, 0)
    }

    /// The `number`th of several stages that load side by side. It works only where the warehouse takes that many loads
    /// at a time.
    pub fn numbered(context: Arc<Context>, number: usize) -> Outcome<Self> {
        let store = context.open_store()?;
        let ledger = LedgerConnection::new(context.clone());
        Ok(Self { context, store, ledger, last_job: String::new(), number })
    }

    /// The archived batch whose turn it is and that nobody here loads.
    fn next<'w>(
        &self,
        work: &'w InWork,
        held: &BTreeMap<String, Hold>,
    ) -> Outcome<Option<(Batch, Taken<'w>)>> {
        let now = self.context.clock.now();
        let in_turn = self.in_turn(held)?;
        // Where the other stage has that one, the oldest of the others is next.
        let due = in_turn.into_iter().chain(self.store.due_batches(BatchState::Archived, now, 64)?);
        for batch in due.filter(|batch| !held.contains_key(&batch.job)) {
            let Some(taken) = work.take(&batch.batch_id) else { continue };
            // It may have been loaded between the look and the taking.
            let still =
                self.store.batch(&batch.batch_id)?.filter(|batch| batch.state == BatchState::Archived);
            if let Some(batch) = still {
                return Ok(Some((batch, taken)));
            }
        }
        Ok(None)
    }

    /// The batch whose turn it is, past the jobs that are held.
    fn in_turn(&self, held: &BTreeMap<String, Hold>) -> Outcome<Option<Batch>> {
        let now = self.context.clock.now();
        let mut last_job = self.last_job.clone();
        for _ in 0..=held.len() {
            let found = self.store.due_batch_in_turn(BatchState::Archived, now, &last_job)?;
            match found {
                Some(batch) if held.contains_key(&batch.job) => last_job = batch.job,
                found => return Ok(found),
            }
        }
        Ok(None)
    }

    /// The jobs that a person holds, as the ledger says before each load; an idle moment where it cannot say so.
    fn holds(&mut self) -> Outcome<Result<BTreeMap<String, Hold>, Idle>> {
        if let Some(idle) = self.ledger.unreachable(&mut self.store)? {
            return Ok(Err(idle));
        }
        match self.ledger.get(&mut self.store)?.decisions().holds() {
            Ok(holds) => Ok(Ok(holds)),
            Err(failure) if matches!(failure.kind, FailureKind::Died | FailureKind::WrongLedger) => {
                Err(failure)
            }
            Err(failure) => Ok(Err(self.ledger.set_back(failure))),
        }
    }

    /// Whether the warehouse takes as many loads at a time as there are stages up to this one. Asked before a batch is
    /// taken: while it is taken, the other stage passes it over. The first stage is the one that says what is wrong with
    /// a warehouse that cannot be reached.
    fn has_place(&mut self) -> Outcome<bool> {
        if self.number == 0 {
            return Ok(true);
        }
        let now = self.context.clock.now();
        if self.store.due_batches(BatchState::Archived, now, 1)?.is_empty()
            || self.ledger.unreachable(&mut self.store)?.is_some()
        {
            return Ok(false);
        }
        Ok(self.ledger.get(&mut self.store)?.loads_at_a_time() > self.number)
    }

    fn load(&mut self, batch: &Batch, taken: &Taken<'_>) -> Outcome<()> {
        let context = self.context.clone();
        let now = context.clock.now();
        let attempt = self.store.begin_attempt(&batch.batch_id, Step::Load, &context.incarnation, now)?;
        match self.try_load(batch, taken) {
            Ok(loaded) => {
                remember_load(&mut self.store, &batch.batch_id)?;
                let now = context.clock.now();
                // Before the batch can be published: what is put after that nobody would take.
                if let Some(copies) = loaded.copies {
                    let sizes: Vec<u64> = copies.csvs.iter().map(|(_, bytes)| *bytes).collect();
                    context.handover.csvs.put(&batch.batch_id, copies, &sizes);
                }
                let completed =
                    self.store.complete_attempt(attempt, BatchEvent::Loaded, &loaded.cause, &[], now);
                if completed.is_err() {
                    context.handover.csvs.take(&batch.batch_id);
                }
                completed?;
                context.tally.add_verdicts(&loaded.verdicts);
                Ok(())
            }
            Err(failure) => {
                self.ledger.close();
                fail(&context, &mut self.store, batch, attempt, failure)
            }
        }
    }

    fn try_load(&mut self, batch: &Batch, taken: &Taken<'_>) -> Outcome<Loaded> {
        let job = self.context.job(&batch.job)?;
        let mut archived = open_archived(&self.context, batch)?;
        let mut request = load_request(&self.context, &job, batch, &archived)?;
        let Self { context, store, ledger, .. } = self;
        let warehouse = ledger.get(store)?;
        leave_to_whom_has_read(context, store, warehouse, &archived, &mut request)?;
        match load_once(context, &job, &request, &mut archived, warehouse, taken, &|_| Ok(()))? {
            Some(loaded) => Ok(loaded),
            None => {
                let known = warehouse.loaded_batch(&batch.batch_id)?;
                let known = known.ok_or_else(|| {
                    Failure::transient(format!(
                        "the ledger has the key of {} and then has not",
                        batch.batch_id
                    ))
                })?;
                let cause = "found in the ledger: an earlier COMMIT was there first".to_owned();
                Ok(Loaded { verdicts: known.verdicts, copies: None, cause })
            }
        }
    }
}

impl Stage for LoadStage {
    fn name(&self) -> &'static str {
        "load"
    }

    fn tick(&mut self) -> Outcome<Tick> {
        if !self.has_place()? {
            return Ok(Tick::idle());
        }
        let context = self.context.clone();
        let now = context.clock.now();
        if self.store.due_batches(BatchState::Archived, now, 1)?.is_empty() {
            return idle(&self.store, BatchState::Archived, now, false);
        }
        let held = match self.holds()? {
            Ok(held) => held,
            Err(idle) => return Ok(Tick::Idle(idle)),
        };
        match self.next(&context.handover.loading, &held)? {
            Some((batch, taken)) => {
                self.load(&batch, &taken)?;
                self.last_job = batch.job;
                Ok(Tick::Worked)
            }
            None => idle(&self.store, BatchState::Archived, now, false),
        }
    }
}

/// The documents of a batch, whose rows go into the tables after those of every batch that was taken before: of two
/// documents with one key, the earlier one is loaded. The batches are read and parsed side by side; where they share
/// keys, the later one then waits for the earlier one's commit, as the server makes it.
struct InTurn<'a, 't> {
    documents: &'a ArchivedDocuments<'a>,
    taken: &'a Taken<'t>,
}

impl DocumentSource for InTurn<'_, '_> {
    fn visit(&self, visitor: &mut dyn DocumentVisitor) -> Outcome<()> {
        self.documents.visit(visitor)?;
        self.taken.wait_at(Gate::Rows);
        Ok(())
    }
}

/// The one transaction; none where somebody's COMMIT was there first. `agree` sees what would be fixed before it is, and
/// its refusal leaves nothing.
///
/// # Errors
/// Permanent where only a person can help; what `agree` says.
pub fn load_once(
    context: &Context,
    job: &Job,
    request: &LoadRequest,
    archived: &mut ArchivedBatch,
    warehouse: &mut dyn Warehouse,
    taken: &Taken<'_>,
    agree: &dyn Fn(&[LoadedTable]) -> Outcome<()>,
) -> Outcome<Option<Loaded>> {
    let schema = job.definition.schema();
    taken.wait_at(Gate::Begin);
    let begun = warehouse.begin_load(request, schema)?;
    taken.pass(Gate::Begin);
    let mut transaction = match begun {
        BeginLoad::AlreadyLoaded => return Ok(None),
        BeginLoad::Fresh(transaction) => transaction,
    };
    let documents = ArchivedDocuments::new(&job.definition, &archived.outcomes, &mut archived.content);
    let verdicts = transaction.insert(&InTurn { documents: &documents, taken })?;
    taken.pass(Gate::Rows);
    let orders = source_orders(request);
    let (tables, csvs) = encode(&request.batch_id, schema, &documents, &verdicts, &orders, &context.spool)?;
    check_totals(&verdicts, &tables);
    agree(&tables)?;
    transaction.commit(&verdicts, &tables)?;
    let rows: u64 = tables.iter().map(|table| table.totals.rows).sum();
    tracing::info!(batch = %request.batch_id, rows, "loaded");
    let copies = Some(LoadedCopies { tables, csvs });
    Ok(Some(Loaded { verdicts, copies, cause: format!("{rows} rows committed") }))
}

/// I7, before it is fixed for ever.
fn check_totals(verdicts: &[Verdict], tables: &[LoadedTable]) {
    let inserted: u64 = verdicts.iter().map(|verdict| verdict.rows).sum();
    let encoded: u64 = tables.iter().map(|table| table.totals.rows).sum();
    assert_eq!(inserted, encoded, "the CSV objects hold exactly the rows that the load inserted (I7)");
}

/// The `source_order` of each member.
pub fn source_orders(request: &LoadRequest) -> BTreeMap<u32, String> {
    request.documents.iter().map(|document| (document.ordinal, document.source_order.clone())).collect()
}

/// Everything that the load needs to know of a batch, from its archive and the definition in force.
pub fn load_request(
    context: &Context,
    job: &Job,
    batch: &Batch,
    archived: &ArchivedBatch,
) -> Outcome<LoadRequest> {
    request_of(context, job, batch, &archived.manifest, &archived.outcomes)
}

/// The same, where there may be no archive.
pub(super) fn request_of(
    context: &Context,
    job: &Job,
    batch: &Batch,
    manifest: &Manifest,
    outcomes: &Outcomes,
) -> Outcome<LoadRequest> {
    let mut documents = Vec::with_capacity(manifest.members.len());
    for (position, member) in manifest.members.iter().enumerate() {
        let outcome = outcomes.member(member.ordinal);
        let outcome = outcome.filter(|_| member.ordinal as usize == position).ok_or_else(|| {
            Failure::permanent(format!(
                "the archive of {} says nothing about member {position}",
                batch.batch_id
            ))
        })?;
        documents.push(load_document(job, manifest, outcomes, member, outcome));
    }
    Ok(LoadRequest {
        batch_id: batch.batch_id.clone(),
        job: batch.job.clone(),
        sealed_at: manifest.sealed_at,
        incarnation: context.incarnation.clone(),
        archive_key: object_key(&batch.job, &batch.batch_id),
        definition_hash: job.hash.clone(),
        definition_text: job.text.clone(),
        replace: job.on_conflict == OnConflict::Replace,
        parents: manifest.parents.clone(),
        replay: manifest.replay,
        documents,
    })
}

fn load_document(
    job: &Job,
    manifest: &Manifest,
    outcomes: &Outcomes,
    member: &ManifestMember,
    outcome: &MemberOutcome,
) -> LoadDocument {
    LoadDocument {
        ordinal: member.ordinal,
        bucket: member.bucket.clone(),
        key: member.key.clone(),
        version: outcome.version.clone(),
        etag: member.etag.clone(),
        landed_at: outcome.landed_at,
        day: job.day(outcome.landed_at),
        size: outcome.size,
        sha256: outcome.sha256.clone(),
        source_order: source_order(manifest, member, outcome),
        unread: unread(member, outcome, outcomes.fetched_at),
    }
}

/// `<landed_at>/<sequencer>/<replay>/<batch_id>/<ordinal>` (§7): text that orders as time does.
fn source_order(manifest: &Manifest, member: &ManifestMember, outcome: &MemberOutcome) -> String {
    let landed_at = outcome.landed_at.to_rfc3339_opts(SecondsFormat::Secs, true);
    // Sequencers differ in length and in case, and compare once they are made equal in both.
    let sequencer = member.sequencer.as_deref().unwrap_or("").to_ascii_uppercase();
    let Manifest { replay, batch_id, .. } = manifest;
    format!("{landed_at}/{sequencer:0<32}/{replay:06}/{batch_id}/{:06}", member.ordinal)
}

/// What a GET that did not bring the object means for the document.
fn unread(
    member: &ManifestMember,
    outcome: &MemberOutcome,
    fetched_at: Option<Timestamp>,
) -> Option<(DocumentOutcome, String)> {
    let (word, reason) = match outcome.got {
        Got::Ok => return None,
        Got::NotFound | Got::DeleteMarker => gone(member, outcome, fetched_at),
        Got::Overwritten => (
            DocumentOutcome::Superseded,
            "overwritten before it was read; what was there instead is a document of its own".to_owned(),
        ),
        Got::Forbidden | Got::Deferred => (
            DocumentOutcome::Deferred,
            outcome.message.clone().unwrap_or_else(|| "could not be read".to_owned()),
        ),
    };
    Some((word, reason))
}

fn gone(
    member: &ManifestMember,
    outcome: &MemberOutcome,
    fetched_at: Option<Timestamp>,
) -> (DocumentOutcome, String) {
    let landed = outcome.landed_at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let how = if outcome.got == Got::DeleteMarker { "deleted" } else { "gone" };
    let expired =
        member.expires_at.zip(fetched_at).is_some_and(|(expires_at, fetched_at)| expires_at <= fetched_at);
    if expired {
        (
            DocumentOutcome::Expired,
            format!("it landed at {landed} and the lifecycle took it before it was read"),
        )
    } else {
        (
            DocumentOutcome::Missing,
            format!("it was {how} from the landing before it was read; it landed at {landed}"),
        )
    }
}
