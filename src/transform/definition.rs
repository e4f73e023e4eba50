//! How the documents of a job read: compiled from the job file, where everything in here has been checked.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::BufRead;

use regex::{Regex, RegexSet};

use super::checks::Check;
use super::dates::DatePattern;
use super::outcome::{Collected, Reject, Stopped, Summary};
use super::rows::{RecordView, Records, Rows};
use super::{delimited, input, labelled};
use crate::schema::{ColumnType, Schema};

/// How documents read and what tables they fill.
#[derive(Debug, Clone)]
pub struct Definition {
    pub(crate) schema: Schema,
    /// The most bytes that a packed document may unpack to.
    pub(crate) max_unpacked: u64,
    pub(crate) format: Format,
}

/// The formats that a job can choose from.
#[derive(Debug, Clone)]
pub(crate) enum Format {
    /// `Label: value` lines with sections of repeated lines.
    Labelled(Box<Labelled>),
    /// One record a line, its values between delimiters.
    Delimited(Box<Delimited>),
}

/// What every record of a job becomes, in whatever format it is written.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// What the format calls the place of a value: `label` or `column`.
    pub(crate) place_word: &'static str,
    /// The parent's columns; their source is a label, or a column of the document.
    pub(crate) fields: Vec<Field>,
    /// Indexes into `fields` of the parent's key.
    pub(crate) key: Vec<usize>,
    pub(crate) sections: Vec<Section>,
    pub(crate) checks: Vec<Check>,
}

/// A document of values between delimiters, such as CSV.
#[derive(Debug, Clone)]
pub(crate) struct Delimited {
    pub(crate) delimiter: u8,
    pub(crate) quote: Option<u8>,
    /// Whether the first line names the columns.
    pub(crate) header: bool,
    /// Whether a document may have columns that the job does not name.
    pub(crate) unknown: Unknown,
    /// Where each field of the shape comes from.
    pub(crate) places: Vec<Place>,
    pub(crate) shape: Shape,
}

/// Where in a line a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Under this name in the header.
    Header(String),
    /// The column with this number, from 0.
    Position(usize),
}

/// A document of `Label: value` lines.
#[derive(Debug, Clone)]
pub(crate) struct Labelled {
    /// The line that begins a record; without it a document is one record.
    pub(crate) begin: Option<Regex>,
    /// Begin, section headers and banners (lines without meaning) at once: most lines are none of them, and one search
    /// tells so.
    pub(crate) special: RegexSet,
    pub(crate) unknown: Unknown,
    /// Index of the parent column by label.
    pub(crate) labels: HashMap<String, usize>,
    pub(crate) shape: Shape,
}

/// What to do with a label, or a column, that the job does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unknown {
    Reject,
    Ignore,
}

/// A section of repeated lines: the rows of a child table.
#[derive(Debug, Clone)]
pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) header: Regex,
    pub(crate) row: Regex,
    /// The capture group of each field.
    pub(crate) groups: Vec<usize>,
    /// The table's columns after the parent's key; their source is a named group.
    pub(crate) fields: Vec<Field>,
    /// Indexes into `fields` of the key, which the parent's key precedes.
    pub(crate) key: Vec<usize>,
}

/// One column and where its value comes from.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) name: String,
    /// A label, a column of the document, or `section.column`: what a reject calls the place.
    pub(crate) place: String,
    pub(crate) kind: Kind,
    pub(crate) required: bool,
    /// Canonical text for an absent or empty value.
    pub(crate) default: Option<String>,
}

/// A column's type with what is needed to read a value.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Text { max_length: Option<usize> },
    Integer,
    Decimal { precision: u8, scale: u8 },
    Date { patterns: Vec<DatePattern> },
    Boolean { true_words: Vec<String>, false_words: Vec<String> },
}

impl Kind {
    /// The type as the target table has it.
    pub(crate) fn column_type(&self) -> ColumnType {
        match *self {
            Self::Text { .. } => ColumnType::Text,
            Self::Integer => ColumnType::Integer,
            Self::Decimal { precision, scale } => ColumnType::Decimal { precision, scale },
            Self::Date { .. } => ColumnType::Date,
            Self::Boolean { .. } => ColumnType::Boolean,
        }
    }
}

impl Definition {
    /// The target tables, the parent first.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Reads a document as a stream and hands each record to `sink`, in document order. Memory is bounded by one record.
    ///
    /// A document is rejected whole: when this ends with [`Stopped::Rejected`], the records handed out before are void.
    ///
    /// # Errors
    /// The document is rejected, reading it failed, or the sink did.
    pub fn transform<E>(
        &self,
        input: &mut dyn BufRead,
        sink: &mut dyn FnMut(RecordView<'_>) -> Result<(), E>,
    ) -> Result<Summary, Stopped<E>> {
        input::with_text(input, self.max_unpacked, &mut |lines| match &self.format {
            Format::Labelled(labelled) => labelled::read(labelled, &self.schema, lines, sink),
            Format::Delimited(delimited) => delimited::read(delimited, &self.schema, lines, sink),
        })
    }

    /// Reads a document that is in memory; the records may take about `max_text` bytes.
    pub fn collect(&self, bytes: &[u8], max_text: usize) -> Collected {
        // Row buffers count in 32 bits; half of that leaves room for the record that goes over the edge.
        let max_text = max_text.min(u32::MAX as usize / 2);
        let mut records = Records::new(self.schema.tables.iter().map(|table| table.columns.len()));
        let bookkeeping = size_of::<u64>() * (1 + self.schema.tables.len());
        let mut held = 0_usize;
        let mut input = bytes;
        let result = self.transform(&mut input, &mut |record| {
            held += bookkeeping + record.tables.iter().map(Rows::text_bytes).sum::<usize>();
            if held > max_text {
                return Err(());
            }
            records.push(&record);
            Ok(())
        });
        match result {
            Ok(summary) => Collected::Records(records, summary),
            Err(Stopped::Rejected(reject)) => Collected::Rejected(reject),
            Err(Stopped::Sink(())) => Collected::TooLarge,
            Err(Stopped::Read(error)) => {
                Collected::Rejected(Reject::new(format!("the document cannot be read: {error}")))
            }
        }
    }

    /// Whether the document can be read as the job says, and what it holds; keeps nothing.
    ///
    /// # Errors
    /// The document is rejected, or reading it failed.
    pub fn examine(&self, input: &mut dyn BufRead) -> Result<Summary, Stopped<Infallible>> {
        self.transform(input, &mut |_| Ok(()))
    }
}
