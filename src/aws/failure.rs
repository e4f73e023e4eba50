//! What the SDK's errors mean to the pipeline.

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::failure::Failure;

/// The answer of the service as the SDK hands it over.
pub(super) type HttpResponse = aws_sdk_s3::config::http::HttpResponse;

/// Codes of a request that this store will never accept for this object, whatever is done about permissions or load
/// (the list of S3 error codes in its API reference).
const NEVER: [&str; 8] = [
    "EntityTooLarge",
    "EntityTooSmall",
    "InvalidArgument",
    "InvalidRequest",
    "InvalidURI",
    "KeyTooLongError",
    "MetadataTooLarge",
    "NotImplemented",
];

const NO_QUEUE: &str = "create the queue, or correct SLUICEGATE_QUEUE";
const NOT_ALLOWED: &str = "check what the role's policy and the resource's own policy allow";

/// What a person can do about it, by error code. The work itself goes on by itself once it is done, so that these are
/// no reason to park a batch: a parked batch would have to be replayed one by one after a mistake in one policy.
const ADVICE: [(&str, &str); 12] = [
    ("NoSuchBucket", "create the bucket, or correct its name in the configuration"),
    ("AccessDenied", NOT_ALLOWED),
    ("AllAccessDisabled", "the account or bucket is closed; ask AWS"),
    ("PermanentRedirect", "the bucket is in another region: set AWS_REGION"),
    ("AuthorizationHeaderMalformed", "the bucket is in another region: set AWS_REGION"),
    ("IllegalLocationConstraintException", "the bucket is in another region: set AWS_REGION"),
    ("InvalidAccessKeyId", "the credentials are not known to AWS: renew them"),
    ("SignatureDoesNotMatch", "the secret key is not the access key's: renew the credentials"),
    ("RequestTimeTooSkewed", "set this machine's clock"),
    ("QueueDoesNotExist", NO_QUEUE),
    ("AWS.SimpleQueueService.NonExistentQueue", NO_QUEUE),
    ("AccessDeniedException", NOT_ALLOWED),
];

/// What a failed call means: `doing` says what was tried on which thing.
///
/// Nearly everything is transient: the connection, time-outs, throttling, 5xx, expired credentials, and also a bucket
/// that is missing or forbidden, because it concerns all documents alike and heals by itself once a person has seen to
/// it. Only what can never work for this one object is permanent.
pub fn failure<E>(doing: &str, error: &SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let message = format!("{doing}: {}", describe(error));
    match error {
        SdkError::ServiceError(service) if NEVER.contains(&code_of(service.err())) => {
            Failure::permanent(message)
        }
        // A request that cannot even be built: an empty key, a header that is none.
        SdkError::ConstructionFailure(_) => Failure::permanent(message),
        _ => Failure::transient(message),
    }
}

fn code_of<E: ProvideErrorMetadata>(error: &E) -> &str {
    error.code().unwrap_or("")
}

/// The error's code, where the service answered with one.
pub(super) fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<&str> {
    error.as_service_error().and_then(ProvideErrorMetadata::code)
}

/// The HTTP status of the answer, where there was one.
pub(super) fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// A header of the answer.
pub(super) fn header<'a, E>(error: &'a SdkError<E, HttpResponse>, name: &str) -> Option<&'a str> {
    error.raw_response().and_then(|response| response.headers().get(name))
}

/// Whether the request may have had its effect although it failed.
pub(super) fn outcome_is_unknown<E>(error: &SdkError<E, HttpResponse>) -> bool {
    match error {
        SdkError::ConstructionFailure(_) => false,
        SdkError::ServiceError(service) => service.raw().status().is_server_error(),
        _ => true,
    }
}

/// The service's own words, or how the connection failed. Never a header, a signature or the request itself.
pub(super) fn describe<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match error {
        SdkError::ServiceError(service) => answer(service.err(), service.raw().status().as_u16()),
        SdkError::TimeoutError(_) => "no answer in time".to_owned(),
        other => causes(other),
    }
}

fn answer<E: ProvideErrorMetadata>(error: &E, status: u16) -> String {
    let code = error.code().unwrap_or("no error code");
    let message = error.message().map_or_else(String::new, |message| format!(", {message}"));
    let advice = ADVICE.iter().find(|(of, _)| error.code() == Some(*of));
    let advice = advice.map_or_else(String::new, |(_, advice)| format!("; {advice}"));
    format!("{code} ({status}){message}{advice}")
}

/// The chain of causes, without the debugging output that the SDK puts behind it.
pub(super) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
