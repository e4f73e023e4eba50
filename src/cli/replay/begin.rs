//! The parts that a replay is made with, and its beginning: the transactions that make it certain.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};
use sluicegate_state::{BatchEvent, Moved, Store};

use crate::config::Config;
use crate::pipeline::context::Context;
use crate::pipeline::ledger::compare_identity;
use crate::ports::clock::Clock;
use crate::ports::proof::Operation;
use crate::ports::warehouse::Warehouse;
use crate::reconcile::model::shell_word;

use super::super::assemble::{self, Surroundings, existing_warehouse};
use super::super::exit::Stop;
use super::super::seam::seam;
use super::super::session::{Session, host};
use super::choice::Choice;

/// What a replay is planned with.
pub(in crate::cli) struct Parts {
    pub(in crate::cli) context: Context,
    pub(in crate::cli) store: Store,
}

impl Parts {
    /// The ledger, if it is the one that this state belongs to.
    pub(in crate::cli) fn warehouse(&self, doing: &str) -> Result<Box<dyn Warehouse>, Stop> {
        let mut warehouse = (self.context.open_warehouse)().map_err(|failure| {
            failure
                .while_doing(format!("{doing} needs the ledger, which cannot be used now; nothing was done"))
        })?;
        compare_identity(&self.store, warehouse.as_mut())?;
        Ok(warehouse)
    }
}

/// Puts them together; the state folder is made where there is none, because a lost state is no obstacle.
pub(in crate::cli) fn parts(
    config: &Config,
    clock: Arc<dyn Clock>,
    incarnation: &str,
) -> Result<Parts, Stop> {
    assemble::refuse_unsupported(config)?;
    let store = Store::open(&config.settings.state, seam())?;
    let surroundings =
        Surroundings { clock, seam: seam(), incarnation: incarnation.to_owned(), seal_at_once: false };
    Ok(Parts { context: assemble::context(config, surroundings)?, store })
}

/// Who sits at the keyboard, as the records name him.
pub(in crate::cli) fn operator() -> String {
    let user = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    format!("{}@{}", user.unwrap_or_else(|| "unknown".to_owned()), host())
}

/// The record of what this command line does, for the `operation` ledger.
pub(in crate::cli) fn operation(reason: &str, detail: &Value) -> Operation {
    let words: Vec<String> = std::env::args().map(|word| shell_word(&word)).collect();
    Operation {
        operator: operator(),
        at: String::new(),
        command: words.join(" "),
        reason: reason.to_owned(),
        detail: detail.to_string(),
    }
}

/// Keeps in the ledger who replays what, and under which definitions. Parked batches may have to go on while the ledger is
/// away, so that their landing does not expire; the state's own log names the person then.
fn record(config: &Config, choice: &Choice, clock: &Arc<dyn Clock>) -> Result<(), Stop> {
    if !choice.begins_something() {
        return Ok(());
    }
    let resumed: Vec<&str> = choice.resumed.iter().map(|line| line.batch_id.as_str()).collect();
    let parents: BTreeSet<&String> = choice.plan.batches.iter().flat_map(|batch| &batch.parents).collect();
    let definitions: BTreeMap<&str, &str> =
        config.jobs.iter().map(|job| (job.name.as_str(), job.hash.as_str())).collect();
    let documents: usize = choice.plan.batches.iter().map(|batch| batch.members.len()).sum();
    let detail = json!({
        "replay": { "resumed": resumed, "parents": parents, "documents": documents, "definitions": definitions }
    });
    let recorded = existing_warehouse(config, clock.clone()).and_then(|warehouse| match warehouse {
        Some(mut warehouse) => Ok(warehouse.proof().record_operation(&operation("", &detail))?),
        None => Ok(()),
    });
    match recorded {
        Err(stop) if choice.plan.batches.is_empty() => {
            tracing::warn!("the ledger does not hear of this replay now: {}", stop.message);
            Ok(())
        }
        recorded => recorded,
    }
}

/// Writes down what is to be done; the ids of all batches that are to come to their ends. From here on every drain
/// brings them there, whatever dies.
pub(super) fn begin(
    config: &Config,
    session: &mut Session,
    choice: &Choice,
    clock: &Arc<dyn Clock>,
) -> Result<Vec<String>, Stop> {
    let incarnation = session.incarnation().to_owned();
    let operator = operator();
    record(config, choice, clock)?;
    let mut ids: Vec<String> = choice.under_way.iter().map(|line| line.batch_id.clone()).collect();
    for parked in &choice.resumed {
        let cause = format!("{operator} replays it");
        let store = session.store();
        let moved = store.apply(&parked.batch_id, BatchEvent::Resumed, &cause, &incarnation, clock.now())?;
        if moved != Moved::Yes {
            tracing::warn!(batch = %parked.batch_id, "somebody else was faster: it is not parked any more");
        }
        ids.push(parked.batch_id.clone());
    }
    tracing::debug!(state = %config.settings.state.display(), batches = choice.plan.batches.len(), "a replay begins");
    ids.extend(choice.plan.seal(session.store(), &operator, &incarnation, clock.now())?);
    Ok(ids)
}
