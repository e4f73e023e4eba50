//! Batches, their members, and what happened to them.

use std::time::Duration;

use crate::machine::{BatchEvent, BatchState, Stage};
use crate::{Notification, Timestamp, identity};

/// How large a batch may become, and how long it may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Documents at most.
    pub documents: u64,
    /// Bytes at most; a larger document is a batch of its own.
    pub bytes: u64,
    /// Estimated rows at most.
    pub rows: u64,
    /// Bytes that one row takes, for the estimate.
    pub bytes_per_row: u64,
    /// A pending notification this old seals its batch.
    pub max_age: Duration,
}

/// A wish to seal.
#[derive(Debug, Clone, Copy)]
pub struct SealRequest<'a> {
    /// The job.
    pub job: &'a str,
    /// Its limits.
    pub limits: Limits,
    /// Seal however little there is.
    pub force: bool,
    /// Who seals.
    pub incarnation: &'a str,
    /// The job definition's hash at this moment, for the record.
    pub definition_hash: &'a str,
}

/// A sealed, ordered set of documents of one job, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Made from its content.
    pub batch_id: String,
    /// The job.
    pub job: String,
    /// Where it is.
    pub state: BatchState,
    /// Where it failed from, when it is failed.
    pub failed_from: Option<BatchState>,
    /// How many members it has.
    pub documents: u64,
    /// The sum of their announced sizes.
    pub bytes: u64,
    /// The rows that those bytes were taken for.
    pub estimated_rows: u64,
    /// The event time of its oldest member.
    pub oldest_event_time: Timestamp,
    /// When the landing removes its first member.
    pub earliest_expiry: Option<Timestamp>,
    /// Sealed by force, before it was full or old.
    pub early: bool,
    /// When it was sealed.
    pub sealed_at: Timestamp,
    /// Who sealed it.
    pub incarnation: String,
    /// The job definition's hash when it was sealed.
    pub definition_hash: String,
    /// For a replay: the batches it replays.
    pub parents: Vec<String>,
    /// For a replay: its number; 0 otherwise.
    pub replay: u64,
    /// Members that went back to the journal to be tried in a later batch.
    pub deferred: u64,
    /// Attempts begun, in all states.
    pub attempts: u64,
    /// Transient failures since it entered its state: what back-off counts.
    pub failures: u64,
    /// Not before this.
    pub next_try_at: Option<Timestamp>,
    /// The last error, until the batch moves forward again.
    pub last_error: Option<String>,
    /// When it entered its state.
    pub changed_at: Timestamp,
}

/// One document of a batch, as it was announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its place, from 0.
    pub ordinal: u32,
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// The version's id.
    pub version_id: Option<String>,
    /// The eTag.
    pub etag: String,
    /// The sequencer.
    pub sequencer: Option<String>,
    /// The announced size.
    pub size: Option<u64>,
    /// When it happened.
    pub event_time: Timestamp,
    /// When the landing removes it.
    pub expires_at: Option<Timestamp>,
    /// How often it had been deferred when this batch was sealed.
    pub tries: u64,
}

impl Member {
    /// The identity of its notification.
    pub fn identity(&self) -> String {
        identity(&self.bucket, &self.key, self.version_id.as_deref(), &self.etag, self.sequencer.as_deref())
    }
}

/// A member that could not be read while its neighbours could: it is pending again, for a later batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deferral {
    /// Its place in the batch.
    pub ordinal: u32,
    /// Not before this.
    pub next_try_at: Timestamp,
}

/// What became of a wish to move a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// It moved.
    Yes,
    /// It was already there, or further: somebody else did it, or an answer had been lost.
    AlreadyThere,
    /// It is elsewhere, and this event does not apply any more. Nothing was done.
    Lost,
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptFailure {
    /// It may go better later.
    Transient {
        /// What went wrong.
        error: String,
        /// Not before this.
        next_try_at: Timestamp,
    },
    /// It goes no better without a person: the batch is parked.
    Permanent {
        /// What went wrong.
        error: String,
    },
}

text_enum! {
    /// How an attempt ended.
    pub enum AttemptOutcome {
        /// It has not.
        Running => "running",
        /// Its work is done.
        Succeeded => "succeeded",
        /// It failed, and will be repeated.
        Transient => "transient",
        /// It failed, and its batch was parked.
        Permanent => "permanent",
        /// Its process ended in its midst.
        Died => "died",
        /// Meanwhile its batch was parked or abandoned by somebody else.
        Lost => "lost",
    }
}

/// One attempt to take a batch one state further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Its number in this store.
    pub attempt_id: i64,
    /// The batch.
    pub batch_id: String,
    /// The work.
    pub stage: Stage,
    /// Who attempts.
    pub incarnation: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// What went wrong.
    pub error: Option<String>,
}

/// One line of the transition log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransitionRecord {
    /// The batch.
    pub batch_id: String,
    /// Where it was; nothing at its sealing.
    pub from: Option<BatchState>,
    /// Where it went.
    pub to: BatchState,
    /// What happened; nothing at its sealing.
    pub event: Option<BatchEvent>,
    /// When.
    pub at: Timestamp,
    /// Who moved it.
    pub incarnation: String,
    /// Why.
    pub cause: String,
}

/// How far a batch had got that is adopted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdoptionReach {
    /// Its archive is there.
    Archived,
    /// The ledger has its load.
    Loaded,
}

/// A member of a batch that is adopted, as its archive names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdoptedMember {
    /// What was sealed.
    pub notification: Notification,
    /// How often it had been tried before.
    pub tries: u64,
    /// It could not be read then: it is tried again in a later batch.
    pub deferred: bool,
}

/// A batch that was found in the archive or in the ledger.
#[derive(Debug, Clone, Copy)]
pub struct Adoption<'a> {
    /// Its id.
    pub batch_id: &'a str,
    /// Its job.
    pub job: &'a str,
    /// When it was sealed.
    pub sealed_at: Timestamp,
    /// In their order.
    pub members: &'a [AdoptedMember],
    /// The definition that its manifest names.
    pub definition_hash: &'a str,
    /// The batches that it replays.
    pub parents: &'a [String],
    /// The number of the replay; 0 for none.
    pub replay: u64,
    /// Who adopts it.
    pub incarnation: &'a str,
    /// How far it has got.
    pub reach: AdoptionReach,
    /// Why, for the transition log.
    pub cause: &'a str,
}
