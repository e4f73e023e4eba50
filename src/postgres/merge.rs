//! The staged path: the rows are in the temporary tables; what collides is decided, and the rest is inserted from there,
//! sorted by key. A row that the database refuses is found by bisecting under savepoints (I10).

use std::collections::{BTreeMap, BTreeSet};

use postgres::Row;

use crate::failure::Failure;
use crate::ports::warehouse::{DocumentOutcome, LoadRequest};
use crate::wording::{self, Content, Note};

use super::client::Transaction;
use super::collect::Gathered;
use super::decide::{Clash, Collision, Fate, Refusal, Rejecting, There, Winners, With};
use super::error::{Error, refuses_row, words};
use super::sql::{MEMBER, REFUSAL, Statements};
use super::{bigint, count, integer, ordinal, replace};

/// How often other loads may bring keys of this one in between before it is left for later.
const MAX_OVERTAKEN: u32 = 5;
/// Refusals that are written at a time.
const REFUSALS: usize = 10_000;

/// Why a load does not go on.
pub(super) enum Trouble {
    Database(Error),
    Other(Failure),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Other(failure)
    }
}

/// What became of the documents.
#[derive(Default)]
pub(super) struct Merged {
    pub(super) fates: BTreeMap<u32, Fate>,
    /// The documents that were turned away here, and why.
    pub(super) turned_away: BTreeMap<u32, (DocumentOutcome, Note)>,
}

/// How a round ended.
enum Round {
    Done(BTreeMap<u32, Fate>),
    /// Another load committed a key of ours while we decided.
    Overtaken,
    /// The database refuses rows of documents that are known now.
    Refused,
}

/// Documents and records to be inserted together.
struct Range {
    first: u32,
    last: u32,
    /// Records, both ends included.
    from: i64,
    to: i64,
    /// Parents that shall be inserted.
    expected: u64,
}

/// How an insertion ended.
enum Tried {
    Inserted,
    /// Another load has a key of the range.
    Overtaken,
    Refused(Error),
}

/// A staged load.
pub(super) struct Merge<'a, 't> {
    pub(super) transaction: &'a mut Transaction<'t>,
    pub(super) statements: &'a Statements<'a>,
    pub(super) request: &'a LoadRequest,
    pub(super) gathered: &'a Gathered,
    /// The documents with a row that the database refuses.
    pub(super) culprits: BTreeMap<u32, Note>,
}

impl Merge<'_, '_> {
    /// Inserts what can be inserted. Each document found out begins a new round, because its keys are free then.
    pub(super) fn run(mut self) -> Result<Merged, Trouble> {
        let mut overtaken = 0;
        loop {
            self.transaction.batch_execute("SAVEPOINT merge")?;
            match self.round()? {
                Round::Done(fates) => {
                    self.transaction.batch_execute("RELEASE merge")?;
                    return self.finish(fates);
                }
                Round::Overtaken => overtaken += 1,
                Round::Refused => {}
            }
            self.transaction.batch_execute("ROLLBACK TO merge; RELEASE merge")?;
            if overtaken > MAX_OVERTAKEN {
                return Err(Failure::transient("other loads keep bringing the keys of this batch").into());
            }
        }
    }

    fn round(&mut self) -> Result<Round, Trouble> {
        let mut accepted: BTreeSet<u32> = self.gathered.documents.keys().copied().collect();
        accepted.retain(|ordinal| self.gathered.is_whole(*ordinal) && !self.culprits.contains_key(ordinal));
        self.accept(&accepted)?;
        if self.request.replace {
            self.transaction.query(&self.statements.lock_known(), &[])?;
        }
        self.transaction.batch_execute(&self.statements.create_collisions())?;
        let fates = self.decide()?;
        let turned_away = fates.iter().filter(|(_, fate)| fate.clash.is_some());
        for (ordinal, _) in turned_away {
            accepted.remove(ordinal);
        }
        self.accept(&accepted)?;
        self.write_refusals(&fates)?;
        let replaced =
            fates.values().filter(|fate| fate.clash.is_none()).flat_map(|fate| fate.replaces.iter().copied());
        let replaced: Vec<i64> = replaced.collect();
        if !replace::displace(self.transaction, self.statements, self.request, &replaced)? {
            return Ok(Round::Overtaken);
        }
        self.insert(&accepted.into_iter().collect::<Vec<_>>(), fates)
    }

    /// Says whose rows take part.
    fn accept(&mut self, accepted: &BTreeSet<u32>) -> Result<(), Error> {
        let ordinals: Vec<i32> = accepted.iter().map(|&ordinal| integer(ordinal)).collect();
        let sql = format!("UPDATE {MEMBER} SET accepted = (ordinal = ANY($1::int[]))");
        self.transaction.execute(&sql, &[&ordinals]).map(drop)
    }

    fn decide(&mut self) -> Result<BTreeMap<u32, Fate>, Error> {
        if !self.request.replace {
            let mut deciding = Rejecting::new(&self.request.batch_id);
            self.each_collision(|collision| deciding.take(collision))?;
            return Ok(deciding.finish());
        }
        let documents = self.request.documents.iter();
        let orders = documents.map(|document| (document.ordinal, document.source_order.as_str())).collect();
        let mut winners = Winners::default();
        self.each_collision(|collision| winners.take(collision))?;
        let mut deciding = winners.replacing(&self.request.batch_id, &orders);
        self.each_collision(|collision| deciding.take(collision))?;
        Ok(deciding.finish())
    }

    /// Page by page, so that a document of which every record is known takes no memory.
    fn each_collision(&mut self, mut take: impl FnMut(Collision)) -> Result<(), Error> {
        let statement = self.transaction.prepare(&Statements::page_of_collisions())?;
        let mut after = 0_i64;
        loop {
            let rows = self.transaction.query_prepared(&statement, &[&after])?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.get(0);
            rows.iter().for_each(|row| take(collision(row)));
        }
    }

    fn write_refusals(&mut self, fates: &BTreeMap<u32, Fate>) -> Result<(), Error> {
        let sql = format!(
            "INSERT INTO {REFUSAL} SELECT * FROM unnest($1::int[], $2::bigint[], $3::text[], $4::text[])"
        );
        let kept = fates.iter().filter(|(_, fate)| fate.clash.is_none());
        let all: Vec<_> =
            kept.flat_map(|(ordinal, fate)| fate.refused.iter().map(move |r| (*ordinal, r))).collect();
        for page in all.chunks(REFUSALS) {
            let ordinals: Vec<i32> = page.iter().map(|(ordinal, _)| integer(*ordinal)).collect();
            let records: Vec<i64> = page.iter().map(|(_, refusal)| bigint(refusal.record)).collect();
            let reasons: Vec<&str> = page.iter().map(|(_, refusal)| refusal.reason).collect();
            let others: Vec<&str> = page.iter().map(|(_, refusal)| refusal.other_batch_id.as_str()).collect();
            self.transaction.execute(&sql, &[&ordinals, &records, &reasons, &others])?;
        }
        if !all.is_empty() {
            self.transaction.batch_execute(&format!("ANALYZE {REFUSAL}"))?;
        }
        Ok(())
    }

    fn insert(&mut self, accepted: &[u32], fates: BTreeMap<u32, Fate>) -> Result<Round, Trouble> {
        let Some(range) = self.range(accepted, &fates) else { return Ok(Round::Done(fates)) };
        match self.try_insert(&range)? {
            Tried::Inserted => Ok(Round::Done(fates)),
            Tried::Overtaken => Ok(Round::Overtaken),
            Tried::Refused(_) => {
                let known = self.culprits.len();
                let overtaken = self.search(accepted, &fates)?;
                // Where no part is refused alone, a key came and went in between: the next round sees how it is now.
                let found = self.culprits.len() > known;
                Ok(if overtaken || !found { Round::Overtaken } else { Round::Refused })
            }
        }
    }

    /// All records of documents that are next to each other among the accepted ones.
    fn range(&self, ordinals: &[u32], fates: &BTreeMap<u32, Fate>) -> Option<Range> {
        let records = |ordinal: &u32| {
            let refused = fates.get(ordinal).map_or(0, |fate| fate.refused.len() as u64);
            self.gathered.documents[ordinal].records - refused
        };
        Some(Range {
            first: *ordinals.first()?,
            last: *ordinals.last()?,
            from: 0,
            to: i64::MAX,
            expected: ordinals.iter().map(records).sum(),
        })
    }

    /// Inserts the accepted rows of a range; where a row is refused, nothing of the range is left.
    fn try_insert(&mut self, range: &Range) -> Result<Tried, Error> {
        self.transaction.batch_execute("SAVEPOINT rows")?;
        for table in 0..self.statements.schema.tables.len() {
            let sql = self.statements.insert(table);
            let batch = self.request.batch_id.as_str();
            let (first, last) = (integer(range.first), integer(range.last));
            match self.transaction.execute(&sql, &[&batch, &first, &last, &range.from, &range.to]) {
                // The children of a parent that was passed over must not be tried: their refusal would be blamed on
                // their document.
                Ok(parents) if table == 0 && parents != range.expected => return Ok(Tried::Overtaken),
                Ok(_) => {}
                Err(error) if refuses_row(&error) => {
                    self.transaction.batch_execute("ROLLBACK TO rows; RELEASE rows")?;
                    return Ok(Tried::Refused(error));
                }
                Err(error) => return Err(error),
            }
        }
        self.transaction.batch_execute("RELEASE rows")?;
        Ok(Tried::Inserted)
    }

    /// Finds, by halves and in member order, the documents with a row that the database refuses. True where another load
    /// came in between, and the search ended there.
    fn search(&mut self, ordinals: &[u32], fates: &BTreeMap<u32, Fate>) -> Result<bool, Error> {
        let Some(range) = self.range(ordinals, fates) else { return Ok(false) };
        match self.try_insert(&range)? {
            Tried::Inserted => return Ok(false),
            Tried::Overtaken => return Ok(true),
            Tried::Refused(_) => {}
        }
        if ordinals.len() > 1 {
            let (left, right) = ordinals.split_at(ordinals.len() / 2);
            return Ok(self.search(left, fates)? || self.search(right, fates)?);
        }
        let ordinal = range.first;
        self.transaction.batch_execute("SAVEPOINT culprit")?;
        let records = bigint(self.gathered.documents[&ordinal].records);
        let refused = fates.get(&ordinal).map_or(&[][..], |fate| &fate.refused);
        let found = self.search_records(ordinal, 0, records - 1, refused)?;
        self.transaction.batch_execute("ROLLBACK TO culprit; RELEASE culprit")?;
        let Some((record, error)) = found else { return Ok(true) };
        let said = error.as_db_error().map_or_else(|| error.to_string(), words);
        let (line, key) = self.line_and_key(ordinal, record)?;
        self.culprits.insert(ordinal, Note::about(line, wording::refused_by_database(said), key));
        Ok(false)
    }

    /// The first record of a document that the database refuses.
    fn search_records(
        &mut self,
        ordinal: u32,
        from: i64,
        to: i64,
        refused: &[Refusal],
    ) -> Result<Option<(u64, Error)>, Error> {
        let skipped =
            refused.iter().filter(|refusal| (from..=to).contains(&bigint(refusal.record))).count() as u64;
        let expected = count(to - from + 1) - skipped;
        match self.try_insert(&Range { first: ordinal, last: ordinal, from, to, expected })? {
            Tried::Inserted | Tried::Overtaken => Ok(None),
            Tried::Refused(error) if from == to => Ok(Some((count(from), error))),
            Tried::Refused(_) => {
                let middle = from + (to - from) / 2;
                match self.search_records(ordinal, from, middle, refused)? {
                    None => self.search_records(ordinal, middle + 1, to, refused),
                    found => Ok(found),
                }
            }
        }
    }

    fn line_and_key(&mut self, ordinal: u32, record: u64) -> Result<(u64, String), Error> {
        let row = self
            .transaction
            .query_one(&self.statements.staged_key(), &[&integer(ordinal), &bigint(record)])?;
        let parts: Vec<String> = (1..row.len()).map(|column| row.get(column)).collect();
        Ok((count(row.get(0)), wording::record_key(parts.iter().map(String::as_str))))
    }

    fn finish(mut self, fates: BTreeMap<u32, Fate>) -> Result<Merged, Trouble> {
        let sql = self.statements.record_refusals();
        let table = &self.statements.schema.parent().name;
        self.transaction.execute(&sql, &[&self.request.batch_id, table])?;
        let mut turned_away: BTreeMap<u32, (DocumentOutcome, Note)> = std::mem::take(&mut self.culprits)
            .into_iter()
            .map(|(ordinal, note)| (ordinal, (DocumentOutcome::Rejected, note)))
            .collect();
        for (&ordinal, fate) in &fates {
            if let Some(clash) = &fate.clash {
                turned_away.insert(ordinal, self.describe(ordinal, clash)?);
            }
        }
        Ok(Merged { fates, turned_away })
    }

    /// The same key with other content: in one document nobody can say which is right; elsewhere it is a conflict.
    fn describe(&mut self, ordinal: u32, clash: &Clash) -> Result<(DocumentOutcome, Note), Error> {
        let schema = self.statements.schema;
        let here = self.content(ordinal, clash.record, false)?;
        let there = match clash.with {
            With::Target { .. } => self.content(ordinal, clash.record, true)?,
            With::Staged { ordinal, record } => self.content(ordinal, record, false)?,
        };
        let difference =
            wording::difference(schema, &there, &here).unwrap_or_else(|| "its content differs".to_owned());
        let (line, key) = self.line_and_key(ordinal, clash.record)?;
        let (outcome, reason) = match &clash.with {
            With::Staged { ordinal: other, .. } if *other == ordinal => {
                (DocumentOutcome::Rejected, wording::held_twice(&key, &difference))
            }
            With::Staged { .. } => {
                (DocumentOutcome::Conflict, wording::conflict(&key, &self.request.batch_id, &difference))
            }
            With::Target { batch_id } => {
                (DocumentOutcome::Conflict, wording::conflict(&key, batch_id, &difference))
            }
        };
        Ok((outcome, Note::about(line, reason, key)))
    }

    /// The content of a staged record, or of the record in the target that has its key.
    fn content(&mut self, ordinal: u32, record: u64, in_target: bool) -> Result<Content, Error> {
        let mut content = Content::new();
        for table in 0..self.statements.schema.tables.len() {
            let sql = if in_target {
                self.statements.target_rows(table)
            } else {
                self.statements.staged_rows(table)
            };
            let rows = self.transaction.query(&sql, &[&integer(ordinal), &bigint(record)])?;
            let mut texts: Vec<Vec<String>> = rows.iter().map(|row| canonical(row, 0)).collect();
            texts.sort();
            content.push(texts);
        }
        Ok(content)
    }
}

/// The canonical texts of a row from column `from` on; NULL is the empty text.
pub(super) fn canonical(row: &Row, from: usize) -> Vec<String> {
    (from..row.len()).map(|column| row.get::<_, Option<String>>(column).unwrap_or_default()).collect()
}

fn collision(row: &Row) -> Collision {
    let there = row.get::<_, Option<String>>(8).map(|batch_id| There {
        batch_id,
        source_order: row.get(9),
        digest: row.get(10),
    });
    Collision {
        seq: row.get(0),
        key_group: row.get(1),
        ordinal: ordinal(row.get(2)),
        record: count(row.get(3)),
        repeated: row.get(5),
        rows: count(row.get(6)),
        here: row.get(7),
        there,
    }
}
