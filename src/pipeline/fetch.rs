//! Fetches the members of a sealed batch from the landing into one archive.
//!
//! Small objects are read and compressed in parallel, a bounded number of bytes at a time; a large one passes as a
//! stream. What GET says about each member is recorded in the archive (§3 of the design); only trouble with the landing
//! as a whole is a failure here.

use std::io::{self, Read, Write};

use chrono::SecondsFormat;
use rayon::ThreadPool;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use sluicegate_state::{Timestamp, canary};
use tempfile::SpooledTempFile;

use crate::archive::{
    ArchiveError, ArchiveWriter, EncodedMember, FORMAT_VERSION, Got as Said, Manifest, ManifestMember,
    MemberOutcome, Outcomes, Spool, encode_member,
};
use crate::effects;
use crate::failure::{Failure, Outcome};
use crate::ports::object_store::{
    Announced, Fetched, Got, ObjectInfo, ObjectStore, Refusal, VersionSource, was_overwritten,
};

use super::context::Context;
use super::handover::{ArchiveCopy, Originals, OriginalsKept, spool};
use super::probe;

/// An object above this size passes as a stream.
const LARGE_BYTES: u64 = 8 << 20;
/// Announced bytes that are read at a time.
const CHUNK_BYTES: u64 = 16 << 20;
/// Members that are read at a time.
const CHUNK_MEMBERS: usize = 256;
/// Members that one thread reads before it looks for others: a file is read sooner than a thread is woken.
const MEMBERS_AT_LEAST: usize = 4;

/// A fetched batch, not yet anybody's truth: its PUT decides (I4).
pub struct FetchedBatch {
    /// The archive object's bytes.
    pub copy: ArchiveCopy,
    /// What GET said.
    pub outcomes: Outcomes,
    /// The documents themselves, where they are small enough to be kept.
    pub originals: Option<Originals>,
}

/// What came of one small member.
enum Small {
    Read(EncodedMember, MemberOutcome, Vec<u8>),
    /// Too large for memory after all; to be streamed.
    Large(Fetched),
    Refused(Refusal),
}

/// The threads that read small members, started when they are first needed.
#[derive(Default)]
pub struct Fetchers(Option<ThreadPool>);

impl Fetchers {
    fn pool(&mut self, context: &Context) -> Outcome<&ThreadPool> {
        if self.0.is_none() {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(context.fetch_concurrency);
            let started = pool.start_handler(canary::inherited()).build().map_err(|error| {
                Failure::transient(format!("cannot start threads to fetch with: {error}"))
            })?;
            self.0 = Some(started);
        }
        Ok(self.0.as_ref().expect("it was started above"))
    }
}

/// Reads every member of `manifest` from `landing`.
pub fn fetch(
    context: &Context,
    fetchers: &mut Fetchers,
    landing: &dyn ObjectStore,
    manifest: &Manifest,
) -> Outcome<FetchedBatch> {
    let pool = fetchers.pool(context)?;
    let writer = ArchiveWriter::new(spool(&context.spool), manifest).map_err(spool_failure)?;
    let outcomes = Vec::with_capacity(manifest.members.len());
    let mut fetcher = Fetcher { context, landing, writer, outcomes, originals: OriginalsKept::default() };
    for chunk in chunks(&manifest.members) {
        let read: Vec<Outcome<Small>> = pool.install(|| {
            let members = chunk.par_iter().with_min_len(MEMBERS_AT_LEAST);
            members.map(|member| read_small(context, landing, member)).collect()
        });
        for (member, small) in chunk.iter().zip(read) {
            fetcher.take(member, small?)?;
        }
    }
    fetcher.finish(manifest)
}

/// Cuts the members so that one piece fits into memory.
fn chunks(members: &[ManifestMember]) -> Vec<&[ManifestMember]> {
    let mut chunks = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, member) in members.iter().enumerate() {
        let size = member.size.unwrap_or(LARGE_BYTES).min(LARGE_BYTES);
        if index > start && (bytes + size > CHUNK_BYTES || index - start >= CHUNK_MEMBERS) {
            chunks.push(&members[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += size;
    }
    chunks.push(&members[start..]);
    chunks
}

fn announced(member: &ManifestMember) -> Announced<'_> {
    Announced { key: &member.key, version_id: member.version_id.as_deref(), etag: &member.etag }
}

fn read_small(context: &Context, landing: &dyn ObjectStore, member: &ManifestMember) -> Outcome<Small> {
    let got = context.seam.perform(effects::LANDING_GET, || landing.get_announced(&announced(member)))?;
    let mut fetched = match got {
        Got::Refused(refusal) => return Ok(Small::Refused(refusal)),
        Got::Object(fetched) if fetched.info.size > LARGE_BYTES => return Ok(Small::Large(fetched)),
        Got::Object(fetched) => fetched,
    };
    let mut bytes = Vec::new();
    if let Err(error) = fetched.body.read_to_end(&mut bytes) {
        return reading_failed(&member.key, &error).map(Small::Refused);
    }
    let sha256 = hex::encode(Sha256::digest(&bytes));
    let outcome = read_outcome(member.ordinal, &fetched.info, bytes.len() as u64, sha256);
    let encoded =
        encode_member(member.ordinal, &member.key, outcome.landed_at, &bytes).map_err(spool_failure)?;
    Ok(Small::Read(encoded, outcome, bytes))
}

/// An object that changed while it was read is a verdict about it; anything else says nothing about it.
fn reading_failed(key: &str, error: &io::Error) -> Outcome<Refusal> {
    if was_overwritten(error) {
        return Ok(Refusal::Overwritten);
    }
    Err(Failure::transient(format!("reading {key:?} from the landing broke off: {error}")))
}

fn read_outcome(ordinal: u32, info: &ObjectInfo, size: u64, sha256: String) -> MemberOutcome {
    MemberOutcome {
        ordinal,
        got: Said::Ok,
        version: document_version(info, &sha256),
        landed_at: info.last_modified,
        size,
        sha256: Some(sha256),
        message: None,
        frame: None,
    }
}

/// A document's version, fixed when it is first fetched (I2).
pub fn document_version(info: &ObjectInfo, sha256: &str) -> String {
    let at = info.last_modified.to_rfc3339_opts(SecondsFormat::Secs, true);
    match &info.version {
        VersionSource::Id(id) => id.clone(),
        VersionSource::ETag(etag) => format!("{etag}@{at}"),
        VersionSource::Content => format!("sha256:{sha256}@{at}"),
    }
}

/// The same, as far as a listing knows it: a folder's version needs the bytes.
pub fn listed_version(info: &ObjectInfo) -> Option<String> {
    match &info.version {
        VersionSource::Content => None,
        _ => Some(document_version(info, "")),
    }
}

fn refused_outcome(member: &ManifestMember, refusal: &Refusal) -> MemberOutcome {
    let (got, message) = match refusal {
        Refusal::NotFound => (Said::NotFound, None),
        Refusal::DeleteMarker => (Said::DeleteMarker, None),
        Refusal::Overwritten => (Said::Overwritten, None),
        Refusal::Forbidden(message) => (Said::Deferred, Some(format!("403: {message}"))),
        Refusal::BadRequest(message) => (Said::Deferred, Some(format!("400: {message}"))),
    };
    let version = member.version_id.clone().unwrap_or_else(|| format!("{}@", member.etag));
    MemberOutcome {
        ordinal: member.ordinal,
        got,
        version,
        landed_at: whole_seconds(member.event_time),
        size: member.size.unwrap_or(0),
        sha256: None,
        message,
        frame: None,
    }
}

fn whole_seconds(at: Timestamp) -> Timestamp {
    use chrono::SubsecRound;
    at.trunc_subsecs(0)
}

/// Trouble while an archive is made locally: a full disk passes, everything else is a defect.
fn spool_failure(error: ArchiveError) -> Failure {
    let message = format!("making the archive failed: {error}");
    match error {
        ArchiveError::Io(_) => Failure::transient(message),
        _ => Failure::permanent(message),
    }
}

struct Fetcher<'a> {
    context: &'a Context,
    landing: &'a dyn ObjectStore,
    writer: ArchiveWriter<SpooledTempFile>,
    outcomes: Vec<MemberOutcome>,
    originals: OriginalsKept,
}

impl Fetcher<'_> {
    fn take(&mut self, member: &ManifestMember, small: Small) -> Outcome<()> {
        let outcome = match small {
            Small::Read(encoded, outcome, bytes) => {
                self.writer.append_member(&encoded).map_err(spool_failure)?;
                self.originals.keep(member.ordinal, bytes);
                outcome
            }
            Small::Refused(refusal) => refused_outcome(member, &refusal),
            Small::Large(fetched) => self.stream(member, fetched)?,
        };
        self.outcomes.push(outcome);
        Ok(())
    }

    fn stream(&mut self, member: &ManifestMember, mut fetched: Fetched) -> Outcome<MemberOutcome> {
        self.originals.skip();
        let info = fetched.info;
        let mut entry =
            self.writer.begin_member(member.ordinal, info.last_modified, info.size).map_err(spool_failure)?;
        match copy_hashing(&mut fetched.body, &mut entry) {
            Ok(sha256) => {
                entry.finish().map_err(spool_failure)?;
                Ok(read_outcome(member.ordinal, &info, info.size, sha256))
            }
            Err(Broken::Reading(error)) => {
                entry.discard().map_err(spool_failure)?;
                let refusal = reading_failed(&member.key, &error)?;
                Ok(refused_outcome(member, &refusal))
            }
            Err(Broken::Writing(error)) => {
                Err(Failure::transient(format!("cannot write to the spool: {error}")))
            }
        }
    }

    /// Where some of the batch, or of its neighbours in the landing, can be read, what was refused concerns single
    /// documents and is deferred (I10); where nothing can, it is the landing's trouble, and no document's.
    fn finish(self, manifest: &Manifest) -> Outcome<FetchedBatch> {
        let all_refused = self.outcomes.iter().all(|outcome| outcome.got == Said::Deferred);
        if let (true, Some(first)) = (all_refused, self.outcomes.first())
            && !self.neighbours_can_be_read(manifest)?
        {
            let message = first.message.as_deref().unwrap_or("no reason given");
            return Err(Failure::transient(format!(
                "neither the batch nor anything else may be read from {}: {message}",
                self.landing.location()
            )));
        }
        let outcomes = Outcomes {
            format_version: FORMAT_VERSION,
            members: self.outcomes,
            fetched_at: Some(self.context.clock.now()),
        };
        let finished = self.writer.finish(outcomes).map_err(spool_failure)?;
        let copy = ArchiveCopy { file: finished.spool, size: finished.length };
        tracing::debug!(bytes = copy.size, incarnation = %self.context.incarnation, "fetched a batch");
        Ok(FetchedBatch { copy, outcomes: finished.outcomes, originals: self.originals.all() })
    }

    fn neighbours_can_be_read(&self, manifest: &Manifest) -> Outcome<bool> {
        let job = self.context.job(&manifest.job)?;
        probe::others_can_be_read(self.context, self.landing, job.landing.key_prefix(), manifest)
    }
}

enum Broken {
    Reading(io::Error),
    Writing(io::Error),
}

fn copy_hashing(from: &mut dyn Read, to: &mut dyn Write) -> Result<String, Broken> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(hex::encode(hasher.finalize())),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Broken::Reading(error)),
        };
        hasher.update(&buffer[..count]);
        to.write_all(&buffer[..count]).map_err(Broken::Writing)?;
    }
}

impl Spool for SpooledTempFile {
    fn truncate_to(&mut self, length: u64) -> io::Result<()> {
        use std::io::{Seek, SeekFrom};
        self.set_len(length)?;
        self.seek(SeekFrom::Start(length)).map(drop)
    }
}
