//! Incarnations: one per process start. Who lives is asked of the kernel, by a file lock.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rusqlite::{Transaction, params};

use super::Store;
use crate::time::Stored;
use crate::{StateError, Timestamp, effects, lock};

pub(super) const UNENDED: &str = "
    SELECT incarnation FROM incarnation WHERE ended_at IS NULL ORDER BY incarnation";

/// A process that made itself known. It counts as alive as long as this value, or the process, lives.
#[derive(Debug)]
pub struct Incarnation {
    id: String,
    path: PathBuf,
    _lock: File,
}

impl Incarnation {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl Store {
    /// Makes this process known under a fresh id. The lock comes first: a row without one means a dead process.
    pub fn begin_incarnation(
        &mut self,
        id: &str,
        host: &str,
        pid: u32,
        version: &str,
        now: Timestamp,
    ) -> Result<Incarnation, StateError> {
        let path = lock_path(&self.folder, id)?;
        let file = lock::open(&path)?;
        if !lock::try_lock(&file, &path)? {
            return Err(StateError::Illegal(format!(
                "incarnation {id} is running already; ids are used once"
            )));
        }
        self.commit(effects::INCARNATION, |tx| {
            tx.execute(
                "INSERT INTO incarnation (incarnation, host, pid, version, started_at) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![id, host, pid, version, Stored(now)],
            )?;
            Ok(())
        })?;
        Ok(Incarnation { id: id.to_owned(), path, _lock: file })
    }

    /// Says that this process ends. What it was still attempting counts as died.
    pub fn end_incarnation(&mut self, incarnation: Incarnation, now: Timestamp) -> Result<(), StateError> {
        self.commit(effects::INCARNATION_ENDED, |tx| close(tx, &incarnation.id, "ended", now).map(drop))?;
        remove(&incarnation.path)
    }

    /// Whether an incarnation of this state folder is known to be over. One that was never here is not known.
    pub fn incarnation_has_ended(&self, id: &str) -> Result<bool, StateError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM incarnation WHERE incarnation = ?1 AND ended_at IS NOT NULL)";
        Ok(self.connection.prepare_cached(sql)?.query_row([id], |row| row.get(0))?)
    }

    /// Closes the books of every incarnation whose lock is free: its running attempts died, which parks no batch. Answers
    /// their ids. Two processes may do this at once; each incarnation is buried by one of them.
    pub fn bury_dead(&mut self, now: Timestamp) -> Result<Vec<String>, StateError> {
        let mut buried = Vec::new();
        for id in self.unended()? {
            let path = lock_path(&self.folder, &id)?;
            let file = lock::open(&path)?;
            if !lock::try_lock(&file, &path)? {
                continue;
            }
            if self.commit(effects::BURY, |tx| close(tx, &id, "died", now))? {
                buried.push(id);
            }
            remove(&path)?;
        }
        Ok(buried)
    }

    fn unended(&self) -> Result<Vec<String>, StateError> {
        let mut statement = self.connection.prepare_cached(UNENDED)?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// Whether nobody holds the lock of an incarnation that has not said farewell.
pub(super) fn is_dead(folder: &Path, id: &str) -> Result<bool, StateError> {
    let path = lock_path(folder, id)?;
    lock::try_lock(&lock::open(&path)?, &path)
}

/// Ends an incarnation, its running attempts and its commands. Answers whether it was this call that did.
fn close(tx: &Transaction<'_>, id: &str, ending: &str, now: Timestamp) -> Result<bool, StateError> {
    let ended = tx.execute(
        "UPDATE incarnation SET ended_at = ?2, ending = ?3 WHERE incarnation = ?1 AND ended_at IS NULL",
        params![id, Stored(now), ending],
    )?;
    tx.execute(
        "UPDATE attempt SET outcome = 'died', ended_at = ?2, error = 'its process ' || ?3
         WHERE incarnation = ?1 AND outcome = 'running'",
        params![id, Stored(now), ending],
    )?;
    tx.execute(
        "UPDATE command SET ended_at = ?2 WHERE incarnation = ?1 AND ended_at IS NULL",
        params![id, Stored(now)],
    )?;
    Ok(ended == 1)
}

fn lock_path(folder: &Path, id: &str) -> Result<PathBuf, StateError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if id.is_empty() || id.len() > 200 || !id.bytes().all(plain) {
        return Err(StateError::Illegal(format!(
            "`{id}` is no incarnation id: letters, digits, - and _ only"
        )));
    }
    let locks = folder.join("incarnations");
    super::create_folder(&locks)?;
    Ok(locks.join(format!("{id}.lock")))
}

/// Another process may have removed it first.
fn remove(path: &Path) -> Result<(), StateError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StateError::io(path)(error)),
        _ => Ok(()),
    }
}
