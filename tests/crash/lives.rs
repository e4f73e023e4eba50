//! What a person does, in as many lives as it takes: the first meets a strike, and the command is given again where it did
//! not come to its end.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::TimeDelta;
use sluicegate::failure::Outcome;

use crate::fault::{Faults, Kind, Strike};
use crate::process::{Process, World};

/// Lives that a command may take: one that dies, and one more.
const LIVES: usize = 2;
/// More moments than a command of these workloads can have: the advance ends before.
const MOST_MOMENTS: usize = 1_000;

/// Gives the command in a new process, and once more in another one if the first died or could not do it.
pub(crate) fn survive(
    world: &World,
    strikes: &[Strike],
    command: &dyn Fn(&mut Process) -> Outcome<()>,
) -> Arc<Faults> {
    let struck = Faults::new(strikes);
    let lives = [struck.clone(), Faults::new(&[])];
    for faults in lives.iter().take(LIVES) {
        let done = Process::start(world, faults).and_then(|mut process| {
            command(&mut process)?;
            process.end()
        });
        match done {
            // A stage may have met the death on a thread of its own and told nobody.
            Ok(()) if !faults.is_dead() => return struck,
            Ok(()) => {}
            Err(failure) => {
                let injected = faults.is_dead() || failure.message.contains("test fault");
                assert!(injected, "a failure that no test injected: {failure}");
            }
        }
        world.clock.advance(TimeDelta::seconds(1));
    }
    panic!("the last life meets no faults and does not get to its end");
}

/// Dies before and after each effect of a command in turn, or fails there once, until a run meets no fault; `run` answers
/// what is there in the end, which is always the same. The effects that a death met. By default failures come before and
/// after the effects by turns.
pub(crate) fn advance(
    mut run: impl FnMut(&[Strike]) -> (Arc<Faults>, Vec<String>),
) -> BTreeSet<(&'static str, bool)> {
    let (_, calm) = run(&[]);
    let (mut points, mut struck) = (0, BTreeSet::new());
    let full = std::env::var_os("SLUICEGATE_FULL").is_some_and(|value| value == "1");
    for (kind, after) in
        [(Kind::Dies, false), (Kind::Dies, true), (Kind::FailsOnce, false), (Kind::FailsOnce, true)]
    {
        for moment in 1..MOST_MOMENTS {
            if kind == Kind::FailsOnce && !full && after == (moment % 2 == 0) {
                continue;
            }
            let strike = Strike { moment, after, kind };
            let (faults, content) = run(&[strike]);
            if !faults.all_met() {
                break;
            }
            assert_eq!(content, calm, "{strike:?} in {:?}", faults.struck());
            points += 1;
            if kind == Kind::Dies {
                struck.extend(faults.struck());
            }
        }
    }
    println!(
        "{points} points: death and failure before and after each effect of a command that is given again"
    );
    struck
}

/// That each of these effects was struck before and after it.
pub(crate) fn assert_struck(struck: &BTreeSet<(&'static str, bool)>, effects: &[&'static str]) {
    for effect in effects {
        for after in [false, true] {
            assert!(struck.contains(&(*effect, after)), "no fault met {effect} (after: {after})");
        }
    }
}
