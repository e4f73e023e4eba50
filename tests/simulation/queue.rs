//! The queue between the landing and the machines: messages come in any order, more than once, late or never.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::TimeDelta;
use rusqlite::Connection;
use sluicegate::failure::Outcome;
use sluicegate::ports::inbox::{Delivery, Inbox, Poll};
use sluicegate_state::{Arrival, Notification, Timestamp};

use crate::hub::Hub;
use crate::landing::Landing;

/// How long a message is hidden from others after it was received.
const VISIBILITY: TimeDelta = TimeDelta::seconds(30);
/// Messages that one receive brings at the most.
const RECEIVED: usize = 10;

struct Message {
    id: u64,
    /// The number of what landed in the landing's log.
    landed: usize,
    notification: Notification,
    visible_at: Timestamp,
}

#[derive(Default)]
struct Messages {
    next_id: u64,
    waiting: Vec<Message>,
}

pub(crate) struct Queue {
    hub: Arc<Hub>,
    landing: Arc<Landing>,
    messages: Mutex<Messages>,
}

impl Queue {
    pub(crate) fn new(hub: Arc<Hub>, landing: Arc<Landing>) -> Arc<Self> {
        Arc::new(Self { hub, landing, messages: Mutex::default() })
    }

    fn messages(&self) -> MutexGuard<'_, Messages> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Announces what landed, as well as this world's storage does.
    pub(crate) fn announce(&self, landed: usize) {
        let notification = self.landing.log()[landed].notification();
        if self.hub.strikes_at("lost", 150) {
            self.hub.trace(|| format!("  the notification of {} is lost", notification.key));
            return;
        }
        let copies = if self.hub.strikes_at("duplicated", 250) { 2 } else { 1 };
        for _ in 0..copies {
            let delay = if self.hub.strikes_at("delayed", 250) {
                self.hub.choose(|random| TimeDelta::seconds(random.between(1, 3_000)))
            } else {
                TimeDelta::zero()
            };
            let visible_at = self.hub.now() + delay;
            let mut messages = self.messages();
            messages.next_id += 1;
            let id = messages.next_id;
            messages.waiting.push(Message { id, landed, notification: notification.clone(), visible_at });
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages().waiting.is_empty()
    }

    fn receive(&self) -> Poll {
        let now = self.hub.now();
        let mut messages = self.messages();
        let mut ready: Vec<usize> =
            (0..messages.waiting.len()).filter(|at| messages.waiting[*at].visible_at <= now).collect();
        let (mut taken, mut deliveries) = (Vec::new(), Vec::new());
        while !ready.is_empty() && taken.len() < RECEIVED {
            // In no order.
            let next = self.hub.choose(|random| random.below(ready.len() as u64)) as usize;
            taken.push(ready.swap_remove(next));
        }
        for at in taken {
            let message = &mut messages.waiting[at];
            message.visible_at = now + VISIBILITY;
            deliveries.push(Delivery {
                arrivals: vec![Arrival::Notification(message.notification.clone())],
                receipt: message.id.to_string(),
            });
        }
        let unsettled = messages.waiting.iter().filter(|message| message.visible_at > now).count();
        Poll { more: !ready.is_empty(), unsettled: (unsettled - deliveries.len()) as u64, deliveries }
    }
}

/// A machine's way to the queue, which sees to it that nothing is acknowledged that is not in the machine's journal (I1).
pub(crate) struct WatchedQueue {
    pub(crate) queue: Arc<Queue>,
    pub(crate) machine: usize,
    pub(crate) journal: PathBuf,
    reader: Option<Connection>,
}

impl WatchedQueue {
    pub(crate) fn new(queue: Arc<Queue>, machine: usize, journal: PathBuf) -> Self {
        Self { queue, machine, journal, reader: None }
    }

    fn check_journaled(&self, journal: &Connection, notification: &Notification) {
        let sql = "SELECT count(*) FROM notification WHERE bucket = ?1 AND key = ?2
                   AND coalesce(version_id, etag) = ?3 AND coalesce(sequencer, '') = ?4";
        let version = notification.version_id.as_ref().unwrap_or(&notification.etag);
        let sequencer = notification.sequencer.clone().unwrap_or_default();
        let identity = [&notification.bucket, &notification.key, version, &sequencer];
        let mut count = journal.prepare_cached(sql).expect("the journal can be asked");
        let known: u64 = count.query_row(identity, |row| row.get(0)).expect("the journal answers");
        if known != 1 {
            self.queue
                .hub
                .violate(format!("{} is acknowledged and was not journaled (I1)", notification.key));
        }
    }
}

impl Inbox for WatchedQueue {
    fn poll(&mut self) -> Outcome<Poll> {
        self.queue.hub.gate("throttled", "receive")?;
        Ok(self.queue.receive())
    }

    fn acknowledge(&mut self, receipts: &[String]) -> Outcome<()> {
        let hub = &self.queue.hub;
        hub.gate("throttled", "delete")?;
        if self.reader.is_none() {
            self.reader = Some(Connection::open(&self.journal).expect("the journal's file opens"));
        }
        let journal = self.reader.as_ref().expect("it was opened above");
        let mut messages = self.queue.messages();
        let is_meant = |message: &Message| receipts.contains(&message.id.to_string());
        let mut acknowledged = Vec::new();
        for message in messages.waiting.iter().filter(|message| is_meant(message)) {
            self.check_journaled(journal, &message.notification);
            acknowledged.push(message.landed);
        }
        messages.waiting.retain(|message| !is_meant(message));
        drop(messages);
        let mut log = self.queue.landing.log();
        for landed in acknowledged {
            log[landed].acknowledged_by.push(self.machine);
        }
        drop(log);
        hub.gate("throttled", "the answer to delete")
    }

    fn is_listing(&self) -> bool {
        false
    }

    fn unsettled_words(&self, count: u64) -> String {
        format!("{count} message(s) that are hidden now")
    }
}
