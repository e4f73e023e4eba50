//! The query engine that the configuration names, under the name of its effect.

use sluicegate_state::seam::Seam;

use crate::config::Config;
use crate::effects;
use crate::embedded::EmbeddedQueryEngine;
use crate::failure::{Failure, Outcome};
use crate::ports::query_engine::{Answer, Interrupt, QueryEngine};

use super::super::exit::Stop;
use super::super::seam::seam;
use super::{cloud, engine, folder};

/// An engine whose statements pass through the seam: in Athena each of them writes an object with its answer, and is billed.
struct Named {
    engine: Box<dyn QueryEngine>,
    seam: Seam,
}

impl QueryEngine for Named {
    fn query(&mut self, sql: &str) -> Outcome<Answer> {
        let Self { engine, seam } = self;
        seam.perform(effects::QUERY_RUN, || engine.query(sql))
    }
}

/// The query engine over all jobs. Athena's stops its statement when `interrupt` is raised.
pub(in crate::cli) fn query_engine(
    config: &Config,
    interrupt: &Interrupt,
) -> Result<Box<dyn QueryEngine>, Stop> {
    engine(config)?;
    let engine: Box<dyn QueryEngine> = match folder(&config.settings.curated) {
        Some(curated) => {
            let temporary = config.settings.state.join("spool");
            std::fs::create_dir_all(&temporary).map_err(|error| {
                Failure::transient(format!("cannot make the folder {}: {error}", temporary.display()))
            })?;
            let schemas = config.jobs.iter().map(|job| job.definition.schema().clone()).collect();
            Box::new(EmbeddedQueryEngine::new(&curated, schemas, &temporary))
        }
        None => cloud::athena(config, interrupt)?,
    };
    Ok(Box::new(Named { engine, seam: seam() }))
}
