//! Decides, in member order, about the records whose keys are in the target or several times in the batch. Pure: the
//! pages of collisions come in, what is to be done comes out.
//!
//! `on_conflict = "reject"`: the first member with a key has it; a later record with the same content is skipped, one with
//! other content is a conflict of its whole document.
//!
//! `on_conflict = "replace"`: inside a batch the last member with a key has it, and what earlier members say about it is
//! refused as `older`, before anything is compared with the target. So each key is inserted at most once by a batch, its
//! CSV objects hold just the rows that were inserted, and CSV − `replaced` = table (I7). The one record that is left is
//! compared with the target's by `source_order`: if it is later it replaces, also where the content is the same, because
//! the table must show how late the content was last said; else it is refused, as `duplicate` or `older`.

use std::collections::{BTreeMap, HashMap};

/// A content digest.
pub(super) type ContentDigest = Vec<u8>;

/// A staged record whose key is known or repeated.
#[derive(Debug, Clone)]
pub(super) struct Collision {
    pub(super) seq: i64,
    /// The same for records of the same key.
    pub(super) key_group: i64,
    pub(super) ordinal: u32,
    pub(super) record: u64,
    /// The key is several times in the batch.
    pub(super) repeated: bool,
    pub(super) rows: u64,
    pub(super) here: ContentDigest,
    pub(super) there: Option<There>,
}

/// The record in the target with that key.
#[derive(Debug, Clone)]
pub(super) struct There {
    pub(super) batch_id: String,
    pub(super) source_order: String,
    pub(super) digest: ContentDigest,
}

/// A record that is skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) record: u64,
    /// The word in the ledger: `duplicate` or `older`.
    pub(super) reason: &'static str,
    pub(super) other_batch_id: String,
}

/// What a record collided with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum With {
    /// A record in the target, from this batch.
    Target { batch_id: String },
    /// A record of this batch.
    Staged { ordinal: u32, record: u64 },
}

/// The record that turns its document away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clash {
    pub(super) record: u64,
    pub(super) with: With,
}

/// What is decided about one document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) refused: Vec<Refusal>,
    pub(super) refused_rows: u64,
    /// The document is turned away whole.
    pub(super) clash: Option<Clash>,
    /// Collisions whose records in the target are replaced, by `seq`.
    pub(super) replaces: Vec<i64>,
}

impl Fate {
    fn refuse(&mut self, collision: &Collision, reason: &'static str, other_batch_id: &str) {
        let other_batch_id = other_batch_id.to_owned();
        self.refused.push(Refusal { record: collision.record, reason, other_batch_id });
        self.refused_rows += collision.rows;
    }
}

/// A record that has its key.
#[derive(Clone)]
struct Holder {
    ordinal: u32,
    record: u64,
    digest: ContentDigest,
}

/// Decides for `on_conflict = "reject"`.
pub(super) struct Rejecting<'a> {
    batch_id: &'a str,
    fates: BTreeMap<u32, Fate>,
    /// Who has the repeated keys, of documents that are over.
    taken: HashMap<i64, Holder>,
    /// The same of the document being decided; forgotten with it.
    tentative: HashMap<i64, Holder>,
    current: u32,
}

impl<'a> Rejecting<'a> {
    pub(super) fn new(batch_id: &'a str) -> Self {
        Self {
            batch_id,
            fates: BTreeMap::new(),
            taken: HashMap::new(),
            tentative: HashMap::new(),
            current: 0,
        }
    }

    /// Takes the next collision in member order.
    pub(super) fn take(&mut self, collision: Collision) {
        if collision.ordinal != self.current {
            self.end_document();
            self.current = collision.ordinal;
        }
        let fate = self.fates.entry(collision.ordinal).or_default();
        if fate.clash.is_some() {
            return;
        }
        let holder =
            self.tentative.get(&collision.key_group).or_else(|| self.taken.get(&collision.key_group));
        match (holder, &collision.there) {
            (Some(holder), _) if holder.digest == collision.here => {
                fate.refuse(&collision, "duplicate", self.batch_id);
            }
            (Some(holder), _) => {
                let with = With::Staged { ordinal: holder.ordinal, record: holder.record };
                fate.clash = Some(Clash { record: collision.record, with });
            }
            (None, Some(there)) if there.digest == collision.here => {
                fate.refuse(&collision, "duplicate", &there.batch_id);
            }
            (None, Some(there)) => {
                let with = With::Target { batch_id: there.batch_id.clone() };
                fate.clash = Some(Clash { record: collision.record, with });
            }
            (None, None) => {
                let Collision { ordinal, record, here: digest, .. } = collision;
                self.tentative.insert(collision.key_group, Holder { ordinal, record, digest });
            }
        }
    }

    fn end_document(&mut self) {
        let turned_away = self.fates.get(&self.current).is_some_and(|fate| fate.clash.is_some());
        let tentative = std::mem::take(&mut self.tentative);
        if !turned_away {
            self.taken.extend(tentative);
        }
    }

    pub(super) fn finish(self) -> BTreeMap<u32, Fate> {
        self.fates
    }
}

/// The first look for `on_conflict = "replace"`: which documents hold a key twice with different content, and which
/// member is the last with each repeated key.
#[derive(Default)]
pub(super) struct Winners {
    clashes: BTreeMap<u32, Clash>,
    last: HashMap<i64, u32>,
    tentative: HashMap<i64, Holder>,
    current: u32,
}

impl Winners {
    /// Takes the next collision in member order.
    pub(super) fn take(&mut self, collision: Collision) {
        if !collision.repeated {
            return;
        }
        if collision.ordinal != self.current {
            self.end_document();
            self.current = collision.ordinal;
        }
        let Collision { key_group, ordinal, record, here: digest, .. } = collision;
        match self.tentative.get(&key_group) {
            Some(holder) if holder.digest != digest => {
                let with = With::Staged { ordinal, record: holder.record };
                self.clashes.entry(ordinal).or_insert(Clash { record, with });
            }
            Some(_) => {}
            None => {
                self.tentative.insert(key_group, Holder { ordinal, record, digest });
            }
        }
    }

    fn end_document(&mut self) {
        let tentative = std::mem::take(&mut self.tentative);
        if !self.clashes.contains_key(&self.current) {
            self.last.extend(tentative.into_keys().map(|key_group| (key_group, self.current)));
        }
    }

    /// The second look.
    pub(super) fn replacing<'a>(
        mut self,
        batch_id: &'a str,
        source_orders: &'a BTreeMap<u32, &'a str>,
    ) -> Replacing<'a> {
        self.end_document();
        let fate = |(ordinal, clash)| (ordinal, Fate { clash: Some(clash), ..Fate::default() });
        let fates = self.clashes.into_iter().map(fate).collect();
        Replacing { batch_id, source_orders, last: self.last, fates, own: HashMap::new(), current: 0 }
    }
}

/// Decides for `on_conflict = "replace"`.
pub(super) struct Replacing<'a> {
    batch_id: &'a str,
    source_orders: &'a BTreeMap<u32, &'a str>,
    last: HashMap<i64, u32>,
    fates: BTreeMap<u32, Fate>,
    /// The keys that the document being decided has held already, and why they were refused there, where they were.
    own: HashMap<i64, Option<Refusal>>,
    current: u32,
}

impl Replacing<'_> {
    /// Takes the next collision in member order.
    pub(super) fn take(&mut self, collision: Collision) {
        if collision.ordinal != self.current {
            self.own.clear();
            self.current = collision.ordinal;
        }
        let fate = self.fates.entry(collision.ordinal).or_default();
        if fate.clash.is_some() {
            return;
        }
        if let Some(before) = self.own.get(&collision.key_group) {
            match before {
                Some(refusal) => fate.refuse(&collision, refusal.reason, &refusal.other_batch_id),
                None => fate.refuse(&collision, "duplicate", self.batch_id),
            }
            return;
        }
        let refused_before = fate.refused.len();
        let has_it = self.last.get(&collision.key_group).is_none_or(|&last| last == collision.ordinal);
        if !has_it {
            fate.refuse(&collision, "older", self.batch_id);
        } else if let Some(there) = &collision.there {
            let is_later = self.source_orders[&collision.ordinal] > there.source_order.as_str();
            match (is_later, there.digest == collision.here) {
                (true, _) => fate.replaces.push(collision.seq),
                (false, true) => fate.refuse(&collision, "duplicate", &there.batch_id),
                (false, false) => fate.refuse(&collision, "older", &there.batch_id),
            }
        }
        if collision.repeated {
            self.own.insert(collision.key_group, fate.refused.get(refused_before).cloned());
        }
    }

    pub(super) fn finish(self) -> BTreeMap<u32, Fate> {
        self.fates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collision(ordinal: u32, record: u64, key: i64, content: u8, there: Option<(&str, u8)>) -> Collision {
        let there = there.map(|(source_order, digest)| There {
            batch_id: "old".to_owned(),
            source_order: source_order.to_owned(),
            digest: vec![digest],
        });
        let seq = i64::from(ordinal) * 100 + record as i64;
        Collision {
            seq,
            key_group: key,
            ordinal,
            record,
            repeated: true,
            rows: 2,
            here: vec![content],
            there,
        }
    }

    fn replaced(collisions: &[Collision]) -> BTreeMap<u32, Fate> {
        let orders: BTreeMap<u32, &str> = [(0, "m0"), (1, "m1"), (2, "m2")].into();
        let mut winners = Winners::default();
        collisions.iter().cloned().for_each(|collision| winners.take(collision));
        let mut deciding = winners.replacing("new", &orders);
        collisions.iter().cloned().for_each(|collision| deciding.take(collision));
        deciding.finish()
    }

    #[test]
    fn the_first_member_has_the_key_and_a_document_turned_away_frees_its_keys() {
        let mut deciding = Rejecting::new("new");
        // Member 0 takes key 1, then clashes with the target: key 1 is free for member 1.
        deciding.take(collision(0, 0, 1, 10, None));
        deciding.take(collision(0, 1, 2, 20, Some(("a", 21))));
        deciding.take(collision(1, 0, 1, 11, None));
        deciding.take(collision(2, 0, 1, 11, None));
        deciding.take(collision(2, 1, 3, 30, Some(("a", 30))));
        let fates = deciding.finish();
        assert_eq!(
            fates[&0].clash,
            Some(Clash { record: 1, with: With::Target { batch_id: "old".to_owned() } })
        );
        assert_eq!(fates[&1], Fate::default());
        let others: Vec<&str> =
            fates[&2].refused.iter().map(|refusal| refusal.other_batch_id.as_str()).collect();
        assert_eq!((others, fates[&2].refused_rows), (vec!["new", "old"], 4));
    }

    #[test]
    fn one_document_with_one_key_twice_is_turned_away_where_the_content_differs() {
        for twice in [10, 11] {
            let pair = [collision(0, 0, 1, 10, None), collision(0, 1, 1, twice, None)];
            let mut deciding = Rejecting::new("new");
            pair.iter().cloned().for_each(|collision| deciding.take(collision));
            for fates in [deciding.finish(), replaced(&pair)] {
                assert_eq!(fates[&0].clash.is_some(), twice == 11, "{fates:?}");
                assert_eq!(fates[&0].refused.len(), usize::from(twice == 10));
            }
        }
    }

    #[test]
    fn the_last_member_replaces_only_what_is_older() {
        let against = |there: &'static str| {
            let there = Some((there, 9));
            replaced(&[collision(0, 0, 1, 10, there), collision(1, 0, 1, 11, there)])
        };
        let fates = against("a");
        assert_eq!(
            (fates[&0].refused[0].reason, fates[&0].refused[0].other_batch_id.as_str()),
            ("older", "new")
        );
        assert_eq!(fates[&1].replaces, [100]);
        let fates = against("z");
        assert_eq!(
            (fates[&1].refused[0].reason, fates[&1].refused[0].other_batch_id.as_str()),
            ("older", "old")
        );
        assert!(fates[&1].replaces.is_empty());
    }

    #[test]
    fn the_same_content_said_later_replaces_and_said_earlier_is_a_duplicate() {
        assert_eq!(replaced(&[collision(0, 0, 1, 9, Some(("a", 9)))])[&0].replaces, [0]);
        assert_eq!(replaced(&[collision(0, 0, 1, 9, Some(("z", 9)))])[&0].refused[0].reason, "duplicate");
    }
}
