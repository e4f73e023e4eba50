//! The crawl's rows in the ledger (§8): one transaction claims a window and adopts every batch that it shall cover. Every
//! transition is a guarded UPDATE, and every time is the ledger's.

use sluicegate_state::Timestamp;
use sluicegate_state::time::to_text;

use crate::failure::{Failure, Outcome};
use crate::ports::warehouse::{CrawlClaim, CrawlEnd, CrawlRequest, CrawlRow, OpenAttempt};

use super::client::{Client, Transaction};
use super::error::{Error, failure};
use super::ledger::time_text;
use super::{bigint, count, parse_time};

/// How many of the crawls that earlier attempts ended with a claim knows: more than a catalog reports of a day.
const ACCOUNTED: i64 = 200;

/// A lease that ends later than any ends was taken before the server's clock was set back: who lives has renewed it since.
const LEASE_IS_OVER: &str = "(lease_until <= sluicegate.clock()
                              OR lease_until > sluicegate.clock() + interval '60 seconds' + interval '5 minutes')";

/// A crawl that has not ended.
struct OpenCrawl {
    crawl_id: String,
    window_end: String,
    owner: String,
    lease_is_over: bool,
    claimed_at: String,
}

fn attempts(value: i64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn open_crawl(transaction: &mut Transaction<'_>, job: &str) -> Outcome<Option<OpenCrawl>> {
    let sql = format!(
        "SELECT crawl_id, {}, owner, {LEASE_IS_OVER}, {} FROM sluicegate.crawl
         WHERE job = $1 AND state IN ('claimed', 'running', 'failed') ORDER BY window_end LIMIT 1",
        time_text("window_end"),
        time_text("claimed_at"),
    );
    let row = transaction.query_opt(&sql, &[&job]).map_err(failure)?;
    Ok(row.map(|row| OpenCrawl {
        crawl_id: row.get(0),
        window_end: row.get(1),
        owner: row.get(2),
        lease_is_over: row.get(3),
        claimed_at: row.get(4),
    }))
}

pub(super) fn claim(client: &mut Client, request: &CrawlRequest<'_>) -> Outcome<Option<CrawlClaim>> {
    let mut transaction = client.transaction().map_err(failure)?;
    let claim = match open_crawl(&mut transaction, request.job)? {
        Some(open) => take_over(&mut transaction, request, &open)?,
        None => adopt(&mut transaction, request)?,
    };
    // Without a claim nothing stays: batches may have been adopted for a window that turned out to be closed.
    if claim.is_some() {
        transaction.commit().map_err(failure)?;
    } else {
        transaction.rollback().map_err(failure)?;
    }
    Ok(claim)
}

/// A guarded UPDATE: of two that want it, one gets it.
fn take_over(
    transaction: &mut Transaction<'_>,
    request: &CrawlRequest<'_>,
    open: &OpenCrawl,
) -> Outcome<Option<CrawlClaim>> {
    let ours = open.owner == request.owner;
    let gone = !ours && !open.lease_is_over && (request.is_gone)(&open.owner);
    if !ours && !open.lease_is_over && !gone {
        return Ok(None);
    }
    // The lease is looked at again: its owner may have renewed it since.
    let changed = transaction
        .execute(
            &format!(
                "UPDATE sluicegate.crawl SET owner = $3, lease_until = sluicegate.clock() + interval '60 seconds'
                 WHERE crawl_id = $1 AND owner = $2 AND state IN ('claimed', 'running', 'failed')
                   AND ($4 OR {LEASE_IS_OVER})"
            ),
            &[&open.crawl_id, &open.owner, &request.owner, &(ours || gone)],
        )
        .map_err(failure)?;
    if changed == 0 {
        return Ok(None);
    }
    let (window_end, claimed_at) = (parse_time(&open.window_end)?, parse_time(&open.claimed_at)?);
    describe(transaction, request.job, &open.crawl_id, window_end, claimed_at).map(Some)
}

/// A claim as the ledger has it.
fn describe(
    transaction: &mut Transaction<'_>,
    job: &str,
    crawl_id: &str,
    window_end: Timestamp,
    claimed_at: Timestamp,
) -> Outcome<CrawlClaim> {
    let sql = format!(
        "SELECT attempts, batches,
                (SELECT {} FROM sluicegate.batch AS b WHERE b.crawl_id = c.crawl_id),
                (SELECT count(*) FROM sluicegate.crawl_attempt AS a
                 WHERE a.crawl_id = c.crawl_id AND a.state = 'failed')
         FROM sluicegate.crawl AS c WHERE crawl_id = $1",
        time_text("max(b.published_at)"),
    );
    let row = transaction.query_one(&sql, &[&crawl_id]).map_err(failure)?;
    let open_attempt = transaction
        .query_opt(
            "SELECT attempt, glue_crawl_id FROM sluicegate.crawl_attempt WHERE crawl_id = $1 AND state = 'running'",
            &[&crawl_id],
        )
        .map_err(failure)?;
    let accounted = transaction
        .query(
            "SELECT a.glue_crawl_id FROM sluicegate.crawl_attempt AS a JOIN sluicegate.crawl AS c USING (crawl_id)
             WHERE c.job = $1 AND a.glue_crawl_id IS NOT NULL AND a.state IN ('succeeded', 'failed', 'given_up')
             ORDER BY a.started_at DESC, a.attempt DESC LIMIT $2",
            &[&job, &ACCOUNTED],
        )
        .map_err(failure)?;
    Ok(CrawlClaim {
        crawl_id: crawl_id.to_owned(),
        window_end,
        claimed_at,
        published_until: parse_time(row.get(2))?,
        attempts: attempts(row.get(0)),
        failures: attempts(row.get(3)),
        open_attempt: open_attempt
            .map(|row| OpenAttempt { number: attempts(row.get(0)), catalog_id: row.get(1) }),
        accounted: accounted.iter().map(|row| row.get(0)).collect(),
        batches: count(row.get(1)),
    })
}

fn adopt(transaction: &mut Transaction<'_>, request: &CrawlRequest<'_>) -> Outcome<Option<CrawlClaim>> {
    let window_end = to_text(request.window_end);
    let crawl_id = format!("{}-{}", request.job, request.window_end.format("%Y%m%dT%H%M%S%.6fZ"));
    // Whoever adopts first holds the rows; another one waits here, and then finds nothing. What was published in the future
    // was published before the server's clock was set back, and is there.
    let batches = transaction
        .execute(
            "UPDATE sluicegate.batch SET crawl_id = $3
             WHERE job = $1 AND crawl_id IS NULL AND published_at IS NOT NULL
               AND (published_at <= $2::text::timestamptz OR published_at > sluicegate.clock() + interval '5 minutes')",
            &[&request.job, &window_end, &crawl_id],
        )
        .map_err(failure)?;
    if batches == 0 {
        return Ok(None);
    }
    let sql = format!(
        "INSERT INTO sluicegate.crawl (crawl_id, job, window_end, early, state, owner, lease_until, batches, claimed_at)
         VALUES ($1, $2, $3::text::timestamptz, $4, 'claimed', $5, sluicegate.clock() + interval '60 seconds', $6,
                 sluicegate.clock())
         ON CONFLICT DO NOTHING RETURNING {}",
        time_text("claimed_at")
    );
    let inserted = transaction
        .query_opt(
            &sql,
            &[&crawl_id, &request.job, &window_end, &request.early, &request.owner, &bigint(batches)],
        )
        .map_err(failure)?;
    // That window's crawl was given up, or somebody closed it; what came too late waits for the next one.
    let Some(row) = inserted else { return Ok(None) };
    let claimed_at = parse_time(row.get(0))?;
    describe(transaction, request.job, &crawl_id, request.window_end, claimed_at).map(Some)
}

fn lost(crawl_id: &str) -> Failure {
    Failure::transient(format!("the crawl {crawl_id} has another owner now"))
}

pub(super) fn attempt(client: &mut Client, crawl_id: &str, owner: &str) -> Outcome<u32> {
    let mut transaction = client.transaction().map_err(failure)?;
    let number = begin_attempt(&mut transaction, crawl_id, owner).map_err(failure)?;
    let number = number.ok_or_else(|| lost(crawl_id))?;
    transaction.commit().map_err(failure)?;
    Ok(attempts(number))
}

pub(super) fn renew(client: &mut Client, crawl_id: &str, owner: &str) -> Outcome<()> {
    let changed = client
        .execute(
            "UPDATE sluicegate.crawl SET lease_until = sluicegate.clock() + interval '60 seconds'
             WHERE crawl_id = $1 AND owner = $2 AND state IN ('claimed', 'running', 'failed')",
            &[&crawl_id, &owner],
        )
        .map_err(failure)?;
    if changed == 0 { Err(lost(crawl_id)) } else { Ok(()) }
}

pub(super) fn seen(
    client: &mut Client,
    crawl_id: &str,
    owner: &str,
    attempt: u32,
    catalog_id: &str,
) -> Outcome<()> {
    let changed = client
        .execute(
            "UPDATE sluicegate.crawl_attempt SET glue_crawl_id = $4
             WHERE crawl_id = $1 AND attempt = $2 AND state = 'running'
               AND EXISTS (SELECT 1 FROM sluicegate.crawl WHERE crawl_id = $1 AND owner = $3 AND state = 'running')",
            &[&crawl_id, &i64::from(attempt), &owner, &catalog_id],
        )
        .map_err(failure)?;
    if changed == 0 { Err(lost(crawl_id)) } else { Ok(()) }
}

/// The keys of the CSV objects that a crawl has adopted.
pub(super) fn objects(client: &mut Client, crawl_id: &str) -> Outcome<Vec<String>> {
    let rows = client
        .query(
            "SELECT t.csv_key FROM sluicegate.batch AS b JOIN sluicegate.batch_table AS t USING (batch_id)
             WHERE b.crawl_id = $1 AND t.csv_key IS NOT NULL ORDER BY t.csv_key COLLATE \"C\"",
            &[&crawl_id],
        )
        .map_err(failure)?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

fn begin_attempt(
    transaction: &mut Transaction<'_>,
    crawl_id: &str,
    owner: &str,
) -> Result<Option<i64>, Error> {
    let row = transaction.query_opt(
        "UPDATE sluicegate.crawl SET state = 'running', attempts = attempts + 1,
                lease_until = sluicegate.clock() + interval '60 seconds',
                started_at = coalesce(started_at, sluicegate.clock())
         WHERE crawl_id = $1 AND owner = $2 AND state IN ('claimed', 'running', 'failed') RETURNING attempts",
        &[&crawl_id, &owner],
    )?;
    let Some(row) = row else { return Ok(None) };
    let number: i64 = row.get(0);
    transaction.execute(
        "UPDATE sluicegate.crawl_attempt SET state = 'died', finished_at = sluicegate.clock()
         WHERE crawl_id = $1 AND state = 'running'",
        &[&crawl_id],
    )?;
    transaction.execute(
        "INSERT INTO sluicegate.crawl_attempt (crawl_id, attempt, owner, state, started_at)
         VALUES ($1, $2, $3, 'running', sluicegate.clock())",
        &[&crawl_id, &number, &owner],
    )?;
    Ok(Some(number))
}

pub(super) fn finish(
    client: &mut Client,
    crawl_id: &str,
    owner: &str,
    attempt: u32,
    end: &CrawlEnd,
) -> Outcome<()> {
    let (state, catalog_id, message) = match end {
        CrawlEnd::Succeeded { catalog_id } => ("succeeded", catalog_id.as_deref(), None),
        CrawlEnd::Failed { catalog_id, message } => ("failed", catalog_id.as_deref(), Some(message.as_str())),
        CrawlEnd::GivenUp { message } => ("given_up", None, Some(message.as_str())),
    };
    let mut transaction = client.transaction().map_err(failure)?;
    let changed = transaction
        .execute(
            "UPDATE sluicegate.crawl SET state = $3, message = $4,
                    finished_at = CASE WHEN $3 <> 'failed' THEN sluicegate.clock() END
             WHERE crawl_id = $1 AND owner = $2 AND state = 'running'",
            &[&crawl_id, &owner, &state, &message],
        )
        .map_err(failure)?;
    if changed == 0 {
        return Err(lost(crawl_id));
    }
    transaction
        .execute(
            "UPDATE sluicegate.crawl_attempt SET state = $3, finished_at = sluicegate.clock(), message = $4,
                    glue_crawl_id = coalesce($5, glue_crawl_id)
             WHERE crawl_id = $1 AND attempt = $2",
            &[&crawl_id, &i64::from(attempt), &state, &message, &catalog_id],
        )
        .map_err(failure)?;
    if matches!(end, CrawlEnd::GivenUp { .. }) {
        transaction
            .execute("UPDATE sluicegate.batch SET crawl_id = NULL WHERE crawl_id = $1", &[&crawl_id])
            .map_err(failure)?;
    }
    transaction.commit().map_err(failure)
}

/// Published batches with rows that no ended crawl covers.
pub(super) fn awaiting(client: &mut Client, job: &str) -> Outcome<u64> {
    let row = client
        .query_one(
            "SELECT (SELECT count(*) FROM sluicegate.batch
                     WHERE job = $1 AND crawl_id IS NULL AND published_at IS NOT NULL)
                  + (SELECT coalesce(sum(batches), 0) FROM sluicegate.crawl
                     WHERE job = $1 AND state IN ('claimed', 'running', 'failed'))::bigint",
            &[&job],
        )
        .map_err(failure)?;
    Ok(count(row.get(0)))
}

pub(super) fn last(client: &mut Client, job: &str) -> Outcome<Option<CrawlRow>> {
    let sql = format!(
        "SELECT crawl_id, {}, state, {}, batches FROM sluicegate.crawl WHERE job = $1 ORDER BY window_end DESC LIMIT 1",
        time_text("window_end"),
        time_text("finished_at"),
    );
    let row = client.query_opt(&sql, &[&job]).map_err(failure)?;
    Ok(row.map(|row| CrawlRow {
        crawl_id: row.get(0),
        window_end: row.get(1),
        state: row.get(2),
        finished_at: row.get(3),
        batches: count(row.get(4)),
    }))
}
