//! How long the bytes of a request may take on a slow line.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;

/// The least speed of a line that is given time for its bytes.
const LEAST_BYTES_PER_SECOND: u64 = 1 << 20;
/// What a request is given besides.
const LEAST_TIME: Duration = Duration::from_secs(60);
/// The client waits no longer for an answer to begin, and a request is answered only once all of its body has been sent.
const LONGEST_TIME: Duration = Duration::from_secs(170);

/// What a request with a large body is given time for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Bytes in a second, at least 1.
    pub bytes_per_second: u64,
    /// What a request is given besides.
    pub least_time: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { bytes_per_second: LEAST_BYTES_PER_SECOND, least_time: LEAST_TIME }
    }
}

impl Pace {
    /// The time for a request after which so many bytes have gone over the line.
    pub(super) fn time(self, bytes: u64) -> Duration {
        let time =
            self.least_time + Duration::from_secs_f64(bytes as f64 / self.bytes_per_second.max(1) as f64);
        time.min(LONGEST_TIME)
    }
}

/// Limits for a request whose every try may take `attempt`, and all tries `operation`. The client's own limit on the silence
/// before an answer stays: another one would mean connections of its own for each length of a body.
pub(super) fn limits(attempt: Duration, operation: Duration) -> TimeoutConfig {
    TimeoutConfig::builder().operation_attempt_timeout(attempt).operation_timeout(operation).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_given_time_by_their_number() {
        let pace = Pace { bytes_per_second: 1_000, least_time: Duration::from_secs(2) };
        assert_eq!(pace.time(0), Duration::from_secs(2));
        assert_eq!(pace.time(500), Duration::from_millis(2_500));
        assert_eq!(Pace::default().time(8 << 20), Duration::from_secs(68));
        assert_eq!(Pace::default().time(1 << 40), LONGEST_TIME);
    }
}
