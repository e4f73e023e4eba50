//! The archive: one object a batch, which any tar and zstd can open, with the landed bytes in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use rusqlite::Connection;
use serde_json::Value;

use super::ledger::DocumentRow;
use crate::support::{Project, Snapshot, files_under};

/// Whether documents left the landing before everything was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Landing {
    /// They stayed.
    Kept,
    /// They may have; a batch that was sealed once more after that holds nothing of them, and another one does.
    Emptied,
}

/// An archive object, unpacked.
struct Archive {
    manifest: Value,
    outcomes: Value,
    /// By path.
    members: BTreeMap<String, Vec<u8>>,
}

pub(super) fn check(
    project: &Project,
    warehouse: &Connection,
    documents: &BTreeMap<String, DocumentRow>,
    landed: &Snapshot,
    landing: Landing,
) {
    let archive = project.path("var/archive");
    let mut statement = warehouse.prepare("SELECT batch_id, archive_key FROM sluicegate_batch").unwrap();
    let batches: BTreeMap<String, String> = statement
        .query_map([], |row| Ok((row.get(1)?, row.get(0)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let there: BTreeSet<String> = files_under(&archive).into_iter().map(|(key, _)| key).collect();
    let known: BTreeSet<String> = batches.keys().cloned().collect();
    assert_eq!(there, known, "one archive object a batch, and nothing half-written");
    for (key, batch_id) in &batches {
        let (year, month, day) = (&batch_id[..4], &batch_id[4..6], &batch_id[6..8]);
        assert_eq!(*key, format!("invoices/dt={year}-{month}-{day}/{batch_id}.tar.zst"));
        check_object(&open(&archive.join(key)), batch_id, documents, landed, landing);
    }
}

fn open(path: &Path) -> Archive {
    let unpacked = zstd::stream::read::Decoder::new(File::open(path).unwrap()).unwrap();
    let mut tar = tar::Archive::new(unpacked);
    let mut entries: Vec<(String, Vec<u8>)> = Vec::new();
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        entries.push((path, bytes));
    }
    let (first, manifest) = entries.remove(0);
    let (last, outcomes) = entries.pop().expect("there are outcomes");
    assert_eq!((first.as_str(), last.as_str()), ("manifest.json", "outcomes.json"));
    Archive {
        manifest: serde_json::from_slice(&manifest).unwrap(),
        outcomes: serde_json::from_slice(&outcomes).unwrap(),
        members: entries.into_iter().collect(),
    }
}

fn check_object(
    archive: &Archive,
    batch_id: &str,
    documents: &BTreeMap<String, DocumentRow>,
    landed: &Snapshot,
    landing: Landing,
) {
    let Archive { manifest, outcomes, members } = archive;
    assert_eq!(manifest["batch_id"], batch_id);
    assert_eq!(manifest["job"], "invoices");
    assert!(manifest["definition_text"].as_str().unwrap().contains("[[section]]"));
    let sealed = manifest["members"].as_array().unwrap();
    let said = outcomes["members"].as_array().unwrap();
    let read = said.iter().filter(|said| said["got"] == "ok").count();
    assert_eq!((sealed.len(), members.len()), (said.len(), read), "every member that was read is there");
    for (ordinal, (sealed, said)) in sealed.iter().zip(said).enumerate() {
        let key = sealed["key"].as_str().unwrap();
        let document = &documents[key];
        assert_eq!((&sealed["ordinal"], &said["ordinal"]), (&ordinal.into(), &ordinal.into()), "{key}");
        if landing == Landing::Emptied && said["got"] == "404" {
            assert_ne!(document.batch_id, batch_id, "{key}: another batch has read it");
            continue;
        }
        assert_eq!(said["got"], "ok", "{key}: every member was read");
        assert_eq!(said["version"], document.version.as_str(), "{key}");
        assert_eq!(said["sha256"], document.sha256.as_str(), "{key}");
        assert_eq!(said["size"], document.size, "{key}");
        // Of all that the corpus has in its names, only this is unsafe in an archive.
        let path = format!("{ordinal:06}/{}", key.replace('%', "%25"));
        assert!(members[&path] == landed.bytes(key).unwrap(), "{path} holds other bytes than {key}");
        if document.batch_id == batch_id {
            assert_eq!(document.ordinal as usize, ordinal, "{key}");
        }
    }
}
