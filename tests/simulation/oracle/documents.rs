//! Documents: each landed version that anybody could know of has one outcome, and it is one that it can have (I2, I9).

use rusqlite::Connection;
use sluicegate_state::Timestamp;

use super::{none, select};
use crate::landing::Landed;
use crate::options::{EXPIRED, MISSING, SUPERSEDED};
use crate::world::World;

struct Document {
    key: String,
    version: String,
    outcome: String,
    sha256: String,
    landed_at: String,
}

pub(super) fn check(world: &World, ledger: &Connection) -> Result<(), String> {
    let sql = "SELECT key, version, outcome, coalesce(sha256, ''), landed_at FROM sluicegate_document";
    let rows = select(ledger, sql).into_iter().map(|row| {
        let [key, version, outcome, sha256, landed_at] = row.try_into().expect("five columns");
        Document { key, version, outcome, sha256, landed_at }
    });
    let (read, unread): (Vec<Document>, Vec<Document>) =
        rows.partition(|document| !document.sha256.is_empty());
    let log = world.places.landing.log().clone();
    let now = world.places.landing.storage_now();
    let mut has_outcome = vec![false; log.len()];
    for document in &read {
        let number = match_read(&log, document)?;
        if std::mem::replace(&mut has_outcome[number], true) {
            return Err(format!("number {number}, {}, is two documents (I2)", document.key));
        }
    }
    check_secured(&log, &has_outcome)?;
    for document in &unread {
        let number = match_unread(&log, &has_outcome, now, document)?;
        has_outcome[number] = true;
        tell(world, &document.outcome);
    }
    for (number, landed) in log.iter().enumerate().filter(|(number, _)| !has_outcome[*number]) {
        if must_have_outcome(world, &log, &has_outcome, number) {
            return Err(format!(
                "number {number}, {} of {}, has no outcome (I9): there {}, acknowledged by {:?}",
                landed.key,
                landed.landed_at,
                landed.is_there(),
                landed.acknowledged_by,
            ));
        }
    }
    none(
        ledger,
        "documents turned away without a word why, or the other way round (I10)",
        "SELECT batch_id, ordinal FROM (
             SELECT batch_id, ordinal FROM sluicegate_document WHERE outcome IN ('rejected', 'conflict')
             UNION ALL SELECT batch_id, ordinal FROM sluicegate_reject)
         GROUP BY 1, 2 HAVING count(*) <> 2",
    )
}

/// The version whose bytes were read.
fn match_read(log: &[Landed], document: &Document) -> Result<usize, String> {
    let same = |landed: &Landed| landed.key == document.key && landed.version() == document.version;
    let number = log.iter().position(same);
    let number = number.ok_or_else(|| format!("{} {} never landed", document.key, document.version))?;
    let landed_at = log[number].landed_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let sha256 = log[number].sha256();
    if (&landed_at, &sha256) != (&document.landed_at, &document.sha256) {
        return Err(format!("number {number}, {}, is not what landed: {}", document.key, document.sha256));
    }
    if !["loaded", "duplicate", "conflict", "rejected"].contains(&document.outcome.as_str()) {
        return Err(format!("number {number}, {}, was read and is {}", document.key, document.outcome));
    }
    Ok(number)
}

/// What was archived while the ledger was away was read, whatever was lost after that; in a bucket without versions, it or
/// another upload of the same content to its key.
fn check_secured(log: &[Landed], was_read: &[bool]) -> Result<(), String> {
    let is_alike = |landed: &Landed, other: &Landed| {
        landed.version_id.is_none() && (&other.key, &other.etag) == (&landed.key, &landed.etag)
    };
    let secured = log.iter().enumerate().filter(|(_, landed)| landed.is_secured);
    for (number, landed) in secured {
        let by_another = || log.iter().zip(was_read).any(|(other, read)| *read && is_alike(landed, other));
        if !was_read[number] && !by_another() {
            return Err(format!(
                "number {number}, {} of {}, was archived while the ledger was away, and nobody has read it (I4)",
                landed.key, landed.landed_at
            ));
        }
    }
    Ok(())
}

fn tell(world: &World, outcome: &str) {
    let story = match outcome {
        "expired" => EXPIRED,
        "missing" => MISSING,
        "superseded" => SUPERSEDED,
        _ => return,
    };
    world.hub().tell(story);
}

/// A version that nobody read and that has no outcome yet. Without versions in the bucket, all of a key with the same
/// content are alike.
fn match_unread(
    log: &[Landed],
    has_outcome: &[bool],
    now: Timestamp,
    document: &Document,
) -> Result<usize, String> {
    let Document { key, version, outcome, .. } = document;
    let same = |landed: &Landed| {
        landed.key == *key
            && (landed.version_id.as_deref() == Some(version)
                || landed.version_id.is_none() && *version == format!("{}@", landed.etag))
    };
    // Of a key at which nothing lies nobody can say whether the lifecycle took the last object or an older one.
    let is_due = |landed: &Landed| landed.is_overwritten && landed.expires_at <= now;
    let possible = |landed: &Landed| match outcome.as_str() {
        "superseded" => landed.is_overwritten && landed.version_id.is_none(),
        "missing" => !landed.is_there(),
        "expired" => landed.has_expired || landed.is_deleted || is_due(landed),
        _ => false,
    };
    let alike: Vec<usize> = (0..log.len()).filter(|number| same(&log[*number])).collect();
    let free = alike.iter().copied().find(|number| !has_outcome[*number] && possible(&log[*number]));
    free.ok_or_else(|| {
        let known: Vec<bool> = alike.iter().map(|number| has_outcome[*number]).collect();
        format!("{key} {version} is {outcome}, which it cannot be: numbers {alike:?}, with an outcome already: {known:?}")
    })
}

/// Whether somebody knows of it: a listing shows it, or a disk that is still there has its notification.
///
/// What is gone, of a bucket without versions, cannot be told from another upload of the same content to the same key: GET
/// brings whichever lies there, and 404 says the same of both. It needs no outcome of its own where the other one has one.
fn must_have_outcome(world: &World, log: &[Landed], has_outcome: &[bool], number: usize) -> bool {
    let landed = &log[number];
    if landed.is_there() {
        return true;
    }
    let is_alike = |other: &Landed| {
        landed.version_id.is_none() && (&other.key, &other.etag) == (&landed.key, &landed.etag)
    };
    let on_a_disk = landed.acknowledged_by.iter().any(|machine| !world.machines[*machine].is_gone);
    on_a_disk && !log.iter().zip(has_outcome).any(|(other, decided)| *decided && is_alike(other))
}
