//! Reading batches: the work that is due, and history for people.

use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use super::Store;
use super::rows::{count, integer, optional_count, optional_time, time};
use crate::machine::{BatchEvent, BatchState};
use crate::model::{Batch, Member, TransitionRecord};
use crate::time::Stored;
use crate::{StateError, Timestamp, retry};

/// The start of every query for batches.
pub(super) const SELECT: &str = "
    SELECT b.*, (SELECT count(*) FROM attempt AS a WHERE a.batch_id = b.batch_id) AS attempts FROM batch AS b ";

/// The list of states is there for the planner: it repeats the condition of the partial index. A next try later than `?4`
/// was set by a clock that was ahead, and has come.
pub(super) const DUE: &str = "
    WHERE state = ?1 AND state IN ('sealed', 'archived', 'loaded')
      AND (next_try_at IS NULL OR next_try_at <= ?2 OR next_try_at > ?4)
    ORDER BY sealed_at, batch_id LIMIT ?3";

/// The oldest batch of the job after `?3`, in the order of names and then from the beginning again.
pub(super) const IN_TURN: &str = "
    WHERE batch_id = (
        SELECT batch_id FROM batch
        WHERE state = ?1 AND state IN ('sealed', 'archived', 'loaded')
          AND (next_try_at IS NULL OR next_try_at <= ?2 OR next_try_at > ?4)
        ORDER BY job <= ?3, job, sealed_at, batch_id LIMIT 1)";

/// Without the hint the planner would look at every unfinished batch.
pub(super) const NEXT_BATCH: &str = "
    SELECT min(next_try_at) AS next FROM batch INDEXED BY batch_retry
    WHERE next_try_at IS NOT NULL AND state IN ('sealed', 'archived', 'loaded') AND next_try_at > ?1 AND next_try_at <= ?2";

pub(super) const NEXT_NOTIFICATION: &str = "
    SELECT min(next_try_at) AS next FROM notification
    WHERE state = 'pending' AND next_try_at IS NOT NULL AND next_try_at > ?1 AND next_try_at <= ?2";

pub(super) const IN_STATE: &str = "
    WHERE state = ?1 AND state IN ('sealed', 'archived', 'loaded') ORDER BY sealed_at, batch_id LIMIT ?2";

/// Job by job, each found by the index, so that nobody looks through all batches there ever were.
pub(super) const PARKED: &str = "
    WHERE state = 'failed' AND failed_from = ?1 AND job IN (
        WITH RECURSIVE known (job) AS (
            SELECT min(job) FROM batch
            UNION ALL
            SELECT (SELECT min(b.job) FROM batch b WHERE b.job > known.job) FROM known WHERE known.job IS NOT NULL
        )
        SELECT job FROM known
    )
    ORDER BY sealed_at, batch_id LIMIT ?2";

const WAITING: &str = "
    WHERE state = ?1 AND state IN ('sealed', 'archived', 'loaded') AND next_try_at IS NOT NULL
    ORDER BY next_try_at LIMIT ?2";

pub(super) const NEXT_WAITING: &str = "
    WHERE state = ?1 AND state IN ('sealed', 'archived', 'loaded') AND next_try_at IS NOT NULL
      AND next_try_at > ?2 AND next_try_at <= ?3
    ORDER BY next_try_at LIMIT 1";

pub(super) const NEXT_DEFERRED: &str = "
    SELECT key, next_try_at FROM notification
    WHERE state = 'pending' AND next_try_at IS NOT NULL AND next_try_at > ?1 AND next_try_at <= ?2
    ORDER BY next_try_at LIMIT 1";

const MEMBERS: &str = "
    SELECT m.ordinal, m.tries, n.bucket, n.key, n.version_id, n.etag, n.sequencer, n.size, n.event_time, n.expires_at
    FROM member AS m JOIN notification AS n USING (notification_id)
    WHERE m.batch_id = ?1 ORDER BY m.ordinal";

impl Store {
    /// The batches in an unfinished state whose time has come, oldest seal first.
    pub fn due_batches(
        &self,
        state: BatchState,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Batch>, StateError> {
        let latest = Stored(retry::latest_of_batches(now));
        select(&self.connection, DUE, params![state, Stored(now), integer(limit as u64), latest])
    }

    /// The batch in an unfinished state whose turn it is: jobs are served one after the other, the one after `last_job`
    /// first, so that the backlog of one does not starve another; of a job the oldest seal.
    pub fn due_batch_in_turn(
        &self,
        state: BatchState,
        now: Timestamp,
        last_job: &str,
    ) -> Result<Option<Batch>, StateError> {
        let latest = Stored(retry::latest_of_batches(now));
        Ok(select(&self.connection, IN_TURN, params![state, Stored(now), last_job, latest])?.pop())
    }

    /// When the next retry of a batch or of a deferred notification is due, if one lies ahead.
    pub fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StateError> {
        let next = |sql, latest| -> Result<Option<Timestamp>, StateError> {
            let mut statement = self.connection.prepare_cached(sql)?;
            Ok(statement.query_row([Stored(now), Stored(latest)], |row| optional_time(row, "next"))?)
        };
        let batch = next(NEXT_BATCH, retry::latest_of_batches(now))?;
        let notification = next(NEXT_NOTIFICATION, retry::latest_of_notifications(now))?;
        Ok([batch, notification].into_iter().flatten().min())
    }

    /// The batches in an unfinished state, whether their time has come or not, oldest seal first.
    pub fn batches_in(&self, state: BatchState, limit: usize) -> Result<Vec<Batch>, StateError> {
        select(&self.connection, IN_STATE, params![state, integer(limit as u64)])
    }

    /// The batches that are parked from a state, oldest seal first.
    pub fn parked_batches(&self, from: BatchState, limit: usize) -> Result<Vec<Batch>, StateError> {
        select(&self.connection, PARKED, params![from, integer(limit as u64)])
    }

    /// The batches in an unfinished state that wait for a retry, the earliest first, whether its time has come or not.
    pub fn waiting_batches(&self, state: BatchState, limit: usize) -> Result<Vec<Batch>, StateError> {
        select(&self.connection, WAITING, params![state, integer(limit as u64)])
    }

    /// The batch in an unfinished state whose retry is the first one due after `now`.
    pub fn next_waiting(&self, state: BatchState, now: Timestamp) -> Result<Option<Batch>, StateError> {
        let latest = Stored(retry::latest_of_batches(now));
        Ok(select(&self.connection, NEXT_WAITING, params![state, Stored(now), latest])?.pop())
    }

    /// The deferred document whose retry is the first one due after `now`: its key and when.
    pub fn next_deferred(&self, now: Timestamp) -> Result<Option<(String, Timestamp)>, StateError> {
        let mut statement = self.connection.prepare_cached(NEXT_DEFERRED)?;
        let latest = Stored(retry::latest_of_notifications(now));
        let found = statement
            .query_row([Stored(now), latest], |row| Ok((row.get(0)?, optional_time(row, "next_try_at")?)))
            .optional()?;
        Ok(found.and_then(|(key, at)| Some((key, at?))))
    }

    /// One batch.
    pub fn batch(&self, batch_id: &str) -> Result<Option<Batch>, StateError> {
        batch_by_id(&self.connection, batch_id)
    }

    /// The batches whose id begins so, newest first.
    pub fn batches_by_prefix(&self, prefix: &str, limit: usize) -> Result<Vec<Batch>, StateError> {
        let tail = "WHERE batch_id >= ?1 AND batch_id < ?1 || char(1114111) ORDER BY batch_id DESC LIMIT ?2";
        select(&self.connection, tail, params![prefix, integer(limit as u64)])
    }

    /// The batches of one job or of all, newest first.
    pub fn batches(&self, job: Option<&str>, limit: usize) -> Result<Vec<Batch>, StateError> {
        let limit = integer(limit as u64);
        let order = "ORDER BY sealed_at DESC, batch_id DESC LIMIT ?1";
        match job {
            Some(job) => select(&self.connection, &format!("WHERE job = ?2 {order}"), params![limit, job]),
            None => select(&self.connection, order, params![limit]),
        }
    }

    /// The members of a batch, in their order.
    pub fn members(&self, batch_id: &str) -> Result<Vec<Member>, StateError> {
        let mut statement = self.connection.prepare_cached(MEMBERS)?;
        let rows = statement.query_map([batch_id], member)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// What happened to a batch, from its sealing on.
    pub fn transitions(&self, batch_id: &str) -> Result<Vec<TransitionRecord>, StateError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT * FROM transition WHERE batch_id = ?1 ORDER BY transition_id")?;
        let rows = statement.query_map([batch_id], transition_record)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

pub(super) fn batch_by_id(connection: &Connection, batch_id: &str) -> Result<Option<Batch>, StateError> {
    let sql = format!("{SELECT} WHERE batch_id = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row([batch_id], batch).optional()?)
}

pub(super) fn select(
    connection: &Connection,
    tail: &str,
    parameters: &[&dyn ToSql],
) -> Result<Vec<Batch>, StateError> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} {tail}"))?;
    let rows = statement.query_map(parameters, batch)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn batch(row: &Row<'_>) -> rusqlite::Result<Batch> {
    Ok(Batch {
        batch_id: row.get("batch_id")?,
        job: row.get("job")?,
        state: row.get("state")?,
        failed_from: row.get("failed_from")?,
        documents: count(row, "documents")?,
        bytes: count(row, "bytes")?,
        estimated_rows: count(row, "estimated_rows")?,
        oldest_event_time: time(row, "oldest_event_time")?,
        earliest_expiry: optional_time(row, "earliest_expiry")?,
        early: row.get("early")?,
        sealed_at: time(row, "sealed_at")?,
        incarnation: row.get("incarnation")?,
        definition_hash: row.get("definition_hash")?,
        parents: parents(row)?,
        replay: count(row, "replay")?,
        deferred: count(row, "deferred")?,
        attempts: count(row, "attempts")?,
        failures: count(row, "failures")?,
        next_try_at: optional_time(row, "next_try_at")?,
        last_error: row.get("last_error")?,
        changed_at: time(row, "changed_at")?,
    })
}

fn parents(row: &Row<'_>) -> rusqlite::Result<Vec<String>> {
    super::status::json_texts(row.get::<_, Option<String>>("parents")?)
}

fn member(row: &Row<'_>) -> rusqlite::Result<Member> {
    Ok(Member {
        ordinal: row.get("ordinal")?,
        bucket: row.get("bucket")?,
        key: row.get("key")?,
        version_id: row.get("version_id")?,
        etag: row.get("etag")?,
        sequencer: row.get("sequencer")?,
        size: optional_count(row, "size")?,
        event_time: time(row, "event_time")?,
        expires_at: optional_time(row, "expires_at")?,
        tries: count(row, "tries")?,
    })
}

fn transition_record(row: &Row<'_>) -> rusqlite::Result<TransitionRecord> {
    let from: Option<BatchState> = row.get("from_state")?;
    // The word of a sealing is no event of the state machine: there is no batch before it.
    let event = from.map(|_| row.get::<_, BatchEvent>("event")).transpose()?;
    Ok(TransitionRecord {
        batch_id: row.get("batch_id")?,
        from,
        to: row.get("to_state")?,
        event,
        at: time(row, "at")?,
        incarnation: row.get("incarnation")?,
        cause: row.get("cause")?,
    })
}
