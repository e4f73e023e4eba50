//! Writing an archive into a local spool, from which it is put into the store as a whole.

use std::fs::File;
use std::io::{self, Cursor, Seek, SeekFrom, Write};

use sluicegate_state::Timestamp;
use zstd::stream::write::Encoder;

use super::entry::{END_OF_ARCHIVE, encode_entry, entry_bytes, frame_encoder, headers, padding};
use super::error::ArchiveError;
use super::index::{FORMAT_VERSION, Frame, Manifest, Outcomes, to_json};
use super::names::member_path;
use super::trailer::Trailer;

/// The name of the first entry.
pub(super) const MANIFEST: &str = "manifest.json";
/// The name of the last entry.
pub(super) const OUTCOMES: &str = "outcomes.json";

/// Where an archive is written: what is not wanted any more can be cut off again.
pub trait Spool: Write {
    /// Cuts everything behind `length` off; the next write goes there.
    ///
    /// # Errors
    /// If the file cannot be shortened.
    fn truncate_to(&mut self, length: u64) -> io::Result<()>;
}

impl Spool for File {
    fn truncate_to(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)?;
        self.seek(SeekFrom::Start(length)).map(drop)
    }
}

impl Spool for Vec<u8> {
    fn truncate_to(&mut self, length: u64) -> io::Result<()> {
        self.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        Ok(())
    }
}

impl Spool for Cursor<Vec<u8>> {
    fn truncate_to(&mut self, length: u64) -> io::Result<()> {
        self.set_position(length);
        self.get_mut().truncate_to(length)
    }
}

impl<S: Spool + ?Sized> Spool for &mut S {
    fn truncate_to(&mut self, length: u64) -> io::Result<()> {
        (**self).truncate_to(length)
    }
}

/// A member as one finished frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedMember {
    ordinal: u32,
    path: String,
    size: u64,
    frame: Vec<u8>,
}

impl EncodedMember {
    /// The member's place in the batch.
    pub fn ordinal(&self) -> u32 {
        self.ordinal
    }

    /// The number of bytes that it adds to the archive.
    pub fn frame_bytes(&self) -> u64 {
        self.frame.len() as u64
    }
}

/// Makes a member's frame. Pure, so that the members of a batch can be compressed in parallel and appended in order.
///
/// # Errors
/// Only if memory for the compressor is lacking.
pub fn encode_member(
    ordinal: u32,
    key: &str,
    landed_at: Timestamp,
    bytes: &[u8],
) -> Result<EncodedMember, ArchiveError> {
    let path = member_path(ordinal, key);
    let frame = encode_entry(&path, landed_at.timestamp(), bytes, &[])?;
    Ok(EncodedMember { ordinal, path, size: bytes.len() as u64, frame })
}

/// A finished archive.
#[derive(Debug)]
pub struct Finished<W> {
    /// The spool that holds it, flushed but not synced.
    pub spool: W,
    /// Its size.
    pub length: u64,
    /// The outcomes as they stand in it, frames filled in.
    pub outcomes: Outcomes,
}

/// Writes one archive. Members are added in the order of their ordinals.
///
/// What was not finished leaves no trace: after an error, or when a [`MemberWriter`] is dropped, the next operation
/// first cuts the spool back to its last whole frame, so a failed operation may be tried again.
#[derive(Debug)]
pub struct ArchiveWriter<W> {
    spool: W,
    book: Book,
}

/// What the writer knows about the spool.
#[derive(Debug)]
struct Book {
    /// Ordinals and keys of the manifest.
    members: Vec<(u32, String)>,
    sealed_at: Timestamp,
    /// The end of the last whole frame.
    position: u64,
    /// There may be a part of a frame behind `position`.
    torn: bool,
    written: Vec<Written>,
}

#[derive(Debug)]
struct Written {
    ordinal: u32,
    size: u64,
    frame: Frame,
}

impl Book {
    fn new(manifest: &Manifest) -> Self {
        let members = manifest.members.iter().map(|member| (member.ordinal, member.key.clone())).collect();
        Self { members, sealed_at: manifest.sealed_at, position: 0, torn: true, written: Vec::new() }
    }

    /// The key of the member that may be written next.
    fn key(&self, ordinal: u32) -> Result<&str, ArchiveError> {
        if let Some(last) = self.written.last().filter(|last| last.ordinal >= ordinal) {
            return Err(ArchiveError::invalid(format!(
                "member {ordinal} comes after member {}",
                last.ordinal
            )));
        }
        let unknown = || ArchiveError::invalid(format!("member {ordinal} is not in the manifest"));
        let place = self.members.binary_search_by_key(&ordinal, |member| member.0).map_err(|_| unknown())?;
        Ok(&self.members[place].1)
    }

    fn advance_to(&mut self, end: u64) -> Frame {
        let frame = Frame { offset: self.position, length: end - self.position };
        self.position = end;
        self.torn = false;
        frame
    }

    fn record(&mut self, ordinal: u32, size: u64, end: u64) -> Frame {
        let frame = self.advance_to(end);
        self.written.push(Written { ordinal, size, frame });
        frame
    }

    /// Completes the outcomes with the frames, and compares them with what was written.
    fn complete(&self, outcomes: &mut Outcomes) -> Result<(), ArchiveError> {
        let mut written = self.written.iter().peekable();
        for member in &mut outcomes.members {
            let found = written.next_if(|found| found.ordinal == member.ordinal);
            member.frame = found.map(|found| found.frame);
            if let Some(found) = found.filter(|found| found.size != member.size) {
                return Err(ArchiveError::size(member.ordinal, member.size, found.size));
            }
        }
        if let Some(left) = written.next() {
            return Err(ArchiveError::invalid(format!(
                "member {} was written and has no outcome",
                left.ordinal
            )));
        }
        outcomes.check().map_err(ArchiveError::Invalid)?;
        outcomes.check_against(self.members.iter().map(|member| member.0)).map_err(ArchiveError::Invalid)
    }
}

impl<W: Spool> ArchiveWriter<W> {
    /// Empties the spool and writes the manifest.
    ///
    /// # Errors
    /// If the spool fails, or the manifest is not one that a reader accepts.
    pub fn new(spool: W, manifest: &Manifest) -> Result<Self, ArchiveError> {
        manifest.check().map_err(ArchiveError::Invalid)?;
        if manifest.format_version != FORMAT_VERSION {
            return Err(ArchiveError::invalid(
                "the manifest has another format version than the program writes",
            ));
        }
        let frame = encode_entry(MANIFEST, manifest.sealed_at.timestamp(), &to_json(manifest)?, &[])?;
        let mut writer = Self { spool, book: Book::new(manifest) };
        writer.append(&frame)?;
        Ok(writer)
    }

    /// The size of the archive so far.
    pub fn position(&self) -> u64 {
        self.book.position
    }

    /// Adds a small member, compressing it here.
    ///
    /// # Errors
    /// If the spool fails, or the member is not the manifest's or out of order.
    pub fn add_member_bytes(
        &mut self,
        ordinal: u32,
        landed_at: Timestamp,
        bytes: &[u8],
    ) -> Result<Frame, ArchiveError> {
        let member = encode_member(ordinal, self.book.key(ordinal)?, landed_at, bytes)?;
        self.append_member(&member)
    }

    /// Adds a member that [`encode_member`] compressed elsewhere.
    ///
    /// # Errors
    /// If the spool fails, or the member is not the manifest's or out of order.
    pub fn append_member(&mut self, member: &EncodedMember) -> Result<Frame, ArchiveError> {
        let path = member_path(member.ordinal, self.book.key(member.ordinal)?);
        if path != member.path {
            let found = member.path.clone();
            return Err(ArchiveError::Mismatch {
                ordinal: member.ordinal,
                what: "path",
                expected: path,
                found,
            });
        }
        let end = self.write_frame(&member.frame)?;
        Ok(self.book.record(member.ordinal, member.size, end))
    }

    /// Begins a large member, whose exactly `size` bytes are then written to what this returns.
    ///
    /// # Errors
    /// If the spool fails, or the member is not the manifest's or out of order.
    pub fn begin_member(
        &mut self,
        ordinal: u32,
        landed_at: Timestamp,
        size: u64,
    ) -> Result<MemberWriter<'_, W>, ArchiveError> {
        let headers = headers(&member_path(ordinal, self.book.key(ordinal)?), size, landed_at.timestamp());
        self.mend()?;
        self.book.torn = true;
        let sink = Counting { inner: &mut self.spool, count: 0 };
        let mut encoder = frame_encoder(sink, entry_bytes(&headers, size))?;
        encoder.write_all(&headers)?;
        Ok(MemberWriter { encoder, book: &mut self.book, ordinal, size, remaining: size })
    }

    /// Writes the outcomes and the trailer. There must be one outcome for each member of the manifest, `ok` exactly for
    /// those that were added; their frames are filled in here.
    ///
    /// # Errors
    /// If the spool fails, or the outcomes do not fit what was written.
    pub fn finish(mut self, mut outcomes: Outcomes) -> Result<Finished<W>, ArchiveError> {
        if outcomes.format_version != FORMAT_VERSION {
            return Err(ArchiveError::invalid(
                "the outcomes have another format version than the program writes",
            ));
        }
        self.book.complete(&mut outcomes)?;
        let json = to_json(&outcomes)?;
        let last = encode_entry(OUTCOMES, self.book.sealed_at.timestamp(), &json, &END_OF_ARCHIVE)?;
        let frame = self.append(&last)?;
        self.append(&Trailer { outcomes: frame }.to_bytes())?;
        self.spool.flush()?;
        Ok(Finished { spool: self.spool, length: self.book.position, outcomes })
    }

    fn append(&mut self, frame: &[u8]) -> Result<Frame, ArchiveError> {
        let end = self.write_frame(frame)?;
        Ok(self.book.advance_to(end))
    }

    fn write_frame(&mut self, frame: &[u8]) -> Result<u64, ArchiveError> {
        self.mend()?;
        self.book.torn = true;
        self.spool.write_all(frame)?;
        Ok(self.book.position + frame.len() as u64)
    }

    /// Cuts the spool back to its last whole frame if there may be more.
    fn mend(&mut self) -> io::Result<()> {
        if self.book.torn {
            self.spool.truncate_to(self.book.position)?;
            self.book.torn = false;
        }
        Ok(())
    }
}

/// Takes the bytes of one large member.
///
/// Until [`finish`](Self::finish) says so the member is not in the archive: dropping this discards it, and the next
/// operation on the archive cuts what was written off again; [`discard`](Self::discard) frees the space at once.
#[must_use = "the member is discarded unless it is finished"]
pub struct MemberWriter<'a, W: Spool> {
    encoder: Encoder<'static, Counting<&'a mut W>>,
    book: &'a mut Book,
    ordinal: u32,
    size: u64,
    remaining: u64,
}

impl<W: Spool> MemberWriter<'_, W> {
    /// Ends the member.
    ///
    /// # Errors
    /// If fewer bytes came than were announced, or the spool fails; then the member is discarded.
    pub fn finish(mut self) -> Result<Frame, ArchiveError> {
        if self.remaining > 0 {
            return Err(ArchiveError::size(self.ordinal, self.size, self.size - self.remaining));
        }
        self.encoder.write_all(padding(self.size))?;
        let sink = self.encoder.finish()?;
        let end = self.book.position + sink.count;
        Ok(self.book.record(self.ordinal, self.size, end))
    }

    /// Takes the member out of the spool again.
    ///
    /// # Errors
    /// If the spool cannot be shortened.
    pub fn discard(mut self) -> Result<(), ArchiveError> {
        self.encoder.get_mut().inner.truncate_to(self.book.position)?;
        self.book.torn = false;
        Ok(())
    }
}

impl<W: Spool> Write for MemberWriter<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.remaining {
            let found = self.size - self.remaining + bytes.len() as u64;
            return Err(ArchiveError::size(self.ordinal, self.size, found).into());
        }
        let count = self.encoder.write(bytes)?;
        self.remaining -= count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        // Flushing zstd would only make the frame larger; `finish` writes everything.
        Ok(())
    }
}

/// Counts what goes through.
struct Counting<W> {
    inner: W,
    count: u64,
}

impl<W: Write> Write for Counting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.count += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
