//! One PUT for one object: it appears whole or not at all, and S3 itself compares its SHA-256.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::primitives::ByteStream;

use super::S3Store;
use super::body::{feed, piece_body};
use super::put::{Failed, NewObject, SHA256_METADATA, Tried, says_exists};
use crate::failure::Failure;
use crate::ports::object_store::ReadSeek;

/// What one PUT may carry here, so that its time limit stays below the client's.
pub(super) const MOST_BYTES: u64 = 100 << 20;
/// The least speed that a PUT is given time for.
const LEAST_BYTES_PER_SECOND: u64 = 1 << 20;
const LEAST_TIME: Duration = Duration::from_secs(60);

/// Tries once. The SDK does not retry a body that passes as a stream; whoever calls does, and so knows of every
/// lost answer.
pub(super) fn put(store: &S3Store, object: &NewObject<'_>, body: &mut dyn ReadSeek) -> Tried {
    let doing = store.doing("writing", object.full_key);
    let (pieces, piece_body) = piece_body(object.size);
    let limit = LEAST_TIME + Duration::from_secs(object.size / LEAST_BYTES_PER_SECOND);
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(limit).operation_timeout(limit).build();
    let request = store
        .s3()
        .put_object()
        .bucket(&store.bucket)
        .key(object.full_key)
        .if_none_match("*")
        .content_length(object.size as i64)
        .checksum_sha256(&object.checksum)
        .metadata(SHA256_METADATA, object.sha256)
        .body(ByteStream::from_body_1_x(piece_body))
        .customize()
        .config_override(aws_sdk_s3::config::Builder::new().timeout_config(timeouts));
    let mut fed = Ok(());
    let sent = store.clients.block_on(async {
        let mut sending = Box::pin(request.send());
        tokio::select! {
            biased;
            sent = &mut sending => sent,
            result = feed(body, object.size, pieces) => {
                fed = result;
                sending.await
            }
        }
    });
    match (sent, fed) {
        (_, Err(error)) => Tried::Failed(Failed::here(Failure::transient(format!(
            "{doing}: cannot read the spool: {error}"
        )))),
        (Ok(_), Ok(())) => Tried::Written,
        (Err(error), Ok(())) if says_exists(&error) => Tried::Exists,
        (Err(error), Ok(())) => Tried::Failed(Failed::by(&doing, &error)),
    }
}
