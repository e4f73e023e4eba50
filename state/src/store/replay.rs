//! Sealing replays: documents that other batches had become members of new batches, all of one wish in one transaction.
//! That transaction is the intention: whatever dies after it, the stages carry these batches to their ends.

use chrono::TimeDelta;
use rusqlite::{Transaction, params};
use sha2::{Digest, Sha256};

use super::Store;
use super::adopt::notification_id;
use super::batches::{batch_by_id, select};
use super::rows::{integer, stored};
use super::seal::{INSERT_MEMBER, TAKE};
use crate::model::{Batch, ReplaySeal};
use crate::time::Stored;
use crate::{BatchState, StateError, Timestamp, effects};

const INSERT_BATCH: &str = "
    INSERT INTO batch (batch_id, job, state, documents, bytes, estimated_rows, oldest_event_time, earliest_expiry,
                       early, sealed_at, incarnation, definition_hash, parents, replay, event, changed_at, changed_by, cause)
    VALUES (?1, ?2, 'sealed', ?3, ?4, ?5, ?6, ?7, 1, ?8, ?9, ?10, ?11, ?12, 'sealed', ?8, ?9, ?13)";

/// The states are listed for the planner: history is not looked through.
const UNFINISHED: &str = "
    WHERE state IN ('sealed', 'archived', 'loaded', 'failed') AND parents IS NOT NULL ORDER BY sealed_at, batch_id";

impl Store {
    /// Seals replays, all or none; their ids. One that is here already and unfinished, sealed in the same second from the
    /// same content, stays as it is.
    pub fn seal_replays(
        &mut self,
        replays: &[ReplaySeal<'_>],
        now: Timestamp,
    ) -> Result<Vec<String>, StateError> {
        self.commit(effects::SEAL, |tx| replays.iter().map(|replay| seal(tx, replay, now)).collect())
    }

    /// The replays that have not come to an end, parked ones among them, oldest seal first.
    pub fn unfinished_replays(&self) -> Result<Vec<Batch>, StateError> {
        select(&self.connection, UNFINISHED, params![])
    }
}

fn seal(tx: &Transaction<'_>, replay: &ReplaySeal<'_>, now: Timestamp) -> Result<String, StateError> {
    let (mut now, mut batch_id) = (now, batch_id(replay, now));
    while let Some(there) = batch_by_id(tx, &batch_id)? {
        if !matches!(there.state, BatchState::Published | BatchState::Abandoned) {
            return Ok(batch_id);
        }
        // That one has come to its end, so this is another wish, if a quick one: it gets the id of a second later.
        now += TimeDelta::seconds(1);
        batch_id = self::batch_id(replay, now);
    }
    insert_batch(tx, replay, &batch_id, now)?;
    for (ordinal, member) in replay.members.iter().enumerate() {
        let id = notification_id(tx, &member.notification, now)?;
        let ordinal = integer(ordinal as u64);
        tx.prepare_cached(INSERT_MEMBER)?.execute(params![batch_id, ordinal, id, integer(member.tries)])?;
        // One that the journal did not know, or that waits to be sealed, has its batch with this.
        tx.prepare_cached(TAKE)?.execute(params![batch_id, ordinal, id])?;
    }
    Ok(batch_id)
}

/// The seal time and a hash of the content: job, ordered members, parents and number (§7 of the design).
fn batch_id(replay: &ReplaySeal<'_>, now: Timestamp) -> String {
    let mut content = vec![serde_json::Value::from(replay.job)];
    content.extend(replay.members.iter().map(|m| serde_json::json!([m.notification.identity(), m.tries])));
    content.push(serde_json::json!({ "parents": replay.parents, "replay": replay.replay }));
    let hash = hex::encode(Sha256::digest(serde_json::Value::from(content).to_string()));
    format!("{}-{}", now.format("%Y%m%dT%H%M%SZ"), &hash[..16])
}

fn insert_batch(
    tx: &Transaction<'_>,
    replay: &ReplaySeal<'_>,
    batch_id: &str,
    now: Timestamp,
) -> Result<(), StateError> {
    let notifications = || replay.members.iter().map(|member| &member.notification);
    tx.prepare_cached(INSERT_BATCH)?.execute(params![
        batch_id,
        replay.job,
        integer(replay.members.len() as u64),
        integer(notifications().filter_map(|n| n.size).sum()),
        integer(replay.estimated_rows),
        Stored(notifications().map(|n| n.event_time).min().unwrap_or(now)),
        // Nothing of a replay expires: its originals are in the archive.
        stored(None),
        Stored(now),
        replay.incarnation,
        replay.definition_hash,
        serde_json::Value::from(replay.parents).to_string(),
        integer(replay.replay),
        replay.cause,
    ])?;
    Ok(())
}
