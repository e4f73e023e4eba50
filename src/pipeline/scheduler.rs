//! The scheduler: runs the stages side by side, each on a thread of its own, until nothing can be done now, or for as
//! long as it is told to watch.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chrono::TimeDelta;

use crate::failure::{Failure, FailureKind, Outcome};

use super::backoff;
use super::bell::Bell;
use super::context::Context;
use super::stage::{Idle, Setback, Stage, Tick};
use super::tally::Counts;

/// How often the scheduler looks whether the pipeline is quiet while it waits for a retry.
const LOOK: Duration = Duration::from_millis(50);

/// The longest wait of a stage whose state store takes nothing: nobody rings when a disk has space again.
const LONGEST_SETBACK: TimeDelta = TimeDelta::seconds(10);

/// How long a run goes on.
#[derive(Debug, Clone, Copy)]
pub struct RunOptions {
    /// Until it is stopped.
    pub watch: bool,
    /// Without watching: how long to wait for a retry while nothing else moves.
    pub patience: Duration,
}

/// Runs `stages` until the pipeline is quiet; what is then still waited for, in words for people.
///
/// # Errors
/// The failure that ended the run: see [`Stage::tick`].
pub fn run(
    context: &Arc<Context>,
    bell: &Arc<Bell>,
    stages: Vec<Box<dyn Stage>>,
    options: RunOptions,
) -> Outcome<Vec<String>> {
    let threads: Vec<JoinHandle<()>> = stages
        .into_iter()
        .enumerate()
        .map(|(number, stage)| start(context.clone(), bell.clone(), number, stage, options.watch))
        .collect::<std::io::Result<_>>()
        .map_err(|error| Failure::transient(format!("cannot start a thread: {error}")))?;
    let waiting = supervise(context, bell, options);
    bell.stop();
    for thread in threads {
        // A stage that panicked has told the bell.
        let _ = thread.join();
    }
    match bell.failure() {
        Some(failure) => Err(failure),
        None => Ok(waiting),
    }
}

/// Waits until there is a reason to end the run.
fn supervise(context: &Context, bell: &Bell, options: RunOptions) -> Vec<String> {
    let mut waiting_since: Option<(Instant, Counts)> = None;
    loop {
        if bell.is_stopped() {
            return Vec::new();
        }
        let Some(waits) = bell.wait_quiet(LOOK * 10) else { continue };
        if options.watch {
            bell.wait_stopped(LOOK * 10);
            continue;
        }
        if waits.is_empty() {
            return Vec::new();
        }
        let counts = context.tally.counts();
        let (since, _) = match waiting_since.take() {
            Some((since, before)) if before == counts => waiting_since.insert((since, before)),
            // Something moved since: patience begins anew.
            _ => waiting_since.insert((Instant::now(), counts)),
        };
        if since.elapsed() >= options.patience {
            return waits.into_iter().filter_map(|idle| idle.waiting_for).collect();
        }
        bell.wait_stopped(LOOK);
    }
}

fn start(
    context: Arc<Context>,
    bell: Arc<Bell>,
    number: usize,
    mut stage: Box<dyn Stage>,
    watch: bool,
) -> std::io::Result<JoinHandle<()>> {
    let name = stage.name();
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let _guard = PanicGuard { bell: bell.clone(), name };
        let mut trouble = Trouble::default();
        while let Some(seen) = bell.generation() {
            let now = context.clock.now();
            if let Some(idle) = trouble.setback.as_ref().and_then(|setback| setback.rest(now)) {
                bell.rest(number, seen, idle, now);
                continue;
            }
            match stage.tick() {
                Ok(tick) => {
                    trouble = Trouble::default();
                    match tick {
                        Tick::Worked => bell.ring(),
                        Tick::Idle(idle) => bell.rest(number, seen, idle, context.clock.now()),
                        Tick::Aside(idle) => bell.rest_aside(number, seen, idle, context.clock.now()),
                    }
                }
                Err(failure) if watch && failure.kind == FailureKind::Transient => {
                    trouble.meet(name, &failure, context.clock.now());
                }
                Err(failure) => return bell.fail(failure),
            }
        }
    })
}

/// What a stage of a run that watches does about a state store that is full or locked: it waits, and begins its step
/// anew, as after a death. A run that does not watch ends, and says why.
#[derive(Default)]
struct Trouble {
    failures: u64,
    setback: Option<Setback>,
}

impl Trouble {
    fn meet(&mut self, name: &str, failure: &Failure, now: sluicegate_state::Timestamp) {
        self.failures += 1;
        tracing::warn!("the {name} stage cannot go on now, and will try again: {failure}");
        let delay = backoff::delay(TimeDelta::seconds(1), LONGEST_SETBACK, self.failures, name);
        self.setback = Some(Setback::new(now, delay, failure.to_string()));
    }
}

/// An invariant that does not hold ends the whole run, loudly: the panic has printed itself.
struct PanicGuard {
    bell: Arc<Bell>,
    name: &'static str,
}

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.bell.fail(Failure::permanent(format!(
                "the {} stage found an invariant broken; see above",
                self.name
            )));
        }
    }
}

/// Runs the stages one after the other in this thread until none of them works any more; what they wait for then. For
/// tests that want to know what happens when.
pub fn run_serially(stages: &mut [Box<dyn Stage>]) -> Outcome<Vec<Idle>> {
    loop {
        let mut idles = Vec::new();
        for stage in stages.iter_mut() {
            match stage.tick()? {
                Tick::Worked => {}
                Tick::Idle(idle) | Tick::Aside(idle) => idles.push(idle),
            }
        }
        if idles.len() == stages.len() {
            return Ok(idles);
        }
    }
}
