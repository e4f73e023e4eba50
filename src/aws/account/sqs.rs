//! Questions to SQS.

use std::collections::BTreeMap;

use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry,
    QueueAttributeName,
};

use super::AwsAccount;
use crate::ports::account::{Asked, Denial};

/// A receipt that no queue has given.
const NO_RECEIPT: &str = "sluicegate-check-no-such-receipt";

impl AwsAccount {
    pub(super) fn queue_attributes(&self, url: &str) -> Asked<BTreeMap<String, String>> {
        let request = self.clients.sqs().get_queue_attributes().queue_url(url);
        match self.clients.block_on(request.attribute_names(QueueAttributeName::All).send()) {
            Ok(answer) => {
                let attributes = answer.attributes.unwrap_or_default().into_iter();
                Asked::Told(attributes.map(|(name, value)| (name.as_str().to_owned(), value)).collect())
            }
            Err(error) => self.answer(&format!("looking at the queue {url}"), &error),
        }
    }

    /// A message that comes stays visible for everybody; only its count of receives grows.
    pub(super) fn receive_and_leave(&self, url: &str) -> Asked<()> {
        let request = self.clients.sqs().receive_message().queue_url(url).max_number_of_messages(1);
        match self.clients.block_on(request.wait_time_seconds(0).visibility_timeout(0).send()) {
            Ok(_) => Asked::Told(()),
            Err(error) => self.answer(&format!("receiving from {url}"), &error),
        }
    }

    pub(super) fn delete_nothing(&self, url: &str) -> Asked<()> {
        let entry = DeleteMessageBatchRequestEntry::builder().id("0").receipt_handle(NO_RECEIPT).build();
        let request = self.clients.sqs().delete_message_batch().queue_url(url);
        match self.clients.block_on(request.set_entries(entry.ok().map(|entry| vec![entry])).send()) {
            Ok(answer) => denied_inside(answer.failed()),
            Err(error) => self.impossible(&format!("deleting from {url}"), &error),
        }
    }

    pub(super) fn show_nothing(&self, url: &str) -> Asked<()> {
        let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id("0").receipt_handle(NO_RECEIPT);
        let entry = entry.visibility_timeout(0).build();
        let request = self.clients.sqs().change_message_visibility_batch().queue_url(url);
        match self.clients.block_on(request.set_entries(entry.ok().map(|entry| vec![entry])).send()) {
            Ok(answer) => denied_inside(answer.failed()),
            Err(error) => self.impossible(&format!("giving back to {url}"), &error),
        }
    }
}

/// Whether the answer about the one message of a batch is a refusal; that there is no such message is none.
fn denied_inside(failed: &[BatchResultErrorEntry]) -> Asked<()> {
    let denied = failed.iter().find(|entry| entry.code().starts_with("AccessDenied"));
    match denied {
        Some(entry) => {
            let message = entry.message().unwrap_or("no message");
            Asked::Denied(Denial::from_words(format!("{}, {message}", entry.code())))
        }
        None => Asked::Told(()),
    }
}
