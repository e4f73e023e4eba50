//! The store: one SQLite database in a folder, every change to it a named transaction.

mod adopt;
mod attempts;
mod batches;
mod incarnations;
mod journal;
mod moves;
mod open;
mod pages;
mod replay;
mod rows;
mod seal;
mod soundness;
mod status;
mod turn;

#[cfg(test)]
mod plan_tests;

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::seam::Seam;
use crate::{StateError, effects};

pub use incarnations::Incarnation;
pub(crate) use open::create_folder;
use turn::Turn;

/// The state store of one folder. Several processes may have it open at once.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    connection: Connection,
    seam: Seam,
    turn: Turn,
}

impl Store {
    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A small fact, if it was ever written.
    pub fn meta(&self, key: &str) -> Result<Option<String>, StateError> {
        let mut statement = self.connection.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
        Ok(statement.query_row([key], |row| row.get(0)).optional()?)
    }

    /// Writes a small fact over what was there.
    pub fn set_meta(&mut self, key: &str, value: &str) -> Result<(), StateError> {
        self.commit(effects::META, |tx| {
            tx.execute(
                "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value",
                params![key, value],
            )?;
            Ok(())
        })
    }

    /// Every change goes through here. IMMEDIATE, because a transaction that reads first and then wants to write is
    /// refused when another process wrote in between.
    fn commit<T>(
        &mut self,
        effect: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        let Self { connection, seam, turn, .. } = self;
        seam.perform(effect, || {
            let _mine = turn.take();
            let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = work(&tx)?;
            tx.commit()?;
            Ok(value)
        })
    }
}
