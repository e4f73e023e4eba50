//! Goal: PostgreSQL keeps what the design promises of a warehouse, as a real server behaves: the conformance suite of the
//! port, and what only a server can do (locks, lost answers, TLS, large documents).

mod bench;
mod failover;
mod loads;
mod looking;
#[path = "../conformance/manual_clock.rs"]
mod manual_clock;
mod measure;
mod opening;
#[path = "../conformance/openssl.rs"]
mod openssl;
#[allow(dead_code, reason = "the other suites use the rest")]
#[path = "../conformance/published.rs"]
mod published;
mod replaying;
mod server;
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
