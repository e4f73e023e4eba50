//! The originals of a replay: its members as the archives of its parents hold them, one ranged read each.

use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::sync::Arc;

use crate::archive::{
    Frame, Got as Said, Manifest, ManifestMember, MemberOutcome, Outcomes, Verified, object_key, open_member,
    read_verified,
};
use crate::failure::{Failure, Outcome};
use crate::pipeline::documents::archive_failure;
use crate::ports::object_store::{
    Announced, Fetched, Got, ObjectInfo, ObjectStore, PutAnswer, ReadSeek, VersionSource,
};

use super::index::{range, read_index};

/// A member up to this size is read and compared whole before anybody sees a byte of it.
const SMALL_BYTES: u64 = 8 << 20;

/// Where the original of a member lies.
struct Original {
    archive_key: String,
    frame: Frame,
    /// What its parent's archive says about it; the ordinal is the parent's.
    outcome: MemberOutcome,
}

/// What a notification announces; a replay holds each only once.
type Identity = (String, Option<String>, String);

fn identity(key: &str, version_id: Option<&str>, etag: &str) -> Identity {
    (key.to_owned(), version_id.map(str::to_owned), etag.to_owned())
}

/// Stands in for the landing while a replay is archived: the same objects, with the versions and times that they had.
pub struct ParentArchives {
    archive: Arc<dyn ObjectStore>,
    bucket: String,
    originals: HashMap<Identity, Original>,
}

impl ParentArchives {
    /// Finds the members of `manifest` in the archives of its parents.
    ///
    /// # Errors
    /// Permanent where a parent's archive is gone, or none of them has a member's bytes.
    pub fn find(archive: Arc<dyn ObjectStore>, bucket: &str, manifest: &Manifest) -> Outcome<Self> {
        let mut wanted: HashMap<(String, Option<String>), Identity> = HashMap::new();
        for member in &manifest.members {
            let known = identity(&member.key, member.version_id.as_deref(), &member.etag);
            wanted.insert(whole_identity(member), known);
        }
        let mut originals = HashMap::with_capacity(wanted.len());
        // A later parent may be a replay of an earlier one: both hold the same bytes.
        for parent in &manifest.parents {
            let archive_key = object_key(&manifest.job, parent);
            let (theirs, outcomes) = read_index(archive.as_ref(), &archive_key)?.ok_or_else(|| {
                Failure::permanent(format!(
                    "the archive object {archive_key} is gone, and this replay needs it: put it back, then replay this batch"
                ))
            })?;
            collect(&archive_key, &theirs, &outcomes, &wanted, &mut originals);
        }
        if let Some(member) = manifest.members.iter().find(|member| {
            !originals.contains_key(&identity(&member.key, member.version_id.as_deref(), &member.etag))
        }) {
            let parents = manifest.parents.join(", ");
            return Err(Failure::permanent(format!("no archive of {parents} holds {:?}", member.key)));
        }
        Ok(Self { archive, bucket: bucket.to_owned(), originals })
    }

    fn open(&self, original: &Original, key: &str) -> Outcome<Box<dyn Read + Send>> {
        let Original { archive_key, frame, outcome } = original;
        let damaged = |error| archive_failure(error).while_doing(archive_key);
        let bytes = range(self.archive.as_ref(), archive_key, frame.offset, frame.length)?;
        let member = open_member(outcome.ordinal, key, bytes).map_err(damaged)?;
        if outcome.size > SMALL_BYTES {
            return Ok(Box::new(Verified::new(member, outcome)));
        }
        Ok(Box::new(Cursor::new(read_verified(member, outcome).map_err(damaged)?)))
    }
}

/// Key and full identity: with the sequencer, which tells two uploads of the same bytes apart.
fn whole_identity(member: &ManifestMember) -> (String, Option<String>) {
    let version = member.version_id.as_deref();
    let text = sluicegate_state::identity(
        &member.bucket,
        &member.key,
        version,
        &member.etag,
        member.sequencer.as_deref(),
    );
    (text, member.version_id.clone())
}

fn collect(
    archive_key: &str,
    theirs: &Manifest,
    outcomes: &Outcomes,
    wanted: &HashMap<(String, Option<String>), Identity>,
    originals: &mut HashMap<Identity, Original>,
) {
    for member in &theirs.members {
        let Some(known) = wanted.get(&whole_identity(member)) else { continue };
        let read = outcomes.member(member.ordinal).filter(|outcome| outcome.got == Said::Ok);
        if let Some((outcome, frame)) = read.and_then(|outcome| Some((outcome, outcome.frame?))) {
            let (archive_key, outcome) = (archive_key.to_owned(), outcome.clone());
            originals.insert(known.clone(), Original { archive_key, frame, outcome });
        }
    }
}

impl ObjectStore for ParentArchives {
    fn bucket(&self) -> &str {
        &self.bucket
    }

    fn location(&self) -> String {
        self.archive.location()
    }

    fn get_announced(&self, announced: &Announced<'_>) -> Outcome<Got> {
        let known = identity(announced.key, announced.version_id, announced.etag);
        let original = self.originals.get(&known).ok_or_else(|| {
            Failure::permanent(format!("the archives of this replay hold no {:?}", announced.key))
        })?;
        let outcome = &original.outcome;
        let info = ObjectInfo {
            key: announced.key.to_owned(),
            size: outcome.size,
            etag: announced.etag.to_owned(),
            // The document keeps the version that it got when it was first fetched (I2).
            version: VersionSource::Id(outcome.version.clone()),
            last_modified: outcome.landed_at,
            expires_at: None,
        };
        let body = self.open(original, announced.key)?;
        Ok(Got::Object(Fetched { info, body }))
    }

    fn get(&self, _key: &str) -> Outcome<Option<Fetched>> {
        Ok(None)
    }

    fn head(&self, _key: &str) -> Outcome<Option<ObjectInfo>> {
        Ok(None)
    }

    fn put_new(&self, key: &str, _: &mut dyn ReadSeek, _: u64, _: &str) -> Outcome<PutAnswer> {
        Err(Failure::permanent(format!("{key}: nothing is written into the originals of a replay")))
    }

    fn list(&self, _prefix: &str, _visit: &mut dyn FnMut(ObjectInfo) -> Outcome<()>) -> Outcome<()> {
        Ok(())
    }
}
