//! The warehouse port over one SQLite file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use sluicegate_state::Timestamp;
use sluicegate_state::disk::create_folder;
use sluicegate_state::seam::Seam;
use sluicegate_state::time::to_text;

use crate::curated::Totals;
use crate::effects;
use crate::failure::{Failure, FailureKind, Outcome};
use crate::ports::clock::Clock;
use crate::ports::decisions::Decisions;
use crate::ports::proof::Proof;
use crate::ports::warehouse::{
    BeginLoad, CrawlClaim, CrawlEnd, CrawlRequest, CrawlRow, Difference, DocumentOutcome, DocumentRow,
    KnownObject, LedgerIdentity, LoadRequest, LoadedBatch, LoadedTable, UnpublishedLoad, Verdict, VerdictRow,
    Warehouse,
};
use crate::schema::Schema;

use super::{crawl, failure, fleet, load, parse_time, story, target};

/// In order; `PRAGMA user_version` says how many have been applied.
const MIGRATIONS: [&str; 1] = [include_str!("../../migrations/warehouse/sqlite/0001_ledger.sql")];

/// How long to wait for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(120);

/// The embedded warehouse.
pub struct SqliteWarehouse {
    pub(super) connection: Connection,
    path: PathBuf,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) seam: Seam,
}

impl SqliteWarehouse {
    /// Opens or makes the file at `path`.
    ///
    /// # Errors
    /// Transient where the file cannot be opened now; permanent where it was made by a newer Sluicegate.
    pub fn open(path: &Path, ledger_id: &str, clock: Arc<dyn Clock>, seam: Seam) -> Outcome<Self> {
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            create_folder(parent).map_err(|e| {
                Failure::transient(format!("cannot make the folder {}: {e}", parent.display()))
            })?;
        }
        let what = || format!("cannot open the warehouse {}", path.display());
        let mut connection = Connection::open(path).map_err(|e| failure(e).while_doing(what()))?;
        configure(&connection).map_err(|e| failure(e).while_doing(what()))?;
        migrate(&mut connection, ledger_id, clock.now(), &seam).map_err(|e| e.while_doing(what()))?;
        Ok(Self { connection, path: path.to_owned(), clock, seam })
    }

    /// For what lies in files of its own.
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "cache_size", -16_384)?;
    connection.set_prepared_statement_cache_capacity(64);
    // A plan does not depend on what is bound, so nothing is planned twice.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

fn schema_version(connection: &Connection) -> Outcome<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failure)
}

/// One transaction, so that two processes may start on an empty file; none where there is nothing to do, so that a
/// command that only reads never waits for a load.
fn migrate(connection: &mut Connection, ledger_id: &str, now: Timestamp, seam: &Seam) -> Outcome<()> {
    if schema_version(connection)? == MIGRATIONS.len() as i64 {
        return Ok(());
    }
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failure)?;
    let version = schema_version(&transaction)?;
    let known = MIGRATIONS.len() as i64;
    if version > known {
        let message = format!(
            "its schema has version {version}, this program knows {known}: install the newer Sluicegate"
        );
        return Err(Failure { kind: FailureKind::WrongLedger, message });
    }
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(version as usize) {
        transaction.execute_batch(migration).map_err(failure)?;
        transaction.pragma_update(None, "user_version", index as i64 + 1).map_err(failure)?;
    }
    transaction
        .execute(
            "INSERT INTO sluicegate_ledger (one, id, created_at) VALUES (1, ?1, ?2) ON CONFLICT (one) DO NOTHING",
            params![ledger_id, to_text(now)],
        )
        .map_err(failure)?;
    seam.perform(effects::LEDGER_MIGRATE, || transaction.commit().map_err(failure))
}

impl Warehouse for SqliteWarehouse {
    fn location(&self) -> String {
        format!("sqlite:{}", self.path.display())
    }

    fn identity(&mut self) -> Outcome<LedgerIdentity> {
        let read = || {
            let id = self.connection.query_row("SELECT id FROM sluicegate_ledger", [], |row| row.get(0))?;
            let newest_batch = self
                .connection
                .query_row(
                    "SELECT batch_id FROM sluicegate_batch ORDER BY load_number DESC LIMIT 1",
                    [],
                    |row| row.get(0),
                )
                .optional()?;
            Ok(LedgerIdentity { id, newest_batch })
        };
        read().map_err(failure)
    }

    fn knows_batch(&mut self, batch_id: &str) -> Outcome<bool> {
        self.connection
            .query_row(
                "SELECT EXISTS (SELECT 1 FROM sluicegate_batch WHERE batch_id = ?1)",
                [batch_id],
                |row| row.get(0),
            )
            .map_err(failure)
    }

    fn prepare(&mut self, schema: &Schema) -> Outcome<()> {
        target::prepare(&mut self.connection, schema, &self.seam)
    }

    fn compare(&mut self, schema: &Schema) -> Outcome<Vec<Difference>> {
        target::compare(&self.connection, schema)
    }

    fn begin_load<'a>(&'a mut self, request: &'a LoadRequest, schema: &'a Schema) -> Outcome<BeginLoad<'a>> {
        load::begin(&mut self.connection, request, schema, self.clock.now(), self.seam.clone())
    }

    fn loaded_batch(&mut self, batch_id: &str) -> Outcome<Option<LoadedBatch>> {
        loaded_batch(&self.connection, batch_id)
    }

    fn mark_published(&mut self, batch_id: &str) -> Outcome<()> {
        let now = to_text(self.clock.now());
        let Self { connection, seam, .. } = self;
        seam.perform(effects::PUBLISHED_COMMIT, || {
            connection
                .execute(
                    "UPDATE sluicegate_batch SET published_at = ?2 WHERE batch_id = ?1 AND published_at IS NULL",
                    params![batch_id, now],
                )
                .map(drop)
                .map_err(failure)
        })
    }

    fn heartbeat(&mut self, incarnation: &str, host: &str) -> Outcome<()> {
        let Self { connection, clock, seam, .. } = self;
        seam.perform(effects::MACHINE_HEARTBEAT, || {
            fleet::heartbeat(connection, incarnation, host, clock.now()).map_err(failure)
        })
    }

    fn farewell(&mut self, incarnation: &str) -> Outcome<()> {
        let Self { connection, seam, .. } = self;
        seam.perform(effects::MACHINE_FAREWELL, || fleet::farewell(connection, incarnation).map_err(failure))
    }

    fn live_incarnations(&mut self) -> Outcome<BTreeSet<String>> {
        fleet::live_incarnations(&self.connection, self.clock.now()).map_err(failure)
    }

    fn claim_listing(&mut self, job: &str, owner: &str) -> Outcome<bool> {
        let Self { connection, clock, seam, .. } = self;
        seam.perform(effects::LISTING_CLAIM, || {
            fleet::claim_listing(connection, job, owner, clock.now()).map_err(failure)
        })
    }

    fn unpublished_loads(&mut self, job: &str) -> Outcome<Vec<UnpublishedLoad>> {
        fleet::unpublished_loads(&self.connection, job).map_err(failure)
    }

    fn known_batches(&mut self, batch_ids: &[String]) -> Outcome<BTreeSet<String>> {
        fleet::known_batches(&self.connection, batch_ids).map_err(failure)
    }

    fn known_objects(&mut self, job: &str, bucket: &str, objects: &[KnownObject<'_>]) -> Outcome<Vec<bool>> {
        fleet::known_objects(&self.connection, job, bucket, objects).map_err(failure)
    }

    fn now(&mut self) -> Outcome<Timestamp> {
        Ok(self.clock.now())
    }

    fn claim_crawl(&mut self, request: &CrawlRequest<'_>) -> Outcome<Option<CrawlClaim>> {
        let Self { connection, clock, seam, .. } = self;
        seam.perform(effects::CRAWL_CLAIM, || crawl::claim(connection, request, clock.as_ref()))
    }

    fn crawl_attempt(&mut self, crawl_id: &str, owner: &str) -> Outcome<u32> {
        let now = self.clock.now();
        let Self { connection, seam, .. } = self;
        seam.perform(effects::CRAWL_ATTEMPT, || crawl::attempt(connection, crawl_id, owner, now))
    }

    fn crawl_objects(&mut self, crawl_id: &str) -> Outcome<Vec<String>> {
        crawl::objects(&self.connection, crawl_id)
    }

    fn crawl_seen(&mut self, crawl_id: &str, owner: &str, attempt: u32, catalog_id: &str) -> Outcome<()> {
        let Self { connection, seam, .. } = self;
        seam.perform(effects::CRAWL_SEEN, || crawl::seen(connection, crawl_id, owner, attempt, catalog_id))
    }

    fn renew_crawl(&mut self, crawl_id: &str, owner: &str) -> Outcome<()> {
        let Self { connection, clock, seam, .. } = self;
        seam.perform(effects::CRAWL_RENEW, || crawl::renew(connection, crawl_id, owner, clock.now()))
    }

    fn finish_crawl(&mut self, crawl_id: &str, owner: &str, attempt: u32, end: &CrawlEnd) -> Outcome<()> {
        let now = self.clock.now();
        let Self { connection, seam, .. } = self;
        seam.perform(effects::CRAWL_FINISH, || crawl::finish(connection, crawl_id, owner, attempt, end, now))
    }

    fn awaiting_crawl(&mut self, job: &str) -> Outcome<u64> {
        crawl::awaiting(&self.connection, job)
    }

    fn last_crawl(&mut self, job: &str) -> Outcome<Option<CrawlRow>> {
        crawl::last(&self.connection, job)
    }

    fn outcome_counts(&mut self, job: &str) -> Outcome<BTreeMap<String, u64>> {
        story::outcome_counts(&self.connection, job).map_err(failure)
    }

    fn documents_by_key(&mut self, key: &str) -> Outcome<Vec<DocumentRow>> {
        story::documents_by_key(&self.connection, key).map_err(failure)
    }

    fn verdicts(&mut self, batch_id: &str) -> Outcome<Vec<VerdictRow>> {
        story::verdicts(&self.connection, "batch_id = ?1", batch_id).map_err(failure)
    }

    fn decisions(&mut self) -> &mut dyn Decisions {
        self
    }

    fn verdicts_by_key(&mut self, key: &str) -> Outcome<Vec<VerdictRow>> {
        story::verdicts(&self.connection, "key = ?1", key).map_err(failure)
    }

    fn proof(&mut self) -> &mut dyn Proof {
        self
    }
}

/// The columns of a batch that its COMMIT fixed, before its tables and verdicts are added.
fn loaded_head(
    connection: &Connection,
    batch_id: &str,
) -> rusqlite::Result<Option<(LoadedBatch, Option<String>)>> {
    connection
        .query_row(
            "SELECT b.definition_hash, d.text, b.rows, b.published_at
             FROM sluicegate_batch b JOIN sluicegate_definition d ON d.hash = b.definition_hash WHERE b.batch_id = ?1",
            [batch_id],
            |row| {
                let batch = LoadedBatch {
                    batch_id: batch_id.to_owned(),
                    definition_hash: row.get(0)?,
                    definition_text: row.get(1)?,
                    rows: row.get(2)?,
                    published_at: None,
                    tables: Vec::new(),
                    verdicts: Vec::new(),
                };
                Ok((batch, row.get(3)?))
            },
        )
        .optional()
}

fn loaded_batch(connection: &Connection, batch_id: &str) -> Outcome<Option<LoadedBatch>> {
    let Some((mut batch, published_at)) = loaded_head(connection, batch_id).map_err(failure)? else {
        return Ok(None);
    };
    batch.published_at = published_at.as_deref().map(parse_time).transpose()?;
    batch.tables = loaded_tables(connection, batch_id).map_err(failure)?;
    batch.verdicts = loaded_verdicts(connection, batch_id).map_err(failure)?;
    Ok(Some(batch))
}

pub(super) fn loaded_tables(connection: &Connection, batch_id: &str) -> rusqlite::Result<Vec<LoadedTable>> {
    let mut statement = connection.prepare(
        "SELECT table_name, rows, csv_bytes, csv_sha256, sums, digest, csv_key
         FROM sluicegate_batch_table WHERE batch_id = ?1 ORDER BY position",
    )?;
    let rows = statement.query_map([batch_id], |row| {
        let sums: String = row.get(4)?;
        let sums = serde_json::from_str(&sums).map_err(|e| {
            rusqlite::Error::FromSqlConversionFailure(4, rusqlite::types::Type::Text, Box::new(e))
        })?;
        let totals =
            Totals { rows: row.get(1)?, bytes: row.get(2)?, sha256: row.get(3)?, sums, digest: row.get(5)? };
        Ok(LoadedTable { table: row.get(0)?, totals, csv_key: row.get(6)? })
    })?;
    rows.collect()
}

fn loaded_verdicts(connection: &Connection, batch_id: &str) -> rusqlite::Result<Vec<Verdict>> {
    let mut refused: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    let mut statement = connection.prepare(
        "SELECT ordinal, record FROM sluicegate_refused WHERE batch_id = ?1 ORDER BY ordinal, record",
    )?;
    let mut cursor = statement.query([batch_id])?;
    while let Some(row) = cursor.next()? {
        refused.entry(row.get(0)?).or_default().push(row.get(1)?);
    }
    let mut statement = connection.prepare(
        "SELECT ordinal, outcome, reason, rows FROM sluicegate_verdict WHERE batch_id = ?1 ORDER BY ordinal",
    )?;
    let rows = statement.query_map([batch_id], |row| {
        let ordinal = row.get(0)?;
        let word: String = row.get(1)?;
        let outcome = DocumentOutcome::from_word(&word).ok_or_else(|| {
            rusqlite::Error::FromSqlConversionFailure(
                1,
                rusqlite::types::Type::Text,
                format!("{word:?}").into(),
            )
        })?;
        let refused = refused.remove(&ordinal).unwrap_or_default();
        Ok(Verdict { ordinal, outcome, reason: row.get(2)?, rows: row.get(3)?, refused })
    })?;
    rows.collect()
}
