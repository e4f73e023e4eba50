//! What the answer to GET says: a verdict about one object, or trouble with the store.

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use super::super::failure::{HttpResponse, code, describe, header, status};
use crate::ports::object_store::Refusal;

/// How to take an error answer to GET.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is about this object.
    Refused(Refusal),
    /// It says nothing about the object: the bucket, the credentials, the connection, the service.
    Trouble,
}

/// Codes of status 400 and 403 that are about whoever asks and about the bucket, never about one object (the list of
/// error codes in the S3 API reference).
const STORE_LEVEL: [&str; 22] = [
    "AccountProblem",
    "AllAccessDisabled",
    "AuthorizationHeaderMalformed",
    "ExpiredToken",
    "IllegalLocationConstraintException",
    "InvalidAccessKeyId",
    "InvalidBucketName",
    "InvalidPayer",
    "InvalidSecurity",
    "InvalidToken",
    "NoSuchBucket",
    "NotSignedUp",
    "RequestExpired",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestTimeTooSkewed",
    "RequestTimeout",
    "SignatureDoesNotMatch",
    "Throttling",
    "ThrottlingException",
    "TokenRefreshRequired",
    "UserSuspended",
];

/// Tells verdicts from trouble. Where nobody can tell, it is trouble: that is tried again, and a verdict is final.
pub(super) fn classify<E>(error: &SdkError<E, HttpResponse>) -> Answer
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let code = code(error);
    if code.is_some_and(|code| STORE_LEVEL.contains(&code)) {
        return Answer::Trouble;
    }
    let is_marker = header(error, "x-amz-delete-marker") == Some("true");
    // What answers without a code and without a request id is some gateway on the way.
    let is_storage = code.is_some() || header(error, "x-amz-request-id").is_some();
    let refusal = match (status(error), code) {
        (Some(404), Some("NoSuchKey" | "NoSuchVersion" | "NotFound")) => Refusal::NotFound,
        (Some(404), None) if is_storage => Refusal::NotFound,
        (Some(405), _) if is_marker || code == Some("MethodNotAllowed") => Refusal::DeleteMarker,
        (Some(412), _) => Refusal::Overwritten,
        (Some(403), _) if is_storage => Refusal::Forbidden(describe(error)),
        (Some(400), Some(_)) => Refusal::BadRequest(describe(error)),
        _ => return Answer::Trouble,
    };
    Answer::Refused(refusal)
}
