//! The CSV objects: present, of the size and the checksum that the load fixed; and nothing beside them.

use std::collections::BTreeMap;
use std::io::Read;

use chrono::NaiveDate;
use sha2::{Digest, Sha256};

use crate::curated::{TableTotals, dt_of, object_key, read_rows};
use crate::failure::{Failure, Outcome};
use crate::pipeline::context::Context;
use crate::ports::object_store::Fetched;
use crate::ports::proof::{ProofBatch, ProofTable};
use crate::ports::warehouse::Warehouse;
use crate::schema::{Schema, Table};

use super::finding::{Finding, Kind, counted};

/// What is wrong with the CSV objects of a published batch; how many were looked at.
pub(super) fn check(
    context: &Context,
    batch: &ProofBatch,
    schema: &Schema,
    home: NaiveDate,
    findings: &mut Vec<Finding>,
) -> Outcome<u64> {
    let mut objects = 0;
    for table in &batch.tables {
        let Some(key) = &table.csv_key else { continue };
        objects += 1;
        let Some(described) = schema.tables.iter().find(|known| known.name == table.table) else { continue };
        let wrong = match context.curated.get(key)? {
            None => {
                Some((Kind::MissingObject, format!("the CSV object {key} is not there; {}", held(table))))
            }
            Some(fetched) => compare(context, fetched, key, table, described)?,
        };
        if let Some((kind, detail)) = wrong {
            findings.push(Finding::new(home, kind, key, detail).of_batch(&batch.batch_id));
        }
    }
    Ok(objects)
}

fn held(table: &ProofTable) -> String {
    let sums: Vec<String> = table.fixed.sums.iter().map(|(name, sum)| format!("{name} {sum}")).collect();
    let with = if sums.is_empty() { String::new() } else { format!(" ({})", sums.join(", ")) };
    format!("it held {}{with}", counted(table.fixed.rows, "row"))
}

fn compare(
    context: &Context,
    fetched: Fetched,
    key: &str,
    table: &ProofTable,
    described: &Table,
) -> Outcome<Option<(Kind, String)>> {
    let (size, sha256) = (fetched.info.size, hash(fetched.body, key)?);
    if size == table.fixed.bytes && sha256 == table.fixed.sha256 {
        return Ok(None);
    }
    let holds = match context.curated.get(key)?.map(|fetched| read_totals(fetched.body, described)) {
        Some(Ok((rows, sums))) => {
            let sums: Vec<String> = sums.iter().map(|(name, sum)| format!("{name} {sum}")).collect();
            format!("it holds {} ({})", counted(rows, "row"), sums.join(", "))
        }
        Some(Err(error)) => format!("it cannot be read as the table's CSV: {error}"),
        None => "it is gone since".to_owned(),
    };
    let location = context.curated.location();
    Ok(Some((
        Kind::DamagedObject,
        format!(
            "the CSV object {key} has {size} bytes with SHA-256 {sha256}, and the load fixed {} bytes with SHA-256 {}; \
             {holds}, and {}. Objects are never written over: move it away from {location} first",
            table.fixed.bytes,
            table.fixed.sha256,
            held(table),
        ),
    )))
}

pub(super) fn hash(mut body: Box<dyn Read + Send>, key: &str) -> Outcome<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        match body.read(&mut buffer) {
            Ok(0) => return Ok(hex::encode(hasher.finalize())),
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) => return Err(Failure::transient(format!("reading {key} broke off: {error}"))),
        }
    }
}

pub(super) fn read_totals(
    body: Box<dyn Read + Send>,
    table: &Table,
) -> Result<(u64, BTreeMap<String, String>), crate::curated::CuratedError> {
    let mut totals = TableTotals::new(table);
    let mut rows = read_rows(body, table)?;
    let width = table.columns.len();
    while let Some(row) = rows.next_row()? {
        totals.add_row(
            row.iter().take(width),
            row.get(width).unwrap_or(""),
            row.get(width + 1).unwrap_or(""),
        )?;
    }
    Ok((totals.rows(), totals.sums()))
}

/// Tells of the objects that no load made. `home` gives the day on which a partition is told.
pub(super) fn tell_strays(
    context: &Context,
    strays: &[String],
    home: &dyn Fn(Option<&str>) -> Option<NaiveDate>,
    findings: &mut Vec<Finding>,
) {
    for key in strays {
        let dt = batch_of(key).and_then(dt_of);
        let Some(day) = home(dt.as_deref()) else { continue };
        let detail = format!(
            "no load made the object {key} in {}: queries count its rows. Move it away, or accept it",
            context.curated.location()
        );
        findings.push(Finding::new(day, Kind::StrayObject, key, detail));
    }
}

fn batch_of(key: &str) -> Option<&str> {
    key.rsplit_once('/')?.1.strip_suffix(".csv")
}

/// Of these keys below the folder of a table, those that no load made.
pub(super) fn made_by_no_load(
    warehouse: &mut dyn Warehouse,
    table: &str,
    keys: Vec<String>,
) -> Outcome<Vec<String>> {
    let ids: Vec<String> = keys.iter().filter_map(|key| batch_of(key)).map(str::to_owned).collect();
    let known = warehouse.known_batches(&ids)?;
    let is_ours = |key: &String| {
        batch_of(key)
            .is_some_and(|id| known.contains(id) && dt_of(id).is_some() && object_key(table, id) == *key)
    };
    Ok(keys.into_iter().filter(|key| !is_ours(key)).collect())
}
