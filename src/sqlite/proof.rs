//! The proof port over the SQLite warehouse: batches with their live control totals, all seen in one read transaction.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::NaiveDate;
use rusqlite::{Connection, TransactionBehavior, params};
use sluicegate_state::time::to_text;

use crate::curated::{Counted, TableTotals, Totals};
use crate::effects;
use crate::failure::Outcome;
use crate::ports::ledger_text::parse_day;
use crate::ports::proof::{
    DayCount, FixedObject, GivenUp, LostRow, ObjectsOf, Operation, Proof, ProofBatch, ProofTable,
    Reconciliation, StoredDefinition, StrangeRows, TurnedAway, UnsettledDocument,
};
use crate::schema::{Schema, Table};

use super::content::canonical;
use super::proof_objects;
use super::proof_rows::{self, OF_DAY, loaded_by};
use super::warehouse::SqliteWarehouse;
use super::{failure, parse_time, quoted};

/// Batches that are read at a time.
const PAGE: i64 = 500;

impl Proof for SqliteWarehouse {
    fn definitions(&mut self, job: &str) -> Outcome<Vec<StoredDefinition>> {
        let read = || -> rusqlite::Result<_> {
            let mut statement = self.connection.prepare(
                "SELECT hash, text FROM sluicegate_definition
                 WHERE hash IN (SELECT definition_hash FROM sluicegate_batch WHERE job = ?1) ORDER BY hash",
            )?;
            let rows = statement
                .query_map([job], |row| Ok(StoredDefinition { hash: row.get(0)?, text: row.get(1)? }))?;
            rows.collect()
        };
        read().map_err(failure)
    }

    fn batches(
        &mut self,
        job: &str,
        schemas: &BTreeMap<String, Schema>,
        day: Option<NaiveDate>,
        visit: &mut dyn FnMut(ProofBatch) -> Outcome<()>,
    ) -> Outcome<()> {
        // One read transaction: a load that commits meanwhile is seen in none of the tables.
        let transaction = self.connection.transaction().map_err(failure)?;
        let day = day.map(|day| day.to_string());
        let live = Live::read(&transaction, job, schemas, day.as_deref())?;
        let mut after = String::new();
        loop {
            let page = heads(&transaction, job, day.as_deref(), &after).map_err(failure)?;
            let Some(last) = page.last() else { return Ok(()) };
            after.clone_from(&last.batch_id);
            for head in page {
                if !schemas.contains_key(&head.definition_hash) {
                    continue;
                }
                visit(whole(&transaction, head, &live)?)?;
            }
        }
    }

    fn fixed_objects(
        &mut self,
        job: &str,
        of: ObjectsOf<'_>,
        after: &str,
        limit: usize,
    ) -> Outcome<Vec<FixedObject>> {
        proof_objects::fixed_objects(&self.connection, job, of, after, limit).map_err(failure)
    }

    fn days_of(&mut self, batch_ids: &[String]) -> Outcome<BTreeSet<NaiveDate>> {
        let days = proof_objects::days_of(&self.connection, batch_ids).map_err(failure)?;
        days.iter().map(|day| parse_day(day)).collect()
    }

    fn strange_rows(&mut self, schema: &Schema, records: usize) -> Outcome<Vec<StrangeRows>> {
        proof_rows::strange_rows(&self.connection, schema, records).map_err(failure)
    }

    fn rows_of_batch(
        &mut self,
        schema: &Schema,
        table: usize,
        batch_id: &str,
        visit: &mut dyn FnMut(&[String]) -> Outcome<()>,
    ) -> Outcome<()> {
        let described = &schema.tables[table];
        each_row(&self.connection, described, "batch_id = ?1", &[&batch_id], visit)
    }

    fn replaced_keys(&mut self, batch_id: &str) -> Outcome<BTreeSet<String>> {
        let read = || -> rusqlite::Result<_> {
            let mut statement = self
                .connection
                .prepare("SELECT DISTINCT record_key FROM sluicegate_replaced WHERE batch_id = ?1")?;
            let rows = statement.query_map([batch_id], |row| row.get(0))?;
            rows.collect()
        };
        read().map_err(failure)
    }

    fn unsettled_documents(&mut self, job: &str, limit: usize) -> Outcome<Vec<UnsettledDocument>> {
        proof_rows::unsettled_documents(&self.connection, job, limit)
    }

    fn turned_away(&mut self, job: &str, day: NaiveDate, limit: usize) -> Outcome<Vec<TurnedAway>> {
        let read = || -> rusqlite::Result<_> {
            let mut statement = self.connection.prepare(
                "SELECT key, outcome, reason, batch_id FROM sluicegate_document
                 WHERE job = ?1 AND day = ?2 AND outcome NOT IN ('loaded', 'duplicate') ORDER BY outcome, key LIMIT ?3",
            )?;
            let rows = statement.query_map(params![job, day.to_string(), limit as i64], |row| {
                Ok(TurnedAway {
                    key: row.get(0)?,
                    outcome: row.get(1)?,
                    reason: row.get(2)?,
                    batch_id: row.get(3)?,
                })
            })?;
            rows.collect()
        };
        read().map_err(failure)
    }

    fn reconciliations(&mut self, job: &str) -> Outcome<Vec<Reconciliation>> {
        let read = || -> rusqlite::Result<Vec<(String, Reconciliation)>> {
            let mut statement = self.connection.prepare(
                "SELECT day, revision, verdict, at, closed, report FROM sluicegate_reconciliation r
                 WHERE job = ?1 AND revision = (SELECT max(revision) FROM sluicegate_reconciliation o
                                                WHERE o.job = r.job AND o.day = r.day) ORDER BY day",
            )?;
            let rows = statement.query_map([job], |row| {
                let reconciliation = Reconciliation {
                    job: job.to_owned(),
                    day: NaiveDate::default(),
                    revision: row.get(1)?,
                    verdict: row.get(2)?,
                    at: row.get(3)?,
                    closed: row.get(4)?,
                    report: row.get(5)?,
                };
                Ok((row.get(0)?, reconciliation))
            })?;
            rows.collect()
        };
        let dated =
            |(day, row): (String, Reconciliation)| Ok(Reconciliation { day: parse_day(&day)?, ..row });
        read().map_err(failure)?.into_iter().map(dated).collect()
    }

    fn record_reconciliation(&mut self, reconciliation: &Reconciliation) -> Outcome<()> {
        let Self { connection, seam, .. } = self;
        seam.perform(effects::PROOF_COMMIT, || {
            let sql =
                "INSERT INTO sluicegate_reconciliation (job, day, revision, verdict, at, closed, report)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                       ON CONFLICT (job, day, revision) DO UPDATE SET at = excluded.at";
            let r = reconciliation;
            let values = params![r.job, r.day.to_string(), r.revision, r.verdict, r.at, r.closed, r.report];
            connection.execute(sql, values).map(drop).map_err(failure)
        })
    }

    fn operations(&mut self) -> Outcome<Vec<Operation>> {
        let read = || -> rusqlite::Result<_> {
            let mut statement = self.connection.prepare(
                "SELECT operator, at, command, reason, detail FROM sluicegate_operation ORDER BY operation_id",
            )?;
            let rows = statement.query_map([], |row| {
                Ok(Operation {
                    operator: row.get(0)?,
                    at: row.get(1)?,
                    command: row.get(2)?,
                    reason: row.get(3)?,
                    detail: row.get(4)?,
                })
            })?;
            rows.collect()
        };
        read().map_err(failure)
    }

    fn record_operation(&mut self, operation: &Operation) -> Outcome<()> {
        self.operate(operation, |_| Ok(Some(0))).map(drop)
    }

    fn restore(&mut self, schema: &Schema, rows: &[LostRow], operation: &Operation) -> Outcome<u64> {
        let restored = self.operate(operation, |connection| {
            let put = |sum, row| Ok(sum + proof_rows::put_back(connection, schema, row)?);
            rows.iter().try_fold(0, put).map(Some)
        });
        restored.map(Option::unwrap_or_default)
    }

    fn give_up(&mut self, document: &GivenUp, operation: &Operation) -> Outcome<bool> {
        let given_up = self.operate(operation, |connection| {
            let sql = "UPDATE sluicegate_document SET outcome = 'abandoned', reason = ?5
                       WHERE job = ?1 AND bucket = ?2 AND key = ?3 AND version = ?4
                         AND outcome IN ('rejected', 'conflict', 'missing', 'expired')";
            let d = document;
            let changed = connection.execute(sql, params![d.job, d.bucket, d.key, d.version, d.reason])?;
            Ok((changed > 0).then_some(changed as u64))
        });
        given_up.map(|changed| changed.is_some())
    }

    fn free_from_crawl(&mut self, batch_ids: &[String], operation: &Operation) -> Outcome<u64> {
        let freed = self.operate(operation, |connection| {
            let mut statement = connection.prepare(
                "UPDATE sluicegate_batch SET crawl_id = NULL
                 WHERE batch_id = ?1 AND published_at IS NOT NULL AND rows > 0",
            )?;
            let free = |sum, batch_id| Ok(sum + statement.execute([batch_id])? as u64);
            batch_ids.iter().try_fold(0, free).map(Some)
        });
        freed.map(Option::unwrap_or_default)
    }
}

impl SqliteWarehouse {
    /// What a person does, and the record of it, in one transaction; neither where `work` says that it is not to be.
    fn operate(
        &mut self,
        operation: &Operation,
        work: impl FnOnce(&Connection) -> rusqlite::Result<Option<u64>>,
    ) -> Outcome<Option<u64>> {
        let now = to_text(self.clock.now());
        let Self { connection, seam, .. } = self;
        seam.perform(effects::PROOF_COMMIT, || {
            let run = || {
                let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                let Some(changed) = work(&transaction)? else { return Ok(None) };
                transaction.execute(
                    "INSERT INTO sluicegate_operation (operator, at, command, reason, detail) VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![operation.operator, now, operation.command, operation.reason, operation.detail],
                )?;
                transaction.commit()?;
                Ok(Some(changed))
            };
            run().map_err(failure)
        })
    }
}

/// The live control totals by table and batch; none where a value is no decimal of its column.
struct Live(HashMap<(String, String), Option<TableTotals>>);

impl Live {
    fn read(
        connection: &Connection,
        job: &str,
        schemas: &BTreeMap<String, Schema>,
        day: Option<&str>,
    ) -> Outcome<Self> {
        let mut live = Self(HashMap::new());
        let mut shapes: Vec<(&Schema, Vec<&str>)> = Vec::new();
        for (hash, schema) in schemas {
            match shapes.iter_mut().find(|(known, _)| *known == schema) {
                Some((_, hashes)) => hashes.push(hash),
                None => shapes.push((schema, vec![hash])),
            }
        }
        for (schema, hashes) in shapes {
            let hashes = serde_json::Value::from(hashes).to_string();
            for table in &schema.tables {
                let condition = format!("batch_id IN ({})", loaded_by());
                each_row(connection, table, &condition, &[&job, &hashes, &day], &mut |row| {
                    live.add(table, row);
                    Ok(())
                })?;
            }
        }
        Ok(live)
    }

    fn add(&mut self, table: &Table, row: &[String]) {
        let (values, bookkeeping) = row.split_at(table.columns.len());
        let place = (table.name.clone(), bookkeeping[0].clone());
        let totals = self.0.entry(place).or_insert_with(|| Some(TableTotals::new(table)));
        let add = |totals: &mut TableTotals| {
            totals.add_row(values.iter().map(String::as_str), &bookkeeping[0], &bookkeeping[1])
        };
        if totals.as_mut().is_some_and(|totals| add(totals).is_err()) {
            *totals = None;
        }
    }

    fn of(&self, table: &str, batch_id: &str) -> Counted {
        match self.0.get(&(table.to_owned(), batch_id.to_owned())) {
            None => Counted::default(),
            Some(Some(totals)) => Counted::new(totals.rows(), &totals.sums(), &totals.digest()),
            // Equal to nothing: somebody wrote what is no decimal.
            Some(None) => Counted::new(0, &BTreeMap::new(), "not a decimal"),
        }
    }
}

/// Shows each row of a table for which `condition` holds, as canonical text.
fn each_row(
    connection: &Connection,
    table: &Table,
    condition: &str,
    parameters: &[&dyn rusqlite::ToSql],
    visit: &mut dyn FnMut(&[String]) -> Outcome<()>,
) -> Outcome<()> {
    let names: Vec<String> = table.all_column_names().map(quoted).collect();
    let sql = format!("SELECT {} FROM {} WHERE {condition}", names.join(", "), quoted(&table.name));
    let mut statement = connection.prepare(&sql).map_err(failure)?;
    let mut rows = statement.query(parameters).map_err(failure)?;
    while let Some(row) = rows.next().map_err(failure)? {
        let mut values = Vec::with_capacity(names.len());
        for (index, column) in table.columns.iter().enumerate() {
            values.push(canonical(column.kind, row.get_ref(index).map_err(failure)?));
        }
        for index in table.columns.len()..names.len() {
            values.push(row.get(index).map_err(failure)?);
        }
        visit(&values)?;
    }
    Ok(())
}

fn heads(connection: &Connection, job: &str, day: Option<&str>, after: &str) -> rusqlite::Result<Vec<Head>> {
    let sql = format!(
        "SELECT b.batch_id, b.incarnation, b.archive_key, b.definition_hash, b.published_at, b.crawl_id, c.state,
                b.documents, (SELECT count(*) FROM sluicegate_verdict v WHERE v.batch_id = b.batch_id),
                EXISTS (SELECT 1 FROM sluicegate_crawl_attempt a
                        WHERE a.crawl_id = b.crawl_id AND a.glue_crawl_id IS NOT NULL)
         FROM sluicegate_batch b LEFT JOIN sluicegate_crawl c ON c.crawl_id = b.crawl_id
         WHERE b.job = ?1 AND b.batch_id > ?2 AND {OF_DAY} ORDER BY b.batch_id LIMIT ?4"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![job, after, day, PAGE], |row| {
        Ok(Head {
            batch_id: row.get(0)?,
            incarnation: row.get(1)?,
            archive_key: row.get(2)?,
            definition_hash: row.get(3)?,
            published_at: row.get(4)?,
            crawl_id: row.get(5)?,
            crawl_state: row.get(6)?,
            members: row.get(7)?,
            verdicts: row.get(8)?,
            crawl_begun: row.get(9)?,
        })
    })?;
    rows.collect()
}

/// The columns of a batch itself.
struct Head {
    batch_id: String,
    incarnation: String,
    archive_key: String,
    definition_hash: String,
    published_at: Option<String>,
    crawl_id: Option<String>,
    crawl_state: Option<String>,
    members: u64,
    verdicts: u64,
    crawl_begun: bool,
}

fn whole(connection: &Connection, head: Head, live: &Live) -> Outcome<ProofBatch> {
    let days = days(connection, &head.batch_id)?;
    let replaced = replaced(connection, &head.batch_id).map_err(failure)?;
    let tables = super::warehouse::loaded_tables(connection, &head.batch_id).map_err(failure)?;
    let tables = tables.into_iter().map(|table| ProofTable {
        replaced: replaced.get(&table.table).cloned().unwrap_or_default(),
        live: live.of(&table.table, &head.batch_id),
        fixed: Totals { ..table.totals },
        csv_key: table.csv_key,
        table: table.table,
    });
    Ok(ProofBatch {
        tables: tables.collect(),
        days,
        published_at: head.published_at.as_deref().map(parse_time).transpose()?,
        batch_id: head.batch_id,
        incarnation: head.incarnation,
        archive_key: head.archive_key,
        definition_hash: head.definition_hash,
        crawl_id: head.crawl_id,
        crawl_state: head.crawl_state,
        crawl_begun: head.crawl_begun,
        members: head.members,
        verdicts: head.verdicts,
    })
}

fn days(connection: &Connection, batch_id: &str) -> Outcome<Vec<DayCount>> {
    let read = || -> rusqlite::Result<Vec<(String, String, u64)>> {
        let mut statement = connection.prepare_cached(
            "SELECT day, outcome, count(*) FROM sluicegate_document WHERE batch_id = ?1 GROUP BY day, outcome ORDER BY 1, 2",
        )?;
        let own = statement.query_map([batch_id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let own: Vec<_> = own.collect::<rusqlite::Result<_>>()?;
        if !own.is_empty() {
            return Ok(own);
        }
        // Replays have taken over all its documents; what it made of them is still there.
        let mut statement = connection.prepare_cached(
            "SELECT DISTINCT d.day FROM sluicegate_verdict v
             JOIN sluicegate_document d
               ON d.job = v.job AND d.bucket = v.bucket AND d.key = v.key AND d.version = v.version
             WHERE v.batch_id = ?1 AND v.rows > 0 ORDER BY 1",
        )?;
        let rows = statement.query_map([batch_id], |row| Ok((row.get(0)?, "loaded".to_owned(), 0)))?;
        rows.collect()
    };
    let count = |(day, outcome, documents): (String, String, u64)| {
        Ok(DayCount { day: parse_day(&day)?, outcome, documents })
    };
    read().map_err(failure)?.into_iter().map(count).collect()
}

fn replaced(connection: &Connection, batch_id: &str) -> rusqlite::Result<BTreeMap<String, Counted>> {
    let mut statement = connection.prepare_cached(
        "SELECT table_name, rows, sums, digest FROM sluicegate_replaced WHERE batch_id = ?1",
    )?;
    let mut rows = statement.query([batch_id])?;
    let mut replaced: BTreeMap<String, Counted> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let sums: String = row.get(2)?;
        let sums: BTreeMap<String, String> = serde_json::from_str(&sums).unwrap_or_default();
        let digest: String = row.get(3)?;
        replaced.entry(row.get(0)?).or_default().add(&Counted::new(row.get(1)?, &sums, &digest));
    }
    Ok(replaced)
}
