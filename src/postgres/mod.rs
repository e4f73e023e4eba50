//! The PostgreSQL warehouse (RDS): target tables and ledger in one database, one transaction a batch (§8 of the design).
//!
//! The order of locks in a load is the same everywhere: batch key, documents by identity, rows by key, tables in job
//! order. Small batches are held in memory and copied straight into the target tables; larger ones, and those whose
//! keys collide, go through temporary tables and are decided there.

mod address;
mod claim;
mod client;
mod collect;
mod copy;
mod crawl;
mod decide;
mod decisions;
mod error;
mod fleet;
mod inspect;
mod ledger;
mod line;
mod load;
mod merge;
mod migrate;
mod proof;
mod proof_objects;
mod proof_rows;
mod recent;
mod replace;
mod session;
mod sql;
mod stage;
mod story;
mod target;
mod tls;
mod warehouse;

pub use inspect::{Wanted, inspect};
pub use recent::Recent;
pub use warehouse::PostgresWarehouse;

use chrono::SecondsFormat;
use sluicegate_state::Timestamp;

use crate::config::Secret;
use crate::ports::ledger_text::parse_time;

use address::{Address, TlsMode};

/// Begins, beside what the caller does next, what the first TLS connection of a process would have to wait for: its random
/// numbers gather entropy from the processor's jitter, for some 40 ms. Whoever connects meanwhile waits for the rest of it.
pub fn get_ready(url: &Secret) {
    let address = Address::read(url, &|name| std::env::var(name).ok());
    if address.is_ok_and(|address| address.tls != TlsMode::Disable) {
        // Without the thread, the first connection does it, as it would have.
        let _ = std::thread::Builder::new().name("entropy".to_owned()).spawn(|| {
            let _ = rustls::crypto::aws_lc_rs::default_provider().secure_random.fill(&mut [0]);
        });
    }
}

/// A time in whole seconds, as `landed_at` is kept.
fn seconds_text(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A count on its way into a `bigint`.
fn bigint(count: u64) -> i64 {
    i64::try_from(count).expect("no count of this program comes near 2^63")
}

/// An ordinal on its way into an `integer`.
fn integer(ordinal: u32) -> i32 {
    i32::try_from(ordinal).expect("a batch has far fewer than 2^31 members")
}

/// A count out of a `bigint` that the schema keeps from being negative.
fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// An ordinal out of an `integer`.
fn ordinal(value: i32) -> u32 {
    u32::try_from(value).unwrap_or(0)
}
