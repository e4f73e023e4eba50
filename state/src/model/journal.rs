//! What arrives and is journaled.

use crate::Timestamp;

/// One record of one event: an object landed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// The job that it belongs to.
    pub job: String,
    /// The bucket, or `local` for a folder.
    pub bucket: String,
    /// The full decoded key.
    pub key: String,
    /// The version's id, where the bucket has versions.
    pub version_id: Option<String>,
    /// The eTag.
    pub etag: String,
    /// Orders the events of one key; never identifies a document.
    pub sequencer: Option<String>,
    /// The object's size in bytes, where the event says it.
    pub size: Option<u64>,
    /// When it happened, as the event says.
    pub event_time: Timestamp,
    /// What happened, as the event says.
    pub event_name: String,
    /// Through which inbox it came.
    pub source: String,
    /// When the landing removes the object at the earliest.
    pub expires_at: Option<Timestamp>,
}

impl Notification {
    /// The identity, by which a redelivery is known: see [`identity`]. The job is no part of it.
    pub fn identity(&self) -> String {
        identity(&self.bucket, &self.key, self.version_id.as_deref(), &self.etag, self.sequencer.as_deref())
    }
}

/// The identity of a notification as the text of a JSON array: bucket, key, versionId (absent, empty or `null` mean none)
/// or else eTag, sequencer or else the empty text.
pub fn identity(
    bucket: &str,
    key: &str,
    version_id: Option<&str>,
    etag: &str,
    sequencer: Option<&str>,
) -> String {
    let version = present_version(version_id).unwrap_or(etag);
    serde_json::to_string(&[bucket, key, version, sequencer.unwrap_or("")]).expect("texts are always JSON")
}

/// A version id that says something.
pub(crate) fn present_version(version_id: Option<&str>) -> Option<&str> {
    version_id.filter(|id| !id.is_empty() && *id != "null")
}

/// Something that an inbox delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// A notification for a job.
    Notification(Notification),
    /// A message that nobody can read. It is kept raw.
    Unreadable {
        /// Through which inbox it came.
        source: String,
        /// The message.
        body: Vec<u8>,
        /// Why it cannot be read.
        reason: String,
    },
    /// Something that is only counted, for a job where one is known.
    Counted(Counter, Option<String>),
    /// Deliveries that the inbox refused since it last said so; nothing of them is kept.
    Refused {
        /// Which inbox.
        source: String,
        /// Why, in a word of the inbox's own.
        reason: String,
        /// How many; none is no arrival.
        count: u64,
    },
}

text_enum! {
    /// What is only counted.
    pub enum Counter {
        /// No job wants it.
        Unrouted => "unrouted",
        /// The storage's own test message.
        TestEvent => "test_event",
        /// An event that lands nothing.
        IgnoredEvent => "ignored_event",
        /// A key that is no document, such as a folder marker.
        IgnoredKey => "ignored_key",
    }
}

/// The event name of a notification that nobody sent: its document was found by a listing of the landing in its turn.
pub const MISSED_EVENT: &str = "List:Missed";

/// What journaling did with the arrivals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JournalReceipt {
    /// New notifications.
    pub recorded: u64,
    /// Notifications that were known.
    pub redelivered: u64,
    /// Messages that nobody can read, new or again.
    pub unreadable: u64,
    /// Arrivals that were only counted, refused ones included.
    pub counted: u64,
}

text_enum! {
    /// Where a notification is.
    pub enum NotificationState {
        /// It waits to be sealed into a batch.
        Pending => "pending",
        /// It is a member of a batch.
        Batched => "batched",
    }
}

/// A notification with everything that the journal knows about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalEntry {
    /// Its number in this store.
    pub notification_id: i64,
    /// What it said.
    pub notification: Notification,
    /// When it was journaled.
    pub received_at: Timestamp,
    /// How often it came again.
    pub redeliveries: u64,
    /// When it last came again.
    pub last_redelivered_at: Option<Timestamp>,
    /// Where it is.
    pub state: NotificationState,
    /// The batch that it is in.
    pub batch_id: Option<String>,
    /// Its place in that batch.
    pub ordinal: Option<u32>,
    /// How often it was deferred.
    pub tries: u64,
    /// Deferred: not before this.
    pub next_try_at: Option<Timestamp>,
}

/// A message that nobody could read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// SHA-256 of the message, in hexadecimal.
    pub sha256: String,
    /// Through which inbox it came first.
    pub source: String,
    /// The message.
    pub body: Vec<u8>,
    /// Why it cannot be read.
    pub reason: String,
    /// When it came first.
    pub first_seen_at: Timestamp,
    /// When it came last.
    pub last_seen_at: Timestamp,
    /// How often it came.
    pub seen: u64,
}
