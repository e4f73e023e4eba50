//! Tables and views that are there against those that should be.

use std::collections::BTreeMap;

use super::difference::{Difference, Remedy};
use super::stored_view::select_of;
use super::wanted::{
    CLASSIFICATION_KEY, ESCAPE_KEY, INPUT_FORMAT, OUTPUT_FORMAT, QUOTE_KEY, SEPARATOR_KEY, SERDE, SKIP_KEY,
    View,
};
use crate::ports::definitions::{
    ColumnDefinition, EXTERNAL_TABLE, FoundTable, Storage, TableChange, TableDefinition, VIRTUAL_VIEW,
};
use crate::query_text::{mentions, same_statement};

/// What the SerDe takes for a parameter that is not set (opencsv's CSVReader, which the SerDe is made of).
const SERDE_DEFAULTS: [(&str, &str); 3] = [(SEPARATOR_KEY, ","), (QUOTE_KEY, "\""), (ESCAPE_KEY, "\\")];
/// What Athena writes for `ROW FORMAT SERDE` alone. It concerns writing, and nobody writes through the table.
const OTHER_OUTPUT_FORMAT: &str = "org.apache.hadoop.hive.ql.io.IgnoreKeyTextOutputFormat";
/// With it Athena works out the partitions and never looks at those that a crawl registered.
const PROJECTION_KEY: &str = "projection.enabled";
const SETS: &str = "--apply sets it; partitions that are there keep theirs until the next crawl";

/// The differences of a table that is there, and what may be changed about it. A table with a difference that needs a
/// person is left alone as a whole: it may be somebody else's.
pub(super) fn table(
    thing: &str,
    wanted: &TableDefinition,
    found: &FoundTable,
) -> (Vec<Difference>, TableChange) {
    let found = &found.definition;
    if found.table_type.eq_ignore_ascii_case(VIRTUAL_VIEW) {
        let difference = Difference::new(thing, "type", EXTERNAL_TABLE, &found.table_type);
        let step = "a view has this name; drop it or rename it, then sluicegate catalog --apply";
        return (vec![difference.for_a_person(step)], TableChange::default());
    }
    let mut change = TableChange::default();
    let mut differences = fixed(thing, wanted, found);
    differences.extend(columns(thing, wanted, found, &mut change));
    differences.extend(parameters(thing, wanted, found, &mut change));
    if differences.iter().any(|difference| difference.remedy == Remedy::Person) {
        change = TableChange::default();
        for difference in differences.iter_mut().filter(|of| of.remedy == Remedy::Change) {
            difference.remedy = Remedy::Person;
            "left alone, because the table differs in more than that".clone_into(&mut difference.next_step);
        }
    }
    (differences, change)
}

/// What is never changed: it would read other bytes, or read the same ones in another way.
fn fixed(thing: &str, wanted: &TableDefinition, found: &TableDefinition) -> Vec<Difference> {
    let (is, should) = (&found.storage_descriptor, &wanted.storage_descriptor);
    let again = make_again(&wanted.name);
    let mut differences = Vec::new();
    let mut compare = |property: &str, wanted: &str, found: &str, equal: bool| {
        if !equal {
            differences.push(Difference::new(thing, property, wanted, found).for_a_person(&again));
        }
    };
    // Athena reads no table without a type.
    let kind = &found.table_type;
    compare("type", EXTERNAL_TABLE, kind, kind.eq_ignore_ascii_case(EXTERNAL_TABLE));
    let slashless = |place: &Storage| place.location.trim_end_matches('/').to_owned();
    compare("location", &should.location, &is.location, slashless(should) == slashless(is));
    compare("input format", INPUT_FORMAT, &is.input_format, is.input_format == INPUT_FORMAT);
    let written = [OUTPUT_FORMAT, OTHER_OUTPUT_FORMAT].contains(&is.output_format.as_str());
    compare("output format", OUTPUT_FORMAT, &is.output_format, written);
    let library = &is.serde_info.serialization_library;
    compare("SerDe", SERDE, library, library == SERDE);
    let keys = (in_words(&wanted.partition_keys), in_words(&found.partition_keys));
    compare("partition keys", &keys.0, &keys.1, keys.0 == keys.1);
    let projected = found.parameters.get(PROJECTION_KEY).map_or("", String::as_str);
    compare(PROJECTION_KEY, "", projected, !projected.eq_ignore_ascii_case("true"));
    differences
}

fn make_again(name: &str) -> String {
    format!(
        "if nobody needs it as it is: in Athena DROP TABLE `{name}` (the objects stay), sluicegate catalog --apply, then \
         MSCK REPAIR TABLE `{name}`"
    )
}

fn in_words(columns: &[ColumnDefinition]) -> String {
    let words: Vec<_> = columns.iter().map(column_in_words).collect();
    words.join(", ")
}

fn column_in_words(column: &ColumnDefinition) -> String {
    format!("{} {}", column.name, column.kind.to_ascii_lowercase())
}

/// A CSV reader goes by position, so columns may only ever come behind those that are there.
fn columns(
    thing: &str,
    wanted: &TableDefinition,
    found: &TableDefinition,
    change: &mut TableChange,
) -> Vec<Difference> {
    let (wanted_columns, found_columns) =
        (&wanted.storage_descriptor.columns, &found.storage_descriptor.columns);
    let mut differences = Vec::new();
    let step = "a CSV object's columns are found by their position, and objects are never rewritten; a job with other \
                columns needs other table names, or another curated prefix";
    for index in 0..wanted_columns.len().max(found_columns.len()) {
        let [wanted, found] =
            [wanted_columns, found_columns].map(|of| of.get(index).map_or_else(String::new, column_in_words));
        if wanted != found {
            let difference = Difference::new(thing, format!("column {}", index + 1), &wanted, &found);
            differences.push(difference.for_a_person(step));
        }
    }
    // All of them come behind the last that is there.
    let only_missing = differences.len() + found_columns.len() == wanted_columns.len();
    if only_missing && !differences.is_empty() {
        change.append_columns = wanted_columns[found_columns.len()..].to_vec();
        let appended = |difference: Difference| {
            difference
                .changed_by_apply("--apply puts it behind the others; partitions follow with the next crawl")
        };
        return differences.into_iter().map(appended).collect();
    }
    differences
}

fn parameters(
    thing: &str,
    wanted: &TableDefinition,
    found: &TableDefinition,
    change: &mut TableChange,
) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut compare = |wanted: &BTreeMap<String, String>, key: &str, found: &str| {
        let value = &wanted[key];
        if value == found {
            return None;
        }
        differences.push(Difference::new(thing, key, value, found).changed_by_apply(SETS));
        Some((key.to_owned(), value.clone()))
    };
    let (should, is) = (&wanted.storage_descriptor.serde_info, &found.storage_descriptor.serde_info);
    for (key, default) in SERDE_DEFAULTS {
        let value = is.parameters.get(key).map_or(default, String::as_str);
        change.serde_parameters.extend(compare(&should.parameters, key, value));
    }
    for key in [SKIP_KEY, CLASSIFICATION_KEY] {
        let value = found.parameters.get(key).map_or("", String::as_str);
        change.parameters.extend(compare(&wanted.parameters, key, value));
    }
    differences
}

/// The differences of a view that is there, and whether it may be replaced: only one that reads just our table is ours.
pub(super) fn view(thing: &str, wanted: &View, found: &FoundTable) -> (Vec<Difference>, bool) {
    let found = &found.definition;
    let mut differences = Vec::new();
    if !found.table_type.eq_ignore_ascii_case(VIRTUAL_VIEW) {
        let step = format!(
            "a table has the name of the view, perhaps made by a crawler over s3; rename or drop it, then sluicegate \
             catalog --apply. `sluicegate query` needs no stored view, and {} can be read as it is",
            wanted.reads
        );
        let difference = Difference::new(thing, "type", VIRTUAL_VIEW, &found.table_type);
        return (vec![difference.for_a_person(step)], false);
    }
    let select = select_of(found);
    let is_ours = select.as_deref().is_some_and(|select| mentions(select, &wanted.reads));
    let step = |difference: Difference| match is_ours {
        true => difference.changed_by_apply("--apply replaces the view"),
        false => difference.for_a_person(format!(
            "the view does not read {} and is left alone; rename or drop it, then sluicegate catalog --apply",
            wanted.reads
        )),
    };
    let (should, is) = (in_words(&wanted.columns), in_words(&found.storage_descriptor.columns));
    if should != is {
        differences.push(step(Difference::new(thing, "columns", should, is)));
    }
    if !select.as_deref().is_some_and(|select| same_statement(select, &wanted.select)) {
        let found = select.as_deref().map_or_else(|| "a text that cannot be read".to_owned(), one_line);
        differences.push(step(Difference::new(thing, "statement", one_line(&wanted.select), found)));
    }
    let replace = is_ours && !differences.is_empty();
    (differences, replace)
}

fn one_line(select: &str) -> String {
    select.split_whitespace().collect::<Vec<_>>().join(" ")
}
