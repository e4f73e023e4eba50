//! How reading or writing an archive can fail.

use std::io;

/// A failure while an archive is read or written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The file or the store under the archive failed; the archive itself may be fine, and a later try may work.
    #[error("input or output failed: {0}")]
    Io(#[source] io::Error),
    /// The bytes are not an archive that this program wrote, or not all of it.
    #[error("the archive is damaged: {0}")]
    Corrupt(String),
    /// A member is not what was announced, or not what the archive's own outcomes say.
    #[error("member {ordinal}: {what} is {found}, expected {expected}")]
    Mismatch {
        /// The member's ordinal.
        ordinal: u32,
        /// What differs: its size, its SHA-256, its path.
        what: &'static str,
        /// What was announced or recorded.
        expected: String,
        /// What there is.
        found: String,
    },
    /// A later version of the program wrote it.
    #[error("the archive has format version {found}, this program knows {known}: use a newer one")]
    NewerFormat {
        /// The version in the archive.
        found: u32,
        /// The newest version that this program reads.
        known: u32,
    },
    /// The caller asked for something that would not be a valid archive: a defect of this program.
    #[error("refusing to write an invalid archive: {0}")]
    Invalid(String),
}

impl ArchiveError {
    pub(super) fn corrupt(reason: impl Into<String>) -> Self {
        Self::Corrupt(reason.into())
    }

    pub(super) fn invalid(reason: impl Into<String>) -> Self {
        Self::Invalid(reason.into())
    }

    pub(super) fn size(ordinal: u32, expected: u64, found: u64) -> Self {
        Self::Mismatch { ordinal, what: "size", expected: expected.to_string(), found: found.to_string() }
    }
}

/// `Read` and `Write` can only fail with an `io::Error`, so our own errors travel inside one and are unpacked here.
impl From<io::Error> for ArchiveError {
    fn from(error: io::Error) -> Self {
        error.downcast::<Self>().unwrap_or_else(Self::Io)
    }
}

impl From<ArchiveError> for io::Error {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Io(error) => error,
            other => Self::new(io::ErrorKind::InvalidData, other),
        }
    }
}
