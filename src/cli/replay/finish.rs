//! A replay's end: its batches are drained here, or by whoever drains this folder, and what came of them is told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::json;
use sluicegate_state::{Batch, BatchState, Store};

use crate::config::Config;
use crate::ports::clock::SystemClock;
use crate::ports::decisions::is_left_loaded;
use crate::ports::warehouse::{DocumentOutcome, Warehouse};

use super::super::args::{DrainOptions, Flags, Format};
use super::super::assemble::{Intake, existing_warehouse};
use super::super::drain::{Drained, drain_config};
use super::super::exit::{Exit, Stop};
use super::super::output::{Sheet, counted, print, print_json};
use super::super::replay_args::ReplayOptions;
use super::super::signals::Asked;
use super::super::stored::existing_store;
use super::choice::Choice;

/// How often the batches are looked at while another process drains them.
const LOOK: Duration = Duration::from_millis(200);
/// What failed, in the table; JSON has it all.
const SHOWN: usize = 40;

/// A batch at its end, or where it stopped.
#[derive(Serialize)]
struct Ended {
    batch_id: String,
    state: String,
    documents: BTreeMap<String, u64>,
}

/// Something that did not go well.
#[derive(Serialize)]
struct Failed {
    batch_id: String,
    /// Empty where the batch as a whole failed.
    key: String,
    outcome: String,
    reason: String,
}

/// Says what a drain will do.
pub(super) fn left_to_the_drain(flags: &Flags, choice: &Choice, batches: &[String]) -> Result<Exit, Stop> {
    match flags.output {
        Format::Json => {
            let mut value = choice.json();
            value["batches"] = json!(batches);
            print_json(&value)?;
        }
        Format::Table => {
            print(&format!(
                "\nleft to the next drain: {}\n",
                counted(batches.len() as u64, "batch", "batches")
            ))?;
        }
    }
    Ok(if choice.leaves_something() { Exit::NeedsPerson } else { Exit::Fine })
}

/// Brings the batches to their ends and tells what came of them.
pub(super) fn finish(
    flags: &Flags,
    config: &Config,
    options: &ReplayOptions,
    choice: &Choice,
    batches: &[String],
    asked: &Asked,
) -> Result<Exit, Stop> {
    let waiting = bring_to_an_end(config, options.patience, batches, asked)?;
    let store = existing_store(config)?.ok_or_else(|| Stop::failed("the state folder is gone"))?;
    let mut warehouse = existing_warehouse(config, Arc::new(SystemClock))?;
    let mut ended = Vec::new();
    let mut failed = Vec::new();
    let mut unfinished = false;
    for id in batches {
        let Some(batch) = store.batch(id)? else { continue };
        unfinished |= batch.state.is_unfinished();
        ended.push(end_of(&batch, warehouse.as_deref_mut(), &mut failed)?);
    }
    match flags.output {
        Format::Json => {
            let mut value = choice.json();
            value["batches"] = json!(ended);
            value["failed"] = json!(failed);
            value["waiting"] = json!(if unfinished { waiting.clone() } else { Vec::new() });
            print_json(&value)?;
        }
        Format::Table => print(&text(&ended, &failed))?,
    }
    if unfinished {
        for waiting in &waiting {
            eprintln!("sluicegate: not finished: {waiting}");
        }
        eprintln!("sluicegate: the next drain goes on with this replay");
        return Ok(Exit::Failed);
    }
    Ok(if failed.is_empty() && !choice.leaves_something() { Exit::Fine } else { Exit::NeedsPerson })
}

/// Drains in this process unless another one drains this folder; then that one does the work, and is waited for.
fn bring_to_an_end(
    config: &Config,
    patience: Duration,
    batches: &[String],
    asked: &Asked,
) -> Result<Vec<String>, Stop> {
    let options = DrainOptions { watch: false, crawl: false, patience };
    let mut seen = Vec::new();
    let mut since = Instant::now();
    loop {
        let holder = match drain_config(config, &options, Intake::Nothing, asked)? {
            Drained::Done(summary) => return Ok(summary.waiting().to_vec()),
            Drained::HeldBy(holder) => holder,
        };
        let states = states(config, batches)?;
        if states.iter().all(|(state, _)| !state.is_unfinished()) {
            return Ok(Vec::new());
        }
        if states != seen {
            (seen, since) = (states, Instant::now());
        }
        if since.elapsed() >= patience || asked.to_stop() {
            return Ok(vec![format!("{holder} drains this state folder")]);
        }
        std::thread::sleep(LOOK);
    }
}

fn states(config: &Config, batches: &[String]) -> Result<Vec<(BatchState, u64)>, Stop> {
    let Some(store) = existing_store(config)? else { return Ok(Vec::new()) };
    let state = |store: &Store, id: &String| {
        store.batch(id).map(|batch| batch.map(|batch| (batch.state, batch.attempts)))
    };
    let found: Result<Vec<_>, _> = batches.iter().map(|id| state(&store, id)).collect();
    Ok(found?.into_iter().flatten().collect())
}

fn end_of(
    batch: &Batch,
    warehouse: Option<&mut (dyn Warehouse + 'static)>,
    failed: &mut Vec<Failed>,
) -> Result<Ended, Stop> {
    let mut documents = BTreeMap::new();
    let verdicts = match warehouse {
        Some(warehouse) => warehouse.verdicts(&batch.batch_id)?,
        None => Vec::new(),
    };
    for verdict in verdicts {
        *documents.entry(verdict.outcome.clone()).or_default() += 1;
        let needs_a_person =
            DocumentOutcome::from_word(&verdict.outcome).is_some_and(DocumentOutcome::needs_a_person);
        if needs_a_person || is_left_loaded(&verdict.outcome, &verdict.reason) {
            failed.push(Failed {
                batch_id: batch.batch_id.clone(),
                key: verdict.key,
                outcome: verdict.outcome,
                reason: verdict.reason,
            });
        }
    }
    if batch.state == BatchState::Failed {
        failed.push(Failed {
            batch_id: batch.batch_id.clone(),
            key: String::new(),
            outcome: "parked".to_owned(),
            reason: batch.last_error.clone().unwrap_or_default(),
        });
    }
    Ok(Ended { batch_id: batch.batch_id.clone(), state: batch.state.to_string(), documents })
}

fn text(ended: &[Ended], failed: &[Failed]) -> String {
    let mut sheet = Sheet::new(&["batch", "state", "documents"]);
    for batch in ended {
        let documents: Vec<String> =
            batch.documents.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
        sheet.row([batch.batch_id.clone(), batch.state.clone(), documents.join(", ")]);
    }
    let mut text = format!("\n{}", sheet.text());
    if failed.is_empty() {
        return text;
    }
    let mut sheet = Sheet::new(&["failed", "outcome", "reason", "batch"]);
    for failure in failed.iter().take(SHOWN) {
        let what = if failure.key.is_empty() { "the batch" } else { &failure.key };
        sheet.row([what, &failure.outcome, &failure.reason, &failure.batch_id]);
    }
    text.push_str(&format!("\n{}", sheet.text()));
    if failed.len() > SHOWN {
        text.push_str(&format!("… and {} more; --output json shows all\n", failed.len() - SHOWN));
    }
    text
}
