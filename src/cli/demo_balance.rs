//! The balance of `demo --kill`: what landed against what is there. It looks at the files that the pipeline left, and not
//! through the pipeline's own eyes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use serde::Serialize;

use super::exit::Stop;
use super::output::Sheet;

/// A document that landed.
pub(super) struct Landed {
    /// Its key.
    pub(super) key: String,
    /// Its bytes.
    pub(super) bytes: Vec<u8>,
    /// The invoice that it brings, and its total: nothing where it brings none, or brings it again.
    pub(super) brings: Option<(String, String)>,
    /// What has to become of it.
    pub(super) outcome: &'static str,
}

/// One line of the balance. The four counts but `ok` are what may never be.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub(super) struct Line {
    place: &'static str,
    expected: usize,
    ok: usize,
    lost: usize,
    duplicated: usize,
    unexpected: usize,
}

impl Line {
    /// `found` holds everything that lies in the place under each name, `expected` what has to be there, once.
    fn of(place: &'static str, expected: &BTreeMap<String, String>, found: &[(String, String)]) -> Self {
        let mut by_name: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, value) in found {
            by_name.entry(name).or_default().push(value);
        }
        let mut line = Self { place, expected: expected.len(), ok: 0, lost: 0, duplicated: 0, unexpected: 0 };
        for (name, value) in expected {
            match by_name.remove(name.as_str()).unwrap_or_default()[..] {
                [] => line.lost += 1,
                [one] if one == value => line.ok += 1,
                [_] => line.unexpected += 1,
                _ => line.duplicated += 1,
            }
        }
        line.unexpected += by_name.len();
        line
    }

    /// Whether everything is there once, and nothing else.
    pub(super) fn balances(&self) -> bool {
        self.ok == self.expected && self.lost + self.duplicated + self.unexpected == 0
    }
}

/// Looks at everything under the demo's folder.
pub(super) fn balance(root: &Path, landed: &[Landed]) -> Result<Vec<Line>, Stop> {
    let documents = |value: fn(&Landed) -> String| -> BTreeMap<String, String> {
        landed.iter().map(|document| (document.key.clone(), value(document))).collect()
    };
    let invoices: BTreeMap<String, String> =
        landed.iter().filter_map(|document| document.brings.clone()).collect();
    let ledger = Ledger::open(root)?;
    Ok(vec![
        Line::of("warehouse", &invoices, &ledger.pairs("SELECT invoice_id, total FROM invoices")?),
        Line::of("CSV", &invoices, &csv_rows(&root.join("curated/invoices"))?),
        Line::of("archive", &documents(|document| hash(&document.bytes)), &archived(root, &ledger)?),
        Line::of(
            "outcomes",
            &documents(|document| document.outcome.to_owned()),
            &ledger.pairs("SELECT key, outcome FROM sluicegate_document")?,
        ),
        Line::of("crawls", &documents(|_| "succeeded".to_owned()), &ledger.pairs(COVERED)?),
    ])
}

/// A batch without new rows has nothing to be covered.
const COVERED: &str = "
    SELECT d.key, CASE b.crawl_id WHEN 'none' THEN 'succeeded' ELSE coalesce(c.state, 'no crawl') END
    FROM sluicegate_document AS d JOIN sluicegate_batch AS b USING (batch_id)
    LEFT JOIN sluicegate_crawl AS c USING (crawl_id)";

/// The lines as a table for people.
pub(super) fn text(lines: &[Line]) -> String {
    let mut sheet = Sheet::new(&["place", "#expected", "#ok", "#lost", "#duplicated", "#unexpected"]);
    for line in lines {
        let counts = [line.expected, line.ok, line.lost, line.duplicated, line.unexpected];
        let counts = counts.map(|count| count.to_string());
        sheet.row(std::iter::once(line.place.to_owned()).chain(counts));
    }
    sheet.text()
}

/// The demo's warehouse, read only.
struct Ledger(Connection);

impl Ledger {
    fn open(root: &Path) -> Result<Self, Stop> {
        let path = root.join("warehouse.db");
        Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).map(Self).map_err(failed(&path))
    }

    fn pairs(&self, sql: &str) -> Result<Vec<(String, String)>, Stop> {
        let ask = || {
            let mut statement = self.0.prepare(sql)?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<rusqlite::Result<_>>()
        };
        ask().map_err(failed(Path::new("the warehouse")))
    }
}

fn csv_rows(folder: &Path) -> Result<Vec<(String, String)>, Stop> {
    let mut rows = Vec::new();
    for path in files_below(folder)? {
        let mut reader = csv::Reader::from_path(&path).map_err(failed(&path))?;
        for record in reader.deserialize::<BTreeMap<String, String>>() {
            let mut record = record.map_err(failed(&path))?;
            let mut take = |column| record.remove(column).unwrap_or_default();
            rows.push((take("invoice_id"), take("total")));
        }
    }
    Ok(rows)
}

/// The documents in the archives of the batches that decided about them, with the hashes of their bytes.
fn archived(root: &Path, ledger: &Ledger) -> Result<Vec<(String, String)>, Stop> {
    let owners = ledger.pairs("SELECT key, batch_id FROM sluicegate_document")?;
    let owners: BTreeMap<String, String> = owners.into_iter().collect();
    let mut members = Vec::new();
    for path in files_below(&root.join("archive"))? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let batch = name.trim_end_matches(".tar.zst");
        for (key, hash) in members_of(&path).map_err(failed(&path))? {
            if owners.get(&key).is_none_or(|owner| owner == batch) {
                members.push((key, hash));
            }
        }
    }
    Ok(members)
}

fn members_of(path: &Path) -> std::io::Result<Vec<(String, String)>> {
    let file = std::fs::File::open(path)?;
    let mut archive = tar::Archive::new(zstd::Decoder::new(file)?);
    let mut members = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.to_string_lossy().into_owned();
        // The manifest and the outcomes lie beside the members.
        let Some((_, key)) = name.split_once('/') else { continue };
        let mut bytes = Vec::new();
        std::io::copy(&mut entry, &mut bytes)?;
        members.push((key.to_owned(), hash(&bytes)));
    }
    Ok(members)
}

fn hash(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    hex::encode(Sha256::digest(bytes))
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>, Stop> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(failed(&folder))? {
            let path = entry.map_err(failed(&folder))?.path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    Ok(files)
}

fn failed<E: std::fmt::Display>(path: &Path) -> impl FnOnce(E) -> Stop {
    let path = path.display().to_string();
    move |error| Stop::failed(format!("cannot read {path}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(texts: &[(&str, &str)]) -> Vec<(String, String)> {
        texts.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn each_kind_of_imbalance_is_counted_as_what_it_is() {
        let expected: BTreeMap<String, String> =
            pairs(&[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")]).into_iter().collect();
        let found = pairs(&[("a", "1"), ("b", "2"), ("b", "2"), ("c", "9"), ("stranger", "5")]);
        let line = Line::of("CSV", &expected, &found);
        let counted = Line { place: "CSV", expected: 4, ok: 1, lost: 1, duplicated: 1, unexpected: 2 };
        assert_eq!(line, counted);
        assert!(!line.balances());
        let all: Vec<_> = expected.clone().into_iter().collect();
        assert!(Line::of("CSV", &expected, &all).balances());
    }
}
