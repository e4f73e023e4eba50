//! When alerts are looked for: every minute while a process watches, and once at the end of a drain that does not.

use std::sync::Arc;

use chrono::TimeDelta;
use sluicegate_state::{Store, Timestamp};

use crate::failure::{FailureKind, Outcome};
use crate::pipeline::backoff;
use crate::pipeline::context::Context;
use crate::pipeline::stage::{Idle, Stage, Tick, lies_ahead};
use crate::ports::alarm::Alarm;

use super::condition::{alerts, parked};
use super::tell;

/// How often a watching process looks.
const LOOK_INTERVAL: TimeDelta = TimeDelta::minutes(1);
/// The alerts that come from here; reconciliation has its own.
const FAMILIES: [&str; 2] = ["expiring:", "parked:"];

/// Looks once at all jobs and tells what there is to tell; how many alerts were told.
///
/// # Errors
/// An alarm refused, or the state store did. Nothing of the pipeline depends on it.
pub fn watched(
    context: &Context,
    store: &mut Store,
    alarms: &mut [Box<dyn Alarm>],
    horizon: TimeDelta,
) -> Outcome<u64> {
    if alarms.is_empty() {
        return Ok(0);
    }
    let now = context.clock.now();
    let mut present = Vec::new();
    for job in context.jobs.values() {
        let landing = context.landings.get(&job.name).map(Arc::as_ref);
        present.extend(alerts(store, job, landing, now, horizon)?);
    }
    // A batch does not cease to be parked because the file of its job is gone.
    for job in store.jobs()?.iter().filter(|job| !context.jobs.contains_key(*job)) {
        present.extend(parked(store, job)?);
    }
    tell(store, &context.seam, alarms, &present, &FAMILIES, now)
}

/// Looks every minute. It never holds up documents: an alarm that refuses is tried again.
pub struct AlertStage {
    context: Arc<Context>,
    store: Store,
    alarms: Vec<Box<dyn Alarm>>,
    horizon: TimeDelta,
    failures: u64,
    /// When to look next. The bell wakes everybody much more often.
    next_look: Timestamp,
}

impl AlertStage {
    /// A stage that tells of documents which expire within `horizon`. What waited while no process ran is secured within
    /// its first minute, and needs no alarm; so the first look comes after that.
    pub fn new(context: Arc<Context>, alarms: Vec<Box<dyn Alarm>>, horizon: TimeDelta) -> Outcome<Self> {
        let store = context.open_store()?;
        let next_look = context.clock.now() + LOOK_INTERVAL;
        Ok(Self { context, store, alarms, horizon, failures: 0, next_look })
    }

    /// How long until the next look.
    fn look(&mut self) -> Outcome<TimeDelta> {
        let Self { context, store, alarms, horizon, .. } = self;
        match watched(context, store, alarms, *horizon) {
            Ok(_) => {
                self.failures = 0;
                Ok(LOOK_INTERVAL)
            }
            Err(failure) if failure.kind == FailureKind::Died => Err(failure),
            Err(failure) => {
                self.failures += 1;
                tracing::warn!("an alert could not be told: {failure}");
                Ok(backoff::delay(TimeDelta::seconds(5), LOOK_INTERVAL, self.failures, "alert"))
            }
        }
    }
}

impl Stage for AlertStage {
    fn name(&self) -> &'static str {
        "alert"
    }

    fn tick(&mut self) -> Outcome<Tick> {
        if !lies_ahead(self.next_look, self.context.clock.now(), LOOK_INTERVAL) {
            let delay = self.look()?;
            self.next_look = self.context.clock.now() + delay;
        }
        Ok(Tick::Idle(Idle { wake_at: Some(self.next_look), waiting_for: None }))
    }
}
