//! Opens the database, and brings its schema up to date.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::{Store, Turn};
use crate::canary::{Canary, sings};
use crate::seam::Seam;
use crate::{StateError, disk, effects, lock};

/// The numbered migrations. A database's `user_version` says how many of them it has.
const MIGRATIONS: &[&str] = &[
    include_str!("../../../migrations/state/0001_journal.sql"),
    include_str!("../../../migrations/state/0002_batch.sql"),
    include_str!("../../../migrations/state/0003_process.sql"),
    include_str!("../../../migrations/state/0004_refusal.sql"),
    include_str!("../../../migrations/state/0005_missed.sql"),
    include_str!("../../../migrations/state/0006_member_lookup.sql"),
];

const KNOWN_VERSION: i64 = MIGRATIONS.len() as i64;

impl Store {
    /// Opens the store of a folder, and makes the folder and the database where there is none. A database of a newer
    /// program is refused and left as it is.
    pub fn open(folder: &Path, seam: Seam) -> Result<Self, StateError> {
        create_folder(folder)?;
        // Two processes that turn on WAL at the same moment would refuse each other without waiting.
        let _turn = take_turn(&folder.join("open.lock"))?;
        let path = folder.join("state.db");
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        check_schema(&connection, &path)?;
        configure(&connection)?;
        let mut store = Self { folder: folder.to_owned(), connection, seam, turn: Turn::of(folder) };
        store.migrate()?;
        Ok(store)
    }

    fn migrate(&mut self) -> Result<(), StateError> {
        if user_version(&self.connection)? == KNOWN_VERSION {
            return Ok(());
        }
        self.commit(effects::MIGRATE, |tx| {
            let done = usize::try_from(user_version(tx)?).unwrap_or(0);
            for migration in MIGRATIONS.iter().skip(done) {
                tx.execute_batch(migration)?;
            }
            Ok(tx.pragma_update(None, "user_version", KNOWN_VERSION)?)
        })
    }
}

/// Creates the folder with the user's own mask: by default the landing lies in it too, where others drop files. A power
/// failure must not take it away with the first acknowledged notifications in it.
pub(crate) fn create_folder(folder: &Path) -> Result<(), StateError> {
    disk::create_folder(folder).map_err(StateError::io(folder))
}

fn take_turn(path: &Path) -> Result<File, StateError> {
    let file = lock::open(path)?;
    file.lock().map_err(StateError::io(path))?;
    Ok(file)
}

/// Looks at what is there without changing a byte of it: not even a checkpoint when the connection is closed.
fn check_schema(connection: &Connection, path: &Path) -> Result<(), StateError> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    let found = user_version(connection)?;
    if found > KNOWN_VERSION {
        return Err(StateError::NewerSchema { path: path.to_owned(), found, known: KNOWN_VERSION });
    }
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if found < 0 || (found == 0 && tables > 0) {
        let path = path.display();
        return Err(StateError::Illegal(format!(
            "{path} is no state database of this program; name another folder"
        )));
    }
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    Ok(())
}

fn configure(connection: &Connection) -> Result<(), StateError> {
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(StateError::Illegal(format!(
            "the state folder's file system allows no write-ahead log (SQLite chose `{mode}`); use a local disk"
        )));
    }
    let synchronous = if sings(Canary::JournalNotSynced) { "OFF" } else { "FULL" };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(64);
    // Else SQLite plans anew whenever a LIMIT is bound, to see whether it is a small one.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

fn user_version(connection: &Connection) -> Result<i64, StateError> {
    Ok(connection.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the journal's promise rests on: with less, a commit is in the memory of the system alone.
    #[test]
    fn each_commit_is_synced() {
        let folder = tempfile::tempdir().unwrap();
        let full = |store: &Store| {
            let pragma =
                |name: &str| store.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
            assert_eq!(pragma("synchronous"), Ok(2), "FULL");
        };
        full(&Store::open(folder.path(), Seam::default()).unwrap());
        full(&Store::open(folder.path(), Seam::default()).unwrap());
    }
}
