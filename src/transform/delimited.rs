//! The `delimited` format: one record a line, its values between delimiters, in quotes where they hold one (RFC 4180).

use csv_core::{ReadRecordResult, Terminator};

use super::definition::{Delimited, Place, Unknown};
use super::input::Lines;
use super::outcome::{Reject, Stopped, Summary, excerpt};
use super::output::Output;
use super::record::Draft;
use super::rows::RecordView;
use crate::schema::Schema;

/// Reads all lines and hands each record to `sink`.
pub(super) fn read<E>(
    delimited: &Delimited,
    schema: &Schema,
    lines: &mut Lines<'_>,
    sink: &mut dyn FnMut(RecordView<'_>) -> Result<(), E>,
) -> Result<Summary, Stopped<E>> {
    let mut reader = Reader::new(delimited, schema);
    while let Some((number, line)) = lines.next_whole()? {
        if reader.line(number, line).map_err(Stopped::Rejected)? == Progress::Record {
            reader.output.hand_over(sink)?;
        }
    }
    reader.end().map_err(Stopped::Rejected)?;
    Ok(reader.output.summary)
}

/// What a line did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// It is blank, the header, or a quoted value goes on in the next line.
    Nothing,
    /// It ended a record.
    Record,
}

/// Where a byte of a line lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scan {
    ValueBegins,
    Plain,
    Quoted,
    /// Behind a quote in a quoted value: its end, or the first of two that mean one.
    QuoteInQuoted,
}

struct Reader<'d> {
    delimited: &'d Delimited,
    draft: Draft<'d>,
    output: Output,
    /// The lines of the present record; more than one where a quoted value holds a line break.
    text: String,
    scan: Scan,
    splitter: Splitter,
    /// The column of the document for each field, once its width is known.
    layout: Option<Layout>,
    /// The header's line, if there is to be one and it was seen.
    header_line: Option<u64>,
}

/// How the lines of one document are laid out.
struct Layout {
    width: usize,
    columns: Vec<usize>,
}

impl<'d> Reader<'d> {
    fn new(delimited: &'d Delimited, schema: &Schema) -> Self {
        Self {
            delimited,
            draft: Draft::new(&delimited.shape),
            output: Output::new(schema),
            text: String::new(),
            scan: Scan::ValueBegins,
            splitter: Splitter::new(delimited),
            layout: None,
            header_line: None,
        }
    }

    fn line(&mut self, number: u64, line: &str) -> Result<Progress, Reject> {
        if self.scan != Scan::Quoted {
            if line.trim().is_empty() {
                return Ok(Progress::Nothing);
            }
            self.draft.begin(number);
            self.text.clear();
            self.scan = Scan::ValueBegins;
        }
        self.draft.count(line.len())?;
        self.text.push_str(line);
        self.scan(line).map_err(|reject| reject.at(number).text(line))?;
        if self.scan == Scan::Quoted {
            // A line break inside a value is one space, whatever it was written as.
            self.text.push(' ');
            return Ok(Progress::Nothing);
        }
        self.text.push('\n');
        self.splitter.split(&self.text);
        if self.delimited.header && self.header_line.is_none() {
            self.header_line = Some(self.draft.line);
            self.layout = Some(self.header()?);
            return Ok(Progress::Nothing);
        }
        self.record()?;
        Ok(Progress::Record)
    }

    /// Follows the quotes of a line. The splitter forgives what is refused here; forgiving would drop a quote in silence.
    fn scan(&mut self, line: &str) -> Result<(), Reject> {
        let Delimited { delimiter, quote, .. } = *self.delimited;
        for byte in line.bytes() {
            let is_quote = Some(byte) == quote;
            self.scan = match self.scan {
                Scan::ValueBegins if is_quote => Scan::Quoted,
                Scan::ValueBegins | Scan::Plain if byte == delimiter => Scan::ValueBegins,
                Scan::ValueBegins | Scan::Plain => Scan::Plain,
                Scan::Quoted if is_quote => Scan::QuoteInQuoted,
                Scan::QuoteInQuoted if is_quote => Scan::Quoted,
                Scan::Quoted => Scan::Quoted,
                Scan::QuoteInQuoted if byte == delimiter => Scan::ValueBegins,
                Scan::QuoteInQuoted => {
                    return Err(Reject::new(
                        "something follows the closing quote of a value; a quote inside a quoted value is written twice",
                    ));
                }
            };
        }
        Ok(())
    }

    /// Finds the columns by the names in the first line.
    fn header(&self) -> Result<Layout, Reject> {
        let line = self.draft.line;
        let reject = |reason: String| Reject::new(reason).at(line).text(self.text.trim_end());
        let names: Vec<&str> = self.splitter.values().map(str::trim).collect();
        let layout = self.layout(names.len(), &names)?;
        for name in self.delimited.places.iter().filter_map(Place::header) {
            if names.iter().filter(|known| **known == name).count() > 1 {
                return Err(reject(format!("the header has the column `{name}` twice")).place(name));
            }
        }
        let unknown = (0..names.len()).find(|index| !layout.columns.contains(index));
        match unknown {
            Some(index) if self.delimited.unknown == Unknown::Reject => {
                let name = excerpt(names[index]);
                let reason = if name.is_empty() {
                    format!("column {} of the header has no name", index + 1)
                } else {
                    format!("column `{name}` of the header is not known to the job")
                };
                Err(reject(reason))
            }
            _ => Ok(layout),
        }
    }

    /// The layout of a document that is `width` values wide.
    fn layout(&self, width: usize, names: &[&str]) -> Result<Layout, Reject> {
        let reject = |reason: String| Reject::new(reason).at(self.draft.line).text(self.text.trim_end());
        let column = |place: &Place| match place {
            Place::Header(name) => names
                .iter()
                .position(|known| known == name)
                .ok_or_else(|| reject(format!("the header has no column `{name}`")).place(name.as_str())),
            Place::Position(position) if *position < width => Ok(*position),
            Place::Position(position) => Err(reject(format!(
                "the line has {}, and the job reads value {}",
                values(width),
                position + 1
            ))),
        };
        let columns = self.delimited.places.iter().map(column).collect::<Result<Vec<_>, _>>()?;
        let unread = (0..width).filter(|index| !columns.contains(index)).count();
        if !self.delimited.header && unread > 0 && self.delimited.unknown == Unknown::Reject {
            let reason =
                format!("the line has {}, and the job names {} of them", values(width), columns.len());
            return Err(reject(reason));
        }
        Ok(Layout { width, columns })
    }

    fn record(&mut self) -> Result<(), Reject> {
        let width = self.splitter.width();
        if self.layout.is_none() {
            self.layout = Some(self.layout(width, &[])?);
        }
        let Self { draft, layout, splitter, output, delimited, .. } = self;
        let layout = layout.as_ref().expect("it was made above");
        let line = draft.line;
        if width != layout.width {
            let other = if delimited.header { "the header" } else { "the first line" };
            let reason = format!("the line has {}, and {other} has {}", values(width), layout.width);
            return Err(Reject::new(reason).at(line).text(self.text.trim_end()));
        }
        let mut read = || {
            for (field, &column) in layout.columns.iter().enumerate() {
                draft.label(field, splitter.value(column).trim(), line)?;
            }
            output.finish(draft)
        };
        read().map_err(|mut reject| {
            reject.key = draft.key();
            reject
        })
    }

    fn end(&self) -> Result<(), Reject> {
        if self.scan == Scan::Quoted {
            let line = self.draft.line;
            let reason = format!("a quoted value in the record that begins on line {line} does not end");
            return Err(Reject::new(reason).at(line).text(&self.text));
        }
        match (self.output.summary.records, self.header_line) {
            (0, None) => Err(Reject::new("the document is empty")),
            (0, Some(line)) => Err(Reject::new("the document holds no record, only the header").at(line)),
            _ => Ok(()),
        }
    }
}

fn values(count: usize) -> String {
    if count == 1 { "1 value".to_owned() } else { format!("{count} values") }
}

impl Place {
    fn header(&self) -> Option<&str> {
        match self {
            Self::Header(name) => Some(name),
            Self::Position(_) => None,
        }
    }
}

/// Cuts the text of one record into its values.
struct Splitter {
    reader: csv_core::Reader,
    text: Vec<u8>,
    ends: Vec<usize>,
    width: usize,
}

impl Splitter {
    fn new(delimited: &Delimited) -> Self {
        let mut builder = csv_core::ReaderBuilder::new();
        builder.delimiter(delimited.delimiter).terminator(Terminator::Any(b'\n'));
        match delimited.quote {
            Some(quote) => builder.quote(quote),
            None => builder.quoting(false),
        };
        Self { reader: builder.build(), text: Vec::new(), ends: vec![0; 32], width: 0 }
    }

    /// Cuts `record`, which is whole and ends with a line feed.
    fn split(&mut self, record: &str) {
        // Values are never longer than what they are written as.
        self.text.resize(record.len(), 0);
        self.width = 0;
        let (mut read, mut written) = (0, 0);
        loop {
            let (result, more_read, more_written, more_ends) = self.reader.read_record(
                &record.as_bytes()[read..],
                &mut self.text[written..],
                &mut self.ends[self.width..],
            );
            read += more_read;
            written += more_written;
            self.width += more_ends;
            match result {
                ReadRecordResult::Record => break,
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                other => unreachable!("the scan found a whole record, and the splitter {other:?}"),
            }
        }
        assert_eq!(read, record.len(), "a record ends with its last line");
        self.text.truncate(written);
    }

    fn width(&self) -> usize {
        self.width
    }

    fn value(&self, column: usize) -> &str {
        let ends = &self.ends[..self.width];
        let start = if column == 0 { 0 } else { ends[column - 1] };
        // Text was cut at ASCII characters alone, so every piece of it is text.
        std::str::from_utf8(&self.text[start..ends[column]]).expect("a piece of a text is a text")
    }

    fn values(&self) -> impl Iterator<Item = &str> {
        (0..self.width).map(|column| self.value(column))
    }
}
