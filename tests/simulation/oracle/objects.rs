//! CSV objects and archive objects: what the COMMIT fixed, the rows of the tables, every original, and not one object more
//! (I4, I5, I7).

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use rusqlite::Connection;
use sha2::{Digest, Sha256};

use super::select;
use crate::objects::Objects;
use crate::world::World;

pub(super) fn check_curated(world: &World, ledger: &Connection) -> Result<(), String> {
    let objects = world.places.curated.all();
    let sql =
        "SELECT csv_key, table_name, batch_id, rows, csv_bytes, csv_sha256, sums FROM sluicegate_batch_table
               WHERE csv_key IS NOT NULL";
    let mut expected = Vec::new();
    for row in select(ledger, sql) {
        let [key, table, batch_id, rows, bytes, sha256, sums] = row.try_into().expect("seven columns");
        let date = format!("{}-{}-{}", &batch_id[..4], &batch_id[4..6], &batch_id[6..8]);
        let object = objects.get(&key).ok_or_else(|| format!("{key} was committed and is not there (I5)"))?;
        let found = (object.bytes.len().to_string(), hex::encode(Sha256::digest(&*object.bytes)));
        if found != (bytes, sha256) || key != format!("{table}/dt={date}/{batch_id}.csv") {
            return Err(format!("{key} is not what the COMMIT fixed (I5): {found:?}"));
        }
        check_content(ledger, &key, &table, &batch_id, &object.bytes, (&rows, &sums))?;
        expected.push(key);
    }
    expected.sort();
    let found: Vec<String> = objects.keys().cloned().collect();
    if found == expected {
        Ok(())
    } else {
        Err(format!("curated objects {found:?}, fixed were {expected:?}"))
    }
}

/// The object holds the rows of its batch in the table, and the control totals are theirs.
fn check_content(
    ledger: &Connection,
    key: &str,
    table: &str,
    batch_id: &str,
    object: &[u8],
    (rows, sums): (&str, &str),
) -> Result<(), String> {
    let mut reader = csv::Reader::from_reader(object);
    let header: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let mut records: Vec<Vec<String>> =
        reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect();
    records.sort();
    let columns = header.join(", ");
    let mut live = select(ledger, &format!("SELECT {columns} FROM {table} WHERE batch_id = '{batch_id}'"));
    live.sort();
    if records != live || records.len().to_string() != rows {
        return Err(format!("{key}: {} records, {} rows, {rows} said (I7)", records.len(), live.len()));
    }
    let sums: BTreeMap<String, String> = serde_json::from_str(sums).unwrap();
    for (column, recorded) in sums {
        let position = header.iter().position(|name| *name == column).expect("a column of the table");
        let cents =
            |text: &str| -> i64 { if text.is_empty() { 0 } else { text.replace('.', "").parse().unwrap() } };
        let sum: i64 = records.iter().map(|record| cents(&record[position])).sum();
        if cents(&recorded) != sum {
            return Err(format!(
                "{key}: the sum of {column} is {recorded} in the ledger and {sum} cents here"
            ));
        }
    }
    Ok(())
}

pub(super) fn check_archive(world: &World, ledger: &Connection) -> Result<(), String> {
    let objects = world.places.archive.all();
    let mut expected = Vec::new();
    for row in select(ledger, "SELECT batch_id, archive_key FROM sluicegate_batch ORDER BY archive_key") {
        let [batch_id, key] = row.try_into().expect("two columns");
        let object = objects.get(&key).ok_or_else(|| format!("{key} was loaded and is not archived (I4)"))?;
        check_members(world, ledger, &batch_id, &members(&object.bytes))?;
        expected.push(key);
    }
    let found: Vec<String> = objects.keys().cloned().collect();
    if found == expected { Ok(()) } else { Err(format!("archived {found:?}, loaded were {expected:?} (I4)")) }
}

/// Key and SHA-256 of every original in an archive object.
pub(crate) fn originals(archive: &Objects) -> BTreeSet<(String, String)> {
    archive
        .all()
        .values()
        .flat_map(|object| entries(&object.bytes))
        .map(|(_, key, sha256)| (key, sha256))
        .collect()
}

/// The SHA-256 of each member by its ordinal.
fn members(object: &[u8]) -> BTreeMap<String, String> {
    entries(object).into_iter().map(|(ordinal, _, sha256)| (ordinal, sha256)).collect()
}

/// Ordinal, key and SHA-256 of each member, with manifest and outcomes left out.
fn entries(object: &[u8]) -> Vec<(String, String, String)> {
    let mut archive = tar::Archive::new(zstd::Decoder::new(object).unwrap());
    let mut members = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        if let Some((ordinal, key)) = name.split_once('/') {
            let ordinal = ordinal.parse::<u32>().unwrap().to_string();
            members.push((ordinal, key.to_owned(), hex::encode(Sha256::digest(&bytes))));
        }
    }
    members
}

/// Every document that this batch decided by its content is in there, byte by byte; and nothing that never landed.
fn check_members(
    world: &World,
    ledger: &Connection,
    batch_id: &str,
    members: &BTreeMap<String, String>,
) -> Result<(), String> {
    let sql = format!(
        "SELECT ordinal, sha256 FROM sluicegate_document WHERE batch_id = '{batch_id}' AND sha256 <> ''"
    );
    for row in select(ledger, &sql) {
        if members.get(&row[0]) != Some(&row[1]) {
            return Err(format!("member {} of {batch_id} is not the original (I4)", row[0]));
        }
    }
    let log = world.places.landing.log();
    let landed = |sha256: &String| log.iter().any(|landed| landed.sha256() == *sha256);
    match members.iter().find(|(_, sha256)| !landed(sha256)) {
        Some((ordinal, _)) => Err(format!("member {ordinal} of {batch_id} never landed")),
        None => Ok(()),
    }
}
