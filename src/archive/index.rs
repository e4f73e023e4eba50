//! The two JSON documents of an archive: the manifest in front, the outcomes at the end.

use std::fmt;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sluicegate_state::Timestamp;

use super::error::ArchiveError;
use super::names::MAX_ORDINAL;

/// The version of the layout that this program writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;

/// The longest manifest or outcomes document that is read into memory.
pub(super) const MAX_INDEX_BYTES: u64 = 512 * 1024 * 1024;

/// What was sealed: written before anything is fetched, and never changed. Unknown fields are ignored, so that an
/// older program reads what a newer one wrote in the same format version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of the layout.
    pub format_version: u32,
    /// The batch.
    pub batch_id: String,
    /// The job it belongs to.
    pub job: String,
    /// When it was sealed.
    pub sealed_at: Timestamp,
    /// The incarnation of the process that wrote this archive.
    pub incarnation: String,
    /// The host that process ran on.
    pub host: String,
    /// The hash of the job definition at that time.
    pub definition_hash: String,
    /// The text of that definition, for the record; the load fixes the one that counts.
    pub definition_text: String,
    /// For a replay the batches it replays.
    #[serde(default)]
    pub parents: Vec<String>,
    /// The number of the replay, 0 for a first run.
    #[serde(default)]
    pub replay: u32,
    /// The members, by strictly ascending ordinal.
    pub members: Vec<ManifestMember>,
}

/// One notification in a sealed batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestMember {
    /// The place in the batch, at most [`MAX_ORDINAL`].
    pub ordinal: u32,
    /// The bucket, `local` for a folder.
    pub bucket: String,
    /// The true key, also where the path in the archive had to be encoded or shortened.
    pub key: String,
    /// The announced version, if the bucket keeps versions.
    pub version_id: Option<String>,
    /// The announced eTag.
    pub etag: String,
    /// What orders notifications of one key; absent for a folder.
    pub sequencer: Option<String>,
    /// The announced size.
    pub size: Option<u64>,
    /// When the event happened.
    pub event_time: Timestamp,
    /// How often the member was deferred before.
    #[serde(default)]
    pub tries: u64,
    /// When the lifecycle takes the object, where that was known.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
}

/// What came of every member of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes {
    /// The version of the layout.
    pub format_version: u32,
    /// One for each member of the manifest, in the same order.
    pub members: Vec<MemberOutcome>,
    /// When the last member was asked for: tells an expired object from a missing one.
    #[serde(default)]
    pub fetched_at: Option<Timestamp>,
}

/// What came of one member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberOutcome {
    /// The place in the batch.
    pub ordinal: u32,
    /// What GET said.
    pub got: Got,
    /// The version of the document; `<eTag>@` if it was never seen.
    pub version: String,
    /// Last-Modified, or the time of the event if the document was never seen.
    pub landed_at: Timestamp,
    /// The size of the bytes that were read, else what is known of it.
    pub size: u64,
    /// The SHA-256 of the bytes in lower-case hexadecimal; present exactly if they were read.
    pub sha256: Option<String>,
    /// What the store said, for people.
    pub message: Option<String>,
    /// Where the member's frame lies; filled in when the archive is finished, present exactly if it was read.
    pub frame: Option<Frame>,
}

/// The place of one zstd frame in the archive object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// The first byte.
    pub offset: u64,
    /// The number of bytes.
    pub length: u64,
}

/// What GET said. The load makes an outcome of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Got {
    /// The bytes; they are in the archive.
    #[serde(rename = "ok")]
    Ok,
    /// Access denied.
    #[serde(rename = "403")]
    Forbidden,
    /// Not there.
    #[serde(rename = "404")]
    NotFound,
    /// A delete marker.
    #[serde(rename = "405")]
    DeleteMarker,
    /// Overwritten since it was announced.
    #[serde(rename = "412")]
    Overwritten,
    /// Refused while its neighbours could be read: it joins a later batch.
    #[serde(rename = "deferred")]
    Deferred,
}

impl Got {
    /// The name that stands in `outcomes.json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Forbidden => "403",
            Self::NotFound => "404",
            Self::DeleteMarker => "405",
            Self::Overwritten => "412",
            Self::Deferred => "deferred",
        }
    }
}

impl fmt::Display for Got {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Manifest {
    /// The member with this ordinal.
    pub fn member(&self, ordinal: u32) -> Option<&ManifestMember> {
        let place = self.members.binary_search_by_key(&ordinal, |member| member.ordinal).ok()?;
        self.members.get(place)
    }

    /// Says what is wrong with it.
    pub(super) fn check(&self) -> Result<(), String> {
        if !self.members.is_sorted_by(|a, b| a.ordinal < b.ordinal) {
            return Err("the ordinals in the manifest do not ascend".into());
        }
        match self.members.last() {
            Some(last) if last.ordinal > MAX_ORDINAL => {
                Err(format!("ordinal {} is above {MAX_ORDINAL}", last.ordinal))
            }
            _ => Ok(()),
        }
    }
}

impl Outcomes {
    /// The outcome of the member with this ordinal.
    pub fn member(&self, ordinal: u32) -> Option<&MemberOutcome> {
        let place = self.members.binary_search_by_key(&ordinal, |member| member.ordinal).ok()?;
        self.members.get(place)
    }

    /// Says what is wrong with it, taken alone.
    pub(super) fn check(&self) -> Result<(), String> {
        if !self.members.is_sorted_by(|a, b| a.ordinal < b.ordinal) {
            return Err("the ordinals in the outcomes do not ascend".into());
        }
        self.members.iter().try_for_each(MemberOutcome::check)
    }

    /// Says whether it speaks about exactly the members of the manifest.
    pub(super) fn check_against(&self, ordinals: impl Iterator<Item = u32>) -> Result<(), String> {
        if ordinals.eq(self.members.iter().map(|member| member.ordinal)) {
            return Ok(());
        }
        Err("the outcomes do not speak about exactly the members of the manifest".into())
    }
}

impl MemberOutcome {
    fn check(&self) -> Result<(), String> {
        let read = self.got == Got::Ok;
        if read == self.frame.is_some() && read == self.sha256.is_some() {
            return Ok(());
        }
        let ordinal = self.ordinal;
        Err(format!(
            "member {ordinal} ended `{}`: only a member that was read has a frame and a SHA-256",
            self.got
        ))
    }
}

/// The JSON of an index document, for people too.
pub(super) fn to_json<T: Serialize>(document: &T) -> Result<Vec<u8>, ArchiveError> {
    let mut json = serde_json::to_vec_pretty(document).map_err(|e| ArchiveError::invalid(e.to_string()))?;
    json.push(b'\n');
    if json.len() as u64 > MAX_INDEX_BYTES {
        return Err(ArchiveError::invalid("an index document is longer than a reader accepts"));
    }
    Ok(json)
}

/// Reads an index document, and refuses a format version of the future before it can misunderstand the rest.
pub(super) fn from_json<T: DeserializeOwned>(name: &str, json: &[u8]) -> Result<T, ArchiveError> {
    #[derive(Deserialize)]
    struct Version {
        format_version: u32,
    }
    let unreadable = |e: serde_json::Error| ArchiveError::corrupt(format!("{name} cannot be read: {e}"));
    let found = serde_json::from_slice::<Version>(json).map_err(unreadable)?.format_version;
    if found > FORMAT_VERSION {
        return Err(ArchiveError::NewerFormat { found, known: FORMAT_VERSION });
    }
    serde_json::from_slice(json).map_err(unreadable)
}
