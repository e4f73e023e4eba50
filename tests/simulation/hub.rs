//! What everything in a simulated world shares: the true time, chance, the faults that are on, the trace, and what was
//! found wrong.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{SecondsFormat, TimeDelta};
use rusqlite::Connection;
use sluicegate::failure::{Failure, Outcome};
use sluicegate::ports::clock::Clock;
use sluicegate_state::Timestamp;

use crate::options::Options;
use crate::random::Random;
use crate::stall::Stalls;

/// Lines of the trace that are kept for a failure.
const KEPT_LINES: usize = 120;

pub(crate) struct Hub {
    pub(crate) options: Options,
    pub(crate) warehouse: PathBuf,
    state: Mutex<Shared>,
    /// The oracle's own connection to the ledger.
    reader: Mutex<Option<Connection>>,
    aloud: bool,
    pub(crate) stalls: Stalls,
}

struct Shared {
    now: Timestamp,
    random: Random,
    /// No more faults: the world heals.
    calm: bool,
    ledger_is_down: bool,
    trace: VecDeque<String>,
    violations: Vec<String>,
    faults: BTreeMap<&'static str, u64>,
    stories: BTreeMap<&'static str, u64>,
    deaths: u64,
}

impl Hub {
    pub(crate) fn new(options: Options, warehouse: PathBuf, aloud: bool) -> Arc<Self> {
        let shared = Shared {
            now: "2026-03-01T10:01:00Z".parse().expect("a moment"),
            random: Random::new(options.seed.wrapping_mul(31).wrapping_add(7)),
            calm: false,
            ledger_is_down: false,
            trace: VecDeque::new(),
            violations: Vec::new(),
            faults: BTreeMap::new(),
            stories: BTreeMap::new(),
            deaths: 0,
        };
        Arc::new(Self {
            options,
            warehouse,
            state: Mutex::new(shared),
            reader: Mutex::default(),
            aloud,
            stalls: Stalls::default(),
        })
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the ledger past the product.
    pub(crate) fn ask_ledger<T>(&self, ask: impl FnOnce(&Connection) -> T) -> T {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let open = || Connection::open(&self.warehouse).expect("the ledger's file opens");
        ask(reader.get_or_insert_with(open))
    }

    /// Another file comes in the ledger's place.
    pub(crate) fn let_go_of_ledger(&self) {
        *self.reader.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.shared().now
    }

    pub(crate) fn advance(&self, by: TimeDelta) {
        self.shared().now += by;
    }

    /// Makes a choice.
    pub(crate) fn choose<T>(&self, choice: impl FnOnce(&mut Random) -> T) -> T {
        choice(&mut self.shared().random)
    }

    pub(crate) fn trace(&self, line: impl FnOnce() -> String) {
        let mut shared = self.shared();
        let line = format!("{} {}", shared.now.to_rfc3339_opts(SecondsFormat::Millis, true), line());
        if self.aloud {
            println!("{line}");
        }
        if shared.trace.len() == KEPT_LINES {
            shared.trace.pop_front();
        }
        shared.trace.push_back(line);
    }

    /// The last lines of the trace.
    pub(crate) fn last_lines(&self) -> Vec<String> {
        self.shared().trace.iter().cloned().collect()
    }

    /// Something that must never be.
    pub(crate) fn violate(&self, what: String) {
        self.trace(|| format!("WRONG: {what}"));
        self.shared().violations.push(what);
    }

    /// What was found wrong so far.
    pub(crate) fn verdict(&self) -> Result<(), String> {
        let shared = self.shared();
        if shared.violations.is_empty() { Ok(()) } else { Err(shared.violations.join("\n")) }
    }

    pub(crate) fn calm_down(&self) {
        let mut shared = self.shared();
        (shared.calm, shared.ledger_is_down) = (true, false);
    }

    /// Whether there are no faults for a while.
    pub(crate) fn set_calm(&self, calm: bool) {
        self.shared().calm = calm;
    }

    pub(crate) fn set_ledger_down(&self, down: bool) {
        self.shared().ledger_is_down = down;
    }

    pub(crate) fn ledger_is_down(&self) -> bool {
        self.shared().ledger_is_down
    }

    pub(crate) fn count_death(&self) {
        self.shared().deaths += 1;
    }

    pub(crate) fn deaths(&self) -> u64 {
        self.shared().deaths
    }

    /// Counts something that has to happen in some seed, and traces it.
    pub(crate) fn tell(&self, story: &'static str) {
        self.trace(|| story.to_owned());
        *self.shared().stories.entry(story).or_default() += 1;
    }

    pub(crate) fn stories(&self) -> BTreeMap<&'static str, u64> {
        self.shared().stories.clone()
    }

    pub(crate) fn faults(&self) -> BTreeMap<&'static str, u64> {
        self.shared().faults.clone()
    }

    /// Whether a fault of this class strikes now, `share` times in a thousand.
    pub(crate) fn strikes_at(&self, class: &'static str, share: u64) -> bool {
        let mut shared = self.shared();
        let strikes = !shared.calm && self.options.has(class) && shared.random.chance(share);
        if strikes {
            *shared.faults.entry(class).or_default() += 1;
        }
        strikes
    }

    /// The same at the rate of the seed.
    pub(crate) fn strikes(&self, class: &'static str) -> bool {
        self.strikes_at(class, self.options.rate)
    }

    /// Fails where a fault of this class strikes now.
    pub(crate) fn gate(&self, class: &'static str, what: &str) -> Outcome<()> {
        if self.strikes(class) {
            self.trace(|| format!("  fault: {class} at {what}"));
            return Err(Failure::transient(format!("test fault: {class} at {what}")));
        }
        Ok(())
    }
}

/// A clock that is wrong by a fixed time.
pub(crate) struct SkewedClock {
    pub(crate) hub: Arc<Hub>,
    pub(crate) skew: TimeDelta,
}

impl Clock for SkewedClock {
    fn now(&self) -> Timestamp {
        self.hub.now() + self.skew
    }
}
