//! Embedded parts: every moment of a drain, before and after.

use std::process::Command;
use std::sync::{Mutex, OnceLock};

use crate::checker::check;
use crate::covered::needless_crawls;
use crate::deaths::{Kills, advance, counted, dies, moment, restart_until_done};
use crate::documents::{BATCH, everything, windows};
use crate::failing::ON_THE_WAY;
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
    assert_eq!(needless_crawls(project), 0, "crawls that cover nothing");
}

/// One life of a drain that dies at a moment, if it meets that; `finish` does what is left after the restart.
fn live(prepared: &Project, at: &str, finish: &(impl Fn(&Project) + Sync)) -> Kills {
    let mut project = copy_of(prepared);
    dies(&mut project, DRAIN, at);
    restart_until_done(&project, DRAIN);
    finish(&project);
    all_is_done(&project);
    Kills::traced(&project.path("trace"))
}

/// Advances over the moments of the drain that meets what `prepared` has.
fn advance_over(prepared: &Project, step: usize, finish: &(impl Fn(&Project) + Sync)) -> Kills {
    let kills = Mutex::new(Kills::default());
    let points = advance(WORKERS, step, |number, after| {
        let traced = live(prepared, &format!("{number}:{}", moment(after)), finish);
        kills.lock().unwrap().add(&traced);
        traced.count() > 0
    });
    let kills = kills.into_inner().unwrap();
    assert_eq!(kills.count(), points);
    kills
}

/// Real kills at every moment of the first window; the second one follows in peace. Several threads work, so the n-th
/// effect is not the same one in each life: a name that no number met is aimed at.
pub(crate) fn first_window() -> &'static Kills {
    static KILLS: OnceLock<Kills> = OnceLock::new();
    KILLS.get_or_init(|| {
        let (prepared, [_, second]) = (landed(), windows());
        let finish = |project: &Project| {
            project.land_all(&second);
            restart_until_done(project, DRAIN);
        };
        let mut kills = advance_over(&prepared, 1, &finish);
        for (name, after) in ON_THE_WAY.iter().flat_map(|name| [(*name, false), (*name, true)]) {
            if !kills.met(name, after) {
                kills.add(&live(&prepared, &format!("{name}:1:{}", moment(after)), &finish));
            }
        }
        kills
    })
}

/// The same for the second window, where tables, ledger and earlier batches are there.
pub(crate) fn second_window() -> &'static Kills {
    static KILLS: OnceLock<Kills> = OnceLock::new();
    KILLS.get_or_init(|| advance_over(&half_way(), if full() { 1 } else { SAMPLE }, &|_: &Project| ()))
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
