//! The JSON in which SNS posts a message, and the text of it that is signed. Pure.
//!
//! Fields and order of the signed text: developer guide, pages `sns-message-and-json-formats` and
//! `sns-verify-signature-of-message`.

use serde::Deserialize;

use super::refusal::Refusal;

/// A message as it was posted. Fields that are not named here are no part of what is signed and mean nothing. A field
/// that comes twice is refused, so that nobody can be shown another value than the one that was verified.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Envelope {
    #[serde(rename = "Type")]
    pub(super) kind: Kind,
    pub(super) message_id: String,
    pub(super) topic_arn: String,
    pub(super) subject: Option<String>,
    pub(super) message: String,
    pub(super) timestamp: String,
    pub(super) signature_version: String,
    pub(super) signature: String,
    #[serde(rename = "SigningCertURL")]
    pub(super) signing_cert_url: String,
    #[serde(rename = "SubscribeURL")]
    pub(super) subscribe_url: Option<String>,
    pub(super) token: Option<String>,
}

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum Kind {
    /// Something was published.
    Notification,
    /// Somebody subscribed this endpoint, and SNS asks whether it wants that.
    SubscriptionConfirmation,
    /// This endpoint's subscription has ended.
    UnsubscribeConfirmation,
}

impl Envelope {
    /// Reads the body of a request.
    pub(super) fn read(body: &[u8]) -> Result<Self, Refusal> {
        // A JSON reader skips what it does not need; bytes that are no text would pass there.
        let body = std::str::from_utf8(body).map_err(|error| Refusal::NotJson(error.to_string()))?;
        serde_json::from_str(body).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => Refusal::NotSns(error.to_string()),
            _ => Refusal::NotJson(error.to_string()),
        })
    }

    /// The text that SNS signs: each name and each value on a line of its own.
    pub(super) fn signed_text(&self) -> String {
        let subscribe_url = self.subscribe_url.as_deref();
        let fields: &[(&str, Option<&str>)] = match self.kind {
            Kind::Notification => &[
                ("Message", Some(&self.message)),
                ("MessageId", Some(&self.message_id)),
                ("Subject", self.subject.as_deref()),
                ("Timestamp", Some(&self.timestamp)),
                ("TopicArn", Some(&self.topic_arn)),
                ("Type", Some("Notification")),
            ],
            Kind::SubscriptionConfirmation | Kind::UnsubscribeConfirmation => &[
                ("Message", Some(&self.message)),
                ("MessageId", Some(&self.message_id)),
                ("SubscribeURL", subscribe_url),
                ("Timestamp", Some(&self.timestamp)),
                ("Token", self.token.as_deref()),
                ("TopicArn", Some(&self.topic_arn)),
                ("Type", Some(self.kind.name())),
            ],
        };
        let mut text = String::new();
        for (name, value) in fields {
            // Only what is there is signed: a notification without a subject has no line for it.
            if let Some(value) = value {
                text.extend([name, "\n", value, "\n"]);
            }
        }
        text
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Notification => "Notification",
            Self::SubscriptionConfirmation => "SubscriptionConfirmation",
            Self::UnsubscribeConfirmation => "UnsubscribeConfirmation",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn notification() -> Value {
        json!({
            "Type": "Notification", "MessageId": "m", "TopicArn": "t", "Message": "a\n\"b\" \u{e9}", "Timestamp": "s",
            "SignatureVersion": "1", "Signature": "x", "SigningCertURL": "u", "UnsubscribeURL": "v", "Later": {"a": 1},
        })
    }

    fn signed(value: &Value) -> String {
        Envelope::read(value.to_string().as_bytes()).unwrap().signed_text()
    }

    #[test]
    fn a_notification_is_signed_as_the_guide_says() {
        let mut value = notification();
        let text = "Message\na\n\"b\" \u{e9}\nMessageId\nm\nTimestamp\ns\nTopicArn\nt\nType\nNotification\n";
        assert_eq!(signed(&value), text);
        value["Subject"] = Value::Null;
        assert_eq!(signed(&value), text);
        value["Subject"] = json!("About");
        assert_eq!(signed(&value), text.replace("m\nTime", "m\nSubject\nAbout\nTime"));
    }

    #[test]
    fn confirmations_are_signed_with_address_and_token() {
        for kind in ["SubscriptionConfirmation", "UnsubscribeConfirmation"] {
            let mut value = notification();
            value["Type"] = json!(kind);
            value["SubscribeURL"] = json!("w");
            value["Token"] = json!("k");
            value["Subject"] = json!("no part of it");
            let text = "Message\na\n\"b\" \u{e9}\nMessageId\nm\nSubscribeURL\nw\nTimestamp\ns\nToken\nk\nTopicArn\nt\nType\n";
            assert_eq!(signed(&value), format!("{text}{kind}\n"));
        }
    }

    #[test]
    fn what_is_no_envelope_is_told_apart() {
        let refused = |body: &str| Envelope::read(body.as_bytes()).unwrap_err();
        for body in ["", "{", "hello", "{\"Type\": \"Notification\"", "\u{0}"] {
            assert!(matches!(refused(body), Refusal::NotJson(_)), "{body}");
        }
        let raw = r#"{"Records": []}"#;
        let other = notification().to_string().replace("Notification", "Surprise");
        let number = notification().to_string().replace("\"s\"", "1");
        let twice = notification().to_string().replacen('{', "{\"TopicArn\": \"other\",", 1);
        let mut no_text = notification().to_string().replace("\"v\"", "\"?\"").into_bytes();
        let place = no_text.iter().position(|byte| *byte == b'?').unwrap();
        no_text[place] = 0xff;
        assert!(matches!(Envelope::read(&no_text), Err(Refusal::NotJson(_))));
        for body in [raw, "[]", "{}", "null", "1", &other, &number, &twice] {
            assert!(matches!(refused(body), Refusal::NotSns(_)), "{body}");
        }
    }
}
