//! The archive stage: seals batches and secures their originals. It needs the state store, the landing and the archive,
//! and waits for nothing behind it.

use std::io::Read;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use sluicegate_state::canary::{Canary, sings};
use sluicegate_state::{
    Arrival, Batch, BatchEvent, BatchState, Deferral, Limits, Member, Notification, SealRequest,
    Stage as Step, Store, Timestamp,
};

use crate::archive::{FORMAT_VERSION, Got, Manifest, ManifestMember, Outcomes, object_key};
use crate::effects;
use crate::failure::{Failure, Outcome};
use crate::job::Job;
use crate::ports::object_store::{ObjectInfo, ObjectStore, PutAnswer, VersionSource};

use super::archived::read_archive;
use super::attempt::{fail, idle};
use super::backoff;
use super::context::Context;
use super::documents::archive_failure;
use super::fetch::{self, Deferrable, FetchedBatch, Fetchers};
use super::handover::{ArchiveCopy, ArchivedCopy};
use super::replay::ParentArchives;
use super::stage::{Stage, Tick};

/// Sealed batches of a job that wait for a retry before its sealing pauses.
const WAITING_BATCHES: usize = 4;

/// Seals and archives.
pub struct ArchiveStage {
    context: Arc<Context>,
    store: Store,
    /// The job whose turn it is to seal.
    turn: usize,
    fetchers: Fetchers,
}

impl ArchiveStage {
    /// A stage with a state connection of its own.
    pub fn new(context: Arc<Context>) -> Outcome<Self> {
        let store = context.open_store()?;
        Ok(Self { context, store, turn: 0, fetchers: Fetchers::default() })
    }

    /// Seals a batch of the job whose turn it is, or of the next one that has something to seal.
    fn seal(&mut self) -> Outcome<Option<Batch>> {
        let jobs: Vec<Arc<Job>> = self.context.jobs.values().cloned().collect();
        // While archiving fails, what is pending stays pending: sealed batches that nobody can archive help nobody.
        let waiting = self.store.waiting_batches(BatchState::Sealed, WAITING_BATCHES * jobs.len())?;
        for offset in 0..jobs.len() {
            let index = (self.turn + offset) % jobs.len();
            if waiting.iter().filter(|batch| batch.job == jobs[index].name).count() >= WAITING_BATCHES {
                continue;
            }
            let request = seal_request(&jobs[index], &self.context);
            if let Some(batch) = self.store.seal(&request, self.context.clock.now())? {
                self.turn = index + 1;
                tracing::info!(batch = %batch.batch_id, documents = batch.documents, "sealed");
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }

    fn archive(&mut self, batch: &Batch) -> Outcome<()> {
        let attempt = self.store.begin_attempt(
            &batch.batch_id,
            Step::Archive,
            &self.context.incarnation,
            self.context.clock.now(),
        )?;
        match self.secure(batch) {
            Ok((outcomes, cause)) => {
                let deferred = self.deferrals(batch, &outcomes)?;
                let now = self.context.clock.now();
                self.store.complete_attempt(attempt, BatchEvent::Archived, &cause, &deferred, now)?;
                self.context.tally.add(|counts| counts.archived += batch.documents);
                Ok(())
            }
            Err(failure) => fail(&self.context, &mut self.store, batch, attempt, failure),
        }
    }

    /// Makes sure that the archive object is there, and reads what it says.
    fn secure(&mut self, batch: &Batch) -> Outcome<(Outcomes, String)> {
        let key = object_key(&batch.job, &batch.batch_id);
        if let Some(copy) = read_archive(&self.context, &key)? {
            return self.adopt(batch, copy);
        }
        let landing = self.context.landing(&batch.job)?;
        let job = self.context.job(&batch.job)?;
        let manifest = self.manifest(batch, &job, landing.as_ref())?;
        // The landing has emptied itself long ago: the originals of a replay are in the archives of its parents.
        let landing: Arc<dyn ObjectStore> = if batch.parents.is_empty() {
            landing
        } else {
            Arc::new(ParentArchives::find(self.context.archive.clone(), landing.bucket(), &manifest)?)
        };
        let deferrable = Deferrable::of(batch);
        let mut fetched =
            fetch::fetch(&self.context, &mut self.fetchers, landing.as_ref(), &manifest, deferrable)?;
        self.journal_overwriters(&manifest, &fetched.outcomes, landing.as_ref())?;
        match self.put(&key, &mut fetched)? {
            PutAnswer::Written => {
                let FetchedBatch { copy, outcomes, originals } = fetched;
                let size = copy.size;
                self.hand_over(batch, ArchivedCopy::made(copy, originals, (manifest, outcomes.clone())));
                Ok((outcomes, format!("archived as {key}, {size} bytes")))
            }
            PutAnswer::Exists => {
                let copy = read_archive(&self.context, &key)?.ok_or_else(|| {
                    Failure::transient(format!("the archive object {key} was there and is gone"))
                })?;
                self.adopt(batch, copy)
            }
        }
    }

    /// Somebody's archive was there first: its members, bytes and outcomes are the batch's (I4).
    fn adopt(&self, batch: &Batch, mut copy: ArchiveCopy) -> Outcome<(Outcomes, String)> {
        // A spool that cannot be read now says nothing about the archive.
        let outcomes = crate::archive::read_outcomes(&mut copy.file).map_err(|error| {
            archive_failure(error).while_doing(format!("the archive of {}", batch.batch_id))
        })?;
        self.hand_over(batch, ArchivedCopy::packed(copy));
        Ok((outcomes, "the archive object was there already; adopted".to_owned()))
    }

    fn hand_over(&self, batch: &Batch, copy: ArchivedCopy) {
        let sizes = copy.sizes();
        self.context.handover.archives.put(&batch.batch_id, copy, &sizes);
    }

    fn put(&self, key: &str, fetched: &mut FetchedBatch) -> Outcome<PutAnswer> {
        let copy = &mut fetched.copy;
        let sha256 = hash(copy).map_err(|e| Failure::transient(format!("cannot read the spool: {e}")))?;
        let archive = &self.context.archive;
        self.context
            .seam
            .perform(effects::ARCHIVE_PUT, || archive.put_new(key, &mut copy.file, copy.size, &sha256))
    }

    fn manifest(&self, batch: &Batch, job: &Job, landing: &dyn ObjectStore) -> Outcome<Manifest> {
        let members = self.store.members(&batch.batch_id)?;
        let members = members.into_iter().map(|member| ManifestMember {
            expires_at: expires_at(&member, job, landing),
            ordinal: member.ordinal,
            bucket: member.bucket,
            key: member.key,
            version_id: member.version_id,
            etag: member.etag,
            sequencer: member.sequencer,
            size: member.size,
            event_time: member.event_time,
            tries: member.tries,
        });
        Ok(Manifest {
            format_version: FORMAT_VERSION,
            batch_id: batch.batch_id.clone(),
            job: batch.job.clone(),
            sealed_at: batch.sealed_at,
            incarnation: self.context.incarnation.clone(),
            host: self.context.host.clone(),
            definition_hash: job.hash.clone(),
            definition_text: job.text.clone(),
            parents: batch.parents.clone(),
            replay: u32::try_from(batch.replay).unwrap_or(u32::MAX),
            members: members.collect(),
        })
    }

    /// Where a document was overwritten before it was read, what is there now is journaled first, and the old one is
    /// then recorded as superseded (I2): a lost event of the newer one loses nothing.
    fn journal_overwriters(
        &mut self,
        manifest: &Manifest,
        outcomes: &Outcomes,
        landing: &dyn ObjectStore,
    ) -> Outcome<()> {
        let mut arrivals = Vec::new();
        let overwritten = outcomes.members.iter().filter(|member| member.got == Got::Overwritten);
        for outcome in overwritten {
            let Some(member) = manifest.member(outcome.ordinal) else { continue };
            if let Some(info) = landing.head(&member.key)? {
                arrivals.push(Arrival::Notification(found_now(&manifest.job, landing.bucket(), &info)));
            }
        }
        if !arrivals.is_empty() {
            self.store.journal_found(&arrivals, self.context.clock.now())?;
        }
        Ok(())
    }

    fn deferrals(&self, batch: &Batch, outcomes: &Outcomes) -> Outcome<Vec<Deferral>> {
        let mut deferred = outcomes.members.iter().filter(|member| member.got == Got::Deferred).peekable();
        if deferred.peek().is_none() {
            return Ok(Vec::new());
        }
        let members = self.store.members(&batch.batch_id)?;
        let now = self.context.clock.now();
        let deferrals = deferred.map(|outcome| {
            let member = &members[outcome.ordinal as usize];
            let message = outcome.message.as_deref().unwrap_or("");
            tracing::warn!(key = %member.key, "cannot be read now, will be tried again: {message}");
            let delay = backoff::deferral_delay(&member.key, member.tries);
            Deferral { ordinal: outcome.ordinal, next_try_at: now + delay }
        });
        Ok(deferrals.collect())
    }
}

impl Stage for ArchiveStage {
    fn name(&self) -> &'static str {
        "archive"
    }

    fn tick(&mut self) -> Outcome<Tick> {
        if sings(Canary::ArchiveAsksLedger) && (self.context.open_warehouse)().is_err() {
            return Ok(Tick::idle());
        }
        let now = self.context.clock.now();
        let due = self.store.due_batches(BatchState::Sealed, now, 1)?.pop();
        let batch = match due {
            Some(batch) => Some(batch),
            None => self.seal()?,
        };
        match batch {
            Some(batch) => {
                self.archive(&batch)?;
                Ok(Tick::Worked)
            }
            None => idle(&self.store, BatchState::Sealed, now, !self.context.seal_at_once),
        }
    }
}

fn seal_request<'a>(job: &'a Job, context: &'a Context) -> SealRequest<'a> {
    SealRequest {
        job: &job.name,
        limits: Limits {
            documents: job.limits.documents,
            bytes: job.limits.bytes,
            rows: job.limits.rows,
            bytes_per_row: job.limits.bytes_per_row,
            max_age: std::time::Duration::from_secs(job.limits.seconds),
        },
        force: context.seal_at_once,
        incarnation: &context.incarnation,
        definition_hash: &job.hash,
    }
}

/// When the landing takes a member: as it was announced, as the job says, else by the landing's own rules.
fn expires_at(member: &Member, job: &Job, landing: &dyn ObjectStore) -> Option<Timestamp> {
    let by_rule = || landing.expires_at(&member.key, member.size.unwrap_or(0), member.event_time);
    member.expires_at.or_else(|| job.expires_at(member.event_time)).or_else(by_rule)
}

/// A notification of what lies at a key now, as the store itself describes it.
pub(super) fn found_now(job: &str, bucket: &str, info: &ObjectInfo) -> Notification {
    let version_id = match &info.version {
        VersionSource::Id(id) => Some(id.clone()),
        _ => None,
    };
    Notification {
        job: job.to_owned(),
        bucket: bucket.to_owned(),
        key: info.key.clone(),
        version_id,
        etag: info.etag.clone(),
        sequencer: None,
        size: Some(info.size),
        event_time: info.last_modified,
        event_name: "Head:Found".to_owned(),
        source: "head".to_owned(),
        expires_at: info.expires_at,
    }
}

fn hash(copy: &mut ArchiveCopy) -> std::io::Result<String> {
    copy.rewind()?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        let count = copy.file.read(&mut buffer)?;
        if count == 0 {
            copy.rewind()?;
            return Ok(hex::encode(hasher.finalize()));
        }
        hasher.update(&buffer[..count]);
    }
}
