//! Killing the built binary at one of its effects, and what its trace says about that.

use std::collections::BTreeMap;
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

/// How often real kills met each effect, before it (`false`) and after it (`true`).
#[derive(Debug, Default, Clone)]
pub(crate) struct Kills(pub(crate) BTreeMap<(String, bool), usize>);

impl Kills {
    pub(crate) fn count(&self) -> usize {
        self.0.values().sum()
    }

    pub(crate) fn met(&self, effect: &str, after: bool) -> bool {
        self.0.contains_key(&(effect.to_owned(), after))
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (moment, count) in &other.0 {
            *self.0.entry(moment.clone()).or_default() += count;
        }
    }

    /// The kills that a trace tells of.
    pub(crate) fn traced(trace: &Path) -> Self {
        let mut kills = Self::default();
        for line in fs::read_to_string(trace).unwrap_or_default().lines() {
            let cells: Vec<&str> = line.split('\t').collect();
            assert_eq!(cells.len(), 5, "a line of a trace: {line:?}");
            if let Some(word) = cells[4].strip_prefix("killed ") {
                *kills.0.entry((cells[3].to_owned(), word == "after")).or_default() += 1;
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
