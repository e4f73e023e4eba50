//! Attacks on the archive's layout. What they share: a batch made of keys and bytes.

mod damage;
mod extraction;
mod names;
mod round_trip;
mod writing;

use std::io::{Cursor, Read};

use sha2::{Digest, Sha256};
use sluicegate_state::Timestamp;

use super::{
    ArchiveReader, ArchiveWriter, FORMAT_VERSION, Finished, Got, Manifest, ManifestMember, MemberOutcome,
    Outcomes, read_verified,
};

/// A member of a test batch: its key, and its bytes if it could be read.
type TestMember = (String, Option<Vec<u8>>);

fn moment(text: &str) -> Timestamp {
    text.parse().expect("a test's own timestamp")
}

fn manifest(keys: &[&str]) -> Manifest {
    Manifest {
        format_version: FORMAT_VERSION,
        batch_id: "20180331T101112Z-0123456789abcdef".into(),
        job: "invoices".into(),
        sealed_at: moment("2018-03-31T10:11:12.5Z"),
        incarnation: "00ff".into(),
        host: "here".into(),
        definition_hash: "abc".into(),
        definition_text: "[job]\nname = \"invoices\"\n".into(),
        parents: vec![],
        replay: 0,
        members: (0..).zip(keys).map(|(ordinal, key)| manifest_member(ordinal, key)).collect(),
    }
}

fn manifest_member(ordinal: u32, key: &str) -> ManifestMember {
    ManifestMember {
        ordinal,
        bucket: "local".into(),
        key: key.into(),
        version_id: None,
        etag: format!("{ordinal}-1"),
        sequencer: None,
        size: None,
        event_time: moment("2018-03-31T10:00:00Z"),
        tries: 0,
        expires_at: None,
    }
}

fn outcome(ordinal: u32, bytes: Option<&[u8]>) -> MemberOutcome {
    let sha256 = bytes.map(|bytes| hex::encode(Sha256::digest(bytes)));
    MemberOutcome {
        ordinal,
        got: if bytes.is_some() { Got::Ok } else { Got::NotFound },
        version: format!("v{ordinal}"),
        landed_at: landed_at(),
        size: bytes.map_or(0, |bytes| bytes.len() as u64),
        message: bytes.is_none().then(|| "no such key".into()),
        sha256,
        frame: None,
    }
}

fn outcomes(members: &[TestMember]) -> Outcomes {
    let members =
        (0..).zip(members).map(|(ordinal, (_, bytes))| outcome(ordinal, bytes.as_deref())).collect();
    Outcomes { format_version: FORMAT_VERSION, members, fetched_at: None }
}

fn landed_at() -> Timestamp {
    moment("2018-03-31T09:59:58.75Z")
}

fn member(key: &str, bytes: impl AsRef<[u8]>) -> TestMember {
    (key.into(), Some(bytes.as_ref().to_vec()))
}

fn write(members: &[TestMember]) -> Finished<Vec<u8>> {
    let keys: Vec<&str> = members.iter().map(|(key, _)| key.as_str()).collect();
    let mut writer = ArchiveWriter::new(Vec::new(), &manifest(&keys)).expect("the manifest is written");
    for (ordinal, (_, bytes)) in (0..).zip(members) {
        if let Some(bytes) = bytes {
            writer.add_member_bytes(ordinal, landed_at(), bytes).expect("the member is written");
        }
    }
    writer.finish(outcomes(members)).expect("the outcomes are written")
}

/// Everything that a stream of the archive yields: the members that were read, with key and bytes.
fn read(archive: &[u8]) -> Result<(Vec<TestMember>, Outcomes), super::ArchiveError> {
    let mut reader = ArchiveReader::new(archive)?;
    let manifest = reader.manifest().clone();
    let mut members = Vec::new();
    while let Some(mut member) = reader.next_member()? {
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes)?;
        assert_eq!(bytes.len() as u64, member.size());
        let key = manifest.member(member.ordinal()).expect("the reader checked it").key.clone();
        members.push((key, Some(bytes)));
    }
    let outcomes = reader.outcomes().expect("all members have gone by").clone();
    for ((_, bytes), outcome) in members.iter().zip(outcomes.members.iter().filter(|m| m.got == Got::Ok)) {
        read_verified(Cursor::new(bytes.as_ref().expect("it was read")), outcome)?;
    }
    Ok((members, outcomes))
}

fn only_read(members: &[TestMember]) -> Vec<TestMember> {
    members.iter().filter(|(_, bytes)| bytes.is_some()).cloned().collect()
}

/// Keys that once broke something somewhere.
fn odd_keys() -> Vec<String> {
    let mut keys: Vec<String> = [
        "plain.txt",
        "in/a b+c%20d.txt",
        "in/é/Ünï/日本語.txt",
        "../../etc/passwd",
        "/absolute",
        "a//b/./c/..",
        "trailing/",
        "",
        " leading and trailing ",
        "-rf",
        "~/home",
        "dots...",
        "back\\slash",
        "tab\tline\nnul\0del\u{7f}next\u{85}",
        "%",
        "%~0123",
        "manifest.json",
        "outcomes.json",
    ]
    .map(String::from)
    .into();
    keys.push("é".repeat(49) + "xé"); // The header's hundred bytes end inside a character.
    keys.push("x".repeat(93)); // With its ordinal just a hundred bytes.
    keys.push("x".repeat(94));
    keys.push("long/".repeat(200) + "end.txt");
    keys.push("s".repeat(255));
    keys.push("s".repeat(256));
    keys.push("é".repeat(500));
    keys.push("%".repeat(1024));
    keys.push("\0".repeat(1024));
    keys.push("/".repeat(1024));
    keys
}
