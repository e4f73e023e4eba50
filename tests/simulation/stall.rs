//! A machine that stands still in the middle of its work, as one does whose host stops or whose call takes minutes: time
//! passes, leases run out, people go on and so does the other machine. Then it goes on where it stood, with what it knew.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::TimeDelta;
use sluicegate::effects::{LEDGER_MIGRATE, TARGET_CREATE};
use sluicegate::pipeline::stage::Tick;

use crate::hub::Hub;
use crate::machine::Machine;
use crate::options::{OVERTAKEN, STALLED};
use crate::world::{Places, unexpected};

/// Stalls in a thousand effects and calls.
const SHARE: u64 = 5;
/// Longer than a lease in the ledger.
const LEASE: TimeDelta = TimeDelta::seconds(61);
/// Ticks of the other machine in a round, at the most.
const MOST_TICKS: usize = 80;
/// Rests one after the other after which it has nothing to do in this moment.
const RESTS: usize = 6;
/// Before these a transaction of the ledger is open. The embedded one lets nobody else write then, so the other machine
/// would only wait, in real time.
const INSIDE_A_TRANSACTION: [&str; 2] = [LEDGER_MIGRATE, TARGET_CREATE];

/// Who works, and who could go on meanwhile.
#[derive(Default)]
pub(crate) struct Stalls {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The world around a machine that works, while it may stall.
    places: Option<Arc<Places>>,
    beside: Option<Machine>,
    open_loads: usize,
    /// It has stood still past its lease in this tick.
    was_long: bool,
}

/// A load whose transaction is open.
pub(crate) struct OpenLoad(Arc<Hub>);

impl OpenLoad {
    pub(crate) fn new(hub: &Arc<Hub>) -> Self {
        hub.stalls.state().open_loads += 1;
        Self(hub.clone())
    }
}

impl Drop for OpenLoad {
    fn drop(&mut self) {
        self.0.stalls.state().open_loads -= 1;
    }
}

impl Stalls {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the machine that works may stall, and `beside` goes on then.
    pub(crate) fn begin(&self, places: &Arc<Places>, beside: Option<Machine>) {
        let mut state = self.state();
        (state.places, state.beside) = (Some(places.clone()), beside);
    }

    /// A tick begins.
    pub(crate) fn begin_tick(&self) {
        self.state().was_long = false;
    }

    /// Nobody stalls any more.
    pub(crate) fn end(&self) -> Option<Machine> {
        let mut state = self.state();
        state.places = None;
        state.beside.take()
    }
}

impl Hub {
    /// The machine that works may stand still before or after an effect.
    pub(crate) fn may_stall_at(&self, effect: &str, after: bool) {
        if after || !INSIDE_A_TRANSACTION.contains(&effect) {
            self.may_stall(effect);
        }
    }

    /// The machine that works may stand still here.
    pub(crate) fn may_stall(&self, place: &str) {
        {
            let state = self.stalls.state();
            if state.places.is_none() || state.open_loads > 0 {
                return;
            }
        }
        if !self.strikes_at("stall", SHARE) {
            return;
        }
        // Who goes on meanwhile does not stall itself.
        let (places, mut beside) = {
            let mut state = self.stalls.state();
            (state.places.take().expect("nobody else took it"), state.beside.take())
        };
        self.trace(|| format!("  stall at {place}"));
        let is_long = stand_still(&places, beside.as_mut());
        self.trace(|| "  the stall is over".to_owned());
        let mut state = self.stalls.state();
        (state.places, state.beside) = (Some(places), beside);
        state.was_long |= is_long;
    }

    /// The machine that works meets what the other one did while it stood still.
    pub(crate) fn meets_what_the_other_did(&self) {
        if self.stalls.state().was_long {
            self.tell(OVERTAKEN);
        }
    }
}

/// Time passes, and the world goes on; whether that was for longer than a lease and the other machine worked.
fn stand_still(places: &Arc<Places>, mut beside: Option<&mut Machine>) -> bool {
    let hub = &places.hub;
    let (began, mut worked) = (hub.now(), false);
    for _ in 0..hub.choose(|random| random.between(1, 6)) {
        hub.advance(hub.choose(|random| match random.below(10) {
            0 => TimeDelta::minutes(random.between(5, 90)),
            1..4 => TimeDelta::seconds(random.between(60, 300)),
            _ => TimeDelta::seconds(random.between(1, 60)),
        }));
        match hub.choose(|random| random.below(10)) {
            0 => places.land(),
            1 => places.overwrite(),
            2 => places.delete(),
            _ => {}
        }
        if let Some(machine) = beside.as_deref_mut() {
            match work(machine) {
                Ok(has_worked) => worked |= has_worked,
                Err(wrong) => hub.violate(wrong),
            }
        }
    }
    let is_long = worked && hub.now() - began >= LEASE;
    if is_long {
        hub.tell(STALLED);
    }
    is_long
}

/// Whether it found something to do.
fn work(machine: &mut Machine) -> Result<bool, String> {
    machine.start().map_err(unexpected)?;
    let (mut worked, mut rests) = (false, 0);
    for _ in 0..MOST_TICKS {
        match machine.tick().map_err(unexpected)? {
            None => break,
            Some(Tick::Worked) => (worked, rests) = (true, 0),
            Some(_) => rests += 1,
        }
        if rests > RESTS {
            break;
        }
    }
    Ok(worked)
}
