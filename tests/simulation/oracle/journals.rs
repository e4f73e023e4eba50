//! The journals: nothing open, nothing parked, and every delivery that was acknowledged is counted (I1, I3).

use rusqlite::Connection;

use super::{none, select};
use crate::machine::Machine;
use crate::world::World;

pub(super) fn check(world: &World, ledger: &Connection) -> Result<(), String> {
    let members = "SELECT batch_id, ordinal, key FROM sluicegate_verdict ORDER BY 1, 2";
    let decided = select(ledger, members);
    for machine in world.machines.iter().filter(|machine| !machine.is_gone) {
        let journal = Connection::open(machine.journal()).unwrap();
        none(
            &journal,
            "attempts that parked a batch",
            "SELECT attempt_id, outcome, error FROM attempt WHERE outcome = 'permanent'",
        )?;
        none(&journal, "attempts still running", "SELECT attempt_id FROM attempt WHERE outcome = 'running'")?;
        if let Some(batch) = select(&journal, "SELECT batch_id FROM batch")
            .into_iter()
            .flatten()
            .find(|batch| !decided.iter().any(|row| row[0] == *batch))
        {
            return Err(format!(
                "machine {} ended batch {batch}, and the ledger does not know it",
                machine.number
            ));
        }
        let sealed = "SELECT m.batch_id, m.ordinal, n.key FROM member AS m JOIN notification AS n USING (notification_id)";
        if let Some(row) = select(&journal, sealed).into_iter().find(|row| !decided.contains(row)) {
            return Err(format!("machine {}: {row:?} is no member for the ledger (I3)", machine.number));
        }
        check_counted(world, machine, &journal)?;
    }
    Ok(())
}

/// Every acknowledged delivery of a notification is its first one or a redelivery.
fn check_counted(world: &World, machine: &Machine, journal: &Connection) -> Result<(), String> {
    let sql = "SELECT 1 + redeliveries FROM notification
               WHERE key = ?1 AND coalesce(version_id, etag) = ?2 AND coalesce(sequencer, '') = ?3";
    let mut counted = journal.prepare(sql).unwrap();
    for landed in world.places.landing.log().iter() {
        let acknowledged =
            landed.acknowledged_by.iter().filter(|number| **number == machine.number).count() as u64;
        if acknowledged == 0 {
            continue;
        }
        let version = landed.version_id.as_ref().unwrap_or(&landed.etag);
        let sequencer = landed.sequencer.clone().unwrap_or_default();
        let found: Option<u64> = counted.query_row([&landed.key, version, &sequencer], |row| row.get(0)).ok();
        if found.is_none_or(|found| found < acknowledged) {
            return Err(format!(
                "machine {} acknowledged {} {acknowledged} times and counts {found:?} (I1)",
                machine.number, landed.key
            ));
        }
    }
    Ok(())
}
