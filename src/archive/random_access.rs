//! Reading a part of an archive: the outcomes by way of the trailer, one member by way of its frame.

use std::io::{Read, Seek, SeekFrom};

use super::entry::Entries;
use super::error::ArchiveError;
use super::index::{Frame, Outcomes};
use super::names::member_path;
use super::reader::{ArchiveReader, parse_outcomes};
use super::trailer::{TRAILER_BYTES, Trailer};
use super::writer::OUTCOMES;

/// Reads the outcomes of an archive and goes back to its beginning. Without a trailer (another program may have packed
/// it again) it reads through all members.
///
/// # Errors
/// If the source fails, or the archive is damaged.
pub fn read_outcomes<R: Read + Seek>(mut archive: R) -> Result<Outcomes, ArchiveError> {
    let length = archive.seek(SeekFrom::End(0))?;
    let outcomes = match find_trailer(&mut archive, length)? {
        Some(trailer) if trailer.fits(length) => read_frame(&mut archive, trailer.outcomes)?,
        Some(_) => return Err(ArchiveError::corrupt("the trailer points past the archive")),
        None => {
            archive.rewind()?;
            ArchiveReader::new(&mut archive)?.into_index()?.1
        }
    };
    archive.rewind()?;
    Ok(outcomes)
}

fn find_trailer<R: Read + Seek>(archive: &mut R, length: u64) -> Result<Option<Trailer>, ArchiveError> {
    let Some(start) = length.checked_sub(TRAILER_BYTES) else { return Ok(None) };
    let mut tail = [0; TRAILER_BYTES as usize];
    archive.seek(SeekFrom::Start(start))?;
    archive.read_exact(&mut tail)?;
    Ok(Trailer::parse(&tail))
}

fn read_frame<R: Read + Seek>(archive: &mut R, frame: Frame) -> Result<Outcomes, ArchiveError> {
    archive.seek(SeekFrom::Start(frame.offset))?;
    decode_outcomes(archive.take(frame.length))
}

/// Reads the outcomes from their frame, which the [`Trailer`] names.
///
/// # Errors
/// If the source fails, or is not the outcomes frame alone.
pub fn decode_outcomes(frame: impl Read) -> Result<Outcomes, ArchiveError> {
    let mut entries = Entries::new(frame)?;
    match entries.next_entry()? {
        Some(entry) if entry.name == OUTCOMES => parse_outcomes(&mut entries),
        _ => Err(ArchiveError::corrupt(format!("the trailer does not point to {OUTCOMES}"))),
    }
}

/// Opens a member from its frame, which the outcomes name; reading yields its data as a stream.
///
/// # Errors
/// If the source fails, or does not begin with the frame of this member.
pub fn open_member<R: Read>(ordinal: u32, key: &str, frame: R) -> Result<impl Read + use<R>, ArchiveError> {
    open_entry(ordinal, key, frame)
}

/// Reads all of a small member from its frame.
///
/// # Errors
/// If it is not the frame of this member alone.
pub fn decode_member(ordinal: u32, key: &str, frame: &[u8]) -> Result<Vec<u8>, ArchiveError> {
    let mut entries = open_entry(ordinal, key, frame)?;
    let mut bytes = Vec::new();
    entries.read_to_end(&mut bytes)?;
    entries.expect_end()?;
    Ok(bytes)
}

fn open_entry<R: Read>(ordinal: u32, key: &str, frame: R) -> Result<Entries<R>, ArchiveError> {
    let mut entries = Entries::new(frame)?;
    let expected = member_path(ordinal, key);
    let found = entries.next_entry()?.map(|entry| entry.name).unwrap_or_default();
    if found != expected {
        return Err(ArchiveError::Mismatch { ordinal, what: "path", expected, found });
    }
    Ok(entries)
}
