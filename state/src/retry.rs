//! How long what failed waits for its next try. The time of that try is kept, and a clock that was ahead may be set back:
//! a time further ahead than anybody ever sets one was set before that, and has come.

use chrono::TimeDelta;

use crate::Timestamp;

/// The longest wait of a batch after a transient failure.
pub const LONGEST_BATCH_WAIT: TimeDelta = TimeDelta::minutes(5);
/// The longest wait of a document that could not be read.
pub const LONGEST_DEFERRAL: TimeDelta = TimeDelta::hours(1);
/// By how much a clock may be set back without a second thought: that much longer a retry waits at the most.
const SPREAD: TimeDelta = TimeDelta::minutes(5);

/// A batch whose next try lies later than this is due.
pub(crate) fn latest_of_batches(now: Timestamp) -> Timestamp {
    later(now, LONGEST_BATCH_WAIT + SPREAD)
}

/// A notification whose next try lies later than this is due.
pub(crate) fn latest_of_notifications(now: Timestamp) -> Timestamp {
    later(now, LONGEST_DEFERRAL + SPREAD)
}

fn later(now: Timestamp, by: TimeDelta) -> Timestamp {
    now.checked_add_signed(by).unwrap_or(Timestamp::MAX_UTC)
}
