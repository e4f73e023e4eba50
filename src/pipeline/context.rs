//! What the stages of one process share.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use sluicegate_state::seam::Seam;
use sluicegate_state::{StateError, Store};

use crate::failure::{Failure, FailureKind, Outcome};
use crate::job::Job;
use crate::ports::clock::Clock;
use crate::ports::object_store::ObjectStore;
use crate::ports::warehouse::Warehouse;

use super::handover::Handover;
use super::tally::Tally;

/// Opens a warehouse connection; a stage does so when it first needs one, and again after a connection broke.
pub type OpenWarehouse = dyn Fn() -> Outcome<Box<dyn Warehouse>> + Send + Sync;

/// What the stages of one process share.
pub struct Context {
    /// The jobs, by name.
    pub jobs: BTreeMap<String, Arc<Job>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The seam for crash tests.
    pub seam: Seam,
    /// This process.
    pub incarnation: String,
    /// This machine, for people.
    pub host: String,
    /// Where documents come from, by job.
    pub landings: BTreeMap<String, Arc<dyn ObjectStore>>,
    /// Jobs whose landing is scanned by their inbox anyway, so that it need not be listed for missed documents.
    pub scanned_jobs: BTreeSet<String>,
    /// Where originals are kept.
    pub archive: Arc<dyn ObjectStore>,
    /// Where CSV objects go.
    pub curated: Arc<dyn ObjectStore>,
    /// Opens a warehouse connection.
    pub open_warehouse: Box<OpenWarehouse>,
    /// The state folder.
    pub state: PathBuf,
    /// A folder for nameless temporary files, which any death removes.
    pub spool: PathBuf,
    /// GETs from the landing at a time.
    pub fetch_concurrency: usize,
    /// Seal whatever is there, however little: a drain that does not watch.
    pub seal_at_once: bool,
    /// What this run has done.
    pub tally: Tally,
    /// What stages hand to each other.
    pub handover: Handover,
}

impl Context {
    /// The job of a batch.
    pub fn job(&self, name: &str) -> Outcome<Arc<Job>> {
        self.jobs.get(name).cloned().ok_or_else(|| {
            Failure::permanent(format!(
                "there is no job {name:?} any more: put its file back, then replay the batch"
            ))
        })
    }

    /// The landing of a job.
    pub fn landing(&self, job: &str) -> Outcome<Arc<dyn ObjectStore>> {
        self.landings.get(job).cloned().ok_or_else(|| {
            Failure::permanent(format!(
                "there is no job {job:?} any more: put its file back, then replay the batch"
            ))
        })
    }

    /// A state store connection of the caller's own.
    pub fn open_store(&self) -> Outcome<Store> {
        Ok(Store::open(&self.state, self.seam.clone())?)
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Injected(injected) => injected.into(),
            error => {
                let kind = if error.is_transient() { FailureKind::Transient } else { FailureKind::Permanent };
                Self { kind, message: error.to_string() }
            }
        }
    }
}
