//! The crawl's rows: a window is claimed once, adopts what it covers, and has one owner at a time (I8, §8).

use chrono::TimeDelta;
use sluicegate::failure::FailureKind;
use sluicegate::ports::clock::Clock;
use sluicegate::ports::warehouse::{CrawlClaim, CrawlEnd, CrawlRequest, OpenAttempt, Warehouse};
use sluicegate_state::Timestamp;
use sluicegate_state::time::to_text;

use super::batches::{JOB, a_minute_later, batch, bill, bills, ready};
use super::{Bench, cases};

cases![
    without_anything_published_there_is_no_crawl,
    a_claim_adopts_what_was_published_in_its_window,
    a_window_is_claimed_once,
    another_job_is_no_concern,
    the_owner_may_ask_again,
    a_lease_keeps_others_away_until_it_ends,
    a_sign_of_life_renews_the_lease,
    a_lease_of_a_clock_that_was_ahead_keeps_nobody_away,
    what_was_published_by_a_clock_that_was_ahead_is_adopted,
    the_dead_are_taken_over_from_at_once,
    who_lost_a_crawl_cannot_go_on_with_it,
    a_failed_attempt_is_followed_by_another,
    a_crawl_given_up_frees_its_batches,
    an_ended_crawl_stays_as_it_ended,
    what_an_attempt_follows_is_known_to_who_takes_over,
    what_attempts_ended_with_is_known_to_the_next,
    a_crawl_knows_its_objects,
];

/// Publishes batch `number`, with one row, now.
fn publish(warehouse: &mut dyn Warehouse, number: u32) {
    const NUMBERS: [&str; 5] = ["0", "1", "2", "3", "4"];
    let number_text = NUMBERS[number as usize];
    let batch = batch(number, &[bills(number_text, &[bill(number_text, "1.00", &[])])]);
    batch.load(warehouse);
    warehouse.mark_published(batch.id()).unwrap();
}

fn claim(warehouse: &mut dyn Warehouse, owner: &str, window_end: Timestamp) -> Option<CrawlClaim> {
    claim_from_the_dead(warehouse, owner, window_end, "")
}

/// A claim by somebody who knows that `gone` has died.
fn claim_from_the_dead(
    warehouse: &mut dyn Warehouse,
    owner: &str,
    window_end: Timestamp,
    gone: &str,
) -> Option<CrawlClaim> {
    let is_gone = |incarnation: &str| incarnation == gone;
    let request = CrawlRequest { job: JOB, window_end, early: false, owner, is_gone: &is_gone };
    warehouse.claim_crawl(&request).unwrap()
}

fn adopted(bench: &dyn Bench, crawl_id: &str) -> Vec<String> {
    let sql = format!(
        "SELECT batch_id FROM {} WHERE crawl_id = '{crawl_id}' ORDER BY batch_id",
        bench.ledger("batch")
    );
    bench.select(&sql).into_iter().flatten().collect()
}

fn ids(numbers: &[u32]) -> Vec<String> {
    numbers.iter().map(|number| batch(*number, &[]).id().to_owned()).collect()
}

fn succeeded() -> CrawlEnd {
    CrawlEnd::Succeeded { catalog_id: Some("theirs".to_owned()) }
}

fn failed() -> CrawlEnd {
    CrawlEnd::Failed { catalog_id: None, message: "no luck".to_owned() }
}

/// A published batch and its claim by `one`.
fn claimed(bench: &dyn Bench) -> (Box<dyn Warehouse>, CrawlClaim) {
    let mut warehouse = ready(bench);
    publish(&mut *warehouse, 1);
    let window_end = a_minute_later(bench);
    let claim = claim(&mut *warehouse, "one", window_end).unwrap();
    (warehouse, claim)
}

fn without_anything_published_there_is_no_crawl(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let now = warehouse.now().unwrap();
    assert_eq!(claim(&mut *warehouse, "one", now), None);
    // Loaded is not published, and a batch without rows has nothing to cover.
    batch(1, &[bills("x", &[bill("1", "1.00", &[])])]).load(&mut *warehouse);
    batch(2, &[]).load(&mut *warehouse);
    assert_eq!(claim(&mut *warehouse, "one", a_minute_later(bench)), None);
    assert!(bench.select(&format!("SELECT * FROM {}", bench.ledger("crawl"))).is_empty());
    assert_eq!(warehouse.last_crawl(JOB).unwrap(), None);
}

fn a_claim_adopts_what_was_published_in_its_window(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    publish(&mut *warehouse, 1);
    let window_end = a_minute_later(bench);
    // At the very end counts; a moment later does not.
    publish(&mut *warehouse, 2);
    bench.clock().advance(TimeDelta::microseconds(1));
    publish(&mut *warehouse, 3);
    assert_eq!(warehouse.awaiting_crawl(JOB).unwrap(), 3);
    let first = claim(&mut *warehouse, "one", window_end).unwrap();
    assert_eq!((first.window_end, first.attempts, first.batches), (window_end, 0, 2));
    assert_eq!(first.published_until, window_end, "the second batch was published then");
    assert_eq!(adopted(bench, &first.crawl_id), ids(&[1, 2]));
    assert_eq!(warehouse.awaiting_crawl(JOB).unwrap(), 3, "adopted is not covered");
    let attempt = warehouse.crawl_attempt(&first.crawl_id, "one").unwrap();
    warehouse.finish_crawl(&first.crawl_id, "one", attempt, &succeeded()).unwrap();
    assert_eq!(warehouse.awaiting_crawl(JOB).unwrap(), 1);
    let second = claim(&mut *warehouse, "one", a_minute_later(bench)).unwrap();
    assert_eq!(adopted(bench, &second.crawl_id), ids(&[3]));
    assert_eq!(adopted(bench, &first.crawl_id), ids(&[1, 2]), "adopted once");
}

fn a_window_is_claimed_once(bench: &dyn Bench) {
    let (mut warehouse, first) = claimed(bench);
    let attempt = warehouse.crawl_attempt(&first.crawl_id, "one").unwrap();
    warehouse.finish_crawl(&first.crawl_id, "one", attempt, &succeeded()).unwrap();
    assert_eq!(claim(&mut *warehouse, "two", first.window_end), None);
    // Published at the very moment that ended the window, and too late for its claim: the next one covers it.
    publish(&mut *warehouse, 2);
    assert_eq!(claim(&mut *warehouse, "two", first.window_end), None);
    let next = claim(&mut *warehouse, "two", a_minute_later(bench)).unwrap();
    assert_ne!(next.crawl_id, first.crawl_id);
    assert_eq!(adopted(bench, &next.crawl_id), ids(&[2]));
}

fn another_job_is_no_concern(bench: &dyn Bench) {
    let (mut warehouse, first) = claimed(bench);
    let is_gone = |_: &str| true;
    let request = CrawlRequest {
        job: "another",
        window_end: first.window_end,
        early: false,
        owner: "two",
        is_gone: &is_gone,
    };
    assert_eq!(warehouse.claim_crawl(&request).unwrap(), None);
    assert_eq!(warehouse.awaiting_crawl("another").unwrap(), 0);
    assert_eq!(warehouse.last_crawl("another").unwrap(), None);
}

fn the_owner_may_ask_again(bench: &dyn Bench) {
    let (mut warehouse, first) = claimed(bench);
    // The answer was lost; meanwhile another window has ended, and the open crawl comes first.
    publish(&mut *warehouse, 2);
    let again = claim(&mut *warehouse, "one", a_minute_later(bench)).unwrap();
    assert_eq!(again, first);
    assert_eq!(adopted(bench, &first.crawl_id), ids(&[1]));
}

fn a_lease_keeps_others_away_until_it_ends(bench: &dyn Bench) {
    let (_, first) = claimed(bench);
    let mut other = bench.open();
    bench.clock().advance(TimeDelta::seconds(59));
    assert_eq!(claim(&mut *other, "two", bench.clock().now()), None);
    bench.clock().advance(TimeDelta::seconds(1));
    assert_eq!(claim(&mut *other, "two", bench.clock().now()), Some(first.clone()));
    assert_eq!(
        claim(&mut *bench.open(), "three", bench.clock().now()),
        None,
        "of two that want it one gets it"
    );
}

fn a_sign_of_life_renews_the_lease(bench: &dyn Bench) {
    let (mut warehouse, first) = claimed(bench);
    bench.clock().advance(TimeDelta::seconds(50));
    assert_eq!(warehouse.crawl_attempt(&first.crawl_id, "one").unwrap(), 1);
    bench.clock().advance(TimeDelta::seconds(50));
    assert_eq!(claim(&mut *bench.open(), "two", bench.clock().now()), None);
    warehouse.renew_crawl(&first.crawl_id, "one").unwrap();
    warehouse.renew_crawl(&first.crawl_id, "two").unwrap_err();
    bench.clock().advance(TimeDelta::seconds(50));
    assert_eq!(claim(&mut *bench.open(), "two", bench.clock().now()), None);
}

/// The ledger's clock was thirty hours ahead.
fn a_lease_of_a_clock_that_was_ahead_keeps_nobody_away(bench: &dyn Bench) {
    bench.clock().advance(TimeDelta::hours(30));
    let (mut warehouse, first) = claimed(bench);
    // A little less is nothing to speak of: the lease ends that much later.
    bench.clock().advance(TimeDelta::minutes(-5));
    assert_eq!(claim(&mut *bench.open(), "two", bench.clock().now()), None);
    bench.clock().advance(TimeDelta::hours(-30));
    let taken = claim(&mut *bench.open(), "two", bench.clock().now()).unwrap();
    assert_eq!(taken.crawl_id, first.crawl_id);
    warehouse.renew_crawl(&first.crawl_id, "one").unwrap_err();
    // And this one holds as ever.
    bench.clock().advance(TimeDelta::seconds(59));
    assert_eq!(claim(&mut *bench.open(), "three", bench.clock().now()), None);
}

fn what_was_published_by_a_clock_that_was_ahead_is_adopted(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    bench.clock().advance(TimeDelta::hours(30));
    publish(&mut *warehouse, 1);
    bench.clock().advance(TimeDelta::hours(-30));
    let window_end = bench.clock().now();
    publish(&mut *warehouse, 2);
    bench.clock().advance(TimeDelta::seconds(30));
    // Late for this window, as far as anybody can tell.
    publish(&mut *warehouse, 3);
    let first = claim(&mut *warehouse, "one", window_end).unwrap();
    assert_eq!((adopted(bench, &first.crawl_id), first.batches), (ids(&[1, 2]), 2));
    assert_eq!(warehouse.crawl_objects(&first.crawl_id).unwrap().len(), 2);
}

fn the_dead_are_taken_over_from_at_once(bench: &dyn Bench) {
    let (mut warehouse, first) = claimed(bench);
    warehouse.crawl_attempt(&first.crawl_id, "one").unwrap();
    assert_eq!(claim_from_the_dead(&mut *warehouse, "two", first.window_end, "somebody"), None);
    let taken = claim_from_the_dead(&mut *warehouse, "two", first.window_end, "one").unwrap();
    let open_attempt = Some(OpenAttempt { number: 1, catalog_id: None });
    assert_eq!(taken, CrawlClaim { attempts: 1, open_attempt, ..first.clone() });
    assert_eq!(warehouse.crawl_attempt(&first.crawl_id, "two").unwrap(), 2);
    let sql = format!("SELECT attempt, owner, state FROM {} ORDER BY attempt", bench.ledger("crawl_attempt"));
    assert_eq!(bench.select(&sql), [["1", "one", "died"], ["2", "two", "running"]]);
}

fn who_lost_a_crawl_cannot_go_on_with_it(bench: &dyn Bench) {
    let (mut warehouse, first) = claimed(bench);
    let attempt = warehouse.crawl_attempt(&first.crawl_id, "one").unwrap();
    claim_from_the_dead(&mut *bench.open(), "two", first.window_end, "one").unwrap();
    let failure = warehouse.crawl_attempt(&first.crawl_id, "one").unwrap_err();
    assert_eq!(failure.kind, FailureKind::Transient, "{failure}");
    warehouse.finish_crawl(&first.crawl_id, "one", attempt, &succeeded()).unwrap_err();
    assert_eq!(warehouse.last_crawl(JOB).unwrap().unwrap().state, "running");
}

fn a_failed_attempt_is_followed_by_another(bench: &dyn Bench) {
    let (mut warehouse, first) = claimed(bench);
    let attempt = warehouse.crawl_attempt(&first.crawl_id, "one").unwrap();
    warehouse.finish_crawl(&first.crawl_id, "one", attempt, &failed()).unwrap();
    let row = warehouse.last_crawl(JOB).unwrap().unwrap();
    assert_eq!((&*row.crawl_id, &*row.state, row.finished_at), (&*first.crawl_id, "failed", None));
    assert_eq!(warehouse.awaiting_crawl(JOB).unwrap(), 1);
    let again = claim(&mut *warehouse, "one", a_minute_later(bench)).unwrap();
    assert_eq!(again, CrawlClaim { attempts: 1, failures: 1, ..first.clone() });
    let attempt = warehouse.crawl_attempt(&first.crawl_id, "one").unwrap();
    assert_eq!(attempt, 2);
    let end = a_minute_later(bench);
    warehouse.finish_crawl(&first.crawl_id, "one", attempt, &succeeded()).unwrap();
    let row = warehouse.last_crawl(JOB).unwrap().unwrap();
    assert_eq!((&*row.state, row.finished_at, row.batches), ("succeeded", Some(to_text(end)), 1));
    assert_eq!(row.window_end, to_text(first.window_end));
    let sql = format!(
        "SELECT attempt, state, glue_crawl_id FROM {} ORDER BY attempt",
        bench.ledger("crawl_attempt")
    );
    assert_eq!(bench.select(&sql), [["1", "failed", ""], ["2", "succeeded", "theirs"]]);
    assert_eq!(warehouse.awaiting_crawl(JOB).unwrap(), 0);
}

fn a_crawl_given_up_frees_its_batches(bench: &dyn Bench) {
    let (mut warehouse, first) = claimed(bench);
    let attempt = warehouse.crawl_attempt(&first.crawl_id, "one").unwrap();
    let given_up = CrawlEnd::GivenUp { message: "three times".to_owned() };
    warehouse.finish_crawl(&first.crawl_id, "one", attempt, &given_up).unwrap();
    assert_eq!(warehouse.last_crawl(JOB).unwrap().unwrap().state, "given_up");
    assert_eq!(warehouse.awaiting_crawl(JOB).unwrap(), 1);
    assert_eq!(claim(&mut *warehouse, "one", first.window_end), None, "not in the same window");
    let next = claim(&mut *warehouse, "two", a_minute_later(bench)).unwrap();
    assert_eq!((next.attempts, adopted(bench, &next.crawl_id)), (0, ids(&[1])));
}

fn an_ended_crawl_stays_as_it_ended(bench: &dyn Bench) {
    let (mut warehouse, first) = claimed(bench);
    let attempt = warehouse.crawl_attempt(&first.crawl_id, "one").unwrap();
    warehouse.finish_crawl(&first.crawl_id, "one", attempt, &succeeded()).unwrap();
    warehouse.crawl_attempt(&first.crawl_id, "one").unwrap_err();
    warehouse.finish_crawl(&first.crawl_id, "one", attempt, &failed()).unwrap_err();
    assert_eq!(warehouse.last_crawl(JOB).unwrap().unwrap().state, "succeeded");
}

fn what_an_attempt_follows_is_known_to_who_takes_over(bench: &dyn Bench) {
    let (mut warehouse, first) = claimed(bench);
    let attempt = warehouse.crawl_attempt(&first.crawl_id, "one").unwrap();
    warehouse.crawl_seen(&first.crawl_id, "one", attempt, "theirs").unwrap();
    warehouse.crawl_seen(&first.crawl_id, "one", attempt, "theirs").unwrap();
    let taken = claim_from_the_dead(&mut *warehouse, "two", first.window_end, "one").unwrap();
    let open_attempt = Some(OpenAttempt { number: attempt, catalog_id: Some("theirs".to_owned()) });
    assert_eq!((taken.open_attempt, taken.failures, taken.accounted), (open_attempt, 0, Vec::new()));
    let failure = warehouse.crawl_seen(&first.crawl_id, "one", attempt, "another").unwrap_err();
    assert_eq!(failure.kind, FailureKind::Transient, "{failure}");
    // Who took over ends the attempt that it found.
    warehouse.finish_crawl(&first.crawl_id, "two", attempt, &succeeded()).unwrap();
    let sql = format!("SELECT attempt, owner, state, glue_crawl_id FROM {}", bench.ledger("crawl_attempt"));
    assert_eq!(bench.select(&sql), [["1", "one", "succeeded", "theirs"]]);
    warehouse.crawl_seen(&first.crawl_id, "two", attempt, "another").unwrap_err();
}

fn what_attempts_ended_with_is_known_to_the_next(bench: &dyn Bench) {
    let (mut warehouse, first) = claimed(bench);
    for catalog_id in ["a", "b"] {
        let attempt = warehouse.crawl_attempt(&first.crawl_id, "one").unwrap();
        warehouse.crawl_seen(&first.crawl_id, "one", attempt, catalog_id).unwrap();
        warehouse.finish_crawl(&first.crawl_id, "one", attempt, &failed()).unwrap();
        bench.clock().advance(TimeDelta::seconds(1));
    }
    let again = claim(&mut *warehouse, "one", first.window_end).unwrap();
    assert_eq!((again.failures, again.open_attempt), (2, None));
    assert_eq!(again.accounted, ["b", "a"]);
    let attempt = warehouse.crawl_attempt(&first.crawl_id, "one").unwrap();
    warehouse.crawl_seen(&first.crawl_id, "one", attempt, "c").unwrap();
    let given_up = CrawlEnd::GivenUp { message: "three times".to_owned() };
    warehouse.finish_crawl(&first.crawl_id, "one", attempt, &given_up).unwrap();
    let next = claim(&mut *warehouse, "one", a_minute_later(bench)).unwrap();
    assert_eq!((next.failures, next.accounted), (0, vec!["c".to_owned(), "b".to_owned(), "a".to_owned()]));
}

fn a_crawl_knows_its_objects(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    publish(&mut *warehouse, 1);
    let first = claim(&mut *warehouse, "one", a_minute_later(bench)).unwrap();
    publish(&mut *warehouse, 2);
    let objects = warehouse.crawl_objects(&first.crawl_id).unwrap();
    let sql = format!(
        "SELECT csv_key FROM {} WHERE batch_id = '{}' AND csv_key IS NOT NULL",
        bench.ledger("batch_table"),
        batch(1, &[]).id()
    );
    let fixed: Vec<String> = bench.select(&sql).into_iter().flatten().collect();
    assert!(!fixed.is_empty() && objects == fixed, "{objects:?}");
    assert!(warehouse.crawl_objects("another").unwrap().is_empty());
}
