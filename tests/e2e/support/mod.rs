//! A folder with the shipped configuration, and the built binary at work in it.

mod disk;
mod landing;
mod process;
mod project;

#[allow(unused_imports, reason = "not every family of tests fills a disk")]
pub(crate) use disk::SmallDisk;
pub(crate) use landing::{Snapshot, files_under};
pub(crate) use process::{Ended, Running};
pub(crate) use project::Project;

use std::time::{Duration, Instant};

/// The longest that anything here may take before a test gives up.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// Looks until there is an answer; a test that waits in vain says what for.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = look() {
            return answer;
        }
        assert!(began.elapsed() < DEADLINE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(3));
    }
}
