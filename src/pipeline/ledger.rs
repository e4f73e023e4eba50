//! The ledger connection of a stage: opened when first needed, opened again after it broke, and never to a ledger that is
//! not the one this state folder belongs to (I11).

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use sluicegate_state::{BatchState, Store, Timestamp};

use crate::failure::{Failure, FailureKind, Outcome};
use crate::ports::warehouse::{LedgerIdentity, Warehouse};

use super::backoff;
use super::context::Context;
use super::fleet::WHOLE_SCAN_AT;
use super::stage::{Idle, lies_ahead};

/// Under this name the state remembers the ledger that it belongs to.
const LEDGER_ID: &str = "ledger.id";
/// Between attempts to reach the warehouse: first, and at the most.
const FIRST_WAIT: TimeDelta = TimeDelta::milliseconds(500);
const LONGEST_WAIT: TimeDelta = TimeDelta::seconds(30);

const NEWEST_LOAD: &str = "ledger.newest_load";
/// Since when lost loads are being entered again; empty where that is over.
const REENTRY: &str = "ledger.reentry";
/// Lost loads that could not be entered again, divided by spaces.
const GIVEN_UP: &str = "ledger.given_up";
/// Loads that are not published yet, and that the ledger is asked for; more of them are not there at a time.
const MOST_UNPUBLISHED: usize = 500;
/// What mends a ledger that was restored to the past.
pub const REENTRY_COMMAND: &str = "sluicegate reconcile --ledger-behind --because TEXT";

/// A warehouse connection that opens itself.
pub struct LedgerConnection {
    context: Arc<Context>,
    open: Option<Box<dyn Warehouse>>,
    /// Attempts to open it that failed since the last one that did not.
    failures: u64,
    next_try: Timestamp,
    last_failure: String,
}

impl LedgerConnection {
    /// Not yet connected.
    pub fn new(context: Arc<Context>) -> Self {
        let next_try = DateTime::<Utc>::MIN_UTC;
        Self { context, open: None, failures: 0, next_try, last_failure: String::new() }
    }

    /// Why a stage has to rest because the warehouse cannot be reached; `None` where it can. Asked before a batch is
    /// touched: a warehouse that is away for a week is nothing that any batch did, and costs no batch an attempt, nor its
    /// place in the order.
    pub fn unreachable(&mut self, store: &mut Store) -> Outcome<Option<Idle>> {
        let now = self.context.clock.now();
        if self.open.is_none() && !lies_ahead(self.next_try, now, LONGEST_WAIT) {
            match self.get(store) {
                Ok(_) => self.failures = 0,
                Err(failure) if matches!(failure.kind, FailureKind::WrongLedger | FailureKind::Died) => {
                    return Err(failure);
                }
                Err(failure) => {
                    self.failures += 1;
                    tracing::warn!("the warehouse cannot be used now: {failure}");
                    // An attempt can take longer than the wait after it.
                    let failed_at = self.context.clock.now();
                    self.next_try =
                        failed_at + backoff::delay(FIRST_WAIT, LONGEST_WAIT, self.failures, "warehouse");
                    self.last_failure = failure.message;
                }
            }
        }
        if self.open.is_some() {
            return Ok(None);
        }
        Ok(Some(self.idle()))
    }

    /// The connection; opened and checked where that is needed.
    pub fn get(&mut self, store: &mut Store) -> Outcome<&mut dyn Warehouse> {
        if self.open.is_none() {
            let mut warehouse = (self.context.open_warehouse)()?;
            check_identity(store, warehouse.as_mut())?;
            for job in self.context.jobs.values() {
                warehouse
                    .prepare(job.definition.schema())
                    .map_err(|f| f.while_doing(format!("job {}", job.name)))?;
            }
            self.open = Some(warehouse);
        }
        Ok(self.open.as_mut().expect("it was opened above").as_mut())
    }

    /// Tells the ledger that this process ends, where it is connected.
    pub fn say_farewell(&mut self) -> Outcome<()> {
        let incarnation = &self.context.incarnation;
        self.open.as_mut().map_or(Ok(()), |warehouse| warehouse.farewell(incarnation))
    }

    /// Forgets the connection after a failure, and opens no new one before a moment has passed, however often it is
    /// wanted meanwhile.
    pub fn set_back(&mut self, failure: Failure) -> Idle {
        self.open = None;
        self.next_try = self.context.clock.now() + FIRST_WAIT;
        self.last_failure = failure.message;
        self.idle()
    }

    fn idle(&self) -> Idle {
        let waiting_for = Some(format!("the warehouse: {}", self.last_failure));
        Idle { wake_at: Some(self.next_try), waiting_for }
    }

    /// Forgets the connection after a failure, so that the next use opens a new one.
    pub fn close(&mut self) {
        self.open = None;
    }
}

/// Refuses another database, or one that was restored to the past; remembers a ledger that is met for the first time.
pub fn check_identity(store: &mut Store, warehouse: &mut dyn Warehouse) -> Outcome<()> {
    let identity = compare_identity(store, warehouse)?;
    remember_ledger(store, &identity)
}

/// The same, without remembering anything.
pub fn compare_identity(store: &Store, warehouse: &mut dyn Warehouse) -> Outcome<LedgerIdentity> {
    let identity = same_ledger(store, warehouse)?;
    if let Some(newest) = forgotten_load(store, warehouse)? {
        return Err(wrong_ledger(format!(
            "{} does not know batch {newest}, which was loaded into it: it was restored to the past. Restore a newer \
             backup; or where there is none, enter the lost loads again: {REENTRY_COMMAND}",
            warehouse.location(),
        )));
    }
    if let Some(since) = unfinished_reentry(store)? {
        return Err(wrong_ledger(format!(
            "{} was restored to the past, and the entering of its lost loads that began at {since} has not come to its \
             end: {REENTRY_COMMAND}",
            warehouse.location(),
        )));
    }
    Ok(identity)
}

/// Refuses only another database: for the command that mends one that was restored to the past.
pub fn same_ledger(store: &Store, warehouse: &mut dyn Warehouse) -> Outcome<LedgerIdentity> {
    let identity = warehouse.identity()?;
    if let Some(known) = store.meta(LEDGER_ID)?.filter(|known| *known != identity.id) {
        return Err(wrong_ledger(format!(
            "{} holds the ledger {}, and the state in {} belongs to the ledger {known}: give this state its own \
             warehouse, or that warehouse a state folder of its own",
            warehouse.location(),
            identity.id,
            store.folder().display(),
        )));
    }
    Ok(identity)
}

/// The newest load of this machine, where the ledger does not know it; else one that this state has as loaded and not yet
/// published. Where the newest one was entered again from another machine, that did not bring such a one, for nobody else
/// could see that it was there; and a machine that has only adopted it may have no load of its own.
pub fn forgotten_load(store: &Store, warehouse: &mut dyn Warehouse) -> Outcome<Option<String>> {
    if let Some(newest) = fact(store, NEWEST_LOAD)?
        && !warehouse.knows_batch(&newest)?
    {
        return Ok(Some(newest));
    }
    let given_up = fact(store, GIVEN_UP)?.unwrap_or_default();
    let mut unpublished = store.batches_in(BatchState::Loaded, MOST_UNPUBLISHED)?;
    unpublished.extend(store.parked_batches(BatchState::Loaded, MOST_UNPUBLISHED)?);
    let ids = unpublished.into_iter().map(|batch| batch.batch_id);
    let ids: Vec<String> = ids.filter(|id| !given_up.split(' ').any(|other| other == id)).collect();
    let known = if ids.is_empty() { BTreeSet::new() } else { warehouse.known_batches(&ids)? };
    Ok(ids.into_iter().find(|batch_id| !known.contains(batch_id)))
}

/// Since when lost loads are being entered again, where that has not come to its end.
pub fn unfinished_reentry(store: &Store) -> Outcome<Option<String>> {
    fact(store, REENTRY)
}

/// From here on this state refuses the ledger until the re-entry has come to its end, also where the newest load is in
/// it again: a load that is entered and not yet published is nobody else's work.
pub fn begin_reentry(
    store: &mut Store,
    warehouse: &mut dyn Warehouse,
    now: Timestamp,
) -> Outcome<LedgerIdentity> {
    let identity = same_ledger(store, warehouse)?;
    remember_ledger(store, &identity)?;
    if unfinished_reentry(store)?.is_none() {
        store.set_meta(REENTRY, &sluicegate_state::time::to_text(now))?;
    }
    Ok(identity)
}

/// The re-entry is over. What could not be entered a person knows by now, and it keeps this machine from its work no more: the
/// newest load that the ledger has takes the place of the one that is lost.
pub fn end_reentry(store: &mut Store, warehouse: &mut dyn Warehouse, refused: &[&str]) -> Outcome<()> {
    // What was given up before stays so, though a look need not show it again: its job may be gone.
    let before = fact(store, GIVEN_UP)?.unwrap_or_default();
    let given_up: BTreeSet<&str> = before.split(' ').chain(refused.iter().copied()).collect();
    store.set_meta(GIVEN_UP, Vec::from_iter(given_up).join(" ").trim())?;
    if forgotten_load(store, warehouse)?.is_some() {
        let newest = warehouse.identity()?.newest_batch;
        store.set_meta(NEWEST_LOAD, newest.as_deref().unwrap_or_default())?;
    }
    // What had left nothing but its archive is nobody's lost load, and the last look at all archives may have seen it loaded.
    store.set_meta(WHOLE_SCAN_AT, "")?;
    Ok(store.set_meta(REENTRY, "")?)
}

/// Remembers the newest load that is certainly in the ledger.
pub fn remember_load(store: &mut Store, batch_id: &str) -> Outcome<()> {
    Ok(store.set_meta(NEWEST_LOAD, batch_id)?)
}

fn remember_ledger(store: &mut Store, identity: &LedgerIdentity) -> Outcome<()> {
    if store.meta(LEDGER_ID)?.is_none() {
        store.set_meta(LEDGER_ID, &identity.id)?;
    }
    Ok(())
}

/// A fact of the state; one that was taken back is empty.
fn fact(store: &Store, key: &str) -> Outcome<Option<String>> {
    Ok(store.meta(key)?.filter(|value| !value.is_empty()))
}

fn wrong_ledger(message: String) -> Failure {
    Failure { kind: FailureKind::WrongLedger, message }
}
