//! One PUT for one object: it appears whole or not at all, and S3 itself compares its SHA-256.

use aws_sdk_s3::primitives::ByteStream;

use super::S3Store;
use super::body::{feed, piece_body};
use super::pace::limits;
use super::put::{Failed, NewObject, SHA256_METADATA, Tried, says_exists};
use crate::failure::Failure;
use crate::ports::object_store::ReadSeek;

/// What one PUT may carry here, so that its time limit stays below the client's.
pub(super) const MOST_BYTES: u64 = 100 << 20;

/// Tries once. The SDK does not retry a body that passes as a stream; whoever calls does, and so knows of every
/// lost answer.
pub(super) fn put(store: &S3Store, object: &NewObject<'_>, body: &mut dyn ReadSeek) -> Tried {
    let doing = store.doing("writing", object.full_key);
    let (pieces, piece_body) = piece_body(object.size);
    let time = store.options.pace.time(object.size);
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
        .config_override(aws_sdk_s3::config::Builder::new().timeout_config(limits(time, time)));
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
