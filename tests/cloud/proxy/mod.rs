//! Servers of the tests' own, between the binary and the real ones, that break in just the way a test wants.

mod http;
mod postgres;

pub(crate) use http::HttpProxy;
pub(crate) use postgres::PostgresProxy;
