//! Goal: the views' text is the contract's, and no way of writing a statement confuses what is put in front of it.

use super::*;
use crate::curated::testing::{schema, table};
use crate::job::Job;
use crate::schema::{ColumnType, Schema};

fn with(sql: &str) -> String {
    // The views' own text is shown by other tests.
    with_views(&[schema()], sql).unwrap().text.replace(&select("orders"), "O").replace(&select("lines"), "L")
}

fn select(name: &str) -> String {
    let schema = schema();
    let table = schema.tables.iter().find(|table| table.name == name).unwrap();
    view_select(&schema, table).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn refused(sql: &str) -> String {
    let NotReading(problem) = with_views(&[schema()], sql).unwrap_err();
    assert!(problem.starts_with(ONLY_READING), "{problem}");
    problem[ONLY_READING.len() + 2..].to_owned()
}

#[test]
fn the_views_of_the_shipped_job() {
    let job = Job::parse(
        std::path::Path::new("jobs/invoices.toml"),
        include_str!("../../jobs/invoices.toml"),
        &|_| None,
    );
    let job = job.unwrap();
    let schema = job.definition.schema();
    let views: Vec<String> = schema
        .tables
        .iter()
        .map(|table| format!("{}:\n{}", table.name, view_select(schema, table)))
        .collect();
    insta::assert_snapshot!(views.join("\n\n"));
}

#[test]
fn the_views_of_every_type_and_of_words_of_the_language() {
    let order = [("select", ColumnType::Integer), ("order", ColumnType::Date), ("paid", ColumnType::Boolean)];
    // The parent's key is not its first columns, and the child calls it by its own name.
    let items = [("up", ColumnType::Date), ("group", ColumnType::Decimal { precision: 28, scale: 0 })];
    let schema = Schema { tables: vec![table("order", &order, &[1]), table("group", &items, &[0, 1])] };
    let views: Vec<String> = schema.tables.iter().map(|table| view_select(&schema, table)).collect();
    insta::assert_snapshot!(views.join("\n\n"));
}

#[test]
fn only_the_views_that_are_mentioned_are_put_in_front() {
    assert_eq!(with("SELECT 1"), "SELECT 1");
    assert_eq!(with("SELECT * FROM orders_csv"), "SELECT * FROM orders_csv");
    assert_eq!(with("SELECT * FROM orders"), "WITH \"orders\" AS (O) SELECT * FROM orders");
    assert_eq!(with("select * from \"LINES\""), "WITH \"lines\" AS (L) select * from \"LINES\"");
    assert_eq!(
        with("SELECT * FROM lines JOIN Orders USING (shop)"),
        "WITH \"orders\" AS (O), \"lines\" AS (L) SELECT * FROM lines JOIN Orders USING (shop)"
    );
    assert_eq!(
        with("SELECT 'orders', 'it''s orders' -- orders\n/* lines */"),
        "SELECT 'orders', 'it''s orders' -- orders\n/* lines */"
    );
    assert_eq!(
        with("(SELECT 1 FROM orders) UNION SELECT 2"),
        "WITH \"orders\" AS (O) (SELECT 1 FROM orders) UNION SELECT 2"
    );
    assert_eq!(with("TABLE orders"), "WITH \"orders\" AS (O) TABLE orders");
    assert_eq!(with("VALUES (1), (2);"), "VALUES (1), (2)");
}

#[test]
fn a_with_of_the_users_is_merged() {
    assert_eq!(
        with("WITH x AS (SELECT * FROM orders) SELECT * FROM x"),
        "WITH \"orders\" AS (O), x AS (SELECT * FROM orders) SELECT * FROM x"
    );
    assert_eq!(
        with(
            "-- with a comment\nwith recursive n(i) as (select 1 union all select i + 1 from n) select * from n, orders;"
        ),
        "-- with a comment\nwith recursive \"orders\" AS (O), n(i) as (select 1 union all select i + 1 from n) select * from n, orders"
    );
    assert_eq!(
        with("WITH/* orders( */x AS MATERIALIZED (SELECT ')' FROM \"orders\"), \"y(\" AS (SELECT 1) TABLE x"),
        "WITH \"orders\" AS (O),/* orders( */x AS MATERIALIZED (SELECT ')' FROM \"orders\"), \"y(\" AS (SELECT 1) TABLE x"
    );
}

#[test]
fn a_name_of_the_users_shadows_ours() {
    let shadowed = "WITH Orders AS (SELECT 1 AS a) SELECT * FROM orders";
    assert_eq!(with(shadowed), shadowed);
    assert_eq!(
        with("WITH \"orders\" (a, b) AS (VALUES (1, 2)), x AS (SELECT (1)) SELECT * FROM orders, lines"),
        "WITH \"lines\" AS (L), \"orders\" (a, b) AS (VALUES (1, 2)), x AS (SELECT (1)) SELECT * FROM orders, lines"
    );
    // Further in, a name shadows by itself, as everywhere in SQL.
    assert_eq!(
        with("SELECT * FROM (WITH orders AS (SELECT 1) SELECT * FROM orders)"),
        "WITH \"orders\" AS (O) SELECT * FROM (WITH orders AS (SELECT 1) SELECT * FROM orders)"
    );
}

/// Where the engine finds the word `slip` in what it was given, and what the user is told.
fn told(sql: &str) -> (String, String) {
    let statement = with_views(&[schema()], sql).unwrap();
    let before = &statement.text[..statement.text.find("slip").unwrap()];
    let column = before.rsplit('\n').next().unwrap().chars().count() + 1;
    let place = format!("line {}:{column}: no slip", before.matches('\n').count() + 1);
    let shown = statement.in_users_places(&place);
    (place, shown)
}

#[test]
fn places_in_messages_are_those_of_the_users_words() {
    assert_eq!(told("SELECT slip FROM orders").1, "line 1:8: no slip");
    assert_eq!(told("-- é\nSELECT slip FROM orders").1, "line 2:8: no slip");
    assert_eq!(told("/* é */ WITH x AS (SELECT slip FROM orders) TABLE x").1, "line 1:27: no slip");
    let (sent, shown) = told("SELECT 1\nFROM orders WHERE slip");
    assert_eq!((sent.as_str(), shown.as_str()), ("line 2:19: no slip", "line 2:19: no slip"));
    let (sent, shown) = told("SELECT slip");
    assert_eq!(sent, shown);
    let statement = with_views(&[schema()], "SELECT * FROM orders").unwrap();
    for other in ["the headline is", "line 1:8", "a line 99999999999999999999:1 line x:y", "line "] {
        assert_eq!(statement.in_users_places(other), other);
    }
}

#[test]
fn only_one_statement_that_reads_is_taken() {
    assert_eq!(refused(""), "there is none");
    assert_eq!(refused(" ; -- nothing"), "there is none");
    assert_eq!(refused("SELECT 1; SELECT 2"), "there is a semicolon in its middle");
    assert_eq!(refused("DROP TABLE orders"), "this one begins with DROP");
    assert_eq!(refused("insert into orders select 1"), "this one begins with insert");
    assert_eq!(refused("WITH x AS (SELECT 1) DELETE FROM orders"), "this one begins with DELETE");
    assert_eq!(refused("WITH x AS (SELECT 1)"), "it ends behind its WITH");
    assert_eq!(refused("WITH"), "a name is missing in its WITH");
    for unclear in [
        "WITH x",
        "WITH x AS",
        "WITH x AS (SELECT",
        "WITH x AS SELECT 1",
        "WITH x 'y' AS (SELECT 1)",
        "WITH x )",
    ] {
        let problem = refused(unclear);
        assert!(problem.contains("`name AS (…)`") || problem.contains("begins with"), "{unclear}: {problem}");
    }
    assert_eq!(refused("SELECT 'a"), "a text without its closing quote '");
    assert_eq!(refused("SELECT \"a"), "a name without its closing quote");
    assert_eq!(refused("SELECT 1 /* a"), "a comment /* without its end */");
    assert_eq!(with("SELECT ';' AS \";\" /* ; */ -- ;"), "SELECT ';' AS \";\" /* ; */ -- ;");
}

#[test]
fn a_mention_is_a_name_and_no_text() {
    assert!(mentions("SELECT orders.shop FROM x", "orders"));
    assert!(mentions("SELECT 1 FROM\"orders\"", "orders"));
    assert!(!mentions("SELECT 'orders' FROM orders_csv -- orders", "orders"));
    assert!(!mentions("SELECT 'orders", "orders"));
    // A name that the statement gives.
    assert!(!mentions("SELECT count(*) AS orders FROM lines AS \"orders\"", "orders"));
    assert!(mentions("SELECT count(*) AS orders FROM orders", "orders"));
}

mod arbitrary {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_refused_or_taken_with_all_that_it_needs(sql in r#"(WITH |SELECT |orders|é|'|"|`|\(|\)|,|;|--|/\*|\*/|\n| |AS |x|1){0,30}"#) {
            // What came out has all that it needs in front, so nothing more is put there.
            if let Ok(statement) = with_views(&[schema()], &sql) {
                prop_assert_eq!(with_views(&[schema()], &statement.text).map(|again| again.text), Ok(statement.text));
            }
        }
    }
}
