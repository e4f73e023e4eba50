//! Goal: summaries count what is there.

use sluicegate_state::{Arrival, BatchEvent, BatchState, Deferral, Notification, Stage};

use crate::support::{House, ME, at, forced, notification};

fn expiring(key: &str, expires: i64) -> Arrival {
    let expires_at = Some(at(expires));
    Arrival::Notification(Notification { expires_at, event_time: at(expires - 1_000), ..notification(key) })
}

#[test]
fn the_backlog_is_what_is_not_published_and_its_expiry_what_is_not_archived() {
    let mut house = House::new();
    assert_eq!(house.store.backlog("invoices").unwrap(), Default::default());
    house.store.journal(&[expiring("a", 10), expiring("b", 20)], at(0)).unwrap();
    let first = house.store.seal(&forced(), at(1)).unwrap().unwrap().batch_id;
    house.store.journal(&[expiring("c", 30)], at(0)).unwrap();

    let backlog = house.store.backlog("invoices").unwrap();
    assert_eq!((backlog.pending, backlog.pending_bytes, backlog.deferred), (1, 100, 0));
    assert_eq!((backlog.unfinished_batches, backlog.unfinished_members), (1, 2));
    assert_eq!((backlog.oldest_event_time, backlog.earliest_expiry), (Some(at(-990)), Some(at(10))));

    let attempt = house.store.begin_attempt(&first, Stage::Archive, ME, at(2)).unwrap();
    let deferred = [Deferral { ordinal: 1, next_try_at: at(9) }];
    house.store.complete_attempt(attempt, BatchEvent::Archived, "ok", &deferred, at(3)).unwrap();
    let backlog = house.store.backlog("invoices").unwrap();
    assert_eq!((backlog.pending, backlog.deferred, backlog.unfinished_members), (2, 1, 1));
    assert_eq!(backlog.earliest_expiry, Some(at(20)), "the archived one can expire no more");

    house.store.apply(&first, BatchEvent::Failed, "no", ME, at(4)).unwrap();
    let backlog = house.store.backlog("invoices").unwrap();
    assert_eq!((backlog.unfinished_batches, backlog.failed_batches, backlog.failed_members), (0, 1, 1));
    assert_eq!(house.store.backlog("other").unwrap(), Default::default());
}

#[test]
fn batches_are_listed_and_counted() {
    let mut house = House::new();
    let a = house.batch_in("a", BatchState::Published, None).batch_id;
    let b = house.batch_in("b", BatchState::Failed, Some(BatchState::Sealed)).batch_id;
    house.journal(&["c"]);
    let c = house.store.seal(&forced(), at(100)).unwrap().unwrap().batch_id;
    let counts = house.store.batch_counts("invoices").unwrap();
    let told: Vec<_> = counts.iter().map(|(state, count)| (state.as_str(), *count)).collect();
    assert_eq!(told, [("sealed", 1), ("published", 1), ("failed", 1)]);

    let ids = |batches: Vec<sluicegate_state::Batch>| -> Vec<String> {
        batches.into_iter().map(|batch| batch.batch_id).collect()
    };
    let all = ids(house.store.batches(None, 10).unwrap());
    assert_eq!(all.len(), 3);
    assert_eq!(all[0], c, "newest first");
    assert_eq!(all, ids(house.store.batches(Some("invoices"), 10).unwrap()));
    assert_eq!(ids(house.store.batches(None, 1).unwrap()), [c]);
    assert!(house.store.batches(Some("other"), 10).unwrap().is_empty());
    assert_eq!(ids(house.store.batches_by_prefix(&a[..20], 10).unwrap()), [a]);
    assert_eq!(ids(house.store.batches_by_prefix(&b, 10).unwrap()), [b]);
    assert_eq!(house.store.batches_by_prefix("20261123T", 10).unwrap().len(), 3);
    assert!(house.store.batches_by_prefix("20261123T_", 10).unwrap().is_empty(), "no wildcards");
    assert_eq!(house.store.batch("20261123T").unwrap(), None);
}

#[test]
fn due_batches_are_the_oldest_first() {
    let mut house = House::new();
    let mut sealed = Vec::new();
    for second in [5, 3, 4] {
        house.journal(&[&second.to_string()]);
        sealed.push((second, house.store.seal(&forced(), at(second)).unwrap().unwrap().batch_id));
    }
    sealed.sort();
    let due = house.store.due_batches(BatchState::Sealed, at(9), 2).unwrap();
    let due: Vec<_> = due.into_iter().map(|batch| batch.batch_id).collect();
    assert_eq!(due, [sealed[0].1.clone(), sealed[1].1.clone()]);
}

#[test]
fn due_batches_of_all_jobs_come_in_turn() {
    let mut house = House::new();
    let mut seal = |job: &str, second: i64| {
        house.store.journal(&[of_job(job, second)], at(0)).unwrap();
        let request = sluicegate_state::SealRequest { job, ..forced() };
        house.store.seal(&request, at(second)).unwrap().unwrap();
    };
    // A backlog of one job, and one batch each of two others, sealed last.
    (1..=5).for_each(|second| seal("big", second));
    seal("alone", 8);
    seal("small", 9);
    let mut last = String::new();
    let mut served = Vec::new();
    for _ in 0..6 {
        let batch = house.store.due_batch_in_turn(BatchState::Sealed, at(10), &last).unwrap().unwrap();
        house.store.apply(&batch.batch_id, BatchEvent::Failed, "no", ME, at(10)).unwrap();
        served.push((batch.job.clone(), batch.sealed_at == at(served.len() as i64)));
        last = batch.job;
    }
    let jobs: Vec<&str> = served.iter().map(|(job, _)| job.as_str()).collect();
    assert_eq!(jobs, ["alone", "big", "small", "big", "big", "big"]);
    assert_eq!(house.store.due_batch_in_turn(BatchState::Archived, at(10), "").unwrap(), None);
}

fn of_job(job: &str, number: i64) -> Arrival {
    Arrival::Notification(Notification { job: job.to_owned(), ..notification(&format!("{job}-{number}")) })
}
