//! `listen`: journals notifications until told to stop. Never touches the warehouse.

use std::sync::Arc;
use std::time::Duration;

use crate::pipeline::bell::Bell;
use crate::pipeline::listener::Listener;
use crate::pipeline::scheduler::{self, RunOptions};
use crate::pipeline::stage::Stage;
use crate::ports::clock::{Clock, SystemClock};

use super::args::Flags;
use super::assemble::{self, Intake, Surroundings};
use super::exit::{Exit, Stop};
use super::manager;
use super::seam::seam;
use super::session::{Session, load_config};
use super::signals::stop_on_signal;

/// `sluicegate listen`.
pub(super) fn listen(flags: &Flags) -> Result<Exit, Stop> {
    let asked = stop_on_signal(Exit::Fine)?;
    let config = load_config(flags)?;
    assemble::refuse_unsupported(&config)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    // Before there is a session: whoever begins one has the time to say farewell, also while nobody listens yet.
    if config.settings.inbox.is_elsewhere() {
        asked.listens();
    }
    let session = Session::begin(&config, seam(), clock.clone())?;
    let surroundings = Surroundings {
        clock,
        seam: seam(),
        incarnation: session.incarnation().to_owned(),
        seal_at_once: false,
    };
    let context = Arc::new(assemble::context(&config, surroundings)?);
    let assemble::Inboxes { inboxes, missing } = assemble::inboxes(&config, &context, Intake::Serve)?;
    for message in missing {
        tracing::warn!("{message}");
    }
    let mut stages: Vec<Box<dyn Stage>> = Vec::new();
    let mut pulses = Vec::new();
    for inbox in inboxes {
        let listener = Listener::new(context.clone(), inbox, true)?;
        pulses.push(listener.pulse());
        stages.push(Box::new(listener));
    }
    let bell = Arc::new(Bell::new(stages.len()));
    asked.stops(&bell);
    manager::announce(&bell, pulses);
    let run = RunOptions { watch: true, patience: Duration::ZERO };
    let result = scheduler::run(&context, &bell, stages, run);
    manager::say_stopping();
    let exit = if result.is_ok() { Exit::Fine } else { Exit::Failed };
    session.end(exit)?;
    result?;
    Ok(exit)
}
