//! What every stage does with a batch that failed, and with one that waits.

use chrono::TimeDelta;
use sluicegate_state::{AttemptFailure, Batch, BatchState, Store, Timestamp};

use crate::failure::{Failure, FailureKind, Outcome};

use super::backoff;
use super::context::Context;
use super::stage::{Idle, Tick};

/// Records a failed attempt: transient ones come back with back-off, permanent ones park the batch.
pub fn fail(
    context: &Context,
    store: &mut Store,
    batch: &Batch,
    attempt: i64,
    failure: Failure,
) -> Outcome<()> {
    let now = context.clock.now();
    let error = failure.message.clone();
    match failure.kind {
        FailureKind::Transient => {
            tracing::warn!(batch = %batch.batch_id, "will be tried again: {error}");
            let next_try_at = now + backoff::batch_delay(&batch.batch_id, batch.failures + 1);
            store.fail_attempt(attempt, AttemptFailure::Transient { error, next_try_at }, now)?;
        }
        FailureKind::Permanent => {
            tracing::error!(batch = %batch.batch_id, "parked, needs a person: {error}");
            store.fail_attempt(attempt, AttemptFailure::Permanent { error }, now)?;
            context.tally.add(|counts| counts.failed_batches += 1);
        }
        FailureKind::WrongLedger | FailureKind::Died => return Err(failure),
    }
    Ok(())
}

/// A stage's rest: until a batch in `state` is due again. It looked at `looked_at`: what was due then and was not taken,
/// because its job is held or gone, or another stage has it, is nothing that time can help.
pub fn idle(store: &Store, state: BatchState, looked_at: Timestamp, watch: bool) -> Outcome<Tick> {
    let waiting = store.next_waiting(state, looked_at)?;
    let deferred = if state == BatchState::Sealed { store.next_deferred(looked_at)? } else { None };
    let mut idle = Idle::default();
    if let Some(batch) = waiting {
        let error = batch.last_error.unwrap_or_default();
        idle.wake_at = batch.next_try_at;
        idle.waiting_for = Some(format!("batch {}: {error}", batch.batch_id));
    }
    if let Some((key, at)) = deferred {
        idle.wake_at = Some(idle.wake_at.map_or(at, |other| other.min(at)));
        idle.waiting_for.get_or_insert(format!("document {key:?}, which could not be read"));
    }
    if watch && state == BatchState::Sealed {
        // Time alone can make a batch due: the oldest pending document reaches the age limit.
        let soon = looked_at + TimeDelta::seconds(1);
        idle.wake_at = Some(idle.wake_at.map_or(soon, |other| other.min(soon)));
    }
    Ok(Tick::Idle(idle))
}
