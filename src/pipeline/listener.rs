//! The listener: takes notifications from the inbox, journals them, and only then acknowledges (I1).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::TimeDelta;
use sluicegate_state::canary::{Canary, sings};
use sluicegate_state::{Store, Timestamp};

use crate::effects;
use crate::failure::{FailureKind, Outcome};
use crate::ports::inbox::{Delivery, Inbox, Poll};

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
    /// What the next tick comes to, where the last look is known to have brought everything.
    looked: Option<Idle>,
    /// Whether the present look may have journaled something.
    journaled: bool,
    /// After a failure: until when it rests, whatever the other stages do.
    setback: Option<Idle>,
    /// Steps finished, whatever came of them: proof that this loop is not stuck.
    pulse: Arc<AtomicU64>,
}

impl Listener {
    /// A listener for `inbox`.
    pub fn new(context: Arc<Context>, inbox: Box<dyn Inbox>, watch: bool) -> Outcome<Self> {
        let store = context.open_store()?;
        Ok(Self {
            context,
            store,
            inbox,
            watch,
            failures: 0,
            looked: None,
            journaled: false,
            setback: None,
            pulse: Arc::default(),
        })
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
        let arrivals = deliveries.iter().flat_map(|delivery| &delivery.arrivals);
        let now = self.context.clock.now();
        self.journaled = true;
        if sings(Canary::AcknowledgeFirst) {
            self.inbox.acknowledge(receipts)?;
        }
        let receipt = if self.inbox.is_listing() {
            // What a listing finds again is no redelivery.
            self.store.journal_listed(arrivals, now)?
        } else {
            self.store.journal(arrivals, now)?
        };
        self.context.tally.add(|counts| {
            counts.notifications += receipt.recorded;
            counts.redelivered += receipt.redelivered;
        });
        let Self { context, inbox, .. } = self;
        context.seam.perform(effects::INBOX_ACKNOWLEDGE, || inbox.acknowledge(receipts))
    }

    fn poll(&mut self) -> Outcome<Tick> {
        self.journaled = false;
        if let Some(idle) = self.looked.take() {
            return Ok(Tick::Aside(idle));
        }
        let now = self.context.clock.now();
        let poll = self.inbox.poll()?;
        if !poll.deliveries.is_empty() {
            self.journal(&poll.deliveries)?;
        }
        let rest = self.rest(&poll, now);
        match rest {
            _ if poll.more => Ok(Tick::Worked),
            // The look that brought the last of these brought all that there is; it need not be repeated at once.
            Tick::Aside(idle) if !poll.deliveries.is_empty() => {
                self.looked = Some(idle);
                Ok(Tick::Worked)
            }
            _ if !poll.deliveries.is_empty() => Ok(Tick::Worked),
            rest => Ok(rest),
        }
    }

    /// What to do once everything is taken.
    fn rest(&self, poll: &Poll, now: Timestamp) -> Tick {
        let idle = if poll.unsettled > 0 {
            let waiting_for = self.inbox.unsettled_words(poll.unsettled);
            Idle { wake_at: Some(now + UNSETTLED_DELAY), waiting_for: Some(waiting_for) }
        } else {
            Idle { wake_at: self.watch.then(|| now + SCAN_INTERVAL), waiting_for: None }
        };
        // A look walks through the whole folder, and no stage puts anything there.
        if self.inbox.is_listing() { Tick::Aside(idle) } else { Tick::Idle(idle) }
    }
}

impl Stage for Listener {
    fn name(&self) -> &'static str {
        "listen"
    }

    fn tick(&mut self) -> Outcome<Tick> {
        let now = self.context.clock.now();
        if let Some(idle) = self.setback.as_ref().filter(|idle| idle.is_before(now)) {
            return Ok(Tick::Idle(idle.clone()));
        }
        let polled = self.poll();
        self.pulse.fetch_add(1, Ordering::SeqCst);
        match polled {
            Ok(tick) => {
                self.failures = 0;
                self.setback = None;
                Ok(tick)
            }
            Err(failure) if failure.kind == FailureKind::Transient => {
                self.failures += 1;
                tracing::warn!("the inbox cannot be read: {failure}");
                let delay =
                    backoff::delay(TimeDelta::seconds(1), TimeDelta::minutes(1), self.failures, "inbox");
                let wake_at = Some(self.context.clock.now() + delay);
                let idle = Idle { wake_at, waiting_for: Some(format!("the inbox: {failure}")) };
                self.setback = Some(idle.clone());
                // What is in the journal is work for the stages behind, though its acknowledgement failed.
                Ok(if self.journaled { Tick::Worked } else { Tick::Idle(idle) })
            }
            Err(failure) => Err(failure),
        }
    }
}
