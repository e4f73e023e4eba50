//! Whether the landing as a whole can be read, asked when nothing of a batch may be (I10): a refusal that others share is
//! trouble with the landing, and one that they do not share concerns the documents.

use crate::archive::Manifest;
use crate::effects;
use crate::failure::{Failure, Outcome};
use crate::ports::object_store::{Announced, Got, ObjectInfo, ObjectStore, VersionSource};

use super::context::Context;

/// Objects of the listing that are held at a time: one page of S3's.
const LISTED: usize = 1_000;
/// Objects that are asked for at the most, the newest first.
const PROBES: usize = 5;

/// Whether some other object of the landing can be read; where there is no other one, whether it can be listed.
///
/// # Errors
/// Transient where the landing cannot even be listed.
pub(super) fn others_can_be_read(
    context: &Context,
    landing: &dyn ObjectStore,
    prefix: &str,
    manifest: &Manifest,
) -> Outcome<bool> {
    let others = others(landing, prefix, manifest)?;
    for info in &others {
        let version_id = match &info.version {
            VersionSource::Id(id) => Some(id.as_str()),
            _ => None,
        };
        let announced = Announced { key: &info.key, version_id, etag: &info.etag };
        // GET and not HEAD: what is encrypted with a key that we may not use can still be asked about.
        let got = context.seam.perform(effects::LANDING_GET, || landing.get_announced(&announced))?;
        if matches!(got, Got::Object(_)) {
            return Ok(true);
        }
    }
    Ok(others.is_empty())
}

/// The newest objects that are not in the batch. Of the whole listing: what lands next has to be among them wherever its key
/// comes, or a job would wait for it in vain.
fn others(landing: &dyn ObjectStore, prefix: &str, manifest: &Manifest) -> Outcome<Vec<ObjectInfo>> {
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
