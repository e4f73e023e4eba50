//! Crawls: one a window, and it covers everything published before the window's end (I8).

use rusqlite::Connection;

use super::{none, select};
use crate::process::World;

/// When a window has ended and the pipeline is quiet, its crawl is over: the lease of a dead owner is not waited out.
pub(crate) fn nothing_waits(world: &World) {
    let journal = Connection::open(world.path("state").join("state.db")).unwrap();
    let parked = "SELECT batch_id, state, last_error FROM batch WHERE state <> 'published'";
    none(&journal, "batches that are not at their end when all is quiet", parked);
    let ledger = Connection::open(world.warehouse()).unwrap();
    none(
        &ledger,
        "batches and crawls that are left to the next window",
        "SELECT batch_id FROM sluicegate_batch WHERE crawl_id IS NULL
         UNION ALL SELECT crawl_id FROM sluicegate_crawl WHERE state <> 'succeeded'",
    );
}

pub(super) fn check(ledger: &Connection, catalog: &Connection) {
    none(
        ledger,
        "crawls that did not end well",
        "SELECT crawl_id, state FROM sluicegate_crawl WHERE state <> 'succeeded' OR finished_at IS NULL",
    );
    none(
        ledger,
        "published batches that no crawl adopted, or the other way round",
        "SELECT batch_id, rows, crawl_id FROM sluicegate_batch AS b
         WHERE published_at IS NULL OR crawl_id IS NULL OR (crawl_id = 'none') <> (rows = 0)
            OR (crawl_id <> 'none' AND NOT EXISTS (
                    SELECT 1 FROM sluicegate_crawl AS c
                    WHERE c.crawl_id = b.crawl_id AND b.published_at <= c.window_end))",
    );
    none(
        ledger,
        "crawls that did not adopt what they say",
        "SELECT crawl_id, batches FROM sluicegate_crawl AS c
         WHERE batches <> (SELECT count(*) FROM sluicegate_batch AS b WHERE b.crawl_id = c.crawl_id)",
    );
    none(
        ledger,
        "attempts at crawls that are still running, or more than one success",
        "SELECT crawl_id, attempt, state FROM sluicegate_crawl_attempt AS a
         WHERE state = 'running'
            OR 1 <> (SELECT count(*) FROM sluicegate_crawl_attempt AS o
                     WHERE o.crawl_id = a.crawl_id AND o.state = 'succeeded')",
    );
    assert!(!select(ledger, "SELECT 1 FROM sluicegate_crawl").is_empty());
    check_coverage(ledger, catalog);
}

/// The catalog's own crawl began after each of its batches was published, and ended well.
fn check_coverage(ledger: &Connection, catalog: &Connection) {
    let adopted = "SELECT b.batch_id, b.published_at, a.glue_crawl_id
                   FROM sluicegate_batch AS b JOIN sluicegate_crawl_attempt AS a USING (crawl_id)
                   WHERE a.state = 'succeeded'";
    for row in select(ledger, adopted) {
        let sql = format!("SELECT state, started_at FROM crawl WHERE crawl_id = '{}'", row[2]);
        let crawl = select(catalog, &sql).pop().expect("the catalog knows the crawl that covers");
        assert_eq!(crawl[0], "succeeded");
        let time = |text: &str| text.parse::<sluicegate_state::Timestamp>().unwrap();
        assert!(time(&crawl[1]) >= time(&row[1]), "{row:?} was published after {crawl:?} began (I8)");
    }
    let registered = select(catalog, "SELECT table_name || '/dt=' || dt FROM partition ORDER BY 1");
    let objects =
        "SELECT DISTINCT substr(csv_key, 1, instr(csv_key, '/dt=') + 13) FROM sluicegate_batch_table
                   WHERE csv_key IS NOT NULL ORDER BY 1";
    assert_eq!(registered, select(ledger, objects), "partitions");
    let number = |connection, sql| -> u64 { select(connection, sql)[0][0].parse().unwrap() };
    let windows = number(ledger, "SELECT count(*) FROM sluicegate_crawl");
    let crawls = number(catalog, "SELECT count(*) FROM crawl");
    assert!(crawls >= windows, "{crawls} crawls for {windows} windows");
}
