//! Sluicegate: documents out of a landing bucket, exactly once, into a warehouse, into CSV objects and in front of
//! a query engine. See `docs/architecture.md` for the map.

pub mod archive;
#[cfg(feature = "aws")]
pub mod aws;
pub mod catalog;
pub mod check;
pub mod cli;
pub mod config;
pub mod curated;
pub mod effects;
pub mod embedded;
pub mod events;
pub mod failure;
pub mod folder;
pub mod job;
pub mod pipeline;
pub mod ports;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod query_text;
pub mod reconcile;
pub mod report;
pub mod schema;
#[cfg(feature = "aws")]
pub mod sns;
pub mod sqlite;
pub mod transform;
mod wording;
