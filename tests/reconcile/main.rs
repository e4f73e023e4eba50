//! Goal: `reconcile` tells of everything that is out of place, with its cause and the command that mends it, and of nothing
//! else; and after those commands it balances. The built binary at work in a folder with the shipped configuration.

#[allow(dead_code, unused_imports, reason = "the end-to-end tests use the rest")]
#[path = "../e2e/corpus/mod.rs"]
mod corpus;
#[allow(dead_code, unused_imports, reason = "the end-to-end tests use the rest")]
#[path = "../e2e/support/mod.rs"]
mod support;

mod behind;
mod closing;
mod killed;
mod mending;
mod read_again;
mod report;
#[cfg(feature = "postgres")]
#[allow(dead_code, reason = "the warehouse's own tests use the rest")]
#[path = "../postgres/server.rs"]
mod server;
mod size;
mod week;
mod world;
