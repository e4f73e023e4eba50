//! What several machines, and a machine that lost its state, ask of the ledger (I11).

use std::collections::BTreeSet;

use chrono::TimeDelta;
use rusqlite::{Connection, params};
use sluicegate_state::Timestamp;
use sluicegate_state::time::to_text;

use crate::ports::warehouse::{KnownObject, UnpublishedLoad};

use super::CLOCK_SPREAD;

/// How long a machine counts as alive after it was seen.
const LEASE: TimeDelta = TimeDelta::seconds(60);
/// How often a landing is listed in the whole fleet.
const LISTING_INTERVAL: TimeDelta = TimeDelta::hours(1);

pub(super) fn heartbeat(
    connection: &Connection,
    incarnation: &str,
    host: &str,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO sluicegate_machine (incarnation, host, seen_at) VALUES (?1, ?2, ?3)
               ON CONFLICT (incarnation) DO UPDATE SET seen_at = excluded.seen_at";
    connection.prepare_cached(sql)?.execute(params![incarnation, host, to_text(now)]).map(drop)
}

pub(super) fn farewell(connection: &Connection, incarnation: &str) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM sluicegate_machine WHERE incarnation = ?1", [incarnation]).map(drop)
}

pub(super) fn live_incarnations(
    connection: &Connection,
    now: Timestamp,
) -> rusqlite::Result<BTreeSet<String>> {
    // Who was seen in the future was seen before the clock was set back: who lives has been seen since.
    let sql = "SELECT incarnation FROM sluicegate_machine WHERE seen_at > ?1 AND seen_at <= ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([to_text(now - LEASE), to_text(now + CLOCK_SPREAD)], |row| row.get(0))?;
    rows.collect()
}

pub(super) fn claim_listing(
    connection: &Connection,
    job: &str,
    owner: &str,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let sql = "INSERT INTO sluicegate_listing (job, owner, claimed_at) VALUES (?1, ?2, ?3)
               ON CONFLICT (job) DO UPDATE SET owner = excluded.owner, claimed_at = excluded.claimed_at
               WHERE sluicegate_listing.claimed_at <= ?4 OR sluicegate_listing.claimed_at > ?5";
    let changed = connection.prepare_cached(sql)?.execute(params![
        job,
        owner,
        to_text(now),
        to_text(now - LISTING_INTERVAL),
        // A turn of the future was taken before the clock was set back.
        to_text(now + CLOCK_SPREAD),
    ])?;
    Ok(changed == 1)
}

pub(super) fn unpublished_loads(
    connection: &Connection,
    job: &str,
) -> rusqlite::Result<Vec<UnpublishedLoad>> {
    let mut statement = connection.prepare_cached(
        "SELECT batch_id, archive_key, incarnation FROM sluicegate_batch
         WHERE job = ?1 AND published_at IS NULL ORDER BY loaded_at",
    )?;
    let rows = statement.query_map([job], |row| {
        Ok(UnpublishedLoad { batch_id: row.get(0)?, archive_key: row.get(1)?, incarnation: row.get(2)? })
    })?;
    rows.collect()
}

pub(super) fn known_batches(
    connection: &Connection,
    batch_ids: &[String],
) -> rusqlite::Result<BTreeSet<String>> {
    let mut statement =
        connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM sluicegate_batch WHERE batch_id = ?1)")?;
    let mut known = BTreeSet::new();
    for batch_id in batch_ids {
        if statement.query_row([batch_id], |row| row.get(0))? {
            known.insert(batch_id.clone());
        }
    }
    Ok(known)
}

pub(super) fn known_objects(
    connection: &Connection,
    job: &str,
    bucket: &str,
    objects: &[KnownObject<'_>],
) -> rusqlite::Result<Vec<bool>> {
    let mut statement = connection.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM sluicegate_document
                        WHERE job = ?1 AND bucket = ?2 AND key = ?3
                          AND CASE WHEN ?4 IS NULL THEN etag = ?5 ELSE version = ?4 END)",
    )?;
    let known = |object: &KnownObject<'_>| {
        statement.query_row(params![job, bucket, object.key, object.version, object.etag], |row| row.get(0))
    };
    objects.iter().map(known).collect()
}
