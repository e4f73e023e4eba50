//! The advancing crash point: the n-th effect fails, n = 1, 2, … until a run meets no fault. A process dies before the
//! effect or after it, an answer is lost, everything fails until a restart, a second death comes during the recovery.
//! After each run an independent oracle looks at all that is left, and the content must be that of a run without faults.
//!
//! `SLUICEGATE_FULL=1` tries every pair of deaths, and not only a sample.

mod behind;
mod clock;
#[path = "../conformance/counts.rs"]
mod counts;
mod elsewhere;
mod failing;
mod fault;
mod fleet;
mod landing;
mod lives;
#[path = "../conformance/manual_clock.rs"]
mod manual_clock;
mod mending;
mod missed;
mod oracle;
mod page;
mod process;
mod quiet;
mod replaying;
mod rest;
#[path = "../conformance/rows.rs"]
mod rows;
mod run;
#[path = "../kills/story.rs"]
mod story;
mod workload;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use chrono::TimeDelta;
use fault::{Kind, Strike};
use run::{Report, run, run_with_an_old_copy};
use sluicegate::effects::{
    ALERT_PUSH, ARCHIVE_PUT, CATALOG_DEFINE, CURATED_PUT, INBOX_GIVE_BACK, LISTING_CLAIM, PROOF_COMMIT,
    QUERY_RUN, QUERY_STOP, REPORT_PUT, REPORT_WRITE, SUBSCRIPTION_CONFIRM, WAREHOUSE_COMMIT,
};
use sluicegate_state::effects::{ADOPT, ATTEMPT_FAILED, BURY};

/// Every how many moments the first of two deaths is tried by default.
const SAMPLE: usize = 7;
/// How many moments of the recovery from it the second death is then tried at, beside the burial of the first.
const SECONDS: usize = 6;
/// More moments than a run of this workload can have: the advance ends before.
const MOST_MOMENTS: usize = 1_000;

/// The content of a run that meets no fault.
fn calm() -> &'static Report {
    static CALM: OnceLock<Report> = OnceLock::new();
    CALM.get_or_init(|| run(&[], 0))
}

/// Runs and compares; what the run says of itself.
fn run_like_the_calm_one(lives: &[&[Strike]]) -> Report {
    let report = told(lives, 0);
    assert!(report.content == calm().content, "{}", differences(lives, &calm().content, &report.content));
    report
}

fn told(lives: &[&[Strike]], lost: usize) -> Report {
    let told = std::panic::catch_unwind(|| run(lives, lost));
    told.unwrap_or_else(|_| panic!("the run with {lives:?} broke a promise ({lost} states lost); see above"))
}

/// The same where the state folder is lost with each of the first `lost` lives. What only the lost journal knew of, and
/// what is in the landing no more, nobody can know; everything else ends as in the calm run.
fn run_that_loses_its_state(lives: &[&[Strike]], lost: usize) -> Report {
    let report = told(lives, lost);
    let expected = oracle::without_what_may_be_lost(&calm().content);
    let found = oracle::without_what_may_be_lost(&report.content);
    assert!(found == expected, "{}", differences(lives, &expected, &found));
    report
}

fn differences(lives: &[&[Strike]], expected: &[String], found: &[String]) -> String {
    let only = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|line| !those.contains(line)).cloned().collect()
    };
    format!(
        "{lives:?} ends with other content.\nlost: {:#?}\nunexpected: {:#?}",
        only(expected, found),
        only(found, expected)
    )
}

/// What an advance has tried.
#[derive(Default)]
struct Tried {
    points: usize,
    struck: BTreeSet<(&'static str, bool)>,
}

/// Advances one kind of fault over all moments, before and after the effect.
fn advance(kind: Kind, mut each: impl FnMut(Strike, &Report)) -> Tried {
    let mut tried = Tried::default();
    for after in [false, true] {
        for moment in 1..MOST_MOMENTS {
            let strike = Strike { moment, after, kind };
            let report = run_like_the_calm_one(&[&[strike]]);
            if !report.all_met {
                break;
            }
            tried.points += 1;
            tried.struck.extend(&report.struck);
            each(strike, &report);
        }
    }
    assert!(
        tried.points >= 2 * calm().first_life.len(),
        "the advance went over every moment of the calm run"
    );
    tried
}

/// That faults met every effect, before and after it, except these and those that never occur.
fn assert_all_struck(tried: &Tried, exceptions: &[(&str, &str)]) {
    let names = sluicegate::effects::ALL.iter().chain(sluicegate_state::effects::ALL);
    for name in names {
        let excepted = NEVER.iter().chain(exceptions).find(|(effect, _)| effect == name);
        for after in [false, true] {
            let struck = tried.struck.contains(&(*name, after));
            match excepted {
                None => assert!(struck, "no fault met {name} (after: {after})"),
                Some((_, why)) => assert!(!struck, "a fault met {name}, though: {why}"),
            }
        }
    }
}

/// What cannot occur in any advance, and why.
const NEVER: &[(&str, &str)] = &[
    (ADOPT, "the state is not lost here; it is below"),
    (LISTING_CLAIM, "the inbox scans the landing; where the state is lost it is listed"),
    (ALERT_PUSH, "no alarm hangs on documents; src/pipeline/alert/tests.rs lets each push fail"),
    (
        SUBSCRIPTION_CONFIRM,
        "the inbox here is a folder; tests/sns/confirming.rs loses this effect and its answer",
    ),
    (INBOX_GIVE_BACK, "a folder has nothing to take back; tests/kills kills and fails it with a queue"),
    (CATALOG_DEFINE, "a command's own; src/catalog/tests.rs lets it die"),
    // Each of its moments is tried in mending.rs and replaying.rs.
    (PROOF_COMMIT, "no drain proves or mends anything"),
    (REPORT_PUT, "no drain writes a report"),
    (REPORT_WRITE, "a command's own, after its proof; tests/kills kills and fails it"),
    (QUERY_RUN, "a command's own, and the proof's; tests/kills kills and fails it"),
    (QUERY_STOP, "Athena's alone; tests/kills and tests/athena stop a statement there"),
];
const NOBODY_FAILS: (&str, &str) = (ATTEMPT_FAILED, "a death leaves nobody who could record a failure");
const NOBODY_DIED: (&str, &str) = (BURY, "in the first life there is nobody to bury");

#[test]
fn a_process_dies_at_each_moment() {
    let tried = advance(Kind::Dies, |_, _| ());
    println!("{} points: death before and after each effect", tried.points);
    counts::note("crash-points", tried.points, "crash points: death before and after each effect");
    assert_all_struck(&tried, &[NOBODY_FAILS, NOBODY_DIED]);
}

#[test]
fn each_effect_fails_once() {
    let mut recorded = BTreeMap::new();
    let mut tried = advance(Kind::FailsOnce, |strike, report| {
        // The effect after the one that failed: where it is the record of the failure, that is tried below.
        if report.first_life.get(strike.moment) == Some(&ATTEMPT_FAILED) {
            recorded.entry((report.first_life[strike.moment - 1], strike.after)).or_insert(strike);
        }
    });
    println!("{} points: one failure before and after each effect, without a restart", tried.points);
    counts::note("failure-points", tried.points, "points of one failure, before and after each effect");
    assert!(recorded.len() >= 10, "{recorded:?}");
    for (strike, after) in recorded.values().flat_map(|strike| [(*strike, false), (*strike, true)]) {
        let death = Strike { moment: strike.moment + 1, after, kind: Kind::Dies };
        let report = run_like_the_calm_one(&[&[strike, death]]);
        assert!(report.all_met);
        tried.struck.extend(&report.struck);
    }
    println!("{} points: a process dies while it records a failure", 2 * recorded.len());
    assert_all_struck(&tried, &[NOBODY_DIED]);
}

#[test]
fn everything_fails_from_a_moment_on_until_a_restart() {
    let tried = advance(Kind::FailsFromThenOn, |_, _| ());
    println!("{} points: everything fails from each moment on until a restart", tried.points);
    counts::note("outage-points", tried.points, "points from which on everything fails until a restart");
    // A process that cannot even make itself known starts again, and buries what it left.
    assert_all_struck(&tried, &[]);
}

/// The moments of the recovery from `first` at which a second death is tried: all, or a sample that depends on nothing but
/// `seed`, and no clock, so that it is the same on every machine.
fn second_deaths(first: &[Strike], full: bool, seed: usize) -> BTreeSet<usize> {
    let recovery = run_like_the_calm_one(&[first]).second_life;
    if full {
        return (1..=recovery.len()).collect();
    }
    let burial = recovery.iter().position(|effect| *effect == BURY).map(|index| index + 1);
    // A linear congruential generator (the constants are Knuth's for MMIX); its upper bits are good enough here.
    let mut state = seed as u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        1 + (state >> 33) as usize % recovery.len()
    };
    burial.into_iter().chain((0..SECONDS).map(|_| random())).collect()
}

#[test]
fn a_process_dies_while_it_recovers_from_a_death() {
    let full = std::env::var_os("SLUICEGATE_FULL").is_some_and(|value| value == "1");
    let (mut pairs, mut struck) = (0, BTreeSet::new());
    for (number, moment) in (1..=calm().first_life.len()).step_by(if full { 1 } else { SAMPLE }).enumerate() {
        for (turn, [first, second]) in
            [[true, false], [false, true], [false, false], [true, true]].into_iter().enumerate()
        {
            // The sample takes one combination of before and after for each first death, in turn.
            if !full && turn != number % 4 {
                continue;
            }
            let first = Strike { moment, after: first, kind: Kind::Dies };
            for moment in second_deaths(&[first], full, number) {
                let second = Strike { moment, after: second, kind: Kind::Dies };
                let report = run_like_the_calm_one(&[&[first], &[second]]);
                assert!(report.all_met, "{first:?}, {second:?}");
                pairs += 1;
                struck.extend(report.struck);
            }
        }
    }
    counts::note("pairs", pairs, "pairs of deaths: the second one during the recovery from the first");
    println!("{pairs} pairs: a second death during the recovery from the first");
    assert!(pairs >= if full { 25_000 } else { 100 }, "{pairs}");
    for after in [false, true] {
        assert!(struck.contains(&(BURY, after)), "a second death while the dead are buried");
    }
}

#[test]
fn the_state_is_lost_with_a_process_that_dies_at_each_moment() {
    let full = std::env::var_os("SLUICEGATE_FULL").is_some_and(|value| value == "1");
    let moments = calm().first_life.len();
    let mut points = 0;
    for moment in 1..=moments {
        for after in [false, true] {
            // After one effect is before the next one, but for what was on its way.
            if !full && after != (moment % 2 == 0) {
                continue;
            }
            let strike = Strike { moment, after, kind: Kind::Dies };
            let report = run_that_loses_its_state(&[&[strike]], 1);
            assert!(report.all_met, "{strike:?}");
            points += 1;
        }
    }
    println!("{points} points: death before or after each effect, and the state folder is gone");
    counts::note("lost-state-points", points, "points of death at which the state folder is lost too");
    assert_eq!(points, moments * (1 + usize::from(full)));
}

/// Of an hour ago, or of yesterday, by turns; what was pending in it, sealed, archived or loaded is done by now.
#[test]
fn the_state_comes_back_as_an_old_copy() {
    let full = std::env::var_os("SLUICEGATE_FULL").is_some_and(|value| value == "1");
    let moments = calm().first_life.len();
    let expected = oracle::without_what_may_be_lost(&calm().content);
    let (mut points, mut copies) = (0, 0);
    for moment in (1..=moments).step_by(if full { 1 } else { 2 }) {
        for (turn, after) in [false, true].into_iter().enumerate() {
            if !full && after != (moment % 4 == 1) {
                continue;
            }
            let strike = Strike { moment, after, kind: Kind::Dies };
            let age = TimeDelta::hours(if (moment / 4 + turn) % 2 == 0 { 1 } else { 25 });
            let told = std::panic::catch_unwind(|| run_with_an_old_copy(strike, age));
            let report = told.unwrap_or_else(|_| panic!("a copy of {strike:?}, {age} old, broke a promise"));
            assert!(report.all_met, "{strike:?}");
            let found = oracle::without_what_may_be_lost(&report.content);
            assert!(found == expected, "{age} old: {}", differences(&[&[strike]], &expected, &found));
            points += 1;
            copies += usize::from(report.copy_came_back);
        }
    }
    println!("{copies} points: the state folder comes back as it was before or after an effect");
    counts::note("old-state-points", copies, "points from which an old copy of the state folder comes back");
    // At the first effects there is no state yet, and after the last ones nothing comes any more.
    assert!(copies * 10 >= points * 9, "{copies} of {points}");
}

#[test]
fn a_process_dies_while_it_rebuilds_a_lost_state() {
    let (mut points, mut struck) = (0, BTreeSet::new());
    for effect in [ARCHIVE_PUT, WAREHOUSE_COMMIT, CURATED_PUT] {
        let moment = 1 + calm().first_life.iter().position(|name| *name == effect).unwrap();
        let first = Strike { moment, after: true, kind: Kind::Dies };
        let rebuilding = run_that_loses_its_state(&[&[first]], 1).second_life;
        assert!(rebuilding.contains(&ADOPT), "what was left after {effect} is adopted: {rebuilding:?}");
        // A rebuilding process looks again and again until a lease has run out: each effect the first time, and a sample.
        let mut seen = BTreeSet::new();
        let moments = rebuilding.iter().enumerate();
        let moments = moments.filter(|(index, name)| seen.insert(**name) || index % (9 * SAMPLE) == 0);
        for (index, name) in moments {
            for (after, lost) in [(false, 1), (true, 2)] {
                // Both for what rebuilds, and one of them in turn for the others.
                if ![ADOPT, LISTING_CLAIM].contains(name) && after != (index % 2 == 0) {
                    continue;
                }
                let moment = index + 1;
                let second = Strike { moment, after, kind: Kind::Dies };
                let report = run_that_loses_its_state(&[&[first], &[second]], lost);
                assert!(report.all_met, "{moment}");
                points += 1;
                struck.extend(report.struck);
            }
        }
    }
    println!(
        "{points} points: a second death while a lost state is rebuilt; the state is lost again with every other one"
    );
    for effect in [ADOPT, LISTING_CLAIM] {
        for after in [false, true] {
            assert!(struck.contains(&(effect, after)), "no fault met {effect} (after: {after})");
        }
    }
}
