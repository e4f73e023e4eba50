//! Giving up a parked batch: a load that brings no rows, and leaves each document the outcome `abandoned`, so that
//! everything received still has an outcome (I9).

use sluicegate_state::{Batch, BatchState, Member, Store};

use crate::archive::{FORMAT_VERSION, Got, Manifest, ManifestMember, MemberOutcome, Outcomes, object_key};
use crate::failure::{Failure, Outcome};
use crate::job::Job;
use crate::pipeline::context::Context;
use crate::pipeline::encode::encode;
use crate::pipeline::load::{request_of, source_orders};
use crate::ports::warehouse::{
    BeginLoad, DocumentOutcome, DocumentSource, DocumentVisitor, LoadRequest, Verdict, Warehouse,
};

use super::read_index;

/// Nothing is read any more.
struct Nothing;

impl DocumentSource for Nothing {
    fn visit(&self, _visitor: &mut dyn DocumentVisitor) -> Outcome<()> {
        Ok(())
    }
}

/// Records in the ledger that the documents of a parked batch are given up; what each of them ended as. Doing it again
/// changes nothing.
///
/// # Errors
/// Permanent where the batch is not parked before its load, or turns out to be loaded.
pub fn abandon(
    context: &Context,
    store: &Store,
    warehouse: &mut dyn Warehouse,
    batch: &Batch,
    words: &str,
) -> Outcome<Vec<Verdict>> {
    let refuse = |why: &str| Err(Failure::permanent(format!("{} {why}", batch.batch_id)));
    match (batch.state, batch.failed_from) {
        (BatchState::Failed, Some(BatchState::Sealed | BatchState::Archived)) => {}
        (BatchState::Failed, _) => {
            return refuse(
                "is loaded: its rows are in the warehouse, so it can only go on: sluicegate jobs replay",
            );
        }
        (state, _) => return refuse(&format!("is {state}: only a parked batch can be abandoned")),
    }
    let job = context.job(&batch.job)?;
    let archive_key = object_key(&batch.job, &batch.batch_id);
    let (manifest, outcomes) = match read_index(context.archive.as_ref(), &archive_key) {
        Ok(Some(index)) => index,
        // Never archived, or damaged: what was announced is known all the same.
        Ok(None) => announced(batch, &store.members(&batch.batch_id)?),
        Err(failure) if failure.kind == crate::failure::FailureKind::Permanent => {
            announced(batch, &store.members(&batch.batch_id)?)
        }
        Err(failure) => return Err(failure),
    };
    let mut request = request_of(context, &job, batch, &manifest, &outcomes)?;
    give_up(&mut request, words);
    match load_nothing(context, &job, &request, warehouse)? {
        Some(verdicts) => Ok(verdicts),
        None => given_up_before(warehouse, batch),
    }
}

/// The one transaction; none where a COMMIT of this batch was there first.
fn load_nothing(
    context: &Context,
    job: &Job,
    request: &LoadRequest,
    warehouse: &mut dyn Warehouse,
) -> Outcome<Option<Vec<Verdict>>> {
    let schema = job.definition.schema();
    let mut transaction = match warehouse.begin_load(request, schema)? {
        BeginLoad::Fresh(transaction) => transaction,
        BeginLoad::AlreadyLoaded => return Ok(None),
    };
    let verdicts = transaction.insert(&Nothing)?;
    let orders = source_orders(request);
    let (tables, _) = encode(&request.batch_id, schema, &Nothing, &verdicts, &orders, &context.spool)?;
    transaction.commit(&verdicts, &tables)?;
    Ok(Some(verdicts))
}

/// A deferred member is pending again and no business of this batch any more.
fn give_up(request: &mut LoadRequest, words: &str) {
    for document in &mut request.documents {
        if !matches!(document.unread, Some((DocumentOutcome::Deferred, _))) {
            document.unread = Some((DocumentOutcome::Abandoned, words.to_owned()));
        }
    }
}

/// A death after the commit leaves the batch parked; a load whose answer was lost does so too, and is no abandonment.
fn given_up_before(warehouse: &mut dyn Warehouse, batch: &Batch) -> Outcome<Vec<Verdict>> {
    use DocumentOutcome::{Abandoned, Again, Deferred};
    let loaded = warehouse.loaded_batch(&batch.batch_id)?.ok_or_else(|| {
        Failure::transient(format!("the ledger has the key of {} and then has not", batch.batch_id))
    })?;
    if loaded.verdicts.iter().all(|verdict| matches!(verdict.outcome, Abandoned | Again | Deferred)) {
        return Ok(loaded.verdicts);
    }
    Err(Failure::permanent(format!(
        "{0} is loaded: an answer was lost, and its rows are in the warehouse; let it go on: sluicegate jobs replay {0}",
        batch.batch_id
    )))
}

/// Manifest and outcomes of a batch without an archive: a document never seen has the version `<eTag>@` (I2).
fn announced(batch: &Batch, members: &[Member]) -> (Manifest, Outcomes) {
    use chrono::SubsecRound;
    let manifest_member = |member: &Member| ManifestMember {
        ordinal: member.ordinal,
        bucket: member.bucket.clone(),
        key: member.key.clone(),
        version_id: member.version_id.clone(),
        etag: member.etag.clone(),
        sequencer: member.sequencer.clone(),
        size: member.size,
        event_time: member.event_time,
        tries: member.tries,
        expires_at: member.expires_at,
    };
    let outcome = |member: &Member| MemberOutcome {
        ordinal: member.ordinal,
        got: Got::NotFound,
        version: member.version_id.clone().unwrap_or_else(|| format!("{}@", member.etag)),
        landed_at: member.event_time.trunc_subsecs(0),
        size: member.size.unwrap_or(0),
        sha256: None,
        message: None,
        frame: None,
    };
    let manifest = Manifest {
        format_version: FORMAT_VERSION,
        batch_id: batch.batch_id.clone(),
        job: batch.job.clone(),
        sealed_at: batch.sealed_at,
        incarnation: batch.incarnation.clone(),
        host: String::new(),
        definition_hash: batch.definition_hash.clone(),
        definition_text: String::new(),
        parents: batch.parents.clone(),
        replay: u32::try_from(batch.replay).unwrap_or(u32::MAX),
        members: members.iter().map(manifest_member).collect(),
    };
    let members = members.iter().map(outcome).collect();
    (manifest, Outcomes { format_version: FORMAT_VERSION, members, fetched_at: None })
}
