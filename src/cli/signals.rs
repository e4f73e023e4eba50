//! SIGINT and SIGTERM end the program cleanly at once, at any moment. What is under way is either committed or not: a
//! later run goes on from there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::pipeline::bell::Bell;

use super::exit::{Exit, Stop};

/// How long stages have to come to the end of their present step.
const GRACE: Duration = Duration::from_millis(400);

/// Whether a signal asked the program to stop.
#[derive(Clone, Default)]
pub(super) struct Asked(Arc<AtomicBool>);

impl Asked {
    /// Whether it did.
    pub(super) fn to_stop(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// From now on a signal stops `bell`; whoever is still busy after the grace time is left behind, and the program ends
/// with `exit`.
pub(super) fn stop_on_signal(bell: Arc<Bell>, exit: Exit) -> Result<Asked, Stop> {
    let asked = Asked::default();
    let mut signals =
        Signals::new([SIGINT, SIGTERM]).map_err(|e| Stop::failed(format!("cannot wait for signals: {e}")))?;
    let flag = asked.clone();
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            flag.0.store(true, Ordering::SeqCst);
            bell.stop();
            std::thread::sleep(GRACE);
            // A clean end within the grace time has ended the process before this line.
            eprintln!("sluicegate: stopped; the next run goes on from here");
            std::process::exit(i32::from(exit.code()));
        }
    });
    Ok(asked)
}
