//! What an error says about a permission.

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use chrono::{DateTime, Utc};

use super::super::failure::{HttpResponse, code, describe, failure, header, status};
use super::AwsAccount;
use crate::ports::account::{Asked, Denial};

/// Codes of a request that was refused because of who signed it or when, whatever it was about (the lists of common errors of
/// S3, SQS, Glue and Athena). Their status is 403 too, but no statement in a policy helps.
const ABOUT_THE_SIGNATURE: [&str; 20] = [
    "AccountProblem",
    "AuthorizationHeaderMalformed",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSecurity",
    "InvalidSignatureException",
    "InvalidToken",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "NotSignedUp",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
    "UnrecognizedClientException",
    "UserSuspended",
];

/// Codes of a thing that is not there.
const ABSENT: [&str; 5] = [
    "AWS.SimpleQueueService.NonExistentQueue",
    "EntityNotFoundException",
    "NoSuchBucket",
    "QueueDoesNotExist",
    "ResourceNotFoundException",
];

/// Codes of an operation that is not there, in services that only look like AWS.
const UNKNOWN: [&str; 7] = [
    "InvalidAction",
    "NotImplemented",
    "NotImplementedException",
    "UnknownOperation",
    "UnknownOperationException",
    "UnsupportedOperation",
    "UnsupportedOperationException",
];

/// Codes of a service that is busy; a status below 500 does not make them an answer.
const BUSY: [&str; 7] = [
    "RequestLimitExceeded",
    "RequestThrottled",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "OperationTimeoutException",
];

impl AwsAccount {
    /// What an error means, where it means the same for every question. The others are the caller's to know.
    pub(super) fn answer<T, E>(&self, doing: &str, error: &SdkError<E, HttpResponse>) -> Asked<T>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        self.read_clock(error);
        let code = code(error).unwrap_or_default();
        let told_by_service = status(error);
        if ABOUT_THE_SIGNATURE.contains(&code) || BUSY.contains(&code) {
            return Asked::Silent(failure(doing, error).message);
        }
        if is_denied(code, told_by_service) {
            return Asked::Denied(Denial::from_words(describe(error)));
        }
        if ABSENT.contains(&code) {
            return Asked::Absent(format!("{doing}: {}", describe(error)));
        }
        if UNKNOWN.contains(&code) || told_by_service == Some(501) {
            return Asked::Unknown(describe(error));
        }
        Asked::Silent(failure(doing, error).message)
    }

    /// The same for a request that can only fail: any other refusal says that it was allowed.
    pub(super) fn impossible<E>(&self, doing: &str, error: &SdkError<E, HttpResponse>) -> Asked<()>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let is_refusal = matches!(status(error), Some(400..=499));
        // S3 and the others always give a code. What has none broke down over a request that it did not expect.
        if status(error) == Some(500) && code(error).is_none() {
            return Asked::Unknown(describe(error));
        }
        match self.answer(doing, error) {
            Asked::Silent(words) if is_refusal && !is_about_who_asks(code(error)) => {
                tracing::debug!("allowed, since it was refused otherwise: {words}");
                Asked::Told(())
            }
            other => other,
        }
    }

    /// Every answer says what time it is there; the SDK shows it with errors only.
    fn read_clock<E>(&self, error: &SdkError<E, HttpResponse>) {
        let date = header(error, "date").and_then(|date| DateTime::parse_from_rfc2822(date).ok());
        if let Some(date) = date {
            self.note_clock(date.with_timezone(&Utc) - Utc::now());
        }
    }
}

fn is_denied(code: &str, status: Option<u16>) -> bool {
    let named = ["AccessDenied", "AuthorizationError", "NotAuthorized", "Unauthorized", "AllAccessDisabled"];
    // A server in between may answer without a code; a frozen object is no matter of permissions.
    named.iter().any(|name| code.starts_with(name)) || (status == Some(403) && code != "InvalidObjectState")
}

fn is_about_who_asks(code: Option<&str>) -> bool {
    code.is_some_and(|code| ABOUT_THE_SIGNATURE.contains(&code) || BUSY.contains(&code))
}
