//! The ledger is away, for minutes or for longer than anything stays in the landing. What could be read meanwhile is in the
//! archive long before that, whatever is lost afterwards.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use crate::landing::Landed;
use crate::options::{AWAY_PAST_EXPIRY, LOST_AFTER_EXPIRY, SECURED};
use crate::oracle;
use crate::world::{World, unexpected};

/// Hours of an outage that is longer than the landing keeps anything.
const LONG: i64 = 60;
/// In calm weather everything that can be read is archived by then, also what nobody told of: it is listed after an hour,
/// where it landed half an hour before. A document that could not be read is tried again within an hour.
const SECURED_BY: TimeDelta = TimeDelta::minutes(150);

impl World {
    pub(crate) fn outage(&mut self) -> Result<(), String> {
        if self.hub().ledger_is_down() {
            self.end_outage();
            return Ok(());
        }
        if !self.hub().strikes_at("outages", 1_000) {
            return Ok(());
        }
        let hours = self.hub().choose(|random| if random.chance(300) { LONG } else { random.between(0, 5) });
        self.hub().set_ledger_down(true);
        self.forced_end_of_outage = Some(self.hub().now() + TimeDelta::hours(hours + 1));
        self.hub().trace(|| format!("the ledger is away for {} hours at the most", hours + 1));
        if hours == LONG { self.outlast_the_landing() } else { Ok(()) }
    }

    fn outlast_the_landing(&mut self) -> Result<(), String> {
        let undecided = self.undecided();
        // Else nothing would ever expire while the ledger is away.
        if self.hub().choose(|random| random.chance(750)) {
            self.secure(&undecided)?;
        }
        for _ in 0..6 {
            self.pass(|random| TimeDelta::hours(random.between(6, 10)));
            self.work_a_little()?;
        }
        let has_expired = {
            let log = self.places.landing.log();
            undecided.iter().any(|number| log[*number].has_expired)
        };
        if has_expired {
            self.hub().tell(AWAY_PAST_EXPIRY);
        }
        if self.lose_one_disk() && has_expired {
            self.hub().tell(LOST_AFTER_EXPIRY);
        }
        Ok(())
    }

    /// The ledger is away and nothing else is wrong: what can be read now is in the archive soon.
    fn secure(&mut self, undecided: &BTreeSet<usize>) -> Result<(), String> {
        let expected = self.readable();
        let until = self.hub().now() + SECURED_BY;
        self.hub().set_calm(true);
        while self.hub().now() < until {
            for machine in &mut self.machines {
                machine.start().map_err(unexpected)?;
                machine.work().map_err(unexpected)?;
            }
            self.hub().advance(TimeDelta::minutes(5));
        }
        self.hub().set_calm(false);
        let originals = oracle::originals(&self.places.archive);
        let still_there = self.readable();
        let mut log = self.places.landing.log();
        for number in expected.intersection(&still_there) {
            let landed = &mut log[*number];
            if !originals.contains(&(landed.key.clone(), landed.sha256())) {
                return Err(format!(
                    "number {number}, {} of {}, could be read while the ledger was away, and is in no archive (I4)",
                    landed.key, landed.landed_at
                ));
            }
            landed.is_secured = true;
        }
        drop(log);
        if undecided.iter().any(|number| expected.contains(number) && still_there.contains(number)) {
            self.hub().tell(SECURED);
        }
        Ok(())
    }

    /// What can be read and is known: a listing shows it, or a disk that is still there has its notification.
    fn readable(&self) -> BTreeSet<usize> {
        let now = self.hub().now();
        let on_a_disk =
            |landed: &Landed| landed.acknowledged_by.iter().any(|machine| !self.machines[*machine].is_gone);
        let is_readable = |landed: &Landed| {
            let is_known = landed.is_there() || landed.version_id.is_some() && on_a_disk(landed);
            is_known
                && !landed.has_expired
                && !landed.is_deleted
                && landed.forbidden_until.is_none_or(|until| until <= now)
        };
        let log = self.places.landing.log();
        (0..log.len()).filter(|number| is_readable(&log[*number])).collect()
    }

    /// What lies in the landing now under keys of which the ledger has no document.
    fn undecided(&self) -> BTreeSet<usize> {
        let decided: Vec<String> = if self.hub().warehouse.is_file() {
            self.hub().ask_ledger(|ledger| match ledger.table_exists(None, "sluicegate_document").unwrap() {
                true => oracle::select(ledger, "SELECT DISTINCT key FROM sluicegate_document").concat(),
                false => Vec::new(),
            })
        } else {
            Vec::new()
        };
        let log = self.places.landing.log();
        (0..log.len())
            .filter(|number| log[*number].is_there() && !decided.contains(&log[*number].key))
            .collect()
    }

    pub(crate) fn end_outage(&mut self) {
        self.forced_end_of_outage = None;
        self.hub().set_ledger_down(false);
        self.hub().trace(|| "the ledger answers again".to_owned());
    }
}
