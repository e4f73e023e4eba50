//! The faults of one life: every effect passes here under its name and is counted, and some of the moments strike.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use sluicegate_state::seam::{Fault, Injected, Seam};

/// How a moment strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The process is dead from then on.
    Dies,
    /// This one effect fails, and the process goes on.
    FailsOnce,
    /// Every effect fails from then on, until there is another process.
    FailsFromThenOn,
}

/// A moment that strikes. Moments are counted from 1 in each life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Strike {
    pub(crate) moment: usize,
    /// The effect happens and its answer is lost; else it does not happen.
    pub(crate) after: bool,
    pub(crate) kind: Kind,
}

/// What has happened so far.
#[derive(Debug, Default)]
struct Story {
    effects: Vec<&'static str>,
    dead: bool,
    struck: BTreeSet<(&'static str, bool)>,
    strikes_met: usize,
}

/// The faults of one life. Effects are performed one after the other: the test runs the pipeline serially.
pub(crate) struct Faults {
    strikes: Vec<Strike>,
    story: Mutex<Story>,
}

impl Faults {
    pub(crate) fn new(strikes: &[Strike]) -> Arc<Self> {
        Arc::new(Self { strikes: strikes.to_vec(), story: Mutex::default() })
    }

    pub(crate) fn seam(self: &Arc<Self>) -> Seam {
        Seam::with_fault(self.clone())
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.story.lock().unwrap().dead
    }

    /// The names of all effects that were tried, in their order.
    pub(crate) fn effects(&self) -> Vec<&'static str> {
        self.story.lock().unwrap().effects.clone()
    }

    /// The effects that a fault met, with whether it was after them.
    pub(crate) fn struck(&self) -> BTreeSet<(&'static str, bool)> {
        self.story.lock().unwrap().struck.clone()
    }

    /// Whether every strike met its moment.
    pub(crate) fn all_met(&self) -> bool {
        self.story.lock().unwrap().strikes_met >= self.strikes.len()
    }

    fn strike(&self, story: &mut Story, effect: &'static str, after: bool) -> Result<(), Injected> {
        let moment = story.effects.len();
        for strike in self.strikes.iter().filter(|strike| strike.after == after) {
            let hits = match strike.kind {
                Kind::Dies | Kind::FailsOnce => strike.moment == moment,
                Kind::FailsFromThenOn => strike.moment <= moment,
            };
            if hits {
                story.strikes_met += 1;
                story.struck.insert((effect, after));
                story.dead |= strike.kind == Kind::Dies;
                return Err(Injected { effect, after, transient: strike.kind != Kind::Dies });
            }
        }
        Ok(())
    }
}

impl Fault for Faults {
    fn before(&self, effect: &'static str) -> Result<(), Injected> {
        let mut story = self.story.lock().unwrap();
        if story.dead {
            // Another thread of a dead process does nothing any more.
            return Err(Injected { effect, after: false, transient: false });
        }
        story.effects.push(effect);
        self.strike(&mut story, effect, false)
    }

    fn after(&self, effect: &'static str) -> Result<(), Injected> {
        self.strike(&mut self.story.lock().unwrap(), effect, true)
    }
}
