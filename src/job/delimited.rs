//! `[delimited]` of a job file, compiled.

use serde::Deserialize;
use toml::Spanned;

use super::check;
use super::column::ColumnTable;
use super::definition::{CheckTable, RecordTable, UnknownName, record_table};
use crate::config::source::Source;
use crate::config::{ConfigError, Size};
use crate::schema::Schema;
use crate::transform::{Definition, Delimited, Format, Place, Shape};

/// No document is this wide.
const MOST_COLUMNS: u32 = 100_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DelimitedTable {
    delimiter: Spanned<String>,
    quote: Spanned<String>,
    header: bool,
    unknown: UnknownName,
    max_unpacked: Size,
}

impl Default for DelimitedTable {
    fn default() -> Self {
        let text = |text: &str| Spanned::new(0..0, text.to_owned());
        Self {
            delimiter: text(","),
            quote: text("\""),
            header: true,
            unknown: UnknownName::Reject,
            max_unpacked: Size(1 << 30),
        }
    }
}

/// The definition of a job with `format = "delimited"`.
pub(super) fn delimited(
    source: &Source<'_>,
    format: &DelimitedTable,
    record: &RecordTable,
    checks: &[CheckTable],
) -> Result<Definition, ConfigError> {
    let delimiter = source.read(&format.delimiter, |text| character(text).ok_or_else(|| not_one(text)))?;
    let quote = source.read(&format.quote, |text| match text {
        "" => Ok(None),
        text => character(text).map(Some).ok_or_else(|| not_one(text)),
    })?;
    if quote == Some(delimiter) {
        return Err(
            source.key_error(format.quote.span().start, "is the delimiter too; choose two characters")
        );
    }
    let places = places(source, format, record)?;
    let mut names = places.iter().map(name);
    let (fields, table) =
        record_table(source, record, &mut |_| Ok(names.next().expect("there is a place for each column")))?;
    let checks = checks.iter().map(|check| check::compile(source, check, &fields, &[]));
    let checks = checks.collect::<Result<_, _>>()?;
    let key = table.key.clone();
    let shape = Shape { place_word: "column", fields, key, sections: Vec::new(), checks };
    let unknown = format.unknown.compiled();
    let delimited = Delimited { delimiter, quote, header: format.header, unknown, places, shape };
    Ok(Definition {
        schema: Schema { tables: vec![table] },
        max_unpacked: format.max_unpacked.0,
        format: Format::Delimited(Box::new(delimited)),
    })
}

/// One ASCII character that can stand between values.
fn character(text: &str) -> Option<u8> {
    match text.as_bytes() {
        [byte] if *byte == b'\t' || (byte.is_ascii_graphic() && !byte.is_ascii_alphanumeric()) => Some(*byte),
        _ => None,
    }
}

fn not_one(text: &str) -> String {
    format!("`{}` is no single character; allowed: a tab or a sign such as , ; | \"", text.escape_default())
}

/// What a reject calls the place.
fn name(place: &Place) -> String {
    match place {
        Place::Header(name) => name.clone(),
        Place::Position(position) => (position + 1).to_string(),
    }
}

/// Where each column's value is; no two columns share one.
fn places(
    source: &Source<'_>,
    format: &DelimitedTable,
    record: &RecordTable,
) -> Result<Vec<Place>, ConfigError> {
    let mut places = Vec::new();
    for column in &record.columns {
        let place = place(source, format.header, column)?;
        if places.contains(&place) {
            let problem = format!("`{}` of the document fills two columns", name(&place));
            return Err(source.key_error(column.name.span().start, &problem));
        }
        places.push(place);
    }
    Ok(places)
}

fn place(source: &Source<'_>, has_header: bool, column: &ColumnTable) -> Result<Place, ConfigError> {
    let labelled = column.label.as_ref().or(column.group.as_ref());
    if let Some(stranger) = labelled {
        let problem = "is only for `format = \"labelled\"`; use `header` or `position` here";
        return Err(source.key_error(stranger.span().start, problem));
    }
    match (&column.header, &column.position) {
        (Some(_), Some(position)) => {
            Err(source.key_error(position.span().start, "and `header` say two things; leave one of them out"))
        }
        (Some(header), None) if !has_header => {
            let problem = "names a column, and `header = false` says that there are no names; use `position`";
            Err(source.key_error(header.span().start, problem))
        }
        (Some(header), None) => source.read(header, header_name),
        (None, Some(position)) => match *position.get_ref() {
            column @ 1..=MOST_COLUMNS => Ok(Place::Position(column as usize - 1)),
            other => {
                let problem = format!("{other} is no column; allowed: 1 for the first, to {MOST_COLUMNS}");
                Err(source.key_error(position.span().start, &problem))
            }
        },
        (None, None) if has_header => Ok(Place::Header(column.name.get_ref().clone())),
        (None, None) => {
            let problem =
                format!("column `{}` needs a `position`: there is no header", column.name.get_ref());
            Err(source.key_error(column.name.span().start, &problem))
        }
    }
}

fn header_name(name: &str) -> Result<Place, String> {
    if name.is_empty() || name.trim() != name || name.contains(['\n', '\r', '\0', '\u{1}']) {
        return Err(format!(
            "`{}` can be no name; allowed: one line, without blanks around it",
            name.escape_debug()
        ));
    }
    Ok(Place::Header(name.to_owned()))
}
