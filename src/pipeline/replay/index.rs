//! What an archive object says about itself, without its members: three ranged reads and the beginning.

use std::io::Read;

use crate::archive::{ArchiveReader, Manifest, Outcomes, TRAILER_BYTES, Trailer, decode_outcomes};
use crate::failure::{Failure, Outcome};
use crate::pipeline::documents::archive_failure;
use crate::ports::object_store::ObjectStore;

/// The manifest and the outcomes of the archive object at `key`; none where there is no such object.
///
/// # Errors
/// Permanent where the object is damaged.
pub fn read_index(archive: &dyn ObjectStore, key: &str) -> Outcome<Option<(Manifest, Outcomes)>> {
    let Some(info) = archive.head(key)? else { return Ok(None) };
    read(archive, key, info.size).map_err(|failure| failure.while_doing(key))
}

fn read(archive: &dyn ObjectStore, key: &str, size: u64) -> Outcome<Option<(Manifest, Outcomes)>> {
    let Some(fetched) = archive.get(key)? else { return Ok(None) };
    let reader = ArchiveReader::new(fetched.body).map_err(archive_failure)?;
    let Some(trailer) = find_trailer(archive, key, size)? else {
        // Another program may have packed it again; then all of it is read.
        return reader.into_index().map(Some).map_err(archive_failure);
    };
    let manifest = reader.manifest().clone();
    let frame = range(archive, key, trailer.outcomes.offset, trailer.outcomes.length)?;
    let outcomes = decode_outcomes(frame).map_err(archive_failure)?;
    Ok(Some((manifest, outcomes)))
}

fn find_trailer(archive: &dyn ObjectStore, key: &str, size: u64) -> Outcome<Option<Trailer>> {
    let Some(offset) = size.checked_sub(TRAILER_BYTES) else { return Ok(None) };
    let mut tail = Vec::new();
    range(archive, key, offset, TRAILER_BYTES)?
        .read_to_end(&mut tail)
        .map_err(|error| Failure::transient(format!("reading broke off: {error}")))?;
    Ok(Trailer::parse(&tail))
}

/// A part of an object that was there a moment ago.
pub(super) fn range(
    archive: &dyn ObjectStore,
    key: &str,
    offset: u64,
    length: u64,
) -> Outcome<Box<dyn Read + Send>> {
    let body = archive.get_range(key, offset, length)?;
    body.ok_or_else(|| Failure::transient(format!("the archive object {key} was there and is gone")))
}
