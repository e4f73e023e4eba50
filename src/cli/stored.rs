//! What the commands that only read take from the state store.

use serde::Serialize;
use sluicegate_state::{Batch, BatchState, Store};

use crate::config::Config;

use super::exit::Stop;
use super::output::time;
use super::seam::seam;

/// The state store, unless nothing was ever journaled: reading makes no folders.
pub(super) fn existing_store(config: &Config) -> Result<Option<Store>, Stop> {
    if !config.settings.state.join("state.db").exists() {
        return Ok(None);
    }
    Ok(Some(Store::open(&config.settings.state, seam())?))
}

/// The states in the order of a batch's life.
pub(super) const STATES: [BatchState; 6] = [
    BatchState::Sealed,
    BatchState::Archived,
    BatchState::Loaded,
    BatchState::Published,
    BatchState::Failed,
    BatchState::Abandoned,
];

/// A batch as `jobs list JOB` prints it in JSON.
#[derive(Serialize)]
pub(super) struct BatchLine {
    pub(super) batch_id: String,
    pub(super) job: String,
    pub(super) state: String,
    pub(super) failed_from: Option<String>,
    pub(super) documents: u64,
    pub(super) bytes: u64,
    pub(super) sealed_at: String,
    pub(super) attempts: u64,
    pub(super) next_try_at: Option<String>,
    pub(super) error: Option<String>,
}

impl From<&Batch> for BatchLine {
    fn from(batch: &Batch) -> Self {
        Self {
            batch_id: batch.batch_id.clone(),
            job: batch.job.clone(),
            state: batch.state.to_string(),
            failed_from: batch.failed_from.map(|state| state.to_string()),
            documents: batch.documents,
            bytes: batch.bytes,
            sealed_at: time(batch.sealed_at),
            attempts: batch.attempts,
            next_try_at: batch.next_try_at.map(time),
            error: batch.last_error.clone(),
        }
    }
}
