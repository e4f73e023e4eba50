//! Receivers that wait for messages all the time and hand them over through a bounded channel. While the journal writes,
//! they go on receiving; so one commit covers everything that came meanwhile.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{timeout, timeout_at};

use super::super::pause::jittered;
use super::SqsOptions;
use super::queue::{Queue, Received};
use crate::failure::{Failure, Outcome};

/// Batches in the channel, for each receiver. Messages wait there while their visibility runs.
const BATCHES_PER_RECEIVER: usize = 4;
/// The pauses of a receiver whose queue is gone, refused or throttled.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A long poll that ends with nothing before this did not wait; asking again at once would be a storm.
const LEAST_EMPTY: Duration = Duration::from_millis(200);
/// The running receivers.
pub(super) struct Receivers {
    queue: Queue,
    batches: mpsc::Receiver<Vec<Received>>,
    trouble: Trouble,
    stop: watch::Sender<bool>,
    /// Each ends with the messages that nobody took from it.
    running: JoinSet<Vec<Received>>,
}

/// Why the queue cannot be read now. One receiver that failed while others wait for messages is no trouble yet.
#[derive(Clone)]
struct Trouble(Arc<Mutex<Vec<Option<Failure>>>>);

impl Trouble {
    fn new(receivers: usize) -> Self {
        Self(Arc::new(Mutex::new(vec![None; receivers])))
    }

    /// Notes how a receiver's last request ended.
    fn set(&self, receiver: usize, failure: Option<Failure>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[receiver] = failure;
    }

    /// A failure, if every receiver's last request failed.
    fn get(&self) -> Option<Failure> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.iter().all(Option::is_some) { last.first().cloned().flatten() } else { None }
    }
}

impl Receivers {
    pub(super) fn start(queue: &Queue, options: &SqsOptions) -> Self {
        let count = options.receivers.max(1);
        let (sender, batches) = mpsc::channel(count * BATCHES_PER_RECEIVER);
        let (stop, stopped) = watch::channel(false);
        let trouble = Trouble::new(count);
        let mut running = JoinSet::new();
        let start = |number| {
            let receiver = Receiver {
                number,
                queue: queue.clone(),
                options: *options,
                batches: sender.clone(),
                trouble: trouble.clone(),
                stopped: stopped.clone(),
            };
            running.spawn(receiver.run());
        };
        queue.block_on(async { (0..count).for_each(start) });
        Self { queue: queue.clone(), batches, trouble, stop, running }
    }

    /// What is there, after waiting for a first message; trouble, when nothing is there because of it.
    pub(super) fn take(&mut self, wait: Duration, most: usize) -> Outcome<Vec<Received>> {
        let Self { queue, batches, .. } = self;
        let first = queue.block_on(async { timeout(wait, batches.recv()).await });
        let mut messages = first.ok().flatten().unwrap_or_default();
        while !messages.is_empty() && messages.len() < most {
            match self.batches.try_recv() {
                Ok(batch) => messages.extend(batch),
                Err(_) => break,
            }
        }
        match self.trouble.get() {
            Some(failure) if messages.is_empty() => Err(failure),
            _ => Ok(messages),
        }
    }

    /// Stops the receivers, for which there is time until `end`. The messages of these receipts, and what has been received
    /// and nobody has taken, are given back as they are known, while receivers still wait for their last answer: a poll
    /// that is broken off goes on in the queue, and would hide for a whole visibility timeout what comes back after that.
    pub(super) fn stop(self, mut receipts: Vec<String>, end: Instant) {
        let Self { queue, mut batches, stop, mut running, .. } = self;
        stop.send_replace(true);
        batches.close();
        let waiting = async {
            while let Some(messages) = batches.recv().await {
                receipts.extend(receipts_of(messages));
            }
        };
        // Out of time, the rest comes back by itself: here and below.
        let _ = queue.block_on(async { timeout_at(end.into(), waiting).await });
        queue.give_back(&receipts, end);
        // A closed channel says nothing about polls that are under way: their receivers end with what still comes.
        while let Ok(Some(ended)) =
            queue.block_on(async { timeout_at(end.into(), running.join_next()).await })
        {
            // A receiver that panicked has said so.
            queue.give_back(&receipts_of(ended.unwrap_or_default()), end);
        }
    }
}

fn receipts_of(messages: Vec<Received>) -> Vec<String> {
    messages.into_iter().map(|message| message.receipt).collect()
}

struct Receiver {
    number: usize,
    queue: Queue,
    options: SqsOptions,
    batches: mpsc::Sender<Vec<Received>>,
    trouble: Trouble,
    stopped: watch::Receiver<bool>,
}

impl Receiver {
    /// Receives until it is stopped; what it has then and nobody takes any more.
    async fn run(mut self) -> Vec<Received> {
        let mut failures = 0;
        while !*self.stopped.borrow() {
            let began = Instant::now();
            let Some(received) = self.receive().await else { break };
            let pause = match received {
                Ok(messages) => {
                    failures = 0;
                    self.trouble.set(self.number, None);
                    let did_not_wait = messages.is_empty() && began.elapsed() < LEAST_EMPTY;
                    if !messages.is_empty()
                        && let Err(refused) = self.batches.send(messages).await
                    {
                        return refused.0;
                    }
                    did_not_wait.then(|| jittered(FIRST_PAUSE, FIRST_PAUSE, 0))
                }
                Err(failure) => {
                    self.trouble.set(self.number, Some(failure));
                    failures += 1;
                    Some(jittered(FIRST_PAUSE, LONGEST_PAUSE, failures - 1))
                }
            };
            // The wait for the last answer has seen that it shall stop, and no pause would see that again.
            if let Some(pause) = pause.filter(|_| !*self.stopped.borrow()) {
                tokio::select! {
                    _ = self.stopped.changed() => break,
                    () = tokio::time::sleep(pause) => {}
                }
            }
        }
        Vec::new()
    }

    /// What one long poll brought; `None` when it was broken off by a stop.
    async fn receive(&mut self) -> Option<Outcome<Vec<Received>>> {
        let Self { queue, options, stopped, .. } = self;
        let mut receiving = Box::pin(queue.receive(options.long_poll, options.visibility));
        tokio::select! {
            biased;
            _ = stopped.changed() => timeout(options.last_answer, receiving).await.ok(),
            received = &mut receiving => Some(received),
        }
    }
}
