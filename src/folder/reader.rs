//! Reads a landed file and notices when it changes meanwhile, as If-Match does for an object.

use std::fs::File;
use std::io::{self, Read};

use super::FileStamp;
use crate::ports::object_store::OverwrittenWhileRead;

/// The bytes of one state of a file; an error at its end if the file has become another.
pub(super) struct StampedReader {
    file: File,
    stamp: FileStamp,
    read: u64,
}

impl StampedReader {
    pub(super) fn new(file: File, stamp: FileStamp) -> Self {
        Self { file, stamp, read: 0 }
    }

    fn check_unchanged(&self) -> io::Result<()> {
        let now = FileStamp::of(&self.file.metadata()?)?;
        if now == self.stamp && self.read == self.stamp.size {
            return Ok(());
        }
        Err(io::Error::other(OverwrittenWhileRead))
    }
}

impl Read for StampedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.read += count as u64;
        if self.read > self.stamp.size {
            return Err(io::Error::other(OverwrittenWhileRead));
        }
        if count == 0 && !buffer.is_empty() {
            self.check_unchanged()?;
        }
        Ok(count)
    }
}
