//! Messages as SNS posts them, and ways to spoil them.

use serde_json::{Value, json};
use sluicegate_state::Timestamp;

use crate::authority::{Authority, SNS, Signer};

pub(crate) const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:landed";
pub(crate) const CERTIFICATE_URL: &str =
    "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-7506a1e35b36ef5a444dd1a8e7cc3ed8.pem";
pub(crate) const TOKEN: &str = "2336412f37fb687f5d51e6e2425929f5";

/// What S3 tells when an object landed.
pub(crate) fn event(key: &str) -> String {
    json!({"Records": [{
        "eventVersion": "2.1", "eventTime": "2026-05-06T07:08:09.123Z", "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": "landing"}, "object": {"key": key, "size": 1, "eTag": "0a", "sequencer": "00"}},
    }]})
    .to_string()
}

/// A message that can be changed before and after it is signed.
#[derive(Clone)]
pub(crate) struct Message {
    pub(crate) fields: Value,
    pub(crate) signer: Signer,
}

impl Message {
    /// That an object landed in the bucket `landing`, published at `now`.
    pub(crate) fn landed(key: &str, now: Timestamp) -> Self {
        Self::notification(&event(key), now)
    }

    pub(crate) fn notification(message: &str, now: Timestamp) -> Self {
        let fields = json!({
            "Type": "Notification",
            "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
            "TopicArn": TOPIC,
            "Subject": "Amazon S3 Notification",
            "Message": message,
            "Timestamp": now.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
            "SignatureVersion": "2",
            "SigningCertURL": CERTIFICATE_URL,
            "UnsubscribeURL": "https://sns.eu-west-1.amazonaws.com/?Action=Unsubscribe&SubscriptionArn=x",
        });
        Self { fields, signer: SNS }
    }

    /// A confirmation of the type `kind`.
    pub(crate) fn confirmation(kind: &str, now: Timestamp) -> Self {
        let url = format!(
            "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token={TOKEN}"
        );
        let mut message = Self::notification("You have chosen to subscribe.\nVisit the SubscribeURL.", now);
        for (name, value) in [("Type", kind), ("Token", TOKEN), ("SubscribeURL", &url)] {
            message = message.with(name, value);
        }
        message.without("Subject").without("UnsubscribeURL")
    }

    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.fields[name] = value.into();
        self
    }

    #[must_use]
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.fields.as_object_mut().unwrap().remove(name);
        self
    }

    #[must_use]
    pub(crate) fn by(mut self, signer: Signer) -> Self {
        self.signer = signer;
        self
    }

    /// The text to sign, written down here a second time, from the developer guide and not from the product.
    fn text(&self) -> String {
        let names: &[&str] = match self.fields["Type"].as_str() {
            Some("Notification") => &["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"],
            _ => &["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"],
        };
        let there = names.iter().filter_map(|name| Some((name, self.fields.get(name)?.as_str()?)));
        there.map(|(name, value)| format!("{name}\n{value}\n")).collect()
    }

    /// The same with its signature.
    #[must_use]
    pub(crate) fn signed(self, authority: &Authority) -> Self {
        let version = self.fields["SignatureVersion"].as_str().unwrap_or("2").to_owned();
        let signature = authority.sign(self.signer, &version, &self.text());
        self.with("Signature", &signature)
    }

    pub(crate) fn body(&self) -> String {
        self.fields.to_string()
    }
}
