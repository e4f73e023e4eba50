//! Whether a message is SNS's, of the configured topic, and of today.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use rustls_pki_types::UnixTime;
use sluicegate_state::Timestamp;

use super::certificates::Certificates;
use super::chain::{Roots, signer_names};
use super::envelope::Envelope;
use super::fetch::Fetch;
use super::refusal::{Refusal, shown};
use super::signature;
use super::url;
use crate::config::TopicArn;
use crate::ports::clock::Clock;

/// A message older than this is refused. SNS gives up on an endpoint after an hour, so what is older was kept by somebody
/// else; and what was journaled is known for ever, so this only bounds what a state that was lost could be told again.
const OLDEST: TimeDelta = TimeDelta::hours(24);
/// How far the clocks of SNS and of this machine may differ.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::minutes(15);

/// Verifies messages of one topic.
pub(super) struct Verifier {
    pub(super) topic: TopicArn,
    certificates: Certificates,
    clock: Arc<dyn Clock>,
}

impl Verifier {
    pub(super) fn new(topic: TopicArn, fetch: Arc<dyn Fetch>, roots: Roots, clock: Arc<dyn Clock>) -> Self {
        let certificates = Certificates::new(fetch, roots, signer_names(&topic));
        Self { topic, certificates, clock }
    }

    /// Whether the message may be believed. The topic comes first: without it nobody could make this reach out.
    pub(super) async fn verify(&self, envelope: &Envelope) -> Result<(), Refusal> {
        if envelope.topic_arn != self.topic.as_str() {
            return Err(Refusal::WrongTopic(shown(&envelope.topic_arn)));
        }
        let algorithm = signature::algorithm(&envelope.signature_version)?;
        let url = url::of_certificate(&envelope.signing_cert_url, &self.topic).map_err(|why| {
            Refusal::CertificateUrl(format!("{}: {why}", shown(&envelope.signing_cert_url)))
        })?;
        let now = self.clock.now();
        let key = self.certificates.key(&url, unix_time(now)).await?;
        signature::verify(algorithm, &key, &envelope.signed_text(), &envelope.signature)?;
        check_age(&envelope.timestamp, now)
    }
}

/// The time is a part of what is signed, so it is looked at last.
fn check_age(timestamp: &str, now: Timestamp) -> Result<(), Refusal> {
    let at = DateTime::parse_from_rfc3339(timestamp)
        .map_err(|_| Refusal::NotSns(format!("Timestamp {} is no time", shown(timestamp))))?;
    match now.signed_duration_since(at) {
        age if age > OLDEST => Err(Refusal::Stale(shown(timestamp))),
        age if age < -CLOCK_TOLERANCE => Err(Refusal::Clock(shown(timestamp))),
        _ => Ok(()),
    }
}

fn unix_time(now: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.timestamp()).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_of_today() {
        let now = "2026-03-06T12:00:00Z".parse().unwrap();
        for timestamp in ["2026-03-06T11:59:59.123Z", "2026-03-05T12:00:01Z", "2026-03-06T12:14:59Z"] {
            assert_eq!(check_age(timestamp, now), Ok(()), "{timestamp}");
        }
        assert!(matches!(check_age("2026-03-05T11:59:59Z", now), Err(Refusal::Stale(_))));
        assert!(matches!(check_age("2026-03-06T12:15:01Z", now), Err(Refusal::Clock(_))));
        assert!(matches!(check_age("yesterday", now), Err(Refusal::NotSns(_))));
    }
}
