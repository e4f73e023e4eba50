//! The listener: takes notifications from the inbox, journals them, and only then acknowledges (I1).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::TimeDelta;
use sluicegate_state::{Arrival, Store};

use crate::effects;
use crate::failure::{FailureKind, Outcome};
use crate::ports::inbox::{Delivery, Inbox};

use super::backoff;
use super::context::Context;
use super::stage::{Idle, Stage, Tick};

/// How soon to look again at files that may still be growing.
const UNSETTLED_DELAY: TimeDelta = TimeDelta::milliseconds(210);
/// How often a watching listener scans a folder.
const SCAN_INTERVAL: TimeDelta = TimeDelta::seconds(1);

/// Journals one inbox.
pub struct Listener {
    context: Arc<Context>,
    store: Store,
    inbox: Box<dyn Inbox>,
    /// Go on looking after the inbox was empty.
    watch: bool,
    /// Polls that failed since the last one that did not.
    failures: u64,
    /// Steps finished, whatever came of them: proof that this loop is not stuck.
    pulse: Arc<AtomicU64>,
}

impl Listener {
    /// A listener for `inbox`.
    pub fn new(context: Arc<Context>, inbox: Box<dyn Inbox>, watch: bool) -> Outcome<Self> {
        let store = context.open_store()?;
        Ok(Self { context, store, inbox, watch, failures: 0, pulse: Arc::default() })
    }

    /// Counts the steps that this listener has finished.
    pub fn pulse(&self) -> Arc<AtomicU64> {
        self.pulse.clone()
    }

    /// One commit, and so one fsync, covers everything that a poll brought; then it is acknowledged.
    fn journal(&mut self, deliveries: &[Delivery]) -> Outcome<()> {
        let receipts: Vec<String> = deliveries.iter().map(|delivery| delivery.receipt.clone()).collect();
        let journaled = self.journal_and_acknowledge(deliveries, &receipts);
        // A death in a test is no failure that anybody could handle.
        if journaled.as_ref().is_err_and(|failure| failure.kind != FailureKind::Died) {
            self.inbox.give_back(&receipts);
        }
        journaled
    }

    fn journal_and_acknowledge(&mut self, deliveries: &[Delivery], receipts: &[String]) -> Outcome<()> {
        let mut arrivals = Vec::new();
        for arrival in deliveries.iter().flat_map(|delivery| &delivery.arrivals) {
            if !self.inbox.is_listing() || self.is_news(arrival)? {
                arrivals.push(arrival.clone());
            }
        }
        let receipt = self.store.journal(&arrivals, self.context.clock.now())?;
        self.context.tally.add(|counts| {
            counts.notifications += receipt.recorded;
            counts.redelivered += receipt.redelivered;
        });
        let Self { context, inbox, .. } = self;
        context.seam.perform(effects::INBOX_ACKNOWLEDGE, || inbox.acknowledge(receipts))
    }

    /// What a listing finds again is no redelivery.
    fn is_news(&self, arrival: &Arrival) -> Outcome<bool> {
        let Arrival::Notification(n) = arrival else { return Ok(true) };
        let version = n.version_id.as_deref().unwrap_or(&n.etag);
        Ok(!self.store.is_known(&n.bucket, &n.key, version, n.sequencer.as_deref())?)
    }

    fn poll(&mut self) -> Outcome<Tick> {
        let now = self.context.clock.now();
        let poll = self.inbox.poll()?;
        if !poll.deliveries.is_empty() {
            self.journal(&poll.deliveries)?;
        }
        if poll.more || !poll.deliveries.is_empty() {
            return Ok(Tick::Worked);
        }
        if poll.unsettled > 0 {
            let waiting_for = self.inbox.unsettled_words(poll.unsettled);
            return Ok(Tick::Idle(Idle {
                wake_at: Some(now + UNSETTLED_DELAY),
                waiting_for: Some(waiting_for),
            }));
        }
        Ok(Tick::Idle(Idle { wake_at: self.watch.then(|| now + SCAN_INTERVAL), waiting_for: None }))
    }
}

impl Stage for Listener {
    fn name(&self) -> &'static str {
        "listen"
    }

    fn tick(&mut self) -> Outcome<Tick> {
        let polled = self.poll();
        self.pulse.fetch_add(1, Ordering::SeqCst);
        match polled {
            Ok(tick) => {
                self.failures = 0;
                Ok(tick)
            }
            Err(failure) if failure.kind == FailureKind::Transient => {
                self.failures += 1;
                tracing::warn!("the inbox cannot be read: {failure}");
                let delay =
                    backoff::delay(TimeDelta::seconds(1), TimeDelta::minutes(1), self.failures, "inbox");
                let wake_at = Some(self.context.clock.now() + delay);
                Ok(Tick::Idle(Idle { wake_at, waiting_for: Some(format!("the inbox: {failure}")) }))
            }
            Err(failure) => Err(failure),
        }
    }
}
