//! What there is to tell: documents that expire before they are secured, and batches that are parked.

use chrono::{SecondsFormat, TimeDelta};
use sluicegate_state::{BatchState, Store, Timestamp};

use crate::failure::Outcome;
use crate::job::Job;
use crate::ports::alarm::Alert;
use crate::ports::object_store::ObjectStore;

/// How often an expiry may be told as having become worse: at each halving of the time that is left.
const MOST_LEVELS: u64 = 9;

/// Documents whose originals are not in the archive, and when the landing takes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deadline {
    /// How many expire before the horizon; at least one.
    pub documents: u64,
    /// When the first of them does.
    pub earliest: Timestamp,
    /// What holds up archiving, where something is known to.
    pub cause: Option<String>,
}

/// Which documents of `job` that are not archived yet expire within `horizon`. What is archived is safe, whatever it
/// waits for.
pub fn deadline(
    store: &Store,
    job: &Job,
    landing: Option<&dyn ObjectStore>,
    now: Timestamp,
    horizon: TimeDelta,
) -> Outcome<Option<Deadline>> {
    let mut found: Option<Deadline> = None;
    for group in store.unarchived(&job.name)? {
        let by_rule =
            || landing.and_then(|l| l.expires_at(&group.key, group.size.unwrap_or(0), group.event_time));
        let expires_at = group.expires_at.or_else(|| job.expires_at(group.event_time)).or_else(by_rule);
        let Some(at) = expires_at.filter(|at| *at <= now + horizon) else { continue };
        let first = found.get_or_insert(Deadline { documents: 0, earliest: at, cause: None });
        first.documents += group.documents;
        first.earliest = first.earliest.min(at);
    }
    if let Some(deadline) = &mut found {
        deadline.cause = cause(store, &job.name)?;
    }
    Ok(found)
}

/// Why the oldest sealed batch of the job is not archived, if an attempt has failed.
fn cause(store: &Store, job: &str) -> Outcome<Option<String>> {
    let waiting = store.waiting_batches(BatchState::Sealed, 100)?;
    let batch = waiting.into_iter().filter(|batch| batch.job == job).min_by_key(|batch| batch.sealed_at);
    Ok(batch.map(|batch| {
        let since = batch.sealed_at.format("%H:%M");
        let error = batch.last_error.unwrap_or_default();
        format!("archiving has been failing since {since}: {error}")
    }))
}

/// Everything that a job has to tell.
pub(super) fn alerts(
    store: &Store,
    job: &Job,
    landing: Option<&dyn ObjectStore>,
    now: Timestamp,
    horizon: TimeDelta,
) -> Outcome<Vec<Alert>> {
    let expiring = deadline(store, job, landing, now, horizon)?;
    let expiring = expiring.map(|deadline| expiring_alert(&job.name, &deadline, now, horizon));
    Ok(expiring.into_iter().chain(parked(store, &job.name)?).collect())
}

fn expiring_alert(job: &str, deadline: &Deadline, now: Timestamp, horizon: TimeDelta) -> Alert {
    let left = deadline.earliest - now;
    let subject = format!("{job}: {}", deadline.words(now));
    let at = deadline.earliest.to_rfc3339_opts(SecondsFormat::Secs, true);
    let cause = deadline.cause.as_deref().unwrap_or("not known; perhaps nothing drains this state folder");
    let text = format!(
        "{subject}.\n\nThey have landed and are not in the archive yet. The first of them expires at {at}; what has expired \
         cannot be read any more.\nWhat holds them up: {cause}.\n\nWhat to do: sluicegate check, then sluicegate drain\n"
    );
    Alert { key: format!("expiring:{job}"), level: level(left, horizon), subject, text }
}

/// 0 when the horizon is reached, one more at each halving of what is left.
fn level(left: TimeDelta, horizon: TimeDelta) -> u64 {
    let (mut level, mut limit) = (0, horizon.num_seconds());
    while level < MOST_LEVELS && left.num_seconds() * 2 <= limit {
        level += 1;
        limit /= 2;
    }
    level
}

/// The batches of a job that are parked.
pub(super) fn parked(store: &Store, job: &str) -> Outcome<Option<Alert>> {
    let backlog = store.backlog(job)?;
    if backlog.failed_batches == 0 {
        return Ok(None);
    }
    let newest = store.newest_failed(job)?;
    let (id, error) = newest.map_or_else(Default::default, |batch| {
        (batch.batch_id, batch.last_error.unwrap_or_else(|| "no reason is known".to_owned()))
    });
    let subject = format!(
        "{job}: {} parked, with {}",
        counted(backlog.failed_batches, "batch", "batches"),
        counted(backlog.failed_members, "document", "documents")
    );
    let text = format!(
        "{subject}.\n\nThe last one is {id}: {error}\n\nWhat to do: sluicegate jobs show {id}; once the cause is gone, \
         sluicegate jobs replay {id}\n"
    );
    Ok(Some(Alert { key: format!("parked:{job}"), level: backlog.failed_batches, subject, text }))
}

impl Deadline {
    /// `412 documents expire in 3 h 10 min`.
    pub fn words(&self, now: Timestamp) -> String {
        let documents = counted(self.documents, "document", "documents");
        let verb = if self.documents == 1 { "expires" } else { "expire" };
        if self.earliest <= now {
            return format!("{documents} may have expired, the first {} ago", span(now - self.earliest));
        }
        format!("{documents} {verb} in {}", span(self.earliest - now))
    }
}

/// A span of time for people.
pub fn span(delta: TimeDelta) -> String {
    let seconds = delta.num_seconds().max(0);
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// `1 batch`, `2 batches`.
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_halves_and_the_level_rises() {
        let hours = TimeDelta::hours;
        let levels = [7, 6, 4, 3, 2, 1].map(|left| level(hours(left), hours(6)));
        assert_eq!(levels, [0, 0, 0, 1, 1, 2]);
        assert_eq!(level(hours(-1), hours(6)), MOST_LEVELS);
    }

    #[test]
    fn a_deadline_is_told_in_words() {
        let now: Timestamp = "2026-03-01T01:00:00Z".parse().unwrap();
        let of = |documents, minutes| {
            let earliest = now + TimeDelta::minutes(minutes);
            Deadline { documents, earliest, cause: None }.words(now)
        };
        assert_eq!(of(412, 190), "412 documents expire in 3 h 10 min");
        assert_eq!(of(1, 59), "1 document expires in 59 min");
        assert_eq!(of(2, -61), "2 documents may have expired, the first 1 h 1 min ago");
    }
}
