//! One record of an S3 event notification (`notification-content-structure` in the S3 user guide, versions 2.0 to 2.6).

use serde_json::Value;

use super::field::{etag, required, shown, size, text, time, version_id};
use super::form::form_decode;
use super::message::{Event, Landed, ReadEvent};

/// Reads a record. The major version says whether the record can be understood; fields that are not known are later
/// minor versions' and mean nothing here.
pub(super) fn event(record: &Value) -> ReadEvent {
    let version = required(record, "/eventVersion")?;
    if version.split('.').next() != Some("2") {
        return Err(format!("eventVersion is {}; only major version 2 is understood", shown(version)));
    }
    let event_name = required(record, "/eventName")?;
    if !is_created(event_name) {
        return Ok(Event::Other(place(record).ok()));
    }
    let (bucket, key) = place(record)?;
    Ok(Event::Landed(Landed {
        bucket,
        key,
        version_id: version_id(record, "/s3/object/versionId"),
        etag: etag(record, "/s3/object/eTag"),
        sequencer: text(record, "/s3/object/sequencer").map(str::to_owned),
        size: size(record, "/s3/object/size"),
        event_time: time(record, "/eventTime")?,
        event_name: event_name.to_owned(),
    }))
}

/// Whether an object landed. AWS writes no `s3:` in front of the name, other storages do.
fn is_created(event_name: &str) -> bool {
    event_name.strip_prefix("s3:").unwrap_or(event_name).starts_with("ObjectCreated:")
}

fn place(record: &Value) -> Result<(String, String), String> {
    let bucket = required(record, "/s3/bucket/name")?;
    let encoded = required(record, "/s3/object/key")?;
    let key = form_decode(encoded).map_err(|reason| format!("the key {} {reason}", shown(encoded)))?;
    Ok((bucket.to_owned(), key))
}
