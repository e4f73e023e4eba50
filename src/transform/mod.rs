//! The transformation: bytes and a definition become records or a reject. Pure: no clock, no I/O, no randomness.
//!
//! A [`Definition`] is made from a job file (see [`crate::job`]). [`Definition::transform`] streams a document of any
//! size and holds one record at a time; [`Definition::collect`] keeps the records of a small one in memory.

mod checks;
mod dates;
mod definition;
mod delimited;
mod input;
mod labelled;
mod outcome;
mod output;
mod record;
pub mod rows;
mod value;

#[cfg(test)]
mod tests;

pub(crate) use checks::{Check, Operand, Sum, Term};
pub(crate) use dates::DatePattern;
pub use definition::Definition;
pub(crate) use definition::{Delimited, Field, Format, Kind, Labelled, Place, Section, Shape, Unknown};
pub use outcome::{Collected, Reject, Stopped, Summary, Warning};
pub(crate) use value::canonical;

/// The longest line that is read.
pub const MAX_LINE_BYTES: usize = 1 << 20;
/// The most text that one record may have in its document.
pub const MAX_RECORD_BYTES: usize = 16 << 20;
/// The most memory that the finished rows of one record may take; child rows repeat their parent's key.
pub const MAX_RECORD_ROW_BYTES: usize = 64 << 20;
/// The most warnings that are kept of one document; the others are counted.
pub const MAX_WARNINGS: usize = 100;
/// The most characters of a document that a reject repeats.
pub const MAX_EXCERPT_CHARS: usize = 200;
