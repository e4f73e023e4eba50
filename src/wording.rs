//! What a load says about documents and records, and what it compares: the same in every warehouse, so that a person
//! (and a test) reads the same words whichever it is.

use std::fmt::Display;

use crate::schema::Schema;
use crate::transform::Reject;
use crate::transform::rows::RecordView;

/// The content of a record as canonical texts: the parent's row first, then the sorted rows of each child table.
pub(crate) type Content = Vec<Vec<Vec<String>>>;

/// Where and why a document was turned away, for the `reject` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) line: Option<u64>,
    pub(crate) place: Option<String>,
    pub(crate) reason: String,
    pub(crate) text: String,
}

impl Note {
    /// A note about a record.
    pub(crate) fn about(line: u64, reason: String, key: String) -> Self {
        Self { line: Some(line), place: None, reason, text: key }
    }

    /// The reason of the verdict.
    pub(crate) fn verdict_reason(&self) -> String {
        let line = self.line.map_or_else(String::new, |line| format!("line {line}: "));
        format!("{line}{}", self.reason)
    }
}

impl From<&Reject> for Note {
    fn from(reject: &Reject) -> Self {
        Self {
            line: reject.line,
            place: reject.place.clone(),
            reason: reject.reason.clone(),
            text: reject.text.clone(),
        }
    }
}

/// The content of a record that arrives.
pub(crate) fn content_of(record: RecordView<'_>, tables: usize) -> Content {
    let texts = |table: usize| {
        let mut rows: Vec<Vec<String>> =
            record.rows(table).map(|row| row.values().map(str::to_owned).collect()).collect();
        rows.sort();
        rows
    };
    (0..tables).map(texts).collect()
}

/// How the record that is there differs from the one that arrives, in words; none where the content is the same.
pub(crate) fn difference(schema: &Schema, there: &Content, here: &Content) -> Option<String> {
    let row = |content: &Content| content[0].first().cloned().expect("a record has its parent's row");
    let mut words: Vec<String> = schema
        .parent()
        .columns
        .iter()
        .zip(row(there).iter().zip(&row(here)))
        .filter(|(_, (there, here))| there != here)
        .map(|(column, (there, here))| {
            format!("{} is {} there and {} here", column.name, shown(there), shown(here))
        })
        .collect();
    for (index, table) in schema.tables.iter().enumerate().skip(1) {
        if there[index] != here[index] {
            words.push(format!("its {} differ", table.name));
        }
    }
    (!words.is_empty()).then(|| words.join(", "))
}

fn shown(text: &str) -> &str {
    if text.is_empty() { "empty" } else { text }
}

/// The key of a record, for people.
pub(crate) fn record_key<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    parts.into_iter().collect::<Vec<_>>().join("/")
}

/// A document without a new record; `batch` has the first that was skipped.
pub(crate) fn duplicate(batch: Option<&str>) -> String {
    format!("every record is already there, from batch {}", batch.unwrap_or("this one"))
}

/// A document all of whose records are older than what is there.
pub(crate) fn older(batch: &str) -> String {
    format!("every record is older than what is there, from batch {batch}")
}

/// A loaded document, once all its records have been replaced.
pub(crate) fn all_replaced(batch: &str) -> String {
    format!("every record was replaced by a later one, the last by batch {batch}")
}

/// One key twice in one document: nobody can say which is right.
pub(crate) fn held_twice(key: &str, difference: &str) -> String {
    format!("the document holds {key} twice with different content: {difference}")
}

/// A known key with other content.
pub(crate) fn conflict(key: &str, batch: &str, difference: &str) -> String {
    format!("{key} is already there with other content, from batch {batch}: {difference}")
}

/// A row that the database does not take.
pub(crate) fn refused_by_database(error: impl Display) -> String {
    format!("the database refuses this record: {error}")
}

/// The ordinal in a `source_order`, its last part (§7 of the design): which member of its batch a row came from.
pub(crate) fn ordinal_of(source_order: &str) -> Option<u32> {
    source_order.rsplit('/').next()?.parse().ok()
}
