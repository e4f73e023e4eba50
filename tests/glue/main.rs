//! Glue: the adapter and the crawl stage against a Glue of the tests' own, so that they run everywhere.

#![cfg(feature = "aws")]

#[path = "../conformance/manual_clock.rs"]
mod manual_clock;

mod endpoint;
mod stand_in;
