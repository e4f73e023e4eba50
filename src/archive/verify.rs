//! Comparing a member's bytes with what the outcomes say about them.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

use super::error::ArchiveError;
use super::index::MemberOutcome;

/// Passes a member's bytes on, and fails at their end unless size and SHA-256 are the recorded ones.
///
/// The error travels inside the `io::Error`; `ArchiveError::from` gives it back.
#[derive(Debug)]
pub struct Verified<R> {
    inner: R,
    hasher: Sha256,
    size: u64,
    expected: MemberOutcome,
}

impl<R: Read> Verified<R> {
    /// Watches over `inner`, which should yield the bytes that `expected` describes.
    pub fn new(inner: R, expected: &MemberOutcome) -> Self {
        Self { inner, hasher: Sha256::new(), size: 0, expected: expected.clone() }
    }

    fn compare(&self) -> Result<(), ArchiveError> {
        let ordinal = self.expected.ordinal;
        if self.size != self.expected.size {
            return Err(ArchiveError::size(ordinal, self.expected.size, self.size));
        }
        let found = hex::encode(self.hasher.clone().finalize());
        match &self.expected.sha256 {
            Some(expected) if *expected != found => {
                Err(ArchiveError::Mismatch { ordinal, what: "SHA-256", expected: expected.clone(), found })
            }
            _ => Ok(()),
        }
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.size += count as u64;
        let ended = count == 0 && !buffer.is_empty();
        if ended || self.size > self.expected.size {
            self.compare()?;
        }
        Ok(count)
    }
}

/// Reads all of a small member into memory and verifies it.
///
/// # Errors
/// [`ArchiveError::Mismatch`] if size or SHA-256 are not the recorded ones.
pub fn read_verified(member: impl Read, expected: &MemberOutcome) -> Result<Vec<u8>, ArchiveError> {
    let mut bytes = Vec::new();
    Verified::new(member, expected).read_to_end(&mut bytes)?;
    Ok(bytes)
}
