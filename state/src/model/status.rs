//! Summaries for people.

use crate::{Counter, Timestamp};

/// What a job has not done yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Notifications in no batch, deferred ones included.
    pub pending: u64,
    /// The sum of their announced sizes.
    pub pending_bytes: u64,
    /// Those of them that were deferred and wait for their next try.
    pub deferred: u64,
    /// Batches that the pipeline has work to do on.
    pub unfinished_batches: u64,
    /// Their members, without those that were deferred.
    pub unfinished_members: u64,
    /// Parked batches.
    pub failed_batches: u64,
    /// Their members, without those that were deferred.
    pub failed_members: u64,
    /// The oldest event among all of these.
    pub oldest_event_time: Option<Timestamp>,
    /// The earliest expiry among those whose originals are not archived yet.
    pub earliest_expiry: Option<Timestamp>,
}

/// Documents of one hour whose originals are not archived yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unarchived {
    /// How many.
    pub documents: u64,
    /// The key of one of them.
    pub key: String,
    /// Its announced size.
    pub size: Option<u64>,
    /// When the oldest event among them happened.
    pub event_time: Timestamp,
    /// The earliest expiry among them, where one was announced.
    pub expires_at: Option<Timestamp>,
}

/// How often something came that is only counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CounterTotal {
    /// What.
    pub counter: Counter,
    /// For which job, where one is known.
    pub job: Option<String>,
    /// How often.
    pub count: u64,
    /// When last.
    pub last_at: Timestamp,
}

/// How often an inbox refused a delivery for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusalTotal {
    /// Which inbox.
    pub source: String,
    /// Why, in the inbox's own word.
    pub reason: String,
    /// How often.
    pub count: u64,
    /// When last.
    pub last_at: Timestamp,
}

/// What the journal received for a job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JournalTotals {
    /// Notifications.
    pub received: u64,
    /// Known ones that came again.
    pub redeliveries: u64,
    /// Of the notifications, those that nobody sent: a listing of the landing found their documents in its turn.
    pub missed: u64,
}

/// One line of the command log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Its number in this store.
    pub command_id: i64,
    /// Who ran it.
    pub incarnation: String,
    /// The command line.
    pub argv: Vec<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Its exit status. Nothing, with an end: its process died.
    pub exit: Option<i32>,
}
