//! What S3's answers tell about an object.

use chrono::DateTime;
use sluicegate_state::Timestamp;

use crate::failure::{Failure, Outcome};
use crate::ports::object_store::{ObjectInfo, VersionSource};

/// The answer to HEAD.
pub(super) type Head = aws_sdk_s3::operation::head_object::HeadObjectOutput;
/// The answer to GET.
pub(super) type Get = aws_sdk_s3::operation::get_object::GetObjectOutput;
type Time = aws_sdk_s3::primitives::DateTime;

/// What an answer tells; listings tell less than GET and HEAD.
#[derive(Default)]
pub(super) struct Told<'a> {
    pub(super) size: Option<i64>,
    pub(super) etag: Option<&'a str>,
    pub(super) version_id: Option<&'a str>,
    pub(super) last_modified: Option<&'a Time>,
    /// The header `x-amz-expiration`.
    pub(super) expiration: Option<&'a str>,
}

impl<'a> Told<'a> {
    pub(super) fn by_head(head: &'a Head) -> Self {
        Self {
            size: head.content_length(),
            etag: head.e_tag(),
            version_id: head.version_id(),
            last_modified: head.last_modified(),
            expiration: head.expiration(),
        }
    }

    pub(super) fn by_get(get: &'a Get) -> Self {
        Self {
            size: get.content_length(),
            etag: get.e_tag(),
            version_id: get.version_id(),
            last_modified: get.last_modified(),
            expiration: get.expiration(),
        }
    }
}

/// Puts together what is known of the object at `key`. A version id is the version where there is one (I2).
pub(super) fn object_info(bucket: &str, key: &str, told: Told<'_>) -> Outcome<ObjectInfo> {
    let missing =
        |what| Failure::transient(format!("the answer about s3://{bucket} object {key:?} says no {what}"));
    let etag = unquoted(told.etag.unwrap_or_default()).to_owned();
    let version = match present_version(told.version_id) {
        Some(id) => VersionSource::Id(id.to_owned()),
        None if etag.is_empty() => return Err(missing("ETag")),
        None => VersionSource::ETag(etag.clone()),
    };
    Ok(ObjectInfo {
        key: key.to_owned(),
        size: told.size.and_then(|size| u64::try_from(size).ok()).ok_or_else(|| missing("length"))?,
        etag,
        version,
        last_modified: told.last_modified.and_then(whole_seconds).ok_or_else(|| missing("Last-Modified"))?,
        expires_at: told.expiration.and_then(expiry_date),
    })
}

/// A version id that says something; a bucket without versions says `null`, or nothing.
pub(super) fn present_version(id: Option<&str>) -> Option<&str> {
    id.filter(|id| !id.is_empty() && *id != "null")
}

/// The entity tag as events write it. API answers have it in quotes.
pub(super) fn unquoted(etag: &str) -> &str {
    etag.trim_matches('"')
}

/// A time in whole seconds. GET and HEAD know no fractions, and a listing's are zero.
pub(super) fn whole_seconds(time: &Time) -> Option<Timestamp> {
    DateTime::from_timestamp(time.secs(), 0)
}

/// The date in `expiry-date="Fri, 21 Dec 2012 00:00:00 GMT", rule-id="…"`.
fn expiry_date(header: &str) -> Option<Timestamp> {
    let (_, rest) = header.split_once("expiry-date=\"")?;
    let (date, _) = rest.split_once('"')?;
    DateTime::parse_from_rfc2822(date).ok().map(|date| date.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(version_id: Option<&str>) -> ObjectInfo {
        let time = Time::from_secs_and_nanos(1_700_000_000, 900_000_000);
        let told = Told {
            size: Some(5),
            etag: Some("\"0a-2\""),
            version_id,
            last_modified: Some(&time),
            expiration: Some("expiry-date=\"Fri, 21 Dec 2012 00:00:00 GMT\", rule-id=\"one%20day\""),
        };
        object_info("b", "k", told).unwrap()
    }

    #[test]
    fn an_answer_becomes_what_the_pipeline_knows() {
        let info = told(None);
        assert_eq!(info.etag, "0a-2");
        assert_eq!(info.last_modified.to_rfc3339(), "2023-11-14T22:13:20+00:00");
        assert_eq!(info.expires_at.unwrap().to_rfc3339(), "2012-12-21T00:00:00+00:00");
        for nothing in [None, Some(""), Some("null")] {
            assert_eq!(told(nothing).version, VersionSource::ETag("0a-2".to_owned()));
        }
        assert_eq!(told(Some("v1")).version, VersionSource::Id("v1".to_owned()));
    }

    #[test]
    fn an_answer_that_says_too_little_is_no_object() {
        let message = object_info("b", "k", Told::default()).unwrap_err().message;
        assert!(message.contains("no ETag"), "{message}");
        assert_eq!(expiry_date("rule-id=\"x\""), None);
        assert_eq!(expiry_date("expiry-date=\"soon\""), None);
    }
}
