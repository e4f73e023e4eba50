//! The archive: one object a batch, holding the very bytes of everything that could be read (I4).

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;

use rusqlite::Connection;
use sha2::{Digest, Sha256};

use super::{files, select};
use crate::process::World;

pub(super) fn check(world: &World, ledger: &Connection) {
    let mut expected = Vec::new();
    for row in select(ledger, "SELECT batch_id, archive_key, job FROM sluicegate_batch ORDER BY archive_key")
    {
        let [batch_id, key, job] = row.try_into().expect("three columns");
        let date = format!("{}-{}-{}", &batch_id[..4], &batch_id[4..6], &batch_id[6..8]);
        assert_eq!(key, format!("{job}/dt={date}/{batch_id}.tar.zst"));
        let members = members(&fs::read(world.path("archive").join(&key)).unwrap());
        check_members(ledger, &batch_id, members);
        expected.push(key);
    }
    assert_eq!(files(&world.path("archive")), expected, "stray or lost files in the archive");
}

/// The SHA-256 of each member by its ordinal, with manifest and outcomes left out.
fn members(object: &[u8]) -> BTreeMap<u32, String> {
    let mut archive = tar::Archive::new(zstd::Decoder::new(object).unwrap());
    let (mut names, mut members) = (Vec::new(), BTreeMap::new());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        if let Some((ordinal, _)) = name.split_once('/') {
            members.insert(ordinal.parse().unwrap(), hex::encode(Sha256::digest(&bytes)));
        }
        names.push(name);
    }
    assert_eq!(names.first().map(String::as_str), Some("manifest.json"));
    assert_eq!(names.last().map(String::as_str), Some("outcomes.json"));
    members
}

/// What the ledger says was read is there, and nothing else.
fn check_members(ledger: &Connection, batch_id: &str, members: BTreeMap<u32, String>) {
    let read = format!(
        "SELECT v.ordinal, d.sha256 FROM sluicegate_verdict AS v JOIN sluicegate_document AS d
             ON d.job = v.job AND d.bucket = v.bucket AND d.key = v.key AND d.version = v.version
         WHERE v.batch_id = '{batch_id}' AND d.sha256 IS NOT NULL"
    );
    let read = select(ledger, &read);
    let read = read.iter().map(|row| (row[0].parse().unwrap(), row[1].clone()));
    assert_eq!(members, read.collect(), "the originals of {batch_id}");
}
