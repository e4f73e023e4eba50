//! What several machines, and a machine that lost its state, ask of the ledger (I11).

use std::collections::BTreeSet;

use crate::ports::warehouse::{KnownObject, UnpublishedLoad};

use super::client::Client;
use super::error::Error;

pub(super) fn heartbeat(client: &mut Client, incarnation: &str, host: &str) -> Result<(), Error> {
    client
        .execute(
            "INSERT INTO sluicegate.machine (incarnation, host, seen_at) VALUES ($1, $2, sluicegate.clock())
             ON CONFLICT (incarnation) DO UPDATE SET seen_at = excluded.seen_at",
            &[&incarnation, &host],
        )
        .map(drop)
}

pub(super) fn farewell(client: &mut Client, incarnation: &str) -> Result<(), Error> {
    client.execute("DELETE FROM sluicegate.machine WHERE incarnation = $1", &[&incarnation]).map(drop)
}

pub(super) fn live_incarnations(client: &mut Client) -> Result<BTreeSet<String>, Error> {
    // Who was seen in the future was seen before the server's clock was set back: who lives has been seen since.
    let rows = client.query(
        "SELECT incarnation FROM sluicegate.machine
         WHERE seen_at > sluicegate.clock() - interval '60 seconds' AND seen_at <= sluicegate.clock() + interval '5 minutes'",
        &[],
    )?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

pub(super) fn claim_listing(client: &mut Client, job: &str, owner: &str) -> Result<bool, Error> {
    // A turn of the future was taken before the server's clock was set back.
    let changed = client.execute(
        "INSERT INTO sluicegate.listing (job, owner, claimed_at) VALUES ($1, $2, sluicegate.clock())
         ON CONFLICT (job) DO UPDATE SET owner = excluded.owner, claimed_at = excluded.claimed_at
         WHERE listing.claimed_at <= sluicegate.clock() - interval '1 hour'
            OR listing.claimed_at > sluicegate.clock() + interval '5 minutes'",
        &[&job, &owner],
    )?;
    Ok(changed == 1)
}

pub(super) fn unpublished_loads(client: &mut Client, job: &str) -> Result<Vec<UnpublishedLoad>, Error> {
    let rows = client.query(
        "SELECT batch_id::text, archive_key, incarnation FROM sluicegate.batch
         WHERE job = $1 AND published_at IS NULL ORDER BY loaded_at, load_number",
        &[&job],
    )?;
    let load = |row: &postgres::Row| UnpublishedLoad {
        batch_id: row.get(0),
        archive_key: row.get(1),
        incarnation: row.get(2),
    };
    Ok(rows.iter().map(load).collect())
}

pub(super) fn known_batches(client: &mut Client, batch_ids: &[String]) -> Result<BTreeSet<String>, Error> {
    let rows = client.query(
        "SELECT batch_id::text FROM sluicegate.batch WHERE batch_id = ANY($1::text[])",
        &[&batch_ids],
    )?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

pub(super) fn known_objects(
    client: &mut Client,
    job: &str,
    bucket: &str,
    objects: &[KnownObject<'_>],
) -> Result<Vec<bool>, Error> {
    let keys: Vec<&str> = objects.iter().map(|object| object.key).collect();
    let versions: Vec<Option<&str>> = objects.iter().map(|object| object.version).collect();
    let etags: Vec<&str> = objects.iter().map(|object| object.etag).collect();
    let rows = client.query(
        "SELECT EXISTS (SELECT 1 FROM sluicegate.document d
                        WHERE d.job = $1 AND d.bucket = $2 AND d.key = u.key
                          AND CASE WHEN u.version IS NULL THEN d.etag = u.etag ELSE d.version = u.version END)
         FROM unnest($3::text[], $4::text[], $5::text[]) WITH ORDINALITY u (key, version, etag, place) ORDER BY u.place",
        &[&job, &bucket, &keys, &versions, &etags],
    )?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
