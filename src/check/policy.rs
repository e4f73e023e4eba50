//! Policies of queues and topics: who may send.

use std::collections::BTreeMap;

use serde_json::Value;

/// The policy among the attributes of a queue or a topic; null where there is none.
pub(super) fn of_attributes(attributes: &BTreeMap<String, String>) -> Value {
    let policy = attributes.get("Policy").filter(|policy| !policy.is_empty());
    policy.and_then(|policy| serde_json::from_str(policy).ok()).unwrap_or(Value::Null)
}

/// Whether a policy lets a service do something, for the sake of `source`. Conditions other than on the source are taken to
/// be met.
pub(super) fn allows(policy: &Value, action: &str, service: &str, source: Option<&str>) -> bool {
    let statements = match policy.get("Statement") {
        Some(Value::Array(list)) => list.as_slice(),
        Some(one) => std::slice::from_ref(one),
        None => return false,
    };
    statements.iter().any(|statement| {
        statement.get("Effect").and_then(Value::as_str) == Some("Allow")
            && names(statement.get("Action"), |pattern| fits(pattern, action))
            && is_principal(statement.get("Principal"), service)
            && is_source(statement.get("Condition"), source)
    })
}

fn names(value: Option<&Value>, is_it: impl Fn(&str) -> bool) -> bool {
    match value {
        Some(Value::String(text)) => is_it(text),
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).any(is_it),
        _ => false,
    }
}

/// Whether a pattern of actions covers one; their case does not matter. SNS's own default policy says `SNS:Publish`.
fn fits(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_lowercase(), action.to_lowercase());
    match pattern.split_once('*') {
        Some((start, _)) => action.starts_with(start),
        None => pattern == action,
    }
}

fn is_principal(principal: Option<&Value>, service: &str) -> bool {
    match principal {
        Some(Value::String(text)) => text == "*",
        Some(Value::Object(kinds)) => {
            names(kinds.get("AWS"), |who| who == "*") || names(kinds.get("Service"), |who| who == service)
        }
        _ => false,
    }
}

fn is_source(condition: Option<&Value>, source: Option<&str>) -> bool {
    let (Some(Value::Object(operators)), Some(source)) = (condition, source) else { return true };
    let sources = operators.values().filter_map(Value::as_object).flatten();
    let mut sources = sources.filter(|(key, _)| key.eq_ignore_ascii_case("aws:SourceArn")).peekable();
    let fits = |pattern: &str| match pattern.split_once('*') {
        Some((start, _)) => source.starts_with(start),
        None => source == pattern,
    };
    sources.peek().is_none() || sources.any(|(_, value)| names(Some(value), fits))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: &str = "arn:aws:sns:eu-west-1:1:landed";

    fn policy(principal: &str, action: &str, condition: &str) -> Value {
        let text = format!(
            r#"{{"Statement": [{{"Effect": "Allow", "Principal": {principal}, "Action": {action}{condition}}}]}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_policy_allows_what_it_says() {
        let sns = r#"{"Service": "sns.amazonaws.com"}"#;
        let of_topic = format!(r#", "Condition": {{"ArnEquals": {{"aws:SourceArn": "{TOPIC}"}}}}"#);
        let of_other = r#", "Condition": {"ArnLike": {"aws:SourceArn": ["arn:aws:sns:eu-west-1:1:other*"]}}"#;
        for (policy, expected) in [
            (policy(sns, r#""sqs:SendMessage""#, &of_topic), true),
            (policy(r#""*""#, r#"["SQS:SendMessage"]"#, ""), true),
            (policy(r#"{"AWS": "*"}"#, r#""sqs:*""#, ""), true),
            (policy(sns, r#""sqs:ReceiveMessage""#, ""), false),
            (policy(r#"{"Service": "s3.amazonaws.com"}"#, r#""sqs:SendMessage""#, ""), false),
            (policy(sns, r#""sqs:SendMessage""#, of_other), false),
            (Value::Null, false),
        ] {
            let found = allows(&policy, "sqs:SendMessage", "sns.amazonaws.com", Some(TOPIC));
            assert_eq!(found, expected, "{policy}");
        }
    }
}
