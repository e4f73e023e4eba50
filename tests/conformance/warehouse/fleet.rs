//! Who lives, and whose turn it is to list a landing, by the ledger's clock (I11).

use chrono::TimeDelta;

use super::batches::{JOB, ready};
use super::{Bench, cases};

cases![
    who_was_seen_within_a_lease_lives,
    who_was_seen_by_a_clock_that_was_ahead_is_not_alive_for_ever,
    a_landing_is_listed_once_an_hour,
    a_turn_of_a_clock_that_was_ahead_keeps_nobody_away,
];

fn lives(bench: &dyn Bench, incarnation: &str) -> bool {
    bench.open().live_incarnations().unwrap().contains(incarnation)
}

fn who_was_seen_within_a_lease_lives(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    warehouse.heartbeat("one", "host").unwrap();
    assert!(lives(bench, "one") && !lives(bench, "two"));
    bench.clock().advance(TimeDelta::seconds(59));
    assert!(lives(bench, "one"));
    bench.clock().advance(TimeDelta::seconds(1));
    assert!(!lives(bench, "one"));
    warehouse.heartbeat("one", "host").unwrap();
    assert!(lives(bench, "one"));
    warehouse.farewell("one").unwrap();
    assert!(!lives(bench, "one"));
}

fn who_was_seen_by_a_clock_that_was_ahead_is_not_alive_for_ever(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    bench.clock().advance(TimeDelta::hours(30));
    warehouse.heartbeat("one", "host").unwrap();
    warehouse.heartbeat("two", "host").unwrap();
    bench.clock().advance(TimeDelta::minutes(-5));
    assert!(lives(bench, "one"), "a little ahead is nothing to speak of");
    bench.clock().advance(TimeDelta::hours(-30));
    // Who lives says so four times a minute.
    warehouse.heartbeat("two", "host").unwrap();
    assert!(!lives(bench, "one") && lives(bench, "two"));
}

fn a_landing_is_listed_once_an_hour(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    assert!(warehouse.claim_listing(JOB, "one").unwrap());
    bench.clock().advance(TimeDelta::minutes(59));
    assert!(!warehouse.claim_listing(JOB, "one").unwrap());
    assert!(warehouse.claim_listing("another", "one").unwrap());
    bench.clock().advance(TimeDelta::minutes(1));
    assert!(warehouse.claim_listing(JOB, "two").unwrap());
    assert!(!warehouse.claim_listing(JOB, "one").unwrap());
}

fn a_turn_of_a_clock_that_was_ahead_keeps_nobody_away(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    bench.clock().advance(TimeDelta::hours(30));
    assert!(warehouse.claim_listing(JOB, "one").unwrap());
    bench.clock().advance(TimeDelta::minutes(-5));
    assert!(!warehouse.claim_listing(JOB, "two").unwrap());
    bench.clock().advance(TimeDelta::hours(-30));
    assert!(warehouse.claim_listing(JOB, "two").unwrap());
    assert!(!warehouse.claim_listing(JOB, "one").unwrap(), "taken, and by a clock that is right");
}
