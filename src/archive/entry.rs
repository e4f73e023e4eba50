//! tar entries and the zstd frames around them: what both the writer and the reader are made of.

use std::cell::RefCell;
use std::io::{self, BufReader, Read, Write};

use tar::{EntryType, Header};
use zstd::bulk::Compressor;
use zstd::stream::{read::Decoder, write::Encoder};

use super::error::ArchiveError;

/// tar counts in blocks of this many bytes.
const BLOCK: usize = 512;
/// What fits the name field of a header; longer names go before it in an entry of their own.
const MAX_SHORT_NAME: usize = 100;
/// The longest name that the writer ever makes, with room to spare.
const MAX_LONG_NAME: u64 = 64 * 1024;
/// Two empty blocks end an archive.
pub(super) const END_OF_ARCHIVE: [u8; 2 * BLOCK] = [0; 2 * BLOCK];
/// The level that is worth its time for text.
const LEVEL: i32 = 3;
/// A frame of at most this many bytes is compressed in one call, by a context that the thread keeps.
const WHOLE_BYTES: u64 = 64 << 10;
/// For these the lowest level: on an invoice of 2 KiB the other one saves four bytes, and takes half as long again.
const WHOLE_LEVEL: i32 = 1;

/// The headers of one entry. Nothing in them depends on the machine, so the same input makes the same bytes.
pub(super) fn headers(name: &str, size: u64, mtime_s: i64) -> Vec<u8> {
    let mtime_s = u64::try_from(mtime_s).unwrap_or(0);
    let mut bytes = Vec::with_capacity(BLOCK);
    if name.len() > MAX_SHORT_NAME {
        let long_name = [name.as_bytes(), b"\0"].concat();
        let size = long_name.len() as u64;
        bytes.extend_from_slice(header(b"././@LongLink", EntryType::GNULongName, size, 0).as_bytes());
        bytes.extend_from_slice(&long_name);
        bytes.extend_from_slice(padding(size));
    }
    bytes.extend_from_slice(header(name.as_bytes(), EntryType::Regular, size, mtime_s).as_bytes());
    bytes
}

fn header(name: &[u8], kind: EntryType, size: u64, mtime_s: u64) -> Header {
    let mut header = Header::new_gnu();
    let short = &name[..name.len().min(MAX_SHORT_NAME)];
    // The name is the first field. It is set by hand because `set_path` refuses what it finds odd, such as a cut `é`.
    header.as_mut_bytes()[..short.len()].copy_from_slice(short);
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(mtime_s);
    header.set_cksum();
    header
}

/// What fills the last block of an entry of this size.
pub(super) fn padding(size: u64) -> &'static [u8] {
    let last = (size % BLOCK as u64) as usize;
    &END_OF_ARCHIVE[..(BLOCK - last) % BLOCK]
}

/// The number of bytes that an entry takes in the tar stream.
pub(super) fn entry_bytes(headers: &[u8], size: u64) -> u64 {
    headers.len() as u64 + size + padding(size).len() as u64
}

/// Starts a frame that will hold exactly `total` bytes; its checksum lets every reader notice damage.
pub(super) fn frame_encoder<W: Write>(sink: W, total: u64) -> io::Result<Encoder<'static, W>> {
    let mut encoder = Encoder::new(sink, LEVEL)?;
    encoder.include_checksum(true)?;
    encoder.set_pledged_src_size(Some(total))?;
    Ok(encoder)
}

/// One finished frame: an entry, and for the last one what ends the archive.
pub(super) fn encode_entry(name: &str, mtime_s: i64, data: &[u8], tail: &[u8]) -> io::Result<Vec<u8>> {
    let size = data.len() as u64;
    let headers = headers(name, size, mtime_s);
    let total = entry_bytes(&headers, size) + tail.len() as u64;
    if total <= WHOLE_BYTES {
        let content = [&headers, data, padding(size), tail].concat();
        return compress_whole(&content);
    }
    let mut encoder = frame_encoder(Vec::new(), total)?;
    encoder.write_all(&headers)?;
    encoder.write_all(data)?;
    encoder.write_all(padding(size))?;
    encoder.write_all(tail)?;
    encoder.finish()
}

/// Compresses a small frame with the thread's own context: making one anew takes longer than what it then has to do.
fn compress_whole(content: &[u8]) -> io::Result<Vec<u8>> {
    thread_local! {
        static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    }
    COMPRESSOR.with_borrow_mut(|kept| {
        let compressor = match kept {
            Some(compressor) => compressor,
            None => {
                let mut compressor = Compressor::new(WHOLE_LEVEL)?;
                compressor.include_checksum(true)?;
                kept.insert(compressor)
            }
        };
        compressor.compress(content)
    })
}

/// What the headers of an entry say.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) size: u64,
}

/// The entries in a stream of frames; as a `Read` it is the data of the present entry.
pub(super) struct Entries<R: Read> {
    decoder: Decoder<'static, BufReader<Source<R>>>,
    remaining: u64,
    padding: usize,
}

impl<R: Read> Entries<R> {
    pub(super) fn new(source: R) -> Result<Self, ArchiveError> {
        Ok(Self { decoder: Decoder::new(Source(source))?, remaining: 0, padding: 0 })
    }

    /// Goes to the next entry, past what was not read of the present one; none at the end-of-archive blocks.
    pub(super) fn next_entry(&mut self) -> Result<Option<Entry>, ArchiveError> {
        self.skip_rest()?;
        let Some(header) = self.read_header()? else { return Ok(None) };
        if header.entry_type() != EntryType::GNULongName {
            return self.begin(&header, None).map(Some);
        }
        let name = self.read_long_name(&header)?;
        match self.read_header()? {
            Some(header) => self.begin(&header, Some(name)).map(Some),
            None => Err(ArchiveError::corrupt("a long name without its entry")),
        }
    }

    /// All the data of the present entry, which a damaged header may not make larger than `limit`.
    pub(super) fn read_all(&mut self, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        if self.remaining > limit {
            let found = self.remaining;
            return Err(ArchiveError::corrupt(format!(
                "an entry of {found} bytes where at most {limit} can be"
            )));
        }
        let mut data = Vec::new();
        self.read_to_end(&mut data)?;
        Ok(data)
    }

    /// Checks that the stream ends here.
    pub(super) fn expect_end(&mut self) -> Result<(), ArchiveError> {
        let mut byte = [0];
        match self.decode(&mut byte)? {
            0 => Ok(()),
            _ => Err(ArchiveError::corrupt("there is something behind the end")),
        }
    }

    /// Checks that what is left of the stream ends the tar archive.
    pub(super) fn expect_end_of_archive(&mut self) -> Result<(), ArchiveError> {
        for _ in 0..END_OF_ARCHIVE.len() / BLOCK {
            if self.read_header()?.is_some() {
                return Err(ArchiveError::corrupt("an entry where the end of the archive belongs"));
            }
        }
        self.expect_end()
    }

    fn begin(&mut self, header: &Header, long_name: Option<Vec<u8>>) -> Result<Entry, ArchiveError> {
        if header.entry_type() != EntryType::Regular {
            return Err(ArchiveError::corrupt("an entry of a kind that is never written"));
        }
        let name = long_name.unwrap_or_else(|| header.path_bytes().into_owned());
        let name = String::from_utf8(name).map_err(|_| ArchiveError::corrupt("a name that is no UTF-8"))?;
        let size = header.entry_size().map_err(|_| ArchiveError::corrupt("a header without a size"))?;
        self.remaining = size;
        self.padding = padding(size).len();
        Ok(Entry { name, size })
    }

    fn read_header(&mut self) -> Result<Option<Header>, ArchiveError> {
        let mut block = [0; BLOCK];
        self.decode_exact(&mut block)?;
        if block == [0; BLOCK] {
            return Ok(None);
        }
        let header = Header::from_byte_slice(&block).clone();
        let mut expected = header.clone();
        expected.set_cksum();
        match (header.cksum(), expected.cksum()) {
            (Ok(found), Ok(expected)) if found == expected => Ok(Some(header)),
            _ => Err(ArchiveError::corrupt("a tar header whose checksum is wrong")),
        }
    }

    fn read_long_name(&mut self, header: &Header) -> Result<Vec<u8>, ArchiveError> {
        let size = header.entry_size().ok().filter(|size| (1..=MAX_LONG_NAME).contains(size));
        let size = size.ok_or_else(|| ArchiveError::corrupt("a long name without a possible size"))?;
        let mut name = vec![0; size as usize + padding(size).len()];
        self.decode_exact(&mut name)?;
        // The name ends with a NUL, which belongs to its size.
        name.truncate(size as usize - 1);
        Ok(name)
    }

    fn skip_rest(&mut self) -> io::Result<()> {
        io::copy(self, &mut io::sink()).map(drop)
    }

    /// Goes past the padding and to the end of the frame, so that the end of the data is only reported once zstd has
    /// compared the checksum.
    fn close_entry(&mut self) -> io::Result<()> {
        if self.padding == 0 {
            return self.decoder.finish_frame().map_err(classify);
        }
        let mut block = [0; BLOCK];
        let padding = std::mem::take(&mut self.padding);
        self.decode_exact(&mut block[..padding])?;
        self.decoder.finish_frame().map_err(classify)
    }

    fn decode(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.decoder.read(buffer).map_err(classify)
    }

    fn decode_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.decoder.read_exact(buffer).map_err(classify)
    }
}

impl<R: Read> Read for Entries<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.remaining == 0 {
            return self.close_entry().map(|()| 0);
        }
        let wanted = buffer.len().min(usize::try_from(self.remaining).unwrap_or(usize::MAX));
        let count = self.decode(&mut buffer[..wanted])?;
        if count == 0 && wanted > 0 {
            return Err(ArchiveError::corrupt("it ends too early").into());
        }
        self.remaining -= count as u64;
        Ok(count)
    }
}

/// Marks the errors of the source below zstd, so that a lost connection is never taken for a damaged archive.
struct Source<R>(R);

#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct SourceError(io::Error);

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| io::Error::new(error.kind(), SourceError(error)))
    }
}

/// Gives the source's errors back as they were, and makes the decoder's own ones [`ArchiveError::Corrupt`].
fn classify(error: io::Error) -> io::Error {
    match error.downcast::<SourceError>() {
        Ok(SourceError(original)) => original,
        Err(own) if own.kind() == io::ErrorKind::UnexpectedEof => {
            ArchiveError::corrupt("it ends too early").into()
        }
        Err(own) => ArchiveError::corrupt(own.to_string()).into(),
    }
}
