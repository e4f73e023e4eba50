//! Goal: with a fifth of all requests broken before or after their effect, everything is slower, and nothing is lost,
//! written twice or told wrongly.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sluicegate::aws::{Mode, S3Options, S3Store, SqsOptions};
use sluicegate::failure::FailureKind;
use sluicegate::ports::inbox::Inbox;
use sluicegate::ports::object_store::{ObjectStore, PutAnswer};

use crate::emulator::{Emulator, Kind, clients, emulator, inbox};
use crate::fake::{FakeServer, Reply, Request, forward};
use crate::inbox::{event, keys};
use crate::store::{noise, put, read};

/// Passes requests on to the stand-in, and breaks some of them.
fn faulty(emulator: &Emulator) -> FakeServer {
    let endpoint = emulator.endpoint.clone();
    let number = Arc::new(AtomicU64::new(0));
    FakeServer::start_concurrent(move |request: &Request| {
        // A step of a generator that spreads evenly: the same faults in the same order in every run.
        let step = number.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        match step % 25 {
            0 => Reply::Nothing,
            1 => Reply::error(503, "SlowDown"),
            2 => Reply::error(500, "InternalError"),
            3 => {
                forward(&endpoint, request);
                Reply::Nothing
            }
            4 => match forward(&endpoint, request) {
                Reply::Full(status, headers, body) if !body.is_empty() && request.method != "HEAD" => {
                    let half = body.len() / 2;
                    Reply::Cut(status, headers, body, half)
                }
                other => other,
            },
            _ => forward(&endpoint, request),
        }
    })
}

/// Writes until there is an answer, as the pipeline does.
fn put_until_answered(store: &S3Store, key: &str, bytes: &[u8]) {
    for failures in 0..10 {
        match put(store, key, bytes) {
            Ok(PutAnswer::Written) => return,
            // Only a call that failed before can have left our object there.
            Ok(PutAnswer::Exists) => {
                assert!(failures > 0, "{key} was fresh");
                return;
            }
            Err(failure) => assert_eq!(failure.kind, FailureKind::Transient, "{failure}"),
        }
    }
    panic!("{key} was never written");
}

#[test]
fn objects_are_written_and_read_through_faults() {
    let Some(emulator) = emulator(Kind::Ministack) else { return };
    let server = faulty(&emulator);
    let bucket = emulator.bucket();
    let options = S3Options { multipart_above: 6 << 20, part_bytes: 5 << 20, ..S3Options::default() };
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (server, bucket) = (&server, &bucket);
            scope.spawn(move || {
                let store = S3Store::under(clients(&server.endpoint), bucket, "x").with_options(options);
                for number in 0..25 {
                    let bytes = noise(if number == 0 { 11 << 20 } else { 1_000 * number });
                    let key = format!("{thread}/{number}");
                    put_until_answered(&store, &key, &bytes);
                    // A read that fails is the caller's to try again.
                    let mut fetched = (0..10).find_map(|_| store.get(&key).ok().flatten()).unwrap();
                    fetched.info.key.clone_from(&key);
                    assert!(read(fetched).1 == bytes, "{key}");
                }
            });
        }
    });
    let mut count = 0;
    let store = S3Store::under(emulator.clients.clone(), &bucket, "x");
    let mut visit = |_| {
        count += 1;
        Ok(())
    };
    store.list("", &mut visit).unwrap();
    assert_eq!(count, 100);
}

#[test]
fn messages_are_taken_through_faults() {
    let Some(emulator) = emulator(Kind::Ministack) else { return };
    let server = faulty(&emulator);
    let url = emulator.queue();
    let sent: BTreeSet<String> = (0..120).map(|number| format!("in/{number}.txt")).collect();
    sent.iter().for_each(|key| emulator.send(&url, &event(key)));
    let options = SqsOptions { visibility: std::time::Duration::from_secs(2), ..SqsOptions::default() };
    let mut inbox = inbox(&clients(&server.endpoint), &url, Mode::Drain, options);
    let mut taken = BTreeSet::new();
    for _ in 0..40 {
        if taken == sent && emulator.messages(&url) == 0 {
            return;
        }
        let Ok(poll) = inbox.poll() else { continue };
        taken.extend(keys(&poll.deliveries));
        let receipts: Vec<String> = poll.deliveries.into_iter().map(|delivery| delivery.receipt).collect();
        // What could not be deleted comes again.
        let _ = inbox.acknowledge(&receipts);
    }
    panic!("{} of {} came, {} messages are left", taken.len(), sent.len(), emulator.messages(&url));
}
