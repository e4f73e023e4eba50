//! COPY in its text form. Every COPY is cut into pieces, each a statement of its own (see [`super::session`]).

use super::client::Transaction;
use super::error::Error;

/// Bytes of one COPY statement.
pub(super) const PIECE: usize = 4 << 20;
/// Bytes that are handed to the connection at a time.
const SLICE: usize = 128 << 10;

/// What stands for NULL.
const NULL: &[u8] = b"\\N";

/// Appends one value, escaped.
fn push_text(line: &mut Vec<u8>, value: &str) {
    let special = |byte: &u8| matches!(byte, b'\\' | b'\t' | b'\n' | b'\r');
    if !value.as_bytes().iter().any(special) {
        line.extend_from_slice(value.as_bytes());
        return;
    }
    for &byte in value.as_bytes() {
        match byte {
            b'\\' => line.extend_from_slice(b"\\\\"),
            b'\t' => line.extend_from_slice(b"\\t"),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            other => line.push(other),
        }
    }
}

/// Lines on their way into one table.
pub(super) struct Piece {
    statement: String,
    lines: Vec<u8>,
}

impl Piece {
    pub(super) fn new(statement: String) -> Self {
        Self { statement, lines: Vec::new() }
    }

    /// Appends a line of canonical text, where empty is NULL.
    pub(super) fn line<'v>(&mut self, values: impl IntoIterator<Item = &'v str>) {
        self.fields(values.into_iter().map(|value| Some(value).filter(|value| !value.is_empty())));
    }

    /// Appends a line of values that may be empty and not NULL.
    pub(super) fn fields<'v>(&mut self, values: impl IntoIterator<Item = Option<&'v str>>) {
        for (index, value) in values.into_iter().enumerate() {
            if index > 0 {
                self.lines.push(b'\t');
            }
            match value {
                Some(value) => push_text(&mut self.lines, value),
                None => self.lines.extend_from_slice(NULL),
            }
        }
        self.lines.push(b'\n');
    }

    /// Sends what there is, once it is a whole piece.
    pub(super) fn send_if_whole(&mut self, transaction: &mut Transaction<'_>) -> Result<(), Error> {
        if self.lines.len() < PIECE { Ok(()) } else { self.send(transaction) }
    }

    /// Sends what there is.
    pub(super) fn send(&mut self, transaction: &mut Transaction<'_>) -> Result<(), Error> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let mut writer = transaction.copy_in(&self.statement)?;
        for slice in self.lines.chunks(SLICE) {
            // Why the server takes no more is what `finish` answers.
            if writer.send(slice).is_err() {
                break;
            }
        }
        writer.finish()?;
        self.lines.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped_and_empty_is_null() {
        let mut piece = Piece::new(String::new());
        piece.line(["a\\N", "", "x\ty", "é"]);
        assert_eq!(String::from_utf8(piece.lines).unwrap(), "a\\\\N\t\\N\tx\\ty\té\n");
    }

    #[test]
    fn fields_tell_empty_from_null() {
        let mut piece = Piece::new(String::new());
        piece.fields([Some(""), None, Some("\\N")]);
        assert_eq!(String::from_utf8(piece.lines).unwrap(), "\t\\N\t\\\\N\n");
    }
}
