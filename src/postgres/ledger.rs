//! What a COMMIT fixes in the ledger, written in bulk, and read back (I5).

use std::collections::BTreeMap;

use postgres::Row;

use crate::curated::Totals;
use crate::failure::{Failure, Outcome};
use crate::ports::warehouse::{DocumentOutcome, LoadRequest, LoadedBatch, LoadedTable, Verdict};
use crate::wording::Note;

use super::client::{Client, Transaction};
use super::copy::Piece;
use super::error::{Error, failure};
use super::{bigint, count, integer, ordinal, parse_time};

const COPY_VERDICTS: &str = "
    COPY sluicegate.verdict (batch_id, job, ordinal, bucket, key, version, outcome, reason, rows, at) FROM STDIN";

/// A `timestamptz` as the contract writes times.
pub(super) fn time_text(expression: &str) -> String {
    format!("to_char({expression} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
}

/// Writes why documents were turned away.
pub(super) fn record_rejects(
    transaction: &mut Transaction<'_>,
    request: &LoadRequest,
    notes: &[(u32, Note)],
) -> Result<(), Error> {
    if notes.is_empty() {
        return Ok(());
    }
    let ordinals: Vec<i32> = notes.iter().map(|(ordinal, _)| integer(*ordinal)).collect();
    let keys: Vec<&str> =
        notes.iter().map(|(ordinal, _)| request.documents[*ordinal as usize].key.as_str()).collect();
    let lines: Vec<Option<i64>> = notes.iter().map(|(_, note)| note.line.map(bigint)).collect();
    let places: Vec<Option<&str>> = notes.iter().map(|(_, note)| note.place.as_deref()).collect();
    let reasons: Vec<&str> = notes.iter().map(|(_, note)| note.reason.as_str()).collect();
    let texts: Vec<&str> = notes.iter().map(|(_, note)| note.text.as_str()).collect();
    transaction
        .execute(
            "INSERT INTO sluicegate.reject (batch_id, ordinal, key, line, place, reason, text)
             SELECT $1, u.* FROM unnest($2::int[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[]) u",
            &[&request.batch_id, &ordinals, &keys, &lines, &places, &reasons, &texts],
        )
        .map(drop)
}

/// The end of a load.
pub(super) struct Record<'a, 't> {
    pub(super) transaction: &'a mut Transaction<'t>,
    pub(super) request: &'a LoadRequest,
    /// When the load began, as the server wrote it.
    pub(super) loaded_at: &'a str,
    /// The outcomes that stand there since the documents were claimed.
    pub(super) written: &'a BTreeMap<u32, Verdict>,
}

impl Record<'_, '_> {
    /// Writes the verdicts, the control totals and the definition.
    pub(super) fn record(mut self, verdicts: &[Verdict], tables: &[LoadedTable]) -> Result<(), Error> {
        self.outcomes(verdicts)?;
        self.verdicts(verdicts)?;
        record_tables(self.transaction, self.request, tables)?;
        let rows: u64 = tables.iter().map(|table| table.totals.rows).sum();
        let from_verdicts: u64 = verdicts.iter().map(|verdict| verdict.rows).sum();
        assert_eq!(rows, from_verdicts, "the CSV objects hold the rows that were inserted (I7)");
        record_batch(self.transaction, self.request, rows)
    }

    /// Corrects what turned out otherwise than it was expected when the documents were claimed.
    fn outcomes(&mut self, verdicts: &[Verdict]) -> Result<(), Error> {
        let is_outcome = |verdict: &&Verdict| {
            !matches!(verdict.outcome, DocumentOutcome::Again | DocumentOutcome::Deferred)
        };
        let stands = |verdict: &Verdict| {
            let written = self.written.get(&verdict.ordinal);
            written.is_some_and(|written| {
                (written.outcome, &written.reason, written.rows)
                    == (verdict.outcome, &verdict.reason, verdict.rows)
            })
        };
        let outcomes: Vec<&Verdict> = verdicts.iter().filter(is_outcome).collect();
        let changed: Vec<&Verdict> = outcomes.iter().filter(|verdict| !stands(verdict)).copied().collect();
        if !changed.is_empty() {
            self.change(&changed)?;
        }
        let row = self.transaction.query_one(
            "SELECT count(*), count(*) FILTER (WHERE outcome = 'claimed') FROM sluicegate.document WHERE batch_id = $1",
            &[&self.request.batch_id],
        )?;
        let (claimed, undecided): (i64, i64) = (row.get(0), row.get(1));
        assert_eq!(
            count(claimed),
            outcomes.len() as u64,
            "each claimed document has an outcome, and no other (I9)"
        );
        assert_eq!(undecided, 0, "no claimed document is left without an outcome (I9)");
        Ok(())
    }

    fn change(&mut self, outcomes: &[&Verdict]) -> Result<(), Error> {
        let ordinals: Vec<i32> = outcomes.iter().map(|verdict| integer(verdict.ordinal)).collect();
        let words: Vec<&str> = outcomes.iter().map(|verdict| verdict.outcome.as_str()).collect();
        let reasons: Vec<&str> = outcomes.iter().map(|verdict| verdict.reason.as_str()).collect();
        let rows: Vec<i64> = outcomes.iter().map(|verdict| bigint(verdict.rows)).collect();
        let changed = self.transaction.execute(
            "UPDATE sluicegate.document d SET outcome = u.outcome, reason = u.reason, rows = u.rows
             FROM unnest($2::int[], $3::text[], $4::text[], $5::bigint[]) u (ordinal, outcome, reason, rows)
             WHERE d.batch_id = $1 AND d.ordinal = u.ordinal",
            &[&self.request.batch_id, &ordinals, &words, &reasons, &rows],
        )?;
        assert_eq!(changed, outcomes.len() as u64, "an outcome is recorded for a claimed document (I9)");
        Ok(())
    }

    fn verdicts(&mut self, verdicts: &[Verdict]) -> Result<(), Error> {
        let request = self.request;
        let mut piece = Piece::new(COPY_VERDICTS.to_owned());
        for verdict in verdicts {
            let document = &request.documents[verdict.ordinal as usize];
            let (ordinal, rows) = (verdict.ordinal.to_string(), verdict.rows.to_string());
            piece.fields(
                [
                    request.batch_id.as_str(),
                    &request.job,
                    &ordinal,
                    &document.bucket,
                    &document.key,
                    &document.version,
                    verdict.outcome.as_str(),
                    &verdict.reason,
                    &rows,
                    self.loaded_at,
                ]
                .map(Some),
            );
            piece.send_if_whole(self.transaction)?;
        }
        piece.send(self.transaction)
    }
}

fn record_tables(
    transaction: &mut Transaction<'_>,
    request: &LoadRequest,
    tables: &[LoadedTable],
) -> Result<(), Error> {
    for (position, table) in tables.iter().enumerate() {
        let totals = &table.totals;
        let sums = serde_json::to_string(&totals.sums).expect("a map of strings is always JSON");
        transaction.execute(
            "INSERT INTO sluicegate.batch_table (batch_id, table_name, position, rows, sums, digest, csv_key, csv_bytes,
                                                 csv_sha256)
             VALUES ($1, $2, $3, $4, $5::text::jsonb, $6, $7, $8, $9)",
            &[
                &request.batch_id,
                &table.table,
                &(position as i32),
                &bigint(totals.rows),
                &sums,
                &totals.digest,
                &table.csv_key,
                &bigint(totals.bytes),
                &totals.sha256,
            ],
        )?;
    }
    Ok(())
}

fn record_batch(transaction: &mut Transaction<'_>, request: &LoadRequest, rows: u64) -> Result<(), Error> {
    transaction.execute(
        "INSERT INTO sluicegate.definition (hash, job, text, first_used_at) VALUES ($1, $2, $3, sluicegate.clock())
         ON CONFLICT (hash) DO NOTHING",
        &[&request.definition_hash, &request.job, &request.definition_text],
    )?;
    // A batch without new rows has nothing to publish and nothing to crawl.
    transaction.execute(
        "UPDATE sluicegate.batch SET rows = $2::bigint, published_at = CASE WHEN $2::bigint = 0 THEN loaded_at END,
                crawl_id = CASE WHEN $2::bigint = 0 THEN 'none' END
         WHERE batch_id = $1",
        &[&request.batch_id, &bigint(rows)],
    )?;
    Ok(())
}

/// A batch as its COMMIT fixed it.
pub(super) fn loaded_batch(client: &mut Client, batch_id: &str) -> Outcome<Option<LoadedBatch>> {
    let sql = format!(
        "SELECT b.definition_hash, d.text, b.rows, {} FROM sluicegate.batch b
         JOIN sluicegate.definition d ON d.hash = b.definition_hash WHERE b.batch_id = $1",
        time_text("b.published_at")
    );
    let Some(row) = client.query_opt(&sql, &[&batch_id]).map_err(failure)? else { return Ok(None) };
    let published_at = row.get::<_, Option<String>>(3).as_deref().map(parse_time).transpose()?;
    Ok(Some(LoadedBatch {
        batch_id: batch_id.to_owned(),
        definition_hash: row.get(0),
        definition_text: row.get(1),
        rows: count(row.get(2)),
        published_at,
        tables: loaded_tables(client, batch_id)?,
        verdicts: loaded_verdicts(client, batch_id)?,
    }))
}

fn loaded_tables(client: &mut Client, batch_id: &str) -> Outcome<Vec<LoadedTable>> {
    let rows = client
        .query(
            "SELECT table_name, rows, csv_bytes, csv_sha256, sums::text, digest, csv_key
             FROM sluicegate.batch_table WHERE batch_id = $1 ORDER BY position",
            &[&batch_id],
        )
        .map_err(failure)?;
    rows.iter().map(loaded_table).collect()
}

fn loaded_table(row: &Row) -> Outcome<LoadedTable> {
    let sums: String = row.get(4);
    let sums = serde_json::from_str(&sums).map_err(|error| {
        Failure::permanent(format!("the ledger holds {sums:?} where sums belong: {error}"))
    })?;
    let totals = Totals {
        rows: count(row.get(1)),
        bytes: count(row.get(2)),
        sha256: row.get(3),
        sums,
        digest: row.get(5),
    };
    Ok(LoadedTable { table: row.get(0), totals, csv_key: row.get(6) })
}

fn loaded_verdicts(client: &mut Client, batch_id: &str) -> Outcome<Vec<Verdict>> {
    let mut refused: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    let rows = client
        .query(
            "SELECT ordinal, array_agg(record ORDER BY record) FROM sluicegate.refused WHERE batch_id = $1 GROUP BY ordinal",
            &[&batch_id],
        )
        .map_err(failure)?;
    for row in rows {
        let records: Vec<i64> = row.get(1);
        refused.insert(ordinal(row.get(0)), records.into_iter().map(count).collect());
    }
    let rows = client
        .query(
            "SELECT ordinal, outcome, reason, rows FROM sluicegate.verdict WHERE batch_id = $1 ORDER BY ordinal",
            &[&batch_id],
        )
        .map_err(failure)?;
    let verdict = |row: &Row| {
        let word: String = row.get(1);
        let outcome = DocumentOutcome::from_word(&word).ok_or_else(|| {
            Failure::permanent(format!("the ledger holds {word:?} where an outcome belongs"))
        })?;
        let ordinal = ordinal(row.get(0));
        let refused = refused.remove(&ordinal).unwrap_or_default();
        Ok(Verdict { ordinal, outcome, reason: row.get(2), rows: count(row.get(3)), refused })
    };
    rows.iter().map(verdict).collect()
}
