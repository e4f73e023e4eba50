//! The archive objects of a bucket: any tar and zstd can open them, and the uploaded bytes are in them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Decided;
use crate::corpus::Document;
use crate::world::World;

/// Every document is in the archive of the batch that decided it, at its place there; whatever was read is there as it
/// was uploaded.
pub(super) fn check(world: &World, documents: &[Document], decided: &BTreeMap<String, Decided>) {
    let uploaded: BTreeMap<&str, &[u8]> =
        documents.iter().map(|document| (document.key.as_str(), document.bytes.as_slice())).collect();
    let mut held: BTreeSet<(String, u64, String)> = BTreeSet::new();
    for key in world.archived() {
        let object = world.read(&world.data, &format!("archive/{key}"));
        let (manifest, outcomes, members) = open(&object);
        let batch_id = manifest["batch_id"].as_str().unwrap();
        assert!(key.ends_with(&format!("/{batch_id}.tar.zst")), "{key} is the archive of {batch_id}");
        let (sealed, said) = (list(&manifest), list(&outcomes));
        assert_eq!(sealed.len(), said.len(), "{key}: each member has an outcome");
        for (ordinal, (sealed, said)) in sealed.iter().zip(said).enumerate() {
            if said["got"] != "ok" {
                continue;
            }
            let name = sealed["key"].as_str().unwrap();
            // Of all that the corpus has in its names, only this is unsafe in an archive.
            let path = format!("{ordinal:06}/{}", name.replace('%', "%25"));
            let bytes = members.get(&path).unwrap_or_else(|| panic!("{key} has no member {path}"));
            let sha256 = hex::encode(Sha256::digest(uploaded[name]));
            assert_eq!(hex::encode(Sha256::digest(bytes)), sha256, "{path} in {key} holds other bytes");
            assert_eq!(said["sha256"], sha256.as_str(), "{path} in {key}");
            held.insert((batch_id.to_owned(), ordinal as u64, name.to_owned()));
        }
        let read = said.iter().filter(|said| said["got"] == "ok").count();
        assert_eq!(members.len(), read, "{key}: what was read is there, and nothing else");
    }
    for (key, document) in decided {
        let place = (document.batch_id.clone(), u64::from(document.ordinal), key.clone());
        assert!(held.contains(&place), "the original is not in the archive of its batch: {place:?}");
    }
}

fn list(part: &Value) -> &Vec<Value> {
    part["members"].as_array().unwrap()
}

/// Manifest, outcomes, and the members by path.
fn open(object: &[u8]) -> (Value, Value, BTreeMap<String, Vec<u8>>) {
    let mut tar = tar::Archive::new(zstd::stream::read::Decoder::new(object).unwrap());
    let mut members = BTreeMap::new();
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        assert!(members.insert(path, bytes).is_none(), "one member a path");
    }
    let mut json = |name: &str| serde_json::from_slice(&members.remove(name).unwrap()).unwrap();
    let (manifest, outcomes) = (json("manifest.json"), json("outcomes.json"));
    (manifest, outcomes, members)
}
