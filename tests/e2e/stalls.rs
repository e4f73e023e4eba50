//! How long the machine stood still while something was waited for. What has to come at once comes at once on a machine
//! that goes on; one whose processor or disk is busy elsewhere for a while says nothing about the program.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(10);
/// A pause, a small write and its sync take no longer on a machine that is merely busy.
const USUAL: Duration = Duration::from_millis(60);

/// A thread that sleeps and syncs a small file, again and again: whoever ends waits for the processor, and for a thread
/// that is inside of a sync.
pub(crate) struct Stalls {
    over: Arc<AtomicBool>,
    ticker: JoinHandle<Vec<(Instant, Instant)>>,
}

impl Stalls {
    pub(crate) fn watch() -> Self {
        let mut last = Instant::now();
        let over = Arc::new(AtomicBool::new(false));
        let is_over = over.clone();
        let ticker = std::thread::spawn(move || {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            let mut stalls = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                std::thread::sleep(PAUSE);
                file.write_all(b".").and_then(|()| file.as_file().sync_all()).unwrap();
                let now = Instant::now();
                if now - last > USUAL {
                    stalls.push((last + USUAL, now));
                }
                last = now;
            }
            stalls
        });
        Self { over, ticker }
    }

    /// Which part of the time from `began` to `ended` it was.
    pub(crate) fn between(self, began: Instant, ended: Instant) -> Duration {
        self.over.store(true, Ordering::Relaxed);
        let stalls = self.ticker.join().unwrap();
        let part =
            |&(from, to): &(Instant, Instant)| to.min(ended).saturating_duration_since(from.max(began));
        stalls.iter().map(part).sum()
    }
}
