//! A job file as it is written, and the job that it becomes.

use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use super::definition::{self, CheckTable, LabelledTable, RecordTable, SectionTable};
use super::delimited::{self, DelimitedTable};
use super::queries::{QueryTable, queries};
use super::{BatchLimits, Job, KeyPattern, OnConflict, Window, hash};
use crate::config::source::Source;
use crate::config::{ConfigError, Location, Size};
use crate::transform::Definition;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JobFile {
    name: Spanned<String>,
    landing: Spanned<String>,
    keys: Spanned<String>,
    #[serde(default = "reject")]
    on_conflict: OnConflict,
    report_timezone: Option<Spanned<String>>,
    expires_after_hours: Option<u32>,
    window: WindowTable,
    #[serde(default)]
    batch: BatchTable,
    format: FormatName,
    labelled: Option<Spanned<LabelledTable>>,
    delimited: Option<Spanned<DelimitedTable>>,
    record: RecordTable,
    #[serde(default)]
    section: Vec<Spanned<SectionTable>>,
    #[serde(default)]
    check: Vec<CheckTable>,
    #[serde(default)]
    query: Vec<QueryTable>,
}

fn reject() -> OnConflict {
    OnConflict::Reject
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum FormatName {
    Labelled,
    Delimited,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WindowTable {
    cron: Spanned<String>,
    #[serde(default)]
    crawler: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct BatchTable {
    documents: Spanned<u64>,
    bytes: Size,
    rows: Spanned<u64>,
    bytes_per_row: Size,
    seconds: Spanned<u64>,
}

impl Default for BatchTable {
    fn default() -> Self {
        let count = |count| Spanned::new(0..0, count);
        Self {
            documents: count(1000),
            bytes: Size(64 << 20),
            rows: count(200_000),
            bytes_per_row: Size(64),
            seconds: count(5),
        }
    }
}

/// The job of a file whose variables are resolved.
pub(super) fn job(file: &Path, text: String) -> Result<Job, ConfigError> {
    let source = Source::new(file, &text);
    let read: JobFile = source.parse()?;
    let definition = definition(&source, &read)?;
    Ok(Job {
        file: file.to_owned(),
        name: source.read(&read.name, plain_name)?,
        hash: hash(&text),
        landing: source.read(&read.landing, Location::parse)?,
        keys: source.read(&read.keys, KeyPattern::new)?,
        window: source.read(&read.window.cron, Window::new)?,
        crawler: Some(read.window.crawler).filter(|crawler| !crawler.is_empty()),
        limits: limits(&source, &read.batch)?,
        expires_after_hours: read.expires_after_hours,
        report_timezone: match &read.report_timezone {
            None => chrono_tz::UTC,
            Some(zone) => source.read(zone, timezone)?,
        },
        on_conflict: read.on_conflict,
        queries: queries(&source, &read.query)?,
        definition,
        text,
    })
}

fn definition(source: &Source<'_>, read: &JobFile) -> Result<Definition, ConfigError> {
    match read.format {
        FormatName::Labelled => {
            refuse(source, read.delimited.as_ref(), "[delimited] is for `format = \"delimited\"`")?;
            let usual = LabelledTable::default();
            let format = read.labelled.as_ref().map_or(&usual, Spanned::get_ref);
            definition::labelled(source, format, &read.record, &read.section, &read.check)
        }
        FormatName::Delimited => {
            refuse(source, read.labelled.as_ref(), "[labelled] is for `format = \"labelled\"`")?;
            refuse(
                source,
                read.section.first(),
                "a section is for `format = \"labelled\"`; a line is a record here",
            )?;
            let usual = DelimitedTable::default();
            let format = read.delimited.as_ref().map_or(&usual, Spanned::get_ref);
            delimited::delimited(source, format, &read.record, &read.check)
        }
    }
}

/// Refuses a part of the file that belongs to another format.
fn refuse<T>(source: &Source<'_>, part: Option<&Spanned<T>>, problem: &str) -> Result<(), ConfigError> {
    part.map_or(Ok(()), |part| Err(source.key_error(part.span().start, problem)))
}

/// A name of a job or of one of its queries. The error comes after the key's name.
pub(super) fn plain_name(name: &str) -> Result<String, String> {
    let rest = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    let well_formed =
        name.len() <= 63 && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.bytes().all(rest);
    if well_formed {
        return Ok(name.to_owned());
    }
    Err(format!(
        "`{name}` cannot be a name here; allowed: a-z, then a-z, 0-9, _ and -, at most 63 characters"
    ))
}

fn timezone(name: &str) -> Result<chrono_tz::Tz, String> {
    name.parse()
        .map_err(|_| format!("`{name}` is no time zone; allowed: UTC or a name such as Europe/Berlin"))
}

fn limits(source: &Source<'_>, batch: &BatchTable) -> Result<BatchLimits, ConfigError> {
    let count = |count: &Spanned<u64>| match *count.get_ref() {
        0 => Err(source.key_error(count.span().start, "0 is no limit; allowed: a number above zero")),
        count => Ok(count),
    };
    Ok(BatchLimits {
        documents: count(&batch.documents)?,
        bytes: batch.bytes.0,
        rows: count(&batch.rows)?,
        bytes_per_row: batch.bytes_per_row.0,
        seconds: count(&batch.seconds)?,
    })
}
