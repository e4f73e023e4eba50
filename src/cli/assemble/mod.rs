//! The composition root: configuration in, ports with their adapters out. The only place that knows both.

mod cloud;
mod engine;
mod warehouse;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use sluicegate_state::BatchState;
use sluicegate_state::disk::create_folder;
use sluicegate_state::seam::Seam;

use crate::config::{Config, Location, WarehouseLocation};
use crate::embedded::{CommandAlarm, EmbeddedCatalog, FileAlarm};
use crate::failure::Failure;
use crate::folder::{FolderInbox, FolderStore};
use crate::job::Job;
use crate::pipeline::context::Context;
use crate::pipeline::handover::Handover;
use crate::pipeline::tally::Tally;
use crate::ports::account::Account;
use crate::ports::alarm::Alarm;
use crate::ports::catalog::Catalog;
use crate::ports::clock::Clock;
use crate::ports::definitions::Definitions;
use crate::ports::inbox::Inbox;
use crate::ports::object_store::ObjectStore;
use crate::ports::server::ServerFacts;
use crate::ports::warehouse::Warehouse;

pub(super) use engine::query_engine;

use super::exit::Stop;
use super::seam::seam;
use super::session::host;
use super::stored::existing_store;

/// How a command that only reads makes itself known to the warehouse.
const READER: &str = "reader";

/// What the configuration asks for and this program has no adapter for.
fn not_here(what: impl std::fmt::Display, hint: &str) -> Stop {
    Stop::usage(format!("{what}: {hint}"))
}

const NO_ATHENA: &str = "a bucket is queried through Athena: set SLUICEGATE_WORKGROUP to a workgroup and \
                         SLUICEGATE_DATABASE to the Glue database of the tables";

/// Refuses what the configuration asks for and this program cannot do, before anything is touched.
pub(super) fn refuse_unsupported(config: &Config) -> Result<(), Stop> {
    for job in &config.jobs {
        cloud::supports(&job.landing)?;
        refuse_crawler(config, job)?;
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

/// Begins what takes its time and will be needed soon.
pub(super) fn get_ready(config: &Config) {
    warehouse::get_ready(&config.settings.warehouse);
}

/// Refuses a crawler that cannot be used: this program was built without AWS, or the crawler's database is not known.
fn refuse_crawler(config: &Config, job: &Job) -> Result<(), Stop> {
    let Some(crawler) = &job.crawler else { return Ok(()) };
    cloud::supports_crawler(crawler)?;
    database_of(config, crawler).map(drop)
}

/// The database of a job's crawler.
fn database_of<'a>(config: &'a Config, crawler: &str) -> Result<&'a str, Stop> {
    config.settings.catalog_database.as_deref().ok_or_else(|| {
        not_here(
            format!("the Glue crawler {crawler}"),
            "its database is not known: set SLUICEGATE_DATABASE, or `database` under [catalog] in sluicegate.toml",
        )
    })
}

/// Names the jobs whose batches will await a crawl, because nobody crawls a bucket for them.
pub(super) fn warn_of_missing_crawlers(config: &Config) {
    if folder(&config.settings.curated).is_some() {
        return;
    }
    for job in config.jobs.iter().filter(|job| job.crawler.is_none()) {
        tracing::warn!(
            "job {}: {} is a bucket and the job has no crawler, so its batches stay published and await a crawl: set \
             SLUICEGATE_CRAWLER and SLUICEGATE_DATABASE",
            job.name,
            config.settings.curated
        );
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
        archive: archive_store(&config.settings.archive)?,
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

/// An archive folder that was there once is never made again by itself, see [`prepare_folders`].
fn archive_store(location: &Location) -> Result<Arc<dyn ObjectStore>, Stop> {
    match folder(location) {
        Some(path) => Ok(Arc::new(FolderStore::kept(path))),
        None => cloud::own_store(location),
    }
}

/// Makes the folders that are ours and removes what killed processes left half-written there; only the drainer of a state
/// folder does so. An archive folder that is gone although the state knows of archived batches is not made: it is more
/// likely not mounted. Answers what is to be done then.
pub(super) fn prepare_folders(config: &Config) -> Result<Option<String>, Stop> {
    let missing = missing_archive(config)?;
    for location in [&config.settings.archive, &config.settings.curated] {
        // A place that cannot be used now holds up the stage that needs it, and no other.
        let Some(path) = folder(location) else { continue };
        if missing.is_some() && *location == config.settings.archive {
            continue;
        }
        let made = create_folder(&path).map_err(|error| {
            Failure::transient(format!("cannot make the folder {}: {error}", path.display()))
        });
        if let Err(failure) = made.and_then(|()| FolderStore::new(path).clear_temporary()) {
            tracing::warn!("{failure}");
        }
    }
    Ok(missing)
}

/// Says that the archive folder is gone, where something was archived in it.
fn missing_archive(config: &Config) -> Result<Option<String>, Stop> {
    let Some(path) = folder(&config.settings.archive).filter(|path| !path.exists()) else { return Ok(None) };
    let Some(store) = existing_store(config)? else { return Ok(None) };
    let mut batches = 0;
    for job in &config.jobs {
        let counts = store.batch_counts(&job.name)?;
        let in_archive = [BatchState::Archived, BatchState::Loaded, BatchState::Published];
        batches += in_archive.iter().filter_map(|state| counts.get(state)).sum::<u64>();
    }
    let path = path.display();
    let missing = format!(
        "the archive folder {path} is not there, and {batches} batches are in it: mount it, or, if it is lost for good: \
         mkdir -p {path}"
    );
    Ok((batches > 0).then_some(missing))
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
    let open = warehouse::opener(&config.settings.warehouse, READER, clock, seam())?;
    Ok(Some(open()?))
}

/// What a warehouse that is a server says about itself, without a change to it.
pub(super) fn server_facts(config: &Config) -> Result<ServerFacts, Stop> {
    warehouse::server_facts(config)
}

/// The account in AWS, for harmless questions; none where this program knows no AWS.
pub(super) fn account() -> Result<Option<Arc<dyn Account>>, Stop> {
    cloud::account()
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
    /// Nothing: what was taken in before is brought to its end.
    Nothing,
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
    if intake == Intake::Nothing {
        return Ok(Inboxes { inboxes, missing });
    }
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

/// The crawler of each job that has one: a Glue crawler, or the embedded catalog of a curated folder.
pub(super) fn catalogs(
    config: &Config,
    clock: &Arc<dyn Clock>,
) -> Result<BTreeMap<String, Box<dyn Catalog>>, Stop> {
    let mut catalogs = BTreeMap::new();
    for job in &config.jobs {
        if let Some(catalog) = catalog(config, job, clock)? {
            catalogs.insert(job.name.clone(), catalog);
        }
    }
    Ok(catalogs)
}

fn catalog(config: &Config, job: &Job, clock: &Arc<dyn Clock>) -> Result<Option<Box<dyn Catalog>>, Stop> {
    if let Some(crawler) = &job.crawler {
        return cloud::crawler(crawler, database_of(config, crawler)?).map(Some);
    }
    let Some(curated) = folder(&config.settings.curated) else { return Ok(None) };
    let tables = job.definition.schema().tables.iter().map(|table| table.name.clone()).collect();
    Ok(Some(Box::new(EmbeddedCatalog::new(&curated, tables, clock.clone()))))
}

/// The definitions of the Glue Data Catalog.
pub(super) fn definitions(config: &Config) -> Result<Box<dyn Definitions>, Stop> {
    cloud::definitions(config)
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

/// Which engine answers queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    /// Over a curated folder, since Athena reads none.
    Embedded,
    /// Over a curated bucket.
    Athena,
}

/// The engine that the configuration asks for.
pub(super) fn engine(config: &Config) -> Result<Engine, Stop> {
    let settings = &config.settings;
    let has_athena = settings.athena_workgroup.is_some() || settings.catalog_database.is_some();
    match folder(&settings.curated) {
        Some(_) => Ok(Engine::Embedded),
        None if has_athena => Ok(Engine::Athena),
        None => Err(not_here(&settings.curated, NO_ATHENA)),
    }
}
