//! The part of a job file that says how documents read, compiled.

use std::collections::{BTreeSet, HashMap};

use regex::{Regex, RegexSet};
use serde::Deserialize;
use toml::Spanned;

use super::check;
use super::column::{self, ColumnTable, DEFAULT_KEY_LENGTH};
use super::keys::pattern_or_problem;
use crate::config::source::Source;
use crate::config::{ConfigError, Size};
use crate::schema::{Column, Schema, Table};
use crate::transform::{Definition, Field, Format, Kind, Labelled, Section, Shape, Unknown};

const MAX_KEY_CHARACTERS: usize = 640;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LabelledTable {
    begin: Option<Spanned<String>>,
    banners: Vec<Spanned<String>>,
    unknown: UnknownName,
    max_unpacked: Size,
}

impl Default for LabelledTable {
    fn default() -> Self {
        Self { begin: None, banners: Vec::new(), unknown: UnknownName::Reject, max_unpacked: Size(1 << 30) }
    }
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub(super) enum UnknownName {
    Reject,
    Ignore,
}

impl UnknownName {
    pub(super) fn compiled(self) -> Unknown {
        match self {
            Self::Reject => Unknown::Reject,
            Self::Ignore => Unknown::Ignore,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordTable {
    pub(super) table: Spanned<String>,
    pub(super) key: Spanned<Vec<Spanned<String>>>,
    pub(super) columns: Vec<ColumnTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SectionTable {
    name: Spanned<String>,
    table: Spanned<String>,
    key: Spanned<Vec<Spanned<String>>>,
    header: Spanned<String>,
    row: Spanned<String>,
    columns: Vec<ColumnTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckTable {
    pub(super) equal: Spanned<String>,
    #[serde(default = "reject")]
    pub(super) action: CheckAction,
}

fn reject() -> CheckAction {
    CheckAction::Reject
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum CheckAction {
    Reject,
    Warn,
}

/// The definition of a job with `format = "labelled"`.
pub(super) fn labelled(
    source: &Source<'_>,
    format: &LabelledTable,
    record: &RecordTable,
    sections: &[Spanned<SectionTable>],
    checks: &[CheckTable],
) -> Result<Definition, ConfigError> {
    let parent = parent(source, record)?;
    let (sections, tables) = children(source, &parent, sections)?;
    let begin = format.begin.as_ref().map(|begin| source.read(begin, pattern_or_problem)).transpose()?;
    let banners = format.banners.iter().map(|banner| source.read(banner, pattern_or_problem));
    let banners = banners.collect::<Result<Vec<_>, _>>()?;
    let checks = checks.iter().map(|check| check::compile(source, check, &parent.fields, &sections));
    let checks = checks.collect::<Result<_, _>>()?;
    let labelled = Labelled {
        special: special(source, begin.as_ref(), &banners, &sections)?,
        begin,
        unknown: format.unknown.compiled(),
        labels: parent.labels,
        shape: Shape { place_word: "label", key: parent.table.key, fields: parent.fields, sections, checks },
    };
    Ok(Definition {
        schema: Schema { tables },
        max_unpacked: format.max_unpacked.0,
        format: Format::Labelled(Box::new(labelled)),
    })
}

/// `[record]`, compiled.
struct Parent {
    fields: Vec<Field>,
    labels: HashMap<String, usize>,
    table: Table,
}

fn parent(source: &Source<'_>, record: &RecordTable) -> Result<Parent, ConfigError> {
    let mut labels = HashMap::new();
    for (index, column) in record.columns.iter().enumerate() {
        let label = label(source, column)?;
        if labels.insert(label.clone(), index).is_some() {
            let problem = format!("the label `{label}` fills two columns");
            return Err(source.key_error(column.name.span().start, &problem));
        }
    }
    let (fields, table) = record_table(source, record, &mut |column| label(source, column))?;
    Ok(Parent { fields, labels, table })
}

/// The fields and the table of `[record]`; `place` names where a column's value comes from.
pub(super) fn record_table(
    source: &Source<'_>,
    record: &RecordTable,
    place: &mut dyn FnMut(&ColumnTable) -> Result<String, ConfigError>,
) -> Result<(Vec<Field>, Table), ConfigError> {
    let key_names = names(&record.key);
    let mut fields = Vec::new();
    for column in &record.columns {
        let in_key = key_names.contains(column.name.get_ref().as_str());
        fields.push(column::field(source, column, place(column)?, in_key)?);
    }
    refuse_twins(source, &record.columns, &[])?;
    let key = key(source, &record.key, &fields)?;
    check_key_length(source, &record.key, key_length(&fields, &key))?;
    let table = table(source, &record.table, fields.iter().map(column).collect(), key, &[])?;
    Ok((fields, table))
}

/// The sections, and all tables with the parent's first.
fn children(
    source: &Source<'_>,
    parent: &Parent,
    written: &[Spanned<SectionTable>],
) -> Result<(Vec<Section>, Vec<Table>), ConfigError> {
    let key = &parent.table.key;
    let parent_key: Vec<_> = key.iter().map(|&index| column(&parent.fields[index])).collect();
    let (mut sections, mut tables) = (Vec::<Section>::new(), vec![parent.table.clone()]);
    for written in written.iter().map(Spanned::get_ref) {
        if sections.iter().any(|section| section.name == *written.name.get_ref()) {
            let problem = format!("there are two sections `{}`", written.name.get_ref());
            return Err(source.key_error(written.name.span().start, &problem));
        }
        refuse_twins(source, &written.columns, &parent_key)?;
        let section = section(source, written)?;
        let characters = key_length(&parent.fields, key) + key_length(&section.fields, &section.key);
        check_key_length(source, &written.key, characters)?;
        let columns = parent_key.iter().cloned().chain(section.fields.iter().map(column)).collect();
        let child_key = (0..key.len()).chain(section.key.iter().map(|&index| index + key.len())).collect();
        tables.push(table(source, &written.table, columns, child_key, &tables)?);
        sections.push(section);
    }
    Ok((sections, tables))
}

fn names(written: &Spanned<Vec<Spanned<String>>>) -> BTreeSet<&str> {
    written.get_ref().iter().map(|name| name.get_ref().as_str()).collect()
}

fn column(field: &Field) -> Column {
    Column { name: field.name.clone(), kind: field.kind.column_type(), required: field.required }
}

/// Refuses where a column of another format says that its value is.
fn refuse_delimited(source: &Source<'_>, column: &ColumnTable) -> Result<(), ConfigError> {
    let header = column.header.as_ref().map(|header| header.span().start);
    match header.or(column.position.as_ref().map(|position| position.span().start)) {
        Some(at) => Err(source.key_error(at, "is only for `format = \"delimited\"`")),
        None => Ok(()),
    }
}

fn label(source: &Source<'_>, column: &ColumnTable) -> Result<String, ConfigError> {
    refuse_delimited(source, column)?;
    if let Some(group) = &column.group {
        return Err(
            source.key_error(group.span().start, "is only for columns of a section; use `label` here")
        );
    }
    let Some(label) = &column.label else {
        let problem = format!("column `{}` needs a `label`", column.name.get_ref());
        return Err(source.key_error(column.name.span().start, &problem));
    };
    source.read(label, |label| {
        let usable = !label.is_empty() && label.trim() == label && !label.contains([':', '\n', '\r']);
        if usable {
            Ok(label.to_owned())
        } else {
            Err(format!("`{label}` can be no label; allowed: text without a colon, without blanks around it"))
        }
    })
}

/// Refuses a column name that is there twice, or that the parent's key already brings.
fn refuse_twins(
    source: &Source<'_>,
    columns: &[ColumnTable],
    parent_key: &[Column],
) -> Result<(), ConfigError> {
    let mut seen: BTreeSet<&str> = parent_key.iter().map(|column| column.name.as_str()).collect();
    for column in columns {
        let name = column.name.get_ref().as_str();
        if !seen.insert(name) {
            let why = if parent_key.iter().any(|parent| parent.name == name) {
                "comes by itself, because it belongs to the record's key; leave it out or name yours otherwise"
            } else {
                "is there twice"
            };
            return Err(source.key_error(column.name.span().start, &format!("column `{name}` {why}")));
        }
    }
    Ok(())
}

fn key(
    source: &Source<'_>,
    written: &Spanned<Vec<Spanned<String>>>,
    fields: &[Field],
) -> Result<Vec<usize>, ConfigError> {
    let mut key = Vec::new();
    for name in written.get_ref() {
        let index = fields.iter().position(|field| field.name == *name.get_ref());
        match index {
            Some(index) if !key.contains(&index) => key.push(index),
            _ => {
                let allowed: Vec<_> = fields.iter().map(|field| field.name.as_str()).collect();
                let problem = format!(
                    "`{}` is no column, or there twice; allowed: {}",
                    name.get_ref(),
                    allowed.join(", ")
                );
                return Err(source.key_error(name.span().start, &problem));
            }
        }
    }
    if key.is_empty() {
        return Err(
            source.key_error(written.span().start, "is empty; allowed: the names of one or more columns")
        );
    }
    Ok(key)
}

/// The most characters that the key's texts can have together.
fn key_length(fields: &[Field], key: &[usize]) -> usize {
    let length = |&index: &usize| match fields[index].kind {
        Kind::Text { max_length } => max_length.unwrap_or(usize::MAX / 4),
        _ => 0,
    };
    key.iter().map(length).sum()
}

/// A key is an index entry, which PostgreSQL limits to 2,704 bytes; a character takes up to 4.
fn check_key_length(
    source: &Source<'_>,
    key: &Spanned<Vec<Spanned<String>>>,
    characters: usize,
) -> Result<(), ConfigError> {
    if characters <= MAX_KEY_CHARACTERS {
        return Ok(());
    }
    let problem = format!(
        "the texts of a whole key can have {characters} characters, and a database index takes {MAX_KEY_CHARACTERS}; \
         give the key's columns a smaller `max_length` (the default is {DEFAULT_KEY_LENGTH})"
    );
    Err(source.key_error(key.span().start, &problem))
}

fn table(
    source: &Source<'_>,
    name: &Spanned<String>,
    columns: Vec<Column>,
    key: Vec<usize>,
    others: &[Table],
) -> Result<Table, ConfigError> {
    let table = Table { name: source.read(name, column::name)?, columns, key };
    if others.iter().any(|other| other.name == table.name) {
        let problem = format!("two parts of the job fill the table `{}`", table.name);
        return Err(source.key_error(name.span().start, &problem));
    }
    Ok(table)
}

fn section(source: &Source<'_>, written: &SectionTable) -> Result<Section, ConfigError> {
    let name = source.read(&written.name, column::name)?;
    let row = source.read(&written.row, pattern_or_problem)?;
    let key_names = names(&written.key);
    let (mut fields, mut groups) = (Vec::new(), Vec::new());
    for column in &written.columns {
        groups.push(group(source, column, &row)?);
        let place = format!("{name}.{}", column.name.get_ref());
        fields.push(column::field(
            source,
            column,
            place,
            key_names.contains(column.name.get_ref().as_str()),
        )?);
    }
    if let Some(unused) =
        row.capture_names().enumerate().find(|(index, name)| name.is_some() && !groups.contains(index))
    {
        let problem = format!("the group `{}` belongs to no column", unused.1.unwrap_or_default());
        return Err(source.key_error(written.row.span().start, &problem));
    }
    Ok(Section {
        header: source.read(&written.header, pattern_or_problem)?,
        key: key(source, &written.key, &fields)?,
        name,
        row,
        groups,
        fields,
    })
}

/// The named group of the row pattern that fills the column; its name is the column's where nothing else is said.
fn group(source: &Source<'_>, column: &ColumnTable, row: &Regex) -> Result<usize, ConfigError> {
    refuse_delimited(source, column)?;
    if let Some(label) = &column.label {
        return Err(
            source.key_error(label.span().start, "is only for columns of the record; use `group` here")
        );
    }
    let name = column.group.as_ref().unwrap_or(&column.name);
    row.capture_names().position(|group| group == Some(name.get_ref().as_str())).ok_or_else(|| {
        let groups: Vec<_> = row.capture_names().flatten().collect();
        let problem =
            format!("the pattern of `row` has no group `{}`; it has: {}", name.get_ref(), groups.join(", "));
        source.key_error(name.span().start, &problem)
    })
}

fn special(
    source: &Source<'_>,
    begin: Option<&Regex>,
    banners: &[Regex],
    sections: &[Section],
) -> Result<RegexSet, ConfigError> {
    let headers = sections.iter().map(|section| &section.header);
    let patterns = begin.into_iter().chain(headers).chain(banners).map(Regex::as_str);
    RegexSet::new(patterns)
        .map_err(|_| source.file_error("the patterns of begin, headers and banners are too large together"))
}
