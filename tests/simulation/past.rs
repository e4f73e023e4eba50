//! A ledger that is restored to the past: every machine that knows a later load refuses it. Then the right one comes back,
//! or there is no other, and what it lost is entered again.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use sluicegate::failure::FailureKind;

use crate::lost::Lost;
use crate::options::{ENTERED_AGAIN, LEFT_TO_A_PERSON, REFUSED};
use crate::oracle;
use crate::world::{World, unexpected};

/// Ticks until a machine has asked the ledger what it is.
const MOST_TICKS: usize = 60;
/// Runs of the command that a person has the patience for. A run reads every archive, so where one call in twenty fails, a
/// person waits for better weather after the first ones.
const MOST_RUNS: usize = 20;

impl World {
    /// A copy of the ledger is made; or an older one is put in its place.
    pub(crate) fn old_ledger(&mut self) -> Result<(), String> {
        if !self.hub().warehouse.is_file() || !self.hub().strikes_at("ledger-past", 1_000) {
            return Ok(());
        }
        for machine in &mut self.machines {
            machine.kill();
        }
        self.hub().let_go_of_ledger();
        let Some(old) = self.old_ledgers.pop() else {
            let path = self.next_copy("ledger.db");
            copy_ledger(&self.hub().warehouse, &path);
            self.old_ledgers.push(path);
            self.hub().trace(|| "the ledger is copied".to_owned());
            return Ok(());
        };
        let aside = self.next_copy("right-ledger.db");
        copy_ledger(&self.hub().warehouse, &aside);
        copy_ledger(&old, &self.hub().warehouse);
        self.hub().trace(|| "the ledger is restored to the past".to_owned());
        self.all_that_know_better_refuse()?;
        if !self.is_known_better() || self.hub().choose(|random| random.chance(500)) {
            copy_ledger(&aside, &self.hub().warehouse);
            self.hub().trace(|| "the right ledger is back".to_owned());
            return Ok(());
        }
        let (restored, before) = (loads(&self.hub().warehouse), self.lost.take());
        self.lost = Some(Lost::new(&self.places, &aside, &restored, before));
        // A machine whose newest load made no rows left nothing that the others could see, and is mended by itself.
        for machine in 0..self.machines.len() {
            if self.knows_better(machine) {
                self.enter_again(machine)?;
                if self.is_left_to_a_person {
                    break;
                }
            }
        }
        Ok(())
    }

    /// An old state that is put back may remember, as its newest, a load that nobody entered again, because the newer state
    /// did not have it as loaded yet. It refuses too, and the same command lets it in.
    pub(crate) fn let_old_state_in(&mut self, machine: usize) -> Result<(), String> {
        if self.lost.is_some() && self.knows_better(machine) { self.enter_again(machine) } else { Ok(()) }
    }

    fn is_known_better(&self) -> bool {
        (0..self.machines.len()).any(|machine| self.knows_better(machine))
    }

    fn all_that_know_better_refuse(&mut self) -> Result<(), String> {
        let before = loads(&self.hub().warehouse);
        for number in 0..self.machines.len() {
            if !self.knows_better(number) {
                continue;
            }
            let machine = &mut self.machines[number];
            machine.start().map_err(unexpected)?;
            let refusal = (0..MOST_TICKS).find_map(|_| machine.tick().err());
            machine.kill();
            let options = &self.hub().options;
            // A fault may have come before the refusal; loading is what must not happen.
            let is_disturbed = self.hub().ledger_is_down()
                || ["ledger-errors", "effect-errors", "deaths"].iter().any(|class| options.has(class));
            match refusal {
                Some(failure) if failure.kind == FailureKind::WrongLedger => {
                    self.hub().trace(|| format!("machine {number}: {failure}"));
                    self.hub().tell(REFUSED);
                }
                Some(failure) => return Err(unexpected(failure)),
                None if is_disturbed => {}
                None => return Err("a ledger restored to the past is not refused (I11)".to_owned()),
            }
            if loads(&self.hub().warehouse) != before {
                return Err(format!("machine {number} loaded into a ledger restored to the past (I11)"));
            }
        }
        Ok(())
    }

    /// There is no newer backup. With all machines stopped a person enters the lost loads again, and again until the
    /// command has come to its end.
    fn enter_again(&mut self, machine: usize) -> Result<(), String> {
        self.end_outage();
        for run in 0..=MOST_RUNS {
            self.hub().set_calm(run == MOST_RUNS);
            let entered = self.machines[machine].enter_lost_loads().map_err(unexpected)?;
            self.hub().let_go_of_ledger();
            self.hub().set_calm(false);
            let Some(entered) = entered else { continue };
            self.hub().trace(|| format!("machine {machine} entered {:?}", entered.entered));
            self.hub().tell(ENTERED_AGAIN);
            if !entered.refused.is_empty() {
                return self.is_for_a_person(&entered.refused);
            }
            return match self.knows_better(machine) {
                true => Err(format!("machine {machine} still knows a later load")),
                false => Ok(()),
            };
        }
        Err("the lost loads are never entered to the end".to_owned())
    }

    /// The CSV objects say in which order loads were made. Where a lost one had not written all of its own yet, nobody can
    /// know; then what does not fit with it is named, and a person decides. That is the end of this story.
    fn is_for_a_person(&mut self, refused: &[(String, String)]) -> Result<(), String> {
        let lost = self.lost.as_ref().expect("loads are lost");
        if let Some((batch_id, why)) = refused.iter().find(|(batch_id, _)| !lost.order_is_unknown(batch_id)) {
            return Err(format!("{batch_id} cannot be entered again, and its order can be known: {why}"));
        }
        self.hub().tell(LEFT_TO_A_PERSON);
        self.is_left_to_a_person = true;
        Ok(())
    }

    /// Whether the state remembers a load that the ledger which is there now does not have.
    fn knows_better(&self, machine: usize) -> bool {
        let machine = &self.machines[machine];
        if machine.is_gone || !machine.journal().is_file() {
            return false;
        }
        let journal = Connection::open(machine.journal()).unwrap();
        // It may have died before it had made its tables.
        if !journal.table_exists(None, "batch").unwrap() {
            return false;
        }
        let sql = "SELECT value FROM meta WHERE key = 'ledger.newest_load' AND value <> ''
                   UNION SELECT batch_id FROM batch WHERE 'loaded' IN (state, failed_from)";
        let known = loads(&self.hub().warehouse);
        oracle::select(&journal, sql).into_iter().flatten().any(|load| !known.contains(&load))
    }
}

/// What is loaded, for the ledger; nothing before its tables are made.
fn loads(ledger: &Path) -> Vec<String> {
    let ledger = Connection::open(ledger).unwrap();
    if !ledger.table_exists(None, "sluicegate_batch").unwrap() {
        return Vec::new();
    }
    oracle::select(&ledger, "SELECT batch_id FROM sluicegate_batch").into_iter().flatten().collect()
}

/// With nobody at work: the copy is one file, and what lay beside its goal is gone.
fn copy_ledger(from: &Path, to: &Path) {
    let beside = |suffix: &str| PathBuf::from(format!("{}{suffix}", to.display()));
    for path in [to.to_owned(), beside("-wal"), beside("-shm")] {
        if path.exists() {
            fs::remove_file(path).unwrap();
        }
    }
    let connection = Connection::open(from).unwrap();
    connection.execute("VACUUM INTO ?1", [to.to_str().expect("a path in text")]).unwrap();
}
