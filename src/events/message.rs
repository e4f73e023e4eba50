//! A message body, whatever its shape.

use chrono::Datelike;
use serde_json::Value;
use sluicegate_state::{Arrival, Counter, Notification};

use super::field::{shown, text};
use super::{Route, eventbridge, s3};
use crate::ports::object_store::LONGEST_KEY;

/// One event of a message, read.
pub(super) enum Event {
    /// An object landed.
    Landed(Landed),
    /// Anything else, in a bucket and at a key where it says so.
    Other(Option<(String, String)>),
    /// The storage's test message.
    Test,
}

/// What an event says about an object that landed.
pub(super) struct Landed {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) version_id: Option<String>,
    pub(super) etag: Option<String>,
    pub(super) sequencer: Option<String>,
    pub(super) size: Option<u64>,
    pub(super) event_time: sluicegate_state::Timestamp,
    pub(super) event_name: String,
}

/// An event, or why it cannot be read.
pub(super) type ReadEvent = Result<Event, String>;

/// Reads a message into arrivals for the journal; `source` is the inbox that it came through. There is at least one
/// arrival: nothing that was delivered is ever in no state. What cannot be read is kept raw, once for the whole message;
/// the readable records beside it are taken.
pub fn read_message(body: &[u8], source: &str, route: &Route<'_>) -> Vec<Arrival> {
    let mut arrivals = Vec::new();
    let mut reasons = Vec::new();
    for event in events(body) {
        match event.and_then(|event| arrival(event, source, route)) {
            Ok(arrival) => arrivals.push(arrival),
            Err(reason) => reasons.push(reason),
        }
    }
    if let Some(reason) = summary(reasons) {
        arrivals.push(Arrival::Unreadable { source: source.to_owned(), body: body.to_vec(), reason });
    }
    arrivals
}

/// The first reason, and how many more there are.
fn summary(mut reasons: Vec<String>) -> Option<String> {
    let more = reasons.len().checked_sub(1)?;
    let first = reasons.swap_remove(0);
    Some(if more == 0 { first } else { format!("{first} (and {more} more unreadable records)") })
}

fn events(body: &[u8]) -> Vec<ReadEvent> {
    match serde_json::from_slice::<Value>(body) {
        Ok(message) => match unwrapped(message) {
            Ok(message) => shape(&message),
            Err(reason) => vec![Err(reason)],
        },
        Err(error) => vec![Err(format!("the message is no JSON: {error}"))],
    }
}

/// Takes a message out of its SNS envelope, where it has one. What is inside is JSON once more, in a string.
fn unwrapped(message: Value) -> Result<Value, String> {
    let (Some(kind), Some(inner)) = (text(&message, "/Type"), text(&message, "/Message")) else {
        return Ok(message);
    };
    match kind {
        "Notification" => serde_json::from_str(inner)
            .map_err(|error| format!("the message inside the SNS envelope is no JSON: {error}")),
        "SubscriptionConfirmation" | "UnsubscribeConfirmation" => {
            Err(format!("an SNS {kind}, which a person has to confirm: {}", shown(inner)))
        }
        other => Err(format!("an SNS envelope of an unknown type: {}", shown(other))),
    }
}

fn shape(message: &Value) -> Vec<ReadEvent> {
    if let Some(records) = message.get("Records") {
        return match records.as_array().map(Vec::as_slice) {
            None | Some([]) => vec![Err("Records is no list with something in it".to_owned())],
            Some(records) => records.iter().map(s3::event).collect(),
        };
    }
    if text(message, "/Event") == Some("s3:TestEvent") {
        return vec![Ok(Event::Test)];
    }
    if message.get("detail-type").is_some() && message.get("detail").is_some() {
        return vec![eventbridge::event(message)];
    }
    vec![Err("no message of a known shape: neither an S3 event, nor EventBridge, nor SNS".to_owned())]
}

fn arrival(event: Event, source: &str, route: &Route<'_>) -> Result<Arrival, String> {
    match event {
        Event::Test => Ok(Arrival::Counted(Counter::TestEvent, None)),
        Event::Other(place) => {
            let job = place.and_then(|(bucket, key)| route(&bucket, &key));
            Ok(Arrival::Counted(Counter::IgnoredEvent, job))
        }
        Event::Landed(landed) => landed.arrival(source, route),
    }
}

/// The longest version id, in bytes ("version IDs" in the S3 user guide).
const LONGEST_VERSION_ID: usize = 1_024;
/// Far more than any storage takes, and few enough that sums of them fit every integer.
const LARGEST_OBJECT: u64 = 1 << 50;
/// Far more than any sequencer or eTag has.
const LONGEST_TAG: usize = 256;

impl Landed {
    /// One message that says what no storage ever says must not stop the batch that it would be a member of: such a key
    /// fits no index, such an eTag no header, such a character no database.
    fn refuse_what_no_storage_says(&self) -> Result<(), String> {
        let refuse = |what: &str, text: &str| Err(format!("{what}: {}", shown(text)));
        // SQLite and PostgreSQL could not keep it apart from another key, or not at all.
        if self.key.contains('\0') {
            return refuse("the key holds a NUL character", &self.key);
        }
        if self.key.len() > LONGEST_KEY {
            return refuse("the key has more than 1,024 bytes", &self.key);
        }
        let etag = self.etag.as_deref().unwrap_or_default();
        if etag.len() > LONGEST_TAG || !etag.bytes().all(|byte| byte.is_ascii_graphic()) {
            return refuse("the eTag is none", etag);
        }
        let sequencer = self.sequencer.as_deref().unwrap_or_default();
        if sequencer.len() > LONGEST_TAG || !sequencer.bytes().all(|byte| byte.is_ascii_graphic()) {
            return refuse("the sequencer is none", sequencer);
        }
        let version_id = self.version_id.as_deref().unwrap_or_default();
        if version_id.len() > LONGEST_VERSION_ID || version_id.chars().any(char::is_control) {
            return refuse("the versionId is none", version_id);
        }
        if self.size.is_some_and(|size| size > LARGEST_OBJECT) {
            return refuse("no object has that size", &format!("{:?}", self.size));
        }
        // PostgreSQL knows no year 0.
        if !(1..=9999).contains(&self.event_time.year()) {
            return refuse("no object landed in that year", &self.event_time.to_rfc3339());
        }
        Ok(())
    }

    fn arrival(self, source: &str, route: &Route<'_>) -> Result<Arrival, String> {
        let job = route(&self.bucket, &self.key);
        if self.size == Some(0) && self.key.ends_with('/') {
            return Ok(Arrival::Counted(Counter::IgnoredKey, job));
        }
        let Some(job) = job else { return Ok(Arrival::Counted(Counter::Unrouted, None)) };
        self.refuse_what_no_storage_says()?;
        if self.version_id.is_none() && self.etag.is_none() {
            return Err(format!("neither eTag nor versionId says which object landed: {}", shown(&self.key)));
        }
        Ok(Arrival::Notification(Notification {
            job,
            bucket: self.bucket,
            key: self.key,
            version_id: self.version_id,
            etag: self.etag.unwrap_or_default(),
            sequencer: self.sequencer,
            size: self.size,
            event_time: self.event_time,
            event_name: self.event_name,
            source: source.to_owned(),
            expires_at: None,
        }))
    }
}
