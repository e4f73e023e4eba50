//! The composition root: configuration in, ports with their adapters out. The only place that knows both.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use sluicegate_state::seam::Seam;

use crate::config::{Config, Location, WarehouseLocation};
use crate::embedded::{EmbeddedCatalog, EmbeddedQueryEngine};
use crate::failure::{Failure, Outcome};
use crate::folder::{FolderInbox, FolderStore};
use crate::job::Job;
use crate::pipeline::context::Context;
use crate::pipeline::handover::Handover;
use crate::pipeline::tally::Tally;
use crate::ports::catalog::Catalog;
use crate::ports::clock::Clock;
use crate::ports::inbox::Inbox;
use crate::ports::object_store::ObjectStore;
use crate::ports::query_engine::QueryEngine;
use crate::ports::warehouse::Warehouse;
use crate::sqlite::SqliteWarehouse;

use super::exit::Stop;
use super::session::{fresh_id, host};

/// What this version has no adapter for.
fn not_here(what: impl std::fmt::Display) -> Stop {
    Stop::usage(format!(
        "{what}: this version of Sluicegate has only the embedded adapters (folders, SQLite); set no AWS or PostgreSQL location"
    ))
}

/// Refuses what the configuration asks for and this version cannot do, before anything is touched.
pub(super) fn refuse_unsupported(config: &Config) -> Result<(), Stop> {
    for job in &config.jobs {
        if let Some(message) = job.unsupported() {
            return Err(Stop::usage(message));
        }
        folder(&job.landing)?;
        if let Some(crawler) = &job.crawler {
            return Err(not_here(format!("job {} names the Glue crawler {crawler}", job.name)));
        }
    }
    folder(&config.settings.archive)?;
    folder(&config.settings.curated)?;
    if let Some(queue) = &config.settings.inbox.queue {
        return Err(not_here(format!("the queue {queue}")));
    }
    if config.settings.inbox.sns_listen.is_some() {
        return Err(not_here("an SNS endpoint over HTTP"));
    }
    if let WarehouseLocation::Postgres(_) = config.settings.warehouse {
        return Err(not_here("a PostgreSQL warehouse"));
    }
    Ok(())
}

/// The folder of a location.
pub(super) fn folder(location: &Location) -> Result<PathBuf, Stop> {
    match location {
        Location::Folder(path) => Ok(path.clone()),
        Location::S3 { .. } => Err(not_here(location)),
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
        landings.insert(job.name.clone(), Arc::new(FolderStore::new(folder(&job.landing)?)));
    }
    let jobs = config.jobs.iter().map(|job| (job.name.clone(), Arc::new(job.clone()))).collect();
    Ok(Context {
        jobs,
        open_warehouse: Box::new(warehouse_opener(config, clock.clone(), seam.clone())?),
        clock,
        seam,
        incarnation,
        host: host(),
        landings,
        scanned_jobs: config.jobs.iter().map(|job| job.name.clone()).collect(),
        archive: Arc::new(FolderStore::new(folder(&config.settings.archive)?)),
        curated: Arc::new(FolderStore::new(folder(&config.settings.curated)?)),
        state: config.settings.state.clone(),
        spool,
        fetch_concurrency: config.settings.pipeline.fetch_concurrency,
        seal_at_once,
        tally: Tally::default(),
        handover: Handover::default(),
    })
}

/// Makes the folders that are ours and removes what killed processes left half-written there; only the drainer of a state
/// folder does so.
pub(super) fn prepare_folders(config: &Config) -> Result<(), Stop> {
    for location in [&config.settings.archive, &config.settings.curated] {
        // A place that cannot be used now holds up the stage that needs it, and no other.
        let path = folder(location)?;
        let made = std::fs::create_dir_all(&path).map_err(|error| {
            Failure::transient(format!("cannot make the folder {}: {error}", path.display()))
        });
        if let Err(failure) = made.and_then(|()| FolderStore::new(path).clear_temporary()) {
            tracing::warn!("{failure}");
        }
    }
    Ok(())
}

fn warehouse_opener(
    config: &Config,
    clock: Arc<dyn Clock>,
    seam: Seam,
) -> Result<impl Fn() -> Outcome<Box<dyn Warehouse>> + Send + Sync + use<>, Stop> {
    let WarehouseLocation::Sqlite(path) = &config.settings.warehouse else {
        return Err(not_here("a PostgreSQL warehouse"));
    };
    let path = path.clone();
    // A ledger that is made now gets this id; one that is there keeps its own.
    let ledger_id = fresh_id()?;
    Ok(move || {
        let warehouse = SqliteWarehouse::open(&path, &ledger_id, clock.clone(), seam.clone())?;
        Ok(Box::new(warehouse) as Box<dyn Warehouse>)
    })
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
    Ok(Some(warehouse_opener(config, clock, Seam::default())?()?))
}

/// Where notifications come from.
pub(super) struct Inboxes {
    /// One a job.
    pub(super) inboxes: Vec<Box<dyn Inbox>>,
    /// Landings that are not there, in words.
    pub(super) missing: Vec<String>,
}

/// The inboxes of all jobs.
pub(super) fn inboxes(context: &Context) -> Result<Inboxes, Stop> {
    let mut inboxes: Vec<Box<dyn Inbox>> = Vec::new();
    let mut missing = Vec::new();
    for job in context.jobs.values() {
        let root = folder(&job.landing)?;
        if !root.is_dir() {
            missing.push(format!("the landing folder {} is not there: mkdir -p {0}", root.display()));
        }
        inboxes.push(Box::new(FolderInbox::new(job.clone(), root, context.clock.clone())));
    }
    Ok(Inboxes { inboxes, missing })
}

/// The crawler of each job.
pub(super) fn catalogs(
    config: &Config,
    clock: &Arc<dyn Clock>,
) -> Result<BTreeMap<String, Box<dyn Catalog>>, Stop> {
    let curated = folder(&config.settings.curated)?;
    let catalog = |job: &Job| {
        let tables = job.definition.schema().tables.iter().map(|table| table.name.clone()).collect();
        Box::new(EmbeddedCatalog::new(&curated, tables, clock.clone())) as Box<dyn Catalog>
    };
    Ok(config.jobs.iter().map(|job| (job.name.clone(), catalog(job))).collect())
}

/// The query engine over all jobs.
pub(super) fn query_engine(config: &Config) -> Result<Box<dyn QueryEngine>, Stop> {
    let curated = folder(&config.settings.curated)?;
    let temporary = config.settings.state.join("spool");
    std::fs::create_dir_all(&temporary).map_err(|error| {
        Failure::transient(format!("cannot make the folder {}: {error}", temporary.display()))
    })?;
    let schemas = config.jobs.iter().map(|job| job.definition.schema().clone()).collect();
    Ok(Box::new(EmbeddedQueryEngine::new(&curated, schemas, &temporary)))
}
