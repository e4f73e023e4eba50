//! Fetches the members of a sealed batch from the landing into one archive.
//!
//! Small objects are read and compressed in parallel, a bounded number of bytes at a time; a large one passes as a
//! stream. What GET says about each member is recorded in the archive (§3 of the design). Trouble is a failure of the whole
//! attempt, until it has lasted while others could be read: then it is recorded too, as `deferred`.

mod course;
mod reader;

use std::io::{self, Read, Write};

use chrono::SecondsFormat;
use rayon::ThreadPool;
use sha2::{Digest, Sha256};
use sluicegate_state::{Timestamp, canary};
use tempfile::SpooledTempFile;

use crate::archive::{
    ArchiveError, ArchiveWriter, FORMAT_VERSION, Got as Said, Manifest, ManifestMember, MemberOutcome,
    Outcomes, Spool,
};
use crate::failure::{Failure, Outcome};
use crate::ports::object_store::{Fetched, ObjectInfo, ObjectStore, Refusal, VersionSource};

use super::context::Context;
use super::handover::{ArchiveCopy, Originals, OriginalsKept, spool};
use super::probe::{self, Others, Probed};

use course::Course;
pub use course::Deferrable;
use reader::{Reader, Small, announced, reading_failed};

/// An object above this size passes as a stream.
const LARGE_BYTES: u64 = 8 << 20;
/// Announced bytes that are read at a time.
const CHUNK_BYTES: u64 = 16 << 20;
/// Members that are read at a time.
const CHUNK_MEMBERS: usize = 256;

/// A fetched batch, not yet anybody's truth: its PUT decides (I4).
pub struct FetchedBatch {
    /// The archive object's bytes.
    pub copy: ArchiveCopy,
    /// What GET said.
    pub outcomes: Outcomes,
    /// The documents themselves, where they are small enough to be kept.
    pub originals: Option<Originals>,
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
///
/// # Errors
/// Trouble with the landing; trouble with a single member unless it is `deferrable`. Nothing more is asked for then.
pub fn fetch(
    context: &Context,
    fetchers: &mut Fetchers,
    landing: &dyn ObjectStore,
    manifest: &Manifest,
    deferrable: Deferrable,
) -> Outcome<FetchedBatch> {
    let pool = fetchers.pool(context)?;
    let writer = ArchiveWriter::new(spool(&context.spool), manifest).map_err(spool_failure)?;
    let mut fetcher = Fetcher {
        reader: Reader { context, landing, deferrable, course: Course::default() },
        pool,
        manifest,
        writer,
        outcomes: Vec::with_capacity(manifest.members.len()),
        originals: OriginalsKept::default(),
        neighbour: None,
    };
    for chunk in chunks(&manifest.members) {
        for (member, small) in chunk.iter().zip(fetcher.read(chunk)?) {
            fetcher.take(member, small)?;
        }
    }
    fetcher.finish()
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
    match refusal {
        Refusal::NotFound => unread_outcome(member, Said::NotFound, None),
        Refusal::DeleteMarker => unread_outcome(member, Said::DeleteMarker, None),
        Refusal::Overwritten => unread_outcome(member, Said::Overwritten, None),
        Refusal::Forbidden(message) => {
            unread_outcome(member, Said::Deferred, Some(format!("403: {message}")))
        }
        Refusal::BadRequest(message) => {
            unread_outcome(member, Said::Deferred, Some(format!("400: {message}")))
        }
    }
}

fn unread_outcome(member: &ManifestMember, got: Said, message: Option<String>) -> MemberOutcome {
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
    reader: Reader<'a>,
    pool: &'a ThreadPool,
    manifest: &'a Manifest,
    writer: ArchiveWriter<SpooledTempFile>,
    outcomes: Vec<MemberOutcome>,
    originals: OriginalsKept,
    /// An object beside the batch that could be read, found when nothing of the batch could.
    neighbour: Option<ObjectInfo>,
}

impl<'a> Fetcher<'a> {
    fn read(&mut self, chunk: &'a [ManifestMember]) -> Outcome<Vec<Small>> {
        let mut read: Vec<Small> = chunk.iter().map(|_| Small::Unasked).collect();
        loop {
            self.reader.read(self.pool, chunk, &mut read)?;
            if self.reader.course.is_in_doubt() {
                self.something_must_be_readable()?;
            }
            if !read.iter().any(|small| matches!(small, Small::Unasked)) {
                return Ok(read);
            }
        }
    }

    fn take(&mut self, member: &'a ManifestMember, small: Small) -> Outcome<()> {
        let outcome = match small {
            Small::Read(encoded, outcome, bytes) => {
                self.writer.append_member(&encoded).map_err(spool_failure)?;
                self.originals.keep(member.ordinal, bytes);
                outcome
            }
            Small::Refused(refusal) => refused_outcome(member, &refusal),
            Small::Troubled(failure) => unread_outcome(member, Said::Deferred, Some(failure.message)),
            Small::Large(fetched) => self.stream(member, fetched)?,
            Small::Unasked => unreachable!("a chunk is taken once all of it has been asked for"),
        };
        self.outcomes.push(outcome);
        Ok(())
    }

    fn stream(&mut self, member: &'a ManifestMember, mut fetched: Fetched) -> Outcome<MemberOutcome> {
        self.originals.skip();
        let info = fetched.info;
        let mut entry =
            self.writer.begin_member(member.ordinal, info.last_modified, info.size).map_err(spool_failure)?;
        match copy_hashing(&mut fetched.body, &mut entry) {
            Ok(sha256) => {
                entry.finish().map_err(spool_failure)?;
                self.reader.course.was_read(member);
                Ok(read_outcome(member.ordinal, &info, info.size, sha256))
            }
            Err(Broken::Reading(error)) => {
                entry.discard().map_err(spool_failure)?;
                self.broken_off(member, &error)
            }
            Err(Broken::Writing(error)) => {
                Err(Failure::transient(format!("cannot write to the spool: {error}")))
            }
        }
    }

    fn broken_off(&mut self, member: &ManifestMember, error: &io::Error) -> Outcome<MemberOutcome> {
        let failure = match reading_failed(&member.key, error) {
            Ok(refusal) => return Ok(refused_outcome(member, &refusal)),
            Err(failure) => self.reader.defer(member, failure)?,
        };
        if self.reader.course.is_in_doubt() {
            self.something_must_be_readable()?;
        }
        Ok(unread_outcome(member, Said::Deferred, Some(failure.message)))
    }

    /// Where members fail one after the other, one that could be read, or an object beside the batch, is asked for again. If it
    /// can be read, the members are to blame, and the rest of them is asked for.
    ///
    /// # Errors
    /// The trouble, where nothing can be read: then it is the landing's.
    fn something_must_be_readable(&mut self) -> Outcome<()> {
        let Reader { context, landing, course, .. } = &self.reader;
        let known = match (course.last_read(), &self.neighbour) {
            (Some(member), _) => probe::probe(context, *landing, &announced(member))?,
            (None, Some(info)) => probe::probe(context, *landing, &probe::announced(info))?,
            (None, None) => Probed::Refused,
        };
        let is_readable = match known {
            Probed::Read => true,
            Probed::Trouble => false,
            // It has gone since.
            Probed::Refused => match probe::others(context, self.pool, *landing, self.manifest)? {
                Others::Readable(info) => {
                    self.neighbour = Some(info);
                    true
                }
                Others::Unreadable | Others::Absent => false,
            },
        };
        if is_readable {
            course.was_answered();
            return Ok(());
        }
        let trouble = course.trouble().unwrap_or_else(|| Failure::transient("there was no answer"));
        Err(trouble
            .while_doing(format!("nothing that was asked for can be read from {}", landing.location())))
    }

    /// Where some of the batch, or of its neighbours in the landing, can be read, what could not be concerns single
    /// documents and is deferred (I10); where nothing can, it is the landing's trouble, and no document's.
    fn finish(mut self) -> Outcome<FetchedBatch> {
        let has_read = self.outcomes.iter().any(|outcome| outcome.got == Said::Ok);
        if !has_read && self.reader.course.trouble().is_some() {
            self.something_must_be_readable()?;
        } else {
            self.not_all_is_forbidden()?;
        }
        let context = self.reader.context;
        let outcomes = Outcomes {
            format_version: FORMAT_VERSION,
            members: self.outcomes,
            fetched_at: Some(context.clock.now()),
        };
        let finished = self.writer.finish(outcomes).map_err(spool_failure)?;
        let copy = ArchiveCopy { file: finished.spool, size: finished.length };
        tracing::debug!(bytes = copy.size, incarnation = %context.incarnation, "fetched a batch");
        Ok(FetchedBatch { copy, outcomes: finished.outcomes, originals: self.originals.all() })
    }

    fn not_all_is_forbidden(&self) -> Outcome<()> {
        let Reader { context, landing, .. } = &self.reader;
        let all_refused = self.outcomes.iter().all(|outcome| outcome.got == Said::Deferred);
        if let (true, Some(first)) = (all_refused, self.outcomes.first())
            && probe::others(context, self.pool, *landing, self.manifest)? == Others::Unreadable
        {
            let message = first.message.as_deref().unwrap_or("no reason given");
            return Err(Failure::transient(format!(
                "neither the batch nor anything else may be read from {}: {message}",
                landing.location()
            )));
        }
        Ok(())
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
