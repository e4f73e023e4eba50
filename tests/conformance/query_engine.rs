//! What every query engine must do. The statements keep to what the engines have in common.

use std::fs;
use std::path::{Path, PathBuf};

use sluicegate::failure::FailureKind;
use sluicegate::ports::query_engine::{QueryEngine, Value};

use crate::published::{MONDAY, MONDAY_LATER, TUESDAY, publish, publish_in_order};

/// Makes a query engine over a curated folder that holds nothing yet.
pub(crate) type Make<'a> = dyn FnMut() -> (Box<dyn QueryEngine>, PathBuf) + 'a;

/// Runs every case over engines that know the tables of [`crate::published::schema`].
pub(crate) fn query_engine_suite(make: &mut Make<'_>) {
    let cases: [fn(&mut dyn QueryEngine, &Path); 10] = [
        values_have_the_types_of_their_columns,
        the_raw_table_has_text_and_its_partition,
        every_published_object_is_read_and_nothing_else,
        without_objects_the_tables_are_empty,
        awkward_text_arrives_as_it_was,
        the_newest_record_wins,
        the_children_are_those_of_the_winner,
        sums_are_exact,
        decimals_compare_as_numbers,
        what_is_no_reading_statement_is_refused,
    ];
    for case in cases {
        let (mut engine, curated) = make();
        case(&mut *engine, &curated);
    }
}

fn values_have_the_types_of_their_columns(engine: &mut dyn QueryEngine, curated: &Path) {
    publish(
        curated,
        "bills",
        MONDAY,
        &[["a", "7", "2024-05-06", "true", "8150.00"], ["b", "-8", "", "", ""]],
    );
    let answer = engine.query("SELECT customer, number, dated, total FROM bills ORDER BY customer").unwrap();
    assert_eq!(answer.columns, ["customer", "number", "dated", "total"]);
    let [text, date, decimal] = ["a", "2024-05-06", "8150.00"].map(str::to_owned);
    assert_eq!(
        answer.rows,
        [
            vec![Value::Text(text), Value::Integer(7), Value::Text(date), Value::Decimal(decimal)],
            vec![Value::Text("b".to_owned()), Value::Integer(-8), Value::Null, Value::Null],
        ]
    );
}

fn the_raw_table_has_text_and_its_partition(engine: &mut dyn QueryEngine, curated: &Path) {
    publish(curated, "bills", TUESDAY, &[["a", "7", "", "", "1.50"]]);
    // What stands in for Athena reads an empty field as NULL; Athena itself as the empty text (its page about OpenCSVSerDe).
    let sql = "SELECT number, coalesce(dated, ''), total, batch_id, dt FROM bills_csv";
    assert_eq!(rows(engine, sql), [["7", "", "1.50", TUESDAY, "2024-05-07"].map(text)]);
}

fn every_published_object_is_read_and_nothing_else(engine: &mut dyn QueryEngine, curated: &Path) {
    for (batch, number) in [(MONDAY, "1"), (MONDAY_LATER, "2"), (TUESDAY, "3")] {
        publish(curated, "bills", batch, &[["a", number, "", "", ""]]);
    }
    fs::create_dir_all(curated.join(".tmp")).unwrap();
    fs::write(curated.join(".tmp").join("half.csv"), "half of a li").unwrap();
    assert_eq!(
        rows(engine, "SELECT number FROM bills ORDER BY number"),
        [[1], [2], [3]].map(|row| row.map(Value::Integer))
    );
}

fn without_objects_the_tables_are_empty(engine: &mut dyn QueryEngine, _: &Path) {
    assert_eq!(rows(engine, "SELECT count(*) FROM bill_items"), [[Value::Integer(0)]]);
    assert_eq!(engine.query("SELECT * FROM bills_csv").unwrap().columns.len(), 8);
}

fn awkward_text_arrives_as_it_was(engine: &mut dyn QueryEngine, curated: &Path) {
    let texts = [" a", "a,b", "say \"hi\"", "\"", "C:\\new\\", "é 東京 😀", "it's", "NULL", "\\N", "a;b\tc"];
    let items: Vec<[&str; 5]> = texts.iter().map(|text| ["a", "1", "1", *text, ""]).collect();
    let lines: Vec<String> = (0..texts.len()).map(|line| line.to_string()).collect();
    let items: Vec<_> =
        items.iter().zip(&lines).map(|(row, line)| [row[0], row[1], line, row[3], row[4]]).collect();
    publish(curated, "bills", MONDAY, &[["a", "1", "", "", ""]]);
    publish(curated, "bill_items", MONDAY, &items);
    assert_eq!(
        rows(engine, "SELECT description FROM bill_items ORDER BY line"),
        texts.map(|value| [text(value)])
    );
}

fn the_newest_record_wins(engine: &mut dyn QueryEngine, curated: &Path) {
    // The later batch carries the older record of `a`: what counts is the source order.
    publish_in_order(curated, "bills", MONDAY, "2024-05-06T09:00:00Z", &[["a", "1", "", "", "2.00"]]);
    publish_in_order(curated, "bills", TUESDAY, "2024-05-06T08:00:00Z", &[["a", "1", "", "", "1.00"]]);
    publish(curated, "bills", MONDAY_LATER, &[["a", "2", "", "", "5.00"]]);
    let sql = "SELECT number, total FROM bills ORDER BY number";
    let expected = [(1, "2.00"), (2, "5.00")];
    assert_eq!(rows(engine, sql), expected.map(|(number, total)| [Value::Integer(number), decimal(total)]));
    assert_eq!(rows(engine, "SELECT count(*) FROM bills_csv"), [[Value::Integer(3)]]);
}

fn the_children_are_those_of_the_winner(engine: &mut dyn QueryEngine, curated: &Path) {
    let item = |line, description| ["a", "1", line, description, "1.00"];
    publish(curated, "bills", MONDAY, &[["a", "1", "", "", ""]]);
    publish(curated, "bill_items", MONDAY, &[item("1", "old"), item("2", "old"), item("3", "old")]);
    publish(curated, "bills", TUESDAY, &[["a", "1", "", "", ""]]);
    publish(curated, "bill_items", TUESDAY, &[item("1", "new"), item("2", "new")]);
    let sql = "SELECT line, description FROM bill_items ORDER BY line";
    assert_eq!(rows(engine, sql), [1, 2].map(|line| [Value::Integer(line), text("new")]));
}

fn sums_are_exact(engine: &mut dyn QueryEngine, curated: &Path) {
    let numbers: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
    let bills: Vec<_> = numbers
        .iter()
        .enumerate()
        .map(|(index, number)| ["a", number, "", "", if index % 2 == 0 { "0.10" } else { "0.21" }])
        .collect();
    publish(curated, "bills", MONDAY, &bills);
    let sum = rows(engine, "SELECT sum(total) FROM bills").remove(0).remove(0);
    assert_eq!(sum, decimal("155.00"), "a sum has the places of what is summed");
    assert_eq!(
        rows(engine, "SELECT count(*) FROM bills GROUP BY customer HAVING sum(total) = 155"),
        [[Value::Integer(1000)]]
    );
}

fn decimals_compare_as_numbers(engine: &mut dyn QueryEngine, curated: &Path) {
    publish(curated, "bills", MONDAY, &[["a", "1", "", "", "9.50"], ["a", "2", "", "", "10.25"]]);
    assert_eq!(rows(engine, "SELECT number FROM bills WHERE total > 9.5"), [[Value::Integer(2)]]);
    assert_eq!(
        rows(engine, "SELECT total FROM bills ORDER BY total DESC"),
        ["10.25", "9.50"].map(|total| [decimal(total)])
    );
}

fn what_is_no_reading_statement_is_refused(engine: &mut dyn QueryEngine, curated: &Path) {
    publish(curated, "bills", MONDAY, &[["a", "1", "", "", ""]]);
    for sql in ["", "SELEC 1", "SELECT * FROM nowhere", "DROP TABLE bills", "SELECT 1; SELECT 2"] {
        let failure = engine.query(sql).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Permanent, "{sql}: {failure}");
    }
    assert_eq!(rows(engine, "SELECT count(*) FROM bills"), [[Value::Integer(1)]]);
}

fn rows(engine: &mut dyn QueryEngine, sql: &str) -> Vec<Vec<Value>> {
    engine.query(sql).unwrap_or_else(|failure| panic!("{sql}: {failure}")).rows
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

fn decimal(value: &str) -> Value {
    Value::Decimal(value.to_owned())
}
