//! `catalog` by the built program: against a Glue and an Athena of the tests' own, so that it runs everywhere, and against
//! a stand-in for AWS that really runs SQL over the tables that were made, where one runs (`scripts/emulators start`).

#[path = "../conformance/manual_clock.rs"]
#[allow(dead_code, reason = "time stands still here")]
mod manual_clock;

#[path = "../aws/emulator.rs"]
#[allow(dead_code, reason = "the tests of the adapters use the rest")]
mod emulator;
#[path = "../glue/endpoint/mod.rs"]
mod endpoint;
#[path = "../glue/endpoint/http.rs"]
#[allow(
    clippy::duplicate_mod,
    reason = "Athena speaks the same protocol, and the Glue keeps its own to itself"
)]
mod http;

mod athena;
mod differences;
mod embedded;
mod made;
mod queried;
mod refusals;
mod world;
