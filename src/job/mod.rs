//! Jobs: where documents land, how they read, where they go, and when. One TOML file each.

mod check;
mod column;
mod definition;
mod delimited;
mod file;
mod keys;
mod queries;
#[cfg(test)]
mod tests;
mod window;

use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use sha2::{Digest, Sha256};
use sluicegate_state::Timestamp;

use crate::config::interpolate::resolve;
use crate::config::{ConfigError, Environment, Location};
use crate::transform::Definition;

pub use keys::KeyPattern;
pub use queries::NamedQuery;
pub use window::Window;

/// One job, checked and ready.
#[derive(Debug, Clone)]
pub struct Job {
    /// The file it was read from.
    pub file: PathBuf,
    /// Its name, also the name of its folder in the archive.
    pub name: String,
    /// The file's text with the variables resolved in place: it can be read again without any environment.
    pub text: String,
    /// SHA-256 of `text`, in hex.
    pub hash: String,
    /// Where its documents land.
    pub landing: Location,
    /// Which keys there are its documents.
    pub keys: KeyPattern,
    /// When a crawl is due.
    pub window: Window,
    /// The Glue crawler over its tables; none: the embedded catalog.
    pub crawler: Option<String>,
    /// When a micro-batch is full.
    pub limits: BatchLimits,
    /// How long after their upload the landing's lifecycle rule may remove objects; none: never.
    pub expires_after_hours: Option<u32>,
    /// The time zone whose calendar gives a document its day.
    pub report_timezone: chrono_tz::Tz,
    /// What happens to a known key with other content.
    pub on_conflict: OnConflict,
    /// Queries that come with it.
    pub queries: Vec<NamedQuery>,
    /// How its documents read.
    pub definition: Definition,
}

/// A micro-batch is sealed at whichever of these comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Documents in it.
    pub documents: u64,
    /// Bytes of its documents; a larger document is a batch of its own.
    pub bytes: u64,
    /// Rows in it, estimated by `bytes_per_row` because nothing has been read yet.
    pub rows: u64,
    /// Bytes of a document that make one row, for the estimate.
    pub bytes_per_row: u64,
    /// Age of its oldest document.
    pub seconds: u64,
}

/// What happens to a known key with other content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnConflict {
    /// The whole document is refused, as a `conflict`.
    Reject,
    /// The record with the later `source_order` wins.
    Replace,
}

impl Job {
    /// Reads a job file's text, with the variables of `env`.
    ///
    /// # Errors
    /// The whole message is in the error: file, line, key and what is allowed there.
    pub fn parse(file: &Path, raw: &str, env: Environment<'_>) -> Result<Self, ConfigError> {
        file::job(file, resolve(file, raw, env)?)
    }

    /// Reads a stored [`Job::text`] again; no variable is looked up.
    ///
    /// # Errors
    /// The text is not a job file of this version.
    pub fn from_text(text: &str) -> Result<Self, ConfigError> {
        file::job(Path::new("stored definition"), text.to_owned())
    }

    /// Whether the job takes this object. `bucket` is [`FOLDER_BUCKET`](crate::config::FOLDER_BUCKET) for a folder,
    /// whose keys are relative to it; a job cannot tell its own folder's keys from another folder's.
    pub fn matches(&self, bucket: &str, key: &str) -> bool {
        self.landing.bucket() == bucket && self.landing.holds_key(key) && self.keys.is_match(key)
    }

    /// The day that a document belongs to in reports.
    pub fn day(&self, landed_at: Timestamp) -> NaiveDate {
        landed_at.with_timezone(&self.report_timezone).date_naive()
    }

    /// When the lifecycle takes a document that landed then, where the job says how long documents live.
    pub fn expires_at(&self, landed_at: Timestamp) -> Option<Timestamp> {
        self.expires_after_hours.map(|hours| landed_at + chrono::TimeDelta::hours(i64::from(hours)))
    }
}

impl Definition {
    /// Reads the definition out of a stored [`Job::text`]; no variable is looked up.
    ///
    /// # Errors
    /// The text is not a job file of this version.
    pub fn from_text(text: &str) -> Result<Self, ConfigError> {
        Job::from_text(text).map(|job| job.definition)
    }
}

fn hash(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}
