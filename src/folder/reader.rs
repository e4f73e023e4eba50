//! Reads a landed file and notices when it changes meanwhile, as If-Match does for an object.

use std::fs::File;
use std::io::{self, Read};

use super::FileStamp;
use crate::ports::object_store::OverwrittenWhileRead;

/// What is left of a file is read at once up to this many bytes.
const AT_ONCE: u64 = 1 << 20;

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
    /// A small file takes one read: where its state is still the same afterwards, there can be no more to read.
    fn read_to_end(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let left = self.stamp.size.saturating_sub(self.read);
        if left > AT_ONCE {
            return self.take(u64::MAX).read_to_end(buffer);
        }
        let start = buffer.len();
        buffer.resize(start + left as usize, 0);
        let read = self.file.read_exact(&mut buffer[start..]);
        if let Err(error) = read {
            buffer.truncate(start);
            let shorter = error.kind() == io::ErrorKind::UnexpectedEof;
            return Err(if shorter { io::Error::other(OverwrittenWhileRead) } else { error });
        }
        self.read += left;
        self.check_unchanged()?;
        Ok(left as usize)
    }

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
