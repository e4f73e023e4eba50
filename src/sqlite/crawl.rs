//! The crawl's rows in the ledger (§8): one transaction claims a window and adopts every batch that it shall cover.

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use sluicegate_state::Timestamp;
use sluicegate_state::canary::{Canary, sings};
use sluicegate_state::time::to_text;

use crate::failure::{Failure, Outcome};
use crate::ports::clock::Clock;
use crate::ports::warehouse::{CrawlClaim, CrawlEnd, CrawlRequest, CrawlRow, OpenAttempt};

use super::{CLOCK_SPREAD, failure, parse_time};

/// How long a claim holds without a sign of life.
const LEASE: chrono::TimeDelta = chrono::TimeDelta::seconds(60);

/// How many of the crawls that earlier attempts ended with a claim knows: more than a catalog reports of a day.
const ACCOUNTED: u32 = 200;

/// What the window that ends at `?2` covers. What was published later than `?3`, in the future, was published before the
/// clock was set back, and is there.
const UNADOPTED: &str = "job = ?1 AND crawl_id IS NULL AND published_at IS NOT NULL
                         AND (published_at <= ?2 OR published_at > ?3)";

/// A crawl that has not ended.
struct OpenCrawl {
    crawl_id: String,
    window_end: String,
    owner: String,
    lease_until: String,
    claimed_at: String,
}

fn open_crawl(transaction: &Transaction<'_>, job: &str) -> rusqlite::Result<Option<OpenCrawl>> {
    transaction
        .query_row(
            "SELECT crawl_id, window_end, owner, lease_until, claimed_at FROM sluicegate_crawl
             WHERE job = ?1 AND state IN ('claimed', 'running', 'failed') ORDER BY window_end LIMIT 1",
            [job],
            |row| {
                Ok(OpenCrawl {
                    crawl_id: row.get(0)?,
                    window_end: row.get(1)?,
                    owner: row.get(2)?,
                    lease_until: row.get(3)?,
                    claimed_at: row.get(4)?,
                })
            },
        )
        .optional()
}

pub(super) fn claim(
    connection: &mut Connection,
    request: &CrawlRequest<'_>,
    clock: &dyn Clock,
) -> Outcome<Option<CrawlClaim>> {
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failure)?;
    // Asked only when nobody else can write any more: for a machine that stood still with an earlier time, what others have
    // written meanwhile would lie in the future, and pass for the work of a clock that was wrong.
    let now = clock.now();
    let claim = match open_crawl(&transaction, request.job).map_err(failure)? {
        Some(open) => take_over(&transaction, request, &open, now)?,
        None => adopt(&transaction, request, now).map_err(failure)?,
    };
    transaction.commit().map_err(failure)?;
    Ok(claim)
}

/// A guarded UPDATE: of two that want it, one gets it.
fn take_over(
    transaction: &Transaction<'_>,
    request: &CrawlRequest<'_>,
    open: &OpenCrawl,
    now: Timestamp,
) -> Outcome<Option<CrawlClaim>> {
    // A lease that ends later than any ends was taken before the clock was set back: who lives has renewed it since.
    let is_over = open.lease_until <= to_text(now) || open.lease_until > to_text(now + LEASE + CLOCK_SPREAD);
    let free = open.owner == request.owner || is_over || (request.is_gone)(&open.owner);
    if !free {
        return Ok(None);
    }
    let changed = transaction
        .execute(
            "UPDATE sluicegate_crawl SET owner = ?3, lease_until = ?4 WHERE crawl_id = ?1 AND owner = ?2
               AND state IN ('claimed', 'running', 'failed')",
            params![open.crawl_id, open.owner, request.owner, to_text(now + LEASE)],
        )
        .map_err(failure)?;
    if changed == 0 {
        return Ok(None);
    }
    let (window_end, claimed_at) = (parse_time(&open.window_end)?, parse_time(&open.claimed_at)?);
    describe(transaction, request.job, &open.crawl_id, window_end, claimed_at).map(Some).map_err(failure)
}

/// A claim as the ledger has it.
fn describe(
    transaction: &Transaction<'_>,
    job: &str,
    crawl_id: &str,
    window_end: Timestamp,
    claimed_at: Timestamp,
) -> rusqlite::Result<CrawlClaim> {
    let (attempts, batches, published): (u32, u64, String) = transaction.query_row(
        "SELECT attempts, batches, (SELECT max(published_at) FROM sluicegate_batch AS b WHERE b.crawl_id = c.crawl_id)
         FROM sluicegate_crawl AS c WHERE crawl_id = ?1",
        [crawl_id],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    let failures = transaction.query_row(
        "SELECT count(*) FROM sluicegate_crawl_attempt WHERE crawl_id = ?1 AND state = 'failed'",
        [crawl_id],
        |row| row.get(0),
    )?;
    let open_attempt = transaction
        .query_row(
            "SELECT attempt, glue_crawl_id FROM sluicegate_crawl_attempt WHERE crawl_id = ?1 AND state = 'running'",
            [crawl_id],
            |row| Ok(OpenAttempt { number: row.get(0)?, catalog_id: row.get(1)? }),
        )
        .optional()?;
    let mut accounted = transaction.prepare(
        "SELECT a.glue_crawl_id FROM sluicegate_crawl_attempt AS a JOIN sluicegate_crawl AS c USING (crawl_id)
         WHERE c.job = ?1 AND a.glue_crawl_id IS NOT NULL AND a.state IN ('succeeded', 'failed', 'given_up')
         ORDER BY a.started_at DESC, a.attempt DESC LIMIT ?2",
    )?;
    let accounted =
        accounted.query_map(params![job, ACCOUNTED], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let published_until = parse_time(&published).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(2, rusqlite::types::Type::Text, Box::new(error))
    })?;
    let crawl_id = crawl_id.to_owned();
    Ok(CrawlClaim {
        crawl_id,
        window_end,
        claimed_at,
        published_until,
        attempts,
        failures,
        open_attempt,
        accounted,
        batches,
    })
}

fn adopt(
    transaction: &Transaction<'_>,
    request: &CrawlRequest<'_>,
    now: Timestamp,
) -> rusqlite::Result<Option<CrawlClaim>> {
    let window_end = to_text(request.window_end);
    let until = if sings(Canary::CrawlAdoptsLate) { to_text(now) } else { window_end.clone() };
    let latest = to_text(now + CLOCK_SPREAD);
    let batches: u64 = transaction.query_row(
        &format!("SELECT count(*) FROM sluicegate_batch WHERE {UNADOPTED}"),
        params![request.job, until, latest],
        |row| row.get(0),
    )?;
    if batches == 0 {
        return Ok(None);
    }
    let crawl_id = format!("{}-{}", request.job, request.window_end.format("%Y%m%dT%H%M%S%.6fZ"));
    let inserted = transaction.execute(
        "INSERT INTO sluicegate_crawl (crawl_id, job, window_end, early, state, owner, lease_until, batches, claimed_at)
         VALUES (?1, ?2, ?3, ?4, 'claimed', ?5, ?6, ?7, ?8) ON CONFLICT (job, window_end) DO NOTHING",
        params![
            crawl_id,
            request.job,
            window_end,
            request.early,
            request.owner,
            to_text(now + LEASE),
            batches as i64,
            to_text(now)
        ],
    )?;
    if inserted == 0 {
        // That window's crawl was given up, or somebody closed it; what came too late waits for the next one.
        return Ok(None);
    }
    let adopted = transaction.execute(
        &format!("UPDATE sluicegate_batch SET crawl_id = ?4 WHERE {UNADOPTED}"),
        params![request.job, until, latest, crawl_id],
    )?;
    assert_eq!(adopted as u64, batches, "what was counted is adopted, in one transaction (I8)");
    describe(transaction, request.job, &crawl_id, request.window_end, now).map(Some)
}

fn lost(crawl_id: &str) -> Failure {
    Failure::transient(format!("the crawl {crawl_id} has another owner now"))
}

pub(super) fn attempt(
    connection: &mut Connection,
    crawl_id: &str,
    owner: &str,
    now: Timestamp,
) -> Outcome<u32> {
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failure)?;
    let number =
        begin_attempt(&transaction, crawl_id, owner, now).map_err(failure)?.ok_or_else(|| lost(crawl_id))?;
    transaction.commit().map_err(failure)?;
    Ok(number)
}

pub(super) fn renew(connection: &Connection, crawl_id: &str, owner: &str, now: Timestamp) -> Outcome<()> {
    if sings(Canary::LeaseNotRenewed) {
        return Ok(());
    }
    let changed = connection
        .execute(
            "UPDATE sluicegate_crawl SET lease_until = ?3
             WHERE crawl_id = ?1 AND owner = ?2 AND state IN ('claimed', 'running', 'failed')",
            params![crawl_id, owner, to_text(now + LEASE)],
        )
        .map_err(failure)?;
    if changed == 0 { Err(lost(crawl_id)) } else { Ok(()) }
}

pub(super) fn seen(
    connection: &Connection,
    crawl_id: &str,
    owner: &str,
    attempt: u32,
    catalog_id: &str,
) -> Outcome<()> {
    let changed = connection
        .execute(
            "UPDATE sluicegate_crawl_attempt SET glue_crawl_id = ?4
             WHERE crawl_id = ?1 AND attempt = ?2 AND state = 'running'
               AND EXISTS (SELECT 1 FROM sluicegate_crawl WHERE crawl_id = ?1 AND owner = ?3 AND state = 'running')",
            params![crawl_id, attempt, owner, catalog_id],
        )
        .map_err(failure)?;
    if changed == 0 { Err(lost(crawl_id)) } else { Ok(()) }
}

/// The keys of the CSV objects that a crawl has adopted.
pub(super) fn objects(connection: &Connection, crawl_id: &str) -> Outcome<Vec<String>> {
    let read = || {
        let mut statement = connection.prepare(
            "SELECT t.csv_key FROM sluicegate_batch AS b JOIN sluicegate_batch_table AS t USING (batch_id)
             WHERE b.crawl_id = ?1 AND t.csv_key IS NOT NULL ORDER BY t.csv_key",
        )?;
        statement.query_map([crawl_id], |row| row.get(0))?.collect::<Result<_, _>>()
    };
    read().map_err(failure)
}

fn begin_attempt(
    transaction: &Transaction<'_>,
    crawl_id: &str,
    owner: &str,
    now: Timestamp,
) -> rusqlite::Result<Option<u32>> {
    let number: Option<u32> = transaction
        .query_row(
            "UPDATE sluicegate_crawl SET state = 'running', attempts = attempts + 1, lease_until = ?3,
                    started_at = coalesce(started_at, ?4)
             WHERE crawl_id = ?1 AND owner = ?2 AND state IN ('claimed', 'running', 'failed') RETURNING attempts",
            params![crawl_id, owner, to_text(now + LEASE), to_text(now)],
            |row| row.get(0),
        )
        .optional()?;
    let Some(number) = number else { return Ok(None) };
    transaction.execute(
        "UPDATE sluicegate_crawl_attempt SET state = 'died', finished_at = ?2 WHERE crawl_id = ?1 AND state = 'running'",
        params![crawl_id, to_text(now)],
    )?;
    transaction.execute(
        "INSERT INTO sluicegate_crawl_attempt (crawl_id, attempt, owner, state, started_at)
         VALUES (?1, ?2, ?3, 'running', ?4)",
        params![crawl_id, number, owner, to_text(now)],
    )?;
    Ok(Some(number))
}

pub(super) fn finish(
    connection: &mut Connection,
    crawl_id: &str,
    owner: &str,
    attempt: u32,
    end: &CrawlEnd,
    now: Timestamp,
) -> Outcome<()> {
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failure)?;
    let (state, catalog_id, message) = match end {
        CrawlEnd::Succeeded { catalog_id } => ("succeeded", catalog_id.as_deref(), None),
        CrawlEnd::Failed { catalog_id, message } => ("failed", catalog_id.as_deref(), Some(message.as_str())),
        CrawlEnd::GivenUp { message } => ("given_up", None, Some(message.as_str())),
    };
    let at = to_text(now);
    let finished_at = (state != "failed").then_some(at.as_str());
    let changed = transaction
        .execute(
            "UPDATE sluicegate_crawl SET state = ?3, finished_at = ?4, message = ?5
             WHERE crawl_id = ?1 AND owner = ?2 AND state = 'running'",
            params![crawl_id, owner, state, finished_at, message],
        )
        .map_err(failure)?;
    if changed == 0 {
        return Err(lost(crawl_id));
    }
    transaction
        .execute(
            "UPDATE sluicegate_crawl_attempt SET state = ?3, finished_at = ?4, message = ?5,
                    glue_crawl_id = coalesce(?6, glue_crawl_id)
             WHERE crawl_id = ?1 AND attempt = ?2",
            params![crawl_id, attempt, state, at, message, catalog_id],
        )
        .map_err(failure)?;
    if matches!(end, CrawlEnd::GivenUp { .. }) {
        transaction
            .execute("UPDATE sluicegate_batch SET crawl_id = NULL WHERE crawl_id = ?1", [crawl_id])
            .map_err(failure)?;
    }
    transaction.commit().map_err(failure)
}

/// Published batches with rows that no ended crawl covers.
pub(super) fn awaiting(connection: &Connection, job: &str) -> Outcome<u64> {
    connection
        .query_row(
            "SELECT (SELECT count(*) FROM sluicegate_batch
                     WHERE job = ?1 AND crawl_id IS NULL AND published_at IS NOT NULL)
                  + (SELECT coalesce(sum(batches), 0) FROM sluicegate_crawl
                     WHERE job = ?1 AND state IN ('claimed', 'running', 'failed'))",
            [job],
            |row| row.get(0),
        )
        .map_err(failure)
}

pub(super) fn last(connection: &Connection, job: &str) -> Outcome<Option<CrawlRow>> {
    connection
        .query_row(
            "SELECT crawl_id, window_end, state, finished_at, batches FROM sluicegate_crawl
             WHERE job = ?1 ORDER BY window_end DESC LIMIT 1",
            [job],
            |row| {
                Ok(CrawlRow {
                    crawl_id: row.get(0)?,
                    window_end: row.get(1)?,
                    state: row.get(2)?,
                    finished_at: row.get(3)?,
                    batches: row.get(4)?,
                })
            },
        )
        .optional()
        .map_err(failure)
}
