//! Deletes messages that are journaled.
//!
//! DeleteMessageBatch may answer 200 and name entries that failed (API reference). A message whose deletion failed
//! comes again and is a redelivery, so no failure here loses anything.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_sqs::types::DeleteMessageBatchRequestEntry;
use tokio::task::JoinSet;

use super::super::failure::code;
use super::super::pause::jittered;
use super::queue::{AT_A_TIME, MOST_AT_ONCE, Queue};
use crate::failure::Outcome;

/// Tries for entries that fail while their neighbours do not.
const TRIES: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Deletes all of `receipts`; every one is tried, and the first failure of a whole request is returned.
pub(super) async fn delete(queue: &Queue, receipts: &[String]) -> Outcome<()> {
    let mut chunks = receipts.chunks(MOST_AT_ONCE);
    let mut deleting = JoinSet::new();
    let mut result = Ok(());
    loop {
        while deleting.len() < AT_A_TIME
            && let Some(chunk) = chunks.next()
        {
            let (queue, chunk) = (queue.clone(), chunk.to_vec());
            deleting.spawn(async move { delete_chunk(&queue, chunk).await });
        }
        match deleting.join_next().await {
            None => return result,
            Some(Ok(deleted)) => result = result.and(deleted),
            // A defect in a task must not pass for a deletion; the messages come again.
            Some(Err(error)) => tracing::error!("deleting messages: {error}"),
        }
    }
}

async fn delete_chunk(queue: &Queue, mut receipts: Vec<String>) -> Outcome<()> {
    for attempt in 0..TRIES {
        if attempt > 0 {
            tokio::time::sleep(jittered(FIRST_PAUSE, LONGEST_PAUSE, attempt - 1)).await;
        }
        receipts = delete_once(queue, receipts).await?;
        if receipts.is_empty() {
            return Ok(());
        }
    }
    tracing::warn!("{} messages could not be deleted from {} and will come again", receipts.len(), queue.url);
    Ok(())
}

/// The receipts whose deletion may work a moment later.
async fn delete_once(queue: &Queue, receipts: Vec<String>) -> Outcome<Vec<String>> {
    let entries: Vec<_> = receipts.iter().enumerate().filter_map(entry).collect();
    let request = queue.sqs().delete_message_batch().queue_url(&queue.url).set_entries(Some(entries));
    let answer = match request.send().await {
        Ok(answer) => answer,
        // Some queues refuse the whole batch for one receipt. Its messages come again, with new receipts.
        Err(error) if code(&error).is_some_and(is_stale) => {
            tracing::debug!("messages will come again: {}", queue.trouble("deleting from", &error));
            return Ok(Vec::new());
        }
        Err(error) => return Err(queue.trouble("deleting from", &error)),
    };
    let mut again = BTreeSet::new();
    for failed in answer.failed() {
        let why = failed.message().unwrap_or_default();
        if failed.sender_fault() || is_stale(failed.code()) {
            tracing::debug!("a message will come again, its receipt has expired: {} {why}", failed.code());
        } else {
            again.insert(failed.id().to_owned());
        }
    }
    let left = receipts.into_iter().enumerate().filter(|(index, _)| again.contains(&index.to_string()));
    Ok(left.map(|(_, receipt)| receipt).collect())
}

/// Codes of receipts that are good no more: the visibility timeout has passed, or the message is gone.
fn is_stale(code: &str) -> bool {
    ["ReceiptHandleIsInvalid", "InvalidParameterValue", "InvalidIdFormat"]
        .iter()
        .any(|stale| code.ends_with(stale))
}

fn entry((index, receipt): (usize, &String)) -> Option<DeleteMessageBatchRequestEntry> {
    DeleteMessageBatchRequestEntry::builder().id(index.to_string()).receipt_handle(receipt).build().ok()
}
