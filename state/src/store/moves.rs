//! Moves of batches between states: the only place that writes a batch's state after its sealing.

use rusqlite::{OptionalExtension, Transaction, params};

use super::Store;
use crate::canary::{Canary, sings};
use crate::machine::{BatchEvent, BatchState, already_there, transition};
use crate::model::Moved;
use crate::time::Stored;
use crate::{StateError, Timestamp, effects};

/// The guard is in the WHERE: a batch that is not any more where it was read is not touched.
const MOVE: &str = "
    UPDATE batch
    SET state = ?4, failed_from = ?5, event = ?6, changed_at = ?7, changed_by = ?8, cause = ?9,
        failures = 0, next_try_at = NULL,
        last_error = CASE WHEN ?6 = 'failed' THEN ?9 WHEN ?6 IN ('resumed', 'abandoned') THEN last_error END
    WHERE batch_id = ?1 AND state = ?2 AND failed_from IS ?3";

/// A wish to move a batch.
pub(super) struct Move<'a> {
    pub(super) batch_id: &'a str,
    pub(super) event: BatchEvent,
    pub(super) cause: &'a str,
    pub(super) incarnation: &'a str,
    pub(super) now: Timestamp,
}

impl Store {
    /// Lets something happen to a batch: a person resumes or abandons it, or what was found elsewhere says how far it is.
    pub fn apply(
        &mut self,
        batch_id: &str,
        event: BatchEvent,
        cause: &str,
        incarnation: &str,
        now: Timestamp,
    ) -> Result<Moved, StateError> {
        self.commit(effects::TRANSITION, |tx| {
            move_batch(tx, &Move { batch_id, event, cause, incarnation, now })
        })
    }
}

/// Where a batch is, and where it failed from.
pub(super) fn where_is(
    tx: &Transaction<'_>,
    batch_id: &str,
) -> Result<(BatchState, Option<BatchState>), StateError> {
    let mut statement = tx.prepare_cached("SELECT state, failed_from FROM batch WHERE batch_id = ?1")?;
    let found = statement.query_row([batch_id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    found.ok_or_else(|| {
        StateError::Illegal(format!(
            "no batch {batch_id} in this state store; `sluicegate jobs list JOB` shows them"
        ))
    })
}

/// Moves a batch by the table of the state machine.
pub(super) fn move_batch(tx: &Transaction<'_>, wish: &Move<'_>) -> Result<Moved, StateError> {
    let (state, failed_from) = where_is(tx, wish.batch_id)?;
    let anywhere = sings(Canary::MoveFromAnywhere).then(|| led_to(wish.event)).flatten();
    let Some(next) = anywhere.or_else(|| transition(state, wish.event, failed_from)) else {
        return Ok(stands(state, wish.event, failed_from));
    };
    let next_failed_from = (next == BatchState::Failed).then_some(state);
    let changed = tx.prepare_cached(MOVE)?.execute(params![
        wish.batch_id,
        state,
        failed_from,
        next,
        next_failed_from,
        wish.event,
        Stored(wish.now),
        wish.incarnation,
        wish.cause,
    ])?;
    Ok(if changed == 1 { Moved::Yes } else { Moved::Lost })
}

/// What to say of a batch that an event does not move.
pub(super) fn stands(state: BatchState, event: BatchEvent, failed_from: Option<BatchState>) -> Moved {
    if already_there(state, event, failed_from) { Moved::AlreadyThere } else { Moved::Lost }
}

/// Where an event leads that asks for no from-state: only a canary's wish.
fn led_to(event: BatchEvent) -> Option<BatchState> {
    BatchState::ALL.iter().copied().find(|state| state.as_str() == event.as_str())
}
