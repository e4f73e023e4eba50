//! The oracle: knows from the world's own log what landed, works out what must have become of it, and holds ledger,
//! tables, CSV objects, archive, crawls and journals against that. It uses nothing of the product but the file formats.

mod crawls;
mod documents;
mod journals;
mod objects;
mod verdicts;

use rusqlite::Connection;

pub(crate) use crate::rows::select;
use crate::world::World;
pub(crate) use objects::originals;

/// What still has to happen, in words; empty once everything has settled.
pub(crate) fn unsettled(world: &World) -> Vec<String> {
    let mut open = Vec::new();
    if !world.places.queue.is_empty() {
        open.push("messages in the queue".to_owned());
    }
    let alive: Vec<_> = world.machines.iter().filter(|machine| !machine.is_gone).collect();
    if let Some(down) = alive.iter().find(|machine| !machine.is_alive()) {
        open.push(format!("machine {} does not run", down.number));
    }
    if !open.is_empty() {
        return open;
    }
    let ledger = Connection::open(&world.hub().warehouse).unwrap();
    let open_in_ledger = "SELECT 'unpublished: ' || batch_id FROM sluicegate_batch WHERE published_at IS NULL
        UNION ALL SELECT 'in no crawl: ' || batch_id FROM sluicegate_batch WHERE crawl_id IS NULL
        UNION ALL SELECT 'crawl: ' || state FROM sluicegate_crawl WHERE state IN ('claimed', 'running', 'failed')";
    open.extend(select(&ledger, open_in_ledger).into_iter().flatten());
    for machine in alive {
        let journal = Connection::open(machine.journal()).unwrap();
        let open_in_journal = "SELECT 'pending: ' || key FROM notification WHERE state = 'pending'
            UNION ALL SELECT 'batch ' || batch_id || ': ' || state FROM batch WHERE state <> 'published'";
        open.extend(select(&journal, open_in_journal).into_iter().flatten());
    }
    let loaded = select(&ledger, "SELECT archive_key FROM sluicegate_batch");
    let archive = world.places.archive.all();
    let waiting = archive.keys().filter(|key| !loaded.iter().any(|row| row[0] == **key));
    open.extend(waiting.map(|key| format!("archived and not loaded: {key}")));
    open
}

/// Checks I1 to I11 as far as they are visible at the end.
///
/// # Errors
/// What is wrong, the first thing of it.
pub(crate) fn examine(world: &World) -> Result<(), String> {
    let ledger = Connection::open(&world.hub().warehouse).unwrap();
    documents::check(world, &ledger)?;
    verdicts::check(world, &ledger)?;
    objects::check_curated(world, &ledger)?;
    objects::check_archive(world, &ledger)?;
    crawls::check(world, &ledger)?;
    journals::check(world, &ledger)
}

/// That a statement finds nothing: each row of it is something wrong.
fn none(connection: &Connection, what: &str, sql: &str) -> Result<(), String> {
    let found = select(connection, sql);
    if found.is_empty() { Ok(()) } else { Err(format!("{what}: {found:?}")) }
}
