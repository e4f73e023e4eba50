use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::curated::testing::schema;
use crate::curated::{CsvEncoder, object_key};
use crate::failure::FailureKind;

struct House {
    root: TempDir,
    engine: EmbeddedQueryEngine,
}

fn house() -> House {
    let root = tempfile::tempdir().unwrap();
    let engine = EmbeddedQueryEngine::new(
        &root.path().join("curated"),
        vec![schema()],
        &root.path().join("temporary"),
    );
    House { root, engine }
}

impl House {
    fn curated(&self) -> &Path {
        &self.engine.curated
    }

    fn publish(&self, table: &str, batch: &str, rows: &[(&[&str], &str)]) {
        let schema = schema();
        let table = schema.tables.iter().find(|known| known.name == table).unwrap();
        let mut encoder = CsvEncoder::new(Vec::new(), table).unwrap();
        for (values, source_order) in rows {
            encoder.row(values.iter().copied(), batch, source_order).unwrap();
        }
        let path = self.curated().join(object_key(&table.name, batch));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, encoder.finish().unwrap().0).unwrap();
    }

    fn order(&self, batch: &str, shop: &str, number: &str, amount: &str) {
        self.publish("orders", batch, &[(&[shop, number, "2024-05-06", "true", amount], batch)]);
    }

    /// Values of the answer as text, `|` between columns.
    fn rows(&mut self, sql: &str) -> Vec<String> {
        let answer = self.engine.query(sql).unwrap();
        let text = |value: &Value| match value {
            Value::Null => "NULL".to_owned(),
            Value::Integer(integer) => integer.to_string(),
            Value::Decimal(decimal) => format!("d{decimal}"),
            Value::Text(text) => format!("'{text}'"),
        };
        answer.rows.iter().map(|row| row.iter().map(text).collect::<Vec<_>>().join("|")).collect()
    }

    fn refusal(&mut self, sql: &str) -> String {
        let failure = self.engine.query(sql).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Permanent, "{sql}: {failure}");
        failure.message
    }
}

const FIRST: &str = "20240101T000000Z-1111111111111111";
const SECOND: &str = "20240102T000000Z-2222222222222222";

#[test]
fn typed_columns_have_their_types_and_raw_ones_are_text() {
    let mut house = house();
    house.publish(
        "orders",
        FIRST,
        &[(&["é", "7", "2024-05-06", "true", "8150.00"], "s"), (&["x", "8", "", "", ""], "s")],
    );
    assert_eq!(
        house.rows("SELECT shop, number, dated, paid, amount FROM orders"),
        ["'é'|7|'2024-05-06'|'true'|d8150.00", "'x'|8|NULL|NULL|NULL"]
    );
    assert_eq!(
        house.rows("SELECT number, paid, amount, source_order, dt FROM Orders_CSV WHERE number = '8'"),
        ["'8'|''|''|'s'|'2024-01-01'"]
    );
}

#[test]
fn only_finished_objects_are_read() {
    let mut house = house();
    house.order(FIRST, "a", "1", "1.00");
    let object = house.curated().join(object_key("orders", FIRST));
    for stray in [".tmp/orders.csv", "orders/dt=2024-01-01/x.tmp", "orders/stray.csv"] {
        let path = house.curated().join(stray);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(&object, path).unwrap();
    }
    assert_eq!(house.rows("SELECT count(*) FROM orders_csv"), ["1"]);
}

#[test]
fn without_any_object_the_tables_are_empty() {
    assert_eq!(
        house().rows("SELECT count(*), sum(amount) FROM orders LEFT JOIN lines USING (shop)"),
        ["0|NULL"]
    );
}

#[test]
fn the_newest_row_of_a_key_wins_with_its_children_alone() {
    let mut house = house();
    let lines = |count: usize, price: &'static str| -> Vec<[&'static str; 5]> {
        (0..count).map(|line| ["a", "1", ["1", "2", "3"][line], "text", price]).collect()
    };
    // The later batch carries the older record: source_order decides, not the order of loading.
    for (batch, source_order, amount, children) in
        [(FIRST, "2024/b", "30.00", lines(2, "15.00")), (SECOND, "2024/a", "9.00", lines(3, "3.00"))]
    {
        house.publish(
            "orders",
            batch,
            &[(&["a", "1", "", "", amount], source_order), (&["b", "1", "", "", "1.00"], source_order)],
        );
        let rows: Vec<_> = children.iter().map(|row| (row.as_slice(), source_order)).collect();
        house.publish("lines", batch, &rows);
    }
    assert_eq!(house.rows("SELECT shop, amount FROM orders ORDER BY shop"), ["'a'|d30.00", "'b'|d1.00"]);
    assert_eq!(house.rows("SELECT line, price FROM lines ORDER BY line"), ["1|d15.00", "2|d15.00"]);
    assert_eq!(house.rows("SELECT count(*) FROM lines_csv"), ["5"]);
}

#[test]
fn with_equal_order_the_batch_decides_for_parent_and_children() {
    let mut house = house();
    for (batch, text) in [(SECOND, "second"), (FIRST, "first")] {
        house.publish("orders", batch, &[(&["a", "1", "", "", ""], "same")]);
        house.publish("lines", batch, &[(&["a", "1", "1", text, ""], "same")]);
    }
    assert_eq!(house.rows("SELECT batch_id FROM orders"), [format!("'{SECOND}'")]);
    assert_eq!(house.rows("SELECT text FROM lines"), ["'second'"]);
}

#[test]
fn a_child_without_its_parent_is_not_shown() {
    let mut house = house();
    house.publish("lines", FIRST, &[(&["a", "1", "1", "", ""], "s")]);
    assert_eq!(house.rows("SELECT * FROM lines"), [""; 0]);
}

#[test]
fn sums_are_exact() {
    let mut house = house();
    let rows: Vec<[String; 5]> = (0..2_000)
        .map(|number| {
            let amount = if number % 2 == 0 { "0.10" } else { "0.20" };
            ["a".into(), number.to_string(), String::new(), String::new(), amount.into()]
        })
        .collect();
    let rows: Vec<Vec<&str>> = rows.iter().map(|row| row.iter().map(String::as_str).collect()).collect();
    let rows: Vec<(&[&str], &str)> = rows.iter().map(|row| (row.as_slice(), "s")).collect();
    house.publish("orders", FIRST, &rows);
    assert_eq!(
        house.rows("SELECT sum(amount), avg(amount), total(amount) FROM orders"),
        ["d300.00|d0.15|d300.00"]
    );
    assert_eq!(house.rows("SELECT sum(amount) = 300, sum(amount) > 299.99 FROM orders"), ["1|1"]);
    assert_eq!(house.rows("SELECT sum(amount), sum(number) FROM orders_csv"), ["d300.00|d1999000"]);
    assert_eq!(house.rows("SELECT sum(number), sum(DISTINCT amount) FROM orders"), ["1999000|d0.30"]);
    assert_eq!(
        house.rows("SELECT sum(amount) OVER (ORDER BY number ROWS 2 PRECEDING) FROM orders LIMIT 4"),
        ["d0.10", "d0.30", "d0.40", "d0.50"]
    );
}

#[test]
fn a_computed_decimal_has_the_places_of_the_columns_that_it_names() {
    let mut house = house();
    house.order(FIRST, "a", "1", "5000.00");
    house.order(SECOND, "a", "2", "430.00");
    let item: [&str; 5] = ["a", "1", "1", "text", "2.50"];
    house.publish("lines", FIRST, &[(&item, FIRST)]);
    for (sql, expected) in [
        ("SELECT sum(amount) FROM orders", "d5430.00"),
        ("SELECT ALL shop, max(o.amount) AS most, count(*) FROM orders o GROUP BY shop", "'a'|d5000.00|2"),
        ("SELECT coalesce(sum(amount), 0) - 30 AS left, avg(amount) FROM orders", "d5400.00|d2715.00"),
        ("SELECT amount * 1.125 FROM orders ORDER BY 1 LIMIT 1", "d483.75"),
        ("SELECT amount / 3 FROM orders ORDER BY 1 LIMIT 1", "d143.333333333333"),
        // Through a subquery, under another name, and through a star.
        ("WITH m AS (SELECT sum(amount) AS spent FROM orders) SELECT spent FROM m", "d5430.00"),
        ("SELECT * FROM (SELECT sum(amount) FROM orders), (SELECT sum(price) FROM lines)", "d5430.00|d2.50"),
        ("SELECT sum(x) FROM (SELECT o.*, amount AS x FROM orders o)", "d5430.00"),
        // No money: as it is.
        ("SELECT count(*) / 2.5 AS amount, 1.5 FROM orders WHERE amount > 1", "d0.8|d1.5"),
        ("SELECT sum(number) * 1.5 FROM orders", "d4.5"),
    ] {
        assert_eq!(house.rows(sql), [expected], "{sql}");
    }
    assert_eq!(
        house.rows("SELECT sum(amount) FROM orders UNION SELECT 1.5 ORDER BY 1 DESC"),
        ["d5430.00", "d1.50"]
    );
}

#[test]
fn amounts_beyond_floating_point_keep_every_digit() {
    let mut house = house();
    house.order(FIRST, "a", "1", "9999999999999999.99");
    house.order(SECOND, "a", "2", "0.02");
    assert_eq!(house.rows("SELECT amount FROM orders ORDER BY amount"), ["d0.02", "d9999999999999999.99"]);
    assert_eq!(
        house.rows("SELECT sum(amount), max(amount) FROM orders"),
        ["d10000000000000000.01|d9999999999999999.99"]
    );
    assert_eq!(house.rows("SELECT number FROM orders WHERE amount > 1000"), ["1"]);
    assert_eq!(house.rows("SELECT amount + 1 > 1e15 FROM orders WHERE number = 1"), ["1"]);
}

#[test]
fn comparisons_and_arithmetic_are_numeric() {
    let mut house = house();
    house.order(FIRST, "a", "1", "9.50");
    house.order(SECOND, "a", "2", "10.25");
    assert_eq!(
        house.rows("SELECT amount FROM orders WHERE amount > 9.5 OR amount = 9.500 ORDER BY amount"),
        ["d9.50", "d10.25"]
    );
    assert_eq!(
        house.rows("SELECT amount * 1.1, coalesce(amount, 0) > 10 FROM orders"),
        ["d10.45|0", "d11.275|1"]
    );
    assert_eq!(
        house.rows("SELECT x.amount FROM (SELECT amount FROM orders UNION ALL SELECT 3.14159) x LIMIT 3"),
        ["d9.50", "d10.25", "d3.14159"]
    );
    assert_eq!(
        house.rows("WITH o AS (SELECT * FROM orders) SELECT a.amount, b.amount FROM o a JOIN (SELECT amount, number FROM o ORDER BY 1 LIMIT 1) b USING (number)"),
        ["d9.50|d9.50"]
    );
    assert_eq!(house.rows("SELECT 0.1 + 0.2, 1/0, 1e999"), ["d0.3|NULL|'inf'"]);
}

#[test]
fn awkward_text_arrives_as_it_was() {
    let mut house = house();
    let texts =
        [" leading", "a,b", "say \"hi\"", "C:\\x\\", "東京 😀", "'; DROP TABLE lines; --", "\u{feff}x"];
    for (index, text) in texts.iter().enumerate() {
        let batch = format!("20240101T00000{index}Z-0");
        house.publish("orders", &batch, &[(&[text, "1", "", "", ""], "s")]);
    }
    let expected: Vec<_> = texts.iter().map(|text| format!("'{text}'")).collect();
    assert_eq!(house.rows("SELECT shop FROM orders ORDER BY batch_id"), expected);
    assert_eq!(house.rows("SELECT shop FROM orders_csv ORDER BY batch_id"), expected);
}

#[test]
fn only_one_statement_that_reads_is_run() {
    let mut house = house();
    house.order(FIRST, "a", "1", "1.00");
    let outside = house.root.path().join("outside.db");
    let attach = format!("ATTACH '{}' AS outside", outside.display());
    let vacuum = format!("VACUUM INTO '{}'", outside.display());
    for sql in [
        "",
        "-- nothing",
        "DELETE FROM orders",
        "DROP TABLE orders",
        "CREATE TABLE x (y)",
        "PRAGMA cache_size = 1",
        "PRAGMA table_info(orders)",
        "SELECT * FROM pragma_table_info('orders')",
        "BEGIN",
        "COMMIT",
        "VACUUM",
        "SELECT 1; SELECT 2",
        "SELECT 1; DELETE FROM orders",
        "WITH x AS (SELECT 1) DELETE FROM orders",
        "CREATE TEMP TABLE x AS SELECT 1",
        "REINDEX",
        "ANALYZE",
        &attach,
        &vacuum,
        "INSERT INTO orders (shop) VALUES ('x') RETURNING *",
    ] {
        assert_eq!(house.refusal(sql), ONLY_READING, "{sql}");
    }
    assert!(!outside.exists());
    assert_eq!(house.rows("VALUES (1), (2);"), ["1", "2"]);
    assert_eq!(
        house.rows(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT i FROM n"
        ),
        ["1", "2", "3"]
    );
}

#[test]
fn a_slip_is_told_in_the_engines_words_and_with_the_tables() {
    let mut house = house();
    let tables = "; the tables are orders, orders_csv, lines, lines_csv";
    assert_eq!(house.refusal("SELECT * FROM ordres"), format!("no such table: ordres{tables}"));
    assert_eq!(house.refusal("SELECT colour FROM orders"), format!("no such column: colour{tables}"));
    // A name in double quotes is a name, as it is for Athena, and never quietly a text.
    assert!(house.refusal("SELECT \"colour\" FROM orders").starts_with("no such column: \"colour\""));
    assert!(house.refusal("SELEC 1").starts_with("near \"SELEC\": syntax error; "));
    assert!(house.refusal("SELECT sum(shop) FROM (SELECT 'x' AS shop)").contains("\"x\" is not a number"));
    assert!(house.refusal("SELECT ?").contains("parameter"));
}

#[test]
fn a_damaged_object_is_named() {
    let mut house = house();
    house.order(FIRST, "a", "1", "1.00");
    let object = house.curated().join(object_key("orders", FIRST));
    fs::write(&object, "shop,number\n").unwrap();
    let message = house.refusal("SELECT * FROM orders");
    assert!(message.contains(FIRST) && message.contains("the header is shop,number"), "{message}");
    fs::write(&object, "shop,number,dated,paid,amount,batch_id,source_order\na,one,,,,b,s\n").unwrap();
    let message = house.refusal("SELECT * FROM orders");
    assert!(message.contains("\"one\" in orders.number is not an integer"), "{message}");
    assert_eq!(house.rows("SELECT number FROM orders_csv"), ["'one'"]);
}

#[test]
fn dates_have_athenas_functions() {
    let rows = house().rows(
        "SELECT date_trunc('month', d), date_trunc('WEEK', d), date_trunc('quarter', d), date_trunc('year', d),
                year(d), quarter(d), month(d), day(d), year(NULL) FROM (SELECT '2024-02-29' AS d)",
    );
    assert_eq!(rows, ["'2024-02-01'|'2024-02-26'|'2024-01-01'|'2024-01-01'|2024|1|2|29|NULL"]);
    assert!(house().refusal("SELECT year('soon')").contains("is not a date"));
    assert!(house().refusal("SELECT date_trunc('eon', '2024-01-01')").contains("\"eon\""));
}

#[test]
fn nothing_is_left_behind() {
    let mut house = house();
    house.order(FIRST, "a", "1", "1.00");
    house.rows("SELECT * FROM orders");
    house.refusal("SELECT * FROM nothing");
    assert_eq!(fs::read_dir(house.root.path().join("temporary")).unwrap().count(), 0);
}
