//! On AWS: the built binary between a real PostgreSQL and a stand-in for AWS, with nothing but the variables of the
//! contract set; through servers that break, with machines that die. Whatever it leaves behind is held against the oracle
//! of the end-to-end tests, which shares no code with it.

#[path = "../e2e/corpus/mod.rs"]
#[allow(dead_code, unused_imports)]
mod corpus;
#[path = "../aws/emulator.rs"]
#[allow(dead_code)]
mod emulator;
#[path = "../aws/fake.rs"]
#[allow(dead_code)]
mod fake;
#[path = "../e2e/oracle.rs"]
#[allow(dead_code)]
mod oracle;
#[path = "../postgres/server.rs"]
#[allow(dead_code)]
mod server;
#[path = "../durability/shim.rs"]
#[allow(dead_code, reason = "the log is for the tests of durability")]
mod shim;
#[path = "../aws/sns.rs"]
mod sns;
#[path = "../e2e/support/mod.rs"]
#[allow(dead_code, unused_imports)]
mod support;

mod checker;
mod proxy;
mod world;

mod alone;
mod arrival;
mod away;
mod changed;
mod faults;
mod fleet;
mod full;
mod hidden;
mod large;
mod locked;
mod microburst;
mod proof;
mod refused;
mod replaying;
mod stopping;
