//! Reads small members, many at a time.

use std::io::{self, Read};

use rayon::ThreadPool;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::archive::{EncodedMember, ManifestMember, MemberOutcome, encode_member};
use crate::effects;
use crate::failure::{Failure, Outcome};
use crate::pipeline::context::Context;
use crate::ports::object_store::{
    Announced, Fetched, Got, ObjectInfo, ObjectStore, Refusal, was_overwritten,
};

use super::course::{Course, Deferrable};
use super::{LARGE_BYTES, read_outcome, spool_failure};

/// Members that one thread reads before it looks for others: a file is read sooner than a thread is woken.
const MEMBERS_AT_LEAST: usize = 4;

/// What came of one small member.
pub(super) enum Small {
    /// Nobody has asked for it yet.
    Unasked,
    Read(EncodedMember, MemberOutcome, Vec<u8>),
    /// Too large for memory after all; to be streamed.
    Large(Fetched),
    Refused(Refusal),
    /// It could not be read, and is to be deferred.
    Troubled(Failure),
}

/// The bytes of a member, or why there are none.
enum Whole {
    Read(ObjectInfo, Vec<u8>),
    Large(Fetched),
    Refused(Refusal),
}

/// Reads from one landing, for one attempt at a batch.
pub(super) struct Reader<'a> {
    pub(super) context: &'a Context,
    pub(super) landing: &'a dyn ObjectStore,
    pub(super) deferrable: Deferrable,
    pub(super) course: Course<'a>,
}

impl<'a> Reader<'a> {
    /// Asks for the members that nobody has asked for, until so many fail one after the other that the rest is left
    /// [`Small::Unasked`].
    ///
    /// # Errors
    /// The first failure that ends the attempt; whoever has not begun with a member then asks for none any more.
    pub(super) fn read(
        &self,
        pool: &ThreadPool,
        members: &'a [ManifestMember],
        read: &mut [Small],
    ) -> Outcome<()> {
        pool.install(|| {
            let places = read.par_iter_mut().zip(members).with_min_len(MEMBERS_AT_LEAST);
            let unasked = places.filter(|(small, _)| matches!(small, Small::Unasked));
            unasked.try_for_each(|(small, member)| {
                if !self.course.is_in_doubt() {
                    *small = self.read_one(member)?;
                }
                Ok(())
            })
        })
    }

    fn read_one(&self, member: &'a ManifestMember) -> Outcome<Small> {
        let (info, bytes) = match read_whole(self.context, self.landing, member) {
            Ok(Whole::Read(info, bytes)) => (info, bytes),
            Ok(Whole::Large(fetched)) => return Ok(Small::Large(fetched)),
            Ok(Whole::Refused(refusal)) => {
                self.course.was_answered();
                return Ok(Small::Refused(refusal));
            }
            Err(failure) => return self.defer(member, failure).map(Small::Troubled),
        };
        self.course.was_read(member);
        let sha256 = hex::encode(Sha256::digest(&bytes));
        let outcome = read_outcome(member.ordinal, &info, bytes.len() as u64, sha256);
        let encoded =
            encode_member(member.ordinal, &member.key, outcome.landed_at, &bytes).map_err(spool_failure)?;
        Ok(Small::Read(encoded, outcome, bytes))
    }

    /// Notes that `member` is to be deferred for `failure`.
    ///
    /// # Errors
    /// The failure, where it ends the attempt.
    pub(super) fn defer(&self, member: &ManifestMember, failure: Failure) -> Outcome<Failure> {
        if !self.deferrable.holds(member, &failure) {
            return Err(failure);
        }
        self.course.has_failed(&failure);
        Ok(failure)
    }
}

pub(super) fn announced(member: &ManifestMember) -> Announced<'_> {
    Announced { key: &member.key, version_id: member.version_id.as_deref(), etag: &member.etag }
}

fn read_whole(context: &Context, landing: &dyn ObjectStore, member: &ManifestMember) -> Outcome<Whole> {
    let got = context.seam.perform(effects::LANDING_GET, || landing.get_announced(&announced(member)))?;
    let mut fetched = match got {
        Got::Refused(refusal) => return Ok(Whole::Refused(refusal)),
        Got::Object(fetched) if fetched.info.size > LARGE_BYTES => return Ok(Whole::Large(fetched)),
        Got::Object(fetched) => fetched,
    };
    let mut bytes = Vec::new();
    match fetched.body.read_to_end(&mut bytes) {
        Ok(_) => Ok(Whole::Read(fetched.info, bytes)),
        Err(error) => reading_failed(&member.key, &error).map(Whole::Refused),
    }
}

/// An object that changed while it was read is a verdict about it; anything else says nothing about it.
pub(super) fn reading_failed(key: &str, error: &io::Error) -> Outcome<Refusal> {
    if was_overwritten(error) {
        return Ok(Refusal::Overwritten);
    }
    Err(Failure::transient(format!("reading {key:?} from the landing broke off: {error}")))
}
