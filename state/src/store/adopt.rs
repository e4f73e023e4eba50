//! Adoption: a batch that was sealed elsewhere, or by an earlier life of this machine, and was found in the archive or in
//! the ledger, becomes work of this store (I11).

use rusqlite::{OptionalExtension, Transaction, params};

use super::Store;
use super::batches::batch_by_id;
use super::journal::{ADD_TOTALS, record};
use super::moves::{Move, move_batch};
use super::rows::{integer, stored};
use super::seal::{INSERT_MEMBER, TAKE};
use crate::machine::BatchEvent;
use crate::model::{Adoption, AdoptionReach, Notification, present_version};
use crate::time::Stored;
use crate::{StateError, Timestamp, effects};

const INSERT_BATCH: &str = "
    INSERT INTO batch (batch_id, job, state, documents, bytes, estimated_rows, oldest_event_time, earliest_expiry,
                       early, sealed_at, incarnation, definition_hash, parents, replay, adopted,
                       event, changed_at, changed_by, cause)
    VALUES (?1, ?2, 'sealed', ?3, ?4, 0, ?5, ?6, 0, ?7, ?8, ?9, ?10, ?11, 1, 'sealed', ?12, ?8, ?13)";

const FIND: &str = "
    SELECT notification_id FROM notification
    WHERE key = ?1 AND bucket = ?2 AND coalesce(version_id, etag) = ?3 AND coalesce(sequencer, '') = ?4";

impl Store {
    /// Takes a batch in, with its members as its archive names them, in the state that it has reached. A batch that is
    /// here already stays as it is. Answers whether it was taken in.
    pub fn adopt(&mut self, adoption: &Adoption<'_>, now: Timestamp) -> Result<bool, StateError> {
        self.commit(effects::ADOPT, |tx| {
            if batch_by_id(tx, adoption.batch_id)?.is_some() {
                return Ok(false);
            }
            insert_batch(tx, adoption, now)?;
            for (ordinal, member) in adoption.members.iter().enumerate() {
                let notification_id = notification_id(tx, &member.notification, now)?;
                let ordinal = integer(ordinal as u64);
                tx.prepare_cached(INSERT_MEMBER)?.execute(params![
                    adoption.batch_id,
                    ordinal,
                    notification_id,
                    integer(member.tries)
                ])?;
                // A deferred member stays pending: a later batch tries it again. One that another batch of ours has is
                // left there; the ledger decides between the two.
                if !member.deferred {
                    tx.prepare_cached(TAKE)?.execute(params![adoption.batch_id, ordinal, notification_id])?;
                }
            }
            reach(tx, adoption, now)
        })
    }
}

fn insert_batch(tx: &Transaction<'_>, adoption: &Adoption<'_>, now: Timestamp) -> Result<(), StateError> {
    let notifications = || adoption.members.iter().map(|member| &member.notification);
    let oldest = notifications().map(|n| n.event_time).min().unwrap_or(adoption.sealed_at);
    let parents =
        (!adoption.parents.is_empty()).then(|| serde_json::Value::from(adoption.parents).to_string());
    tx.prepare_cached(INSERT_BATCH)?.execute(params![
        adoption.batch_id,
        adoption.job,
        integer(adoption.members.len() as u64),
        integer(notifications().filter_map(|n| n.size).sum()),
        Stored(oldest),
        stored(notifications().filter_map(|n| n.expires_at).min()),
        Stored(adoption.sealed_at),
        adoption.incarnation,
        adoption.definition_hash,
        parents,
        integer(adoption.replay),
        Stored(now),
        adoption.cause,
    ])?;
    Ok(())
}

/// The notification in the journal, which gets it now if it never had it.
pub(super) fn notification_id(
    tx: &Transaction<'_>,
    n: &Notification,
    now: Timestamp,
) -> Result<i64, StateError> {
    let find = || {
        let version = present_version(n.version_id.as_deref()).unwrap_or(&n.etag);
        let parameters = params![n.key, n.bucket, version, n.sequencer.as_deref().unwrap_or("")];
        tx.prepare_cached(FIND)?.query_row(parameters, |row| row.get(0)).optional()
    };
    if let Some(id) = find()? {
        return Ok(id);
    }
    record(tx, n, now)?;
    tx.prepare_cached(ADD_TOTALS)?.execute(params![n.job, 1, 0, 0])?;
    Ok(tx.last_insert_rowid())
}

/// Moves the new batch on to where it has got.
fn reach(tx: &Transaction<'_>, adoption: &Adoption<'_>, now: Timestamp) -> Result<bool, StateError> {
    let events: &[BatchEvent] = match adoption.reach {
        AdoptionReach::Archived => &[BatchEvent::Archived],
        AdoptionReach::Loaded => &[BatchEvent::Archived, BatchEvent::Loaded],
    };
    for &event in events {
        let Adoption { batch_id, cause, incarnation, .. } = *adoption;
        move_batch(tx, &Move { batch_id, event, cause, incarnation, now })?;
    }
    Ok(true)
}
