//! docs/reconciliation.md against the program: every kind, its place in the table, and every statement.

use std::collections::BTreeSet;

use regex::Regex;
use rusqlite::{Connection, OpenFlags};

use crate::rules::code;
use crate::{blocks, page, quoted, root, section_of, sluicegate, table};

const PAGE: &str = "docs/reconciliation.md";

#[test]
fn every_kind_is_described() {
    let page = page(PAGE);
    let rows = table(section_of(&page, "## What it finds, and what mends it"));
    let told: BTreeSet<String> = rows.iter().flat_map(|row| quoted(&row[0])).collect();
    let words = Regex::new(r#"\("(\w+)", "(?:lost|duplicated|unexpected)", "\w+"\)"#).unwrap();
    let code = code(&root().join("src/reconcile/finding.rs"));
    let there: BTreeSet<String> = words.captures_iter(&code).map(|found| found[1].to_owned()).collect();
    assert!(there.len() > 10, "{there:?}");
    assert_eq!(told, there);
}

#[test]
fn every_place_is_described() {
    let page = page(PAGE);
    let told: Vec<String> =
        table(section_of(&page, "## Place against place")).iter().flat_map(|row| quoted(&row[0])).collect();
    let words = Regex::new(r#"\("(\w+)", "(?:documents|rows|objects|partitions)"\)"#).unwrap();
    let code = code(&root().join("src/reconcile/day.rs"));
    let there: Vec<String> = words.captures_iter(&code).map(|found| found[1].to_owned()).collect();
    assert_eq!(told, there);
}

#[test]
fn every_statement_runs() {
    let folder = tempfile::tempdir().unwrap();
    assert!(sluicegate(folder.path(), &["demo"]).status.success());
    let path = folder.path().join("var/demo/warehouse.db");
    let warehouse = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
    let page = page(PAGE);
    let statements = blocks(&page, "sql");
    assert_eq!(statements.len(), 2);
    for sql in statements {
        assert!(warehouse.prepare(sql).unwrap_or_else(|error| panic!("{error}\n{sql}")).readonly(), "{sql}");
    }
}
