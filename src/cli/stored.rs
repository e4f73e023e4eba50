//! What the commands that only read take from the state store.

use serde::Serialize;
use sluicegate_state::{Batch, BatchState, Store};

use crate::config::Config;

use super::exit::Stop;
use super::output::{counted, time};
use super::seam::seam;

/// The state store, unless nothing was ever journaled: reading makes no folders.
pub(super) fn existing_store(config: &Config) -> Result<Option<Store>, Stop> {
    if !config.settings.state.join("state.db").exists() {
        return Ok(None);
    }
    Ok(Some(Store::open(&config.settings.state, seam())?))
}

/// What waits in the state for jobs whose files are gone, one sentence a job: the pipeline serves the jobs that there are,
/// so nothing but the file brings these documents on their way again.
pub(super) fn left_of_removed_jobs(
    store: &Store,
    is_there: impl Fn(&str) -> bool,
) -> Result<Vec<String>, Stop> {
    let mut left = Vec::new();
    for job in store.jobs()?.iter().filter(|job| !is_there(job)) {
        let backlog = store.backlog(job)?;
        let batches = backlog.unfinished_batches + backlog.failed_batches;
        if backlog.pending + batches > 0 {
            left.push(format!(
                "there is no job {job:?} any more, and {} and {} of it are left: put its file back, then drain, and \
                 replay what is parked",
                counted(backlog.pending, "pending document", "pending documents"),
                counted(batches, "unfinished batch", "unfinished batches"),
            ));
        }
    }
    Ok(left)
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
