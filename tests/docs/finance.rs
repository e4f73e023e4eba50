//! docs/finance.md: every statement runs on a demo's warehouse.

use rusqlite::{Connection, OpenFlags};

use crate::{blocks, page, sluicegate};

/// The rows that `sql` answers.
fn rows(warehouse: &Connection, sql: &str) -> usize {
    let mut statement = warehouse.prepare(sql).unwrap_or_else(|error| panic!("{error}\n{sql}"));
    assert!(statement.readonly(), "{sql}");
    let mut rows = statement.query([]).unwrap();
    let mut count = 0;
    while rows.next().unwrap_or_else(|error| panic!("{error}\n{sql}")).is_some() {
        count += 1;
    }
    count
}

fn demo() -> (tempfile::TempDir, Connection) {
    let folder = tempfile::tempdir().unwrap();
    assert!(sluicegate(folder.path(), &["demo"]).status.success());
    let path = folder.path().join("var/demo/warehouse.db");
    let warehouse = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
    (folder, warehouse)
}

fn is_a_check(sql: &str) -> bool {
    sql.starts_with("-- No line when all is well.")
}

#[test]
fn every_statement_runs_on_a_demo() {
    let page = page("docs/finance.md");
    let statements = blocks(&page, "sql");
    assert!(statements.len() >= 8, "{}", statements.len());
    let (_folder, warehouse) = demo();
    for sql in statements {
        let found = rows(&warehouse, sql);
        assert_eq!(found == 0, is_a_check(sql), "{found} rows\n{sql}");
    }
}

#[test]
fn the_checks_find_what_is_wrong() {
    let page = page("docs/finance.md");
    let checks: Vec<&str> = blocks(&page, "sql").into_iter().filter(|sql| is_a_check(sql)).collect();
    let harm = [
        "UPDATE invoices SET total = '5958.01' WHERE total = '5958.00'",
        "UPDATE sluicegate_document SET outcome = 'loaded' WHERE outcome = 'duplicate'",
    ];
    assert_eq!(checks.len(), harm.len());
    let (_folder, warehouse) = demo();
    for (check, harm) in checks.into_iter().zip(harm) {
        assert_eq!(warehouse.execute(harm, []).unwrap(), 1, "{harm}");
        assert_eq!(rows(&warehouse, check), 1, "{check}");
    }
}
