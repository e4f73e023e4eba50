//! Goal: PostgreSQL keeps what the design promises of a warehouse, as a real server behaves: the conformance suite of the
//! port, and what only a server can do (locks, lost answers, TLS, large documents).

mod bench;
#[path = "../e2e/corpus/mod.rs"]
#[allow(dead_code, unused_imports)]
mod corpus;
mod failover;
mod loads;
mod looking;
#[path = "../conformance/manual_clock.rs"]
mod manual_clock;
mod measure;
mod mute;
mod opening;
#[path = "../conformance/openssl.rs"]
mod openssl;
#[path = "../e2e/support/mod.rs"]
#[allow(dead_code, unused_imports)]
mod program;
#[allow(dead_code, reason = "the other suites use the rest")]
#[path = "../conformance/published.rs"]
mod published;
mod replaying;
mod server;
mod silence;
mod silent_program;
mod support;
#[path = "../conformance/warehouse/mod.rs"]
mod warehouse;

use bench::PostgresBench;

#[test]
fn the_postgres_warehouse() {
    if server::server().is_none() {
        return;
    }
    warehouse::warehouse_suite(&mut || Box::new(PostgresBench::new().expect("there is a server")));
}
