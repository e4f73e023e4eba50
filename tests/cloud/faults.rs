//! Goal: with a tenth of all AWS calls failing, COMMITs cut and PostgreSQL stopped in the middle, all is slower, nothing is
//! lost, nothing is done twice, and no batch is parked.

use std::time::{Duration, Instant};

use crate::checker::check;
use crate::corpus::corpus;
use crate::proxy::{HttpProxy, PostgresProxy};
use crate::support::{Project, until};
use crate::world::{Summed, World, below_prefix};

/// How long PostgreSQL is away: a minute where everything is tried.
fn away() -> Duration {
    let full = std::env::var("SLUICEGATE_FULL").is_ok_and(|value| value == "1");
    Duration::from_secs(if full { 60 } else { 5 })
}

const DRAIN: [&str; 5] = ["drain", "--patience", "60s", "--output", "json"];

/// Drains until everything that was announced is decided.
pub(crate) fn drain_to_the_end(world: &World, machine: &Project, summed: &mut Summed, announced: u64) {
    loop {
        let ended = machine.run(&DRAIN);
        summed.add(&ended);
        let done = matches!(ended.status.code(), Some(0 | 3));
        assert!(done || ended.status.code() == Some(1), "{ended:#?}");
        if done && summed.notifications == announced && world.messages() == 0 {
            return;
        }
        assert!(summed.drains < 20, "{summed:?} of {announced} notifications: {ended:#?}");
    }
}

fn everything_breaks(seed: u64, originals: usize) {
    let Some(world) = World::new() else { return };
    let documents = below_prefix(corpus(seed, originals));
    let count = documents.len() as u64;
    world.upload(&documents);
    let aws = HttpProxy::start(&world.emulator.endpoint, seed, 10);
    let postgres = PostgresProxy::start(&world.database.url, seed, 3);
    let machine = world.machine_at(&aws.endpoint, &postgres.url(&world.database.url), 20);

    let began = Instant::now();
    let drain = machine.start(&DRAIN);
    let loads = || world.ask("SELECT count(*) FROM sluicegate.batch").unwrap_or(0);
    until("two batches are loaded", || (loads() >= 2).then_some(()));
    postgres.stop();
    let stopped = Instant::now();
    // A COMMIT that was under way is done or not, without an answer, when its session has ended.
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                  AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
    until("all sessions have ended", || (world.ask(others) == Some(0)).then_some(()));
    let before = loads();
    until("PostgreSQL has been away", || (stopped.elapsed() >= away()).then_some(()));
    assert_eq!(loads(), before, "nobody reaches a server that is away");
    postgres.go_on();
    let mut summed = Summed::default();
    let (ended, _) = drain.wait();
    assert!(matches!(ended.status.code(), Some(0 | 1 | 3)), "{ended:#?}");
    summed.add(&ended);
    drain_to_the_end(&world, &machine, &mut summed, count);
    eprintln!(
        "seed {seed}: {count} documents in {:.1?} and {} drains, {} redelivered; AWS {:?}; COMMITs cut {:?}",
        began.elapsed(),
        summed.drains,
        summed.redelivered,
        aws.met(),
        postgres.met(),
    );
    assert!(aws.met().len() >= 4 && !postgres.met().is_empty(), "too few faults were met");
    check(&world, &documents);
}

#[test]
fn a_tenth_of_all_calls_fails_and_postgres_is_away_for_a_while() {
    everything_breaks(61, 260);
}

#[test]
fn many_seeds() {
    if std::env::var("SLUICEGATE_FULL").is_ok_and(|value| value == "1") {
        (600..610).for_each(|seed| everything_breaks(seed, 500));
    } else {
        eprintln!("skipped: ten seeds; to run them: SLUICEGATE_FULL=1 cargo test --test cloud many_seeds");
    }
}
