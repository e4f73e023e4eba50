//! Sealing: pending notifications become a batch whose members and order never change again.

use rusqlite::{Connection, Row, Transaction, params};
use sha2::{Digest, Sha256};

use super::Store;
use super::batches::batch_by_id;
use super::rows::{integer, stored};
use crate::model::{Batch, Limits, SealRequest, identity};
use crate::time::Stored;
use crate::{StateError, Timestamp, effects, retry};

/// A member's place has six digits in the archive.
const MOST_DOCUMENTS: u64 = 1_000_000;

/// What waits for sealing, in sealing order. A next try later than `?3` was set by a clock that was ahead, and has come.
pub(super) const PENDING: &str = "
    SELECT notification_id, bucket, key, version_id, etag, sequencer, size, event_time, expires_at, received_at, tries
    FROM notification
    WHERE state = 'pending' AND job = ?1 AND (next_try_at IS NULL OR next_try_at <= ?2 OR next_try_at > ?3)
    ORDER BY expires_at IS NULL, expires_at, event_time, notification_id";

const INSERT_BATCH: &str = "
    INSERT INTO batch (batch_id, job, state, documents, bytes, estimated_rows, oldest_event_time, earliest_expiry,
                       early, sealed_at, incarnation, definition_hash, event, changed_at, changed_by, cause)
    VALUES (?1, ?2, 'sealed', ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 'sealed', ?9, ?10, ?12)";

pub(super) const INSERT_MEMBER: &str = "
    INSERT INTO member (batch_id, ordinal, notification_id, tries) VALUES (?1, ?2, ?3, ?4)";

pub(super) const TAKE: &str = "
    UPDATE notification SET state = 'batched', batch_id = ?1, ordinal = ?2, next_try_at = NULL
    WHERE notification_id = ?3 AND state = 'pending'";

impl Store {
    /// Seals one batch of the job's pending notifications, if there is reason to: it is full, its oldest notification is
    /// old, or the request forces it. What expires first goes first.
    pub fn seal(&mut self, request: &SealRequest<'_>, now: Timestamp) -> Result<Option<Batch>, StateError> {
        // A look without the write lock, so that a scheduler with nothing to seal never makes the listener wait.
        if !is_worth_a_look(&self.connection, request, now)? {
            return Ok(None);
        }
        self.commit(effects::SEAL, |tx| {
            let Some((choice, cause)) = choose(tx, request, now)? else { return Ok(None) };
            let batch_id = free_batch_id(tx, request.job, &choice.members, now)?;
            insert_batch(tx, request, &batch_id, &choice, cause, now)?;
            insert_members(tx, &batch_id, &choice.members)?;
            batch_by_id(tx, &batch_id)
        })
    }
}

/// A pending notification, as far as sealing cares.
struct Candidate {
    notification_id: i64,
    identity: String,
    size: u64,
    tries: u64,
    event_time: Timestamp,
    expires_at: Option<Timestamp>,
    received_at: Timestamp,
}

/// Why a batch is sealed now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    Full,
    Age,
    Forced,
}

impl Cause {
    fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Age => "age",
            Self::Forced => "forced",
        }
    }
}

/// The batch to be, being filled.
#[derive(Default)]
struct Choice {
    members: Vec<Candidate>,
    bytes: u64,
    rows: u64,
}

impl Choice {
    /// Whether one more has room. The first always has: what is above a limit alone is a batch of its own.
    fn has_room_for(&self, candidate: &Candidate, limits: &Limits) -> bool {
        self.members.is_empty()
            || (self.bytes.saturating_add(candidate.size) <= limits.bytes
                && self.rows.saturating_add(estimated_rows(candidate.size, limits)) <= limits.rows)
    }

    fn take(&mut self, candidate: Candidate, limits: &Limits) {
        self.bytes = self.bytes.saturating_add(candidate.size);
        self.rows = self.rows.saturating_add(estimated_rows(candidate.size, limits));
        self.members.push(candidate);
    }

    fn is_full(&self, limits: &Limits) -> bool {
        self.members.len() as u64 >= limits.documents.min(MOST_DOCUMENTS)
            || self.bytes >= limits.bytes
            || self.rows >= limits.rows
    }

    fn is_old(&self, limits: &Limits, now: Timestamp) -> bool {
        let oldest = self.members.iter().map(|member| member.received_at).min();
        // One that came in the future came before the clock was set back: nobody knows how long it has waited.
        oldest.and_then(|oldest| (now - oldest).abs().to_std().ok()).is_some_and(|age| age >= limits.max_age)
    }
}

fn estimated_rows(size: u64, limits: &Limits) -> u64 {
    size.div_ceil(limits.bytes_per_row.max(1))
}

/// Whether there is something to seal, as far as can be seen without the right to write.
fn is_worth_a_look(
    connection: &Connection,
    request: &SealRequest<'_>,
    now: Timestamp,
) -> Result<bool, StateError> {
    if request.force {
        // Whatever there is will be sealed.
        return Ok(connection.prepare_cached(PENDING)?.exists(pending(request, now))?);
    }
    Ok(choose(connection, request, now)?.is_some())
}

/// The parameters of [`PENDING`].
fn pending<'a>(request: &SealRequest<'a>, now: Timestamp) -> (&'a str, Stored, Stored) {
    (request.job, Stored(now), Stored(retry::latest_of_notifications(now)))
}

/// Chooses the members of the next batch, and says why it should be sealed now, if it should.
fn choose(
    connection: &Connection,
    request: &SealRequest<'_>,
    now: Timestamp,
) -> Result<Option<(Choice, Cause)>, StateError> {
    let limits = &request.limits;
    let mut statement = connection.prepare_cached(PENDING)?;
    let mut candidates = statement.query_map(pending(request, now), candidate)?;
    let mut choice = Choice::default();
    let full = loop {
        let Some(candidate) = candidates.next().transpose()? else { break false };
        if !choice.has_room_for(&candidate, limits) {
            break true;
        }
        choice.take(candidate, limits);
        if choice.is_full(limits) {
            break true;
        }
    };
    let cause = match () {
        () if choice.members.is_empty() => None,
        () if full => Some(Cause::Full),
        () if choice.is_old(limits, now) => Some(Cause::Age),
        () if request.force => Some(Cause::Forced),
        () => None,
    };
    Ok(cause.map(|cause| (choice, cause)))
}

/// An id that this state does not have yet. It has the first one where the same members were sealed within this second by
/// another machine, or by an earlier life of this one, and their batch was adopted.
fn free_batch_id(
    tx: &Transaction<'_>,
    job: &str,
    members: &[Candidate],
    now: Timestamp,
) -> Result<String, StateError> {
    for again in 0_u64.. {
        let id = batch_id(job, members, again, now);
        if batch_by_id(tx, &id)?.is_none() {
            return Ok(id);
        }
    }
    unreachable!("there are more numbers than batches")
}

/// The seal time and a hash of the content: job and ordered members. The number of tries is hashed too, because a
/// deferred notification comes again in a later batch.
fn batch_id(job: &str, members: &[Candidate], again: u64, now: Timestamp) -> String {
    let json = |text: &str| serde_json::to_string(text).expect("a text is always JSON");
    let mut content = format!("[{}", json(job));
    for member in members {
        content.push_str(&format!(",[{},{}]", json(&member.identity), member.tries));
    }
    if again > 0 {
        content.push_str(&format!(",{again}"));
    }
    content.push(']');
    let hash = hex::encode(Sha256::digest(content));
    format!("{}-{}", now.format("%Y%m%dT%H%M%SZ"), &hash[..16])
}

fn insert_batch(
    tx: &Transaction<'_>,
    request: &SealRequest<'_>,
    batch_id: &str,
    choice: &Choice,
    cause: Cause,
    now: Timestamp,
) -> Result<(), StateError> {
    let oldest = choice.members.iter().map(|member| member.event_time).min().unwrap_or(now);
    let expiry = choice.members.iter().filter_map(|member| member.expires_at).min();
    tx.prepare_cached(INSERT_BATCH)?.execute(params![
        batch_id,
        request.job,
        integer(choice.members.len() as u64),
        integer(choice.bytes),
        integer(choice.rows),
        Stored(oldest),
        stored(expiry),
        cause == Cause::Forced,
        Stored(now),
        request.incarnation,
        request.definition_hash,
        cause.as_str(),
    ])?;
    Ok(())
}

fn insert_members(tx: &Transaction<'_>, batch_id: &str, members: &[Candidate]) -> Result<(), StateError> {
    let mut insert = tx.prepare_cached(INSERT_MEMBER)?;
    let mut take = tx.prepare_cached(TAKE)?;
    for (ordinal, member) in members.iter().enumerate() {
        let ordinal = integer(ordinal as u64);
        insert.execute(params![batch_id, ordinal, member.notification_id, integer(member.tries)])?;
        take.execute(params![batch_id, ordinal, member.notification_id])?;
    }
    Ok(())
}

/// By the place in [`PENDING`], because a name is looked up anew in each row.
fn candidate(row: &Row<'_>) -> rusqlite::Result<Candidate> {
    let text = |column| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
    let optional = |column| row.get_ref(column)?.as_str_or_null().map_err(rusqlite::Error::from);
    let identity = identity(text(1)?, text(2)?, optional(3)?, text(4)?, optional(5)?);
    Ok(Candidate {
        notification_id: row.get(0)?,
        identity,
        size: row.get::<_, Option<i64>>(6)?.map_or(0, i64::unsigned_abs),
        event_time: row.get::<_, Stored>(7)?.0,
        expires_at: row.get::<_, Option<Stored>>(8)?.map(|stored| stored.0),
        received_at: row.get::<_, Stored>(9)?.0,
        tries: row.get::<_, i64>(10)?.unsigned_abs(),
    })
}
