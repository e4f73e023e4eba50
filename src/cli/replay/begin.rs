//! The parts that a replay is made with, and its beginning: the transactions that make it certain.

use std::sync::Arc;

use sluicegate_state::seam::Seam;
use sluicegate_state::{BatchEvent, Moved, ReplaySeal, Store};

use crate::config::Config;
use crate::pipeline::context::Context;
use crate::pipeline::ledger::compare_identity;
use crate::ports::clock::Clock;
use crate::ports::warehouse::Warehouse;

use super::super::assemble::{self, Surroundings};
use super::super::exit::Stop;
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
    let store = Store::open(&config.settings.state, Seam::default())?;
    let surroundings = Surroundings {
        clock,
        seam: Seam::default(),
        incarnation: incarnation.to_owned(),
        seal_at_once: false,
    };
    Ok(Parts { context: assemble::context(config, surroundings)?, store })
}

/// Who sits at the keyboard, as the records name him.
pub(in crate::cli) fn operator() -> String {
    let user = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    format!("{}@{}", user.unwrap_or_else(|| "unknown".to_owned()), host())
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
    let parents: Vec<Vec<String>> =
        choice.plan.batches.iter().map(|batch| batch.parents.iter().cloned().collect()).collect();
    let causes: Vec<String> = choice
        .plan
        .batches
        .iter()
        .map(|batch| format!("{operator} replays {}", super::choice::parents_in_words(&batch.parents)))
        .collect();
    let seals: Vec<ReplaySeal<'_>> = choice
        .plan
        .batches
        .iter()
        .zip(&parents)
        .zip(&causes)
        .map(|((batch, parents), cause)| ReplaySeal {
            job: &batch.job,
            members: &batch.members,
            parents,
            replay: batch.replay,
            estimated_rows: batch.estimated_rows,
            incarnation: &incarnation,
            definition_hash: &batch.definition_hash,
            cause,
        })
        .collect();
    tracing::debug!(state = %config.settings.state.display(), batches = seals.len(), "a replay begins");
    if !seals.is_empty() {
        ids.extend(session.store().seal_replays(&seals, clock.now())?);
    }
    Ok(ids)
}
