//! `try`: what a document would become, or why not. Loads nothing, writes nothing.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::Path;

use serde::Serialize;

use crate::config::Config;
use crate::job::Job;
use crate::schema::Table;
use crate::transform::rows::RecordView;
use crate::transform::{Reject, Stopped, Summary};

use super::args::{Flags, Format};
use super::exit::{Exit, Stop};
use super::output::{Sheet, counted, print, print_json};
use super::replay_args::TryOptions;
use super::session::load_config;

/// Rows of each table that are shown.
const SHOWN_ROWS: usize = 20;

/// The answer.
#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
enum Trial {
    Loaded {
        job: String,
        records: u64,
        rows: u64,
        warnings: Vec<String>,
        tables: BTreeMap<String, Vec<BTreeMap<String, Option<String>>>>,
    },
    Rejected {
        job: String,
        line: Option<u64>,
        place: Option<String>,
        reason: String,
        text: String,
    },
}

/// `sluicegate try`.
pub(super) fn try_command(flags: &Flags, options: &TryOptions) -> Result<Exit, Stop> {
    let config = load_config(flags)?;
    let job = choose(&config, options.job.as_deref())?;
    match &options.file {
        Some(file) => try_file(flags, file, job),
        None => super::try_archive::try_archive(flags, &config, job, options.since),
    }
}

/// `sluicegate try FILE --job J`.
fn try_file(flags: &Flags, file: &Path, job: &Job) -> Result<Exit, Stop> {
    let opened = std::fs::File::open(file)
        .map_err(|error| Stop::failed(format!("cannot open {}: {error}", file.display())))?;
    let mut first_rows: Vec<Vec<Vec<String>>> = vec![Vec::new(); job.definition.schema().tables.len()];
    let result = job.definition.transform(&mut BufReader::new(opened), &mut |record| {
        keep(&mut first_rows, record);
        Ok::<(), std::convert::Infallible>(())
    });
    let trial = match result {
        Ok(summary) => loaded(job, &summary, &first_rows),
        Err(Stopped::Rejected(reject)) => rejected(job, reject),
        Err(Stopped::Read(error)) => {
            return Err(Stop::failed(format!("cannot read {}: {error}", file.display())));
        }
        Err(Stopped::Sink(never)) => match never {},
    };
    match flags.output {
        Format::Json => print_json(&trial)?,
        Format::Table => print(&text(&trial, job, &first_rows))?,
    }
    Ok(if matches!(trial, Trial::Loaded { .. }) { Exit::Fine } else { Exit::NeedsPerson })
}

fn choose<'a>(config: &'a Config, name: Option<&str>) -> Result<&'a Job, Stop> {
    let names: Vec<&str> = config.jobs.iter().map(|job| job.name.as_str()).collect();
    match (name, config.jobs.as_slice()) {
        (None, [only]) => Ok(only),
        (None, _) => Err(Stop::usage(format!("say which job: --job {}", names.join(" or --job ")))),
        (Some(name), jobs) => jobs
            .iter()
            .find(|job| job.name == name)
            .ok_or_else(|| Stop::usage(format!("there is no job {name:?}; there is {}", names.join(", ")))),
    }
}

fn keep(first_rows: &mut [Vec<Vec<String>>], record: RecordView<'_>) {
    for (table, kept) in first_rows.iter_mut().enumerate() {
        let room = SHOWN_ROWS.saturating_sub(kept.len());
        kept.extend(
            record.rows(table).take(room).map(|row| row.values().map(str::to_owned).collect::<Vec<_>>()),
        );
    }
}

fn loaded(job: &Job, summary: &Summary, first_rows: &[Vec<Vec<String>>]) -> Trial {
    let named = |table: &Table, row: &Vec<String>| {
        let values = row.iter().map(|value| (!value.is_empty()).then(|| value.clone()));
        table.column_names().map(str::to_owned).zip(values).collect()
    };
    let tables = job.definition.schema().tables.iter().zip(first_rows);
    Trial::Loaded {
        job: job.name.clone(),
        records: summary.records,
        rows: summary.rows,
        warnings: summary.warnings.iter().map(ToString::to_string).collect(),
        tables: tables
            .map(|(t, rows)| (t.name.clone(), rows.iter().map(|row| named(t, row)).collect()))
            .collect(),
    }
}

fn rejected(job: &Job, reject: Reject) -> Trial {
    let Reject { line, place, reason, text, .. } = reject;
    Trial::Rejected { job: job.name.clone(), line, place, reason, text }
}

fn text(trial: &Trial, job: &Job, first_rows: &[Vec<Vec<String>>]) -> String {
    match trial {
        Trial::Rejected { line, place, reason, text, .. } => {
            let line = line.map_or_else(String::new, |line| format!("line {line}: "));
            let place = place.as_ref().map_or_else(String::new, |place| format!("\nat         {place}"));
            let text = if text.is_empty() { String::new() } else { format!("\ntext       {text}") };
            format!("would be rejected by job {}\nreason     {line}{reason}{place}{text}\n", job.name)
        }
        Trial::Loaded { records, rows, warnings, .. } => {
            let records = counted(*records, "record", "records");
            let mut text = format!(
                "would be loaded by job {}: {records}, {}\n",
                job.name,
                counted(*rows, "row", "rows")
            );
            for warning in warnings {
                text.push_str(&format!("warning: {warning}\n"));
            }
            for (table, rows) in job.definition.schema().tables.iter().zip(first_rows) {
                text.push_str(&format!("\n{}\n{}", table.name, sheet(table, rows)));
            }
            text
        }
    }
}

fn sheet(table: &Table, rows: &[Vec<String>]) -> String {
    use crate::schema::ColumnType::{Decimal, Integer};
    let headers: Vec<String> = table
        .columns
        .iter()
        .map(|column| match column.kind {
            Integer | Decimal { .. } => format!("#{}", column.name),
            _ => column.name.clone(),
        })
        .collect();
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let mut sheet = Sheet::new(&headers);
    for row in rows {
        sheet.row(row);
    }
    sheet.text()
}
