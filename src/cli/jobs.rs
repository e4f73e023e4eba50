//! `jobs list` and `jobs show`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use sluicegate_state::BatchState;

use crate::config::Config;
use crate::ports::clock::{Clock, SystemClock};
use crate::ports::decisions::Hold;

use super::args::{Flags, Format, JobsCommand};
use super::assemble::existing_warehouse;
use super::exit::{Exit, Stop};
use super::operate;
use super::output::{Sheet, print, print_json, time};
use super::rejects;
use super::replay;
use super::session::load_config;
use super::show;
use super::stored::{BatchLine, STATES, existing_store};

/// `sluicegate jobs …`.
pub(super) fn jobs(flags: &Flags, command: &JobsCommand) -> Result<Exit, Stop> {
    let config = load_config(flags)?;
    match command {
        JobsCommand::List { job: None, .. } => list_jobs(flags, &config),
        JobsCommand::List { job: Some(job), limit } => list_batches(flags, &config, job, *limit),
        JobsCommand::Replay(options) => replay::replay(flags, &config, options),
        JobsCommand::Abandon(options) => operate::abandon(flags, &config, options),
        JobsCommand::Hold(options) => operate::hold(flags, &config, options, true),
        JobsCommand::Release(options) => operate::hold(flags, &config, options, false),
        JobsCommand::Rejects(options) => rejects::rejects(flags, &config, options),
        JobsCommand::Show { id } => show::show(flags, &config, id),
    }
}

#[derive(Serialize)]
struct JobLine {
    job: String,
    pending: u64,
    deferred: u64,
    batches: BTreeMap<String, u64>,
    next_window: Option<String>,
    /// A person holds it: nothing is loaded.
    held: Option<Hold>,
}

fn list_jobs(flags: &Flags, config: &Config) -> Result<Exit, Stop> {
    let store = existing_store(config)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut held = holds(config);
    let mut lines = Vec::new();
    for job in &config.jobs {
        let (backlog, counts) = match &store {
            Some(store) => (store.backlog(&job.name)?, store.batch_counts(&job.name)?),
            None => Default::default(),
        };
        let count = |state: &BatchState| counts.get(state).copied().unwrap_or(0);
        lines.push(JobLine {
            job: job.name.clone(),
            pending: backlog.pending,
            deferred: backlog.deferred,
            batches: STATES.iter().map(|state| (state.to_string(), count(state))).collect(),
            next_window: job.window.next_tick(clock.now()).map(time),
            held: held.remove(&job.name),
        });
    }
    match flags.output {
        Format::Json => print_json(&serde_json::json!({ "jobs": lines }))?,
        Format::Table => print(&jobs_table(&lines))?,
    }
    Ok(Exit::Fine)
}

/// The jobs that a person holds; none where the ledger cannot say so now.
fn holds(config: &Config) -> BTreeMap<String, Hold> {
    let warehouse = existing_warehouse(config, Arc::new(SystemClock)).ok().flatten();
    warehouse.and_then(|mut warehouse| warehouse.decisions().holds().ok()).unwrap_or_default()
}

fn jobs_table(lines: &[JobLine]) -> String {
    let mut headers = vec!["job".to_owned(), "#pending".to_owned()];
    headers.extend(STATES.iter().map(|state| format!("#{state}")));
    headers.push("next window".to_owned());
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let mut sheet = Sheet::new(&headers);
    for line in lines {
        let mut row = vec![line.job.clone(), line.pending.to_string()];
        row.extend(STATES.iter().map(|state| line.batches[&state.to_string()].to_string()));
        let window = line.next_window.clone().unwrap_or_else(|| "never".to_owned());
        row.push(if line.held.is_some() { format!("{window}, held: nothing is loaded") } else { window });
        sheet.row(row);
    }
    sheet.text()
}

fn list_batches(flags: &Flags, config: &Config, job: &str, limit: usize) -> Result<Exit, Stop> {
    if !config.jobs.iter().any(|known| known.name == job) {
        let names: Vec<&str> = config.jobs.iter().map(|job| job.name.as_str()).collect();
        return Err(Stop::usage(format!("there is no job {job:?}; there is {}", names.join(", "))));
    }
    let batches = match existing_store(config)? {
        Some(store) => store.batches(Some(job), limit)?,
        None => Vec::new(),
    };
    let lines: Vec<BatchLine> = batches.iter().map(BatchLine::from).collect();
    match flags.output {
        Format::Json => print_json(&serde_json::json!({ "job": job, "batches": lines }))?,
        Format::Table => print(&batches_table(&lines))?,
    }
    Ok(Exit::Fine)
}

fn batches_table(lines: &[BatchLine]) -> String {
    let mut sheet =
        Sheet::new(&["batch", "state", "#documents", "#bytes", "sealed", "#attempts", "next try", "error"]);
    for line in lines {
        let state = match &line.failed_from {
            Some(from) => format!("{} ({from})", line.state),
            None => line.state.clone(),
        };
        sheet.row([
            line.batch_id.clone(),
            state,
            line.documents.to_string(),
            line.bytes.to_string(),
            line.sealed_at.clone(),
            line.attempts.to_string(),
            line.next_try_at.clone().unwrap_or_default(),
            line.error.clone().unwrap_or_default(),
        ]);
    }
    sheet.text()
}
