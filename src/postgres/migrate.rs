//! The ledger's schema: numbered migrations, applied in one transaction under an advisory lock, because two processes may
//! start on an empty database.

use sluicegate_state::seam::Seam;

use crate::effects;
use crate::failure::{Failure, FailureKind, Outcome};

use super::client::{Client, Transaction};
use super::error::{Error, failure};

/// In order; `sluicegate.schema_version` says how many have been applied.
const MIGRATIONS: [&str; 1] = [include_str!("../../migrations/warehouse/postgres/0001_ledger.sql")];

/// The advisory lock of everything that makes tables ("sluice" in ASCII).
const MAKING_TABLES: i64 = 0x73_6c_75_69_63_65;

/// Takes the lock that makes the makers of target tables wait for each other, until the transaction ends.
pub(super) fn lock_making_tables(transaction: &mut Transaction<'_>) -> Result<(), Error> {
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&MAKING_TABLES]).map(drop)
}

/// Applies what is missing; a ledger that is made now gets `ledger_id`.
pub(super) fn migrate(client: &mut Client, ledger_id: &str, seam: &Seam) -> Outcome<()> {
    let mut transaction = client.transaction().map_err(failure)?;
    // A look without the lock: nearly always there is nothing to do.
    let is_current = is_current(&mut transaction)?;
    transaction.rollback().map_err(failure)?;
    if is_current {
        return Ok(());
    }
    // The lock is the session's and not the transaction's, because only the beginning of a transaction tells a session
    // what others have made meanwhile; one that waited inside would still believe that there is no ledger. Where this
    // fails, the connection is closed, and the lock with it.
    client.execute("SELECT pg_advisory_lock($1)", &[&MAKING_TABLES]).map_err(failure)?;
    let mut transaction = client.transaction().map_err(failure)?;
    apply(&mut transaction, ledger_id)?;
    seam.perform(effects::LEDGER_MIGRATE, || transaction.commit().map_err(failure))?;
    client.execute("SELECT pg_advisory_unlock($1)", &[&MAKING_TABLES]).map(drop).map_err(failure)
}

/// The version of the ledger's schema; none where there is no ledger.
pub(super) fn version(transaction: &mut Transaction<'_>) -> Outcome<Option<i32>> {
    let there: bool = transaction
        .query_one("SELECT to_regclass('sluicegate.schema_version') IS NOT NULL", &[])
        .map_err(failure)?
        .get(0);
    if !there {
        return Ok(None);
    }
    let row = transaction.query_opt("SELECT version FROM sluicegate.schema_version", &[]).map_err(failure)?;
    Ok(row.map(|row| row.get(0)))
}

/// Whether every migration has been applied.
///
/// # Errors
/// A wrong ledger where a newer program made it.
pub(super) fn is_current(transaction: &mut Transaction<'_>) -> Outcome<bool> {
    let found = version(transaction)?;
    let known = MIGRATIONS.len() as i32;
    match found {
        Some(found) if found > known => {
            let message = format!(
                "its schema has version {found}, this program knows {known}: install the newer Sluicegate"
            );
            Err(Failure { kind: FailureKind::WrongLedger, message })
        }
        Some(found) => Ok(found == known),
        None => Ok(false),
    }
}

fn apply(transaction: &mut Transaction<'_>, ledger_id: &str) -> Outcome<()> {
    if is_current(transaction)? {
        return Ok(());
    }
    let found = version(transaction)?;
    if found.is_none() {
        transaction
            .batch_execute(
                "CREATE SCHEMA IF NOT EXISTS sluicegate;
                 CREATE TABLE sluicegate.schema_version (one integer PRIMARY KEY CHECK (one = 1), version integer NOT NULL);
                 INSERT INTO sluicegate.schema_version VALUES (1, 0)",
            )
            .map_err(failure)?;
    }
    for migration in MIGRATIONS.iter().skip(found.unwrap_or(0).unsigned_abs() as usize) {
        transaction.batch_execute(migration).map_err(failure)?;
    }
    transaction
        .execute("UPDATE sluicegate.schema_version SET version = $1", &[&(MIGRATIONS.len() as i32)])
        .map_err(failure)?;
    transaction
        .execute(
            "INSERT INTO sluicegate.ledger (one, id, created_at) VALUES (1, $1, sluicegate.clock()) ON CONFLICT (one) DO NOTHING",
            &[&ledger_id],
        )
        .map_err(failure)?;
    Ok(())
}
