//! How long to wait before a retry: doubling, bounded, with jitter, so that many waiting machines do not come back in
//! one moment. The jitter is made from what waits, not from chance, so that a run can be repeated.

use chrono::TimeDelta;
use sha2::{Digest, Sha256};
use sluicegate_state::retry::{LONGEST_BATCH_WAIT, LONGEST_DEFERRAL};

/// The delay after attempt number `attempt` (from 1): between half and the whole of `first * 2^(attempt - 1)`, at most
/// `limit`.
pub fn delay(first: TimeDelta, limit: TimeDelta, attempt: u64, what: &str) -> TimeDelta {
    let doublings = attempt.saturating_sub(1).min(20) as u32;
    let whole = first.num_milliseconds().saturating_mul(1 << doublings).min(limit.num_milliseconds()).max(2);
    let hash = Sha256::digest(format!("{what}#{attempt}"));
    let share = i64::from(u16::from_be_bytes([hash[0], hash[1]]));
    TimeDelta::milliseconds(whole / 2 + whole / 2 * share / i64::from(u16::MAX))
}

/// The delay before a batch is tried again after a transient failure.
pub fn batch_delay(batch_id: &str, attempt: u64) -> TimeDelta {
    delay(TimeDelta::seconds(1), LONGEST_BATCH_WAIT, attempt, batch_id)
}

/// The delay before a document that could not be read is tried again in a later batch.
pub fn deferral_delay(key: &str, tries: u64) -> TimeDelta {
    delay(TimeDelta::minutes(1), LONGEST_DEFERRAL, tries + 1, key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_limit_and_differ_between_batches() {
        for attempt in 1..40 {
            let whole = (1_000_i64 << (attempt - 1).min(20)).min(300_000);
            let millis = batch_delay("b", attempt).num_milliseconds();
            assert!((whole / 2..=whole).contains(&millis), "attempt {attempt}: {millis}");
        }
        assert_ne!(batch_delay("a", 5), batch_delay("b", 5));
    }
}
