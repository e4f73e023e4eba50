//! The inbox port: where notifications come from (SQS, SNS over HTTP, the scan of a folder).

use sluicegate_state::Arrival;

use crate::failure::Outcome;

/// What one look into the inbox brought.
#[derive(Debug, Default)]
pub struct Poll {
    /// Messages, in the order of arrival.
    pub deliveries: Vec<Delivery>,
    /// What is there but not yet ready to be taken: files that may still be growing, messages that are hidden.
    pub unsettled: u64,
    /// The inbox says that there is more at once.
    pub more: bool,
}

/// One message: acknowledged when all of its arrivals are journaled (I1).
#[derive(Debug)]
pub struct Delivery {
    /// What the message holds.
    pub arrivals: Vec<Arrival>,
    /// The inbox's own handle for [`Inbox::acknowledge`].
    pub receipt: String,
}

/// A source of notifications.
pub trait Inbox: Send {
    /// Looks for what is new.
    fn poll(&mut self) -> Outcome<Poll>;

    /// Tells the inbox that these deliveries are on disk.
    fn acknowledge(&mut self, receipts: &[String]) -> Outcome<()>;

    /// Tells the inbox that these deliveries are not on disk and nobody will put them there, so that a sender who waits
    /// need not wait any longer. What comes again by itself needs no such word.
    fn give_back(&mut self, _receipts: &[String]) {}

    /// Whether this inbox looks at what lies there, rather than being told: then what the journal knows already is no
    /// redelivery.
    fn is_listing(&self) -> bool;

    /// What [`Poll::unsettled`] is, in words for people.
    fn unsettled_words(&self, count: u64) -> String {
        format!("{count} file(s) in the landing that may still be growing")
    }
}
