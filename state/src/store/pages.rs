//! Reading everything of a job in pages, for those who compare it with other places: never more than a page in memory.

use rusqlite::params;

use super::Store;
use super::batches::{SELECT, batch};
use super::journal::journal_entry;
use super::rows::integer;
use crate::StateError;
use crate::model::{Batch, JournalEntry};

pub(super) const PENDING_PAGE: &str = "
    SELECT * FROM notification INDEXED BY notification_pending
    WHERE state = 'pending' AND job = ?1 AND notification_id > ?2 ORDER BY notification_id LIMIT ?3";

impl Store {
    /// Notifications of a job that are in no batch, by number, after the one with the number `after`.
    pub fn pending_page(&self, job: &str, after: i64, limit: usize) -> Result<Vec<JournalEntry>, StateError> {
        let mut statement = self.connection.prepare_cached(PENDING_PAGE)?;
        let rows = statement.query_map(params![job, after, integer(limit as u64)], journal_entry)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Batches of a job by id, after the one with the id `after`.
    pub fn batches_page(&self, job: &str, after: &str, limit: usize) -> Result<Vec<Batch>, StateError> {
        let sql = format!("{SELECT} WHERE job = ?1 AND batch_id > ?2 ORDER BY batch_id LIMIT ?3");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params![job, after, integer(limit as u64)], batch)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
