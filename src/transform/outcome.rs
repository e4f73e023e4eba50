//! What the transformation of one document ends with.

use super::MAX_EXCERPT_CHARS;
use super::rows::Records;

/// A document that was read to its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Records: rows of the parent table.
    pub records: u64,
    /// Rows over all tables.
    pub rows: u64,
    /// The first failed checks that only warn, at most [`MAX_WARNINGS`](super::MAX_WARNINGS).
    pub warnings: Vec<Warning>,
    /// How many warnings there were beyond those.
    pub more_warnings: u64,
}

/// A check that failed and only warns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The line where the record begins.
    pub line: u64,
    /// The record's key, for people.
    pub key: Option<String>,
    /// What is wrong, for people.
    pub reason: String,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

/// Why a document cannot be read as the job says. No text in it holds a control character, so any store takes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reject {
    /// The line, from 1, where the trouble is tied to one.
    pub line: Option<u64>,
    /// The label, or `section.column`.
    pub place: Option<String>,
    /// What is wrong, for a person who does not program.
    pub reason: String,
    /// The offending text, cut to [`MAX_EXCERPT_CHARS`] characters.
    pub text: String,
    /// What is known of the record's key so far, for people.
    pub key: Option<String>,
}

impl Reject {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), ..Self::default() }
    }

    pub(super) fn at(mut self, line: u64) -> Self {
        self.line = Some(line);
        self
    }

    pub(super) fn place(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    pub(super) fn text(mut self, text: &str) -> Self {
        self.text = excerpt(text);
        self
    }
}

/// The beginning of a text, fit to be shown and stored anywhere.
pub(super) fn excerpt(text: &str) -> String {
    let visible = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().take(MAX_EXCERPT_CHARS).map(visible).collect()
}

/// Why a stream ended before the document did.
#[derive(Debug)]
pub enum Stopped<E> {
    /// The document is not what the job says.
    Rejected(Reject),
    /// The document could not be read; nothing is known about it.
    Read(std::io::Error),
    /// The receiver of the records failed.
    Sink(E),
}

/// A document's records, in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Collected {
    /// All of them.
    Records(Records, Summary),
    /// None, because the document is rejected whole.
    Rejected(Reject),
    /// They are more than was asked for; the document has to be streamed.
    TooLarge,
}
