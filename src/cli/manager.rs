//! What the service manager is told: readiness, the end, and signs of life that rest on proven progress.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use crate::pipeline::bell::Bell;
use crate::pipeline::pulse::Pulse;

/// How often it is looked at what `systemctl status` should say.
const LOOK: Duration = Duration::from_secs(1);
/// What it says while all is well.
const WELL: &str = "journaling";

/// Says that the program is ready, and from then on that it lives: as often as the manager's watchdog asks, but only if
/// every listener has finished a step since the last time; and what is wrong with the listeners. Ends when the run is stopped.
pub(super) fn announce(bell: &Arc<Bell>, pulses: Vec<Arc<Pulse>>) {
    tell(&[NotifyState::Ready]);
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let (bell, watchdog) = (bell.clone(), sd_notify::watchdog_enabled());
    std::thread::spawn(move || watch(&bell, &pulses, watchdog));
}

/// Says that the program is about to end.
pub(super) fn say_stopping() {
    tell(&[NotifyState::Stopping]);
}

fn watch(bell: &Bell, pulses: &[Arc<Pulse>], watchdog: Option<Duration>) {
    let mut before: Vec<Option<u64>> = vec![None; pulses.len()];
    let mut fed: Option<Instant> = None;
    let mut said = String::new();
    while !bell.is_stopped() {
        let now: Vec<Option<u64>> = pulses.iter().map(|pulse| Some(pulse.steps())).collect();
        let due = watchdog.is_some_and(|deadline| fed.is_none_or(|fed| fed.elapsed() >= deadline / 4));
        if due && now.iter().zip(&before).all(|(now, before)| now != before) {
            tell(&[NotifyState::Watchdog]);
            (before, fed) = (now, Some(Instant::now()));
        }
        let status = status(pulses);
        if status != said {
            tell(&[NotifyState::Status(&status)]);
            said = status;
        }
        bell.wait_stopped(watchdog.map_or(LOOK, |deadline| (deadline / 4).min(LOOK)));
    }
}

/// One line, as the manager takes it.
fn status(pulses: &[Arc<Pulse>]) -> String {
    let troubles: Vec<String> = pulses.iter().filter_map(|pulse| pulse.trouble()).collect();
    if troubles.is_empty() { WELL.to_owned() } else { troubles.join("; ").replace(['\n', '\r'], " ") }
}

/// Without a service manager this does nothing; with one that does not listen, work goes on all the same.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("the service manager cannot be told: {error}");
    }
}
