//! Questions to SQS.

use std::collections::BTreeMap;

use aws_sdk_sqs::types::QueueAttributeName;

use super::AwsAccount;
use crate::ports::account::Asked;

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

    /// One message at a time, although the work is done by tens: both need the same permission (SQS developer guide, API
    /// permissions), and only here it has its name everywhere.
    pub(super) fn delete_nothing(&self, url: &str) -> Asked<()> {
        let request = self.clients.sqs().delete_message().queue_url(url).receipt_handle(NO_RECEIPT);
        match self.clients.block_on(request.send()) {
            Ok(_) => Asked::Told(()),
            Err(error) => self.impossible(&format!("deleting from {url}"), &error),
        }
    }

    pub(super) fn show_nothing(&self, url: &str) -> Asked<()> {
        let request = self.clients.sqs().change_message_visibility().queue_url(url);
        let request = request.receipt_handle(NO_RECEIPT).visibility_timeout(0);
        match self.clients.block_on(request.send()) {
            Ok(_) => Asked::Told(()),
            Err(error) => self.impossible(&format!("giving back to {url}"), &error),
        }
    }
}
