//! SIGINT and SIGTERM end the program cleanly at once, at any moment. What is under way is either committed or not: a
//! later run goes on from there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::pipeline::bell::Bell;
use crate::ports::query_engine::Interrupt;

use super::exit::{Exit, Stop};

/// How long stages have to come to the end of their present step.
const GRACE: Duration = Duration::from_millis(400);
/// The same where one of them listens to a queue or an endpoint: a wait for messages ends, what was received meanwhile is
/// given back, and the end is noted, so that the next start is one after a farewell. An inbox that is silent takes up to
/// 2.3 seconds for that.
const GRACE_TO_LISTENERS: Duration = Duration::from_millis(3_500);

/// How long a query that runs elsewhere has to be stopped.
const STOPPING: Duration = Duration::from_secs(10);

/// Whether a signal asked the program to stop, and the run that it stops then.
#[derive(Clone, Default)]
pub(super) struct Asked(Arc<Mutex<Reach>>);

#[derive(Default)]
struct Reach {
    asked: bool,
    listens: bool,
    bell: Option<Arc<Bell>>,
}

impl Asked {
    /// Whether it did.
    pub(super) fn to_stop(&self) -> bool {
        self.reach().asked
    }

    /// From now on a signal stops `bell`; one that came before stops it at once.
    pub(super) fn stops(&self, bell: &Arc<Bell>) {
        let mut reach = self.reach();
        if reach.asked {
            bell.stop();
        }
        reach.bell = Some(bell.clone());
    }

    /// From now on somebody elsewhere waits for a word of this process at its end.
    pub(super) fn listens(&self) {
        self.reach().listens = true;
    }

    fn grace(&self) -> Duration {
        if self.reach().listens { GRACE_TO_LISTENERS } else { GRACE }
    }

    fn ask(&self) {
        let mut reach = self.reach();
        reach.asked = true;
        if let Some(bell) = &reach.bell {
            bell.stop();
        }
    }

    fn reach(&self) -> MutexGuard<'_, Reach> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// From now on a signal is a request to stop, also while there is no run yet; whoever is still busy after the grace time
/// is left behind, and the program ends with `exit`.
pub(super) fn stop_on_signal(exit: Exit) -> Result<Asked, Stop> {
    let asked = Asked::default();
    let mut signals =
        Signals::new([SIGINT, SIGTERM]).map_err(|e| Stop::failed(format!("cannot wait for signals: {e}")))?;
    let told = asked.clone();
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            told.ask();
            std::thread::sleep(told.grace());
            // A clean end within the grace time has ended the process before this line.
            eprintln!("sluicegate: stopped; the next run goes on from here");
            std::process::exit(i32::from(exit.code()));
        }
    });
    Ok(asked)
}

/// From now on a signal raises `interrupt`; a second one ends the program at once, and so does the time for stopping.
pub(super) fn interrupt_on_signal(interrupt: &Interrupt) -> Result<(), Stop> {
    let mut signals =
        Signals::new([SIGINT, SIGTERM]).map_err(|e| Stop::failed(format!("cannot wait for signals: {e}")))?;
    let interrupt = interrupt.clone();
    std::thread::spawn(move || {
        let mut arriving = signals.forever();
        if arriving.next().is_none() {
            return;
        }
        interrupt.raise();
        std::thread::spawn(|| {
            std::thread::sleep(STOPPING);
            leave_unstopped();
        });
        if arriving.next().is_some() {
            leave_unstopped();
        }
    });
    Ok(())
}

fn leave_unstopped() -> ! {
    eprintln!("sluicegate: stopped at once; Athena may go on with the query");
    std::process::exit(i32::from(Exit::Failed.code()));
}
