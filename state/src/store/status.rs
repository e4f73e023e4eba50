//! Summaries for people. They read what is pending and unfinished, and never walk history.

use std::collections::BTreeMap;

use rusqlite::types::{FromSqlError, Type};
use rusqlite::{OptionalExtension, Row, params};

use super::Store;
use super::batches::select;
use super::rows::{count, integer, optional_count, optional_time, time};
use crate::Timestamp;
use crate::model::{Backlog, Batch, Command, CounterTotal, JournalTotals, RefusalTotal, Unarchived};
use crate::{BatchState, StateError, effects, time::Stored};

pub(super) const PENDING_SUMMARY: &str = "
    SELECT count(*) AS pending, coalesce(sum(size), 0) AS bytes, count(next_try_at) AS deferred,
           min(event_time) AS oldest, min(expires_at) AS expiry
    FROM notification WHERE state = 'pending' AND job = ?1";

pub(super) const OPEN_SUMMARY: &str = "
    SELECT count(*) FILTER (WHERE state <> 'failed') AS unfinished,
           coalesce(sum(documents - deferred) FILTER (WHERE state <> 'failed'), 0) AS unfinished_members,
           count(*) FILTER (WHERE state = 'failed') AS failed,
           coalesce(sum(documents - deferred) FILTER (WHERE state = 'failed'), 0) AS failed_members,
           min(oldest_event_time) AS oldest,
           min(earliest_expiry) FILTER (WHERE coalesce(failed_from, state) = 'sealed') AS expiry
    FROM batch WHERE job = ?1 AND state IN ('sealed', 'archived', 'loaded', 'failed')";

/// What is not archived, by the hour of its event; the key is that of any of them.
pub(super) const UNARCHIVED: &str = "
    SELECT key, size, min(event_time) AS oldest, min(expires_at) AS expiry, count(*) AS documents
    FROM (
        SELECT key, size, event_time, expires_at FROM notification WHERE state = 'pending' AND job = ?1
        UNION ALL
        SELECT n.key, n.size, n.event_time, n.expires_at
        FROM batch AS b JOIN member AS m USING (batch_id) JOIN notification AS n USING (notification_id)
        WHERE b.job = ?1 AND (b.state = 'sealed' OR (b.state = 'failed' AND b.failed_from = 'sealed')))
    GROUP BY substr(event_time, 1, 13) ORDER BY oldest";

const NEWEST_FAILED: &str =
    "WHERE job = ?1 AND state = 'failed' ORDER BY changed_at DESC, batch_id DESC LIMIT 1";

impl Store {
    /// The documents of a job whose originals are not archived yet, in groups by the hour of their event.
    pub fn unarchived(&self, job: &str) -> Result<Vec<Unarchived>, StateError> {
        let mut statement = self.connection.prepare_cached(UNARCHIVED)?;
        let rows = statement.query_map([job], |row| {
            Ok(Unarchived {
                documents: count(row, "documents")?,
                key: row.get("key")?,
                size: optional_count(row, "size")?,
                event_time: time(row, "oldest")?,
                expires_at: optional_time(row, "expiry")?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Every job of which the journal has ever had a notification, whether its file is still there or not.
    pub fn jobs(&self) -> Result<Vec<String>, StateError> {
        let mut statement = self.connection.prepare_cached("SELECT job FROM journal_total ORDER BY job")?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The batch of a job that was parked last.
    pub fn newest_failed(&self, job: &str) -> Result<Option<Batch>, StateError> {
        Ok(select(&self.connection, NEWEST_FAILED, params![job])?.pop())
    }

    /// What a job has not done yet.
    pub fn backlog(&self, job: &str) -> Result<Backlog, StateError> {
        let mut statement = self.connection.prepare_cached(PENDING_SUMMARY)?;
        let mut backlog = statement.query_row([job], pending_summary)?;
        self.connection.prepare_cached(OPEN_SUMMARY)?.query_row([job], |row| add_open(&mut backlog, row))?;
        Ok(backlog)
    }

    /// How many batches of a job are in each state; states without one are left out.
    pub fn batch_counts(&self, job: &str) -> Result<BTreeMap<BatchState, u64>, StateError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT state, count(*) AS batches FROM batch WHERE job = ?1 GROUP BY state")?;
        let rows = statement.query_map([job], |row| Ok((row.get("state")?, count(row, "batches")?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// What was only counted.
    pub fn counters(&self) -> Result<Vec<CounterTotal>, StateError> {
        let mut statement = self.connection.prepare_cached("SELECT * FROM counter ORDER BY name, job")?;
        let rows = statement.query_map([], counter_total)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// What inboxes refused, by inbox and reason.
    pub fn refusals(&self) -> Result<Vec<RefusalTotal>, StateError> {
        let mut statement =
            self.connection.prepare_cached("SELECT * FROM refusal ORDER BY source, reason")?;
        let rows = statement.query_map([], |row| {
            Ok(RefusalTotal {
                source: row.get("source")?,
                reason: row.get("reason")?,
                count: count(row, "count")?,
                last_at: time(row, "last_at")?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// What the journal received for a job.
    pub fn notification_totals(&self, job: &str) -> Result<JournalTotals, StateError> {
        let mut statement = self.connection.prepare_cached("SELECT * FROM journal_total WHERE job = ?1")?;
        let totals = |row: &Row<'_>| {
            Ok(JournalTotals {
                received: count(row, "received")?,
                redeliveries: count(row, "redeliveries")?,
                missed: count(row, "missed")?,
            })
        };
        Ok(statement.query_row([job], totals).optional()?.unwrap_or_default())
    }

    /// Logs that a command begins.
    pub fn command_started(
        &mut self,
        incarnation: &str,
        argv: &[String],
        now: Timestamp,
    ) -> Result<i64, StateError> {
        self.commit(effects::COMMAND, |tx| {
            tx.execute(
                "INSERT INTO command (incarnation, argv, started_at) VALUES (?1, ?2, ?3)",
                params![incarnation, serde_json::Value::from(argv).to_string(), Stored(now)],
            )?;
            Ok(tx.last_insert_rowid())
        })
    }

    /// Logs a command's end.
    pub fn command_ended(&mut self, command: i64, exit: i32, now: Timestamp) -> Result<(), StateError> {
        self.commit(effects::COMMAND_ENDED, |tx| {
            tx.execute(
                "UPDATE command SET ended_at = ?2, exit = ?3 WHERE command_id = ?1 AND ended_at IS NULL",
                params![command, Stored(now), exit],
            )?;
            Ok(())
        })
    }

    /// The command log, latest first.
    pub fn commands(&self, limit: usize) -> Result<Vec<Command>, StateError> {
        let mut statement =
            self.connection.prepare_cached("SELECT * FROM command ORDER BY command_id DESC LIMIT ?1")?;
        let rows = statement.query_map([integer(limit as u64)], command)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn pending_summary(row: &Row<'_>) -> rusqlite::Result<Backlog> {
    Ok(Backlog {
        pending: count(row, "pending")?,
        pending_bytes: count(row, "bytes")?,
        deferred: count(row, "deferred")?,
        oldest_event_time: optional_time(row, "oldest")?,
        earliest_expiry: optional_time(row, "expiry")?,
        ..Backlog::default()
    })
}

fn add_open(backlog: &mut Backlog, row: &Row<'_>) -> rusqlite::Result<()> {
    backlog.unfinished_batches = count(row, "unfinished")?;
    backlog.unfinished_members = count(row, "unfinished_members")?;
    backlog.failed_batches = count(row, "failed")?;
    backlog.failed_members = count(row, "failed_members")?;
    backlog.oldest_event_time = earlier(backlog.oldest_event_time, optional_time(row, "oldest")?);
    backlog.earliest_expiry = earlier(backlog.earliest_expiry, optional_time(row, "expiry")?);
    Ok(())
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    [one, other].into_iter().flatten().min()
}

fn counter_total(row: &Row<'_>) -> rusqlite::Result<CounterTotal> {
    let job: String = row.get("job")?;
    Ok(CounterTotal {
        counter: row.get("name")?,
        job: Some(job).filter(|job| !job.is_empty()),
        count: count(row, "count")?,
        last_at: time(row, "last_at")?,
    })
}

fn command(row: &Row<'_>) -> rusqlite::Result<Command> {
    Ok(Command {
        command_id: row.get("command_id")?,
        incarnation: row.get("incarnation")?,
        argv: json_texts(row.get::<_, Option<String>>("argv")?)?,
        started_at: time(row, "started_at")?,
        ended_at: optional_time(row, "ended_at")?,
        exit: row.get("exit")?,
    })
}

/// A stored JSON array of texts; nothing stored is an empty one.
pub(super) fn json_texts(stored: Option<String>) -> rusqlite::Result<Vec<String>> {
    let read = stored.map(|text| serde_json::from_str(&text)).transpose();
    read.map(Option::unwrap_or_default).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, Type::Text, FromSqlError::other(error).into())
    })
}
