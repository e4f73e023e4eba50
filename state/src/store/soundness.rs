//! Whether the database can be trusted: what SQLite and the schema find wrong with it.

use rusqlite::{Connection, ErrorCode};

use super::Store;
use super::incarnations::{UNENDED, is_dead};
use crate::StateError;

/// Damage is told by its first few words; the rest would say the same.
const TOLD: usize = 5;

impl Store {
    /// What SQLite and the schema find wrong with the database; nothing when it is sound. Reads every table.
    pub fn quick_check(&self) -> Result<Vec<String>, StateError> {
        self.problems("SELECT quick_check FROM pragma_quick_check")
    }

    /// Checks everything, each index against its table too, if some process of this folder ended without a farewell: it
    /// was killed, or the machine went down under it. Answers whether it checked. Comes before [`Store::bury_dead`], so
    /// that a start which finds damage leaves the mark for the next one, and that finds it again.
    ///
    /// # Errors
    /// [`StateError::Corrupt`], which says what to do, where the database is damaged.
    pub fn check_after_death(&self) -> Result<bool, StateError> {
        let unended = texts(&self.connection, UNENDED)?;
        let mut died = false;
        for id in unended {
            died |= match is_dead(self.folder(), &id) {
                // No process ever had such an id: the damage is in the table of the living itself.
                Err(StateError::Illegal(_)) => true,
                dead => dead?,
            };
        }
        if died {
            self.integrity_check()?;
        }
        Ok(died)
    }

    /// Reads the whole database and compares each index with its table.
    ///
    /// # Errors
    /// [`StateError::Corrupt`] where something is wrong.
    pub fn integrity_check(&self) -> Result<(), StateError> {
        let problems = match self.problems("SELECT integrity_check FROM pragma_integrity_check") {
            // What is damaged enough cannot even be checked to its end.
            Err(StateError::Sqlite(error))
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) =>
            {
                vec![error.to_string()]
            }
            problems => problems?,
        };
        if problems.is_empty() {
            return Ok(());
        }
        let told = problems.iter().take(TOLD).map(String::as_str).collect::<Vec<_>>().join("; ");
        let path = self.folder.join("state.db");
        Err(StateError::Corrupt(format!("{}: {told}", path.display())))
    }

    fn problems(&self, check: &str) -> Result<Vec<String>, StateError> {
        let mut problems = texts(&self.connection, check)?;
        problems.retain(|line| line != "ok");
        problems.extend(texts(
            &self.connection,
            "SELECT DISTINCT 'table ' || \"table\" || ' points at a missing row of ' || parent
             FROM pragma_foreign_key_check",
        )?);
        problems.extend(texts(
            &self.connection,
            "SELECT 'batch ' || batch_id || ' has lost members' FROM batch AS b
             WHERE documents <> (SELECT count(*) FROM member WHERE batch_id = b.batch_id)",
        )?);
        Ok(problems)
    }

    /// Takes the right to write, and gives it back without a change: whether another process holds it for long.
    ///
    /// # Errors
    /// Transient after ten seconds, where the database is locked.
    pub fn try_lock(&mut self) -> Result<(), StateError> {
        let tx = self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        Ok(tx.rollback()?)
    }
}

fn texts(connection: &Connection, sql: &str) -> Result<Vec<String>, StateError> {
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
