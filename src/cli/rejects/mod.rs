//! `jobs rejects`: what was turned away, grouped for whoever mends it, or line by line for the customer.

mod group;

use std::io;
use std::sync::Arc;

use crate::config::Config;
use crate::job::Job;
use crate::ports::clock::{Clock, SystemClock};
use crate::ports::decisions::{Decision, DecisionQuery};
use crate::ports::warehouse::{DocumentOutcome, Warehouse};

use super::args::{Flags, Format};
use super::assemble::existing_warehouse;
use super::exit::{Exit, Stop};
use super::output::{Sheet, counted, print, print_json};
use super::replay_args::RejectsOptions;

use group::{Group, Groups};

/// Decisions that are read from the ledger at a time: memory stays bounded whatever was turned away.
const PAGE: u32 = 1_000;
/// Outcomes that are the document's own fault.
const TURNED_AWAY: [DocumentOutcome; 2] = [DocumentOutcome::Rejected, DocumentOutcome::Conflict];
/// What a spreadsheet takes for the beginning of a formula.
const RISKY: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// `sluicegate jobs rejects`.
pub(super) fn rejects(flags: &Flags, config: &Config, options: &RejectsOptions) -> Result<Exit, Stop> {
    let jobs: Vec<&Job> =
        config.jobs.iter().filter(|job| options.job.as_ref().is_none_or(|name| *name == job.name)).collect();
    if let (Some(name), true) = (&options.job, jobs.is_empty()) {
        let names: Vec<&str> = config.jobs.iter().map(|job| job.name.as_str()).collect();
        return Err(Stop::usage(format!("there is no job {name:?}; there is {}", names.join(", "))));
    }
    let warehouse = existing_warehouse(config, Arc::new(SystemClock))?;
    if flags.wants_csv() {
        return lines(warehouse, &jobs, options);
    }
    let mut groups = Groups::default();
    if let Some(mut warehouse) = warehouse {
        for job in &jobs {
            each(warehouse.as_mut(), job, options, &mut |decision| {
                groups.add(&job.name, customer(job, &decision.key), decision);
                Ok(())
            })?;
        }
    }
    let groups = groups.sorted();
    match flags.output {
        Format::Json => {
            let documents: u64 = groups.iter().map(|group| group.documents).sum();
            print_json(&serde_json::json!({ "documents": documents, "groups": groups }))?;
        }
        Format::Table => print(&text(&groups))?,
    }
    Ok(Exit::Fine)
}

/// Shows every decision that the options ask for.
fn each(
    warehouse: &mut dyn Warehouse,
    job: &Job,
    options: &RejectsOptions,
    visit: &mut dyn FnMut(&Decision) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let mut after: Option<(String, u32)> = None;
    loop {
        let query = DecisionQuery {
            job: &job.name,
            outcomes: &TURNED_AWAY,
            since: options.since.map(|since| since.at(SystemClock.now())),
            history: options.history,
            after: after.as_ref().map(|(batch, ordinal)| (batch.as_str(), *ordinal)),
            limit: PAGE,
        };
        let page = warehouse.decisions().decided(&query)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some((last.batch_id.clone(), last.ordinal));
        page.iter().try_for_each(&mut *visit)?;
    }
}

/// The folder that a customer drops documents into: the first one of the key, below the landing's prefix. Who the customer
/// is stands in the document, and this one could not be read.
fn customer<'k>(job: &Job, key: &'k str) -> &'k str {
    let below = key.strip_prefix(job.landing.key_prefix()).unwrap_or(key).trim_start_matches('/');
    below.split_once('/').map_or("", |(folder, _)| folder)
}

fn text(groups: &[Group]) -> String {
    if groups.is_empty() {
        return "nothing is rejected\n".to_owned();
    }
    let mut sheet = Sheet::new(&["#documents", "outcome", "reason", "customers", "first", "last", "example"]);
    for group in groups {
        let example = &group.example;
        let line = example.line.map_or_else(String::new, |line| format!(", line {line}"));
        sheet.row([
            group.documents.to_string(),
            group.outcome.clone(),
            group.reason.clone(),
            customers(group),
            day(&group.first_seen),
            day(&group.last_seen),
            format!("{}{line}", example.key),
        ]);
    }
    format!("{}\nmend the job file, then: sluicegate jobs replay --rejected\n", sheet.text())
}

fn customers(group: &Group) -> String {
    let names: Vec<&str> =
        group.customers.keys().map(String::as_str).filter(|name| !name.is_empty()).collect();
    match names.as_slice() {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first, second] => format!("{first}, {second}"),
        [first, rest @ ..] => format!("{first} and {}", counted(rest.len() as u64, "other", "others")),
    }
}

fn day(time: &str) -> String {
    time.get(..10).unwrap_or(time).to_owned()
}

/// One line a document, to be sent to a customer.
fn lines(
    warehouse: Option<Box<dyn Warehouse>>,
    jobs: &[&Job],
    options: &RejectsOptions,
) -> Result<Exit, Stop> {
    let mut writer = csv::Writer::from_writer(io::stdout().lock());
    writer.write_record(["key", "line", "reason", "text", "landed_at", "batch_id"]).map_err(unwritable)?;
    if let Some(mut warehouse) = warehouse {
        for job in jobs {
            each(warehouse.as_mut(), job, options, &mut |decision| {
                let line = decision.line.map_or_else(String::new, |line| line.to_string());
                let text = decision.text.as_deref().unwrap_or_default();
                let record = [
                    &guarded(&decision.key),
                    &line,
                    &guarded(&decision.reason),
                    &guarded(text),
                    &decision.landed_at,
                    &decision.batch_id,
                ];
                writer.write_record(record).map_err(unwritable)
            })?;
        }
    }
    match writer.flush() {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Stop::failed(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(Exit::Fine),
    }
}

fn unwritable(error: csv::Error) -> Stop {
    Stop::failed(format!("cannot write to stdout: {error}"))
}

/// A text that no spreadsheet takes for a formula: an apostrophe in front, which spreadsheets do not show.
fn guarded(text: &str) -> String {
    if text.starts_with(RISKY) { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::guarded;

    #[test]
    fn no_text_is_a_formula() {
        for risky in ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"] {
            assert_eq!(guarded(risky), format!("'{risky}"));
        }
        assert_eq!(guarded("a=1"), "a=1");
    }
}
