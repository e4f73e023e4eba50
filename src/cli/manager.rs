//! What the service manager is told: readiness, the end, and signs of life that rest on proven progress.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;

use crate::pipeline::bell::Bell;

/// Counts the finished steps of one listener.
pub(super) type Pulse = Arc<AtomicU64>;

/// Says that the program is ready, and from then on that it lives: as often as the manager's watchdog asks, but only if
/// every listener has finished a step since the last time. Ends when the run is stopped.
pub(super) fn announce(bell: &Arc<Bell>, pulses: Vec<Pulse>) {
    tell(&[NotifyState::Ready]);
    let Some(deadline) = sd_notify::watchdog_enabled() else { return };
    let bell = bell.clone();
    std::thread::spawn(move || watch(&bell, &pulses, deadline));
}

/// Says that the program is about to end.
pub(super) fn say_stopping() {
    tell(&[NotifyState::Stopping]);
}

fn watch(bell: &Bell, pulses: &[Pulse], deadline: Duration) {
    let mut before: Vec<Option<u64>> = vec![None; pulses.len()];
    while !bell.is_stopped() {
        let now: Vec<Option<u64>> = pulses.iter().map(|pulse| Some(pulse.load(Ordering::SeqCst))).collect();
        if now.iter().zip(&before).all(|(now, before)| now != before) {
            tell(&[NotifyState::Watchdog]);
            before = now;
        }
        bell.wait_stopped(deadline / 4);
    }
}

/// Without a service manager this does nothing; with one that does not listen, work goes on all the same.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("the service manager cannot be told: {error}");
    }
}
