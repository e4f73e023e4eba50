//! Goal: an object that alone may not be read (403) holds up nothing, though it is a batch of its own; a landing that may
//! not be read at all is no document's fault.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::checker::check;
use crate::fake::{FakeServer, Reply, forward};
use crate::fleet::strangers;
use crate::support::until;
use crate::world::World;

/// What may not be read.
const NOTHING: u8 = 0;
const THE_FIRST: u8 = 1;
const EVERYTHING: u8 = 2;

#[test]
fn a_document_that_may_not_be_read_waits_alone() {
    let Some(world) = World::new() else { return };
    let documents = strangers(111, 3);
    let locked = Arc::new(AtomicU8::new(THE_FIRST));
    let (upstream, lock) = (world.emulator.endpoint.clone(), locked.clone());
    // The first part of a key tells the three apart: the rest of it is encoded.
    let (all, first) = (format!("/{}/in/", world.landing), format!("/{}/in/0", world.landing));
    let server = FakeServer::start_concurrent(move |request| {
        let is_locked = match lock.load(Ordering::SeqCst) {
            NOTHING => false,
            THE_FIRST => request.target.starts_with(&first),
            _ => request.target.starts_with(&all),
        };
        if request.method == "GET" && is_locked {
            return Reply::error(403, "AccessDenied");
        }
        forward(&upstream, request)
    });
    let machine = world.machine_at(&server.endpoint, &world.database.url, 1_000);
    let drain = |code: i32| {
        let ended = machine.run(&["drain", "--patience", "1s", "--output", "json"]).exits(code);
        (ended.json(), ended.stderr)
    };

    // The only object of the landing: it can be listed, and that has to do.
    world.upload(&documents[..1]);
    let (summary, told) = drain(1);
    assert!(summary["waiting"].to_string().contains("could not be read"), "{summary} {told}");
    assert_eq!(world.archived().len(), 1, "its batch went on without it");

    // Nothing may be read any more: the next batch is not touched.
    locked.store(EVERYTHING, Ordering::SeqCst);
    world.upload(&documents[1..2]);
    let (summary, told) = drain(1);
    assert!(told.contains("neither the batch nor anything else may be read"), "{told}");
    assert_eq!((world.archived().len(), &summary["failed_batches"]), (1, &0.into()), "{summary}");

    locked.store(THE_FIRST, Ordering::SeqCst);
    world.upload(&documents[2..]);
    until("the others are loaded", || {
        drain(1);
        (world.ask("SELECT count(*) FROM sluicegate.document WHERE outcome = 'loaded'")? == 2).then_some(())
    });
    let status = machine.run(&["status", "--output", "json"]).json();
    assert_eq!(status["jobs"][0]["deferred"], 1, "{status:#}");

    // Its next try comes within a minute of the last one.
    locked.store(NOTHING, Ordering::SeqCst);
    let last = machine.run(&["drain", "--patience", "4m", "--output", "json"]).exits(0).json();
    assert_eq!(last["documents"]["loaded"], 1, "{last}");
    check(&world, &documents);
}
