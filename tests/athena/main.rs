//! Athena as a query engine: against a server of the tests' own that answers as a test says, and against a stand-in for AWS
//! that runs SQL over the CSV objects, where it runs (`scripts/emulators start`).

#[path = "../e2e/corpus/mod.rs"]
#[allow(dead_code, unused_imports)]
mod corpus;
#[path = "../aws/emulator.rs"]
#[allow(dead_code)]
mod emulator;
#[path = "../aws/fake.rs"]
#[allow(dead_code)]
mod fake;
#[path = "../conformance/published.rs"]
mod published;
#[path = "../conformance/query_engine.rs"]
mod query_engine;
#[path = "../postgres/server.rs"]
#[allow(dead_code)]
mod server;
#[path = "../e2e/support/mod.rs"]
#[allow(dead_code, unused_imports)]
mod support;

mod answers;
mod choosing;
mod endpoint;
mod figures;
mod glue_tables;
mod states;
mod stopping;
mod suite;
