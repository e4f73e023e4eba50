//! One call of Athena's API: what its errors mean, and how often it is tried.

use std::future::Future;
use std::time::Duration;

use aws_sdk_athena::error::{ProvideErrorMetadata, SdkError};

use super::AthenaQueryEngine;
use crate::aws::failure::{HttpResponse, describe};
use crate::aws::pause::jittered;
use crate::failure::{Failure, FailureKind, Outcome};

/// Tries of one call, on top of the SDK's own: a throttled account gets time to recover.
const TRIES: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Codes of errors that pass (the common errors of the API reference, and Athena's own).
const PASSING: [&str; 7] = [
    "InternalServerException",
    "RequestTimeout",
    "ServiceUnavailable",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
];

/// What a person can do, by what Athena's message holds.
const ADVICE: [(&str, &str); 2] = [
    (
        "output location",
        "set SLUICEGATE_ATHENA_OUTPUT to s3://bucket/prefix, or give the workgroup a result location",
    ),
    ("WorkGroup", "correct SLUICEGATE_WORKGROUP, or enable the workgroup"),
];

impl AthenaQueryEngine {
    /// Calls until there is an answer, an error that stays, or `TRIES` are over. `patient`: a person's wish to stop only
    /// shortens the pauses, because the call's effect has to be known.
    pub(super) fn call<T, E, F>(&self, doing: &str, patient: bool, make: impl Fn() -> F) -> Outcome<T>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let mut tried = 0;
        loop {
            let failure = match self.clients.block_on(make()) {
                Ok(answer) => return Ok(answer),
                Err(error) => failure(doing, &error),
            };
            tried += 1;
            if failure.kind != FailureKind::Transient || tried == TRIES {
                return Err(failure);
            }
            tracing::info!("{failure}; trying again");
            if self.interrupt.wait(jittered(FIRST_PAUSE, LONGEST_PAUSE, tried)) && !patient {
                return Err(Self::stopped());
            }
        }
    }
}

/// What a failed call means: what concerns this request stays, what concerns the service or the way to it passes.
fn failure<E>(doing: &str, error: &SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let words = describe(error);
    let advice = ADVICE.iter().find(|(part, _)| words.contains(part));
    let advice = advice.map_or_else(String::new, |(_, advice)| format!("; {advice}"));
    let message = format!("{doing}: {words}{advice}");
    let passes = match error {
        SdkError::ConstructionFailure(_) => false,
        SdkError::ServiceError(service) => {
            let passing = service.err().code().is_some_and(|code| PASSING.contains(&code));
            passing || service.raw().status().is_server_error() || service.raw().status().as_u16() == 429
        }
        _ => true,
    };
    if passes { Failure::transient(message) } else { Failure::permanent(message) }
}
