//! How long the machine kept a process waiting, or stood still, while its end was waited for. What has to come at once comes
//! at once on a machine that goes on; one whose processor or disk is busy elsewhere for a while says nothing about the
//! program.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(10);
/// A pause, a small write and its sync take no longer on a machine that is merely busy.
const USUAL: Duration = Duration::from_millis(60);

/// A thread that sleeps and syncs a small file, again and again, and looks at what the threads of a process wait for: whoever
/// ends waits for the processor, and for a thread that is inside of a sync.
pub(crate) struct Stalls {
    over: Arc<AtomicBool>,
    ticker: JoinHandle<(Vec<(Instant, Instant)>, Waits)>,
}

impl Stalls {
    pub(crate) fn watch(process: u32) -> Self {
        let mut last = Instant::now();
        let over = Arc::new(AtomicBool::new(false));
        let is_over = over.clone();
        let ticker = std::thread::spawn(move || {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            let mut stalls = Vec::new();
            let mut waits = Waits::default();
            while !is_over.load(Ordering::Relaxed) {
                waits.look(process);
                std::thread::sleep(PAUSE);
                file.write_all(b".").and_then(|()| file.as_file().sync_all()).unwrap();
                let now = Instant::now();
                if now - last > USUAL {
                    stalls.push((last + USUAL, now));
                }
                last = now;
            }
            (stalls, waits)
        });
        Self { over, ticker }
    }

    /// Which part of the time from `began` to `ended` it was: what the machine stood still, or what one thread of the process
    /// waited, and not both, for they may have been at the same time.
    pub(crate) fn between(self, began: Instant, ended: Instant) -> Duration {
        self.over.store(true, Ordering::Relaxed);
        let (stalls, waits) = self.ticker.join().unwrap();
        let part =
            |&(from, to): &(Instant, Instant)| to.min(ended).saturating_duration_since(from.max(began));
        stalls.iter().map(part).sum::<Duration>().max(waits.longest())
    }
}

/// What each thread of a process was kept waiting since the first look at it.
#[derive(Default)]
struct Waits {
    threads: BTreeMap<String, Wait>,
    looked_at: Option<Instant>,
}

struct Wait {
    first: Duration,
    last: Duration,
    disk: Duration,
}

impl Waits {
    /// Nothing is found where the system does not tell, and of a process that has ended.
    fn look(&mut self, process: u32) {
        let now = Instant::now();
        let since = self.looked_at.replace(now).map_or(Duration::ZERO, |looked_at| now - looked_at);
        for thread in fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten() {
            let read = |name: &str| fs::read_to_string(thread.path().join(name)).ok();
            let Some((for_processor, in_disk)) = read("schedstat").zip(read("stat")).and_then(told) else {
                continue;
            };
            let first = Wait { first: for_processor, last: for_processor, disk: Duration::ZERO };
            let wait = self.threads.entry(thread.file_name().to_string_lossy().into_owned()).or_insert(first);
            wait.last = for_processor;
            wait.disk += if in_disk { since } else { Duration::ZERO };
        }
    }

    fn longest(&self) -> Duration {
        self.threads.values().map(|wait| wait.last - wait.first + wait.disk).max().unwrap_or_default()
    }
}

/// How long a thread has waited for a processor, and whether it is inside of a call that nothing interrupts, as a sync is
/// (proc_pid_schedstat(5), proc_pid_stat(5)).
fn told((schedstat, stat): (String, String)) -> Option<(Duration, bool)> {
    let for_processor = schedstat.split_whitespace().nth(1)?.parse().ok()?;
    let state = stat.rsplit_once(')')?.1.trim_start();
    Some((Duration::from_nanos(for_processor), state.starts_with('D')))
}
