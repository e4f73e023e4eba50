//! Goal: what somebody else's faults break heals too: microburst in front of AWS and of PostgreSQL.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use serde_json::Value;

use crate::checker::check;
use crate::faults::drain_to_the_end;
use crate::fleet::{finish, strangers};
use crate::proxy::PostgresProxy;
use crate::support::until;
use crate::world::{Summed, World};

const VARIABLE: &str = "SLUICEGATE_TEST_MICROBURST";

/// Errors as AWS writes them, resets, and answers that break off: when DeleteMessageBatch breaks off, it has been done, and
/// when ReceiveMessage does, messages are hidden of which nobody knows.
const AWS_RULES: &str = r#"[
    {"service": "*", "probability": 0.04, "error": {"code": "InternalError", "status": 500}},
    {"service": "s3", "probability": 0.04, "error": {"code": "SlowDown", "status": 503}},
    {"service": "sqs", "probability": 0.04, "error": {"code": "ThrottlingException", "status": 400}},
    {"service": "*", "probability": 0.03, "reset": true},
    {"service": "s3", "operation": "GetObject", "probability": 0.05, "response": {"abort_frac": 0.5}},
    {"service": "s3", "operation": "PutObject", "probability": 0.1, "request": {"cut_upload": {"after_bytes": 200}}},
    {"service": "sqs", "operation": "DeleteMessageBatch", "probability": 0.3, "response": {"abort_bytes": 0}},
    {"service": "sqs", "operation": "ReceiveMessage", "probability": 0.05, "response": {"abort_bytes": 0}}
]"#;

/// Inside a transaction only what ends the session can be said.
const POSTGRES_RULES: &str = r#"[
    {"service": "postgres", "operation": "startup", "probability": 0.3,
     "error": {"sqlstate": "53300", "severity": "FATAL", "message": "too many connections"}},
    {"service": "postgres", "operation": "insert", "probability": 0.3,
     "error": {"sqlstate": "40001", "severity": "FATAL", "message": "could not serialize access"}},
    {"service": "postgres", "operation": "commit", "probability": 0.5, "reset": true}
]"#;

/// Sends a request to where rules are set and faults are listed; what it answers.
fn control(endpoint: &str, method: &str, path: &str, body: &str) -> Value {
    let address = endpoint.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} /_microburst/{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 2"), "{answer}");
    serde_json::from_str(body).unwrap_or_default()
}

/// Takes the rules away again, whatever comes of the test.
struct Rules<'a>(&'a str);

impl<'a> Rules<'a> {
    fn set(endpoint: &'a str, rules: &str) -> Self {
        control(endpoint, "DELETE", "fired", "");
        control(endpoint, "POST", "rules", rules);
        Self(endpoint)
    }

    /// How many faults were met.
    fn fired(&self) -> usize {
        control(self.0, "GET", "fired?limit=100000", "").as_array().map_or(0, Vec::len)
    }
}

impl Drop for Rules<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            control(self.0, "POST", "rules", "[]");
        }
    }
}

/// Where microburst is: in front of AWS, in front of PostgreSQL, and where the rules of the latter are set.
fn places() -> Option<[String; 3]> {
    let Ok(places) = std::env::var(VARIABLE) else {
        eprintln!(
            "skipped: the faults of microburst; to run it: eval \"$(scripts/emulators start microburst)\"; \
             cargo test --test cloud microburst"
        );
        return None;
    };
    let places: Vec<String> = places.split_whitespace().map(str::to_owned).collect();
    Some(places.try_into().unwrap_or_else(|places| panic!("{VARIABLE} names three places: {places:?}")))
}

#[test]
fn what_microburst_breaks_in_aws_costs_time_and_nothing_else() {
    let Some(world) = World::new() else { return };
    let Some([aws, _, _]) = places() else { return };
    let documents = strangers(97, 100);
    let count = documents.len() as u64;
    world.upload(&documents);
    let postgres = PostgresProxy::start(&world.database.url, 97, 3);
    let machine = world.machine_at(&aws, &postgres.url(&world.database.url), 10);
    let began = Instant::now();
    let rules = Rules::set(&aws, AWS_RULES);
    let mut summed = Summed::default();
    drain_to_the_end(&world, &machine, &mut summed, count);
    let met = rules.fired();
    eprintln!(
        "{count} documents in {:.1?}, {} drains and {met} faults; COMMITs cut {:?}",
        began.elapsed(),
        summed.drains,
        postgres.met()
    );
    assert!(met >= 10, "too few faults were met: {met}");
    check(&world, &documents);
}

/// microburst holds back what follows a COPY in the extended protocol, so that no load gets through it; the ledger and the
/// target tables are made without one.
#[test]
fn what_microburst_breaks_in_postgres_does_not_keep_a_ledger_from_being_made() {
    let Some(world) = World::new() else { return };
    let Some([_, postgres, rules]) = places() else { return };
    let (user, rest) = world.database.url.split_once('@').unwrap();
    let (_, database) = rest.split_once('/').unwrap();
    let machine = world.machine_at(&world.emulator.endpoint, &format!("{user}@{postgres}/{database}"), 10);
    let rules = Rules::set(&rules, POSTGRES_RULES);
    until("enough faults were met", || {
        // Each drain with a state of its own: it has to make sure of everything anew.
        let _ = std::fs::remove_dir_all(machine.path("var"));
        let ended = machine.run(&["drain", "--patience", "10s"]);
        assert!(matches!(ended.status.code(), Some(0 | 1)), "{ended:#?}");
        (ended.status.code() == Some(0) && rules.fired() >= 8).then_some(())
    });
    drop(rules);
    assert_eq!(world.ask("SELECT count(*) FROM sluicegate.ledger"), Some(1));
    let documents = strangers(98, 20);
    world.upload(&documents);
    finish(&world.machine(10));
    check(&world, &documents);
}
