//! Pauses before another try.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Between half and the whole of `first` doubled `attempt` times (from 0), at most `longest`. The jitter keeps machines
/// that failed in one moment from coming back in one moment; it is drawn from the seed of the standard library's hasher.
pub(super) fn jittered(first: Duration, longest: Duration, attempt: u32) -> Duration {
    let whole = first.saturating_mul(1 << attempt.min(16)).min(longest);
    let random = RandomState::new().hash_one(attempt) as u32;
    whole / 2 + (whole / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_doubles_up_to_its_limit() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(5));
        for attempt in 0..40 {
            let whole = first.saturating_mul(1 << attempt.min(16)).min(longest);
            let pause = jittered(first, longest, attempt);
            assert!(whole / 2 <= pause && pause <= whole, "{attempt}: {pause:?}");
        }
    }
}
