//! An S3 event by way of Amazon EventBridge (`ev-events` in the S3 user guide): names in kebab case, the key not encoded.

use serde_json::Value;

use super::field::{etag, required, size, text, time, version_id};
use super::message::{Event, Landed, ReadEvent};

const CREATED: &str = "Object Created";

/// Reads an event; one that is not about an object that landed in S3 is another one's business.
pub(super) fn event(message: &Value) -> ReadEvent {
    let kind = required(message, "/detail-type")?;
    let foreign = text(message, "/source").is_some_and(|source| source != "aws.s3");
    if foreign || kind != CREATED {
        let place = place(message).ok().filter(|_| !foreign);
        return Ok(Event::Other(place));
    }
    let (bucket, key) = place(message)?;
    Ok(Event::Landed(Landed {
        bucket,
        key,
        version_id: version_id(message, "/detail/object/version-id"),
        etag: etag(message, "/detail/object/etag"),
        sequencer: text(message, "/detail/object/sequencer").map(str::to_owned),
        size: size(message, "/detail/object/size"),
        event_time: time(message, "/time")?,
        event_name: CREATED.to_owned(),
    }))
}

fn place(message: &Value) -> Result<(String, String), String> {
    let bucket = required(message, "/detail/bucket/name")?;
    let key = required(message, "/detail/object/key")?;
    Ok((bucket.to_owned(), key.to_owned()))
}
