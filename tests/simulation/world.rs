//! The story of a seed: steps with faults, then healing, until everything has settled.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::TimeDelta;
use sluicegate::failure::Failure;
use sluicegate::pipeline::stage::Tick;
use sluicegate_state::Timestamp;
use tempfile::TempDir;

use crate::crawler::Crawler;
use crate::hub::Hub;
use crate::landing::Landing;
use crate::lost::Lost;
use crate::machine::Machine;
use crate::objects::Objects;
use crate::options::{DISK_LOST, GONE_FOR_GOOD, OLD_STATE, Options, SKEWED};
use crate::oracle;
use crate::queue::Queue;

/// How long healing may take at the most. The listing comes round once an hour, and what landed in the last half hour is
/// left to the next one; a deferred document waits for up to an hour.
const HEALING_DEADLINE: TimeDelta = TimeDelta::hours(12);
/// How long healing takes at the least: until the listing has seen everything.
const LISTED_BY: TimeDelta = TimeDelta::minutes(130);

/// Everything outside of the machines.
pub(crate) struct Places {
    pub(crate) folder: TempDir,
    pub(crate) hub: Arc<Hub>,
    pub(crate) landing: Arc<Landing>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) archive: Arc<Objects>,
    pub(crate) curated: Arc<Objects>,
    pub(crate) crawler: Arc<Crawler>,
}

impl Places {
    fn new(options: Options, aloud: bool) -> Arc<Self> {
        // Power cuts are not what is simulated here, so the files lie in memory where there is such a place.
        let memory = Path::new("/dev/shm");
        let folder =
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let hub = Hub::new(options, folder.path().join("warehouse.db"), aloud);
        let landing = Landing::new(hub.clone());
        let queue = Queue::new(hub.clone(), landing.clone());
        let archive = Objects::new(hub.clone(), "archive", false);
        let curated = Objects::new(hub.clone(), "curated", true);
        let crawler = Crawler::new(hub.clone(), curated.clone());
        Arc::new(Self { folder, hub, landing, queue, archive, curated, crawler })
    }
}

/// A copy of something that was put aside, and when.
struct Copy {
    path: PathBuf,
    machine: usize,
}

pub(crate) struct World {
    pub(crate) places: Arc<Places>,
    pub(crate) machines: Vec<Machine>,
    old_states: Vec<Copy>,
    pub(crate) old_ledgers: Vec<PathBuf>,
    /// What was lost when the ledger was restored to the past for good.
    pub(crate) lost: Option<Lost>,
    copies: usize,
    pub(crate) is_left_to_a_person: bool,
    pub(crate) forced_end_of_outage: Option<Timestamp>,
}

/// Words for a failure that no fault has caused.
pub(crate) fn unexpected(failure: Failure) -> String {
    format!("a failure that nobody injected ({:?}): {failure}", failure.kind)
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn work_until_it_rests(machine: &mut Machine, ticks: u64) -> Result<(), String> {
    machine.start().map_err(unexpected)?;
    let mut rests = 0;
    for _ in 0..ticks {
        match machine.tick().map_err(unexpected)? {
            None => break,
            Some(Tick::Worked) => rests = 0,
            Some(_) => rests += 1,
        }
        if rests > 6 {
            break;
        }
    }
    Ok(())
}

impl World {
    pub(crate) fn new(options: Options, aloud: bool) -> Self {
        let count = options.machines;
        let places = Places::new(options, aloud);
        let machines = (0..count).map(|number| Machine::new(number, &places)).collect();
        Self {
            places,
            machines,
            old_states: Vec::new(),
            old_ledgers: Vec::new(),
            lost: None,
            copies: 0,
            is_left_to_a_person: false,
            forced_end_of_outage: None,
        }
    }

    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.places.hub
    }

    /// From the first step to the judgement.
    ///
    /// # Errors
    /// What is wrong.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        let (steps, dies_at) = (self.hub().options.steps, self.hub().options.dies_for_good);
        if self.hub().options.skew() >= TimeDelta::minutes(4) {
            self.hub().tell(SKEWED);
        }
        for step in 0..steps {
            if dies_at == Some(step) {
                let last = self.machines.last_mut().expect("there are machines");
                last.lose_disk();
                last.is_gone = true;
                self.hub().tell(GONE_FOR_GOOD);
            }
            self.step()?;
            self.hub().verdict()?;
            if self.is_left_to_a_person {
                return Ok(());
            }
        }
        self.heal()?;
        oracle::examine(self)?;
        self.hub().verdict()
    }

    /// Leaves the databases for a look, with nobody at work on them; where they are.
    pub(crate) fn keep(mut self) -> PathBuf {
        self.machines.clear();
        self.hub().let_go_of_ledger();
        let places = Arc::into_inner(self.places).expect("nobody else has the places");
        places.folder.keep()
    }

    fn pick(&self) -> usize {
        self.hub().choose(|random| random.below(self.machines.len() as u64)) as usize
    }

    fn step(&mut self) -> Result<(), String> {
        if self.forced_end_of_outage.is_some_and(|end| end <= self.hub().now()) {
            self.end_outage();
        }
        match self.hub().choose(|random| random.below(100)) {
            0..38 => self.work_a_little()?,
            38..56 => self.places.land(),
            56..60 => self.places.overwrite(),
            60..63 => self.places.delete(),
            63..78 => {
                let pace = self.hub().options.pace;
                self.pass(|random| TimeDelta::seconds(random.between(1, pace)));
            }
            78..83 => self.pass(|random| TimeDelta::minutes(random.between(1, 40))),
            83 => self.pass(|random| TimeDelta::hours(random.between(1, 6))),
            84 | 85 => self.outage()?,
            86 => self.places.forbid(),
            87 => self.meddle_with_crawler(),
            88 | 89 => {
                let machine = self.pick();
                self.machines[machine].end().map_err(unexpected)?;
            }
            90 | 91 => self.kill_one(),
            92 | 93 => {
                self.lose_one_disk();
            }
            94 | 95 => self.old_state()?,
            _ => self.old_ledger()?,
        }
        Ok(())
    }

    pub(crate) fn pass(&mut self, how_long: impl FnOnce(&mut crate::random::Random) -> TimeDelta) {
        let time = self.hub().choose(how_long);
        self.hub().advance(time);
        self.hub().trace(|| format!("{} seconds have passed", time.num_seconds()));
    }

    pub(crate) fn work_a_little(&mut self) -> Result<(), String> {
        let number = self.pick();
        let ticks = self.hub().choose(|random| if random.chance(300) { 200 } else { 1 + random.below(20) });
        let mut machine = self.machines.remove(number);
        let (places, beside) = (self.places.clone(), self.machines.pop());
        places.hub.stalls.begin(&places, beside);
        let worked = work_until_it_rests(&mut machine, ticks);
        self.machines.extend(places.hub.stalls.end());
        self.machines.insert(number, machine);
        worked
    }

    fn meddle_with_crawler(&mut self) {
        if self.hub().strikes_at("crawler", 500) {
            self.places.crawler.start_foreign();
        } else if self.hub().strikes_at("crawler", 900) {
            self.places.crawler.cancel();
        }
    }

    fn kill_one(&mut self) {
        let machine = self.pick();
        if self.machines[machine].is_alive() && self.hub().strikes_at("deaths", 1_000) {
            self.machines[machine].kill();
        }
    }

    pub(crate) fn lose_one_disk(&mut self) -> bool {
        let machine = self.pick();
        let is_lost = self.machines[machine].state.is_dir() && self.hub().strikes_at("disk-lost", 1_000);
        if is_lost {
            self.machines[machine].lose_disk();
            self.old_states.retain(|copy| copy.machine != machine);
            self.hub().tell(DISK_LOST);
        }
        is_lost
    }

    pub(crate) fn next_copy(&mut self, name: &str) -> PathBuf {
        self.copies += 1;
        self.places.folder.path().join(format!("copy-{}-{name}", self.copies))
    }

    /// A copy of a state is made, or an older one put back.
    fn old_state(&mut self) -> Result<(), String> {
        let number = self.pick();
        if self.machines[number].is_gone || !self.hub().strikes_at("old-state", 1_000) {
            return Ok(());
        }
        self.machines[number].kill();
        let state = self.machines[number].state.clone();
        let old = self.old_states.iter().position(|copy| copy.machine == number);
        match old {
            Some(old) => {
                let copy = self.old_states.swap_remove(old);
                self.machines[number].lose_disk();
                copy_folder(&copy.path, &state);
                self.hub().tell(OLD_STATE);
                self.let_old_state_in(number)?;
            }
            None if state.is_dir() => {
                let path = self.next_copy("state");
                copy_folder(&state, &path);
                self.old_states.push(Copy { path, machine: number });
                self.hub().trace(|| format!("the state of machine {number} is copied"));
            }
            None => {}
        }
        Ok(())
    }

    /// No more faults, and everything has to settle by the deadline.
    fn heal(&mut self) -> Result<(), String> {
        self.hub().calm_down();
        self.hub().trace(|| "the world heals".to_owned());
        let began = self.hub().now();
        loop {
            let mut waits = Vec::new();
            for machine in &mut self.machines {
                machine.start().map_err(unexpected)?;
                waits.extend(
                    machine.work().map_err(unexpected)?.into_iter().filter_map(|idle| idle.waiting_for),
                );
            }
            self.hub().verdict()?;
            let passed = self.hub().now() - began;
            let busy = !waits.is_empty() || !self.places.queue.is_empty();
            let is_over = passed > HEALING_DEADLINE;
            if is_over || passed >= LISTED_BY && !busy {
                let unsettled = oracle::unsettled(self);
                if unsettled.is_empty() && !busy {
                    break;
                }
                if is_over {
                    return Err(format!("nothing settles; unsettled: {unsettled:?}; waited for: {waits:?}"));
                }
            }
            self.hub().advance(if busy { TimeDelta::seconds(45) } else { TimeDelta::minutes(20) });
        }
        for machine in &mut self.machines {
            machine.end().map_err(unexpected)?;
        }
        Ok(())
    }
}
