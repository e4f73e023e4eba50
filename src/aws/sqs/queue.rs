//! Requests to one queue.

use std::future::Future;
use std::time::{Duration, Instant};

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, Message, MessageSystemAttributeName, QueueAttributeName,
};
use tokio::task::JoinSet;
use tokio::time::timeout_at;

use super::super::client::AwsClients;
use super::super::failure::{HttpResponse, failure};
use crate::effects;
use crate::failure::{Failure, Outcome};

/// What SQS gives, deletes and changes in one request.
pub(super) const MOST_AT_ONCE: usize = 10;
/// Requests with many messages at a time.
pub(super) const AT_A_TIME: usize = 8;
/// The longest wait and the longest visibility timeout that SQS takes, in seconds.
const LONGEST_WAIT: i32 = 20;
const LONGEST_VISIBILITY: i32 = 43_200;
/// A message that has come this often is somebody's trouble.
const MANY_RECEIVES: u32 = 10;

/// A message as it was received.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) body: String,
    /// Good for this receive only.
    pub(super) receipt: String,
}

/// How many messages a queue has.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    /// Received and not deleted.
    pub(super) hidden: u64,
    /// To be had.
    pub(super) visible: u64,
}

/// One queue. Cheap to clone.
#[derive(Clone)]
pub(super) struct Queue {
    clients: AwsClients,
    pub(super) url: String,
}

impl Queue {
    pub(super) fn new(clients: AwsClients, url: String) -> Self {
        Self { clients, url }
    }

    pub(super) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.clients.block_on(future)
    }

    pub(super) fn sqs(&self) -> &aws_sdk_sqs::Client {
        self.clients.sqs()
    }

    /// Up to ten messages; none after `wait`.
    pub(super) async fn receive(&self, wait: Duration, visibility: Duration) -> Outcome<Vec<Received>> {
        let answer = self
            .sqs()
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(MOST_AT_ONCE as i32)
            .wait_time_seconds(seconds(wait, LONGEST_WAIT))
            .visibility_timeout(seconds(visibility, LONGEST_VISIBILITY))
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .send()
            .await
            .map_err(|error| self.trouble("receiving from", &error))?;
        Ok(answer.messages.unwrap_or_default().into_iter().filter_map(received).collect())
    }

    /// How many messages somebody has received and nobody has deleted yet, and how many others there are, as far as the queue
    /// knows: the counts are approximate. None where we may not ask, or get no answer: they only tell how long to wait.
    pub(super) async fn counts(&self) -> Counts {
        let [hidden, visible] = [
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
            QueueAttributeName::ApproximateNumberOfMessages,
        ];
        let request = self.sqs().get_queue_attributes().queue_url(&self.url);
        let names = vec![hidden.clone(), visible.clone()];
        match request.set_attribute_names(Some(names)).send().await {
            Ok(answer) => {
                let count = |name| answer.attributes()?.get(name)?.parse().ok();
                let [hidden, visible] = [&hidden, &visible].map(|name| count(name).unwrap_or(0));
                Counts { hidden, visible }
            }
            Err(error) => {
                tracing::debug!("{}", self.trouble("counting the messages of", &error));
                Counts::default()
            }
        }
    }

    /// Lets others have messages at once that nobody here will journal, for which there is time until `end`. Whatever
    /// fails, they come back by themselves.
    pub(super) fn give_back(&self, receipts: &[String], end: Instant) {
        if receipts.is_empty() {
            return;
        }
        let release = || {
            let released = self.block_on(async { timeout_at(end.into(), self.release(receipts)).await });
            released.map_err(|_| Failure::transient("no time is left to give all messages back"))?
        };
        if let Err(failure) = self.clients.seam().perform(effects::INBOX_GIVE_BACK, release) {
            tracing::debug!("{failure}");
        }
    }

    /// All chunks soon, for polls that listen to no one any more must not outlive them; the last trouble.
    async fn release(&self, receipts: &[String]) -> Outcome<()> {
        let mut releasing = JoinSet::new();
        let mut result = Ok(());
        let mut chunks = receipts.chunks(MOST_AT_ONCE);
        loop {
            while releasing.len() < AT_A_TIME
                && let Some(chunk) = chunks.next()
            {
                let (queue, entries) =
                    (self.clone(), chunk.iter().enumerate().filter_map(visible_now).collect());
                releasing.spawn(async move { queue.release_chunk(entries).await });
            }
            match releasing.join_next().await {
                None => return result,
                Some(Ok(released)) => result = released.and(result),
                Some(Err(error)) => tracing::error!("giving messages back: {error}"),
            }
        }
    }

    async fn release_chunk(&self, entries: Vec<ChangeMessageVisibilityBatchRequestEntry>) -> Outcome<()> {
        let request = self.sqs().change_message_visibility_batch().queue_url(&self.url);
        let answer = request.set_entries(Some(entries)).send().await;
        answer.map(drop).map_err(|error| self.trouble("giving messages back to", &error))
    }

    /// Every trouble with a queue passes, for nothing is wrong with any message: the queue is made again, the policy
    /// corrected, the key enabled.
    pub(super) fn trouble<E>(&self, doing: &str, error: &SdkError<E, HttpResponse>) -> Failure
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        Failure::transient(failure(&format!("{doing} {}", self.url), error).message)
    }
}

fn seconds(duration: Duration, most: i32) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(most).min(most)
}

/// A message without a receipt cannot be acknowledged; it comes again.
fn received(message: Message) -> Option<Received> {
    let times = message
        .attributes()
        .and_then(|attributes| attributes.get(&MessageSystemAttributeName::ApproximateReceiveCount))
        .and_then(|count| count.parse::<u32>().ok());
    if let Some(times) = times.filter(|times| *times >= MANY_RECEIVES) {
        let id = message.message_id().unwrap_or("?");
        tracing::warn!("message {id} has come {times} times: somebody takes it and does not delete it");
    }
    Some(Received { receipt: message.receipt_handle?, body: message.body.unwrap_or_default() })
}

fn visible_now((index, receipt): (usize, &String)) -> Option<ChangeMessageVisibilityBatchRequestEntry> {
    ChangeMessageVisibilityBatchRequestEntry::builder()
        .id(index.to_string())
        .receipt_handle(receipt)
        .visibility_timeout(0)
        .build()
        .ok()
}
