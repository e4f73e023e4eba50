//! The ports: what the pipeline needs from the outside world, as traits. Adapters know ports; ports know no adapters.

pub mod account;
pub mod alarm;
pub mod catalog;
pub mod clock;
pub mod decisions;
pub mod definitions;
pub mod inbox;
pub(crate) mod ledger_text;
pub mod object_store;
pub mod proof;
pub mod query_engine;
pub mod server;
pub mod story;
pub mod warehouse;
