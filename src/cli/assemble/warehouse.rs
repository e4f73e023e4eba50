//! The warehouse of a configuration: SQLite, or PostgreSQL where it is compiled in.

use std::sync::Arc;

use sluicegate_state::seam::Seam;

use crate::config::{Config, WarehouseLocation};
use crate::pipeline::context::OpenWarehouse;
use crate::ports::clock::Clock;
use crate::ports::server::ServerFacts;
use crate::ports::warehouse::Warehouse;
use crate::sqlite::SqliteWarehouse;

use super::super::exit::Stop;
use super::super::session::fresh_id;

/// What to say where PostgreSQL is asked for and was left out.
pub(super) fn not_built_in() -> Stop {
    Stop::usage(
        "a PostgreSQL warehouse: this program was built without it; build it with the default features",
    )
}

/// Begins what the first connection will need and what takes its time.
pub(super) fn get_ready(location: &WarehouseLocation) {
    #[cfg(feature = "postgres")]
    if let WarehouseLocation::Postgres(url) = location {
        crate::postgres::get_ready(url);
    }
    #[cfg(not(feature = "postgres"))]
    let _ = location;
}

/// Opens a connection at each call.
pub(super) fn opener(
    location: &WarehouseLocation,
    incarnation: &str,
    clock: Arc<dyn Clock>,
    seam: Seam,
) -> Result<Box<OpenWarehouse>, Stop> {
    // A ledger that is made now gets this id; one that is there keeps its own.
    let ledger_id = fresh_id()?;
    match location {
        WarehouseLocation::Sqlite(path) => {
            let path = path.clone();
            Ok(Box::new(move || {
                let warehouse = SqliteWarehouse::open(&path, &ledger_id, clock.clone(), seam.clone())?;
                Ok(Box::new(warehouse) as Box<dyn Warehouse>)
            }))
        }
        WarehouseLocation::Postgres(url) => postgres_opener(url, ledger_id, incarnation, seam),
    }
}

#[cfg(feature = "postgres")]
fn postgres_opener(
    url: &crate::config::Secret,
    ledger_id: String,
    incarnation: &str,
    seam: Seam,
) -> Result<Box<OpenWarehouse>, Stop> {
    use crate::postgres::{PostgresWarehouse, Recent};
    let (url, incarnation, recent) = (url.clone(), incarnation.to_owned(), Recent::default());
    Ok(Box::new(move || {
        let warehouse = PostgresWarehouse::open(&url, &ledger_id, &incarnation, &recent, seam.clone())?;
        Ok(Box::new(warehouse) as Box<dyn Warehouse>)
    }))
}

#[cfg(not(feature = "postgres"))]
fn postgres_opener(
    _url: &crate::config::Secret,
    _ledger_id: String,
    _incarnation: &str,
    _seam: Seam,
) -> Result<Box<OpenWarehouse>, Stop> {
    Err(not_built_in())
}

/// Looks at the server of a PostgreSQL warehouse.
#[cfg(feature = "postgres")]
pub(super) fn server_facts(config: &Config) -> Result<ServerFacts, Stop> {
    use crate::job::{Job, OnConflict};
    use crate::postgres::{Wanted, inspect};
    let WarehouseLocation::Postgres(url) = &config.settings.warehouse else {
        return Err(Stop::failed("the warehouse is a file, and no server"));
    };
    let wanted = |job: &Job| (job.definition.schema().clone(), job.on_conflict == OnConflict::Replace);
    let jobs: Vec<_> = config.jobs.iter().map(wanted).collect();
    let jobs: Vec<_> = jobs.iter().map(|(schema, replaces)| Wanted { schema, replaces: *replaces }).collect();
    Ok(inspect(url, &jobs)?)
}

#[cfg(not(feature = "postgres"))]
pub(super) fn server_facts(_config: &Config) -> Result<ServerFacts, Stop> {
    Err(not_built_in())
}
