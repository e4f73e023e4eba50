//! Writes an object unless there is one, and finds out what came of it when an answer was lost.
//!
//! Conditional writes are documented in the user guide ("conditional writes"): with `If-None-Match: *`, 412 says that
//! something is there, 409 that something happened at the same time and that the whole upload has to be made again.
//! A try whose answer was lost may have written our object; the next try would then find "something" there. So
//! after a lost answer the store is asked what lies there, and the metadata that we write with every object tells
//! whether it is ours.

use std::time::{Duration, Instant};

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_types::base64;

use super::super::failure::{HttpResponse, code, failure, outcome_is_unknown, status};
use super::super::pause::jittered;
use super::info::Head;
use super::{S3Store, multipart, single};
use crate::failure::{Failure, Outcome};
use crate::ports::object_store::{PutAnswer, ReadSeek};

/// The metadata `x-amz-meta-sluicegate-sha256`: the SHA-256 of the whole object, in hexadecimal. S3's own SHA-256
/// of an object in parts is that of its parts' checksums.
pub(super) const SHA256_METADATA: &str = "sluicegate-sha256";

/// Tries of a whole object, as long as they take no longer together than two of them may: where the store is silent, whoever
/// waits behind tries again later, and other work comes in between.
const TRIES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// An object to be written.
pub(super) struct NewObject<'a> {
    pub(super) full_key: &'a str,
    pub(super) size: u64,
    /// In hexadecimal.
    pub(super) sha256: &'a str,
    /// The same in base64, as the checksum headers want it.
    pub(super) checksum: String,
}

/// What came of one try.
pub(super) enum Tried {
    Written,
    /// 412: something is there.
    Exists,
    Failed(Failed),
}

/// A try that failed.
pub(super) struct Failed {
    pub(super) failure: Failure,
    /// It may have had its effect all the same.
    pub(super) unknown: bool,
    /// The same try can work a moment later.
    pub(super) again: bool,
}

impl Failed {
    /// What an error answer, or none, means for a write.
    pub(super) fn by<E>(doing: &str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let unknown = outcome_is_unknown(error);
        Self { failure: failure(doing, error), unknown, again: unknown || may_work_again(error) }
    }

    /// Trouble on this side, before the store had to do with it.
    pub(super) fn here(failure: Failure) -> Self {
        Self { failure, unknown: false, again: false }
    }
}

/// Definite answers that another try may not meet: a conflict with another writer, throttling, bytes damaged or cut off
/// on their way.
fn may_work_again<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    const PASSING: [&str; 7] = [
        "BadDigest",
        "ConditionalRequestConflict",
        "IncompleteBody",
        "OperationAborted",
        "RequestTimeout",
        "SlowDown",
        "XAmzContentSHA256Mismatch",
    ];
    matches!(status(error), Some(409 | 429)) || code(error).is_some_and(|code| PASSING.contains(&code))
}

/// Whether an answer says that something is there already.
pub(super) fn says_exists<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    status(error) == Some(412) || code(error) == Some("PreconditionFailed")
}

pub(super) fn put_new(
    store: &S3Store,
    full_key: &str,
    body: &mut dyn ReadSeek,
    size: u64,
    sha256: &str,
) -> Outcome<PutAnswer> {
    let object = NewObject { full_key, size, sha256, checksum: checksum(sha256)? };
    let longest = 2 * store.options.pace.time(size);
    let began = Instant::now();
    let mut in_doubt = false;
    let mut attempt = 0;
    loop {
        body.rewind().map_err(|error| Failure::transient(format!("cannot read the spool: {error}")))?;
        let failed = match try_once(store, &object, body) {
            Tried::Written => return Ok(PutAnswer::Written),
            Tried::Exists if in_doubt => return resolve(store, &object),
            Tried::Exists => return Ok(PutAnswer::Exists),
            Tried::Failed(failed) => failed,
        };
        // Looking can fail too; then the next try finds out.
        if failed.unknown
            && let Ok(Some(answer)) = look(store, &object)
        {
            return Ok(answer);
        }
        in_doubt |= failed.unknown;
        attempt += 1;
        if !failed.again || attempt == TRIES || began.elapsed() >= longest {
            return Err(failed.failure);
        }
        tracing::debug!(key = full_key, "writing again: {}", failed.failure);
        std::thread::sleep(jittered(FIRST_PAUSE, LONGEST_PAUSE, attempt - 1));
    }
}

fn try_once(store: &S3Store, object: &NewObject<'_>, body: &mut dyn ReadSeek) -> Tried {
    if object.size > store.options.multipart_above.min(single::MOST_BYTES) {
        multipart::put(store, object, body)
    } else {
        single::put(store, object, body)
    }
}

/// 412 after a lost answer: ours, or another's. An object that is gone again was not ours to remove; the caller looks.
fn resolve(store: &S3Store, object: &NewObject<'_>) -> Outcome<PutAnswer> {
    Ok(look(store, object)?.unwrap_or(PutAnswer::Exists))
}

/// What lies at the key: `Written` if it is our object, `Exists` if it is another, `None` if nothing is there.
pub(super) fn look(store: &S3Store, object: &NewObject<'_>) -> Outcome<Option<PutAnswer>> {
    let head = store.head_object(object.full_key)?;
    Ok(head.map(|head| if is_ours(&head, object) { PutAnswer::Written } else { PutAnswer::Exists }))
}

fn is_ours(head: &Head, object: &NewObject<'_>) -> bool {
    let noted = head.metadata().and_then(|metadata| metadata.get(SHA256_METADATA));
    noted.is_some_and(|noted| noted == object.sha256)
        && head.content_length().is_some_and(|length| u64::try_from(length) == Ok(object.size))
}

/// A SHA-256 as the checksum headers want it.
fn checksum(sha256: &str) -> Outcome<String> {
    match hex::decode(sha256) {
        Ok(bytes) if bytes.len() == 32 => Ok(base64::encode(bytes)),
        _ => Err(Failure::permanent(format!("{sha256:?} is no SHA-256 in hexadecimal"))),
    }
}
