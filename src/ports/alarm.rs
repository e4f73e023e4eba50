//! The alarm port: how people are told of what cannot wait (an SNS topic, a command, a file).

use crate::failure::Outcome;

/// What a person is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// What it is about, the same as long as it is about the same: `expiring:invoices`.
    pub key: String,
    /// How bad it is. Only what has become worse is told again.
    pub level: u64,
    /// One line.
    pub subject: String,
    /// The whole, in plain words, with the command that helps. Never a secret.
    pub text: String,
}

/// A way to tell people.
pub trait Alarm: Send {
    /// Where it goes, for messages.
    fn location(&self) -> String;

    /// Tells. May tell twice: a push whose answer was lost is pushed again.
    fn raise(&mut self, alert: &Alert) -> Outcome<()>;
}
