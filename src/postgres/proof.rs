//! The proof port over PostgreSQL: the server counts and hashes the rows, one grouped query a table, and everything is
//! seen in one snapshot.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::NaiveDate;
use postgres::Row;

use crate::curated::{Counted, Totals};
use crate::effects;
use crate::failure::Outcome;
use crate::ports::ledger_text::parse_day;
use crate::ports::proof::{
    DayCount, FixedObject, GivenUp, LostRow, ObjectsOf, Operation, Proof, ProofBatch, ProofTable,
    Reconciliation, StoredDefinition, StrangeRows, TurnedAway, UnsettledDocument,
};
use crate::schema::{Schema, Table};

use super::client::Transaction;
use super::error::{Error, failure};
use super::ledger::time_text;
use super::session::work_over;
use super::warehouse::PostgresWarehouse;
use super::{bigint, count, parse_time, proof_objects, proof_rows};

/// Batches that are read at a time.
const PAGE: i64 = 500;

/// What the target tables hold, by table and batch; lasts as long as its transaction.
const LIVE: &str = "CREATE TEMP TABLE sluicegate_live (table_name text, batch_id text, rows bigint, sums jsonb,
                                                       a bigint, b bigint, c bigint, d bigint) ON COMMIT DROP";

impl Proof for PostgresWarehouse {
    fn definitions(&mut self, job: &str) -> Outcome<Vec<StoredDefinition>> {
        let rows = self.session.client.query(
            "SELECT hash, text FROM sluicegate.definition
             WHERE hash IN (SELECT definition_hash FROM sluicegate.batch WHERE job = $1) ORDER BY hash",
            &[&job],
        );
        let definition = |row: &Row| StoredDefinition { hash: row.get(0), text: row.get(1) };
        Ok(rows.map_err(failure)?.iter().map(definition).collect())
    }

    fn batches(
        &mut self,
        job: &str,
        schemas: &BTreeMap<String, Schema>,
        day: Option<NaiveDate>,
        visit: &mut dyn FnMut(ProofBatch) -> Outcome<()>,
    ) -> Outcome<()> {
        let mut transaction = self.session.client.snapshot().map_err(failure)?;
        let day = day.map(|day| day.to_string());
        count_live(&mut transaction, &self.session.schema, job, schemas, day.as_deref()).map_err(failure)?;
        let mut after = String::new();
        loop {
            let heads = heads(&mut transaction, job, day.as_deref(), &after).map_err(failure)?;
            let Some(last) = heads.last() else { break };
            after = last.get(0);
            let ids: Vec<String> = heads.iter().map(|row| row.get(0)).collect();
            let mut page = Page::read(&mut transaction, &ids)?;
            for head in &heads {
                if schemas.contains_key(head.get::<_, &str>(3)) {
                    visit(page.batch(head)?)?;
                }
            }
        }
        transaction.commit().map_err(failure)
    }

    fn fixed_objects(
        &mut self,
        job: &str,
        of: ObjectsOf<'_>,
        after: &str,
        limit: usize,
    ) -> Outcome<Vec<FixedObject>> {
        proof_objects::fixed_objects(&mut self.session.client, job, of, after, limit).map_err(failure)
    }

    fn days_of(&mut self, batch_ids: &[String]) -> Outcome<BTreeSet<NaiveDate>> {
        let sql = "SELECT DISTINCT day::text FROM sluicegate.document WHERE batch_id = ANY($1::text[])";
        let rows = self.session.client.query(sql, &[&batch_ids]).map_err(failure)?;
        rows.iter().map(|row| parse_day(row.get(0))).collect()
    }

    fn strange_rows(&mut self, schema: &Schema, records: usize) -> Outcome<Vec<StrangeRows>> {
        self.patiently(|transaction, place| {
            proof_rows::strange_rows(transaction, place, schema, records).map_err(failure)
        })
    }

    fn rows_of_batch(
        &mut self,
        schema: &Schema,
        table: usize,
        batch_id: &str,
        visit: &mut dyn FnMut(&[String]) -> Outcome<()>,
    ) -> Outcome<()> {
        let table = &schema.tables[table];
        self.patiently(|transaction, place| {
            proof_rows::rows_of_batch(transaction, place, table, batch_id, visit)
        })
    }

    fn replaced_keys(&mut self, batch_id: &str) -> Outcome<BTreeSet<String>> {
        let sql = "SELECT DISTINCT record_key FROM sluicegate.replaced WHERE batch_id = $1";
        let rows = self.session.client.query(sql, &[&batch_id]).map_err(failure)?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    fn unsettled_documents(&mut self, job: &str, limit: usize) -> Outcome<Vec<UnsettledDocument>> {
        self.patiently(|transaction, _| proof_rows::unsettled_documents(transaction, job, limit))
    }

    fn turned_away(&mut self, job: &str, day: NaiveDate, limit: usize) -> Outcome<Vec<TurnedAway>> {
        let sql = "SELECT key::text, outcome, reason, batch_id::text FROM sluicegate.document
                   WHERE job = $1 AND day = $2::text::date AND outcome NOT IN ('loaded', 'duplicate')
                   ORDER BY outcome, key LIMIT $3";
        let rows = self.session.client.query(sql, &[&job, &day.to_string(), &bigint(limit as u64)]);
        let turned_away = |row: &Row| TurnedAway {
            key: row.get(0),
            outcome: row.get(1),
            reason: row.get(2),
            batch_id: row.get(3),
        };
        Ok(rows.map_err(failure)?.iter().map(turned_away).collect())
    }

    fn reconciliations(&mut self, job: &str) -> Outcome<Vec<Reconciliation>> {
        let sql = format!(
            "SELECT DISTINCT ON (day) day::text, revision, verdict, {}, closed, report::text
             FROM sluicegate.reconciliation WHERE job = $1 ORDER BY day, revision DESC",
            time_text("at")
        );
        let rows = self.session.client.query(&sql, &[&job]).map_err(failure)?;
        let reconciliation = |row: &Row| {
            Ok(Reconciliation {
                job: job.to_owned(),
                day: parse_day(row.get(0))?,
                revision: u32::try_from(row.get::<_, i64>(1)).unwrap_or(u32::MAX),
                verdict: row.get(2),
                at: row.get(3),
                closed: row.get(4),
                report: row.get(5),
            })
        };
        rows.iter().map(reconciliation).collect()
    }

    fn record_reconciliation(&mut self, reconciliation: &Reconciliation) -> Outcome<()> {
        let Self { session, seam, .. } = self;
        let r = reconciliation;
        seam.perform(effects::PROOF_COMMIT, || {
            let sql =
                "INSERT INTO sluicegate.reconciliation (job, day, revision, verdict, at, closed, report)
                       VALUES ($1, $2::text::date, $3, $4, $5::text::timestamptz, $6, $7::text::jsonb)
                       ON CONFLICT (job, day, revision) DO UPDATE SET at = excluded.at";
            let (day, revision) = (r.day.to_string(), i64::from(r.revision));
            session
                .client
                .execute(sql, &[&r.job, &day, &revision, &r.verdict, &r.at, &r.closed, &r.report])
                .map(drop)
                .map_err(failure)
        })
    }

    fn operations(&mut self) -> Outcome<Vec<Operation>> {
        let sql = format!(
            "SELECT operator, {}, command, reason, detail FROM sluicegate.operation ORDER BY operation_id",
            time_text("at")
        );
        let rows = self.session.client.query(&sql, &[]).map_err(failure)?;
        let operation = |row: &Row| Operation {
            operator: row.get(0),
            at: row.get(1),
            command: row.get(2),
            reason: row.get(3),
            detail: row.get(4),
        };
        Ok(rows.iter().map(operation).collect())
    }

    fn record_operation(&mut self, operation: &Operation) -> Outcome<()> {
        self.operate(operation, |_, _| Ok(Some(0))).map(drop)
    }

    fn restore(&mut self, schema: &Schema, rows: &[LostRow], operation: &Operation) -> Outcome<u64> {
        let restored = self.operate(operation, |transaction, place| {
            let put = |sum, row| Ok(sum + proof_rows::put_back(transaction, place, schema, row)?);
            rows.iter().try_fold(0, put).map(Some)
        });
        restored.map(Option::unwrap_or_default)
    }

    fn give_up(&mut self, document: &GivenUp, operation: &Operation) -> Outcome<bool> {
        let given_up = self.operate(operation, |transaction, _| {
            let sql = "UPDATE sluicegate.document SET outcome = 'abandoned', reason = $5
                       WHERE job = $1 AND bucket = $2 AND key = $3 AND version = $4
                         AND outcome IN ('rejected', 'conflict', 'missing', 'expired')";
            let d = document;
            let changed = transaction.execute(sql, &[&d.job, &d.bucket, &d.key, &d.version, &d.reason])?;
            Ok((changed > 0).then_some(changed))
        });
        given_up.map(|changed| changed.is_some())
    }

    fn free_from_crawl(&mut self, batch_ids: &[String], operation: &Operation) -> Outcome<u64> {
        let freed = self.operate(operation, |transaction, _| {
            let sql = "UPDATE sluicegate.batch SET crawl_id = NULL
                       WHERE batch_id = ANY($1::text[]) AND published_at IS NOT NULL AND rows > 0";
            transaction.execute(sql, &[&batch_ids]).map(Some)
        });
        freed.map(Option::unwrap_or_default)
    }
}

impl PostgresWarehouse {
    /// Reads over whole tables, with a limit that grows with them.
    fn patiently<T>(&mut self, read: impl FnOnce(&mut Transaction<'_>, &str) -> Outcome<T>) -> Outcome<T> {
        let mut transaction = self.session.client.transaction().map_err(failure)?;
        limit_by_rows(&mut transaction).map_err(failure)?;
        let found = read(&mut transaction, &self.session.schema)?;
        transaction.commit().map_err(failure)?;
        Ok(found)
    }

    /// What a person does, and the record of it, in one transaction; neither where `work` says that it is not to be.
    fn operate(
        &mut self,
        operation: &Operation,
        work: impl FnOnce(&mut Transaction<'_>, &str) -> Result<Option<u64>, Error>,
    ) -> Outcome<Option<u64>> {
        let Self { session, seam, .. } = self;
        let o = operation;
        seam.perform(effects::PROOF_COMMIT, || {
            let run = || {
                let mut transaction = session.client.transaction()?;
                let Some(changed) = work(&mut transaction, &session.schema)? else { return Ok(None) };
                transaction.execute(
                    "INSERT INTO sluicegate.operation (operator, at, command, reason, detail)
                     VALUES ($1, sluicegate.clock(), $2, $3, $4)",
                    &[&o.operator, &o.command, &o.reason, &o.detail],
                )?;
                transaction.commit()?;
                Ok(Some(changed))
            };
            run().map_err(failure)
        })
    }
}

/// As many rows and members as the ledger knows may be looked at by one statement.
fn limit_by_rows(transaction: &mut Transaction<'_>) -> Result<(), Error> {
    let sql = "SELECT coalesce(sum(rows + documents), 0)::bigint FROM sluicegate.batch";
    let rows: i64 = transaction.query_one(sql, &[])?.get(0);
    transaction.allow(work_over(count(rows)))
}

/// Counts and hashes the rows of all tables of the job, each with the shape that its definition gives it.
fn count_live(
    transaction: &mut Transaction<'_>,
    place: &str,
    job: &str,
    schemas: &BTreeMap<String, Schema>,
    day: Option<&str>,
) -> Result<(), Error> {
    limit_by_rows(transaction)?;
    transaction.batch_execute(LIVE)?;
    let mut shapes: Vec<(&Table, Vec<&str>)> = Vec::new();
    for (hash, table) in
        schemas.iter().flat_map(|(hash, schema)| schema.tables.iter().map(move |t| (hash, t)))
    {
        match shapes.iter_mut().find(|(known, _)| *known == table) {
            Some((_, hashes)) => hashes.push(hash),
            None => shapes.push((table, vec![hash])),
        }
    }
    for (table, hashes) in shapes {
        transaction.execute(&proof_rows::count_live(place, table), &[&job, &hashes, &day])?;
    }
    transaction.batch_execute("CREATE INDEX ON pg_temp.sluicegate_live (batch_id)")
}

fn heads(
    transaction: &mut Transaction<'_>,
    job: &str,
    day: Option<&str>,
    after: &str,
) -> Result<Vec<Row>, Error> {
    let sql = format!(
        "SELECT b.batch_id::text, b.incarnation, b.archive_key, b.definition_hash, {}, b.crawl_id, c.state,
                b.documents::bigint, (SELECT count(*) FROM sluicegate.verdict v WHERE v.batch_id = b.batch_id),
                EXISTS (SELECT 1 FROM sluicegate.crawl_attempt a
                        WHERE a.crawl_id = b.crawl_id AND a.glue_crawl_id IS NOT NULL)
         FROM sluicegate.batch b LEFT JOIN sluicegate.crawl c ON c.crawl_id = b.crawl_id
         WHERE b.job = $1 AND b.batch_id > $2 AND {} ORDER BY b.batch_id LIMIT $4",
        time_text("b.published_at"),
        proof_rows::OF_DAY
    );
    transaction.query(&sql, &[&job, &after, &day, &PAGE])
}

/// What a page of batches has in the other tables.
#[derive(Default)]
struct Page {
    days: HashMap<String, Vec<DayCount>>,
    replaced: HashMap<(String, String), Counted>,
    live: HashMap<(String, String), Counted>,
    tables: HashMap<String, Vec<(String, Totals, Option<String>)>>,
}

impl Page {
    fn read(transaction: &mut Transaction<'_>, ids: &[String]) -> Outcome<Self> {
        let mut page = Self::default();
        let mut query = |sql: &str| transaction.query(sql, &[&ids]).map_err(failure);
        for row in query(
            "SELECT batch_id::text, day::text, outcome, count(*) FROM sluicegate.document
             WHERE batch_id = ANY($1::text[]) GROUP BY 1, 2, 3 ORDER BY 2, 3",
        )? {
            let day =
                DayCount { day: parse_day(row.get(1))?, outcome: row.get(2), documents: count(row.get(3)) };
            page.days.entry(row.get(0)).or_default().push(day);
        }
        // Replays have taken over all documents of these; what they made of them is still there.
        for row in query(
            "SELECT DISTINCT v.batch_id::text, d.day::text FROM sluicegate.verdict v
             JOIN sluicegate.document d
               ON d.job = v.job AND d.bucket = v.bucket AND d.key = v.key AND d.version = v.version
             WHERE v.rows > 0 AND v.batch_id IN (
                 SELECT id FROM unnest($1::text[]) id
                 WHERE NOT EXISTS (SELECT 1 FROM sluicegate.document o WHERE o.batch_id = id)) ORDER BY 1, 2",
        )? {
            let day = DayCount { day: parse_day(row.get(1))?, outcome: "loaded".to_owned(), documents: 0 };
            page.days.entry(row.get(0)).or_default().push(day);
        }
        for row in query(
            "SELECT batch_id::text, table_name, rows, sums::text, digest FROM sluicegate.replaced
             WHERE batch_id = ANY($1::text[])",
        )? {
            let counted = Counted::new(count(row.get(2)), &sums(row.get(3)), row.get(4));
            page.replaced.entry((row.get(0), row.get(1))).or_default().add(&counted);
        }
        for row in query(
            "SELECT batch_id, table_name, rows, sums::text, a, b, c, d FROM pg_temp.sluicegate_live
             WHERE batch_id = ANY($1::text[])",
        )? {
            page.live.insert((row.get(0), row.get(1)), live(&row));
        }
        for row in query(
            "SELECT batch_id::text, table_name, rows, csv_bytes, csv_sha256, sums::text, digest, csv_key
             FROM sluicegate.batch_table WHERE batch_id = ANY($1::text[]) ORDER BY batch_id, position",
        )? {
            let totals = Totals {
                rows: count(row.get(2)),
                bytes: count(row.get(3)),
                sha256: row.get(4),
                sums: sums(row.get(5)),
                digest: row.get(6),
            };
            page.tables.entry(row.get(0)).or_default().push((row.get(1), totals, row.get(7)));
        }
        Ok(page)
    }

    fn batch(&mut self, head: &Row) -> Outcome<ProofBatch> {
        let batch_id: String = head.get(0);
        let mut tables = Vec::new();
        for (table, fixed, csv_key) in self.tables.remove(&batch_id).unwrap_or_default() {
            let place = (batch_id.clone(), table);
            let replaced = self.replaced.remove(&place).unwrap_or_default();
            let live = self.live.remove(&place).unwrap_or_default();
            tables.push(ProofTable { table: place.1, fixed, csv_key, replaced, live });
        }
        let published_at: Option<String> = head.get(4);
        Ok(ProofBatch {
            days: self.days.remove(&batch_id).unwrap_or_default(),
            tables,
            incarnation: head.get(1),
            archive_key: head.get(2),
            definition_hash: head.get(3),
            published_at: published_at.as_deref().map(parse_time).transpose()?,
            crawl_id: head.get(5),
            crawl_state: head.get(6),
            crawl_begun: head.get(9),
            members: count(head.get(7)),
            verdicts: count(head.get(8)),
            batch_id,
        })
    }
}

fn sums(text: &str) -> BTreeMap<String, String> {
    serde_json::from_str(text).unwrap_or_default()
}

/// The digest from its four parts, each a sum of numbers of 32 bits.
fn live(row: &Row) -> Counted {
    let parts = (4..8).map(|index| u128::from(count(row.get(index))));
    let digest = parts.zip([96, 64, 32, 0]).fold(0_u128, |sum, (part, bits)| sum.wrapping_add(part << bits));
    Counted::new(count(row.get(2)), &sums(row.get(3)), &format!("{digest:032x}"))
}
