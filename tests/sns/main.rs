//! Goal: the endpoint for SNS over HTTP journals what SNS signed for the configured topic before it answers 200, and
//! nothing else, whatever a stranger posts. Certificates and signatures are the test's own; no traffic leaves the machine.

mod accepting;
mod authority;
mod binary;
mod confirming;
mod failing;
mod fuzz;
mod http;
mod limits;
#[path = "../conformance/manual_clock.rs"]
mod manual_clock;
mod message;
#[path = "../conformance/openssl.rs"]
mod openssl;
mod program;
mod proxy;
mod reaching;
mod refusing;
mod world;
