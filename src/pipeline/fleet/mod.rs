//! What holds a fleet together, and what brings a lost or old state back (I11): signs of life, batches that nobody works
//! on any more, and documents that no notification told of.
//!
//! The ledger comes first, then the archive, then the landing. Everything found is adopted into this machine's state and
//! goes on through the ordinary stages; whatever two machines do at once is decided by the ledger.

mod adopt;
mod landing;

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use sluicegate_state::{Store, Timestamp};

use crate::failure::{Failure, FailureKind, Outcome};
use crate::job::Job;

use super::backoff;
use super::context::Context;
use super::ledger::LedgerConnection;
use super::stage::{Idle, Setback, Stage, Tick, lies_ahead};

pub(super) use adopt::adopted_members;

/// How often a machine says that it lives.
const HEARTBEAT: TimeDelta = TimeDelta::seconds(15);
/// How often the archive is looked through for batches that nobody works on.
const SCAN_INTERVAL: TimeDelta = TimeDelta::minutes(1);
/// How soon a machine that lost its state looks again at what may be a dead machine's.
const PEER_INTERVAL: TimeDelta = TimeDelta::seconds(5);
/// A lease and a little more: who lives after that has renewed it, and what is left to such a one is its own.
const LEASE_OVER: TimeDelta = TimeDelta::seconds(75);
/// The dates of the archive that a scan looks at; once a day it looks at all, and whenever the state is new or old.
const SCAN_DAYS: i64 = 3;
/// A state whose last scan is older than this may be an old copy: everything is looked at.
const A_DAY: TimeDelta = TimeDelta::hours(24);
/// An object that landed later than this may still be announced.
pub const ANNOUNCEMENT_TIME: TimeDelta = TimeDelta::minutes(30);
/// How often a landing is listed while the ledger cannot say whose turn it is.
const LONELY_LISTING: TimeDelta = TimeDelta::hours(1);
/// The longest rest after a failure.
const LONGEST_SETBACK: TimeDelta = TimeDelta::minutes(1);
/// Objects of a listing that are looked up at a time.
const LOOKUP: usize = 500;

const SCANNED_AT: &str = "fleet.scanned_at";
/// When all of the archive was last looked at; empty where that has to be done again.
pub(super) const WHOLE_SCAN_AT: &str = "fleet.whole_scan_at";
/// Since when the ledger has been away, or when this machine last listed its landings alone since then; empty while the
/// ledger answers. In the state, because a drain that can do nothing without the ledger ends, and the next one goes on.
const ALONE_SINCE: &str = "fleet.alone_since";

/// Keeps an eye on the fleet.
pub struct FleetStage {
    context: Arc<Context>,
    store: Store,
    ledger: LedgerConnection,
    next_heartbeat: Timestamp,
    next_scan: Timestamp,
    next_lonely_look: Timestamp,
    failures: u64,
    /// Unfinished batches that the last scan found and left to machines that live, as far as the ledger knows.
    left_to_peers: u64,
    /// Since when looks at the whole archive have left something to them.
    left_since: Option<Timestamp>,
    waits_for_peers: bool,
    /// Landings whose turn this process has taken and that it has not yet listed.
    owed: BTreeSet<String>,
    /// What went wrong in the present look, and did not keep it from going on.
    trouble: Option<Failure>,
    /// Whether the present look may have brought work for the stages behind.
    found: bool,
    /// After a failure: until when it rests, whatever the other stages do.
    setback: Option<Setback>,
    watch: bool,
}

impl FleetStage {
    /// A stage with a state connection and a ledger connection of its own.
    pub fn new(context: Arc<Context>, watch: bool) -> Outcome<Self> {
        let store = context.open_store()?;
        let ledger = LedgerConnection::new(context.clone());
        let start = DateTime::<Utc>::MIN_UTC;
        let (next_heartbeat, next_scan, next_lonely_look) = (start, start, start);
        Ok(Self {
            context,
            store,
            ledger,
            next_heartbeat,
            next_scan,
            next_lonely_look,
            failures: 0,
            left_to_peers: 0,
            left_since: None,
            waits_for_peers: false,
            owed: BTreeSet::new(),
            trouble: None,
            found: false,
            setback: None,
            watch,
        })
    }

    fn work(&mut self) -> Outcome<bool> {
        self.found = false;
        let now = self.context.clock.now();
        self.say_alive(now)?;
        if lies_ahead(self.next_scan, now, SCAN_INTERVAL) {
            return Ok(false);
        }
        let first_start = self.ledger_is_empty()?;
        self.be_alone_no_more()?;
        let rebuild = self.is_older_than_a_day(SCANNED_AT, now)?;
        let whole_archive = rebuild || self.is_older_than_a_day(WHOLE_SCAN_AT, now)?;
        self.scan(whole_archive, rebuild && !first_start, now)?;
        let is_whole = whole_archive && self.left_nothing_to_the_dead(now);
        self.waits_for_peers = rebuild && !is_whole;
        if is_whole {
            self.store.set_meta(WHOLE_SCAN_AT, &now.to_rfc3339())?;
        }
        // While something of a lost state is left to machines that may be dead, the state is not yet whole again.
        if !self.waits_for_peers {
            self.store.set_meta(SCANNED_AT, &now.to_rfc3339())?;
        }
        self.next_scan = now + if self.waits_for_peers { PEER_INTERVAL } else { SCAN_INTERVAL };
        Ok(self.found)
    }

    fn say_alive(&mut self, now: Timestamp) -> Outcome<()> {
        if lies_ahead(self.next_heartbeat, now, HEARTBEAT) {
            return Ok(());
        }
        let Self { context, store, ledger, .. } = self;
        ledger.get(store)?.heartbeat(&context.incarnation, &context.host)?;
        self.next_heartbeat = now + HEARTBEAT;
        Ok(())
    }

    /// Whoever rests after a failure is not dead.
    fn stay_alive(&mut self, now: Timestamp) -> Outcome<()> {
        let told = match self.ledger.unreachable(&mut self.store)? {
            None => self.say_alive(now),
            Some(_) => return Ok(()),
        };
        match told {
            Err(failure) if !ends_the_run(&failure) => {
                self.ledger.close();
                tracing::debug!("no sign of life: {failure}");
                Ok(())
            }
            told => told,
        }
    }

    /// Whether everything that a look at the whole archive, begun at `now`, left to others belongs to machines that live.
    /// A machine that died before the first of these looks ended has no lease any more when a lease has passed.
    fn left_nothing_to_the_dead(&mut self, now: Timestamp) -> bool {
        let ended = self.context.clock.now();
        // A beginning in the future lies before the clock was set back: the wait begins anew.
        let since = self.left_since.filter(|since| self.left_to_peers > 0 && *since <= now.max(ended));
        let all_live = self.left_to_peers == 0 || since.is_some_and(|since| now - since >= LEASE_OVER);
        self.left_since = (!all_live).then(|| since.unwrap_or(ended));
        all_live
    }

    /// Each job in turn; trouble with one does not hold up the others.
    fn scan(&mut self, whole_archive: bool, whole_landing: bool, now: Timestamp) -> Outcome<()> {
        self.left_to_peers = 0;
        self.trouble = None;
        let jobs: Vec<Arc<Job>> = self.context.jobs.values().cloned().collect();
        for job in &jobs {
            let scanned = self.scan_job(job, whole_archive, whole_landing, now);
            self.go_on_after(scanned)?;
        }
        self.trouble.take().map_or(Ok(()), Err)
    }

    /// Ledger, archive and landing, in this order.
    fn scan_job(
        &mut self,
        job: &Job,
        whole_archive: bool,
        whole_landing: bool,
        now: Timestamp,
    ) -> Outcome<()> {
        self.adopt_loads(job)?;
        self.adopt_archives(job, whole_archive, now)?;
        // What fails may have had its effect all the same.
        let before = std::mem::replace(&mut self.found, true);
        let listed = self.list_landing(job, whole_landing, now)?;
        self.found = before || listed;
        Ok(())
    }

    /// Keeps a failure for the end of the look.
    fn go_on_after(&mut self, done: Outcome<()>) -> Outcome<()> {
        match done {
            Err(failure) if !ends_the_run(&failure) => {
                self.trouble.get_or_insert(failure);
                Ok(())
            }
            done => done,
        }
    }

    /// The same for one batch: only what concerns it alone.
    fn go_on_after_one(&mut self, done: Outcome<()>) -> Outcome<()> {
        match done {
            Err(failure) if failure.kind == FailureKind::Permanent => self.go_on_after(Err(failure)),
            done => done,
        }
    }

    /// At the very first start nothing is lost: what lies in the landing is announced, or listed in its turn.
    fn ledger_is_empty(&mut self) -> Outcome<bool> {
        let Self { store, ledger, .. } = self;
        Ok(ledger.get(store)?.identity()?.newest_batch.is_none())
    }

    /// Whether what `meta` remembers is a day ago, or never was.
    fn is_older_than_a_day(&self, meta: &str, now: Timestamp) -> Outcome<bool> {
        let at = self.store.meta(meta)?.and_then(|text| DateTime::parse_from_rfc3339(&text).ok());
        // A time far ahead was written before the clock was set back.
        Ok(at.is_none_or(|at| (now - at.with_timezone(&Utc)).abs() > A_DAY))
    }

    /// A state that is whole needs nothing from the ledger; one that may have lost something waits for it.
    fn rest_without_ledger(&self, idle: Idle) -> Outcome<Idle> {
        let whole = !self.is_older_than_a_day(SCANNED_AT, self.context.clock.now())?;
        Ok(if whole { Idle { waiting_for: None, ..idle } } else { idle })
    }

    fn rest(&self) -> Tick {
        let look_again = self.watch || self.waits_for_peers;
        let waiting_for = self.waits_for_peers.then(|| {
            format!(
                "{} batches of machines that may be dead; their leases run out within a minute",
                self.left_to_peers
            )
        });
        Tick::Idle(Idle { wake_at: look_again.then(|| self.next_heartbeat.min(self.next_scan)), waiting_for })
    }
}

/// A stage that ends, ends with its process; one that is killed says nothing, and its lease runs out.
impl Drop for FleetStage {
    fn drop(&mut self) {
        if let Err(failure) = self.ledger.say_farewell() {
            tracing::debug!("the ledger was not told that this process ends: {failure}");
        }
    }
}

impl Stage for FleetStage {
    fn name(&self) -> &'static str {
        "fleet"
    }

    fn tick(&mut self) -> Outcome<Tick> {
        let now = self.context.clock.now();
        if let Some(idle) = self.setback.as_ref().and_then(|setback| setback.rest(now)) {
            self.stay_alive(now)?;
            return Ok(Tick::Idle(idle));
        }
        self.setback = None;
        if let Some(idle) = self.ledger.unreachable(&mut self.store)? {
            // What nobody told of is looked for all the same; what the ledger knows of it is found out at the load.
            return match self.list_alone(now) {
                Ok(true) => Ok(Tick::Worked),
                Ok(false) => Ok(Tick::Idle(self.rest_without_ledger(idle)?)),
                Err(failure) if ends_the_run(&failure) => Err(failure),
                Err(failure) => {
                    tracing::warn!("the landing cannot be listed now: {failure}");
                    // What fails may have had its effect all the same.
                    Ok(Tick::Worked)
                }
            };
        }
        match self.work() {
            Ok(found) => {
                self.failures = 0;
                Ok(if found { Tick::Worked } else { self.rest() })
            }
            Err(failure) if ends_the_run(&failure) => Err(failure),
            Err(failure) => {
                // Documents never wait for this: the ordinary stages go on.
                self.ledger.close();
                self.failures += 1;
                tracing::warn!("cannot look after the fleet now: {failure}");
                let delay = backoff::delay(TimeDelta::seconds(1), LONGEST_SETBACK, self.failures, "fleet");
                let now = self.context.clock.now();
                let setback = Setback::new(now, delay, format!("the ledger or the archive: {failure}"));
                let idle = setback.idle();
                self.setback = Some(setback);
                Ok(if self.found { Tick::Worked } else { Tick::Idle(idle) })
            }
        }
    }
}

fn ends_the_run(failure: &Failure) -> bool {
    matches!(failure.kind, FailureKind::WrongLedger | FailureKind::Died)
}
