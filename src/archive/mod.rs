//! The archive object: one `.tar.zst` for each batch, which holds the originals and what GET said about every member.
//!
//! It is the commit point of fetching, so everything later is a function of its bytes. Its layout:
//!
//! ```text
//! frame     manifest.json                   what was sealed, in order
//! frame     NNNNNN/<key>                    one for each member that was read, in the order of their ordinals
//! frame     outcomes.json + end of archive  what GET said, versions, sizes, checksums, and where each frame lies
//! skippable trailer                         where the outcomes frame lies
//! ```
//!
//! Each tar entry is a zstd frame of its own, so one member can be read with one ranged read, and frames can be
//! compressed in parallel. zstd skips the trailer, so `tar --zstd -xf` opens the object.
//!
//! Nothing here knows a network, a clock or a store: it reads from `Read` and writes to a [`Spool`].

mod entry;
mod error;
mod index;
mod names;
mod random_access;
mod reader;
mod trailer;
mod verify;
mod writer;

#[cfg(test)]
mod tests;

pub use error::ArchiveError;
pub use index::{FORMAT_VERSION, Frame, Got, Manifest, ManifestMember, MemberOutcome, Outcomes};
pub use names::{MAX_ORDINAL, batch_date, batch_id_of, member_path, object_key};
pub use random_access::{decode_member, decode_outcomes, open_member, read_outcomes};
pub use reader::{ArchiveReader, Member};
pub use trailer::{TRAILER_BYTES, Trailer};
pub use verify::{Verified, read_verified};
pub use writer::{ArchiveWriter, EncodedMember, Finished, MemberWriter, Spool, encode_member};
