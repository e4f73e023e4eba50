//! `drain` and `run`: the scheduler with all its stages.

use std::sync::Arc;

use sluicegate_state::seam::Seam;
use sluicegate_state::{BatchState, DrainerLock, Store};

use crate::config::Config;
use crate::failure::FailureKind;
use crate::pipeline::archive::ArchiveStage;
use crate::pipeline::bell::Bell;
use crate::pipeline::context::Context;
use crate::pipeline::crawl::{CrawlStage, WindowEnd};
use crate::pipeline::ledger::check_identity;
use crate::pipeline::listener::Listener;
use crate::pipeline::load::LoadStage;
use crate::pipeline::publish::PublishStage;
use crate::pipeline::scheduler::{self, RunOptions};
use crate::pipeline::stage::Stage;
use crate::pipeline::tally::Counts;
use crate::ports::clock::{Clock, SystemClock};

use super::args::{DrainOptions, Flags};
use super::assemble::{self, Inboxes, Surroundings};
use super::exit::{Exit, Stop};
use super::output::time;
use super::progress::Progress;
use super::session::{Session, host, load_config};
use super::signals::stop_on_signal;
use super::summary::Summary;

/// `sluicegate drain`.
pub(super) fn drain(flags: &Flags, options: &DrainOptions) -> Result<Exit, Stop> {
    let config = load_config(flags)?;
    match drain_config(&config, options, true)? {
        Drained::Done(summary) => {
            summary.show(flags)?;
            Ok(summary.exit())
        }
        Drained::HeldBy(holder) => {
            eprintln!("sluicegate: this state folder is being drained already, by {holder}");
            Summary::new(&Counts::default(), 0, Vec::new()).show(flags)?;
            Ok(Exit::Fine)
        }
    }
}

/// `sluicegate run`.
pub(super) fn run(flags: &Flags) -> Result<Exit, Stop> {
    let options = DrainOptions { watch: true, crawl: false, patience: std::time::Duration::ZERO };
    drain(flags, &options)
}

/// How a drain ended.
pub(super) enum Drained {
    /// It did what could be done.
    Done(Summary),
    /// Another process drains this state folder.
    HeldBy(String),
}

/// Drains what `config` describes.
pub(super) fn drain_config(config: &Config, options: &DrainOptions, signals: bool) -> Result<Drained, Stop> {
    assemble::refuse_unsupported(config)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let holder = format!("process {} on {} since {}", std::process::id(), host(), time(clock.now()));
    let _lock = match DrainerLock::acquire(&config.settings.state, &holder)? {
        Ok(lock) => lock,
        Err(holder) => return Ok(Drained::HeldBy(holder)),
    };
    assemble::clear_temporary(config)?;
    let mut session = Session::begin(config, Seam::default(), clock.clone())?;
    let surroundings = Surroundings {
        clock: clock.clone(),
        seam: Seam::default(),
        incarnation: session.incarnation().to_owned(),
        seal_at_once: !options.watch,
    };
    let context = Arc::new(assemble::context(config, surroundings)?);
    let result = work(config, &context, session.store(), options, signals);
    let exit = match &result {
        Ok(summary) => summary.exit(),
        Err(stop) => stop.exit,
    };
    session.end(exit)?;
    result.map(Drained::Done)
}

fn work(
    config: &Config,
    context: &Arc<Context>,
    store: &mut Store,
    options: &DrainOptions,
    signals: bool,
) -> Result<Summary, Stop> {
    refuse_wrong_ledger(context, store)?;
    let mut waiting = Vec::new();
    let stages = stages(config, context, options.watch, &mut waiting)?;
    let bell = Arc::new(Bell::new(stages.len()));
    let asked = signals
        .then(|| stop_on_signal(bell.clone(), if options.watch { Exit::Fine } else { Exit::Failed }))
        .transpose()?;
    let progress = Progress::start(context.clone());
    let run = RunOptions { watch: options.watch, patience: options.patience };
    waiting.extend(scheduler::run(context, &bell, stages, run)?);
    let stopped = asked.as_ref().is_some_and(|asked| asked.to_stop());
    if stopped && !options.watch {
        waiting.push("stopped by a signal".to_owned());
    }
    if options.crawl && !stopped {
        let catalogs = assemble::catalogs(config, &context.clock)?;
        let stage: Box<dyn Stage> = Box::new(CrawlStage::new(context.clone(), catalogs, WindowEnd::Now)?);
        let bell = Arc::new(Bell::new(1));
        waiting.extend(scheduler::run(context, &bell, vec![stage], run)?);
    }
    drop(progress);
    let mut failed = 0;
    for job in context.jobs.keys() {
        failed += store.batch_counts(job)?.get(&BatchState::Failed).copied().unwrap_or(0);
    }
    Ok(Summary::new(&context.tally.counts(), failed, waiting))
}

/// The ledger is looked at before anything is done; one that cannot be reached is looked at again when it is needed.
fn refuse_wrong_ledger(context: &Context, store: &mut Store) -> Result<(), Stop> {
    let mut look = || {
        let mut warehouse = (context.open_warehouse)()?;
        check_identity(store, warehouse.as_mut())?;
        for job in context.jobs.values() {
            warehouse
                .prepare(job.definition.schema())
                .map_err(|f| f.while_doing(format!("job {}", job.name)))?;
        }
        Ok(())
    };
    match look() {
        Ok(()) => Ok(()),
        Err(crate::failure::Failure { kind: FailureKind::Transient, message }) => {
            tracing::warn!("the ledger cannot be reached now; journaling and archiving go on: {message}");
            Ok(())
        }
        Err(failure) => Err(Stop::usage(failure.message)),
    }
}

/// All stages. A landing that is not there is added to what is waited for.
fn stages(
    config: &Config,
    context: &Arc<Context>,
    watch: bool,
    waiting: &mut Vec<String>,
) -> Result<Vec<Box<dyn Stage>>, Stop> {
    let Inboxes { inboxes, missing } = assemble::inboxes(context)?;
    let mut stages: Vec<Box<dyn Stage>> = Vec::new();
    if missing.is_empty() || watch {
        for inbox in inboxes {
            stages.push(Box::new(Listener::new(context.clone(), inbox, watch)?));
        }
    }
    waiting.extend(missing);
    let catalogs = assemble::catalogs(config, &context.clock)?;
    stages.push(Box::new(ArchiveStage::new(context.clone())?));
    stages.push(Box::new(LoadStage::new(context.clone())?));
    stages.push(Box::new(PublishStage::new(context.clone())?));
    stages.push(Box::new(CrawlStage::new(context.clone(), catalogs, WindowEnd::Ticks { watch })?));
    Ok(stages)
}
