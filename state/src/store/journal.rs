//! The journal: what arrives is on disk before anybody acknowledges it.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use sha2::{Digest, Sha256};

use super::Store;
use super::rows::{count, integer, optional_count, optional_time, stored, time};
use crate::canary::{Canary, sings};
use crate::model::{
    Arrival, Counter, JournalEntry, JournalReceipt, JournalTotals, MISSED_EVENT, Notification, Unreadable,
    present_version,
};
use crate::time::Stored;
use crate::{StateError, Timestamp, effects};

const RECORD: &str = "
    INSERT INTO notification (job, bucket, key, version_id, etag, sequencer, size, event_time, event_name, source,
                              expires_at, received_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";

/// No upsert: a trigger refuses every second insertion, so that no REPLACE can take a notification away.
pub(super) const COUNT_AGAIN: &str = "
    UPDATE notification SET redeliveries = redeliveries + 1, last_redelivered_at = ?5
    WHERE key = ?1 AND bucket = ?2 AND coalesce(version_id, etag) = ?3 AND coalesce(sequencer, '') = ?4
    RETURNING job";

const KEEP_UNREADABLE: &str = "
    INSERT INTO unreadable (sha256, source, body, reason, first_seen_at, last_seen_at, seen)
    VALUES (?1, ?2, ?3, ?4, ?5, ?5, 1)
    ON CONFLICT (sha256) DO UPDATE SET seen = seen + 1, last_seen_at = excluded.last_seen_at";

const COUNT: &str = "
    INSERT INTO counter (name, job, count, last_at) VALUES (?1, ?2, 1, ?3)
    ON CONFLICT (name, job) DO UPDATE SET count = count + 1, last_at = excluded.last_at";

const REFUSE: &str = "
    INSERT INTO refusal (source, reason, count, last_at) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (source, reason) DO UPDATE SET count = count + excluded.count, last_at = excluded.last_at";

pub(super) const ADD_TOTALS: &str = "
    INSERT INTO journal_total (job, received, redeliveries, missed) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (job) DO UPDATE
    SET received = received + excluded.received, redeliveries = redeliveries + excluded.redeliveries,
        missed = missed + excluded.missed";

pub(super) const IS_KNOWN: &str = "
    SELECT EXISTS (SELECT 1 FROM notification
                   WHERE key = ?1 AND bucket = ?2 AND coalesce(version_id, etag) = ?3
                     AND coalesce(sequencer, '') = ?4)";

pub(super) const EARLIER: &str = "
    SELECT n.event_time < ?4 AS is_older,
           EXISTS (SELECT 1 FROM batch AS b
                   WHERE b.batch_id = n.batch_id AND b.state IN ('loaded', 'published')) AS is_done
    FROM notification AS n
    WHERE key = ?1 AND bucket = ?2 AND coalesce(version_id, etag) = ?3 AND coalesce(sequencer, '') = ''";

pub(super) const OF_KEY: &str = "SELECT * FROM notification WHERE key = ?1 ORDER BY notification_id";

impl Store {
    /// Journals arrivals in one transaction: one fsync for all. Afterwards they may be acknowledged. A notification that
    /// is known is only counted as a redelivery, so this may be repeated.
    pub fn journal<'a>(
        &mut self,
        arrivals: impl IntoIterator<Item = &'a Arrival>,
        now: Timestamp,
    ) -> Result<JournalReceipt, StateError> {
        self.journal_as(Known::Redelivered, arrivals.into_iter(), now)
    }

    /// The same for what a listing found: a notification that is known is passed over, for nobody sent it again.
    pub fn journal_listed<'a>(
        &mut self,
        arrivals: impl IntoIterator<Item = &'a Arrival>,
        now: Timestamp,
    ) -> Result<JournalReceipt, StateError> {
        let mut arrivals = arrivals.into_iter().peekable();
        // A listing finds mostly what is known. Nobody should wait for a transaction that writes nothing.
        while let Some(Arrival::Notification(notification)) = arrivals.peek() {
            if !is_journaled(&self.connection, notification)? {
                break;
            }
            arrivals.next();
        }
        self.journal_as(Known::Listed, arrivals, now)
    }

    /// The same for single objects that a listing or a HEAD showed, and of which no notification has told: each is what
    /// lies there now. Without versions the identity may be taken all the same, by an earlier upload of the same content.
    /// Then this one is another document, and gets a sequencer that tells the two apart. It is passed over where what is
    /// journaled is not older than the object, for then it is about this very one.
    pub fn journal_found<'a>(
        &mut self,
        arrivals: impl IntoIterator<Item = &'a Arrival>,
        now: Timestamp,
    ) -> Result<JournalReceipt, StateError> {
        self.journal_as(Known::Found, arrivals.into_iter(), now)
    }

    /// The same for what a listing showed and the ledger does not know, whatever the journal says of it: an identity without
    /// a sequencer may have come to its end with another upload, which another machine was told of.
    pub fn journal_missed<'a>(
        &mut self,
        arrivals: impl IntoIterator<Item = &'a Arrival>,
        now: Timestamp,
    ) -> Result<JournalReceipt, StateError> {
        self.journal_as(Known::Missed, arrivals.into_iter(), now)
    }

    fn journal_as<'a>(
        &mut self,
        known: Known,
        arrivals: impl Iterator<Item = &'a Arrival>,
        now: Timestamp,
    ) -> Result<JournalReceipt, StateError> {
        let mut arrivals = arrivals.peekable();
        if arrivals.peek().is_none() {
            return Ok(JournalReceipt::default());
        }
        self.commit(effects::JOURNAL, |tx| {
            let mut entry =
                Entry { tx, now, known, receipt: JournalReceipt::default(), totals: BTreeMap::new() };
            arrivals.try_for_each(|arrival| entry.journal(arrival))?;
            let Entry { receipt, totals, .. } = entry;
            for (job, total) in &totals {
                tx.prepare_cached(ADD_TOTALS)?.execute(params![
                    job,
                    integer(total.received),
                    integer(total.redeliveries),
                    integer(total.missed)
                ])?;
            }
            Ok(receipt)
        })
    }

    /// Every notification of a key, in the order of their arrival.
    pub fn notifications_for_key(&self, key: &str) -> Result<Vec<JournalEntry>, StateError> {
        let mut statement = self.connection.prepare_cached(OF_KEY)?;
        let rows = statement.query_map([key], journal_entry)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The batches that a notification has ever been a member of, with its place there, oldest batch first. A deferral
    /// makes more than one.
    pub fn batches_of_notification(&self, notification_id: i64) -> Result<Vec<(String, u32)>, StateError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT batch_id, ordinal FROM member WHERE notification_id = ?1 ORDER BY batch_id",
        )?;
        let rows = statement.query_map([notification_id], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Messages that nobody could read, latest first.
    pub fn unreadable(&self, limit: usize) -> Result<Vec<Unreadable>, StateError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT * FROM unreadable ORDER BY last_seen_at DESC, rowid DESC LIMIT ?1")?;
        let rows = statement.query_map([integer(limit as u64)], unreadable)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// What it means that a notification is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Somebody sent it again.
    Redelivered,
    /// It is still there.
    Listed,
    /// It is there now, and what is known may be an earlier one.
    Found,
    /// The same, and the ledger does not know it.
    Missed,
}

/// One transaction's worth of arrivals.
struct Entry<'t, 'c> {
    tx: &'t Transaction<'c>,
    now: Timestamp,
    known: Known,
    receipt: JournalReceipt,
    totals: BTreeMap<String, JournalTotals>,
}

impl Entry<'_, '_> {
    fn journal(&mut self, arrival: &Arrival) -> Result<(), StateError> {
        let Self { tx, now, receipt, .. } = self;
        match arrival {
            Arrival::Notification(notification) => self.notification(notification)?,
            Arrival::Unreadable { source, body, reason } => {
                let hash = hex::encode(Sha256::digest(body));
                let parameters = params![hash, source, body, reason, Stored(*now)];
                tx.prepare_cached(KEEP_UNREADABLE)?.execute(parameters)?;
                receipt.unreadable += 1;
            }
            Arrival::Counted(counter, job) => {
                count_one(tx, *counter, job.as_deref().unwrap_or(""), *now)?;
                receipt.counted += 1;
            }
            Arrival::Refused { count: 0, .. } => {}
            Arrival::Refused { source, reason, count } => {
                let parameters = params![source, reason, integer(*count), Stored(*now)];
                tx.prepare_cached(REFUSE)?.execute(parameters)?;
                receipt.counted += count;
            }
        }
        Ok(())
    }

    fn notification(&mut self, notification: &Notification) -> Result<(), StateError> {
        let mut found = None;
        match self.known {
            _ if sings(Canary::RedeliveryIsNew) => {}
            Known::Found | Known::Missed => match told_apart(self.tx, self.known, notification)? {
                Some(apart) => found = Some(apart),
                None => return Ok(()),
            },
            Known::Listed if is_journaled(self.tx, notification)? => return Ok(()),
            Known::Listed => {}
            Known::Redelivered => {
                if let Some(job) = count_again(self.tx, notification, self.now)? {
                    self.receipt.redelivered += 1;
                    self.total(&job).redeliveries += 1;
                    return Ok(());
                }
            }
        }
        let notification = found.as_ref().unwrap_or(notification);
        record(self.tx, notification, self.now)?;
        self.receipt.recorded += 1;
        let total = self.total(&notification.job);
        total.received += 1;
        total.missed += u64::from(notification.event_name == MISSED_EVENT);
        Ok(())
    }

    fn total(&mut self, job: &str) -> &mut JournalTotals {
        if !self.totals.contains_key(job) {
            self.totals.insert(job.to_owned(), JournalTotals::default());
        }
        self.totals.get_mut(job).expect("it was put in above")
    }
}

/// Whether a notification is in the journal. An absent sequencer is a part of its identity, not a wildcard.
fn is_journaled(connection: &Connection, notification: &Notification) -> Result<bool, StateError> {
    let Notification { bucket, key, version_id, etag, sequencer, .. } = notification;
    let version = present_version(version_id.as_deref()).unwrap_or(etag);
    let parameters = params![key, bucket, version, sequencer.as_deref().unwrap_or("")];
    let mut statement = connection.prepare_cached(IS_KNOWN)?;
    Ok(statement.query_row(parameters, |row| row.get(0))?)
}

/// What to journal of an object that lies there now; nothing where the journal knows of this very one.
fn told_apart(
    tx: &Transaction<'_>,
    known: Known,
    found: &Notification,
) -> Result<Option<Notification>, StateError> {
    let version = present_version(found.version_id.as_deref());
    let parameters =
        params![found.key, found.bucket, version.unwrap_or(&found.etag), Stored(found.event_time)];
    let earlier: Option<(bool, bool)> = tx
        .prepare_cached(EARLIER)?
        .query_row(parameters, |row| Ok((row.get("is_older")?, row.get("is_done")?)))
        .optional()?;
    let found = match earlier {
        None => found.clone(),
        Some((is_older, is_done)) if version.is_none() && (is_older || is_done && known == Known::Missed) => {
            let apart = format!("LISTED-{}", found.event_time.format("%Y%m%dT%H%M%SZ"));
            Notification { sequencer: Some(apart), ..found.clone() }
        }
        Some(_) => return Ok(None),
    };
    Ok(if is_journaled(tx, &found)? { None } else { Some(found) })
}

/// Counts a notification that is known; answers the job under which it was journaled.
fn count_again(
    tx: &Transaction<'_>,
    notification: &Notification,
    now: Timestamp,
) -> Result<Option<String>, StateError> {
    let Notification { bucket, key, version_id, etag, sequencer, .. } = notification;
    let version = present_version(version_id.as_deref()).unwrap_or(etag);
    let parameters = params![key, bucket, version, sequencer.as_deref().unwrap_or(""), Stored(now)];
    Ok(tx.prepare_cached(COUNT_AGAIN)?.query_row(parameters, |row| row.get(0)).optional()?)
}

pub(super) fn record(
    tx: &Transaction<'_>,
    notification: &Notification,
    now: Timestamp,
) -> Result<(), StateError> {
    let version_id = present_version(notification.version_id.as_deref());
    let sequencer = notification.sequencer.as_deref().filter(|sequencer| !sequencer.is_empty());
    let parameters = params![
        notification.job,
        notification.bucket,
        notification.key,
        version_id,
        notification.etag,
        sequencer,
        notification.size.map(integer),
        Stored(notification.event_time),
        notification.event_name,
        notification.source,
        stored(notification.expires_at),
        Stored(now),
    ];
    tx.prepare_cached(RECORD)?.execute(parameters)?;
    Ok(())
}

fn count_one(tx: &Transaction<'_>, counter: Counter, job: &str, now: Timestamp) -> Result<(), StateError> {
    tx.prepare_cached(COUNT)?.execute(params![counter, job, Stored(now)])?;
    Ok(())
}

pub(super) fn journal_entry(row: &Row<'_>) -> rusqlite::Result<JournalEntry> {
    Ok(JournalEntry {
        notification_id: row.get("notification_id")?,
        notification: notification(row)?,
        received_at: time(row, "received_at")?,
        redeliveries: count(row, "redeliveries")?,
        last_redelivered_at: optional_time(row, "last_redelivered_at")?,
        state: row.get("state")?,
        batch_id: row.get("batch_id")?,
        ordinal: row.get("ordinal")?,
        tries: count(row, "tries")?,
        next_try_at: optional_time(row, "next_try_at")?,
    })
}

fn notification(row: &Row<'_>) -> rusqlite::Result<Notification> {
    Ok(Notification {
        job: row.get("job")?,
        bucket: row.get("bucket")?,
        key: row.get("key")?,
        version_id: row.get("version_id")?,
        etag: row.get("etag")?,
        sequencer: row.get("sequencer")?,
        size: optional_count(row, "size")?,
        event_time: time(row, "event_time")?,
        event_name: row.get("event_name")?,
        source: row.get("source")?,
        expires_at: optional_time(row, "expires_at")?,
    })
}

fn unreadable(row: &Row<'_>) -> rusqlite::Result<Unreadable> {
    Ok(Unreadable {
        sha256: row.get("sha256")?,
        source: row.get("source")?,
        body: row.get("body")?,
        reason: row.get("reason")?,
        first_seen_at: time(row, "first_seen_at")?,
        last_seen_at: time(row, "last_seen_at")?,
        seen: count(row, "seen")?,
    })
}
