//! The real server that these tests run against, and a database of its own for each test.

use std::sync::atomic::{AtomicU32, Ordering};

use postgres::{Client, NoTls};
use sluicegate::config::Secret;

pub(crate) const VARIABLE: &str = "SLUICEGATE_TEST_POSTGRES";

/// The URL of the server, or none and a word about how to get one.
pub(crate) fn server() -> Option<String> {
    let url = std::env::var(VARIABLE).ok();
    if url.is_none() {
        println!(
            "skipped: no PostgreSQL; to run it: {VARIABLE}=$(scripts/postgres start) cargo test --test postgres"
        );
    }
    url
}

/// A database that is dropped with this.
pub(crate) struct Database {
    server: String,
    name: String,
    pub(crate) url: String,
}

impl Database {
    /// A new, empty one; none where there is no server.
    pub(crate) fn new() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let server = server()?;
        let name = format!("test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut admin = Client::connect(&server, NoTls).unwrap();
        admin.batch_execute(&format!("DROP DATABASE IF EXISTS {name}")).unwrap();
        admin.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0")).unwrap();
        let (base, _) = server.rsplit_once('/').unwrap();
        let url = format!("{base}/{name}");
        Some(Self { server, name, url })
    }

    pub(crate) fn secret(&self) -> Secret {
        Secret::new(self.url.clone())
    }

    /// A connection beside the port.
    pub(crate) fn shell(&self) -> Client {
        Client::connect(&self.url, NoTls).unwrap()
    }

    pub(crate) fn select(&self, sql: &str) -> Vec<Vec<String>> {
        select(&mut self.shell(), sql)
    }
}

/// The rows of a query as text, NULL as the empty text.
pub(crate) fn select(shell: &mut Client, sql: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for message in shell.simple_query(sql).unwrap() {
        if let postgres::SimpleQueryMessage::Row(row) = message {
            found.push((0..row.len()).map(|column| row.get(column).unwrap_or_default().to_owned()).collect());
        }
    }
    found
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Ok(mut admin) = Client::connect(&self.server, NoTls) {
            let _ = admin.batch_execute(&format!("DROP DATABASE {} WITH (FORCE)", self.name));
        }
    }
}
