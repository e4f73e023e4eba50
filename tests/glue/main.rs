//! Glue: the adapter, the crawl stage and the built binary against a Glue of the tests' own, so that they run everywhere.

#[path = "../conformance/catalog.rs"]
mod catalog_suite;
#[path = "../e2e/corpus/mod.rs"]
#[allow(dead_code, unused_imports)]
mod corpus;
#[path = "../aws/emulator.rs"]
#[allow(dead_code)]
mod emulator;
#[path = "../conformance/manual_clock.rs"]
mod manual_clock;
#[path = "../conformance/published.rs"]
#[allow(dead_code)]
mod published;
#[path = "../e2e/support/mod.rs"]
#[allow(dead_code, unused_imports)]
mod support;

mod endpoint;
mod machine;
mod world;

mod adapter;
mod answers;
mod covering;
mod stand_in;
mod takeover;
mod windows;
