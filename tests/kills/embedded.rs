//! Embedded parts: every moment of a drain, before and after.

use std::process::Command;
use std::sync::{Mutex, OnceLock};

use crate::checker::check;
use crate::deaths::{Kills, advance, counted, dies, moment, restart_until_done};
use crate::documents::{BATCH, everything, windows};
use crate::oracle::Expected;
use crate::support::{Project, Snapshot};

pub(crate) const DRAIN: &[&str] = &["drain", "--crawl", "--output", "json"];
/// Processes at a time.
const WORKERS: usize = 2;
/// Every how many moments of the second window are tried by default.
const SAMPLE: usize = 4;

pub(crate) fn full() -> bool {
    std::env::var_os("SLUICEGATE_FULL").is_some_and(|value| value == "1")
}

/// A project of its own with everything that another one has in its `var`, times included.
pub(crate) fn copy_of(project: &Project) -> Project {
    let copy = Project::with_batches_of(BATCH);
    std::fs::remove_dir_all(copy.path("var")).unwrap();
    let copied = Command::new("cp").arg("-a").arg(project.path("var")).arg(copy.path("var")).status();
    assert!(copied.unwrap().success());
    copy
}

/// The first window's documents have landed.
pub(crate) fn landed() -> Project {
    let project = Project::with_batches_of(BATCH);
    project.land_all(&windows()[0]);
    project
}

/// The first window is done, and the second one's documents have landed.
pub(crate) fn half_way() -> Project {
    let project = landed();
    restart_until_done(&project, DRAIN);
    project.land_all(&windows()[1]);
    project
}

/// Everything is done, once, whatever died.
#[track_caller]
pub(crate) fn all_is_done(project: &Project) {
    let landed = Snapshot::of(&project.landing());
    check(project, &Expected::of(&everything()), &landed);
    let open = "SELECT count(*) FROM sluicegate_batch WHERE crawl_id IS NULL";
    assert_eq!(
        project.ask::<u64>(open),
        Some(0),
        "every batch is covered by a crawl, or has nothing to crawl"
    );
    let uncovered = "SELECT count(*) FROM sluicegate_crawl WHERE state <> 'succeeded'";
    assert_eq!(project.ask::<u64>(uncovered), Some(0), "every crawl ended well");
}

/// Advances over the moments of the drain that meets what `prepared` has; `finish` does what is left after the restart.
fn advance_over(prepared: &Project, step: usize, finish: impl Fn(&Project) + Sync) -> Kills {
    let kills = Mutex::new(Kills::default());
    let points = advance(WORKERS, step, |number, after| {
        let mut project = copy_of(prepared);
        let met = dies(&mut project, DRAIN, &format!("{number}:{}", moment(after)));
        restart_until_done(&project, DRAIN);
        finish(&project);
        all_is_done(&project);
        kills.lock().unwrap().add(&Kills::traced(&project.path("trace")));
        met
    });
    let kills = kills.into_inner().unwrap();
    assert_eq!(kills.count(), points);
    kills
}

/// Real kills at every moment of the first window; the second one follows in peace.
pub(crate) fn first_window() -> &'static Kills {
    static KILLS: OnceLock<Kills> = OnceLock::new();
    KILLS.get_or_init(|| {
        let second = &windows()[1];
        advance_over(&landed(), 1, |project| {
            project.land_all(second);
            restart_until_done(project, DRAIN);
        })
    })
}

/// The same for the second window, where tables, ledger and earlier batches are there.
pub(crate) fn second_window() -> &'static Kills {
    static KILLS: OnceLock<Kills> = OnceLock::new();
    KILLS.get_or_init(|| advance_over(&half_way(), if full() { 1 } else { SAMPLE }, |_| ()))
}

#[test]
fn a_drain_is_killed_at_each_of_its_moments() {
    let kills = first_window();
    counted("kills-drain", kills.count(), "moments of a first drain on embedded parts: killed at each");
    assert!(kills.count() >= 100, "{kills:?}");
}

#[test]
fn a_later_drain_is_killed_at_its_moments() {
    let kills = second_window();
    counted(
        "kills-later-drain",
        kills.count(),
        if full() {
            "moments of a later drain on embedded parts: killed at each"
        } else {
            "moments of a later drain on embedded parts: killed at each (sample)"
        },
    );
    assert!(kills.count() >= if full() { 80 } else { 20 }, "{kills:?}");
}
