//! Goal: invoices put into S3 arrive through S3 → SNS → SQS in PostgreSQL and in the curated bucket, exactly once, with
//! every redelivery counted.

use std::time::Instant;

use crate::checker::check;
use crate::corpus::corpus;
use crate::world::{World, below_prefix};

/// Of 1,750 originals one in seven comes twice: 2,000 documents.
const ORIGINALS: usize = 1_750;

#[test]
fn two_thousand_invoices_arrive_once_though_all_is_told_twice() {
    let Some(world) = World::new() else { return };
    let documents = below_prefix(corpus(51, ORIGINALS));
    let count = documents.len() as u64;
    assert_eq!(count, 2_000);
    let uploading = Instant::now();
    let announced = world.upload(&documents);
    world.deliver_again(&announced);
    // None of the job's documents: told of, and counted.
    world.emulator.upload(&world.landing, "elsewhere/a.txt", b"not below the prefix");
    world.emulator.upload(&world.landing, "in/scan.pdf", b"no invoice");
    world.announced(2);
    let uploaded = uploading.elapsed();

    let machine = world.machine(1_000);
    let draining = Instant::now();
    let summary = machine.drain(3);
    eprintln!("{count} documents: told twice in {uploaded:.1?}, drained in {:.1?}", draining.elapsed());
    let expected = check(&world, &documents);
    for outcome in ["loaded", "rejected", "duplicate", "conflict"] {
        assert!(expected.counts()[outcome] > 0, "the corpus has no document that ends {outcome}");
    }
    for (outcome, told) in summary["documents"].as_object().unwrap() {
        assert_eq!(*told, expected.counts().get(outcome.as_str()).copied().unwrap_or(0), "{summary}");
    }
    assert_eq!(summary["rows"], expected.rows(), "{summary}");
    assert_eq!((&summary["notifications"], &summary["redelivered"]), (&count.into(), &count.into()));
    assert_eq!(summary["failed_batches"], 0);
    assert_eq!(world.messages(), 0, "everything is acknowledged");

    let again = machine.drain(0);
    for name in ["batches", "rows", "notifications", "redelivered"] {
        assert_eq!(again[name], 0, "{again}");
    }
    world.deliver_again(&announced[..500]);
    let late = machine.drain(0);
    assert_eq!((&late["batches"], &late["redelivered"]), (&0.into(), &500.into()), "{late}");
    let status = machine.run(&["status", "--output", "json"]).json();
    assert_eq!(status["jobs"][0]["received"], count, "{status:#}");
    assert_eq!(status["jobs"][0]["redeliveries"], count + 500, "{status:#}");
    assert_eq!(status["counters"]["unrouted"], 2, "{status:#}");
    check(&world, &documents);
}
