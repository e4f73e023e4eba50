//! Goal: every commit either happened or did not. A fault before it changes nothing; a fault after it, followed by the
//! same call again, changes the store once.

use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use sluicegate_state::seam::{Fault, Injected, Seam};
use sluicegate_state::{
    AdoptedMember, AdoptionReach, Arrival, AttemptFailure, BatchEvent, Deferral, Moved, Stage, StateError,
    Store, effects,
};

use crate::support::{House, ME, at, forced, notification};

/// Fails once, at one effect.
struct Once(Mutex<Option<Injected>>);

impl Once {
    fn at(effect: &'static str, after: bool) -> Seam {
        Seam::with_fault(Arc::new(Self(Mutex::new(Some(Injected { effect, after, transient: true })))))
    }

    fn strike(&self, effect: &'static str, after: bool) -> Result<(), Injected> {
        let mut fault = self.0.lock().unwrap();
        match fault.take_if(|fault| fault.effect == effect && fault.after == after) {
            Some(injected) => Err(injected),
            None => Ok(()),
        }
    }
}

impl Fault for Once {
    fn before(&self, effect: &'static str) -> Result<(), Injected> {
        self.strike(effect, false)
    }

    fn after(&self, effect: &'static str) -> Result<(), Injected> {
        self.strike(effect, true)
    }
}

/// All rows of all tables, as text.
fn dump(shell: &Connection) -> Vec<String> {
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
    let mut statement = shell.prepare(tables).unwrap();
    let tables: Vec<String> =
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut lines = Vec::new();
    for table in tables {
        let mut statement = shell.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let width = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let cells = (0..width).map(|column| format!("{:?}", row.get_ref(column).unwrap()));
            lines.push(format!("{table}: {}", cells.collect::<Vec<_>>().join(" | ")));
        }
    }
    lines
}

type Step = fn(&mut Store) -> Result<(), StateError>;

fn batch_id(store: &Store) -> String {
    store.batches(None, 1).unwrap()[0].batch_id.clone()
}

fn begin(store: &mut Store) -> i64 {
    let id = batch_id(store);
    store.begin_attempt(&id, Stage::Archive, ME, at(2)).unwrap()
}

fn running(store: &Store) -> i64 {
    store.attempts(&batch_id(store)).unwrap()[0].attempt_id
}

/// A name, what was done before, the step that meets the fault, and whether repeating it changes anything.
const STEPS: &[(&str, &str, Step, bool)] = &[
    (effects::JOURNAL, "empty", journal, false),
    (effects::SEAL, "journaled", seal, false),
    (
        effects::ATTEMPT,
        "sealed",
        |store| {
            let id = batch_id(store);
            store.begin_attempt(&id, Stage::Archive, ME, at(3)).map(drop)
        },
        true,
    ),
    (effects::TRANSITION, "attempted", complete, false),
    (effects::TRANSITION, "sealed", abandon, false),
    (effects::ATTEMPT_FAILED, "attempted", fail, false),
    (effects::ATTEMPT_FAILED, "attempted", park, false),
    (effects::ADOPT, "empty", adopt, false),
    (effects::META, "empty", |store| store.set_meta("ledger", "x"), false),
    (effects::COMMAND, "empty", |store| store.command_started(ME, &["drain".into()], at(1)).map(drop), true),
    (effects::COMMAND_ENDED, "commanded", |store| store.command_ended(1, 0, at(2)), false),
];

fn adopt(store: &mut Store) -> Result<(), StateError> {
    let member = AdoptedMember { notification: notification("a"), tries: 0, deferred: false };
    crate::adopt::adopt(store, &[member], AdoptionReach::Archived).map(drop)
}

fn journal(store: &mut Store) -> Result<(), StateError> {
    store
        .journal(&[Arrival::Notification(notification("a")), Arrival::Notification(notification("b"))], at(0))
        .map(drop)
}

fn seal(store: &mut Store) -> Result<(), StateError> {
    store.seal(&forced(), at(1)).map(drop)
}

fn complete(store: &mut Store) -> Result<(), StateError> {
    let deferred = [Deferral { ordinal: 0, next_try_at: at(50) }];
    let moved = store.complete_attempt(running(store), BatchEvent::Archived, "ok", &deferred, at(3))?;
    assert_ne!(moved, Moved::Lost);
    Ok(())
}

fn abandon(store: &mut Store) -> Result<(), StateError> {
    let id = batch_id(store);
    assert_ne!(store.apply(&id, BatchEvent::Abandoned, "why", ME, at(3))?, Moved::Lost);
    Ok(())
}

fn fail(store: &mut Store) -> Result<(), StateError> {
    let failure = AttemptFailure::Transient { error: "slow".into(), next_try_at: at(9) };
    store.fail_attempt(running(store), failure, at(3))
}

fn park(store: &mut Store) -> Result<(), StateError> {
    store.fail_attempt(running(store), AttemptFailure::Permanent { error: "no".into() }, at(3))
}

fn prepared(stage: &str) -> House {
    let mut house = House::new();
    if stage == "commanded" {
        house.store.command_started(ME, &[], at(1)).unwrap();
    }
    if ["journaled", "sealed", "attempted"].contains(&stage) {
        journal(&mut house.store).unwrap();
    }
    if ["sealed", "attempted"].contains(&stage) {
        seal(&mut house.store).unwrap();
    }
    if stage == "attempted" {
        begin(&mut house.store);
    }
    house
}

#[test]
fn a_fault_before_a_commit_changes_nothing() {
    for (effect, stage, step, _) in STEPS {
        let house = prepared(stage);
        let before = dump(&house.shell());
        let error = step(&mut house.again(Once::at(effect, false))).unwrap_err();
        assert!(error.is_transient() && matches!(error, StateError::Injected(_)), "{effect}: {error}");
        assert_eq!(dump(&house.shell()), before, "{effect}");
    }
}

#[test]
fn a_fault_after_a_commit_has_changed_what_success_changes() {
    for (effect, stage, step, _) in STEPS {
        let mut calm = prepared(stage);
        step(&mut calm.store).unwrap();
        let house = prepared(stage);
        step(&mut house.again(Once::at(effect, true))).unwrap_err();
        assert_eq!(dump(&house.shell()), dump(&calm.shell()), "{effect}");
    }
}

#[test]
fn repeating_after_a_lost_answer_changes_the_store_once() {
    for (effect, stage, step, another) in STEPS {
        if *another {
            continue;
        }
        let mut calm = prepared(stage);
        step(&mut calm.store).unwrap();
        let house = prepared(stage);
        let mut store = house.again(Once::at(effect, true));
        step(&mut store).unwrap_err();
        step(&mut store).unwrap();
        let forget = |lines: Vec<String>| -> Vec<String> {
            // That it came again is what a redelivery is; nothing else may differ.
            let counts =
                |line: &String| !line.starts_with("notification:") && !line.starts_with("journal_total:");
            lines.into_iter().filter(|line| *effect != effects::JOURNAL || counts(line)).collect()
        };
        assert_eq!(forget(dump(&house.shell())), forget(dump(&calm.shell())), "{effect}");
        if *effect == effects::JOURNAL {
            let totals = house.store.notification_totals("invoices").unwrap();
            assert_eq!((totals.received, totals.redeliveries), (2, 2));
        }
    }
}

#[test]
fn a_migration_that_met_a_fault_is_done_at_the_next_start() {
    for after in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        Store::open(folder.path(), Once::at(effects::MIGRATE, after)).unwrap_err();
        let store = Store::open(folder.path(), Seam::default()).unwrap();
        assert!(store.quick_check().unwrap().is_empty());
    }
}

#[test]
fn an_incarnation_that_met_a_fault_is_dead_or_was_never_there() {
    for after in [false, true] {
        let house = House::new();
        let mut store = house.again(Once::at(effects::INCARNATION, after));
        store.begin_incarnation("one", "host", 1, "0", at(0)).unwrap_err();
        let buried = store.bury_dead(at(1)).unwrap();
        assert_eq!(buried, if after { vec!["one".to_owned()] } else { vec![] });
    }
}

#[test]
fn burying_and_ending_are_done_once_whatever_the_fault() {
    for (effect, after) in
        [effects::BURY, effects::INCARNATION_ENDED].into_iter().flat_map(|e| [(e, false), (e, true)])
    {
        let house = House::new();
        let mut store = house.again(Once::at(effect, after));
        let incarnation = store.begin_incarnation("one", "host", 1, "0", at(0)).unwrap();
        if effect == effects::BURY {
            drop(incarnation);
            store.bury_dead(at(1)).unwrap_err();
        } else {
            store.end_incarnation(incarnation, at(1)).unwrap_err();
        }
        let buried = store.bury_dead(at(2)).unwrap();
        assert_eq!(buried.is_empty(), after, "{effect}");
        let ended: String = house
            .shell()
            .query_row("SELECT ended_at FROM incarnation WHERE incarnation = 'one'", [], |row| row.get(0))
            .unwrap();
        assert_eq!(ended, sluicegate_state::time::to_text(at(if after { 1 } else { 2 })));
    }
}

#[test]
fn every_effect_is_tested_here() {
    let apart = [effects::MIGRATE, effects::INCARNATION, effects::INCARNATION_ENDED, effects::BURY];
    for effect in effects::ALL {
        assert!(apart.contains(effect) || STEPS.iter().any(|step| step.0 == *effect), "{effect}");
    }
}
