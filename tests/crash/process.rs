//! A process over real files, as the `drain` command puts it together, but serial and with a clock that stands: it starts,
//! works until it is quiet, and ends or dies.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use chrono::TimeDelta;
use sluicegate::embedded::EmbeddedCatalog;
use sluicegate::failure::{Failure, Outcome};
use sluicegate::folder::{FolderInbox, FolderStore};
use sluicegate::job::Job;
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
use sluicegate::ports::inbox::Inbox;
use sluicegate::ports::object_store::ObjectStore;
use sluicegate::ports::warehouse::Warehouse;
use sluicegate::sqlite::SqliteWarehouse;
use sluicegate_state::seam::Seam;
use sluicegate_state::{DrainerLock, Incarnation, Store};
use tempfile::TempDir;

use crate::fault::Faults;
use crate::landing::{MeddledLanding, WatchedInbox};
use crate::manual_clock::ManualClock;
use crate::workload::BATCH_DOCUMENTS;

/// How often a quiet pipeline may say that it waits for something before that is a defect.
const MOST_WAITS: usize = 30;

/// The files of one run, which outlive every process in it.
pub(crate) struct World {
    folder: TempDir,
    pub(crate) clock: Arc<ManualClock>,
    incarnations: AtomicUsize,
    /// The fleet stage lists the landing, as it does where the landing is a bucket.
    lists_landing: bool,
    /// The job file, which a person may edit between two lives.
    job: Mutex<Arc<Job>>,
}

impl World {
    pub(crate) fn new(lists_landing: bool) -> Self {
        // Power cuts are not what this test simulates, so the files lie in memory where there is such a place.
        let memory = Path::new("/dev/shm");
        let folder =
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let world = Self {
            folder,
            clock: Arc::new(ManualClock::new("2026-03-01T10:01:00Z")),
            incarnations: AtomicUsize::new(0),
            lists_landing,
            job: Mutex::new(job()),
        };
        std::fs::create_dir_all(world.path("landing")).unwrap();
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn warehouse(&self) -> PathBuf {
        self.path("warehouse.db")
    }

    /// A world with the same files at the same moment.
    pub(crate) fn copy(&self) -> Self {
        let job = Mutex::new(self.job());
        let copy = Self { incarnations: AtomicUsize::new(1_000), job, ..Self::new(self.lists_landing) };
        copy_folder(self.folder.path(), copy.folder.path());
        copy.clock.advance(self.clock.now() - copy.clock.now());
        copy
    }

    /// A person edits the job file: each text is replaced by the one beside it.
    pub(crate) fn edit_job(&self, changes: &[(&str, &str)]) {
        let text = changes.iter().fold(small(), |text, (from, to)| {
            assert!(text.contains(from), "the job file holds {from:?}");
            text.replacen(from, to, 1)
        });
        let edited = Job::parse(Path::new("jobs/invoices.toml"), &text, &|_| None).unwrap();
        *self.job.lock().unwrap() = Arc::new(edited);
    }

    pub(crate) fn job(&self) -> Arc<Job> {
        self.job.lock().unwrap().clone()
    }

    /// The disk with the state is lost.
    pub(crate) fn lose_state(&self) {
        let state = self.path("state");
        if state.is_dir() {
            std::fs::remove_dir_all(state).unwrap();
        }
    }

    pub(crate) fn fresh_incarnation(&self) -> String {
        format!("incarnation-{}", self.incarnations.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// Copies files with their times of modification, which say when documents landed.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
            let modified = entry.metadata().unwrap().modified().unwrap();
            std::fs::File::options().write(true).open(&target).unwrap().set_modified(modified).unwrap();
        }
    }
}

/// The text of the shipped job, with small batches.
fn small() -> String {
    let text = include_str!("../../jobs/invoices.toml");
    let small = text.replace("documents = 1000", &format!("documents = {BATCH_DOCUMENTS}"));
    assert_ne!(text, small, "the shipped job has the limit that this test makes smaller");
    small
}

/// The shipped job with small batches; compiled once, because every process of the test reads the same file.
pub(crate) fn job() -> Arc<Job> {
    static JOB: OnceLock<Arc<Job>> = OnceLock::new();
    let parse = || Job::parse(Path::new("jobs/invoices.toml"), &small(), &|_| None).unwrap();
    JOB.get_or_init(|| Arc::new(parse())).clone()
}

/// One life. Dropped, it is dead: the locks are free and nothing is written any more.
pub(crate) struct Process {
    stages: Vec<Box<dyn Stage>>,
    pub(crate) context: Arc<Context>,
    pub(crate) store: Store,
    incarnation: Option<Incarnation>,
    command: i64,
    clock: Arc<ManualClock>,
    _lock: DrainerLock,
}

impl Process {
    /// Starts on what an earlier process left.
    pub(crate) fn start(world: &World, faults: &Arc<Faults>) -> Outcome<Self> {
        let state = world.path("state");
        let lock = DrainerLock::acquire(&state, "the test")?.expect("no other process lives");
        for name in ["archive", "curated"] {
            FolderStore::new(world.path(name)).clear_temporary()?;
        }
        let now = world.clock.now();
        let mut store = Store::open(&state, faults.seam())?;
        store.bury_dead(now)?;
        let id = world.fresh_incarnation();
        let incarnation = store.begin_incarnation(&id, "host", std::process::id(), "0", now)?;
        let command = store.command_started(&id, &["drain".to_owned()], now)?;
        let context = Arc::new(context(world, "state", faults.seam(), id));
        let inbox = FolderInbox::new(world.job(), world.path("landing"), world.clock.clone());
        let inbox = Box::new(WatchedInbox::new(inbox, &state));
        Ok(Self {
            stages: stages(world, &context, inbox)?,
            context,
            store,
            incarnation: Some(incarnation),
            command,
            clock: world.clock.clone(),
            _lock: lock,
        })
    }

    /// Works until nothing is left to do, and lets time pass where only that helps.
    pub(crate) fn settle(&mut self) -> Outcome<()> {
        for _ in 0..MOST_WAITS {
            let idles = run_serially(&mut self.stages)?;
            let waiting: Vec<_> = idles.iter().filter(|idle| idle.waiting_for.is_some()).collect();
            if waiting.is_empty() {
                return Ok(());
            }
            let wake_at = waiting.iter().filter_map(|idle| idle.wake_at).min();
            let wait = wake_at.map_or(TimeDelta::zero(), |at| at - self.clock.now());
            self.clock.advance(wait.max(TimeDelta::seconds(1)));
        }
        Err(Failure::transient("the pipeline does not become quiet"))
    }

    /// Whether it has given up its incarnation.
    pub(crate) fn has_left(&self) -> bool {
        self.incarnation.is_none()
    }

    /// Ends as a command ends.
    pub(crate) fn end(&mut self) -> Outcome<()> {
        let now = self.clock.now();
        self.store.command_ended(self.command, 0, now)?;
        if let Some(incarnation) = self.incarnation.take() {
            self.store.end_incarnation(incarnation, now)?;
        }
        Ok(())
    }
}

/// What the stages of one process share; `state` is the name of its state folder.
pub(crate) fn context(world: &World, state: &str, seam: Seam, incarnation: String) -> Context {
    let spool = world.path(state).join("spool");
    std::fs::create_dir_all(&spool).unwrap();
    let job = world.job();
    let landing: Arc<dyn ObjectStore> = Arc::new(MeddledLanding::new(&world.path("landing")));
    let (path, clock, ledger_seam) = (world.warehouse(), world.clock.clone(), seam.clone());
    let open_warehouse = move || {
        let warehouse = SqliteWarehouse::open(&path, "the-ledger", clock.clone(), ledger_seam.clone())?;
        Ok(Box::new(warehouse) as Box<dyn Warehouse>)
    };
    Context {
        landings: BTreeMap::from([(job.name.clone(), landing)]),
        scanned_jobs: if world.lists_landing { BTreeSet::new() } else { BTreeSet::from([job.name.clone()]) },
        jobs: BTreeMap::from([(job.name.clone(), job)]),
        clock: world.clock.clone(),
        seam,
        incarnation,
        host: "host".to_owned(),
        archive: Arc::new(FolderStore::new(world.path("archive"))),
        curated: Arc::new(FolderStore::new(world.path("curated"))),
        open_warehouse: Box::new(open_warehouse),
        state: world.path(state),
        spool,
        fetch_concurrency: 1,
        seal_at_once: true,
        tally: Tally::default(),
        handover: Handover::default(),
    }
}

/// The stages of a drain that takes its notifications from `inbox`.
pub(crate) fn stages(
    world: &World,
    context: &Arc<Context>,
    inbox: Box<dyn Inbox>,
) -> Outcome<Vec<Box<dyn Stage>>> {
    let job = world.job();
    let tables = job.definition.schema().tables.iter().map(|table| table.name.clone()).collect();
    let catalog: Box<dyn Catalog> =
        Box::new(EmbeddedCatalog::new(&world.path("curated"), tables, world.clock.clone()));
    let catalogs = BTreeMap::from([(job.name.clone(), catalog)]);
    Ok(vec![
        Box::new(Listener::new(context.clone(), inbox, false)?),
        Box::new(FleetStage::new(context.clone(), false)?),
        Box::new(ArchiveStage::new(context.clone())?),
        Box::new(LoadStage::new(context.clone())?),
        Box::new(PublishStage::new(context.clone())?),
        Box::new(CrawlStage::new(context.clone(), catalogs, WindowEnd::Ticks { watch: false })?),
    ])
}

/// The stages that bring what lies in the landing into the archive, and go no further.
pub(crate) fn stages_up_to_the_archive(world: &World, context: &Arc<Context>) -> Vec<Box<dyn Stage>> {
    let inbox = FolderInbox::new(world.job(), world.path("landing"), world.clock.clone());
    vec![
        Box::new(Listener::new(context.clone(), Box::new(inbox), false).unwrap()),
        Box::new(ArchiveStage::new(context.clone()).unwrap()),
    ]
}
