//! What an operation answers.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

/// The output, or an error with status 400.
pub(super) type Answer = Result<Value, Refusal>;

/// A documented error.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: &'static str,
    pub(super) message: String,
}

pub(super) fn refusal(code: &'static str, message: &str) -> Refusal {
    Refusal { code, message: message.to_owned() }
}

pub(super) fn not_found(what: &str) -> Refusal {
    refusal("EntityNotFoundException", &format!("{what} not found."))
}

pub(super) fn exists(what: &str) -> Refusal {
    refusal("AlreadyExistsException", &format!("{what} already exists."))
}

/// An error of a fault rule.
pub(super) fn error(code: &str) -> Value {
    json!({ "__type": code, "Message": "because a test wants it" })
}

/// A text member that must be there.
pub(super) fn text(input: &Value, name: &str) -> Result<String, Refusal> {
    let found = input[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    found.ok_or_else(|| refusal("InvalidInputException", &format!("{name} is missing")))
}

/// A time as JSON 1.1 has it: seconds since 1970, with fractions.
pub(super) fn seconds(time: DateTime<Utc>) -> Value {
    json!(time.timestamp_millis() as f64 / 1000.0)
}

/// One page of `items`: `MaxResults` of them, at most `most`, from where `NextToken` says.
pub(super) fn page(input: &Value, items: Vec<Value>, member: &str, most: usize) -> Answer {
    let from: usize = match input["NextToken"].as_str() {
        Some(token) => {
            token.parse().map_err(|_| refusal("InvalidInputException", "that token is not mine"))?
        }
        None => 0,
    };
    let size = input["MaxResults"].as_u64().map_or(most, |size| (size as usize).min(most)).max(1);
    let rest = items.len().saturating_sub(from);
    let mut output = json!({});
    output[member] = items.into_iter().skip(from).take(size).collect();
    if rest > size {
        output["NextToken"] = json!((from + size).to_string());
    }
    Ok(output)
}
