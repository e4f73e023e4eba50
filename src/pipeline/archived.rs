//! Archived batches, read back: handed over inside the process, or from the archive itself.

use sluicegate_state::Batch;

use crate::archive::{ArchiveReader, Manifest, Outcomes, object_key, read_outcomes};
use crate::failure::{Failure, Outcome};

use super::context::Context;
use super::documents::archive_failure;
use super::handover::{ArchiveCopy, ArchivedCopy, Content};

/// What the archive says about a batch.
pub struct ArchivedBatch {
    /// The documents.
    pub content: Content,
    /// What was sealed.
    pub manifest: Manifest,
    /// What GET said.
    pub outcomes: Outcomes,
}

/// Reads a batch's archive: handed over by the archive stage, or from the store.
pub fn open_archived(context: &Context, batch: &Batch) -> Outcome<ArchivedBatch> {
    let key = object_key(&batch.job, &batch.batch_id);
    let copy = match context.handover.archives.take(&batch.batch_id) {
        Some(ArchivedCopy { content, index: Some((manifest, outcomes)) }) => {
            return Ok(ArchivedBatch { content, manifest, outcomes });
        }
        Some(ArchivedCopy { content: Content::Packed(copy), index: None }) => Some(copy),
        Some(ArchivedCopy { content: Content::Originals(_), index: None }) | None => {
            read_archive(context, &key)?
        }
    };
    let mut copy = copy.ok_or_else(|| {
        Failure::permanent(format!("the archive object {key} is gone: put it back, then replay"))
    })?;
    let what = |failure: Failure| failure.while_doing(&key);
    let outcomes = read_outcomes(&mut copy.file).map_err(archive_failure).map_err(what)?;
    copy.rewind().map_err(|error| Failure::transient(format!("cannot read the spool: {error}")))?;
    let manifest =
        ArchiveReader::new(&mut copy.file).map_err(archive_failure).map_err(what)?.manifest().clone();
    if manifest.batch_id != batch.batch_id || manifest.job != batch.job {
        return Err(Failure::permanent(format!("{key} is the archive of batch {}", manifest.batch_id)));
    }
    Ok(ArchivedBatch { content: Content::Packed(copy), manifest, outcomes })
}

/// A copy of an archive object in the spool, or `None` where there is no such object.
pub fn read_archive(context: &Context, key: &str) -> Outcome<Option<ArchiveCopy>> {
    let Some(mut fetched) = context.archive.get(key)? else { return Ok(None) };
    let mut file = super::handover::spool(&context.spool);
    let size = std::io::copy(&mut fetched.body, &mut file).map_err(|error| {
        Failure::transient(format!("reading the archive object {key} broke off: {error}"))
    })?;
    let mut copy = ArchiveCopy { file, size };
    copy.rewind().map_err(|error| Failure::transient(format!("cannot read the spool: {error}")))?;
    Ok(Some(copy))
}
