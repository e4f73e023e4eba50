//! A machine: a disk, and lives that begin and end on it. Its stages are ticked by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use sluicegate::failure::{Failure, FailureKind, Outcome};
use sluicegate::job::Job;
use sluicegate::pipeline::archive::ArchiveStage;
use sluicegate::pipeline::context::Context;
use sluicegate::pipeline::crawl::{CrawlStage, WindowEnd};
use sluicegate::pipeline::fleet::FleetStage;
use sluicegate::pipeline::handover::Handover;
use sluicegate::pipeline::listener::Listener;
use sluicegate::pipeline::load::LoadStage;
use sluicegate::pipeline::publish::PublishStage;
use sluicegate::pipeline::stage::{Idle, Stage, Tick};
use sluicegate::pipeline::tally::Tally;
use sluicegate::ports::catalog::Catalog;
use sluicegate::ports::clock::Clock;
use sluicegate::ports::object_store::ObjectStore;
use sluicegate::ports::warehouse::Warehouse;
use sluicegate::reconcile::behind::enter::{Entered, enter};
use sluicegate::reconcile::behind::look::look;
use sluicegate::reconcile::mend::Person;
use sluicegate_state::seam::{Fault, Injected, Seam};
use sluicegate_state::{DrainerLock, Incarnation, Store};

use crate::crawler::CrawlerClient;
use crate::hub::{Hub, SkewedClock};
use crate::ledger::Ledger;
use crate::queue::WatchedQueue;
use crate::world::Places;

/// More ticks than a quiet machine ever needs in one moment.
const MOST_TICKS: usize = 20_000;

/// The faults of one life: any effect may kill it or fail, before it or after it.
struct LifeFaults {
    hub: Arc<Hub>,
    dead: AtomicBool,
    machine: usize,
}

impl LifeFaults {
    fn strike(&self, effect: &'static str, after: bool) -> Result<(), Injected> {
        if self.dead.load(Ordering::Relaxed) {
            return Err(Injected { effect, after, transient: false });
        }
        self.hub.may_stall_at(effect, after);
        let moment = if after { "after" } else { "before" };
        // A life has many effects: the share is that of a call, quartered.
        let share = self.hub.options.rate.div_ceil(4);
        if self.hub.strikes_at("deaths", share) {
            self.hub.trace(|| format!("  machine {} dies {moment} {effect}", self.machine));
            self.dead.store(true, Ordering::Relaxed);
            return Err(Injected { effect, after, transient: false });
        }
        if self.hub.strikes_at("effect-errors", share) {
            self.hub.trace(|| format!("  fault: {effect} fails {moment} its effect"));
            return Err(Injected { effect, after, transient: true });
        }
        Ok(())
    }
}

impl Fault for LifeFaults {
    fn before(&self, effect: &'static str) -> Result<(), Injected> {
        self.strike(effect, false)
    }

    fn after(&self, effect: &'static str) -> Result<(), Injected> {
        self.hub.trace(|| format!("  machine {}: {effect}", self.machine));
        self.strike(effect, true)
    }
}

/// The shipped job with small batches, in a bucket.
pub(crate) fn job(batch_documents: u64) -> Arc<Job> {
    static JOBS: [OnceLock<Arc<Job>>; 8] = [const { OnceLock::new() }; 8];
    let parse = || {
        let text = include_str!("../../jobs/invoices.toml");
        let small = text.replace("documents = 1000", &format!("documents = {batch_documents}"));
        let variables = |name: &str| (name == "SLUICEGATE_LANDING").then(|| "s3://landing".to_owned());
        Arc::new(Job::parse(Path::new("jobs/invoices.toml"), &small, &variables).unwrap())
    };
    JOBS[batch_documents as usize].get_or_init(parse).clone()
}

/// A process. Dropped, it is dead.
struct Life {
    stages: Vec<Box<dyn Stage>>,
    faults: Arc<LifeFaults>,
    store: Store,
    incarnation: Option<Incarnation>,
    _lock: DrainerLock,
}

pub(crate) struct Machine {
    pub(crate) number: usize,
    pub(crate) state: PathBuf,
    /// It is gone for good.
    pub(crate) is_gone: bool,
    places: Arc<Places>,
    lives: AtomicU64,
    life: Option<Life>,
    next_stage: usize,
}

impl Machine {
    pub(crate) fn new(number: usize, places: &Arc<Places>) -> Self {
        let state = places.folder.path().join(format!("machine-{number}"));
        let (places, lives) = (places.clone(), AtomicU64::new(0));
        Self { number, state, is_gone: false, places, lives, life: None, next_stage: 0 }
    }

    fn hub(&self) -> &Arc<Hub> {
        &self.places.hub
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.life.is_some()
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.state.join("state.db")
    }

    fn clock(&self) -> Arc<dyn Clock> {
        let skew = self.hub().options.machine_skews[self.number];
        Arc::new(SkewedClock { hub: self.hub().clone(), skew })
    }

    /// Begins a life on what is on the disk. A death or an error on the way is the end of it.
    pub(crate) fn start(&mut self) -> Outcome<()> {
        if self.is_gone || self.is_alive() {
            return Ok(());
        }
        self.hub().trace(|| format!("machine {} starts", self.number));
        let faults = self.faults();
        match self.begin(&faults) {
            Ok(life) => self.life = Some(life),
            Err(failure) => self.judge(&failure, &faults)?,
        }
        Ok(())
    }

    fn faults(&self) -> Arc<LifeFaults> {
        Arc::new(LifeFaults { hub: self.hub().clone(), dead: AtomicBool::new(false), machine: self.number })
    }

    /// Somebody runs the command that enters again what a restored ledger has lost; nothing where it died or was
    /// disturbed, and has to be run again.
    pub(crate) fn enter_lost_loads(&mut self) -> Outcome<Option<Entered>> {
        self.hub().trace(|| format!("machine {} enters lost loads again", self.number));
        let faults = self.faults();
        match self.try_to_enter(Seam::with_fault(faults.clone())) {
            Ok(entered) => Ok(Some(entered)),
            Err(failure) => self.judge(&failure, &faults).map(|()| None),
        }
    }

    fn try_to_enter(&self, seam: Seam) -> Outcome<Entered> {
        let _lock = DrainerLock::acquire(&self.state, "the simulation")?.expect("nobody else is here");
        let mut store = Store::open(&self.state, seam.clone())?;
        let context = self.context(seam, format!("machine-{}-by-hand", self.number));
        let mut warehouse = (context.open_warehouse)()?;
        let lost = look(&context, &store, warehouse.as_mut())?;
        let person = Person {
            operator: "somebody@host".to_owned(),
            command: "reconcile --ledger-behind".to_owned(),
            reason: "no newer backup".to_owned(),
        };
        enter(&context, &mut store, &mut warehouse, &lost, &person)
    }

    fn begin(&self, faults: &Arc<LifeFaults>) -> Outcome<Life> {
        let lock = DrainerLock::acquire(&self.state, "the simulation")?.expect("nobody else is here");
        let seam = Seam::with_fault(faults.clone());
        let now = self.clock().now();
        let mut store = Store::open(&self.state, seam.clone())?;
        store.bury_dead(now)?;
        let life = self.lives.fetch_add(1, Ordering::Relaxed) + 1;
        let id = format!("machine-{}-life-{life}", self.number);
        let incarnation = store.begin_incarnation(&id, "host", std::process::id(), "0", now)?;
        let context = Arc::new(self.context(seam, id));
        Ok(Life {
            stages: self.stages(&context)?,
            faults: faults.clone(),
            store,
            incarnation: Some(incarnation),
            _lock: lock,
        })
    }

    fn context(&self, seam: Seam, incarnation: String) -> Context {
        let spool = self.state.join("spool");
        fs::create_dir_all(&spool).unwrap();
        let job = job(self.hub().options.batch_documents);
        let landing: Arc<dyn ObjectStore> = self.places.landing.clone();
        let (hub, ledger_seam) = (self.hub().clone(), seam.clone());
        let open_warehouse =
            move || Ok(Box::new(Ledger::open(&hub, ledger_seam.clone())?) as Box<dyn Warehouse>);
        Context {
            landings: BTreeMap::from([(job.name.clone(), landing)]),
            scanned_jobs: BTreeSet::new(),
            jobs: BTreeMap::from([(job.name.clone(), job)]),
            clock: self.clock(),
            seam,
            incarnation,
            host: format!("machine-{}", self.number),
            archive: self.places.archive.clone(),
            curated: self.places.curated.clone(),
            open_warehouse: Box::new(open_warehouse),
            state: self.state.clone(),
            spool,
            fetch_concurrency: 1,
            seal_at_once: self.hub().options.seal_at_once,
            tally: Tally::default(),
            handover: Handover::default(),
        }
    }

    fn stages(&self, context: &Arc<Context>) -> Outcome<Vec<Box<dyn Stage>>> {
        let watch = !context.seal_at_once;
        let queue = WatchedQueue::new(self.places.queue.clone(), self.number, self.journal());
        let catalog = || Box::new(CrawlerClient(self.places.crawler.clone())) as Box<dyn Catalog>;
        let catalogs = context.jobs.keys().map(|job| (job.clone(), catalog())).collect();
        Ok(vec![
            Box::new(Listener::new(context.clone(), Box::new(queue), watch)?),
            Box::new(FleetStage::new(context.clone(), watch)?),
            Box::new(ArchiveStage::new(context.clone())?),
            Box::new(LoadStage::new(context.clone())?),
            Box::new(PublishStage::new(context.clone())?),
            Box::new(CrawlStage::new(context.clone(), catalogs, WindowEnd::Ticks { watch })?),
        ])
    }

    /// A failure that ends a process: injected ones are no news, every other one is a defect.
    fn judge(&self, failure: &Failure, faults: &LifeFaults) -> Outcome<()> {
        self.hub().trace(|| format!("machine {} ends: {failure}", self.number));
        if faults.dead.load(Ordering::Relaxed) {
            self.hub().count_death();
            return Ok(());
        }
        let is_injected = failure.message.contains("test fault") && failure.kind == FailureKind::Transient;
        if is_injected { Ok(()) } else { Err(failure.clone()) }
    }

    /// One tick of the stage whose turn it is.
    ///
    /// # Errors
    /// A failure that nobody injected.
    pub(crate) fn tick(&mut self) -> Outcome<Option<Tick>> {
        let Some(life) = &mut self.life else { return Ok(None) };
        self.places.hub.stalls.begin_tick();
        let stage = self.next_stage % life.stages.len();
        self.next_stage += 1;
        let ticked = life.stages[stage].tick();
        let faults = life.faults.clone();
        match ticked {
            // A stage may have met the death and told nobody.
            Ok(_) if faults.dead.load(Ordering::Relaxed) => {
                self.life = None;
                self.hub().count_death();
                Ok(None)
            }
            Ok(tick) => Ok(Some(tick)),
            Err(failure) => {
                self.life = None;
                self.judge(&failure, &faults).map(|()| None)
            }
        }
    }

    /// Ticks until nothing is to be done in this moment; what is then waited for.
    pub(crate) fn work(&mut self) -> Outcome<Vec<Idle>> {
        for _ in 0..MOST_TICKS {
            let Some(life) = &self.life else { return Ok(Vec::new()) };
            let (count, mut idles) = (life.stages.len(), Vec::new());
            for _ in 0..count {
                match self.tick()? {
                    Some(Tick::Idle(idle) | Tick::Aside(idle)) => idles.push(idle),
                    Some(Tick::Worked) => {}
                    None => return Ok(Vec::new()),
                }
            }
            if idles.len() == count {
                return Ok(idles);
            }
        }
        Err(Failure::permanent("the machine never becomes quiet"))
    }

    /// It is killed.
    pub(crate) fn kill(&mut self) {
        if let Some(life) = self.life.take() {
            self.hub().trace(|| format!("machine {} is killed", self.number));
            life.faults.dead.store(true, Ordering::Relaxed);
            self.hub().count_death();
        }
    }

    /// It ends in good order.
    pub(crate) fn end(&mut self) -> Outcome<()> {
        let Some(mut life) = self.life.take() else { return Ok(()) };
        self.hub().trace(|| format!("machine {} ends", self.number));
        let now = self.clock().now();
        let Some(incarnation) = life.incarnation.take() else { return Ok(()) };
        let ended = life.store.end_incarnation(incarnation, now);
        ended.map_err(Failure::from).or_else(|failure| self.judge(&failure, &life.faults))
    }

    /// Its disk is lost, and so is what only it knew.
    pub(crate) fn lose_disk(&mut self) {
        self.kill();
        self.hub().trace(|| format!("machine {} loses its disk", self.number));
        if self.state.is_dir() {
            fs::remove_dir_all(&self.state).unwrap();
        }
        self.forget_acknowledged();
    }

    /// What it acknowledged is no longer known to be on its disk.
    pub(crate) fn forget_acknowledged(&self) {
        for landed in self.places.landing.log().iter_mut() {
            landed.acknowledged_by.retain(|machine| *machine != self.number);
        }
    }
}
