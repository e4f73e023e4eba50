//! Killing the built binary at one of its effects, and what its trace says about that.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::{Ended, Project};

pub(crate) const KILL_AT: &str = "SLUICEGATE_KILL_AT";
pub(crate) const FAULT: &str = "SLUICEGATE_FAULT";
pub(crate) const TRACE: &str = "SLUICEGATE_TRACE";
/// How often a command may have to be started until everything is done.
const MOST_RESTARTS: usize = 6;

/// What real kills met.
#[derive(Debug, Default, Clone)]
pub(crate) struct Kills {
    /// How often each effect, before it (`false`) and after it (`true`).
    moments: BTreeMap<(String, bool), usize>,
    /// The command lines that each effect killed, before it and after it.
    commands: BTreeSet<(String, bool, String)>,
}

/// The cells of a line that ends with a moment and a command line.
pub(crate) struct Traced {
    pub(crate) effect: String,
    pub(crate) moment: String,
    command: String,
}

/// What a trace tells; nothing where there is none.
pub(crate) fn trace_of(path: &Path) -> Vec<Traced> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let read = |line: &str| {
        let cells: Vec<&str> = line.split('\t').collect();
        let [_, _, _, effect, moment, command] = cells[..] else { panic!("a line of a trace: {line:?}") };
        let [effect, moment, command] = [effect, moment, command].map(str::to_owned);
        Traced { effect, moment, command }
    };
    text.lines().map(read).collect()
}

impl Kills {
    pub(crate) fn count(&self) -> usize {
        self.moments.values().sum()
    }

    pub(crate) fn met(&self, effect: &str, after: bool) -> bool {
        self.moments.contains_key(&(effect.to_owned(), after))
    }

    /// Whether a command line with these words in it was killed there; the first word is the command.
    pub(crate) fn met_in(&self, effect: &str, after: bool, command: &str) -> bool {
        let words: Vec<&str> = command.split(' ').collect();
        let fits = |line: &str| {
            let line: Vec<&str> = line.split(' ').collect();
            line.first() == words.first() && words.iter().all(|word| line.contains(word))
        };
        self.commands.iter().any(|(name, moment, line)| name == effect && *moment == after && fits(line))
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (moment, count) in &other.moments {
            *self.moments.entry(moment.clone()).or_default() += count;
        }
        self.commands.extend(other.commands.iter().cloned());
    }

    /// The kills that a trace tells of.
    pub(crate) fn traced(trace: &Path) -> Self {
        let mut kills = Self::default();
        for Traced { effect, moment, command } in trace_of(trace) {
            if let Some(word) = moment.strip_prefix("killed ") {
                let after = word == "after";
                *kills.moments.entry((effect.clone(), after)).or_default() += 1;
                kills.commands.insert((effect, after, command));
            }
        }
        kills
    }
}

/// Whether a process ended by the kill that was asked for.
pub(crate) fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(9)
}

/// How a moment is written.
pub(crate) fn moment(after: bool) -> &'static str {
    if after { "after" } else { "before" }
}

/// Runs a command that is to die at a moment; whether it did. Its trace is appended to that of the project.
pub(crate) fn dies(project: &mut Project, words: &[&str], at: &str) -> bool {
    let trace = project.path("trace");
    let before = Kills::traced(&trace).count();
    project.set(TRACE, trace.to_str().unwrap());
    project.set(KILL_AT, at);
    let ended = project.run(words);
    project.set(KILL_AT, "");
    let killed = was_killed(ended.status);
    let known = matches!(ended.status.code(), Some(0 | 1 | 3));
    assert!(killed || known, "neither killed nor well at {at}: {ended:#?}");
    assert_eq!(
        Kills::traced(&trace).count() - before,
        usize::from(killed),
        "the trace tells of the kill: {at}"
    );
    killed
}

/// The same where it has to.
#[track_caller]
pub(crate) fn must_die(project: &mut Project, words: &[&str], at: &str) {
    assert!(dies(project, words, at), "`{}` meets {at}", words.join(" "));
}

/// Starts a command until it is done, as the service manager would.
#[track_caller]
pub(crate) fn restart_until_done(project: &Project, words: &[&str]) -> Ended {
    for _ in 0..MOST_RESTARTS {
        let ended = project.run(words);
        match ended.status.code() {
            Some(0 | 3) => return ended,
            Some(1) => (),
            _ => panic!("{ended:#?}"),
        }
    }
    panic!("`{}` never ends well", words.join(" "));
}

/// Tries moments number 1, 2, … before and after, `workers` at a time, until one is not met; `step` leaves out all but
/// every so many-th. `each` says whether it was met, and has checked what is left.
pub(crate) fn advance(workers: usize, step: usize, each: impl Fn(usize, bool) -> bool + Sync) -> usize {
    let mut points = 0;
    for after in [false, true] {
        let next = AtomicUsize::new(0);
        // The first number that was not met.
        let end = Mutex::new(usize::MAX);
        let met = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    loop {
                        let number = 1 + step * next.fetch_add(1, Ordering::Relaxed);
                        if number >= *end.lock().unwrap() {
                            return;
                        }
                        if each(number, after) {
                            met.fetch_add(1, Ordering::Relaxed);
                        } else {
                            let mut end = end.lock().unwrap();
                            *end = number.min(*end);
                        }
                    }
                });
            }
        });
        points += met.into_inner();
    }
    points
}

/// Does each of `tasks`, `workers` at a time.
pub(crate) fn side_by_side<T: Sync>(workers: usize, tasks: &[T], each: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    each(task);
                }
            });
        }
    });
}

/// Appends a number to what `scripts/test` prints at its end.
pub(crate) fn counted(name: &str, number: usize, words: &str) {
    println!("{number} {words}");
    crate::counts::note(name, number, words);
}
