//! One value of an answer: Athena gives text, and the column's type beside it.

use crate::ports::query_engine::Value;

/// The value of a cell. A missing text is NULL, and an empty one is the empty text. What is not written as its type says is
/// text, never dropped.
pub(super) fn value(text: Option<&str>, kind: &str, scale: i32) -> Value {
    let Some(text) = text else { return Value::Null };
    let kind = kind.to_ascii_lowercase();
    let (name, arguments) = kind.split_once('(').unwrap_or((&kind, ""));
    match name.trim() {
        // `hugeint` is what a stand-in's sum of whole numbers is; in Athena it is `bigint`.
        "tinyint" | "smallint" | "int" | "integer" | "bigint" | "hugeint" => whole(text),
        "decimal" => {
            // `decimal(38,2)` says it in the name, `decimal` beside it.
            let named = arguments.trim_end_matches(')').split(',').nth(1);
            let scale = named.and_then(|scale| scale.trim().parse().ok()).or(usize::try_from(scale).ok());
            decimal(text, scale.unwrap_or(0))
        }
        _ => Value::Text(text.to_owned()),
    }
}

/// A number too large for 64 bits keeps its digits.
fn whole(text: &str) -> Value {
    text.parse().map_or_else(|_| decimal(text, 0), Value::Integer)
}

/// With at least the places of its column; none is ever cut off.
fn decimal(text: &str, scale: usize) -> Value {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, places) = digits.split_once('.').unwrap_or((digits, ""));
    let are_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !are_digits(whole) || !are_digits(places) || digits.ends_with('.') {
        return Value::Text(text.to_owned());
    }
    let sign = if text.starts_with('-') { "-" } else { "" };
    let point = if places.is_empty() && scale == 0 { "" } else { "." };
    Value::Decimal(format!("{sign}{whole}{point}{places:0<scale$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_its_value() {
        let decimal = |text: &str| Value::Decimal(text.to_owned());
        let text = |text: &str| Value::Text(text.to_owned());
        for (cell, kind, scale, expected) in [
            (None, "varchar", 0, Value::Null),
            (None, "decimal", 2, Value::Null),
            (Some(""), "varchar", 0, text("")),
            (Some("7"), "bigint", 0, Value::Integer(7)),
            (Some("-7"), "INTEGER", 0, Value::Integer(-7)),
            (
                Some("170141183460469231731687303715884105727"),
                "bigint",
                0,
                decimal("170141183460469231731687303715884105727"),
            ),
            (Some("7"), "hugeint", 0, Value::Integer(7)),
            (Some("7"), "varchar", 0, text("7")),
            (Some("5430.00"), "decimal", 2, decimal("5430.00")),
            (Some("5430"), "decimal", 2, decimal("5430.00")),
            (Some("-0.5"), "decimal", 2, decimal("-0.50")),
            (Some("5430"), "decimal(38,2)", 0, decimal("5430.00")),
            (Some("5430.00"), "decimal", 0, decimal("5430.00")),
            (Some("5430.125"), "decimal", 2, decimal("5430.125")),
            (Some("5430"), "decimal", 0, decimal("5430")),
            (Some("1E+3"), "decimal", 2, text("1E+3")),
            (Some("5."), "decimal", 2, text("5.")),
            (Some(".5"), "decimal", 2, text(".5")),
            (Some(""), "decimal", 2, text("")),
            (Some(""), "bigint", 0, text("")),
            (Some("1.5"), "double", 17, text("1.5")),
            (Some("2024-05-06"), "date", 0, text("2024-05-06")),
            (Some("2024-05-06 10:11:12.000"), "timestamp", 3, text("2024-05-06 10:11:12.000")),
            (Some("true"), "boolean", 0, text("true")),
            (Some("[1, 2]"), "array(integer)", 0, text("[1, 2]")),
        ] {
            assert_eq!(value(cell, kind, scale), expected, "{cell:?} {kind}");
        }
    }
}
