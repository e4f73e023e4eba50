//! Claims the documents of a batch: an identity belongs to the batch that inserted it first (I2, §8).

use std::collections::{BTreeMap, HashSet};

use rusqlite::{OptionalExtension, Transaction, params};
use sluicegate_state::canary::{Canary, sings};

use crate::failure::Outcome;
use crate::ports::warehouse::{DocumentOutcome, LoadDocument, LoadRequest, Verdict};

use super::{failure, seconds_text};

/// What came of claiming.
#[derive(Default)]
pub(super) struct Claimed {
    /// The verdicts that are known without a look at the bytes.
    pub(super) known: BTreeMap<u32, Verdict>,
    /// Documents that a parent has loaded, with that parent. They stay where they are until their new rows are in.
    pub(super) loaded: BTreeMap<u32, String>,
}

/// The claims of one load.
pub(super) struct Claims<'a> {
    pub(super) transaction: &'a Transaction<'a>,
    pub(super) request: &'a LoadRequest,
}

impl Claims<'_> {
    /// Claims every document in the order of identity; the verdicts that are known without a look at the bytes.
    pub(super) fn claim(&self) -> Outcome<Claimed> {
        let mut documents: Vec<&LoadDocument> = self.request.documents.iter().collect();
        documents.sort_by(|a, b| {
            (&a.bucket, &a.key, &a.version, a.ordinal).cmp(&(&b.bucket, &b.key, &b.version, b.ordinal))
        });
        let mut claimed = Claimed::default();
        let mut loaded = HashSet::new();
        for document in documents {
            let identity = (&document.bucket, &document.key, &document.version);
            let parent = self.loaded_by_parent(document).map_err(failure)?;
            if let Some(parent) = parent.filter(|_| loaded.insert(identity)) {
                claimed.loaded.insert(document.ordinal, parent);
            } else if let Some(verdict) = self.claim_one(document).map_err(failure)? {
                claimed.known.insert(document.ordinal, verdict);
            }
        }
        Ok(claimed)
    }

    /// The replay parent that has loaded a document which this batch reads again: only where the later record wins, because
    /// elsewhere its own rows would be in its way.
    fn loaded_by_parent(&self, document: &LoadDocument) -> rusqlite::Result<Option<String>> {
        if !self.request.replace || self.request.parents.is_empty() || document.unread.is_some() {
            return Ok(None);
        }
        let parents = serde_json::Value::from(self.request.parents.clone()).to_string();
        self.transaction
            .prepare_cached(
                "SELECT batch_id FROM sluicegate_document
                 WHERE job = ?1 AND bucket = ?2 AND key = ?3 AND version = ?4 AND outcome = 'loaded'
                   AND batch_id IN (SELECT value FROM json_each(?5))",
            )?
            .query_row(
                params![self.request.job, document.bucket, document.key, document.version, parents],
                |row| row.get(0),
            )
            .optional()
    }

    /// Takes over from the parents what has new rows now; the others stay as they were loaded, and their verdicts say so.
    pub(super) fn settle(
        &self,
        loaded: &BTreeMap<u32, String>,
        verdicts: &mut BTreeMap<u32, Verdict>,
    ) -> rusqlite::Result<()> {
        for (ordinal, parent) in loaded {
            let Some(verdict) = verdicts.get_mut(ordinal) else { continue };
            if verdict.outcome != DocumentOutcome::Loaded {
                verdict.leave_loaded(parent);
                continue;
            }
            let document = &self.request.documents[*ordinal as usize];
            let taken = self
                .transaction
                .prepare_cached(
                    "UPDATE sluicegate_document SET batch_id = ?1, ordinal = ?2, outcome = 'claimed', reason = ''
                     WHERE job = ?3 AND bucket = ?4 AND key = ?5 AND version = ?6 AND batch_id = ?7
                       AND outcome = 'loaded'",
                )?
                .execute(params![
                    self.request.batch_id,
                    ordinal,
                    self.request.job,
                    document.bucket,
                    document.key,
                    document.version,
                    parent,
                ])?;
            assert_eq!(taken, 1, "a load is alone in this database, so its parent's document is still there");
        }
        Ok(())
    }

    fn claim_one(&self, document: &LoadDocument) -> rusqlite::Result<Option<Verdict>> {
        let decided = |outcome, reason: &str| {
            let reason = reason.to_owned();
            Some(Verdict { ordinal: document.ordinal, outcome, reason, rows: 0, refused: Vec::new() })
        };
        if let Some((outcome, reason)) = &document.unread {
            if matches!(outcome, DocumentOutcome::Deferred | DocumentOutcome::Again) {
                return Ok(decided(*outcome, reason));
            }
            if document.was_never_seen()
                && let Some(owner) = self.owner_of_announced(document)?
            {
                let reason = format!("this object was already decided by batch {owner}");
                return Ok(decided(DocumentOutcome::Again, &reason));
            }
        }
        let claimed = self.take_from_unread(document)?
            || self.insert_identity(document)?
            || self.take_over(document)?;
        if !claimed && !sings(Canary::ClaimsUnchecked) {
            let owner = self.owner(document)?;
            return Ok(decided(DocumentOutcome::Again, &format!("batch {owner} has this document")));
        }
        Ok(document.unread.as_ref().and_then(|(outcome, reason)| decided(*outcome, reason)))
    }

    /// The batch that decided about the very object that a notification announced, long ago perhaps, and under the version
    /// that it had when it was read. A version that the bucket gave needs no such guess. The same version is left to the
    /// claim, which knows what a replay may take over.
    fn owner_of_announced(&self, document: &LoadDocument) -> rusqlite::Result<Option<String>> {
        self.transaction
            .prepare_cached(
                "SELECT batch_id FROM sluicegate_document
                 WHERE key = ?1 AND job = ?2 AND bucket = ?3 AND etag = ?4 AND batch_id <> ?5 AND version <> ?6
                 LIMIT 1",
            )?
            .query_row(
                params![
                    document.key,
                    self.request.job,
                    document.bucket,
                    document.etag,
                    self.request.batch_id,
                    document.version,
                ],
                |row| row.get(0),
            )
            .optional()
    }

    fn insert_identity(&self, document: &LoadDocument) -> rusqlite::Result<bool> {
        let inserted = self
            .transaction
            .prepare_cached(
                "INSERT INTO sluicegate_document (job, bucket, key, version, batch_id, ordinal, outcome, sha256, size,
                                                  etag, landed_at, day)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'claimed', ?7, ?8, ?9, ?10, ?11)
                 ON CONFLICT (job, bucket, key, version) DO NOTHING",
            )?
            .execute(params![
                self.request.job,
                document.bucket,
                document.key,
                document.version,
                self.request.batch_id,
                document.ordinal,
                document.sha256,
                document.size as i64,
                document.etag,
                seconds_text(document.landed_at),
                document.day.to_string(),
            ])?;
        Ok(inserted == 1)
    }

    /// Takes a document that was read over from a batch that came too late to read it, under the version that it has now: the
    /// archive that has read decides. Such a batch was loaded while that archive was still being put.
    fn take_from_unread(&self, document: &LoadDocument) -> rusqlite::Result<bool> {
        if document.unread.is_some() || !self.request.parents.is_empty() {
            return Ok(false);
        }
        let taken = self
            .transaction
            .prepare_cached(
                "UPDATE sluicegate_document SET version = ?4, batch_id = ?5, ordinal = ?6, outcome = 'claimed', reason = '',
                        sha256 = ?7, size = ?8, landed_at = ?10, day = ?11
                 WHERE job = ?1 AND bucket = ?2 AND key = ?3 AND version IN (?4, ?9 || '@') AND batch_id <> ?5
                   AND outcome IN ('missing', 'expired', 'superseded') AND sha256 IS NULL
                   AND (version = ?4 OR landed_at >= ?10 AND NOT EXISTS (
                            SELECT 1 FROM sluicegate_document
                            WHERE job = ?1 AND bucket = ?2 AND key = ?3 AND version = ?4))",
            )?
            .execute(params![
                self.request.job,
                document.bucket,
                document.key,
                document.version,
                self.request.batch_id,
                document.ordinal,
                document.sha256,
                document.size as i64,
                document.etag,
                seconds_text(document.landed_at),
                document.day.to_string(),
            ])?;
        Ok(taken == 1)
    }

    /// Takes a document over from one of the batch's own replay parents, where that one could not load it.
    fn take_over(&self, document: &LoadDocument) -> rusqlite::Result<bool> {
        for parent in &self.request.parents {
            let taken = self
                .transaction
                .prepare_cached(
                    "UPDATE sluicegate_document SET batch_id = ?1, ordinal = ?2, outcome = 'claimed', reason = ''
                     WHERE job = ?3 AND bucket = ?4 AND key = ?5 AND version = ?6 AND batch_id = ?7
                       AND outcome IN ('rejected', 'conflict', 'missing', 'expired', 'abandoned')",
                )?
                .execute(params![
                    self.request.batch_id,
                    document.ordinal,
                    self.request.job,
                    document.bucket,
                    document.key,
                    document.version,
                    parent,
                ])?;
            if taken == 1 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn owner(&self, document: &LoadDocument) -> rusqlite::Result<String> {
        self.transaction.query_row(
            "SELECT batch_id FROM sluicegate_document WHERE job = ?1 AND bucket = ?2 AND key = ?3 AND version = ?4",
            params![self.request.job, document.bucket, document.key, document.version],
            |row| row.get(0),
        )
    }
}
