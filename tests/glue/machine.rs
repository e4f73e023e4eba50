//! A machine at work in this process: the stages of a drain, serial, with a state folder of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sluicegate::aws::GlueCatalog;
use sluicegate::failure::Outcome;
use sluicegate::folder::{FolderInbox, FolderStore};
use sluicegate::pipeline::archive::ArchiveStage;
use sluicegate::pipeline::context::Context;
use sluicegate::pipeline::crawl::{CrawlStage, WindowEnd};
use sluicegate::pipeline::fleet::FleetStage;
use sluicegate::pipeline::handover::Handover;
use sluicegate::pipeline::listener::Listener;
use sluicegate::pipeline::load::LoadStage;
use sluicegate::pipeline::publish::PublishStage;
use sluicegate::pipeline::scheduler::run_serially;
use sluicegate::pipeline::stage::Stage;
use sluicegate::pipeline::tally::Tally;
use sluicegate::ports::catalog::Catalog;
use sluicegate::ports::clock::Clock;
use sluicegate::ports::object_store::ObjectStore;
use sluicegate::ports::warehouse::Warehouse;
use sluicegate::sqlite::SqliteWarehouse;
use sluicegate_state::seam::{Fault, Injected, Seam};
use sluicegate_state::{Incarnation, Store};

use crate::emulator::clients;
use crate::world::{CRAWLER, DATABASE, World, job};

/// Dies once at an effect, before it or after it, as soon as it is told to.
struct Death {
    effect: &'static str,
    after: bool,
    is_due: AtomicBool,
}

impl Death {
    fn strike(&self, effect: &'static str, after: bool) -> Result<(), Injected> {
        let here = self.effect == effect && self.after == after;
        if here && self.is_due.swap(false, Ordering::Relaxed) {
            return Err(Injected { effect, after, transient: false });
        }
        Ok(())
    }
}

impl Fault for Death {
    fn before(&self, effect: &'static str) -> Result<(), Injected> {
        self.strike(effect, false)
    }

    fn after(&self, effect: &'static str) -> Result<(), Injected> {
        self.strike(effect, true)
    }
}

/// One life of a machine. Dropped, it is dead, and its file lock is free.
pub(crate) struct Machine {
    stages: Vec<Box<dyn Stage>>,
    pub(crate) context: Arc<Context>,
    death: Option<Arc<Death>>,
    // Held, so that others of this folder see that it lives.
    _incarnation: Incarnation,
}

impl Machine {
    /// Starts on what an earlier life with this name left.
    pub(crate) fn start(world: &World, name: &str) -> Self {
        Self::with(world, name, None, WindowEnd::Ticks { watch: false })
    }

    /// One that ends the window now.
    pub(crate) fn crawling_now(world: &World, name: &str) -> Self {
        Self::with(world, name, None, WindowEnd::Now)
    }

    /// One that dies at an effect once it is doomed.
    pub(crate) fn dying(world: &World, name: &str, effect: &'static str, after: bool) -> Self {
        let death = Arc::new(Death { effect, after, is_due: AtomicBool::new(false) });
        Self::with(world, name, Some(death), WindowEnd::Ticks { watch: false })
    }

    /// From now on it dies at its effect.
    pub(crate) fn doom(&self) {
        self.death.as_ref().expect("one that dies").is_due.store(true, Ordering::Relaxed);
    }

    fn with(world: &World, name: &str, death: Option<Arc<Death>>, window_end: WindowEnd) -> Self {
        let seam = death.clone().map_or_else(Seam::default, |death| Seam::with_fault(death));
        let state = world.path(name);
        let now = world.clock.now();
        let mut store = Store::open(&state, Seam::default()).unwrap();
        store.bury_dead(now).unwrap();
        let id = world.fresh_incarnation(name);
        let incarnation = store.begin_incarnation(&id, name, std::process::id(), "0", now).unwrap();
        let context = Arc::new(context(world, name, seam, id));
        let stages = stages(world, name, &context, window_end).unwrap();
        Self { stages, context, death, _incarnation: incarnation }
    }

    /// Works until nothing can be done now; what it waits for.
    pub(crate) fn work(&mut self) -> Outcome<Vec<String>> {
        let idles = run_serially(&mut self.stages)?;
        Ok(idles.into_iter().filter_map(|idle| idle.waiting_for).collect())
    }
}

fn context(world: &World, name: &str, seam: Seam, incarnation: String) -> Context {
    let spool = world.path(name).join("spool");
    std::fs::create_dir_all(&spool).unwrap();
    let job = job();
    let landing: Arc<dyn ObjectStore> = Arc::new(FolderStore::new(world.landing(name)));
    let (path, clock, ledger_seam) = (world.warehouse(), world.clock.clone(), seam.clone());
    let open_warehouse = move || {
        let warehouse = SqliteWarehouse::open(&path, "the-ledger", clock.clone(), ledger_seam.clone())?;
        Ok(Box::new(warehouse) as Box<dyn Warehouse>)
    };
    Context {
        landings: BTreeMap::from([(job.name.clone(), landing)]),
        scanned_jobs: BTreeSet::from([job.name.clone()]),
        jobs: BTreeMap::from([(job.name.clone(), job)]),
        clock: world.clock.clone(),
        seam,
        incarnation,
        host: name.to_owned(),
        archive: Arc::new(FolderStore::new(world.path("archive"))),
        curated: world.curated(),
        open_warehouse: Box::new(open_warehouse),
        state: world.path(name),
        spool,
        fetch_concurrency: 1,
        seal_at_once: true,
        tally: Tally::default(),
        handover: Handover::default(),
    }
}

fn stages(
    world: &World,
    name: &str,
    context: &Arc<Context>,
    window_end: WindowEnd,
) -> Outcome<Vec<Box<dyn Stage>>> {
    let job = job();
    let inbox = FolderInbox::new(job.clone(), world.landing(name), world.clock.clone());
    let catalog: Box<dyn Catalog> = Box::new(GlueCatalog::new(clients(&world.glue.url), CRAWLER, DATABASE));
    let catalogs = BTreeMap::from([(job.name.clone(), catalog)]);
    Ok(vec![
        Box::new(Listener::new(context.clone(), Box::new(inbox), false)?),
        Box::new(FleetStage::new(context.clone(), false)?),
        Box::new(ArchiveStage::new(context.clone())?),
        Box::new(LoadStage::new(context.clone())?),
        Box::new(PublishStage::new(context.clone())?),
        Box::new(CrawlStage::new(context.clone(), catalogs, window_end)?),
    ])
}
