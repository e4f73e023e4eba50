//! `jobs abandon`, `jobs hold` and `jobs release`: what a person decides, kept by name and reason in the ledger. While the
//! ledger is away nothing of it is done.

mod document;

use std::sync::Arc;

use serde_json::json;
use sluicegate_state::{BatchEvent, Moved};

use crate::config::Config;
use crate::pipeline::replay::abandon as pipeline_abandon;
use crate::ports::clock::{Clock, SystemClock};
use crate::ports::decisions::hold_detail;

use super::args::{Flags, Format};
use super::exit::{Exit, Stop};
use super::output::{counted, print, print_json};
use super::replay::{operation, operator, parts};
use super::replay_args::{AbandonOptions, HoldOptions};
use super::seam::seam;
use super::session::Session;

/// `sluicegate jobs abandon ID --because T`.
pub(super) fn abandon(flags: &Flags, config: &Config, options: &AbandonOptions) -> Result<Exit, Stop> {
    if options.because.trim().is_empty() {
        return Err(Stop::usage("say why: --because TEXT; finance reads it later"));
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let parts = parts(config, clock.clone(), "operator")?;
    let mut found = parts.store.batches_by_prefix(&options.id, 2)?;
    let batch = match (found.pop(), found.pop()) {
        (Some(batch), None) => batch,
        (None, _) => return document::give_up(flags, &parts, options),
        (Some(_), Some(_)) => {
            return Err(Stop::usage(format!("{} begins more than one batch id", options.id)));
        }
    };
    let mut warehouse = parts.warehouse("abandoning")?;
    let schema = parts.context.job(&batch.job)?;
    warehouse.prepare(schema.definition.schema())?;
    let words = format!("{} gave it up: {}", operator(), options.because);
    let verdicts =
        pipeline_abandon::abandon(&parts.context, &parts.store, warehouse.as_mut(), &batch, &words)?;
    let detail = json!({ "abandon": batch.batch_id });
    warehouse.proof().record_operation(&operation(&options.because, &detail))?;
    let mut session = Session::begin(config, seam(), clock.clone())?;
    let incarnation = session.incarnation().to_owned();
    let moved =
        session.store().apply(&batch.batch_id, BatchEvent::Abandoned, &words, &incarnation, clock.now())?;
    let with = |word: &str| verdicts.iter().filter(|verdict| verdict.outcome.as_str() == word).count() as u64;
    let (abandoned, again) = (with("abandoned"), with("again"));
    let id = &batch.batch_id;
    match flags.output {
        Format::Json => print_json(&json!({ "batch_id": id, "abandoned": abandoned, "again": again }))?,
        Format::Table => {
            print(&format!("{id}: {} abandoned\n", counted(abandoned, "document is", "documents are")))?;
            if again > 0 {
                print(&format!(
                    "{} as another batch left it; see: sluicegate jobs show {id}\n",
                    counted(again, "document stays", "documents stay")
                ))?;
            }
        }
    }
    let exit = if moved == Moved::Lost { Exit::NeedsPerson } else { Exit::Fine };
    session.end(exit)
}

/// `sluicegate jobs hold JOB` and `sluicegate jobs release JOB`.
pub(super) fn hold(flags: &Flags, config: &Config, options: &HoldOptions, hold: bool) -> Result<Exit, Stop> {
    let job = &options.job;
    if !config.jobs.iter().any(|known| known.name == *job) {
        let names: Vec<&str> = config.jobs.iter().map(|job| job.name.as_str()).collect();
        return Err(Stop::usage(format!("there is no job {job:?}; there is {}", names.join(", "))));
    }
    let parts = parts(config, Arc::new(SystemClock), "operator")?;
    let mut warehouse = parts.warehouse(if hold { "holding a job" } else { "releasing a job" })?;
    let held = warehouse.decisions().holds()?.remove(job);
    let changed = held.is_some() != hold;
    if changed {
        warehouse.proof().record_operation(&operation(&options.because, &hold_detail(job, hold)))?;
    }
    let told = match (&held, hold) {
        (Some(held), true) => format!("{job} is held already, by {} since {}", held.operator, held.at),
        (None, true) => {
            format!("{job} is held: documents are still secured in the archive, and nothing is loaded")
        }
        (Some(_), false) => format!("{job} is released: the next drain loads what has gathered"),
        (None, false) => format!("{job} is not held"),
    };
    match flags.output {
        Format::Json => print_json(&json!({ "job": job, "held": hold, "changed": changed }))?,
        Format::Table => print(&format!("{told}\n"))?,
    }
    Ok(Exit::Fine)
}
