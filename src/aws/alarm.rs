//! An SNS topic as an alarm.

use super::client::AwsClients;
use super::failure::failure;
use crate::failure::{Failure, Outcome};
use crate::ports::alarm::{Alarm, Alert};

/// A subject is ASCII, has fewer than 100 characters and no line break (SNS API reference, Publish).
const SUBJECT_CHARACTERS: usize = 99;

/// Publishes alerts to one topic.
pub struct SnsAlarm {
    clients: AwsClients,
    topic: String,
}

impl SnsAlarm {
    /// An alarm that publishes to the topic with this ARN. Nothing is asked before the first alert.
    pub fn new(clients: AwsClients, topic: impl Into<String>) -> Self {
        Self { clients, topic: topic.into() }
    }
}

impl Alarm for SnsAlarm {
    fn location(&self) -> String {
        self.topic.clone()
    }

    fn raise(&mut self, alert: &Alert) -> Outcome<()> {
        let publish = self.clients.sns().publish().topic_arn(&self.topic);
        let request = publish.subject(subject(&alert.subject)).message(&alert.text);
        match self.clients.block_on(request.send()) {
            Ok(_) => Ok(()),
            // Whatever is wrong with a topic is put right without us.
            Err(error) => Err(Failure::transient(failure("publishing an alert", &error).message)),
        }
    }
}

fn subject(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    text.trim().chars().take(SUBJECT_CHARACTERS).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_short_plain_text() {
        assert_eq!(subject("invoices: 1 batch parked"), "invoices: 1 batch parked");
        assert_eq!(subject("café\n"), "caf?");
        assert_eq!(subject(&"x".repeat(300)).len(), 99);
    }
}
