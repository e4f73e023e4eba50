//! Alerts: what a person has to hear of before it is too late, told once, and again only when it becomes worse.

mod condition;
mod stage;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sluicegate_state::seam::Seam;
use sluicegate_state::{Store, Timestamp};

use crate::effects;
use crate::failure::Outcome;
use crate::ports::alarm::{Alarm, Alert};

pub use condition::{Deadline, counted, deadline, span};
pub use stage::{AlertStage, watched};

/// The key under which the state store keeps what was told.
const TOLD: &str = "alerts";

/// One alert as it was told last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    level: u64,
    at: Timestamp,
}

/// Tells of `present` what is new or worse, and forgets what is over, of all alerts whose keys begin with one of
/// `families`. An alert is remembered only after every alarm has taken it, so a death between the two tells it twice.
///
/// # Errors
/// An alarm refused, or the state store did; what was told before is remembered.
pub fn tell(
    store: &mut Store,
    seam: &Seam,
    alarms: &mut [Box<dyn Alarm>],
    present: &[Alert],
    families: &[&str],
    now: Timestamp,
) -> Outcome<u64> {
    if alarms.is_empty() {
        return Ok(0);
    }
    let known = read(store)?;
    let mut told = known.clone();
    let concerned = |key: &str| families.iter().any(|family| key.starts_with(family));
    told.retain(|key, _| !concerned(key) || present.iter().any(|alert| alert.key == *key));
    let mut count = 0;
    let mut trouble = None;
    for alert in present {
        if told.get(&alert.key).is_some_and(|told| told.level >= alert.level) {
            continue;
        }
        match push(seam, alarms, alert) {
            Ok(()) => {
                told.insert(alert.key.clone(), Told { level: alert.level, at: now });
                count += 1;
            }
            Err(failure) => trouble = Some(failure),
        }
    }
    if told != known {
        let text = serde_json::to_string(&told).expect("a map of plain values is JSON");
        store.set_meta(TOLD, &text)?;
    }
    trouble.map_or(Ok(count), Err)
}

fn push(seam: &Seam, alarms: &mut [Box<dyn Alarm>], alert: &Alert) -> Outcome<()> {
    for alarm in alarms {
        seam.perform(effects::ALERT_PUSH, || alarm.raise(alert))
            .map_err(|failure| failure.while_doing(format!("an alert to {}", alarm.location())))?;
        tracing::info!(alert = %alert.key, "told {}", alarm.location());
    }
    Ok(())
}

/// What was told and is not over. A text that cannot be read is as good as none: it is told again.
fn read(store: &Store) -> Outcome<BTreeMap<String, Told>> {
    let text = store.meta(TOLD)?.unwrap_or_default();
    Ok(serde_json::from_str(&text).unwrap_or_default())
}

#[cfg(test)]
mod tests;
