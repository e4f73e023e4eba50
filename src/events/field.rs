//! Reads single fields of events, with reasons for people where they are not as they must be.

use chrono::{DateTime, NaiveDateTime};
use serde_json::Value;
use sluicegate_state::Timestamp;

/// The text at `path`, where there is one that is not empty.
pub(super) fn text<'a>(value: &'a Value, path: &str) -> Option<&'a str> {
    value.pointer(path)?.as_str().filter(|text| !text.is_empty())
}

/// The text at `path`, which must be there.
pub(super) fn required<'a>(value: &'a Value, path: &str) -> Result<&'a str, String> {
    text(value, path).ok_or_else(|| format!("{} is missing or no text", name(path)))
}

/// An object's size: a number, or digits.
pub(super) fn size(value: &Value, path: &str) -> Option<u64> {
    let size = value.pointer(path)?;
    size.as_u64().or_else(|| size.as_str()?.parse().ok())
}

/// A time: RFC 3339, and UTC where it names no zone.
pub(super) fn time(value: &Value, path: &str) -> Result<Timestamp, String> {
    let text = required(value, path)?;
    let naive = || text.parse::<NaiveDateTime>().map(|time| time.and_utc());
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .or_else(|_| naive())
        .map_err(|_| format!("{} is no time: {}", name(path), shown(text)))
}

/// A version id that says something: buckets without versions leave it out, or say "" or "null".
pub(super) fn version_id(value: &Value, path: &str) -> Option<String> {
    text(value, path).filter(|id| *id != "null").map(str::to_owned)
}

/// An entity tag, without the quotes that API answers have and events have not.
pub(super) fn etag(value: &Value, path: &str) -> Option<String> {
    text(value, path).map(|etag| etag.trim_matches('"').to_owned()).filter(|etag| !etag.is_empty())
}

/// A piece of a message that is short enough for a reason.
pub(super) fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(80).collect::<String>())
}

/// A JSON pointer as people write it.
fn name(path: &str) -> String {
    path.trim_start_matches('/').replace('/', ".")
}
