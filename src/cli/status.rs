//! `status`: a verdict first, then what it rests on; each problem with its command.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use serde::Serialize;
use sluicegate_state::{Backlog, BatchState, Store, Timestamp};

use crate::config::Config;
use crate::job::Job;
use crate::pipeline::alert::deadline;
use crate::pipeline::ledger::compare_identity;
use crate::ports::clock::{Clock, SystemClock};
use crate::ports::warehouse::{CrawlRow, DocumentOutcome, Warehouse};

use super::args::{Flags, Format};
use super::assemble;
use super::exit::{Exit, Stop};
use super::output::{counted, emphasised, print, print_json, span, time};
use super::reconcile;
use super::session::load_config;
use super::stored::{STATES, existing_store, left_of_removed_jobs};

/// What the journal is about to need: its index of the log grows by so much.
const TRIAL_BYTES: usize = 64 << 10;
/// An unfinished document older than this is worth a person's look.
const OLD_HOURS: i64 = 6;

#[derive(Serialize)]
struct JobStatus {
    job: String,
    pending: u64,
    deferred: u64,
    unfinished_batches: u64,
    oldest: Option<String>,
    expires_in_hours: Option<i64>,
    received: u64,
    redeliveries: u64,
    missed: u64,
    batches: BTreeMap<String, u64>,
    outcomes: BTreeMap<String, u64>,
    awaiting_crawl: u64,
    last_crawl: Option<CrawlRow>,
    next_window: Option<String>,
}

#[derive(Serialize)]
struct Problem {
    what: String,
    command: String,
}

#[derive(Serialize)]
struct Status {
    verdict: String,
    problems: Vec<Problem>,
    notes: Vec<Problem>,
    jobs: Vec<JobStatus>,
    counters: BTreeMap<String, u64>,
    /// By inbox and reason.
    refused: BTreeMap<String, BTreeMap<String, u64>>,
    unreadable: u64,
    last_reconciliation: Option<String>,
}

/// `sluicegate status`.
pub(super) fn status(flags: &Flags) -> Result<Exit, Stop> {
    let config = load_config(flags)?;
    assemble::refuse_unsupported(&config)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let status = gather(&config, clock)?;
    match flags.output {
        Format::Json => print_json(&status)?,
        Format::Table => print(&text(&status))?,
    }
    Ok(if status.problems.is_empty() { Exit::Fine } else { Exit::NeedsPerson })
}

fn gather(config: &Config, clock: Arc<dyn Clock>) -> Result<Status, Stop> {
    let mut store = existing_store(config)?;
    let now = clock.now();
    let mut problems = Vec::new();
    let mut notes = Vec::new();
    if let Some(store) = &mut store {
        find_refusal(store, &mut problems);
    }
    let mut warehouse = match assemble::existing_warehouse(config, clock) {
        Ok(warehouse) => warehouse,
        Err(stop) => {
            problems.push(Problem { what: stop.message, command: "sluicegate check".to_owned() });
            None
        }
    };
    if let (Some(store), Some(open)) = (&store, &mut warehouse)
        && let Err(failure) = compare_identity(store, open.as_mut())
    {
        problems.push(Problem { what: failure.message, command: "sluicegate check".to_owned() });
    }
    let mut jobs = Vec::new();
    for job in &config.jobs {
        if let Some(store) = &store {
            find_deadline(config, job, store, now, &mut problems)?;
        }
        let status = job_status(job, store.as_ref(), warehouse.as_deref_mut(), now, &mut problems)?;
        note_outcomes(&status, &mut notes);
        note_missed(&status, &mut notes);
        note_hold(&status.job, warehouse.as_deref_mut(), &mut notes);
        jobs.push(status);
    }
    if let Some(store) = &store {
        for what in left_of_removed_jobs(store, |name| config.jobs.iter().any(|job| job.name == name))? {
            problems.push(Problem { what, command: "sluicegate drain".to_owned() });
        }
    }
    let (counters, refused, unreadable) = match &store {
        Some(store) => (counters(store)?, refused(store)?, store.unreadable(1000)?.len() as u64),
        None => Default::default(),
    };
    if unreadable > 0 {
        let what =
            format!("{} could not be read; kept in the journal", counted(unreadable, "message", "messages"));
        notes.push(Problem { what, command: "sluicegate status --output json".to_owned() });
    }
    let last_reconciliation = last_reconciliation(config, warehouse.as_deref_mut(), &mut problems)?;
    let verdict = verdict(&problems, store.is_some(), &jobs);
    Ok(Status { verdict, problems, notes, jobs, counters, refused, unreadable, last_reconciliation })
}

/// A journal that takes nothing: its disk is full or read-only, or somebody holds it. Nothing is left behind by the trial.
fn find_refusal(store: &mut Store, problems: &mut Vec<Problem>) {
    let written = tempfile::tempfile_in(store.folder()).and_then(|mut file| {
        file.write_all(&[0; TRIAL_BYTES])?;
        file.sync_all()
    });
    let folder = store.folder().display().to_string();
    let (refused, command) = match written {
        Err(error) => (error.to_string(), format!("df -h {folder}")),
        Ok(()) => match store.try_lock() {
            Ok(()) => return,
            Err(error) => (error.to_string(), format!("fuser -v {folder}/state.db")),
        },
    };
    let what = format!("the journal in {folder} cannot be written, so nothing is acknowledged: {refused}");
    problems.push(Problem { what, command });
}

/// When it was, and what it found; what is not balanced is a problem.
fn last_reconciliation(
    config: &Config,
    warehouse: Option<&mut (dyn Warehouse + 'static)>,
    problems: &mut Vec<Problem>,
) -> Result<Option<String>, Stop> {
    let Some(warehouse) = warehouse else { return Ok(None) };
    let Some((at, unbalanced)) = reconcile::last(warehouse, &config.jobs)? else { return Ok(None) };
    if unbalanced.is_empty() {
        return Ok(Some(format!("{at}, balanced")));
    }
    let what = format!("the last reconciliation does not balance: {}", unbalanced.join(", "));
    problems.push(Problem { what, command: "sluicegate reconcile".to_owned() });
    Ok(Some(format!("{at}, not balanced: {}", unbalanced.join(", "))))
}

/// A job that a person holds is no trouble, and is easily forgotten.
fn note_hold(job: &str, warehouse: Option<&mut (dyn Warehouse + 'static)>, notes: &mut Vec<Problem>) {
    let holds = warehouse.and_then(|warehouse| warehouse.decisions().holds().ok()).unwrap_or_default();
    if let Some(hold) = holds.get(job) {
        let reason = if hold.reason.is_empty() { String::new() } else { format!(": {}", hold.reason) };
        let what =
            format!("{job} is held by {} since {}, and nothing is loaded{reason}", hold.operator, hold.at);
        notes.push(Problem { what, command: format!("sluicegate jobs release {job}") });
    }
}

fn counters(store: &Store) -> Result<BTreeMap<String, u64>, Stop> {
    let mut counters = BTreeMap::new();
    for total in store.counters()? {
        *counters.entry(total.counter.to_string()).or_default() += total.count;
    }
    Ok(counters)
}

/// What inboxes did not take. It says nothing about documents: whatever was meant to come may come again, or be found in
/// the landing.
fn refused(store: &Store) -> Result<BTreeMap<String, BTreeMap<String, u64>>, Stop> {
    let mut refused: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for total in store.refusals()? {
        refused.entry(total.source).or_default().insert(total.reason, total.count);
    }
    Ok(refused)
}

fn job_status(
    job: &Job,
    store: Option<&Store>,
    warehouse: Option<&mut (dyn Warehouse + 'static)>,
    now: Timestamp,
    problems: &mut Vec<Problem>,
) -> Result<JobStatus, Stop> {
    let (backlog, batches, totals) = match store {
        Some(store) => {
            (store.backlog(&job.name)?, store.batch_counts(&job.name)?, store.notification_totals(&job.name)?)
        }
        None => Default::default(),
    };
    let (outcomes, awaiting_crawl, last_crawl) = match warehouse {
        Some(warehouse) => (
            warehouse.outcome_counts(&job.name)?,
            warehouse.awaiting_crawl(&job.name)?,
            warehouse.last_crawl(&job.name)?,
        ),
        None => Default::default(),
    };
    let failed = batches.get(&BatchState::Failed).copied().unwrap_or(0);
    find_problems(job, store, &backlog, failed, last_crawl.as_ref(), now, problems)?;
    let count = |state: &BatchState| batches.get(state).copied().unwrap_or(0);
    Ok(JobStatus {
        job: job.name.clone(),
        pending: backlog.pending,
        deferred: backlog.deferred,
        unfinished_batches: backlog.unfinished_batches,
        oldest: backlog.oldest_event_time.map(time),
        expires_in_hours: backlog.earliest_expiry.map(|at| (at - now).num_hours()),
        received: totals.received,
        redeliveries: totals.redeliveries,
        missed: totals.missed,
        batches: STATES.iter().map(|state| (state.to_string(), count(state))).collect(),
        outcomes,
        awaiting_crawl,
        last_crawl,
        next_window: job.window.next_tick(now).map(time),
    })
}

/// Documents that may be lost come first: what is not archived when the landing removes it cannot be read any more.
fn find_deadline(
    config: &Config,
    job: &Job,
    store: &Store,
    now: Timestamp,
    problems: &mut Vec<Problem>,
) -> Result<(), Stop> {
    let landing = assemble::landing(&job.landing)?;
    let horizon = assemble::horizon(config);
    if let Some(deadline) = deadline(store, job, Some(landing.as_ref()), now, horizon)? {
        let (why, command) = match &deadline.cause {
            Some(cause) => (cause.as_str(), "sluicegate check"),
            None => ("not archived yet", "sluicegate drain"),
        };
        let what = format!("{}: {}, {why}", job.name, deadline.words(now));
        problems.insert(0, Problem { what, command: command.to_owned() });
    }
    Ok(())
}

fn find_problems(
    job: &Job,
    store: Option<&Store>,
    backlog: &Backlog,
    failed: u64,
    last_crawl: Option<&CrawlRow>,
    now: Timestamp,
    problems: &mut Vec<Problem>,
) -> Result<(), Stop> {
    let name = &job.name;
    let mut add = |what: String, command: String| problems.push(Problem { what, command });
    if failed > 0 {
        let what = format!(
            "{name}: {} parked, with {} documents",
            counted(failed, "batch", "batches"),
            backlog.failed_members
        );
        add(what, format!("sluicegate jobs list {name}"));
    }
    for state in [BatchState::Sealed, BatchState::Archived, BatchState::Loaded] {
        let waiting = store.map(|store| store.waiting_batches(state, 1_000)).transpose()?.unwrap_or_default();
        if let Some(batch) = waiting.into_iter().find(|batch| batch.job == *name) {
            let error = batch.last_error.unwrap_or_default();
            let what = format!("{name}: batch {} waits for a retry: {error}", batch.batch_id);
            add(what, format!("sluicegate jobs show {}", batch.batch_id));
        }
    }
    if let Some(at) = backlog.oldest_event_time.filter(|at| (now - *at).num_hours() >= OLD_HOURS) {
        let unfinished = backlog.pending + backlog.unfinished_members;
        if unfinished > 0 {
            let what =
                format!("{name}: {unfinished} documents unfinished, the oldest for {}", span(now - at));
            add(what, "sluicegate drain".to_owned());
        }
    }
    if let Some(crawl) = last_crawl.filter(|crawl| crawl.state == "given_up" || crawl.state == "failed") {
        let what =
            format!("{name}: the last crawl, {}, has {}", crawl.crawl_id, crawl.state.replace('_', " "));
        add(what, "sluicegate drain --crawl".to_owned());
    }
    Ok(())
}

/// What customers did wrong is normal business: told, but no alarm.
fn note_outcomes(status: &JobStatus, notes: &mut Vec<Problem>) {
    let words: Vec<String> = DocumentOutcome::ALL
        .iter()
        .filter(|outcome| outcome.needs_a_person())
        .filter_map(|outcome| {
            status.outcomes.get(outcome.as_str()).map(|count| format!("{count} {}", outcome.as_str()))
        })
        .collect();
    if !words.is_empty() {
        let what = format!("{}: turned away so far: {}", status.job, words.join(", "));
        notes.push(Problem { what, command: "sluicegate jobs rejects".to_owned() });
    }
}

/// They are loaded like all others; that nobody told of them is the wiring's trouble.
fn note_missed(status: &JobStatus, notes: &mut Vec<Problem>) {
    if status.missed > 0 {
        let documents = counted(status.missed, "document", "documents");
        let what = format!(
            "{}: {documents} landed without a notification and were found by the hourly listing",
            status.job
        );
        notes.push(Problem { what, command: "sluicegate check".to_owned() });
    }
}

fn verdict(problems: &[Problem], journaled: bool, jobs: &[JobStatus]) -> String {
    if let Some(first) = problems.first() {
        return format!("ATTENTION: {} → {}", first.what, first.command);
    }
    if !journaled {
        return "OK: nothing has been journaled yet".to_owned();
    }
    let pending: u64 = jobs.iter().map(|job| job.pending).sum();
    let batches: u64 = jobs.iter().map(|job| job.unfinished_batches).sum();
    if pending + batches == 0 {
        return "OK: everything received is decided".to_owned();
    }
    format!("OK: {pending} documents pending, {} under way", counted(batches, "batch", "batches"))
}

fn text(status: &Status) -> String {
    let mut text = format!("{}\n", emphasised(&status.verdict, status.problems.is_empty()));
    for problem in status.problems.iter().skip(1).chain(&status.notes) {
        text.push_str(&format!("  {} → {}\n", problem.what, problem.command));
    }
    for job in &status.jobs {
        text.push_str(&job_text(job));
    }
    let counted: Vec<String> =
        status.counters.iter().map(|(name, count)| format!("{count} {name}")).collect();
    if !counted.is_empty() {
        text.push_str(&format!("\ncounted         {}\n", counted.join(", ")));
    }
    for (inbox, reasons) in &status.refused {
        let reasons: Vec<String> =
            reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        text.push_str(&format!("\nrefused by {inbox:<4} {}\n", reasons.join(", ")));
    }
    text.push_str(&format!(
        "last reconciliation  {}\n",
        status.last_reconciliation.as_deref().unwrap_or("none yet")
    ));
    text
}

fn job_text(job: &JobStatus) -> String {
    let list = |map: &BTreeMap<String, u64>| {
        let words: Vec<String> =
            map.iter().filter(|(_, count)| **count > 0).map(|(w, c)| format!("{c} {w}")).collect();
        if words.is_empty() { "none".to_owned() } else { words.join(", ") }
    };
    let crawl = job.last_crawl.as_ref().map_or_else(
        || "none yet".to_owned(),
        |crawl| {
            format!("{}, {} ({})", crawl.state, crawl.window_end, counted(crawl.batches, "batch", "batches"))
        },
    );
    let expiry = job.expires_in_hours.map_or_else(String::new, |hours| format!(", expires in {hours} h"));
    format!(
        "\njob             {}\nbacklog         {} pending, {} deferred; oldest {}{expiry}\nreceived        {} notifications, {} redeliveries\n\
         batches         {}\ndocuments       {}\nlast crawl      {crawl}; {} awaiting one\nnext window     {}\n",
        job.job,
        job.pending,
        job.deferred,
        job.oldest.as_deref().unwrap_or("none"),
        job.received,
        job.redeliveries,
        list(&job.batches),
        list(&job.outcomes),
        counted(job.awaiting_crawl, "batch", "batches"),
        job.next_window.as_deref().unwrap_or("never"),
    )
}
