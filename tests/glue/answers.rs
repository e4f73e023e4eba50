//! Goal: whatever Glue answers, or does not, a window has one crawl in the ledger and one in Glue's history.

use chrono::TimeDelta;

use crate::endpoint::{Fault, Spelling, What};
use crate::machine::Machine;
use crate::world::World;

/// Publishes, ends a window and settles, twice over; Glue is as `prepare` makes it. How many crawls Glue has seen.
fn two_windows(prepare: impl Fn(&World)) -> usize {
    let world = World::new();
    prepare(&world);
    let mut machine = Machine::start(&world, "one");
    for _ in 0..2 {
        world.publish(&mut machine, "one");
        world.end_window();
        world.settle(&mut machine);
    }
    assert_eq!(
        (world.crawls(), world.attempts()),
        (vec!["succeeded".to_owned(); 2], vec!["succeeded".to_owned(); 2])
    );
    world.check_covered();
    world.history().len()
}

/// Everything that can become of a StartCrawler besides its answer.
const STARTS: [What; 8] = [
    What::Lost,
    What::NeverCame,
    What::DoneAndRefused(500, "InternalServiceException"),
    What::DoneAndRefused(400, "OperationTimeoutException"),
    What::Refused(503, "ServiceUnavailable"),
    What::Refused(400, "OperationTimeoutException"),
    What::Refused(400, "ThrottlingException"),
    What::Refused(400, "CrawlerRunningException"),
];

#[test]
fn a_start_whose_answer_says_nothing_makes_no_second_crawl() {
    for what in STARTS {
        for times in [1, 3] {
            let crawls = two_windows(|world| world.glue.fault(Fault::next("StartCrawler", what, times)));
            assert_eq!(crawls, 2, "{what:?}, {times} times");
        }
    }
}

#[test]
fn the_same_where_the_list_is_refused() {
    for what in STARTS {
        let crawls = two_windows(|world| {
            world.glue.fault(Fault::next("StartCrawler", what, 1));
            world.glue.fault(Fault::always("ListCrawls", What::Refused(400, "AccessDeniedException")));
        });
        assert_eq!(crawls, 2, "{what:?}");
    }
}

#[test]
fn the_same_where_the_list_is_behind() {
    for minutes in [1, 9, 30] {
        for what in [What::Lost, What::DoneAndRefused(400, "OperationTimeoutException")] {
            let crawls = two_windows(|world| {
                world.glue.listing_lag(TimeDelta::minutes(minutes));
                world.glue.fault(Fault::next("StartCrawler", what, 1));
            });
            assert_eq!(crawls, 2, "{what:?}, {minutes} minutes behind");
        }
    }
}

/// Some stand-ins tell less than Glue does.
#[test]
fn missing_fields_are_done_without() {
    for spelling in [
        Spelling::Documented,
        Spelling::Lower,
        Spelling::TextTimes,
        Spelling::NoStartTime,
        Spelling::NoLastCrawl,
    ] {
        let refused = two_windows(|world| {
            world.glue.spelling(spelling);
            world.glue.fault(Fault::always("ListCrawls", What::Refused(400, "InvalidAction")));
        });
        let listed = two_windows(|world| world.glue.spelling(spelling));
        assert_eq!((refused, listed), (2, 2), "{spelling:?}");
    }
}

/// Where the look before a start knows nothing of the crawls before, an old one that shows later looks like a new one.
#[test]
fn a_list_that_is_throttled_makes_no_old_crawl_ours() {
    for seed in 1..=6 {
        // The SDK does not ask again by itself after this one, so that nothing sleeps.
        let throttled = What::Refused(400, "OperationTimeoutException");
        let crawls = two_windows(|world| {
            world.glue.spelling(Spelling::NoStartTime);
            world.glue.listing_lag(TimeDelta::minutes(1));
            world.glue.fault(Fault::at_random("ListCrawls", &[throttled], 50, seed));
        });
        assert_eq!(crawls, 2, "seed {seed}");
    }
}

#[test]
fn a_filter_that_is_not_understood_is_left_out() {
    // The first request of each look carries the filter.
    let crawls = two_windows(|world| {
        for _ in 0..3 {
            world.glue.fault(Fault::next("ListCrawls", What::Refused(400, "ValidationException"), 1));
        }
    });
    assert_eq!(crawls, 2);
}

#[test]
fn trouble_at_every_turn_makes_no_second_crawl() {
    let full = std::env::var_os("SLUICEGATE_FULL").is_some_and(|value| value == "1");
    for seed in 1..=if full { 100 } else { 6 } {
        let crawls = two_windows(|world| {
            world.glue.fault(Fault::at_random("StartCrawler", &STARTS, 60, seed));
            let looks = [What::NeverCame, What::Refused(500, "InternalServiceException")];
            world.glue.fault(Fault::at_random("ListCrawls", &looks, 10, seed));
            world.glue.fault(Fault::at_random("GetCrawler", &looks, 10, seed + 100));
            world.glue.listing_lag(TimeDelta::seconds(7 * (seed as i64 % 5)));
        });
        assert_eq!(crawls, 2, "seed {seed}");
    }
}
