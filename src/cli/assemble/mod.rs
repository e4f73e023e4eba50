//! The composition root: configuration in, ports with their adapters out. The only place that knows both.

mod cloud;
mod warehouse;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use sluicegate_state::seam::Seam;

use crate::config::{Config, Location, WarehouseLocation};
use crate::embedded::{CommandAlarm, EmbeddedCatalog, EmbeddedQueryEngine, FileAlarm};
use crate::failure::Failure;
use crate::folder::{FolderInbox, FolderStore};
use crate::job::Job;
use crate::pipeline::context::Context;
use crate::pipeline::handover::Handover;
use crate::pipeline::tally::Tally;
use crate::ports::alarm::Alarm;
use crate::ports::catalog::Catalog;
use crate::ports::clock::Clock;
use crate::ports::inbox::Inbox;
use crate::ports::object_store::ObjectStore;
use crate::ports::query_engine::QueryEngine;
use crate::ports::warehouse::Warehouse;

use super::exit::Stop;
use super::session::host;

/// How a command that only reads makes itself known to the warehouse.
const READER: &str = "reader";

/// What the configuration asks for and this program has no adapter for.
fn not_here(what: impl std::fmt::Display, hint: &str) -> Stop {
    Stop::usage(format!("{what}: {hint}"))
}

const NO_ATHENA: &str =
    "this version of Sluicegate asks no Athena yet; the embedded engine reads a curated folder";

/// Refuses what the configuration asks for and this program cannot do, before anything is touched.
pub(super) fn refuse_unsupported(config: &Config) -> Result<(), Stop> {
    for job in &config.jobs {
        cloud::supports(&job.landing)?;
    }
    cloud::supports(&config.settings.archive)?;
    cloud::supports(&config.settings.curated)?;
    if let Some(queue) = &config.settings.inbox.queue {
        cloud::supports_queue(queue)?;
    }
    if let Some(topic) = &config.settings.alert.topic {
        cloud::supports_topic(topic)?;
    }
    if matches!(config.settings.warehouse, WarehouseLocation::Postgres(_)) && !cfg!(feature = "postgres") {
        return Err(warehouse::not_built_in());
    }
    if let Some(address) = &config.settings.inbox.sns_listen {
        cloud::supports_sns(address)?;
    }
    Ok(())
}

/// Says what of the configuration has no effect in this version.
pub(super) fn warn_of_what_has_no_effect(config: &Config) {
    for job in &config.jobs {
        if let Some(crawler) = &job.crawler {
            tracing::warn!(
                "job {}: this version starts no Glue crawler yet, so {crawler} is left alone",
                job.name
            );
        }
    }
}

/// The folder of a location, if it is one.
pub(super) fn folder(location: &Location) -> Option<PathBuf> {
    match location {
        Location::Folder(path) => Some(path.clone()),
        Location::S3 { .. } => None,
    }
}

/// What a process needs besides its configuration.
pub(super) struct Surroundings {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) seam: Seam,
    pub(super) incarnation: String,
    pub(super) seal_at_once: bool,
}

/// Puts the parts of the pipeline together.
pub(super) fn context(config: &Config, surroundings: Surroundings) -> Result<Context, Stop> {
    let Surroundings { clock, seam, incarnation, seal_at_once } = surroundings;
    let spool = config.settings.state.join("spool");
    std::fs::create_dir_all(&spool)
        .map_err(|error| Stop::failed(format!("cannot make the folder {}: {error}", spool.display())))?;
    let mut landings: BTreeMap<String, Arc<dyn ObjectStore>> = BTreeMap::new();
    for job in &config.jobs {
        landings.insert(job.name.clone(), landing(&job.landing)?);
    }
    let scanned = config.jobs.iter().filter(|job| folder(&job.landing).is_some());
    let jobs = config.jobs.iter().map(|job| (job.name.clone(), Arc::new(job.clone()))).collect();
    Ok(Context {
        jobs,
        open_warehouse: warehouse::opener(
            &config.settings.warehouse,
            &incarnation,
            clock.clone(),
            seam.clone(),
        )?,
        clock,
        seam,
        incarnation,
        host: host(),
        landings,
        scanned_jobs: scanned.map(|job| job.name.clone()).collect(),
        archive: own_store(&config.settings.archive)?,
        curated: own_store(&config.settings.curated)?,
        state: config.settings.state.clone(),
        spool,
        fetch_concurrency: config.settings.pipeline.fetch_concurrency,
        seal_at_once,
        tally: Tally::default(),
        handover: Handover::default(),
    })
}

pub(super) fn landing(location: &Location) -> Result<Arc<dyn ObjectStore>, Stop> {
    match folder(location) {
        Some(path) => Ok(Arc::new(FolderStore::new(path))),
        None => cloud::landing(location),
    }
}

fn own_store(location: &Location) -> Result<Arc<dyn ObjectStore>, Stop> {
    match folder(location) {
        Some(path) => Ok(Arc::new(FolderStore::new(path))),
        None => cloud::own_store(location),
    }
}

/// Makes the folders that are ours and removes what killed processes left half-written there; only the drainer of a state
/// folder does so.
pub(super) fn prepare_folders(config: &Config) -> Result<(), Stop> {
    for location in [&config.settings.archive, &config.settings.curated] {
        // A place that cannot be used now holds up the stage that needs it, and no other.
        let Some(path) = folder(location) else { continue };
        let made = std::fs::create_dir_all(&path).map_err(|error| {
            Failure::transient(format!("cannot make the folder {}: {error}", path.display()))
        });
        if let Err(failure) = made.and_then(|()| FolderStore::new(path).clear_temporary()) {
            tracing::warn!("{failure}");
        }
    }
    Ok(())
}

/// Opens the warehouse for reading by a person, unless nothing was ever loaded.
pub(super) fn existing_warehouse(
    config: &Config,
    clock: Arc<dyn Clock>,
) -> Result<Option<Box<dyn Warehouse>>, Stop> {
    if let WarehouseLocation::Sqlite(path) = &config.settings.warehouse
        && !path.exists()
    {
        return Ok(None);
    }
    let open = warehouse::opener(&config.settings.warehouse, READER, clock, Seam::default())?;
    Ok(Some(open()?))
}

/// Where notifications come from.
pub(super) struct Inboxes {
    /// One a job.
    pub(super) inboxes: Vec<Box<dyn Inbox>>,
    /// Landings that are not there, in words.
    pub(super) missing: Vec<String>,
}

/// Which inboxes a command takes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intake {
    /// What the folders and the queue have now.
    Once,
    /// What they have, and what comes.
    Watch,
    /// That, and what is posted to us: one process of a machine at a time can listen on an address.
    Serve,
}

/// The inboxes of all jobs: a scan for each folder, and queue and endpoint for everything that lies in buckets.
pub(super) fn inboxes(config: &Config, context: &Context, intake: Intake) -> Result<Inboxes, Stop> {
    let mut inboxes: Vec<Box<dyn Inbox>> = Vec::new();
    let mut missing = Vec::new();
    for job in context.jobs.values() {
        let Some(root) = folder(&job.landing) else { continue };
        if !root.is_dir() {
            missing.push(format!("the landing folder {} is not there: mkdir -p {0}", root.display()));
        }
        inboxes.push(Box::new(FolderInbox::new(job.clone(), root, context.clock.clone())));
    }
    if let Some(queue) = &config.settings.inbox.queue {
        inboxes.push(cloud::queue_inbox(queue, &context.jobs, intake != Intake::Once)?);
    }
    let settings = &config.settings.inbox;
    if let (Intake::Serve, Some(address), Some(topic)) = (intake, &settings.sns_listen, &settings.topic) {
        inboxes.push(cloud::sns_inbox(address, topic, context)?);
    }
    Ok(Inboxes { inboxes, missing })
}

/// The crawler of each job that has one here: the embedded catalog of a curated folder.
pub(super) fn catalogs(config: &Config, clock: &Arc<dyn Clock>) -> BTreeMap<String, Box<dyn Catalog>> {
    let Some(curated) = folder(&config.settings.curated) else { return BTreeMap::new() };
    let catalog = |job: &Job| {
        let tables = job.definition.schema().tables.iter().map(|table| table.name.clone()).collect();
        Box::new(EmbeddedCatalog::new(&curated, tables, clock.clone())) as Box<dyn Catalog>
    };
    config.jobs.iter().map(|job| (job.name.clone(), catalog(job))).collect()
}

/// Everybody who is told of what cannot wait.
pub(super) fn alarms(config: &Config) -> Result<Vec<Box<dyn Alarm>>, Stop> {
    let alert = &config.settings.alert;
    let mut alarms: Vec<Box<dyn Alarm>> = Vec::new();
    if let Some(topic) = &alert.topic {
        alarms.push(cloud::topic_alarm(topic)?);
    }
    if let Some(command) = &alert.command {
        alarms.push(Box::new(CommandAlarm::new(command)));
    }
    if let Some(file) = &alert.file {
        alarms.push(Box::new(FileAlarm::new(file)));
    }
    Ok(alarms)
}

/// How long before its expiry a document is told of.
pub(super) fn horizon(config: &Config) -> chrono::TimeDelta {
    chrono::TimeDelta::hours(i64::from(config.settings.alert.hours_before))
}

/// The query engine over all jobs.
pub(super) fn query_engine(config: &Config) -> Result<Box<dyn QueryEngine>, Stop> {
    let curated = &config.settings.curated;
    let curated = folder(curated).ok_or_else(|| not_here(curated, NO_ATHENA))?;
    let temporary = config.settings.state.join("spool");
    std::fs::create_dir_all(&temporary).map_err(|error| {
        Failure::transient(format!("cannot make the folder {}: {error}", temporary.display()))
    })?;
    let schemas = config.jobs.iter().map(|job| job.definition.schema().clone()).collect();
    Ok(Box::new(EmbeddedQueryEngine::new(&curated, schemas, &temporary)))
}
