//! A large object in parts. It appears when the upload is completed, and not before; parts of an upload that failed
//! are removed. (A process that is killed leaves parts that nobody sees; a lifecycle rule
//! `AbortIncompleteMultipartUpload` removes them.)

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::complete_multipart_upload::CompleteMultipartUploadError;
use aws_sdk_s3::operation::upload_part::UploadPartError;
use aws_sdk_s3::operation::upload_part::builders::UploadPartFluentBuilder;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use aws_smithy_types::base64;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;

use super::super::failure::{HttpResponse, code, describe, status};
use super::S3Store;
use super::body::read_piece;
use super::pace::limits;
use super::put::{Failed, NewObject, SHA256_METADATA, Tried, look, says_exists};
use crate::failure::Failure;
use crate::ports::object_store::{PutAnswer, ReadSeek};

/// S3 takes no more parts than this.
const MOST_PARTS: u64 = 10_000;
/// Parts on their way at a time; one more is being read.
const PARTS_AT_A_TIME: usize = 3;
/// Tries to complete one upload whose answers are lost.
const COMPLETE_TRIES: u32 = 3;
/// S3 may take minutes to put a large object together (API reference).
const COMPLETE_TIME: Duration = Duration::from_secs(150);

type PartResult = (i32, String, Result<Option<String>, SdkError<UploadPartError, HttpResponse>>);

/// Uploads all parts and completes; whatever else comes of it, the upload is gone afterwards.
pub(super) fn put(store: &S3Store, object: &NewObject<'_>, body: &mut dyn ReadSeek) -> Tried {
    let upload = match Upload::begin(store, object) {
        Ok(upload) => upload,
        Err(failed) => return Tried::Failed(failed),
    };
    let tried = match store.clients.block_on(upload.send_parts(body)) {
        Ok(parts) => upload.complete(parts),
        Err(failed) => Tried::Failed(failed),
    };
    if !matches!(tried, Tried::Written) {
        upload.abort();
    }
    tried
}

struct Upload<'a> {
    store: &'a S3Store,
    object: &'a NewObject<'a>,
    id: String,
    doing: String,
}

impl<'a> Upload<'a> {
    fn begin(store: &'a S3Store, object: &'a NewObject<'a>) -> Result<Self, Failed> {
        let doing = store.doing("writing in parts", object.full_key);
        let request = store
            .s3()
            .create_multipart_upload()
            .bucket(&store.bucket)
            .key(object.full_key)
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .metadata(SHA256_METADATA, object.sha256);
        // Nothing of an upload that was begun can be seen, so a lost answer leaves no doubt about the object.
        let known = |failed: Failed| Failed { unknown: false, ..failed };
        match store.clients.block_on(request.send()) {
            Err(error) => Err(known(Failed::by(&doing, &error))),
            Ok(begun) => match begun.upload_id {
                Some(id) => Ok(Self { store, object, id, doing }),
                None => Err(Failed::here(Failure::transient(format!("{doing}: no upload id was given")))),
            },
        }
    }

    fn part_bytes(&self) -> u64 {
        self.store.options.part_bytes.max(self.object.size.div_ceil(MOST_PARTS)).max(1)
    }

    /// Reads part after part, with a few on their way meanwhile.
    async fn send_parts(&self, body: &mut dyn ReadSeek) -> Result<Vec<CompletedPart>, Failed> {
        let mut sending: JoinSet<PartResult> = JoinSet::new();
        let mut parts = Vec::new();
        let mut whole = Sha256::new();
        let mut left = self.object.size;
        for number in 1.. {
            if left == 0 {
                break;
            }
            if sending.len() == PARTS_AT_A_TIME {
                parts.extend(self.sent(&mut sending).await?);
            }
            let length = left.min(self.part_bytes());
            let part = read_piece(body, length as usize).map_err(|error| self.spool_failure(&error))?;
            left -= length;
            whole.update(&part);
            sending.spawn(send_part(self.part_request(number), self.part_limits(), number, part));
        }
        while !sending.is_empty() {
            parts.extend(self.sent(&mut sending).await?);
        }
        // S3 compares each part with its checksum, but nobody else compares the whole.
        if hex::encode(whole.finalize()) != self.object.sha256 {
            let message = format!("{}: the bytes are not those whose SHA-256 was given", self.doing);
            return Err(Failed::here(Failure::transient(message)));
        }
        parts.sort_by_key(CompletedPart::part_number);
        Ok(parts)
    }

    fn spool_failure(&self, error: &std::io::Error) -> Failed {
        Failed::here(Failure::transient(format!("{}: cannot read the spool: {error}", self.doing)))
    }

    fn part_request(&self, number: i32) -> UploadPartFluentBuilder {
        let request = self.store.s3().upload_part().bucket(&self.store.bucket).key(self.object.full_key);
        request.upload_id(&self.id).part_number(number)
    }

    /// All parts that are on their way share one line. Of a part the SDK may make a second try where the first took all its
    /// time.
    fn part_limits(&self) -> aws_sdk_s3::config::Builder {
        let attempt = self.store.options.pace.time(self.part_bytes() * PARTS_AT_A_TIME as u64);
        aws_sdk_s3::config::Builder::new().timeout_config(limits(attempt, 2 * attempt))
    }

    /// Waits for one part.
    async fn sent(&self, sending: &mut JoinSet<PartResult>) -> Result<Option<CompletedPart>, Failed> {
        let Some(joined) = sending.join_next().await else { return Ok(None) };
        let (number, checksum, answer) = joined.map_err(|error| {
            Failed::here(Failure::transient(format!("{}: a part was not sent: {error}", self.doing)))
        })?;
        match answer {
            Ok(etag) => Ok(Some(
                CompletedPart::builder()
                    .part_number(number)
                    .set_e_tag(etag)
                    .checksum_sha256(checksum)
                    .build(),
            )),
            // A part is nothing that anybody sees.
            Err(error) => Err(Failed { unknown: false, ..Failed::by(&self.doing, &error) }),
        }
    }

    /// Makes the object appear, unless there is one. After a lost answer the store is asked what is there.
    fn complete(&self, parts: Vec<CompletedPart>) -> Tried {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let mut attempt = 1;
        loop {
            let error = match self.complete_once(parts.clone()) {
                Ok(()) => return Tried::Written,
                Err(error) => error,
            };
            if says_exists(&error) && attempt == 1 {
                return Tried::Exists;
            }
            let failed = Failed { unknown: is_unknown(&error), ..Failed::by(&self.doing, &error) };
            if !failed.unknown && attempt == 1 {
                return Tried::Failed(failed);
            }
            // From here on an earlier answer is lost: 412 or "no such upload" may be the echo of our own success.
            match look(self.store, self.object) {
                Ok(Some(PutAnswer::Written)) => return Tried::Written,
                Ok(Some(PutAnswer::Exists)) => return Tried::Exists,
                Ok(None) if !failed.unknown => return Tried::Failed(Failed { again: true, ..failed }),
                _ if attempt == COMPLETE_TRIES => return Tried::Failed(Failed { unknown: true, ..failed }),
                _ => attempt += 1,
            }
        }
    }

    /// One try without the SDK's own, so that no lost answer goes unnoticed.
    fn complete_once(
        &self,
        parts: CompletedMultipartUpload,
    ) -> Result<(), Box<SdkError<CompleteMultipartUploadError, HttpResponse>>> {
        let once = aws_sdk_s3::config::Builder::new()
            .retry_config(RetryConfig::disabled())
            .timeout_config(limits(COMPLETE_TIME, COMPLETE_TIME));
        let request = self
            .store
            .s3()
            .complete_multipart_upload()
            .bucket(&self.store.bucket)
            .key(self.object.full_key)
            .upload_id(&self.id)
            .if_none_match("*")
            .multipart_upload(parts)
            .customize()
            .config_override(once);
        self.store.clients.block_on(request.send()).map(drop).map_err(Box::new)
    }

    fn abort(&self) {
        let request = self.store.s3().abort_multipart_upload().bucket(&self.store.bucket);
        let request = request.key(self.object.full_key).upload_id(&self.id);
        match self.store.clients.block_on(request.send()) {
            // A completed upload, or one that was refused, is gone already.
            Err(error) if code(&error) != Some("NoSuchUpload") && status(&error) != Some(404) => {
                tracing::warn!("{}: parts were left behind: {}", self.doing, describe(&error));
            }
            _ => {}
        }
    }
}

async fn send_part(
    request: UploadPartFluentBuilder,
    limits: aws_sdk_s3::config::Builder,
    number: i32,
    part: Bytes,
) -> PartResult {
    let checksum = base64::encode(Sha256::digest(&part));
    let request = request.checksum_sha256(&checksum).body(part.into());
    let answer = request.customize().config_override(limits).send().await;
    (number, checksum, answer.map(|part| part.e_tag))
}

/// CompleteMultipartUpload may answer 200 and put an error into the body; only a 4xx is a definite no.
fn is_unknown<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    !says_exists(error) && !matches!(status(error), Some(400..500))
}
