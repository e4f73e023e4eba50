//! `drain` and `run`: the scheduler with all its stages.

use std::sync::Arc;

use sluicegate_state::{BatchState, DrainerLock, Store};

use crate::config::Config;
use crate::failure::FailureKind;
use crate::pipeline::alert::{AlertStage, watched};
use crate::pipeline::archive::ArchiveStage;
use crate::pipeline::bell::Bell;
use crate::pipeline::context::Context;
use crate::pipeline::crawl::{CrawlStage, WindowEnd};
use crate::pipeline::fleet::FleetStage;
use crate::pipeline::ledger::check_identity;
use crate::pipeline::listener::Listener;
use crate::pipeline::load::LoadStage;
use crate::pipeline::publish::PublishStage;
use crate::pipeline::pulse::Pulse;
use crate::pipeline::scheduler::{self, RunOptions};
use crate::pipeline::stage::Stage;
use crate::pipeline::tally::Counts;
use crate::ports::clock::{Clock, SystemClock};

use super::args::{DrainOptions, Flags};
use super::assemble::{self, Inboxes, Intake, Surroundings};
use super::exit::{Exit, Stop};
use super::manager;
use super::output::time;
use super::progress::Progress;
use super::seam::seam;
use super::session::{Session, host, load_config};
use super::signals::{Asked, stop_on_signal};
use super::stored::left_of_removed_jobs;
use super::summary::Summary;

/// Loads that one process makes at a time, where the warehouse takes as many.
const LOADS: usize = 2;

/// `sluicegate drain`.
pub(super) fn drain(flags: &Flags, options: &DrainOptions) -> Result<Exit, Stop> {
    drain_from(flags, options, if options.watch { Intake::Watch } else { Intake::Once })
}

fn drain_from(flags: &Flags, options: &DrainOptions, intake: Intake) -> Result<Exit, Stop> {
    let asked = stop_on_signal(if options.watch { Exit::Fine } else { Exit::Failed })?;
    let config = load_config(flags)?;
    match drain_config(&config, options, intake, &asked)? {
        Drained::Done(summary) => {
            summary.show(flags)?;
            Ok(end_of(options, &summary))
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
    drain_from(flags, &options, Intake::Serve)
}

/// Who watches ends only because somebody said so, and that is fine whatever documents it met before.
fn end_of(options: &DrainOptions, summary: &Summary) -> Exit {
    if options.watch { Exit::Fine } else { summary.exit() }
}

/// How a drain ended.
pub(super) enum Drained {
    /// It did what could be done.
    Done(Summary),
    /// Another process drains this state folder.
    HeldBy(String),
}

/// Drains what `config` describes.
pub(super) fn drain_config(
    config: &Config,
    options: &DrainOptions,
    intake: Intake,
    asked: &Asked,
) -> Result<Drained, Stop> {
    assemble::refuse_unsupported(config)?;
    assemble::get_ready(config);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let holder = format!("process {} on {} since {}", std::process::id(), host(), time(clock.now()));
    let _lock = match DrainerLock::acquire(&config.settings.state, &holder)? {
        Ok(lock) => lock,
        Err(holder) => return Ok(Drained::HeldBy(holder)),
    };
    assemble::warn_of_missing_crawlers(config);
    if let Some(missing) = assemble::prepare_folders(config)? {
        // Who watches goes on with what does not need it, and with the rest once it is there.
        if !options.watch {
            return Err(Stop::failed(missing));
        }
        tracing::warn!("{missing}");
    }
    // Before there is a session: whoever begins one has the time to say farewell, also while nobody listens yet.
    if intake != Intake::Nothing && config.settings.inbox.is_elsewhere() {
        asked.listens();
    }
    let mut session = Session::begin(config, seam(), clock.clone())?;
    let surroundings = Surroundings {
        clock: clock.clone(),
        seam: seam(),
        incarnation: session.incarnation().to_owned(),
        seal_at_once: !options.watch && intake != Intake::Nothing,
    };
    let context = Arc::new(assemble::context(config, surroundings)?);
    let result = work(config, &context, session.store(), options, intake, asked);
    let exit = match &result {
        Ok(summary) => end_of(options, summary),
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
    intake: Intake,
    asked: &Asked,
) -> Result<Summary, Stop> {
    refuse_wrong_ledger(context, store)?;
    let mut waiting = Vec::new();
    let Parts { stages, pulses } = parts(config, context, intake, &mut waiting)?;
    let bell = Arc::new(Bell::new(stages.len()));
    asked.stops(&bell);
    if options.watch {
        manager::announce(&bell, pulses);
    }
    let progress = Progress::start(context.clone());
    let run = RunOptions { watch: options.watch, patience: options.patience };
    let ended = scheduler::run(context, &bell, stages, run);
    if options.watch {
        manager::say_stopping();
    }
    waiting.extend(ended?);
    if options.crawl && !asked.to_stop() {
        let catalogs = assemble::catalogs(config, &context.clock)?;
        let stage: Box<dyn Stage> = Box::new(CrawlStage::new(context.clone(), catalogs, WindowEnd::Now)?);
        let bell = Arc::new(Bell::new(1));
        asked.stops(&bell);
        waiting.extend(scheduler::run(context, &bell, vec![stage], run)?);
    }
    waiting.extend(context.tally.counts().given_up_crawls.into_values());
    if asked.to_stop() && !options.watch {
        waiting.push("stopped by a signal".to_owned());
    }
    if !options.watch {
        tell(config, context, store)?;
    }
    drop(progress);
    let mut failed = 0;
    for job in store.jobs()? {
        failed += store.batch_counts(&job)?.get(&BatchState::Failed).copied().unwrap_or(0);
    }
    for left in left_of_removed_jobs(store, |job| context.jobs.contains_key(job))? {
        tracing::warn!("{left}");
    }
    Ok(Summary::new(&context.tally.counts(), failed, waiting))
}

/// Tells people of what this drain leaves behind. Whether they can be told changes nothing about the drain.
fn tell(config: &Config, context: &Context, store: &mut Store) -> Result<(), Stop> {
    let mut alarms = assemble::alarms(config)?;
    match watched(context, store, &mut alarms, assemble::horizon(config)) {
        Ok(_) => {}
        Err(failure) => tracing::warn!("an alert could not be told, the next drain tries again: {failure}"),
    }
    Ok(())
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

/// The stages of a drain, and the pulses of its listeners.
struct Parts {
    stages: Vec<Box<dyn Stage>>,
    pulses: Vec<Arc<Pulse>>,
}

/// All stages. A landing that is not there is added to what is waited for.
fn parts(
    config: &Config,
    context: &Arc<Context>,
    intake: Intake,
    waiting: &mut Vec<String>,
) -> Result<Parts, Stop> {
    let Inboxes { inboxes, missing } = assemble::inboxes(config, context, intake)?;
    let watch = matches!(intake, Intake::Watch | Intake::Serve);
    let mut stages: Vec<Box<dyn Stage>> = Vec::new();
    let mut pulses = Vec::new();
    if missing.is_empty() || watch {
        for inbox in inboxes {
            let listener = Listener::new(context.clone(), inbox, watch)?;
            pulses.push(listener.pulse());
            stages.push(Box::new(listener));
        }
    }
    waiting.extend(missing);
    let catalogs = assemble::catalogs(config, &context.clock)?;
    stages.push(Box::new(FleetStage::new(context.clone(), watch)?));
    stages.push(Box::new(ArchiveStage::new(context.clone())?));
    for number in 0..LOADS {
        stages.push(Box::new(LoadStage::numbered(context.clone(), number)?));
    }
    stages.push(Box::new(PublishStage::new(context.clone())?));
    stages.push(Box::new(CrawlStage::new(context.clone(), catalogs, WindowEnd::Ticks { watch })?));
    let alarms = assemble::alarms(config)?;
    if watch && !alarms.is_empty() {
        stages.push(Box::new(AlertStage::new(context.clone(), alarms, assemble::horizon(config))?));
    }
    Ok(Parts { stages, pulses })
}
