//! The pipeline: listener, stages and scheduler. It knows ports and the state store, and no adapter.
//!
//! Each stage does one piece of work a tick: [`listener`] journals, [`archive`] seals and fetches, [`load`] fills the
//! warehouse, [`publish`] writes the CSV objects, [`crawl`] ends windows. [`scheduler`] runs them side by side, or one
//! after the other where a test wants to know what happens when.

pub mod alert;
pub mod archive;
pub mod archived;
pub mod attempt;
pub mod backoff;
pub mod bell;
pub mod context;
pub mod crawl;
pub mod documents;
pub mod elsewhere;
pub mod encode;
pub mod fetch;
pub mod fleet;
pub mod handover;
pub mod ledger;
pub mod listener;
pub mod load;
pub mod missed;
mod probe;
pub mod publish;
pub mod pulse;
pub mod replay;
pub mod scheduler;
pub mod stage;
pub mod tally;
