//! Goal: windows end in crawls, and every published batch is covered by exactly one (I8).

use std::collections::BTreeSet;

use crate::corpus::{Invoice, Random, corpus, landed};
use crate::support::{Project, until};

/// No tick comes while a test runs.
const YEARLY: &str = "0 0 0 1 1 *";
const EVERY_SECOND: &str = "* * * * * *";

fn land_one(project: &Project, number: u64) {
    let invoice = Invoice::made_up(&mut Random::new(number), number);
    project.land(&format!("{number}.txt"), invoice.text().as_bytes(), landed(number as usize));
}

#[derive(Debug)]
struct Crawl {
    id: String,
    window_end: String,
    early: bool,
    state: String,
    batches: i64,
    attempts: i64,
}

fn crawls(project: &Project) -> Vec<Crawl> {
    let Some(warehouse) = project.warehouse() else { return Vec::new() };
    let sql = "SELECT crawl_id, window_end, early, state, batches, attempts FROM sluicegate_crawl ORDER BY window_end";
    // Before its first migration the warehouse has no such table.
    let Ok(mut statement) = warehouse.prepare(sql) else { return Vec::new() };
    let crawls = statement.query_map([], |row| {
        Ok(Crawl {
            id: row.get(0)?,
            window_end: row.get(1)?,
            early: row.get(2)?,
            state: row.get(3)?,
            batches: row.get(4)?,
            attempts: row.get(5)?,
        })
    });
    crawls.unwrap().collect::<Result<_, _>>().unwrap()
}

/// Every batch with rows belongs to one crawl that ended well and began its window's end after the batch was published.
pub(crate) fn check_covered(project: &Project) {
    let crawls = crawls(project);
    for Crawl { id, window_end, state, batches, attempts, .. } in &crawls {
        assert_eq!((state.as_str(), *attempts), ("succeeded", 1), "{crawls:?}");
        let adopted = format!(
            "SELECT count(*) FROM sluicegate_batch WHERE crawl_id = '{id}' AND published_at <= '{window_end}' AND rows > 0"
        );
        assert_eq!(project.ask(&adopted), Some(*batches), "{id} covers what it says");
        let attempts = format!(
            "SELECT count(*) FROM sluicegate_crawl_attempt WHERE crawl_id = '{id}' AND state = 'succeeded'"
        );
        assert_eq!(project.ask(&attempts), Some(1));
    }
    let windows: BTreeSet<_> = crawls.iter().map(|crawl| &crawl.window_end).collect();
    assert_eq!(windows.len(), crawls.len(), "one crawl a window: {crawls:?}");
    let covered: i64 = crawls.iter().map(|crawl| crawl.batches).sum();
    let published = "SELECT count(*) FROM sluicegate_batch WHERE rows > 0";
    assert_eq!(project.ask(published), Some(covered), "every published batch is covered once: {crawls:?}");
}

#[test]
fn a_drain_waits_for_no_window() {
    let project = Project::new().with("SLUICEGATE_WINDOW", YEARLY);
    land_one(&project, 1);
    assert_eq!(project.drain(0)["crawls"], 0);
    assert!(crawls(&project).is_empty());
}

#[test]
fn drain_crawl_ends_the_window_early_once_for_all_batches() {
    let project = Project::with_batches_of(5).with("SLUICEGATE_WINDOW", YEARLY);
    project.land_all(&corpus(31, 40));
    // Batches of an earlier drain are covered too, and one without rows needs no crawl.
    project.drain(3);
    land_one(&project, 900);
    let summary = project.run(&["drain", "--crawl", "--output", "json"]).exits(0).json();
    assert_eq!(summary["crawls"], 1, "{summary}");
    let made = crawls(&project);
    assert!(made.len() == 1 && made[0].early && made[0].batches > 5, "{made:?}");
    check_covered(&project);
    let summary = project.run(&["drain", "--crawl", "--output", "json"]).exits(0).json();
    assert_eq!(summary["crawls"], 0, "nothing new, nothing to crawl: {summary}");
    assert_eq!(crawls(&project).len(), 1);
    let status = project.run(&["status", "--output", "json"]).exits(0).json();
    assert_eq!(status["jobs"][0]["awaiting_crawl"], 0, "{status}");
    assert_eq!(status["jobs"][0]["last_crawl"]["state"], "succeeded", "{status}");
}

#[test]
fn a_batch_without_rows_needs_no_crawl() {
    let project = Project::new().with("SLUICEGATE_WINDOW", EVERY_SECOND);
    project.land("broken.txt", b"Dear Sir or Madam\n", landed(0));
    let summary = project.run(&["drain", "--crawl", "--output", "json"]).exits(3).json();
    assert_eq!(summary["crawls"], 0, "{summary}");
    assert_eq!(project.ask::<String>("SELECT crawl_id FROM sluicegate_batch").as_deref(), Some("none"));
    assert!(crawls(&project).is_empty());
}

#[test]
fn a_later_drain_crawls_the_windows_that_have_ended() {
    let project = Project::new().with("SLUICEGATE_WINDOW", EVERY_SECOND);
    for round in 1..=3 {
        land_one(&project, round);
        project.drain(0);
        until("a later drain covers the batch", || {
            project.drain(0);
            let open = "SELECT count(*) FROM sluicegate_batch WHERE crawl_id IS NULL";
            (project.ask(open) == Some(0)).then_some(())
        });
        check_covered(&project);
    }
    assert!(crawls(&project).iter().all(|crawl| !crawl.early));
}

#[test]
fn a_watching_drain_crawls_at_the_ticks() {
    let project = Project::sealing_soon().with("SLUICEGATE_WINDOW", EVERY_SECOND);
    land_one(&project, 1);
    let drain = project.start(&["drain", "--watch"]);
    until("a tick has come", || {
        crawls(&project).iter().any(|crawl| crawl.state == "succeeded").then_some(())
    });
    drain.signal("TERM");
    drain.wait().0.exits(0);
    check_covered(&project);
}
