//! Goal: whoever dies, and wherever, another machine goes on with the window's crawl, and Glue sees no second one.

use chrono::TimeDelta;
use sluicegate::effects;

use crate::endpoint::{End, Fault, What};
use crate::machine::Machine;
use crate::world::World;

const CRAWL_EFFECTS: [&str; 5] = [
    effects::CRAWL_CLAIM,
    effects::CRAWL_ATTEMPT,
    effects::CRAWL_START,
    effects::CRAWL_SEEN,
    effects::CRAWL_FINISH,
];

/// A machine dies at the effect; `heir` is the name of the one that goes on. How many crawls Glue has seen.
fn inherited(effect: &'static str, after: bool, heir: &str, prepare: impl Fn(&World)) -> usize {
    let world = World::new();
    prepare(&world);
    // The heir knows the ledger, as every machine of a fleet does.
    Machine::start(&world, heir).work().unwrap();
    let mut machine = Machine::dying(&world, "one", effect, after);
    world.publish(&mut machine, "one");
    world.end_window();
    machine.doom();
    let mut died = false;
    for _ in 0..1_000 {
        died = machine.work().is_err();
        if died {
            break;
        }
        world.clock.advance(TimeDelta::seconds(5));
    }
    assert!(died, "it met {effect}");
    drop(machine);
    world.settle(&mut Machine::start(&world, heir));
    assert_eq!(world.crawls(), ["succeeded"], "{effect} {after} {heir}");
    world.check_covered();
    world.history().len()
}

#[test]
fn a_death_at_each_step_makes_no_second_crawl() {
    for effect in CRAWL_EFFECTS {
        for after in [false, true] {
            for heir in ["one", "two"] {
                let crawls = inherited(effect, after, heir, |_| ());
                assert_eq!(crawls, 1, "{effect}, after: {after}, then {heir}");
            }
        }
    }
}

#[test]
fn the_same_where_the_list_is_refused() {
    for effect in CRAWL_EFFECTS {
        for after in [false, true] {
            // Without a list a crawl has no name while it runs, so nothing is recorded before its end.
            let crawls = inherited(effect, after, "two", |world| {
                world.glue.fault(Fault::always("ListCrawls", What::Refused(400, "AccessDeniedException")));
            });
            assert_eq!(crawls, 1, "{effect}, after: {after}");
        }
    }
}

#[test]
fn a_failed_crawl_of_the_dead_is_counted_once() {
    for effect in [effects::CRAWL_START, effects::CRAWL_SEEN, effects::CRAWL_FINISH] {
        let crawls = inherited(effect, true, "two", |world| world.glue.next_crawls_end(&[End::Fails]));
        assert_eq!(crawls, 2, "{effect}");
    }
}

#[test]
fn who_lives_keeps_the_crawl_and_who_is_gone_loses_it() {
    let world = World::new();
    let (mut one, mut two) = (Machine::start(&world, "one"), Machine::start(&world, "two"));
    world.publish(&mut one, "one");
    world.publish(&mut two, "two");
    world.end_window();
    world.clock.advance(TimeDelta::seconds(30));
    // Both look for five minutes, far longer than a lease.
    for _ in 0..30 {
        one.work().unwrap();
        two.work().unwrap();
        world.clock.advance(TimeDelta::seconds(10));
    }
    assert_eq!(world.ask("SELECT owner, batches FROM sluicegate_crawl"), [["one-1", "2"]]);
    drop(one);
    world.settle(&mut two);
    assert_eq!(world.ask("SELECT owner, attempts FROM sluicegate_crawl"), [["two-2", "1"]]);
    assert_eq!(world.history().len(), 1);
    world.check_covered();
}

#[test]
fn an_heir_that_finds_only_an_early_crawl_starts_another() {
    let world = World::new();
    Machine::start(&world, "two").work().unwrap();
    let mut machine = Machine::dying(&world, "one", effects::CRAWL_START, false);
    world.publish(&mut machine, "one");
    // Somebody's crawl, a moment before the last object.
    assert!(world.glue.somebody_starts(crate::world::CRAWLER));
    world.publish(&mut machine, "one");
    world.end_window();
    machine.doom();
    while machine.work().is_ok() {
        world.clock.advance(TimeDelta::seconds(5));
    }
    drop(machine);
    world.settle(&mut Machine::start(&world, "two"));
    assert_eq!(world.history().len(), 2);
    world.check_covered();
}

/// The request of the dead reaches Glue after the heir has looked: the heir is told that a crawl runs, and that one fails.
#[test]
fn a_start_of_the_dead_that_comes_late_and_fails_belongs_to_the_heir() {
    let world = World::new();
    Machine::start(&world, "two").work().unwrap();
    let mut machine = Machine::dying(&world, "one", effects::CRAWL_START, false);
    world.publish(&mut machine, "one");
    world.end_window();
    machine.doom();
    while machine.work().is_ok() {
        world.clock.advance(TimeDelta::seconds(5));
    }
    drop(machine);
    // It is over before anybody looks again.
    world.glue.crawls_take(TimeDelta::seconds(2), TimeDelta::seconds(1));
    world.glue.next_crawls_end(&[End::Fails]);
    world.glue.fault(Fault::next("StartCrawler", What::DoneAndRefused(400, "CrawlerRunningException"), 1));
    world.settle(&mut Machine::start(&world, "two"));
    assert_eq!(world.crawls(), ["succeeded"]);
    let named = world
        .ask("SELECT glue_crawl_id FROM sluicegate_crawl_attempt WHERE glue_crawl_id IS NOT NULL ORDER BY 1");
    let mut history: Vec<String> = world.history().into_iter().map(|crawl| crawl.id).collect();
    history.sort();
    assert_eq!(named.concat(), history, "each crawl of Glue's history is an attempt's");
    assert_eq!(history.len(), 2);
}
