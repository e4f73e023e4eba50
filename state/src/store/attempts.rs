//! Attempts: each is a row before its work begins, and ends in the same transaction as what it brought about.

use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::Store;
use super::moves::{Move, move_batch, stands, where_is};
use super::rows::{optional_time, time};
use crate::machine::{BatchEvent, Stage};
use crate::model::{Attempt, AttemptFailure, AttemptOutcome, Deferral, Moved};
use crate::time::Stored;
use crate::{StateError, Timestamp, effects};

const END: &str = "
    UPDATE attempt SET outcome = ?2, ended_at = ?3, error = ?4 WHERE attempt_id = ?1 AND outcome = 'running'";

const RETRY_LATER: &str = "
    UPDATE batch SET next_try_at = ?3, last_error = ?4, failures = failures + 1
    WHERE batch_id = ?1 AND state = ?2";

const DEFER: &str = "
    UPDATE notification
    SET state = 'pending', batch_id = NULL, ordinal = NULL, next_try_at = ?3, tries = tries + 1
    WHERE notification_id = (SELECT notification_id FROM member WHERE batch_id = ?1 AND ordinal = ?2)
      AND state = 'batched' AND batch_id = ?1";

impl Store {
    /// Writes down that an attempt begins. The batch must be in the state that the stage works on.
    pub fn begin_attempt(
        &mut self,
        batch_id: &str,
        stage: Stage,
        incarnation: &str,
        now: Timestamp,
    ) -> Result<i64, StateError> {
        self.commit(effects::ATTEMPT, |tx| {
            let (state, _) = where_is(tx, batch_id)?;
            if state != stage.takes() {
                return Err(StateError::Illegal(format!(
                    "batch {batch_id} is {state}, so there is nothing to {stage}; look at it again"
                )));
            }
            tx.prepare_cached(
                "INSERT INTO attempt (batch_id, stage, incarnation, started_at) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![batch_id, stage, incarnation, Stored(now)])?;
            Ok(tx.last_insert_rowid())
        })
    }

    /// Ends an attempt well: it succeeded, the batch moves, and deferred members are pending again, all at once. May be
    /// repeated when the answer was lost.
    pub fn complete_attempt(
        &mut self,
        attempt: i64,
        event: BatchEvent,
        cause: &str,
        deferred: &[Deferral],
        now: Timestamp,
    ) -> Result<Moved, StateError> {
        self.commit(effects::TRANSITION, |tx| {
            let attempt = attempt_by_id(tx, attempt)?;
            check_event(&attempt, event)?;
            if attempt.outcome != AttemptOutcome::Running {
                let (state, failed_from) = where_is(tx, &attempt.batch_id)?;
                return Ok(stands(state, event, failed_from));
            }
            let (batch_id, incarnation) = (attempt.batch_id.as_str(), attempt.incarnation.as_str());
            let moved = move_batch(tx, &Move { batch_id, event, cause, incarnation, now })?;
            let lost = moved == Moved::Lost;
            let outcome = if lost { AttemptOutcome::Lost } else { AttemptOutcome::Succeeded };
            end(tx, &attempt, outcome, None, now)?;
            // Whoever moved the batch has deferred its members, from the same archive object.
            if moved == Moved::Yes {
                defer(tx, batch_id, deferred)?;
            }
            Ok(moved)
        })
    }

    /// Ends an attempt badly: the batch is tried again later, or parked. An attempt that has ended stays as it is, and
    /// a batch that is not any more where the attempt found it is left alone.
    pub fn fail_attempt(
        &mut self,
        attempt: i64,
        failure: AttemptFailure,
        now: Timestamp,
    ) -> Result<(), StateError> {
        self.commit(effects::ATTEMPT_FAILED, |tx| {
            let attempt = attempt_by_id(tx, attempt)?;
            if attempt.outcome != AttemptOutcome::Running {
                return Ok(());
            }
            match &failure {
                AttemptFailure::Transient { error, next_try_at } => {
                    end(tx, &attempt, AttemptOutcome::Transient, Some(error), now)?;
                    retry_later(tx, &attempt, error, *next_try_at)
                }
                AttemptFailure::Permanent { error } => {
                    end(tx, &attempt, AttemptOutcome::Permanent, Some(error), now)?;
                    park(tx, &attempt, error, now)
                }
            }
        })
    }

    /// The attempts at a batch, oldest first.
    pub fn attempts(&self, batch_id: &str) -> Result<Vec<Attempt>, StateError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT * FROM attempt WHERE batch_id = ?1 ORDER BY attempt_id")?;
        let rows = statement.query_map([batch_id], attempt_row)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn check_event(attempt: &Attempt, event: BatchEvent) -> Result<(), StateError> {
    if event == attempt.stage.event() {
        return Ok(());
    }
    let Attempt { attempt_id, stage, .. } = attempt;
    Err(StateError::Illegal(format!(
        "attempt {attempt_id} is to {stage}, it cannot end with the event {event}"
    )))
}

fn end(
    tx: &Transaction<'_>,
    attempt: &Attempt,
    outcome: AttemptOutcome,
    error: Option<&str>,
    now: Timestamp,
) -> Result<(), StateError> {
    tx.prepare_cached(END)?.execute(params![attempt.attempt_id, outcome, Stored(now), error])?;
    Ok(())
}

fn retry_later(
    tx: &Transaction<'_>,
    attempt: &Attempt,
    error: &str,
    next_try_at: Timestamp,
) -> Result<(), StateError> {
    let parameters = params![attempt.batch_id, attempt.stage.takes(), Stored(next_try_at), error];
    tx.prepare_cached(RETRY_LATER)?.execute(parameters)?;
    Ok(())
}

fn park(tx: &Transaction<'_>, attempt: &Attempt, error: &str, now: Timestamp) -> Result<(), StateError> {
    // A late failure of a stage that somebody else has finished parks nothing.
    if where_is(tx, &attempt.batch_id)?.0 != attempt.stage.takes() {
        return Ok(());
    }
    let (batch_id, incarnation) = (attempt.batch_id.as_str(), attempt.incarnation.as_str());
    move_batch(tx, &Move { batch_id, event: BatchEvent::Failed, cause: error, incarnation, now })?;
    Ok(())
}

fn defer(tx: &Transaction<'_>, batch_id: &str, deferred: &[Deferral]) -> Result<(), StateError> {
    let mut statement = tx.prepare_cached(DEFER)?;
    for Deferral { ordinal, next_try_at } in deferred {
        if statement.execute(params![batch_id, ordinal, Stored(*next_try_at)])? != 1 {
            return Err(StateError::Illegal(format!("batch {batch_id} has no member {ordinal} to defer")));
        }
    }
    let count = super::rows::integer(deferred.len() as u64);
    tx.execute("UPDATE batch SET deferred = deferred + ?2 WHERE batch_id = ?1", params![batch_id, count])?;
    Ok(())
}

fn attempt_by_id(tx: &Transaction<'_>, attempt_id: i64) -> Result<Attempt, StateError> {
    let mut statement = tx.prepare_cached("SELECT * FROM attempt WHERE attempt_id = ?1")?;
    let found = statement.query_row([attempt_id], attempt_row).optional()?;
    found.ok_or_else(|| StateError::Illegal(format!("no attempt {attempt_id} in this state store")))
}

fn attempt_row(row: &Row<'_>) -> rusqlite::Result<Attempt> {
    Ok(Attempt {
        attempt_id: row.get("attempt_id")?,
        batch_id: row.get("batch_id")?,
        stage: row.get("stage")?,
        incarnation: row.get("incarnation")?,
        started_at: time(row, "started_at")?,
        ended_at: optional_time(row, "ended_at")?,
        outcome: row.get("outcome")?,
        error: row.get("error")?,
    })
}
