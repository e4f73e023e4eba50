//! The acceptance at full size. It takes minutes, so it runs only when it is asked for.

use crate::bulk::{drained_once, drained_with_kills};
use crate::corpus::corpus;
use crate::large::sixty_megabytes;
use crate::support::Project;

/// Whether the full size was asked for; else says how to ask.
fn asked_for(test: &str) -> bool {
    let asked = std::env::var("SLUICEGATE_FULL").is_ok_and(|value| value == "1");
    if !asked {
        eprintln!(
            "skipped: {test}; to run it: SLUICEGATE_FULL=1 cargo test --test e2e full:: -- --nocapture"
        );
    }
    asked
}

#[test]
fn ten_thousand_files_with_the_shipped_job() {
    if asked_for("10,000 files drained once") {
        drained_once(&Project::new(), &corpus(41, 10_000));
    }
}

#[test]
fn ten_thousand_files_with_kills() {
    if asked_for("10,000 files with the drain killed 25 times") {
        drained_with_kills(&Project::new(), &corpus(42, 10_000), 42, 10);
        drained_with_kills(&Project::with_batches_of(100), &corpus(43, 10_000), 43, 15);
    }
}

#[test]
fn many_seeds_with_kills() {
    if asked_for("kills under twenty seeds") {
        for seed in 100..120 {
            drained_with_kills(&Project::with_batches_of(5), &corpus(seed, 600), seed, 10);
        }
    }
}

#[test]
fn sixty_megabytes_in_bounded_memory() {
    if asked_for("60 MB with 100,000 invoices in 256 MiB") {
        sixty_megabytes(false);
        sixty_megabytes(true);
    }
}
