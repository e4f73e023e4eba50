//! Claims the documents of a batch: an identity belongs to the batch that inserted it first (I2, §8). In bulk, sorted by
//! identity, so that two batches with the same documents wait for each other instead of deadlocking.
//!
//! A claim is written with the outcome that the document will have if nothing in the database speaks against it: nobody
//! sees it before the COMMIT, and a row that is written once costs half of one that is written twice.

use std::collections::{BTreeMap, BTreeSet};

use postgres::error::SqlState;

use crate::ports::warehouse::{DocumentOutcome, LoadDocument, LoadRequest, Verdict};

use super::client::Transaction;
use super::copy::Piece;
use super::error::Error;
use super::recent::Recent;
use super::{bigint, integer, ordinal, seconds_text};

/// The word for a document whose outcome is not known yet.
const CLAIMED: &str = "claimed";

const COPY: &str = "
    COPY sluicegate.document (job, bucket, key, version, batch_id, ordinal, outcome, reason, sha256, rows, size, etag,
                              landed_at, day)
    FROM STDIN";

/// The claims of one load.
pub(super) struct Claims<'a, 't> {
    pub(super) transaction: &'a mut Transaction<'t>,
    pub(super) request: &'a LoadRequest,
    pub(super) recent: &'a Recent,
    /// What the documents will be if the database has nothing against them, as far as that is known already.
    pub(super) expected: &'a BTreeMap<u32, Verdict>,
}

/// What came of claiming.
#[derive(Default)]
pub(super) struct Claimed {
    /// The verdicts that are known without a look at the bytes.
    pub(super) known: BTreeMap<u32, Verdict>,
    /// The outcomes that stand in the ledger already; other claimed documents stand there as `claimed`.
    pub(super) written: BTreeMap<u32, Verdict>,
    /// Documents that a parent has loaded, with that parent. They stay where they are until their new rows are in.
    pub(super) loaded: BTreeMap<u32, String>,
}

/// The identities of documents, column by column.
struct Identities<'d> {
    ordinals: Vec<i32>,
    buckets: Vec<&'d str>,
    keys: Vec<&'d str>,
    versions: Vec<&'d str>,
}

impl<'d> Identities<'d> {
    fn of(documents: &[&'d LoadDocument]) -> Self {
        Self {
            ordinals: documents.iter().map(|document| integer(document.ordinal)).collect(),
            buckets: documents.iter().map(|document| document.bucket.as_str()).collect(),
            keys: documents.iter().map(|document| document.key.as_str()).collect(),
            versions: documents.iter().map(|document| document.version.as_str()).collect(),
        }
    }
}

fn decided(document: &LoadDocument, outcome: DocumentOutcome, reason: String) -> Verdict {
    Verdict { ordinal: document.ordinal, outcome, reason, rows: 0, refused: Vec::new() }
}

impl Claims<'_, '_> {
    /// Claims every document.
    pub(super) fn claim(mut self) -> Result<Claimed, Error> {
        let mut known = BTreeMap::new();
        self.without_outcome(&mut known);
        self.announced(&mut known)?;
        let request = self.request;
        let mut documents: Vec<&LoadDocument> =
            request.documents.iter().filter(|document| !known.contains_key(&document.ordinal)).collect();
        documents.sort_by(|a, b| {
            (&a.bucket, &a.key, &a.version, a.ordinal).cmp(&(&b.bucket, &b.key, &b.version, b.ordinal))
        });
        let late = self.take_from_unread(&documents)?;
        documents.retain(|document| !late.contains(&document.ordinal));
        let mut claimed = self.take_free(&documents)?;
        let written =
            claimed.iter().filter_map(|ordinal| Some((*ordinal, self.expected(*ordinal)?))).collect();
        let others: Vec<&LoadDocument> =
            documents.iter().filter(|document| !claimed.contains(&document.ordinal)).copied().collect();
        claimed.extend(self.take_over(&others)?);
        let mut foreign: Vec<&LoadDocument> =
            others.into_iter().filter(|document| !claimed.contains(&document.ordinal)).collect();
        let loaded = self.loaded_by_parents(&foreign)?;
        foreign.retain(|document| !loaded.contains_key(&document.ordinal));
        self.again(&foreign, &mut known)?;
        for document in documents {
            if let (true, Some((outcome, reason))) = (claimed.contains(&document.ordinal), &document.unread) {
                known.insert(document.ordinal, decided(document, *outcome, reason.clone()));
            }
        }
        Ok(Claimed { known, written, loaded })
    }

    /// The outcome that a document is claimed with.
    fn expected(&self, ordinal: u32) -> Option<Verdict> {
        let document = &self.request.documents[ordinal as usize];
        match &document.unread {
            Some((outcome, reason)) => Some(decided(document, *outcome, reason.clone())),
            None => self.expected.get(&ordinal).cloned(),
        }
    }

    /// Takes documents that were read over from batches that came too late to read them, under the versions that they have
    /// now: the archive that has read decides. Such a batch was loaded while that archive was still being put. Where a
    /// third one claims the same document meanwhile, it is left to the claim.
    fn take_from_unread(&mut self, documents: &[&LoadDocument]) -> Result<BTreeSet<u32>, Error> {
        if !self.request.parents.is_empty() {
            return Ok(BTreeSet::new());
        }
        // The documents are sorted, so the first of an identity is the member with the lowest ordinal.
        let mut seen = BTreeSet::new();
        let read: Vec<&LoadDocument> = documents
            .iter()
            .filter(|document| document.unread.is_none())
            .filter(|document| seen.insert((&document.bucket, &document.key, &document.version)))
            .copied()
            .collect();
        if read.is_empty() || !self.is_any_unread(&read)? {
            return Ok(BTreeSet::new());
        }
        self.transaction.batch_execute("SAVEPOINT unread")?;
        match self.update_unread(&read) {
            Ok(taken) => self.transaction.batch_execute("RELEASE unread").map(|()| taken),
            Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
                let back = "ROLLBACK TO unread; RELEASE unread";
                self.transaction.batch_execute(back).map(|()| BTreeSet::new())
            }
            Err(error) => Err(error),
        }
    }

    /// Whether anything may have to be taken over, which it nearly never has.
    fn is_any_unread(&mut self, read: &[&LoadDocument]) -> Result<bool, Error> {
        let identities = Identities::of(read);
        let announced: Vec<String> = read.iter().map(|document| format!("{}@", document.etag)).collect();
        let rows = self.transaction.query(
            "SELECT 1
             FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) u (bucket, key, version, announced)
             CROSS JOIN LATERAL (VALUES (u.version), (u.announced)) looked (version)
             JOIN sluicegate.document d
               ON d.job = $1 AND d.bucket = u.bucket AND d.key = u.key AND d.version = looked.version
             WHERE d.outcome IN ('missing', 'expired', 'superseded') AND d.sha256 IS NULL LIMIT 1",
            &[&self.request.job, &identities.buckets, &identities.keys, &identities.versions, &announced],
        )?;
        Ok(!rows.is_empty())
    }

    fn update_unread(&mut self, read: &[&LoadDocument]) -> Result<BTreeSet<u32>, Error> {
        let identities = Identities::of(read);
        let announced: Vec<String> = read.iter().map(|document| format!("{}@", document.etag)).collect();
        let sha256: Vec<Option<&str>> = read.iter().map(|document| document.sha256.as_deref()).collect();
        let sizes: Vec<i64> = read.iter().map(|document| bigint(document.size)).collect();
        let landed: Vec<String> = read.iter().map(|document| seconds_text(document.landed_at)).collect();
        let days: Vec<String> = read.iter().map(|document| document.day.to_string()).collect();
        let rows = self.transaction.query(
            "WITH u AS (
                 SELECT * FROM unnest($3::int[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bigint[],
                                      $10::text[], $11::text[])
                     u (ordinal, bucket, key, version, announced, sha256, size, landed_at, day)),
             late AS (
                 SELECT d.job, d.bucket, d.key, d.version, u.ordinal, u.version AS read, u.sha256, u.size, u.landed_at, u.day
                 FROM u CROSS JOIN LATERAL (VALUES (u.version), (u.announced)) looked (version)
                 JOIN sluicegate.document d
                   ON d.job = $1 AND d.bucket = u.bucket AND d.key = u.key AND d.version = looked.version
                 WHERE d.batch_id <> $2 AND d.outcome IN ('missing', 'expired', 'superseded') AND d.sha256 IS NULL
                   AND (d.version = u.version OR d.landed_at >= u.landed_at::timestamptz AND NOT EXISTS (
                            SELECT 1 FROM sluicegate.document o
                            WHERE o.job = $1 AND o.bucket = u.bucket AND o.key = u.key AND o.version = u.version))
                 ORDER BY d.bucket, d.key, d.version FOR UPDATE OF d)
             UPDATE sluicegate.document d
             SET version = late.read, batch_id = $2, ordinal = late.ordinal, outcome = 'claimed', reason = '',
                 sha256 = late.sha256, size = late.size, landed_at = late.landed_at::timestamptz, day = late.day::date
             FROM late WHERE d.job = late.job AND d.bucket = late.bucket AND d.key = late.key AND d.version = late.version
             RETURNING d.ordinal",
            &[
                &self.request.job,
                &self.request.batch_id,
                &identities.ordinals,
                &identities.buckets,
                &identities.keys,
                &identities.versions,
                &announced,
                &sha256,
                &sizes,
                &landed,
                &days,
            ],
        )?;
        Ok(rows.iter().map(|row| ordinal(row.get(0))).collect())
    }

    /// Claims what nobody has claimed.
    fn take_free(&mut self, documents: &[&LoadDocument]) -> Result<BTreeSet<u32>, Error> {
        // They are sorted, so two members of one identity are next to each other.
        let distinct = documents.windows(2).all(|pair| {
            let (a, b) = (pair[0], pair[1]);
            (&a.key, &a.version, &a.bucket) != (&b.key, &b.version, &b.bucket)
        });
        let all_free =
            distinct && self.request.parents.is_empty() && !self.recent.met_claimed(&self.request.job);
        if all_free && self.copy(documents)? {
            return Ok(documents.iter().map(|document| document.ordinal).collect());
        }
        self.insert(documents)
    }

    /// Claims all of them at once, which is much the quicker way; false where one is claimed already, and then nothing is
    /// left. Like an insertion, COPY waits for a load that has claimed the same document and is not yet committed.
    fn copy(&mut self, documents: &[&LoadDocument]) -> Result<bool, Error> {
        let request = self.request;
        let mut piece = Piece::new(COPY.to_owned());
        for document in documents {
            let expected = self.expected(document.ordinal);
            let expected = expected.as_ref();
            let (ordinal, size) = (document.ordinal.to_string(), document.size.to_string());
            let rows = expected.map_or(0, |verdict| verdict.rows).to_string();
            let (landed, day) = (seconds_text(document.landed_at), document.day.to_string());
            piece.fields([
                Some(request.job.as_str()),
                Some(&document.bucket),
                Some(&document.key),
                Some(&document.version),
                Some(&request.batch_id),
                Some(&ordinal),
                Some(expected.map_or(CLAIMED, |verdict| verdict.outcome.as_str())),
                Some(expected.map_or("", |verdict| &verdict.reason)),
                document.sha256.as_deref(),
                Some(&rows),
                Some(&size),
                Some(&document.etag),
                Some(&landed),
                Some(&day),
            ]);
        }
        self.transaction.batch_execute("SAVEPOINT claims")?;
        match piece.send(self.transaction) {
            Ok(()) => self.transaction.batch_execute("RELEASE claims").map(|()| true),
            Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
                self.recent.note_claimed_before(&request.job);
                self.transaction.batch_execute("ROLLBACK TO claims; RELEASE claims").map(|()| false)
            }
            Err(error) => Err(error),
        }
    }

    /// A verdict and no outcome: nothing is claimed.
    fn without_outcome(&self, known: &mut BTreeMap<u32, Verdict>) {
        for document in &self.request.documents {
            if let Some((outcome @ (DocumentOutcome::Deferred | DocumentOutcome::Again), reason)) =
                &document.unread
            {
                known.insert(document.ordinal, decided(document, *outcome, reason.clone()));
            }
        }
    }

    /// What could not be read may be the very object that another batch decided about, long ago perhaps, and under the
    /// version that it had when it was read. A version that the bucket gave needs no such guess. The same version is left
    /// to the claim.
    fn announced(&mut self, known: &mut BTreeMap<u32, Verdict>) -> Result<(), Error> {
        let unread: Vec<&LoadDocument> = self
            .request
            .documents
            .iter()
            .filter(|document| document.was_never_seen() && !known.contains_key(&document.ordinal))
            .collect();
        if unread.is_empty() {
            return Ok(());
        }
        let identities = Identities::of(&unread);
        let etags: Vec<&str> = unread.iter().map(|document| document.etag.as_str()).collect();
        let rows = self.transaction.query(
            "SELECT u.ordinal, d.batch_id::text
             FROM unnest($1::int[], $2::text[], $3::text[], $4::text[], $7::text[]) u (ordinal, bucket, key, etag, version)
             CROSS JOIN LATERAL (SELECT batch_id FROM sluicegate.document
                                 WHERE key = u.key AND job = $5 AND bucket = u.bucket AND etag = u.etag AND batch_id <> $6
                                   AND version <> u.version
                                 ORDER BY version LIMIT 1) d",
            &[
                &identities.ordinals,
                &identities.buckets,
                &identities.keys,
                &etags,
                &self.request.job,
                &self.request.batch_id,
                &identities.versions,
            ],
        )?;
        for row in rows {
            let document = &self.request.documents[ordinal(row.get(0)) as usize];
            let reason = format!("this object was already decided by batch {}", row.get::<_, String>(1));
            known.insert(document.ordinal, decided(document, DocumentOutcome::Again, reason));
        }
        Ok(())
    }

    /// Claims what is free among them, one by one.
    fn insert(&mut self, documents: &[&LoadDocument]) -> Result<BTreeSet<u32>, Error> {
        let identities = Identities::of(documents);
        let sha256: Vec<Option<&str>> = documents.iter().map(|document| document.sha256.as_deref()).collect();
        let sizes: Vec<i64> = documents.iter().map(|document| bigint(document.size)).collect();
        let etags: Vec<&str> = documents.iter().map(|document| document.etag.as_str()).collect();
        let landed: Vec<String> = documents.iter().map(|document| seconds_text(document.landed_at)).collect();
        let days: Vec<String> = documents.iter().map(|document| document.day.to_string()).collect();
        let expected: Vec<Option<Verdict>> =
            documents.iter().map(|document| self.expected(document.ordinal)).collect();
        let expected = || expected.iter().map(Option::as_ref);
        let words: Vec<&str> =
            expected().map(|verdict| verdict.map_or(CLAIMED, |verdict| verdict.outcome.as_str())).collect();
        let reasons: Vec<&str> =
            expected().map(|verdict| verdict.map_or("", |verdict| verdict.reason.as_str())).collect();
        let counts: Vec<i64> =
            expected().map(|verdict| bigint(verdict.map_or(0, |verdict| verdict.rows))).collect();
        let rows = self.transaction.query(
            "INSERT INTO sluicegate.document (job, bucket, key, version, batch_id, ordinal, outcome, reason, sha256, rows,
                                              size, etag, landed_at, day)
             SELECT $1, u.bucket, u.key, u.version, $2, u.ordinal, u.outcome, u.reason, u.sha256, u.rows, u.size, u.etag,
                    u.landed_at::timestamptz, u.day::date
             FROM unnest($3::int[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::text[], $10::text[],
                         $11::text[], $12::text[], $13::text[], $14::bigint[])
                  WITH ORDINALITY u (ordinal, bucket, key, version, sha256, size, etag, landed_at, day, outcome, reason,
                                     rows, place)
             ORDER BY u.place
             ON CONFLICT (job, bucket, key, version) DO NOTHING RETURNING ordinal",
            &[
                &self.request.job,
                &self.request.batch_id,
                &identities.ordinals,
                &identities.buckets,
                &identities.keys,
                &identities.versions,
                &sha256,
                &sizes,
                &etags,
                &landed,
                &days,
                &words,
                &reasons,
                &counts,
            ],
        )?;
        Ok(rows.iter().map(|row| ordinal(row.get(0))).collect())
    }

    /// Takes documents over from the batch's own replay parents, where those could not load them.
    fn take_over(&mut self, documents: &[&LoadDocument]) -> Result<BTreeSet<u32>, Error> {
        if self.request.parents.is_empty() || documents.is_empty() {
            return Ok(BTreeSet::new());
        }
        // The documents are sorted, so the first of an identity is the member with the lowest ordinal.
        let mut seen = BTreeSet::new();
        let first: Vec<&LoadDocument> = documents
            .iter()
            .filter(|document| seen.insert((&document.bucket, &document.key, &document.version)))
            .copied()
            .collect();
        let identities = Identities::of(&first);
        let rows = self.transaction.query(
            "WITH free AS (
                 SELECT d.job, d.bucket, d.key, d.version, u.ordinal
                 FROM sluicegate.document d
                 JOIN unnest($3::int[], $4::text[], $5::text[], $6::text[]) u (ordinal, bucket, key, version)
                   ON d.job = $1 AND d.bucket = u.bucket AND d.key = u.key AND d.version = u.version
                 WHERE d.batch_id = ANY($7::text[])
                   AND d.outcome IN ('rejected', 'conflict', 'missing', 'expired', 'abandoned')
                 ORDER BY d.bucket, d.key, d.version FOR UPDATE OF d)
             UPDATE sluicegate.document d SET batch_id = $2, ordinal = free.ordinal, outcome = 'claimed', reason = ''
             FROM free WHERE d.job = free.job AND d.bucket = free.bucket AND d.key = free.key AND d.version = free.version
             RETURNING d.ordinal",
            &[
                &self.request.job,
                &self.request.batch_id,
                &identities.ordinals,
                &identities.buckets,
                &identities.keys,
                &identities.versions,
                &self.request.parents,
            ],
        )?;
        Ok(rows.iter().map(|row| ordinal(row.get(0))).collect())
    }

    /// The replay parents that have loaded documents which this batch reads again: only where the later record wins,
    /// because elsewhere their own rows would be in their way. Nobody changes those documents until the load ends.
    fn loaded_by_parents(&mut self, documents: &[&LoadDocument]) -> Result<BTreeMap<u32, String>, Error> {
        if !self.request.replace || self.request.parents.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut seen = BTreeSet::new();
        let first: Vec<&LoadDocument> = documents
            .iter()
            .filter(|document| document.unread.is_none())
            .filter(|document| seen.insert((&document.bucket, &document.key, &document.version)))
            .copied()
            .collect();
        let identities = Identities::of(&first);
        let rows = self.transaction.query(
            "SELECT u.ordinal, d.batch_id::text
             FROM sluicegate.document d
             JOIN unnest($2::int[], $3::text[], $4::text[], $5::text[]) u (ordinal, bucket, key, version)
               ON d.job = $1 AND d.bucket = u.bucket AND d.key = u.key AND d.version = u.version
             WHERE d.batch_id = ANY($6::text[]) AND d.outcome = 'loaded'
             ORDER BY d.bucket, d.key, d.version FOR UPDATE OF d",
            &[
                &self.request.job,
                &identities.ordinals,
                &identities.buckets,
                &identities.keys,
                &identities.versions,
                &self.request.parents,
            ],
        )?;
        Ok(rows.iter().map(|row| (ordinal(row.get(0)), row.get(1))).collect())
    }

    /// Another batch owns these, or another member of this one.
    fn again(
        &mut self,
        documents: &[&LoadDocument],
        known: &mut BTreeMap<u32, Verdict>,
    ) -> Result<(), Error> {
        if documents.is_empty() {
            return Ok(());
        }
        let identities = Identities::of(documents);
        let rows = self.transaction.query(
            "SELECT u.ordinal, d.batch_id::text
             FROM unnest($2::int[], $3::text[], $4::text[], $5::text[]) u (ordinal, bucket, key, version)
             JOIN sluicegate.document d
               ON d.job = $1 AND d.bucket = u.bucket AND d.key = u.key AND d.version = u.version",
            &[
                &self.request.job,
                &identities.ordinals,
                &identities.buckets,
                &identities.keys,
                &identities.versions,
            ],
        )?;
        for row in rows {
            let document = &self.request.documents[ordinal(row.get(0)) as usize];
            let reason = format!("batch {} has this document", row.get::<_, String>(1));
            known.insert(document.ordinal, decided(document, DocumentOutcome::Again, reason));
        }
        Ok(())
    }
}

/// Takes over from the parents what has new rows now; the others stay as they were loaded, and their verdicts say so.
pub(super) fn settle(
    transaction: &mut Transaction<'_>,
    request: &LoadRequest,
    loaded: &BTreeMap<u32, String>,
    verdicts: &mut [Verdict],
) -> Result<(), Error> {
    let mut taken: Vec<&LoadDocument> = Vec::new();
    for verdict in verdicts {
        let Some(parent) = loaded.get(&verdict.ordinal) else { continue };
        if verdict.outcome == DocumentOutcome::Loaded {
            taken.push(&request.documents[verdict.ordinal as usize]);
        } else {
            verdict.leave_loaded(parent);
        }
    }
    if taken.is_empty() {
        return Ok(());
    }
    let identities = Identities::of(&taken);
    let changed = transaction.execute(
        "UPDATE sluicegate.document d SET batch_id = $2, ordinal = u.ordinal, outcome = 'claimed', reason = ''
         FROM unnest($3::int[], $4::text[], $5::text[], $6::text[]) u (ordinal, bucket, key, version)
         WHERE d.job = $1 AND d.bucket = u.bucket AND d.key = u.key AND d.version = u.version",
        &[
            &request.job,
            &request.batch_id,
            &identities.ordinals,
            &identities.buckets,
            &identities.keys,
            &identities.versions,
        ],
    )?;
    assert_eq!(changed, taken.len() as u64, "the documents are locked since they were claimed");
    Ok(())
}
