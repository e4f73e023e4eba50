//! Crawls: each batch with rows is covered by one crawl, which succeeded and began when its objects were there (I8).

use rusqlite::Connection;

use super::{none, select};
use crate::world::World;

pub(super) fn check(world: &World, ledger: &Connection) -> Result<(), String> {
    let history = world.places.crawler.history();
    let sql = "SELECT b.batch_id, coalesce(b.crawl_id, ''), coalesce(c.state, ''), coalesce(a.glue_crawl_id, ''), t.csv_key
               FROM sluicegate_batch AS b JOIN sluicegate_batch_table AS t USING (batch_id)
               LEFT JOIN sluicegate_crawl AS c ON c.crawl_id = b.crawl_id
               LEFT JOIN sluicegate_crawl_attempt AS a ON a.crawl_id = b.crawl_id AND a.state = 'succeeded'
               WHERE t.csv_key IS NOT NULL";
    for row in select(ledger, sql) {
        let [batch_id, crawl_id, state, glue_id, csv_key] = row.try_into().expect("five columns");
        let crawl = history.iter().find(|crawl| crawl.id == glue_id);
        let covers = crawl.is_some_and(|crawl| crawl.succeeds && crawl.seen.contains(&csv_key));
        if state != "succeeded" || !covers {
            return Err(format!(
                "{csv_key} of {batch_id} is not covered by {crawl_id} ({state}, {glue_id}) (I8)"
            ));
        }
    }
    none(
        ledger,
        "batches without a crawl, or with one that they need not",
        "SELECT batch_id, rows, crawl_id FROM sluicegate_batch
         WHERE published_at IS NULL OR crawl_id IS NULL OR (crawl_id = 'none') <> (rows = 0)",
    )?;
    none(
        ledger,
        "crawls with another number of successes than one",
        "SELECT crawl_id FROM sluicegate_crawl AS c
         WHERE state <> 'given_up' AND 1 <> (SELECT count(*) FROM sluicegate_crawl_attempt AS a
                                             WHERE a.crawl_id = c.crawl_id AND a.state = 'succeeded')",
    )?;
    none(
        ledger,
        "crawls that did not adopt what they say",
        "SELECT crawl_id, batches FROM sluicegate_crawl AS c
         WHERE state = 'succeeded'
           AND batches <> (SELECT count(*) FROM sluicegate_batch AS b WHERE b.crawl_id = c.crawl_id)",
    )?;
    none(
        ledger,
        "windows whose crawl adopted what was published after them",
        "SELECT batch_id FROM sluicegate_batch AS b JOIN sluicegate_crawl AS c USING (crawl_id)
         WHERE b.published_at > c.window_end",
    )
}
