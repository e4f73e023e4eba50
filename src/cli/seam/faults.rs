//! Real deaths for tests, told by the environment; only with the feature `faults`, and never in a release.
//!
//! - `SLUICEGATE_KILL_AT` is `N[:before|after]` or `NAME:K:before|after`: the process sends itself SIGKILL at its N-th
//!   effect, or at the K-th of that name.
//! - `SLUICEGATE_FAULT` is the same with one word more, `before`, `after` or `slowly`: the effect fails before it
//!   happens, happens and its answer is lost, or happens late. The process goes on. Several are parted by commas.
//! - `SLUICEGATE_TRACE` is a file to which each moment is appended: process, number of the effect, number of it among
//!   those of its name, name, moment, command line.
//!
//! A text that cannot be read ends the process: a test that believes to kill, and does not, proves nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use signal_hook::consts::SIGKILL;
use sluicegate_state::seam::{Fault, Injected, Seam};

const KILL_AT: &str = "SLUICEGATE_KILL_AT";
const FAULT: &str = "SLUICEGATE_FAULT";
const TRACE: &str = "SLUICEGATE_TRACE";
/// How late an effect is that happens slowly.
const LATE: Duration = Duration::from_millis(300);

/// Which effect.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// The n-th of the process.
    Number(u64),
    /// The k-th of a name.
    Named(String, u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Before,
    After,
    Slowly,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Strike {
    place: Place,
    moment: Moment,
}

/// The numbers of one effect: among all, and among those of its name.
type Numbers = (u64, u64);

#[derive(Default)]
struct Counts {
    all: u64,
    by_name: BTreeMap<&'static str, u64>,
}

struct RealFaults {
    kill: Option<Strike>,
    fail: Vec<Strike>,
    trace: Option<File>,
    /// As the trace tells it: in one line, without tabs.
    command: String,
    counts: Mutex<Counts>,
}

thread_local! {
    /// The effects that are under way on this thread, by name: what comes after one has to know its numbers.
    static UNDER_WAY: RefCell<BTreeMap<&'static str, Numbers>> = const { RefCell::new(BTreeMap::new()) };
}

/// The seam that the environment asks for.
pub(super) fn from_environment() -> Seam {
    let value = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let (kill, fail, trace) = (value(KILL_AT), value(FAULT), value(TRACE));
    if kill.is_none() && fail.is_none() && trace.is_none() {
        return Seam::default();
    }
    let read = |name: &str, text: &str| {
        Strike::read(text).unwrap_or_else(|| panic!("{name}: {text:?} names no moment of an effect"))
    };
    let open = |path: String| {
        let file = OpenOptions::new().append(true).create(true).open(&path);
        file.unwrap_or_else(|error| panic!("{TRACE}: {path}: {error}"))
    };
    Seam::with_fault(Arc::new(RealFaults {
        kill: kill.map(|text| read(KILL_AT, &text)),
        fail: fail.iter().flat_map(|text| text.split(',')).map(|text| read(FAULT, text)).collect(),
        trace: trace.map(open),
        command: std::env::args().skip(1).collect::<Vec<_>>().join(" ").replace(['\t', '\n'], " "),
        counts: Mutex::default(),
    }))
}

impl Strike {
    fn read(text: &str) -> Option<Self> {
        let moment = |word: &str| match word {
            "before" => Some(Moment::Before),
            "after" => Some(Moment::After),
            "slowly" => Some(Moment::Slowly),
            _ => None,
        };
        let parts: Vec<&str> = text.split(':').collect();
        let (place, moment) = match parts[..] {
            [number] => (Place::Number(number.parse().ok()?), Moment::Before),
            [number, word] => (Place::Number(number.parse().ok()?), moment(word)?),
            [name, count, word] => (Place::Named(name.to_owned(), count.parse().ok()?), moment(word)?),
            _ => return None,
        };
        Some(Self { place, moment })
    }

    fn hits(&self, effect: &str, (all, same): Numbers, moment: Moment) -> bool {
        let here = match &self.place {
            Place::Number(number) => *number == all,
            Place::Named(name, count) => name == effect && *count == same,
        };
        here && self.moment == moment
    }
}

impl RealFaults {
    /// One write a line, so that lines of several threads and processes never mix.
    fn tell(&self, effect: &str, (all, same): Numbers, moment: &str) {
        if let Some(mut file) = self.trace.as_ref() {
            let (process, command) = (std::process::id(), &self.command);
            let line = format!("{process}\t{all}\t{same}\t{effect}\t{moment}\t{command}\n");
            file.write_all(line.as_bytes()).unwrap_or_else(|error| panic!("{TRACE}: {error}"));
        }
    }

    fn strike(&self, effect: &'static str, numbers: Numbers, after: bool) -> Result<(), Injected> {
        let (moment, word) = if after { (Moment::After, "after") } else { (Moment::Before, "before") };
        if self.kill.as_ref().is_some_and(|strike| strike.hits(effect, numbers, moment)) {
            // No other thread begins an effect any more.
            let _counts = self.counts.lock();
            self.tell(effect, numbers, &format!("killed {word}"));
            signal_hook::low_level::raise(SIGKILL).expect("a process may kill itself");
            loop {
                std::thread::park();
            }
        }
        let fits = |moment| self.fail.iter().any(|strike| strike.hits(effect, numbers, moment));
        if fits(moment) {
            self.tell(effect, numbers, &format!("failed {word}"));
            return Err(Injected { effect, after, transient: true });
        }
        if !after && fits(Moment::Slowly) {
            self.tell(effect, numbers, "late");
            std::thread::sleep(LATE);
        }
        self.tell(effect, numbers, word);
        Ok(())
    }
}

impl Fault for RealFaults {
    fn before(&self, effect: &'static str) -> Result<(), Injected> {
        let numbers = {
            let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            counts.all += 1;
            let all = counts.all;
            let same = counts.by_name.entry(effect).or_default();
            *same += 1;
            (all, *same)
        };
        UNDER_WAY.with_borrow_mut(|effects| effects.insert(effect, numbers));
        self.strike(effect, numbers, false)
    }

    fn after(&self, effect: &'static str) -> Result<(), Injected> {
        let numbers = UNDER_WAY.with_borrow(|effects| effects[effect]);
        self.strike(effect, numbers, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read() {
        let strike = |place, moment| Some(Strike { place, moment });
        assert_eq!(Strike::read("7"), strike(Place::Number(7), Moment::Before));
        assert_eq!(Strike::read("7:after"), strike(Place::Number(7), Moment::After));
        let named = Place::Named("archive.put".to_owned(), 2);
        assert_eq!(Strike::read("archive.put:2:slowly"), strike(named, Moment::Slowly));
        for text in ["", "x", "archive.put", "7:sometime", "archive.put:after", "archive.put:1:after:x"] {
            assert_eq!(Strike::read(text), None, "{text}");
        }
    }
}
