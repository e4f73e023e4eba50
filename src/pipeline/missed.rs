//! Documents that lie in the landing and that no notification told of: found by a listing, after the journal, the ledger
//! and the archive were asked (§8).

use std::collections::BTreeSet;

use chrono::Days;
use sluicegate_state::{Arrival, BatchState, JournalEntry, MISSED_EVENT, Notification, Store, Timestamp};

use crate::archive::{ArchiveReader, Manifest, batch_date, batch_id_of};
use crate::failure::{Failure, Outcome};
use crate::job::Job;
use crate::ports::object_store::{ObjectInfo, ObjectStore, VersionSource};
use crate::ports::warehouse::{KnownObject, Warehouse};

use super::archive::found_now;
use super::context::Context;
use super::documents::archive_failure;
use super::fetch::listed_version;

/// Why a landing was listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// In its turn: what is found now was missed.
    Missed,
    /// To rebuild a state: what is found now may have been known to the state that was lost.
    Again,
}

/// Who says that an object is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Witness {
    /// The journal; what it is not certain about is asked of the ledger afterwards.
    Ledger,
    /// The journal alone, while the ledger is away.
    Journal,
}

/// Objects of the landing that the journal has never heard of.
pub(super) fn candidates(
    context: &Context,
    store: &Store,
    job: &Job,
    landed_before: Timestamp,
    witness: Witness,
) -> Outcome<Vec<ObjectInfo>> {
    let landing = context.landing(&job.name)?;
    let mut objects = Vec::new();
    landing.list(job.landing.key_prefix(), &mut |info| {
        let ignored = info.size == 0 && info.key.ends_with('/');
        let taken =
            job.matches(landing.bucket(), &info.key) && !ignored && info.last_modified <= landed_before;
        if taken && !is_journaled(store, landing.as_ref(), &info, witness)? {
            objects.push(info);
        }
        Ok(())
    })?;
    Ok(objects)
}

/// Whether a notification told of this very object, with whatever sequencer.
///
/// One without version and sequencer is told from those of other uploads of the same content by its time alone, and another
/// machine may have ended it with one of those. Once it has come to its end, the ledger knows better. Of a file the eTag says
/// when it was written, to the nanosecond; and of two within a second the ledger keeps one.
pub fn is_journaled(
    store: &Store,
    landing: &dyn ObjectStore,
    info: &ObjectInfo,
    witness: Witness,
) -> Outcome<bool> {
    for entry in store.notifications_for_key(&info.key)? {
        let n = &entry.notification;
        let is_meant =
            n.bucket == landing.bucket() && is_about(info, n.version_id.as_deref(), &n.etag, n.event_time);
        let is_certain = witness == Witness::Journal
            || n.version_id.is_some()
            || n.sequencer.is_some()
            || info.version == VersionSource::Content;
        if is_meant && (is_certain || !is_done(store, &entry)?) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_done(store: &Store, entry: &JournalEntry) -> Outcome<bool> {
    let Some(batch_id) = &entry.batch_id else { return Ok(false) };
    let batch = store.batch(batch_id)?;
    Ok(batch.is_some_and(|batch| matches!(batch.state, BatchState::Loaded | BatchState::Published)))
}

/// Whether what an event said is about this very object, and not about an earlier or later one of its key.
fn is_about(info: &ObjectInfo, version_id: Option<&str>, etag: &str, event_time: Timestamp) -> bool {
    match (&info.version, version_id) {
        (VersionSource::Id(id), Some(version_id)) => id == version_id,
        // An upload of the same content again has the same eTag and is another document. S3 sends the time at which it
        // finished the request, which is not before Last-Modified (whole seconds), and both are the storage's own. Where a
        // storage says otherwise the object is journaled again and ends `again`: that is harmless, and to pass over an
        // upload is not.
        _ => etag == info.etag && event_time >= info.last_modified,
    }
}

/// What the ledger knows no document of.
pub fn unknown_to(
    warehouse: &mut dyn Warehouse,
    job: &Job,
    objects: &[ObjectInfo],
) -> Outcome<Vec<ObjectInfo>> {
    let versions: Vec<Option<String>> = objects.iter().map(listed_version).collect();
    let lookups: Vec<KnownObject<'_>> = objects
        .iter()
        .zip(&versions)
        .map(|(info, version)| KnownObject { key: &info.key, version: version.as_deref(), etag: &info.etag })
        .collect();
    let known = warehouse.known_objects(&job.name, job.landing.bucket(), &lookups)?;
    let unknown = objects.iter().zip(known).filter(|(_, known)| !known);
    Ok(unknown.map(|(info, _)| info.clone()).collect())
}

/// Keys of the archive objects that may hold one of `objects`, and whose batches this state does not know: other
/// machines made them, and may not have loaded them yet.
pub(super) fn strangers(
    context: &Context,
    store: &Store,
    job: &Job,
    objects: &[ObjectInfo],
    now: Timestamp,
) -> Outcome<Vec<String>> {
    let Some(first) = objects.iter().map(|info| info.last_modified).min() else { return Ok(Vec::new()) };
    // No clock of a machine that seals is a day behind that of the storage.
    let first_day = (first.min(now).date_naive() - Days::new(1)).to_string();
    let mut strangers = Vec::new();
    context.archive.list(&format!("{}/", job.name), &mut |info| {
        let batch = batch_id_of(&info.key).filter(|(owner, _)| *owner == job.name);
        if let Some((_, batch_id)) = batch
            && batch_date(batch_id).is_some_and(|date| date >= first_day)
            && store.batch(batch_id)?.is_none()
        {
            strangers.push(info.key.clone());
        }
        Ok(())
    })?;
    Ok(strangers)
}

/// The batch ids of archive objects.
pub(super) fn ids(archive_keys: &[String]) -> Vec<String> {
    let id = |key: &String| batch_id_of(key).map(|(_, batch_id)| batch_id.to_owned());
    archive_keys.iter().filter_map(id).collect()
}

/// Takes out what the manifests of `strangers` know; those whose batches are `loaded` were asked about already.
pub(super) fn not_archived(
    context: &Context,
    job: &Job,
    mut objects: Vec<ObjectInfo>,
    strangers: &[String],
    loaded: &BTreeSet<String>,
) -> Outcome<Vec<ObjectInfo>> {
    for key in strangers {
        let is_loaded = batch_id_of(key).is_some_and(|(_, batch_id)| loaded.contains(batch_id));
        if objects.is_empty() || is_loaded {
            continue;
        }
        let Some(manifest) = read_manifest(context, key)? else { continue };
        objects.retain(|info| {
            let known = manifest.members.iter().any(|member| {
                member.key == info.key
                    && member.bucket == job.landing.bucket()
                    && is_about(info, member.version_id.as_deref(), &member.etag, member.event_time)
            });
            !known
        });
    }
    Ok(objects)
}

/// The manifest alone: it lies at the beginning, and the rest is not read.
pub fn read_manifest(context: &Context, key: &str) -> Outcome<Option<Manifest>> {
    let Some(fetched) = context.archive.get(key)? else { return Ok(None) };
    let reader = ArchiveReader::new(fetched.body).map_err(archive_failure);
    let reader = reader.map_err(|failure: Failure| failure.while_doing(key))?;
    Ok(Some(reader.manifest().clone()))
}

/// Journals what was found.
pub(super) fn journal(
    context: &Context,
    store: &mut Store,
    job: &Job,
    objects: &[ObjectInfo],
    found: Found,
    witness: Witness,
) -> Outcome<bool> {
    if objects.is_empty() {
        return Ok(false);
    }
    let count = objects.len();
    tracing::warn!("job {}: {count} documents lie in the landing and no notification told of them", job.name);
    let landing = context.landing(&job.name)?;
    let arrivals: Vec<Arrival> = objects
        .iter()
        .map(|info| Arrival::Notification(listed(job, landing.bucket(), info, found)))
        .collect();
    let now = context.clock.now();
    let receipt = match witness {
        Witness::Ledger => store.journal_missed(&arrivals, now)?,
        Witness::Journal => store.journal_found(&arrivals, now)?,
    };
    context.tally.add(|counts| counts.notifications += receipt.recorded);
    Ok(receipt.recorded > 0)
}

/// What is journaled of an object that a listing found.
pub fn listed(job: &Job, bucket: &str, info: &ObjectInfo, found: Found) -> Notification {
    let event_name = match found {
        Found::Missed => MISSED_EVENT,
        Found::Again => "List:Found",
    };
    Notification {
        event_name: event_name.to_owned(),
        source: "listing".to_owned(),
        ..found_now(&job.name, bucket, info)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u32) -> Timestamp {
        format!("2026-03-01T10:{:02}:{:02}Z", second / 60, second % 60).parse().unwrap()
    }

    fn listed(second: u32) -> ObjectInfo {
        ObjectInfo {
            key: "a.txt".to_owned(),
            version: VersionSource::ETag("same".to_owned()),
            etag: "same".to_owned(),
            size: 1,
            last_modified: at(second),
            expires_at: None,
        }
    }

    #[test]
    fn an_event_is_not_about_the_same_content_that_was_uploaded_again_a_minute_later() {
        assert!(is_about(&listed(60), None, "same", at(60)));
        // A part-wise upload is dated by its beginning, and told of at its end.
        assert!(is_about(&listed(60), None, "same", at(600)));
        assert!(!is_about(&listed(60), None, "same", at(59)), "the second upload came soon");
        assert!(!is_about(&listed(120), None, "same", at(60)), "the second upload, though nobody told of it");
        assert!(!is_about(&listed(60), None, "other", at(60)));
    }
}
