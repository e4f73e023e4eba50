//! A progress line on stderr, where that is a terminal.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::pipeline::context::Context;

const INTERVAL: Duration = Duration::from_millis(100);

/// Shown until it is dropped.
pub(super) struct Progress {
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Follows the tally of `context`.
    pub(super) fn start(context: Arc<Context>) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let show = std::io::stderr().is_terminal();
        let flag = done.clone();
        let thread = show.then(|| std::thread::spawn(move || follow(&context, &flag)));
        Self { done, thread }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.done.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // It only draws; whether it ended well changes nothing.
            let _ = thread.join();
        }
    }
}

fn follow(context: &Context, done: &AtomicBool) {
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{spinner} [{elapsed}] {bar:30} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    while !done.load(Ordering::SeqCst) {
        let counts = context.tally.counts();
        let decided: u64 = counts.documents.values().sum();
        bar.set_length(counts.notifications.max(counts.archived).max(decided));
        bar.set_position(decided);
        bar.set_message(format!(
            "{} journaled, {} archived, {decided} decided, {} rows, {} batches published",
            counts.notifications, counts.archived, counts.rows, counts.published
        ));
        bar.tick();
        std::thread::park_timeout(INTERVAL);
    }
    bar.finish_and_clear();
}
