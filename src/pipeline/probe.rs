//! Whether the landing as a whole can be read, asked when members of a batch cannot be (I10): trouble that others share is
//! the landing's, and trouble that they do not share concerns the documents.

use std::io::{self, Read};

use rayon::ThreadPool;
use rayon::prelude::*;

use crate::archive::Manifest;
use crate::effects;
use crate::failure::{Failure, FailureKind, Outcome};
use crate::ports::object_store::{Announced, Got, ObjectInfo, ObjectStore, VersionSource};

use super::context::Context;

/// Objects of the listing that are held at a time: one page of S3's.
const LISTED: usize = 1_000;
/// Objects that are asked for at the most, the newest first.
const PROBES: usize = 5;
/// Bytes of an object that are read to see whether it can be.
const PROBED_BYTES: u64 = 1 << 20;

/// What came of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probed {
    /// It can be read.
    Read,
    /// The store answered, and not with the object.
    Refused,
    /// There was no answer that says anything about the object.
    Trouble,
}

/// What can be said of the objects beside a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Others {
    /// This one can be read.
    Readable(ObjectInfo),
    /// Those that were asked for cannot.
    Unreadable,
    /// There are none; the landing can be listed.
    Absent,
}

/// Tries to read one object.
///
/// # Errors
/// Only what ends the process.
pub(super) fn probe(
    context: &Context,
    landing: &dyn ObjectStore,
    announced: &Announced<'_>,
) -> Outcome<Probed> {
    // GET and not HEAD: what is encrypted with a key that we may not use can still be asked about.
    let got = context.seam.perform(effects::LANDING_GET, || landing.get_announced(announced));
    match got {
        Ok(Got::Refused(_)) => Ok(Probed::Refused),
        Ok(Got::Object(fetched)) => {
            let read = io::copy(&mut fetched.body.take(PROBED_BYTES), &mut io::sink());
            Ok(read.map_or(Probed::Trouble, |_| Probed::Read))
        }
        Err(failure) if failure.kind == FailureKind::Died => Err(failure),
        Err(_) => Ok(Probed::Trouble),
    }
}

/// Looks at objects of the landing that are not in the batch.
///
/// # Errors
/// Transient where the landing cannot even be listed.
pub(super) fn others(
    context: &Context,
    pool: &ThreadPool,
    landing: &dyn ObjectStore,
    manifest: &Manifest,
) -> Outcome<Others> {
    let job = context.job(&manifest.job)?;
    let newest = newest(landing, job.landing.key_prefix(), manifest)?;
    if newest.is_empty() {
        return Ok(Others::Absent);
    }
    let ask = |info: ObjectInfo| match probe(context, landing, &announced(&info)) {
        Ok(Probed::Read) => Some(Ok(Others::Readable(info))),
        Ok(Probed::Refused | Probed::Trouble) => None,
        Err(failure) => Some(Err(failure)),
    };
    // All at the same time: where the landing is silent, nobody should wait for one after the other.
    let told = pool.install(|| newest.into_par_iter().map(ask).find_any(Option::is_some));
    told.flatten().unwrap_or(Ok(Others::Unreadable))
}

/// A listed object as a notification would announce it.
pub(super) fn announced(info: &ObjectInfo) -> Announced<'_> {
    let version_id = match &info.version {
        VersionSource::Id(id) => Some(id.as_str()),
        _ => None,
    };
    Announced { key: &info.key, version_id, etag: &info.etag }
}

/// The newest objects that are not in the batch. Of the whole listing: what lands next has to be among them wherever its key
/// comes, or a job would wait for it in vain.
fn newest(landing: &dyn ObjectStore, prefix: &str, manifest: &Manifest) -> Outcome<Vec<ObjectInfo>> {
    let mut others = Vec::new();
    let newest_only = |others: &mut Vec<ObjectInfo>| {
        others.sort_by_key(|info| std::cmp::Reverse(info.last_modified));
        others.truncate(PROBES);
    };
    let listed = landing.list(prefix, &mut |info| {
        if !manifest.members.iter().any(|member| member.key == info.key) {
            others.push(info);
        }
        if others.len() >= LISTED {
            newest_only(&mut others);
        }
        Ok(())
    });
    listed.map_err(|failure| {
        // Whatever a listing was refused for, it says nothing about any batch, and parks none.
        Failure::transient(format!(
            "nothing of the batch may be read, and the landing cannot be listed: {failure}"
        ))
    })?;
    newest_only(&mut others);
    Ok(others)
}
