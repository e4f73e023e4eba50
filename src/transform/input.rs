//! From bytes to lines: unpacks gzip, checks the encoding, and bounds everything.

use std::cell::RefCell;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};

use flate2::bufread::MultiGzDecoder;

use super::MAX_LINE_BYTES;
use super::outcome::{Reject, Stopped, excerpt};

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const UTF8_BOM: &[u8] = b"\xef\xbb\xbf";
const UNPACK_BUFFER_BYTES: usize = 64 << 10;

/// Why there is no next line.
pub(super) enum Trouble {
    Reject(Reject),
    Read(io::Error),
}

impl<E> From<Trouble> for Stopped<E> {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Reject(reject) => Self::Rejected(reject),
            Trouble::Read(error) => Self::Read(error),
        }
    }
}

/// Runs `read` over the lines of a document, which may be packed.
pub(super) fn with_text<T, E>(
    input: &mut dyn BufRead,
    max_unpacked: u64,
    read: &mut dyn FnMut(&mut Lines<'_>) -> Result<T, Stopped<E>>,
) -> Result<T, Stopped<E>> {
    let mut head = [0; 2];
    let length = read_head(input, &mut head).map_err(Stopped::Read)?;
    let whole = head[..length].chain(input);
    if head[..length] != GZIP_MAGIC {
        let mut whole = whole;
        return read(&mut Lines::new(&mut whole, None));
    }
    let failure = RefCell::new(None);
    let packed = Watched { inner: whole, failure: &failure };
    let mut unpacked = BufReader::with_capacity(UNPACK_BUFFER_BYTES, MultiGzDecoder::new(packed));
    read(&mut Lines::new(&mut unpacked, Some(Unpacking { limit: max_unpacked, failure: &failure })))
}

fn read_head(input: &mut dyn BufRead, head: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < head.len() {
        match input.read(&mut head[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// Keeps an error of the packed input apart from the unpacker's own: the first means that nothing is known about the
/// document, the second that it is damaged.
struct Watched<'a, R> {
    inner: R,
    failure: &'a RefCell<Option<io::Error>>,
}

impl<R> Watched<'_, R> {
    fn note(failure: &RefCell<Option<io::Error>>, error: io::Error) -> io::Error {
        let kind = error.kind();
        if kind != ErrorKind::Interrupted {
            failure.replace(Some(error));
        }
        io::Error::from(kind)
    }
}

impl<R: BufRead> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).map_err(|error| Self::note(self.failure, error))
    }
}

impl<R: BufRead> BufRead for Watched<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let failure = self.failure;
        self.inner.fill_buf().map_err(|error| Self::note(failure, error))
    }

    fn consume(&mut self, amount: usize) {
        self.inner.consume(amount);
    }
}

struct Unpacking<'a> {
    limit: u64,
    failure: &'a RefCell<Option<io::Error>>,
}

/// The lines of a document: without their ends, checked to be clean text.
pub(super) struct Lines<'a> {
    input: &'a mut dyn BufRead,
    unpacking: Option<Unpacking<'a>>,
    buffer: Vec<u8>,
    /// The number of the present line, from 1.
    number: u64,
    /// Bytes of (unpacked) text before the present line.
    offset: u64,
}

impl<'a> Lines<'a> {
    fn new(input: &'a mut dyn BufRead, unpacking: Option<Unpacking<'a>>) -> Self {
        Self { input, unpacking, buffer: Vec::new(), number: 0, offset: 0 }
    }

    /// The next line with its number and without trailing blanks, or none at the end of the document.
    pub(super) fn next(&mut self) -> Result<Option<(u64, &str)>, Trouble> {
        Ok(self.next_whole()?.map(|(number, line)| (number, line.trim_end())))
    }

    /// The next line with its number, with the blanks at its end: where tabs part values, they are values.
    pub(super) fn next_whole(&mut self) -> Result<Option<(u64, &str)>, Trouble> {
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        // Two more bytes for the line's end, so that the longest line allowed still comes whole.
        let limit = MAX_LINE_BYTES as u64 + 2;
        if let Err(error) = (&mut *self.input).take(limit).read_until(b'\n', &mut self.buffer) {
            return Err(self.trouble(error));
        }
        if self.buffer.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        let (number, offset) = (self.number, self.offset);
        self.check_unpacked()?;
        let (content, skipped) =
            content(&self.buffer, number).map_err(|reject| Trouble::Reject(reject.at(number)))?;
        text(content, number, offset + skipped).map(|line| Some((number, line))).map_err(Trouble::Reject)
    }

    fn check_unpacked(&self) -> Result<(), Trouble> {
        match &self.unpacking {
            Some(unpacking) if self.offset + self.buffer.len() as u64 > unpacking.limit => {
                let reason =
                    format!("the packed document is larger than {} bytes when unpacked", unpacking.limit);
                Err(Trouble::Reject(Reject::new(reason).at(self.number)))
            }
            _ => Ok(()),
        }
    }

    fn trouble(&self, error: io::Error) -> Trouble {
        let Some(unpacking) = &self.unpacking else { return Trouble::Read(error) };
        if let Some(cause) = unpacking.failure.take() {
            return Trouble::Read(cause);
        }
        let reason = if error.kind() == ErrorKind::UnexpectedEof {
            "the packed document (gzip) does not end as it should: it is cut off, or something follows it"
        } else {
            "the packed document (gzip) is damaged"
        };
        Trouble::Reject(Reject::new(reason).at(self.number + 1))
    }
}

/// The line without its end and without the document's byte order mark, and how long that mark was.
fn content(buffer: &[u8], number: u64) -> Result<(&[u8], u64), Reject> {
    let line = buffer.strip_suffix(b"\n").unwrap_or(buffer);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() > MAX_LINE_BYTES {
        let reason = format!("the line is longer than {MAX_LINE_BYTES} bytes");
        return Err(Reject::new(reason).text(&String::from_utf8_lossy(&line[..1024])));
    }
    if number > 1 {
        return Ok((line, 0));
    }
    if line.starts_with(b"\xff\xfe") || line.starts_with(b"\xfe\xff") {
        return Err(Reject::new("the document is UTF-16 text; it has to be saved as UTF-8"));
    }
    Ok(line.strip_prefix(UTF8_BOM).map_or((line, 0), |rest| (rest, UTF8_BOM.len() as u64)))
}

fn text(line: &[u8], number: u64, offset: u64) -> Result<&str, Reject> {
    let text = std::str::from_utf8(line).map_err(|error| {
        let at = offset + error.valid_up_to() as u64;
        let reason = format!("the document is not UTF-8 text: the byte at position {at} (counted from 0) is not part of any character");
        Reject::new(reason).at(number).text(&String::from_utf8_lossy(line))
    })?;
    if line.contains(&0) || line.contains(&1) {
        return Err(forbidden_character(text, number));
    }
    Ok(text)
}

fn forbidden_character(text: &str, number: u64) -> Reject {
    let column = text.chars().take_while(|&c| c > '\u{1}').count();
    let name = if text.chars().nth(column) == Some('\0') { "NUL" } else { "U+0001" };
    let reason = format!(
        "the line holds the control character {name} at column {}, which no table can hold",
        column + 1
    );
    Reject::new(reason).at(number).text(&excerpt(text))
}
