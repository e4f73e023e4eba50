//! The proof: every document of a day is in exactly one place, and every place holds what the others say (I7, I9).
//!
//! Places in, balance and discrepancies out. [`run`] asks the ports, one module a place; [`model`] is what comes out;
//! [`mend`] does what is safe about it; [`behind`] enters again what a database restored to the past has lost. Nothing here
//! knows an adapter.

pub mod behind;
mod closed;
mod coverage;
mod day;
mod finding;
mod flight;
mod ledger;
mod listing;
pub mod mend;
pub mod model;
mod objects;
mod rows;
pub mod run;
