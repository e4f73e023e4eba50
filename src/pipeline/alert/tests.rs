//! Goal: a person hears of what cannot wait, once, again only when it is worse, and even if a push failed or the process
//! died over it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use chrono::TimeDelta;
use sluicegate_state::seam::{Fault, Injected, Seam};
use sluicegate_state::{Arrival, Limits, Notification, SealRequest, Stage, Store, Timestamp};
use tempfile::TempDir;

use super::*;
use crate::failure::Failure;
use crate::job::Job;
use crate::ports::alarm::Alert;

/// What was told, and whether the alarm works.
#[derive(Clone, Default)]
struct Ear {
    heard: Arc<Mutex<Vec<String>>>,
    deaf: Arc<AtomicBool>,
}

impl Alarm for Ear {
    fn location(&self) -> String {
        "the ear".to_owned()
    }

    fn raise(&mut self, alert: &Alert) -> Outcome<()> {
        if self.deaf.load(Ordering::SeqCst) {
            return Err(Failure::transient("deaf"));
        }
        self.heard.lock().unwrap().push(format!("{} {}", alert.key, alert.level));
        Ok(())
    }
}

struct Desk {
    _folder: TempDir,
    store: Store,
    ear: Ear,
    seam: Seam,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), Seam::default()).unwrap();
        Self { _folder: folder, store, ear: Ear::default(), seam: Seam::default() }
    }

    fn tell(&mut self, present: &[(&str, u64)]) -> Outcome<u64> {
        let present: Vec<Alert> = present.iter().map(|(key, level)| alert(key, *level)).collect();
        let mut alarms: Vec<Box<dyn Alarm>> = vec![Box::new(self.ear.clone())];
        tell(&mut self.store, &self.seam, &mut alarms, &present, &["a:", "b:"], at(0))
    }

    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut *self.ear.heard.lock().unwrap())
    }
}

fn alert(key: &str, level: u64) -> Alert {
    Alert { key: key.to_owned(), level, subject: String::new(), text: String::new() }
}

fn at(hours: i64) -> Timestamp {
    "2026-03-01T00:00:00Z".parse::<Timestamp>().unwrap() + TimeDelta::hours(hours)
}

#[test]
fn an_alert_is_told_once_again_when_worse_and_anew_when_it_comes_back() {
    let mut desk = Desk::new();
    assert_eq!(desk.tell(&[("a:x", 0), ("b:y", 3)]).unwrap(), 2);
    assert_eq!(desk.heard(), ["a:x 0", "b:y 3"]);
    assert_eq!(desk.tell(&[("a:x", 0), ("b:y", 2)]).unwrap(), 0, "the same, or better");
    assert_eq!(desk.tell(&[("a:x", 1), ("b:y", 3)]).unwrap(), 1);
    assert_eq!(desk.heard(), ["a:x 1"]);
    assert_eq!(desk.tell(&[]).unwrap(), 0, "all is well");
    assert_eq!(desk.tell(&[("a:x", 0)]).unwrap(), 1, "and then not any more");
    assert_eq!(desk.heard(), ["a:x 0"]);
}

#[test]
fn what_belongs_to_somebody_else_is_not_forgotten() {
    let mut desk = Desk::new();
    let mut alarms: Vec<Box<dyn Alarm>> = vec![Box::new(desk.ear.clone())];
    let seam = Seam::default();
    tell(&mut desk.store, &seam, &mut alarms, &[alert("c:z", 0)], &["c:"], at(0)).unwrap();
    desk.tell(&[]).unwrap();
    tell(&mut desk.store, &seam, &mut alarms, &[alert("c:z", 0)], &["c:"], at(0)).unwrap();
    assert_eq!(desk.heard(), ["c:z 0"]);
}

#[test]
fn an_alarm_that_refuses_is_tried_again_and_does_not_hide_the_others() {
    let mut desk = Desk::new();
    desk.ear.deaf.store(true, Ordering::SeqCst);
    assert!(desk.tell(&[("a:x", 0), ("a:y", 0)]).unwrap_err().message.contains("the ear"));
    desk.ear.deaf.store(false, Ordering::SeqCst);
    assert_eq!(desk.tell(&[("a:x", 0), ("a:y", 0)]).unwrap(), 2);
}

/// Dies at each push, before or after it.
struct Deadly {
    after: bool,
}

impl Fault for Deadly {
    fn before(&self, effect: &'static str) -> Result<(), Injected> {
        if self.after { Ok(()) } else { Err(Injected { effect, after: false, transient: false }) }
    }

    fn after(&self, effect: &'static str) -> Result<(), Injected> {
        if self.after { Err(Injected { effect, after: true, transient: false }) } else { Ok(()) }
    }
}

#[test]
fn a_death_at_a_push_tells_it_again() {
    for (after, heard) in [(false, vec!["a:x 0"]), (true, vec!["a:x 0", "a:x 0"])] {
        let mut desk = Desk::new();
        desk.seam = Seam::with_fault(Arc::new(Deadly { after }));
        desk.tell(&[("a:x", 0)]).unwrap_err();
        desk.seam = Seam::default();
        assert_eq!(desk.tell(&[("a:x", 0)]).unwrap(), 1);
        assert_eq!(desk.heard(), heard, "after: {after}");
        assert_eq!(desk.tell(&[("a:x", 0)]).unwrap(), 0);
    }
}

fn job(expires: &str) -> Job {
    let shipped = include_str!("../../../jobs/invoices.toml");
    let text = shipped.replace("format = ", &format!("{expires}\nformat = "));
    Job::parse(std::path::Path::new("job.toml"), &text, &|_| None).unwrap()
}

fn journal(store: &mut Store, key: &str, event_time: Timestamp, expires_at: Option<Timestamp>) {
    let notification = Notification {
        job: "invoices".to_owned(),
        bucket: "b".to_owned(),
        key: key.to_owned(),
        version_id: None,
        etag: "e".to_owned(),
        sequencer: None,
        size: Some(10),
        event_time,
        event_name: "ObjectCreated:Put".to_owned(),
        source: "test".to_owned(),
        expires_at,
    };
    store.journal(&[Arrival::Notification(notification)], event_time).unwrap();
}

fn seal(store: &mut Store, now: Timestamp) -> String {
    let max_age = std::time::Duration::ZERO;
    let limits = Limits { documents: 9, bytes: 1 << 20, rows: 1 << 20, bytes_per_row: 1, max_age };
    let request =
        SealRequest { job: "invoices", limits, force: true, incarnation: "me", definition_hash: "h" };
    store.seal(&request, now).unwrap().unwrap().batch_id
}

#[test]
fn only_what_is_not_archived_has_a_deadline() {
    let mut desk = Desk::new();
    let _me = desk.store.begin_incarnation("me", "host", 1, "0", at(0)).unwrap();
    let job = job("expires_after_hours = 24");
    let look = |store: &Store, now, hours| {
        let found = deadline(store, &job, None, now, TimeDelta::hours(hours)).unwrap();
        found.map(|deadline| (deadline.documents, deadline.earliest, deadline.cause))
    };
    assert_eq!(look(&desk.store, at(0), 6), None);
    journal(&mut desk.store, "a", at(0), None);
    journal(&mut desk.store, "b", at(1), None);
    journal(&mut desk.store, "c", at(1), Some(at(90)));
    assert_eq!(look(&desk.store, at(17), 6), None, "seven hours are left");
    assert_eq!(look(&desk.store, at(18), 6), Some((1, at(24), None)));
    assert_eq!(look(&desk.store, at(19), 90).map(|found| found.0), Some(3));
    let batch = seal(&mut desk.store, at(19));
    assert_eq!(look(&desk.store, at(19), 90).map(|found| found.0), Some(3), "sealed is not secured");

    let attempt = desk.store.begin_attempt(&batch, Stage::Archive, "me", at(19)).unwrap();
    let error = "the archive is away".to_owned();
    let failed = sluicegate_state::AttemptFailure::Transient { error, next_try_at: at(20) };
    desk.store.fail_attempt(attempt, failed, at(19)).unwrap();
    let (_, _, cause) = look(&desk.store, at(20), 6).unwrap();
    assert_eq!(cause.unwrap(), "archiving has been failing since 19:00: the archive is away");

    let attempt = desk.store.begin_attempt(&batch, Stage::Archive, "me", at(20)).unwrap();
    let archived = sluicegate_state::BatchEvent::Archived;
    desk.store.complete_attempt(attempt, archived, "ok", &[], at(20)).unwrap();
    assert_eq!(look(&desk.store, at(23), 90), None, "what is archived cannot be lost");
}
