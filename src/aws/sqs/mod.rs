//! SQS as an inbox.
//!
//! A standard queue delivers at least once, in no order, and may bring a message again even after it was deleted (the
//! developer guide's page on standard queues). All of that is harmless: the journal knows a notification that it has,
//! and a message that was not deleted comes again when its visibility timeout has passed.
//!
//! Until then it is hidden, and a drain would end without it. So what is received and will not be journaled is given back
//! at once (ChangeMessageVisibilityBatch with 0), and a drain that finds the queue empty asks whether messages are hidden:
//! a receiver that was killed, or a long poll that was broken off, may have left them. It waits for them as long as those can
//! keep them hidden, and no longer: they may be another machine's that is at work on them.

mod delete;
mod queue;
mod watch;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::client::AwsClients;
use crate::events::read_message;
use crate::failure::{Failure, Outcome};
use crate::ports::inbox::{Delivery, Inbox, Poll};

use queue::{Counts, MOST_AT_ONCE, Queue, Received};
use watch::Receivers;

/// What arrivals from here say about where they came from.
const SOURCE: &str = "sqs";
/// How long a drain waits for a first message. Any wait above zero asks all servers of the queue, where a wait of zero
/// asks a few and may find nothing though there is something.
const DRAIN_WAIT: Duration = Duration::from_secs(1);
/// Empty rounds in a row before a drain believes that there is nothing.
const EMPTY_ROUNDS: u32 = 2;
/// How long a watching poll waits for something before it says that there is nothing.
const WATCH_WAIT: Duration = Duration::from_millis(500);
/// How much longer than they can be hidden a drain waits for hidden messages: clocks and counts are approximate.
const HIDDEN_MARGIN: Duration = Duration::from_secs(5);
/// How long an acknowledgement may take: well below the three minutes after which systemd takes a listener for hung.
const ACKNOWLEDGEMENT: Duration = Duration::from_secs(60);
/// How much longer than for last answers an end has time to give messages back. A poll, the last answers and this are
/// together shorter than what a signal leaves to a listener, so that it says farewell whatever the queue does.
const GIVE_BACK_TIME: Duration = Duration::from_millis(800);

/// Finds the job that a bucket and a key belong to.
pub type Route = Arc<dyn Fn(&str, &str) -> Option<String> + Send + Sync>;

/// Whether the inbox goes on when the queue is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Receivers wait for messages all the time; [`Inbox::poll`] gives what they have.
    Watch,
    /// [`Inbox::poll`] takes what the queue has, and says so when it has nothing.
    Drain,
}

/// How the queue is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqsOptions {
    /// Requests for messages at a time.
    pub receivers: usize,
    /// How long a watching receiver waits for messages; SQS allows 20 seconds.
    pub long_poll: Duration,
    /// How long a message stays hidden from others. Only journaling has to fit into it.
    pub visibility: Duration,
    /// Messages in one poll, and so in one commit of the journal.
    pub most_messages: usize,
    /// How long an end waits for the answers to polls that are under way: what they bring would otherwise stay hidden. Nothing
    /// that SQS documents ends a long poll early, and whether it notices that nobody listens any more is not documented either,
    /// so a poll that is broken off may still hide messages: a drain waits for those.
    pub last_answer: Duration,
    /// How long an acknowledgement may take. Nothing else is done meanwhile, and the watchdog waits.
    pub acknowledgement: Duration,
}

impl Default for SqsOptions {
    fn default() -> Self {
        Self {
            receivers: 4,
            long_poll: Duration::from_secs(20),
            visibility: Duration::from_secs(30),
            most_messages: 1_000,
            last_answer: Duration::from_secs(1),
            acknowledgement: ACKNOWLEDGEMENT,
        }
    }
}

/// Reads one queue.
pub struct SqsInbox {
    queue: Queue,
    route: Route,
    mode: Mode,
    options: SqsOptions,
    /// Started by the first watching poll.
    receivers: Option<Receivers>,
    /// The last drain poll found nothing.
    was_empty: bool,
    /// Since when a drain has found nothing but hidden messages.
    hidden_since: Option<Instant>,
    /// It has looked once more since it found nothing hidden.
    looked_again: bool,
    /// What the last poll brought and nobody has acknowledged.
    unacknowledged: BTreeSet<String>,
}

impl SqsInbox {
    /// An inbox over the queue at `queue_url`. Nothing is asked before the first poll.
    pub fn new(
        clients: AwsClients,
        queue_url: impl Into<String>,
        route: Route,
        mode: Mode,
        options: SqsOptions,
    ) -> Self {
        let queue = Queue::new(clients, queue_url.into());
        Self {
            queue,
            route,
            mode,
            options,
            receivers: None,
            was_empty: false,
            hidden_since: None,
            looked_again: false,
            unacknowledged: BTreeSet::new(),
        }
    }

    fn delivery(&self, received: Received) -> Delivery {
        let route = |bucket: &str, key: &str| (self.route)(bucket, key);
        Delivery {
            arrivals: read_message(received.body.as_bytes(), SOURCE, &route),
            receipt: received.receipt,
        }
    }

    fn watched(&mut self) -> Outcome<Vec<Received>> {
        let receivers = self.receivers.get_or_insert_with(|| Receivers::start(&self.queue, &self.options));
        receivers.take(WATCH_WAIT, self.options.most_messages)
    }

    /// Takes what the queue has now, round after round while there is much.
    fn drained(&mut self) -> Outcome<Vec<Received>> {
        let capacity = self.options.receivers.max(1) * MOST_AT_ONCE;
        let mut messages = Vec::new();
        // After an empty poll one more empty round is enough: the other stages make the listener look again and again.
        let mut empty_rounds_left = if self.was_empty { 1 } else { EMPTY_ROUNDS };
        while messages.len() < self.options.most_messages {
            let round = match self.round() {
                // What came before the trouble is journaled; the trouble shows again.
                Err(_) if !messages.is_empty() => break,
                round => round?,
            };
            let (came, nothing_yet) = (round.len(), messages.is_empty());
            messages.extend(round);
            if came == 0 && nothing_yet {
                empty_rounds_left -= 1;
            }
            let is_last = if messages.is_empty() { empty_rounds_left == 0 } else { came < capacity / 2 };
            if is_last {
                break;
            }
        }
        self.was_empty = messages.is_empty();
        Ok(messages)
    }

    /// Messages that a drain which found none still waits for.
    fn hidden(&mut self) -> u64 {
        let Counts { hidden, visible } = self.queue.block_on(self.queue.counts());
        if hidden == 0 {
            // What was hidden may have come back between the receiving and the counting: one more look. Not more than one, for
            // a count lags behind what was deleted.
            let again = self.hidden_since.take().is_some() || (visible > 0 && !self.looked_again);
            self.looked_again = again;
            return u64::from(again);
        }
        let since = *self.hidden_since.get_or_insert_with(Instant::now);
        if since.elapsed() < longest_hidden(&self.options) { hidden } else { 0 }
    }

    /// All receivers ask once, at the same time.
    fn round(&self) -> Outcome<Vec<Received>> {
        let mut asking = JoinSet::new();
        let visibility = self.options.visibility;
        let answers = self.queue.block_on(async {
            for _ in 0..self.options.receivers.max(1) {
                let queue = self.queue.clone();
                asking.spawn(async move { queue.receive(DRAIN_WAIT, visibility).await });
            }
            asking.join_all().await
        });
        let mut messages = Vec::new();
        let mut trouble: Option<Failure> = None;
        for answer in answers {
            match answer {
                Ok(received) => messages.extend(received),
                Err(failure) => trouble = Some(failure),
            }
        }
        match trouble {
            Some(failure) if messages.is_empty() => Err(failure),
            _ => Ok(messages),
        }
    }
}

/// How long broken-off receivers can keep a message hidden, and a margin. A long poll that nobody listens to lives on for
/// its whole time; where a message comes back before that, the next one of these hides it again.
fn longest_hidden(options: &SqsOptions) -> Duration {
    let SqsOptions { visibility, long_poll, .. } = *options;
    let again = if visibility < long_poll { long_poll } else { Duration::ZERO };
    visibility + again + HIDDEN_MARGIN
}

impl Inbox for SqsInbox {
    fn poll(&mut self) -> Outcome<Poll> {
        let received = match self.mode {
            Mode::Watch => self.watched()?,
            Mode::Drain => self.drained()?,
        };
        let unsettled = match self.mode {
            Mode::Drain if received.is_empty() => self.hidden(),
            _ => 0,
        };
        if !received.is_empty() {
            (self.hidden_since, self.looked_again) = (None, false);
        }
        let deliveries: Vec<Delivery> =
            received.into_iter().map(|received| self.delivery(received)).collect();
        self.unacknowledged = deliveries.iter().map(|delivery| delivery.receipt.clone()).collect();
        Ok(Poll { deliveries, unsettled, more: false })
    }

    fn acknowledge(&mut self, receipts: &[String]) -> Outcome<()> {
        // Journaled: whatever comes of the deletion, these need not come again soon.
        for receipt in receipts {
            self.unacknowledged.remove(receipt);
        }
        self.queue.block_on(delete::delete(&self.queue, receipts, self.options.acknowledgement))
    }

    fn unsettled_words(&self, count: u64) -> String {
        format!("{count} message(s) of the queue that somebody has received and not deleted yet")
    }

    fn is_listing(&self) -> bool {
        false
    }
}

impl Drop for SqsInbox {
    /// What came and was not journaled, because the journal could not be written or the end came first, is somebody else's
    /// to take.
    fn drop(&mut self) {
        let end = Instant::now() + self.options.last_answer + GIVE_BACK_TIME;
        let unacknowledged: Vec<String> = std::mem::take(&mut self.unacknowledged).into_iter().collect();
        match self.receivers.take() {
            Some(receivers) => receivers.stop(unacknowledged, end),
            None => self.queue.give_back(&unacknowledged, end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_comes_back_before_a_broken_off_poll_ends_can_be_hidden_again() {
        let hidden = |visibility, long_poll| {
            let seconds = Duration::from_secs;
            let options = SqsOptions {
                visibility: seconds(visibility),
                long_poll: seconds(long_poll),
                ..SqsOptions::default()
            };
            longest_hidden(&options) - HIDDEN_MARGIN
        };
        assert_eq!(hidden(30, 20), Duration::from_secs(30), "by then no broken-off poll lives");
        assert_eq!(
            hidden(4, 20),
            Duration::from_secs(24),
            "hidden for the last time by a poll's last moment"
        );
    }
}
