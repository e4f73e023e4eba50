//! Goal: an answer arrives whole, with every value as it is.

use serde_json::{Value as Json, json};
use sluicegate::ports::query_engine::{Answer, QueryEngine, Value};

use crate::endpoint::{Endpoint, Look, Script, page, succeeded};

const WORD: [(&str, &str, i32); 1] = [("word", "varchar", 0)];

fn answer(pages: Vec<Json>) -> Answer {
    Endpoint::with_pages(pages).engine().query("SELECT 1").unwrap()
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn decimal(text: &str) -> Value {
    Value::Decimal(text.to_owned())
}

fn words(answer: &Answer) -> Vec<Value> {
    answer.rows.iter().map(|row| row[0].clone()).collect()
}

#[test]
fn values_have_the_types_of_their_columns_and_null_is_not_the_empty_text() {
    let columns = [
        ("customer", "varchar", 0),
        ("number", "bigint", 0),
        ("dated", "date", 0),
        ("paid", "boolean", 0),
        ("total", "decimal", 2),
        ("mean", "double", 0),
    ];
    let rows = [
        json!(["customer", "number", "dated", "paid", "total", "mean"]),
        json!(["é, \"x\"", "7", "2024-05-06", "true", "8150.00", "0.5"]),
        json!(["", "-9223372036854775808", null, "false", "-0.5", "1.0E10"]),
        json!([null, null, null, null, null, null]),
    ];
    let answer = answer(vec![page(&columns, &rows)]);
    assert_eq!(answer.columns, ["customer", "number", "dated", "paid", "total", "mean"]);
    assert_eq!(
        answer.rows,
        [
            vec![
                text("é, \"x\""),
                Value::Integer(7),
                text("2024-05-06"),
                text("true"),
                decimal("8150.00"),
                text("0.5")
            ],
            vec![
                text(""),
                Value::Integer(i64::MIN),
                Value::Null,
                text("false"),
                decimal("-0.50"),
                text("1.0E10")
            ],
            vec![Value::Null; 6],
        ]
    );
}

#[test]
fn all_pages_are_read_and_one_header_is_removed() {
    let first: Vec<Json> =
        std::iter::once(json!(["word"])).chain((0..999).map(|n| json!([n.to_string()]))).collect();
    // A row of a later page is never a header, whatever it says.
    let second = [json!(["word"]), json!(["999"])];
    let answer = answer(vec![page(&WORD, &first), page(&WORD, &[]), page(&WORD, &second)]);
    let found = words(&answer);
    assert_eq!(found.len(), 1_001);
    assert_eq!(
        (&found[0], &found[998], &found[999], &found[1_000]),
        (&text("0"), &text("998"), &text("word"), &text("999"))
    );
}

#[test]
fn a_first_row_that_is_no_header_stays() {
    // What stands in for Athena may leave the header out.
    assert_eq!(words(&answer(vec![page(&WORD, &[json!(["other"])])])), [text("other")]);
    assert_eq!(
        words(&answer(vec![page(&WORD, &[json!([null]), json!(["word"])])])),
        [Value::Null, text("word")]
    );
    // Athena gives one to statements that select alone.
    let mut show = Script { pages: vec![page(&WORD, &[json!(["word"])])], ..Script::default() };
    let utility = json!({ "StatementType": "UTILITY", "Status": { "State": "SUCCEEDED" } });
    show.looks = [Look::State(utility)].into();
    assert_eq!(words(&Endpoint::start(show).engine().query("VALUES 1").unwrap()), [text("word")]);
}

#[test]
fn no_rows_are_an_answer() {
    let empty = answer(vec![page(&WORD, &[json!(["word"])])]);
    assert_eq!((empty.columns.len(), empty.rows.len()), (1, 0));
    // A stand-in that runs no SQL has neither columns nor rows.
    assert_eq!(answer(vec![page(&[], &[])]).columns.len(), 0);
    let mut short = page(&[("a", "varchar", 0), ("b", "varchar", 0)], &[json!(["a", "b"]), json!(["x"])]);
    short["NextToken"] = json!("");
    assert_eq!(answer(vec![short]).rows, [[text("x"), Value::Null]]);
}

#[test]
fn what_it_read_is_told() {
    let answer = answer(vec![crate::endpoint::one()]);
    let scan = answer.scan.unwrap();
    assert_eq!((scan.bytes, scan.run_time.as_millis()), (12_345_678, 1_840));
}

#[test]
fn a_page_that_comes_again_and_again_ends_in_an_error() {
    let mut again = crate::endpoint::one();
    again["NextToken"] = json!("page 0");
    let script = Script { looks: [succeeded()].into(), pages: vec![again], ..Script::default() };
    let failure = Endpoint::start(script).engine().query("SELECT 1").unwrap_err();
    assert!(failure.message.contains("again and again"), "{failure}");
}
