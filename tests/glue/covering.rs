//! Goal: one crawl a window, and it covers (I8), whoever else uses the crawler and however crawls end.

use chrono::TimeDelta;
use serde_json::json;
use sluicegate::ports::clock::Clock;

use crate::endpoint::{End, Fault, What};
use crate::machine::Machine;
use crate::world::{CRAWLER, World};

#[test]
fn each_window_with_something_new_has_one_crawl() {
    let world = World::new();
    let mut machine = Machine::start(&world, "one");
    for _ in 0..3 {
        world.publish(&mut machine, "one");
        world.publish(&mut machine, "one");
        world.end_window();
        world.settle(&mut machine);
        world.check_covered();
        // And a window in which nothing came.
        world.end_window();
        world.settle(&mut machine);
    }
    assert_eq!(world.crawls(), ["succeeded"; 3]);
    assert_eq!((world.history().len(), world.glue.count("StartCrawler")), (3, 3));
    let recorded = world.ask("SELECT glue_crawl_id FROM sluicegate_crawl_attempt ORDER BY started_at");
    let ids: Vec<_> = world.history().into_iter().map(|crawl| crawl.id).collect();
    assert_eq!(recorded.into_iter().flatten().collect::<Vec<_>>(), ids);
    assert_eq!(machine.context.tally.counts().crawls, 3);
}

#[test]
fn windows_that_nobody_was_there_for_collapse_into_one() {
    let world = World::new();
    let mut machine = Machine::start(&world, "one");
    world.publish(&mut machine, "one");
    drop(machine);
    for _ in 0..5 {
        world.end_window();
    }
    world.settle(&mut Machine::start(&world, "one"));
    assert_eq!((world.crawls().len(), world.history().len()), (1, 1));
    world.check_covered();
}

#[test]
fn an_early_end_is_recorded_as_one_and_waits_for_its_crawl() {
    let world = World::new();
    let mut machine = Machine::crawling_now(&world, "one");
    world.land("one");
    let waits = machine.work().unwrap();
    assert!(waits.iter().any(|wait| wait.contains("the last objects are too young")), "{waits:?}");
    world.clock.advance(TimeDelta::seconds(30));
    let waits = machine.work().unwrap();
    assert!(waits.iter().any(|wait| wait.contains("the crawler is running")), "{waits:?}");
    // It lost its patience; a later drain goes on with the same crawl.
    drop(machine);
    world.settle(&mut Machine::start(&world, "one"));
    assert_eq!(world.ask("SELECT state, early, attempts FROM sluicegate_crawl"), [["succeeded", "1", "1"]]);
    assert_eq!(world.history().len(), 1);
    world.check_covered();
}

#[test]
fn an_earlier_crawl_of_somebody_else_is_waited_out() {
    let world = World::new();
    let mut machine = Machine::start(&world, "one");
    assert!(world.glue.somebody_starts(CRAWLER));
    world.glue.crawls_take(TimeDelta::minutes(10), TimeDelta::minutes(1));
    world.clock.advance(TimeDelta::seconds(30));
    world.publish(&mut machine, "one");
    // Somebody's crawl runs until long after the window's end.
    assert!(!world.glue.somebody_starts(CRAWLER));
    world.clock.advance(TimeDelta::minutes(8));
    machine.work().unwrap();
    world.glue.somebody_starts(CRAWLER);
    world.end_window();
    world.settle(&mut machine);
    world.check_covered();
    let history = world.history();
    assert!(history.len() == 2 && history[0].seen.is_empty() && !history[1].seen.is_empty(), "{history:#?}");
}

#[test]
fn a_stopping_crawl_is_waited_out() {
    let world = World::new();
    let mut machine = Machine::start(&world, "one");
    world.publish(&mut machine, "one");
    world.clock.advance(TimeDelta::minutes(13));
    // It begins before the last object comes, and is stopped at the window's end.
    world.glue.somebody_starts(CRAWLER);
    world.publish(&mut machine, "one");
    world.end_window();
    world.glue.ask("StopCrawler", &json!({ "Name": CRAWLER })).unwrap();
    world.clock.advance(TimeDelta::seconds(10));
    let waits = machine.work().unwrap();
    assert!(waits.iter().any(|wait| wait.contains("busy with a crawl that began too early")), "{waits:?}");
    world.settle(&mut machine);
    assert_eq!((world.history().len(), world.attempts()), (2, vec!["succeeded".to_owned()]));
    world.check_covered();
}

#[test]
fn a_crawl_of_somebody_else_covers_if_it_began_late_enough() {
    let world = World::new();
    let mut machine = Machine::start(&world, "one");
    world.publish(&mut machine, "one");
    world.clock.advance(TimeDelta::minutes(5));
    assert!(world.glue.somebody_starts(CRAWLER));
    world.end_window();
    world.settle(&mut machine);
    assert_eq!((world.history().len(), world.glue.count("StartCrawler")), (1, 0));
    world.check_covered();
}

#[test]
fn a_crawl_that_began_within_the_margin_is_not_trusted() {
    let world = World::new();
    let mut machine = Machine::start(&world, "one");
    world.publish(&mut machine, "one");
    world.clock.advance(TimeDelta::seconds(2));
    assert!(world.glue.somebody_starts(CRAWLER));
    world.end_window();
    world.settle(&mut machine);
    assert_eq!(world.history().len(), 2, "two clocks may differ by more than two seconds");
    world.check_covered();
}

#[test]
fn a_failed_crawl_is_tried_again_as_another_attempt() {
    for end in [End::Fails, End::Cancelled] {
        let world = World::new();
        let mut machine = Machine::start(&world, "one");
        world.publish(&mut machine, "one");
        world.glue.next_crawls_end(&[end]);
        world.end_window();
        world.settle(&mut machine);
        assert_eq!(world.attempts(), ["failed", "succeeded"]);
        let rows = world.ask("SELECT glue_crawl_id, message FROM sluicegate_crawl_attempt ORDER BY attempt");
        let history = world.history();
        assert_eq!((&rows[0][0], &rows[1][0]), (&history[0].id, &history[1].id));
        assert!(!rows[0][1].is_empty() && history.len() == 2, "{rows:?}");
        world.check_covered();
    }
}

#[test]
fn a_crawl_that_a_person_stops_is_started_again() {
    let world = World::new();
    let mut machine = Machine::start(&world, "one");
    world.publish(&mut machine, "one");
    world.end_window();
    world.work_until(&mut machine, "the crawl runs", || !world.history().is_empty());
    world.glue.ask("StopCrawler", &json!({ "Name": CRAWLER })).unwrap();
    world.settle(&mut machine);
    assert_eq!(
        (world.attempts(), world.history().len()),
        (vec!["failed".to_owned(), "succeeded".to_owned()], 2)
    );
    world.check_covered();
}

#[test]
fn a_crawl_given_up_leaves_its_batches_to_the_next_window() {
    let world = World::new();
    let mut machine = Machine::start(&world, "one");
    world.publish(&mut machine, "one");
    world.glue.next_crawls_end(&[End::Fails, End::Fails, End::Fails]);
    world.end_window();
    world.work_until(&mut machine, "it is given up", || {
        world.crawls().first().is_some_and(|state| state == "given_up")
    });
    world.settle(&mut machine);
    assert_eq!(world.crawls(), ["given_up", "succeeded"]);
    assert_eq!(world.attempts(), ["failed", "failed", "given_up", "succeeded"]);
    assert_eq!(world.history().len(), 4);
    world.check_covered();
}

/// No window bounds how often it would begin anew: each crawl costs ten minutes of Glue's time.
#[test]
fn a_crawl_given_up_is_not_begun_again_by_the_run_that_ends_the_window_now() {
    let world = World::new();
    world.glue.next_crawls_end(&[End::Fails, End::Fails, End::Fails]);
    let mut machine = Machine::crawling_now(&world, "one");
    world.land("one");
    world.settle(&mut machine);
    assert_eq!((world.crawls(), world.history().len()), (vec!["given_up".to_owned()], 3));
    assert_eq!(world.attempts(), ["failed", "failed", "given_up"]);
    let told = machine.context.tally.counts().given_up_crawls;
    let words =
        "the crawl of job invoices was given up, and queries may not see its last batches: Insufficient";
    assert!(told["invoices"].starts_with(words), "{told:?}");
    // A person has looked, and runs it once more.
    drop(machine);
    let mut machine = Machine::crawling_now(&world, "one");
    world.settle(&mut machine);
    assert_eq!(
        (world.crawls(), world.history().len()),
        (vec!["given_up".to_owned(), "succeeded".to_owned()], 4)
    );
    assert!(machine.context.tally.counts().given_up_crawls.is_empty());
    world.check_covered();
}

#[test]
fn what_was_published_under_a_clock_that_was_ahead_is_crawled() {
    let (world, far) = (World::new(), TimeDelta::hours(30));
    let mut machine = Machine::start(&world, "one");
    world.clock.advance(far);
    world.publish(&mut machine, "one");
    world.clock.advance(-far);
    let back = world.clock.now();
    world.end_window();
    world.settle(&mut machine);
    assert_eq!((world.crawls(), world.history().len()), (vec!["succeeded".to_owned()], 1));
    assert!(world.clock.now() - back < TimeDelta::hours(1));
    world.check_covered();
}

/// The claim is of the future too; nothing of the catalog's has begun.
#[test]
fn a_claim_under_a_clock_that_was_ahead_goes_on() {
    for restart in [false, true] {
        let (world, far) = (World::new(), TimeDelta::hours(30));
        world.clock.advance(far);
        let mut machine = Machine::crawling_now(&world, "one");
        world.land("one");
        let waits = machine.work().unwrap();
        assert!(waits.iter().any(|wait| wait.contains("the last objects are too young")), "{waits:?}");
        world.clock.advance(-far);
        let back = world.clock.now();
        if restart {
            drop(machine);
            machine = Machine::crawling_now(&world, "one");
        }
        world.settle(&mut machine);
        assert_eq!((world.attempts(), world.history().len()), (vec!["succeeded".to_owned()], 1));
        assert!(world.clock.now() - back < TimeDelta::hours(1), "restart: {restart}");
        world.check_covered();
    }
}

#[test]
fn clocks_that_differ_cost_no_second_crawl() {
    for minutes in [-5, 5] {
        let world = World::new();
        world.glue.clock_ahead(TimeDelta::minutes(minutes));
        let mut machine = Machine::start(&world, "one");
        for _ in 0..2 {
            world.publish(&mut machine, "one");
            world.end_window();
            world.settle(&mut machine);
        }
        assert_eq!((world.crawls().len(), world.history().len()), (2, 2), "{minutes} minutes");
        world.check_covered();
    }
}

#[test]
fn a_crawler_that_is_missing_is_waited_for() {
    let world = World::new();
    let mut machine = Machine::start(&world, "one");
    world.publish(&mut machine, "one");
    world.glue.ask("DeleteCrawler", &json!({ "Name": CRAWLER })).unwrap();
    world.end_window();
    world.clock.advance(TimeDelta::minutes(1));
    let waits = machine.work().unwrap();
    assert!(waits.iter().any(|wait| wait.contains("no Glue crawler nightly")), "{waits:?}");
    world.glue.create_crawler(CRAWLER, "sales");
    world.settle(&mut machine);
    assert_eq!((world.history().len(), world.attempts()), (1, vec!["succeeded".to_owned()]));
    world.check_covered();
}

#[test]
fn a_crawl_in_trouble_holds_up_no_document() {
    let world = World::new();
    let mut machine = Machine::start(&world, "one");
    world.glue.fault(Fault::always("GetCrawler", What::Refused(400, "ThrottlingException")));
    world.publish(&mut machine, "one");
    world.end_window();
    machine.work().unwrap();
    world.publish(&mut machine, "one");
    assert_eq!(world.ask("SELECT count(*) FROM sluicegate_batch WHERE published_at IS NOT NULL"), [["2"]]);
    world.glue.no_more_faults();
    world.settle(&mut machine);
    world.end_window();
    world.settle(&mut machine);
    assert_eq!((world.crawls().len(), world.history().len()), (2, 2));
    world.check_covered();
}
