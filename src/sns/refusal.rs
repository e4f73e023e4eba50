//! Why a request was not taken, and what its sender is answered.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A stranger's text in the log is at most this long.
const LONGEST_SHOWN: usize = 300;
/// One reason is logged at most this often; the count tells of the others.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Why a request was not taken. The text is for the log; the sender learns only the status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the body is larger than SNS can make one")]
    TooLarge,
    #[error("the body did not come to its end: {0}")]
    Incomplete(String),
    #[error("the body is no JSON: {0}")]
    NotJson(String),
    #[error("the body is no SNS message: {0}")]
    NotSns(String),
    #[error(
        "raw message delivery cannot be verified, for it carries no signature: set RawMessageDelivery of the subscription \
         to false"
    )]
    Raw,
    #[error("the topic {0} is not the configured one")]
    WrongTopic(String),
    #[error("SigningCertURL {0}")]
    CertificateUrl(String),
    #[error("the certificate cannot be had: {0}")]
    CertificateUnavailable(String),
    #[error("the certificate of the signature has expired: {0}")]
    CertificateExpired(String),
    #[error("the certificate of the signature is not SNS's: {0}")]
    Certificate(String),
    #[error("SignatureVersion {0} is neither 1 nor 2")]
    SignatureVersion(String),
    #[error("the signature is not that of this message: it was forged or changed")]
    Signature,
    #[error("the message was published at {0}, too long ago to announce anything new")]
    Stale(String),
    #[error("the message was published at {0}, in the future: is the clock of this machine right?")]
    Clock(String),
    #[error("SubscribeURL {0}")]
    SubscribeUrl(String),
    #[error("the subscription could not be confirmed: {0}")]
    Unconfirmed(String),
    #[error("more requests wait for the journal than may")]
    Busy,
    #[error("it is not journaled: {0}")]
    NotJournaled(&'static str),
}

impl Refusal {
    /// The word under which it is counted.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Incomplete(_) => "incomplete",
            Self::NotJson(_) => "not_json",
            Self::NotSns(_) => "not_sns",
            Self::Raw => "raw_delivery",
            Self::WrongTopic(_) => "wrong_topic",
            Self::CertificateUrl(_) => "certificate_url",
            Self::CertificateUnavailable(_) => "certificate_unavailable",
            Self::CertificateExpired(_) => "certificate_expired",
            Self::Certificate(_) => "certificate",
            Self::SignatureVersion(_) => "signature_version",
            Self::Signature => "signature",
            Self::Stale(_) => "stale",
            Self::Clock(_) => "clock",
            Self::SubscribeUrl(_) => "subscribe_url",
            Self::Unconfirmed(_) => "unconfirmed",
            Self::Busy => "busy",
            Self::NotJournaled(_) => "not_journaled",
        }
    }

    /// 4xx where the request itself is at fault, for SNS never repeats it; 503 for our own trouble, after which it does.
    /// A body that did not arrive may be the network's fault, and is asked for again.
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::TooLarge => 413,
            Self::NotJson(_) | Self::NotSns(_) => 400,
            Self::Raw
            | Self::WrongTopic(_)
            | Self::CertificateUrl(_)
            | Self::CertificateExpired(_)
            | Self::Certificate(_)
            | Self::SignatureVersion(_)
            | Self::Signature
            | Self::Stale(_)
            | Self::SubscribeUrl(_) => 403,
            Self::Incomplete(_)
            | Self::CertificateUnavailable(_)
            | Self::Clock(_)
            | Self::Unconfirmed(_)
            | Self::Busy
            | Self::NotJournaled(_) => 503,
        }
    }
}

/// A stranger's text, short and without anything that a terminal would obey.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(LONGEST_SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

/// How often each thing happened since it was last journaled.
pub(super) type Counts = BTreeMap<&'static str, u64>;

/// Refusals that are not journaled yet. They are written a few seconds later and together, so that a flood of forged
/// requests costs no flood of fsyncs; a death in between loses counts and nothing else.
#[derive(Default)]
pub(super) struct Tally(Mutex<State>);

#[derive(Default)]
struct State {
    counts: Counts,
    logged: BTreeMap<&'static str, (Instant, u64)>,
}

impl Tally {
    /// Counts one and logs it, unless the same was logged just now.
    pub(super) fn note(&self, word: &'static str, what: &str) {
        let mut state = self.lock();
        *state.counts.entry(word).or_default() += 1;
        let now = Instant::now();
        let (last, silent) = state.logged.get(word).copied().unzip();
        if last.is_some_and(|last| now - last < LOG_INTERVAL) {
            if let Some((_, silent)) = state.logged.get_mut(word) {
                *silent += 1;
            }
            return;
        }
        state.logged.insert(word, (now, 0));
        drop(state);
        let what: String = what.chars().take(2 * LONGEST_SHOWN).collect();
        match silent.unwrap_or(0) {
            0 => tracing::warn!("SNS over HTTP: {word}: {what}"),
            more => {
                tracing::warn!("SNS over HTTP: {word}: {what} (and {more} more since the last such line)")
            }
        }
    }

    /// Takes all counts away.
    pub(super) fn take(&self) -> Counts {
        std::mem::take(&mut self.lock().counts)
    }

    /// Gives counts back that could not be journaled.
    pub(super) fn restore(&self, counts: Counts) {
        let mut state = self.lock();
        for (word, count) in counts {
            *state.counts.entry(word).or_default() += count;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_kept_until_they_are_journaled() {
        let tally = Tally::default();
        for _ in 0..3 {
            tally.note("signature", "forged");
        }
        tally.note("stale", "old");
        let taken = tally.take();
        assert_eq!(taken, [("signature", 3), ("stale", 1)].into());
        assert!(tally.take().is_empty());
        tally.note("stale", "old");
        tally.restore(taken);
        assert_eq!(tally.take(), [("signature", 3), ("stale", 2)].into());
    }

    #[test]
    fn what_a_stranger_wrote_is_short_and_harmless() {
        assert_eq!(shown("a\u{1b}[2J\n"), "\"a\\u{1b}[2J\\n\"");
        assert!(shown(&"x".repeat(10_000)).len() < 400);
    }
}
