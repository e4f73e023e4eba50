//! The listener: takes notifications from the inbox, journals them, and only then acknowledges (I1).

use std::sync::Arc;

use chrono::TimeDelta;
use sluicegate_state::canary::{Canary, sings};
use sluicegate_state::{Store, Timestamp};

use crate::effects;
use crate::failure::{Failure, FailureKind, Outcome};
use crate::ports::inbox::{Delivery, Inbox, Poll};

use super::backoff;
use super::context::Context;
use super::pulse::Pulse;
use super::stage::{Idle, Setback, Stage, Tick};

/// How soon to look again at files that may still be growing.
const UNSETTLED_DELAY: TimeDelta = TimeDelta::milliseconds(210);
/// How often a watching listener scans a folder.
const SCAN_INTERVAL: TimeDelta = TimeDelta::seconds(1);
/// The longest wait for a journal that is full or locked: nobody rings when a disk has space again.
const LONGEST_JOURNAL_WAIT: TimeDelta = TimeDelta::seconds(10);
/// What is said while the journal takes nothing (I1).
const REFUSED: &str = "the journal cannot be written, so nothing is acknowledged";
/// The small fact that is written to see whether it takes something again.
const PROBE: &str = "journal_probe";

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
    setback: Option<Setback>,
    /// The journal took nothing when it was last written to.
    journal_refused: bool,
    /// Steps finished, whatever came of them, and what is wrong.
    pulse: Arc<Pulse>,
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
            journal_refused: false,
            pulse: Arc::default(),
        })
    }

    /// How this listener is.
    pub fn pulse(&self) -> Arc<Pulse> {
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
            self.store.journal_listed(arrivals, now)
        } else {
            self.store.journal(arrivals, now)
        };
        let receipt = receipt.map_err(|error| self.refused(error.into()))?;
        self.context.tally.add(|counts| {
            counts.notifications += receipt.recorded;
            counts.redelivered += receipt.redelivered;
        });
        let Self { context, inbox, .. } = self;
        context.seam.perform(effects::INBOX_ACKNOWLEDGE, || inbox.acknowledge(receipts))
    }

    fn refused(&mut self, failure: Failure) -> Failure {
        self.journal_refused = true;
        failure.while_doing(REFUSED)
    }

    /// An inbox is not asked while the journal takes nothing: a queue counts how often it hands a message out, and moves it
    /// away after too many times.
    fn make_sure_of_the_journal(&mut self) -> Outcome<()> {
        if self.journal_refused {
            let now = self.context.clock.now().to_rfc3339();
            self.store.set_meta(PROBE, &now).map_err(|error| self.refused(error.into()))?;
            self.journal_refused = false;
            tracing::info!("the journal can be written again");
        }
        Ok(())
    }

    fn poll(&mut self) -> Outcome<Tick> {
        self.journaled = false;
        self.make_sure_of_the_journal()?;
        if let Some(idle) = self.looked.take() {
            return Ok(Tick::Aside(idle));
        }
        let now = self.context.clock.now();
        let poll = self.inbox.poll().map_err(|failure| failure.while_doing("the inbox cannot be read"))?;
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
        if let Some(idle) = self.setback.as_ref().and_then(|setback| setback.rest(now)) {
            return Ok(Tick::Idle(idle));
        }
        let polled = self.poll();
        let trouble = polled.as_ref().err().map(|failure| failure.message.as_str());
        self.pulse.beat(trouble);
        match polled {
            Ok(tick) => {
                self.failures = 0;
                self.setback = None;
                Ok(tick)
            }
            Err(failure) if failure.kind == FailureKind::Transient => {
                self.failures += 1;
                tracing::warn!("{failure}");
                let longest = if self.journal_refused { LONGEST_JOURNAL_WAIT } else { TimeDelta::minutes(1) };
                let delay = backoff::delay(TimeDelta::seconds(1), longest, self.failures, "inbox");
                let setback = Setback::new(self.context.clock.now(), delay, failure.to_string());
                let idle = setback.idle();
                self.setback = Some(setback);
                // What is in the journal is work for the stages behind, though its acknowledgement failed.
                Ok(if self.journaled { Tick::Worked } else { Tick::Idle(idle) })
            }
            Err(failure) => Err(failure),
        }
    }
}
