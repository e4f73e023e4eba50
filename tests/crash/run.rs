//! One run of the workload: life after life over the same files, until everything is done.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::TimeDelta;
use sluicegate::failure::{FailureKind, Outcome};
use sluicegate::ports::clock::Clock;

use crate::fault::{Faults, Strike};
use crate::landing::land;
use crate::oracle;
use crate::process::{Process, World, copy_folder, job};
use crate::workload::{self, Document};

/// Longer than any lease.
const LEASE: TimeDelta = TimeDelta::minutes(2);
/// The state folder as it was at the first death.
const COPY: &str = "copy of the state";
/// How often a process that met an error which is not its death is asked again before it is killed.
const PATIENCE: usize = 3;

/// What a run has to say.
pub(crate) struct Report {
    /// The content of everything at its end, without what may differ from run to run.
    pub(crate) content: Vec<String>,
    /// The effects of the first life.
    pub(crate) first_life: Vec<&'static str>,
    /// The effects of the life after it, where there was one.
    pub(crate) second_life: Vec<&'static str>,
    /// The effects that a fault met.
    pub(crate) struck: BTreeSet<(&'static str, bool)>,
    /// Whether every strike met its moment.
    pub(crate) all_met: bool,
    /// Whether an old copy of the state was put back.
    pub(crate) copy_came_back: bool,
}

/// Runs the workload; life number `n` meets the strikes `lives[n]`, and those after the last meet none. The state folder is
/// lost with each of the first `lost` lives. At the end the oracle has looked at everything.
pub(crate) fn run(lives: &[&[Strike]], lost: usize) -> Report {
    run_and(lives, lost, None)
}

/// The first life meets `strike`, the next one does what the first window has to do. Then the state folder comes back as it
/// was at the strike, and that copy is as old as `age` says.
pub(crate) fn run_with_an_old_copy(strike: Strike, age: TimeDelta) -> Report {
    run_and(&[&[strike]], 0, Some(age))
}

fn run_and(lives: &[&[Strike]], lost: usize, copy_age: Option<TimeDelta>) -> Report {
    let may_know_less = lost > 0 || copy_age.is_some();
    let world = World::new(may_know_less);
    let mut faults: Vec<Arc<Faults>> = lives.iter().map(|strikes| Faults::new(strikes)).collect();
    faults.push(Faults::new(&[]));
    let mut history =
        History { world: &world, faults, lost, copy_age, came_back: false, life: 0, process: None };
    history.play();
    let content = if may_know_less { oracle::examine_rebuilt(&world) } else { oracle::examine(&world) };
    Report {
        content,
        first_life: history.faults[0].effects(),
        second_life: history.faults.get(1).map_or_else(Vec::new, |faults| faults.effects()),
        struck: history.faults.iter().flat_map(|faults| faults.struck()).collect(),
        all_met: history.faults.iter().all(|faults| faults.all_met()),
        copy_came_back: history.came_back,
    }
}

struct History<'a> {
    world: &'a World,
    faults: Vec<Arc<Faults>>,
    /// Lives that take the state folder with them.
    lost: usize,
    /// The state comes back as a copy from the first death, which is so old by then.
    copy_age: Option<TimeDelta>,
    came_back: bool,
    life: usize,
    process: Option<Process>,
}

impl History<'_> {
    /// Two windows. Landing files and the passing of time are nobody's effects: they happen once, whoever lives.
    fn play(&mut self) {
        for documents in [workload::first_window(), workload::second_window()] {
            self.land(documents);
            self.survive(|_| Ok(()));
            self.end_window();
            self.survive(|_| Ok(()));
            if self.lost == 0 && (self.copy_age.is_none() || self.world.path(COPY).exists()) {
                oracle::crawls::nothing_waits(self.world);
            }
            self.put_back_the_copy();
        }
        if self.lost > 0 || self.copy_age.is_some() {
            // What would have told that the owner of a crawl is dead is lost; its lease runs out, and a window ends.
            self.world.clock.advance(LEASE);
            self.end_window();
            self.survive(|_| Ok(()));
            oracle::crawls::nothing_waits(self.world);
        }
        self.survive(Process::end);
        self.process = None;
    }

    /// After the first window, where the first life has died in it.
    fn put_back_the_copy(&mut self) {
        let copy = self.world.path(COPY);
        let Some(age) = self.copy_age.filter(|_| copy.exists()) else { return };
        self.process = None;
        self.world.lose_state();
        std::fs::rename(copy, self.world.path("state")).unwrap();
        self.world.clock.advance(age);
        self.came_back = true;
    }

    fn land(&self, documents: Vec<Document>) {
        for document in documents {
            land(&self.world.path("landing"), document.key, &document.bytes, document.landed_at);
        }
    }

    fn end_window(&self) {
        let now = self.world.clock.now();
        let tick = job().window.next_tick(now).expect("windows go on for ever");
        self.world.clock.advance(tick - now);
    }

    /// Works until the pipeline is quiet and does a step then, in as many lives as it takes.
    fn survive(&mut self, step: fn(&mut Process) -> Outcome<()>) {
        let mut tries = 0;
        loop {
            match self.attempt(step) {
                Ok(()) => return,
                Err(kind) => {
                    tries += 1;
                    oracle::curated::children_come_first(self.world);
                    let last_life = self.life + 1 == self.faults.len();
                    assert!(
                        !last_life || tries <= PATIENCE,
                        "the last life meets no faults and does not get on"
                    );
                    if kind == FailureKind::Died || tries >= PATIENCE && !last_life {
                        (self.process, tries) = (None, 0);
                        if self.life < self.lost {
                            self.world.lose_state();
                        }
                        let state = self.world.path("state");
                        if self.copy_age.is_some() && self.life == 0 && state.join("state.db").exists() {
                            copy_folder(&state, &self.world.path(COPY));
                        }
                        self.life += 1;
                    }
                    self.world.clock.advance(TimeDelta::seconds(1));
                }
            }
        }
    }

    fn attempt(&mut self, step: fn(&mut Process) -> Outcome<()>) -> Result<(), FailureKind> {
        let faults = &self.faults[self.life];
        let result = match self.process.take() {
            Some(process) => Ok(process),
            None => Process::start(self.world, faults),
        };
        let result = result.and_then(|process| {
            let process = self.process.insert(process);
            process.settle()?;
            step(process)
        });
        // A process that tried to end and could not say so is gone all the same.
        self.process.take_if(|process| result.is_err() && process.has_left());
        let failure = match result {
            // A stage may have met the death on a thread of its own and told nobody.
            Ok(()) if faults.is_dead() => return Err(FailureKind::Died),
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        let injected = failure.message.contains("test fault") || failure.message.contains("become quiet");
        assert!(injected, "a failure that no test injected, in life {}: {failure}", self.life + 1);
        Err(if faults.is_dead() { FailureKind::Died } else { failure.kind })
    }
}
