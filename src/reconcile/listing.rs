//! What the ledger says lies in a place, against a listing of it. Nothing is read and next to nothing is kept, so that the
//! places of all days can be looked at every night, those of closed days too.

use std::collections::{BTreeMap, VecDeque};

use crate::curated::dt_of;
use crate::failure::Outcome;
use crate::ports::object_store::ObjectStore;
use crate::ports::proof::{FixedObject, ObjectsOf};
use crate::ports::warehouse::Warehouse;

use super::finding::Kind;

/// Objects that are asked of the ledger at a time, and keys that are looked up at a time.
const PAGE: usize = 500;
/// Objects out of place that are kept; more of them are found when these are mended.
const MOST: usize = 1_000;

/// An object that is not as the ledger says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Suspect {
    pub(super) kind: Kind,
    pub(super) key: String,
    pub(super) batch_id: String,
}

/// What a listing has shown.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// What is gone or of another size, at most [`MOST`].
    pub(super) suspects: Vec<Suspect>,
    /// For each `dt` one of the batches that crawls have covered.
    pub(super) covered: BTreeMap<String, String>,
}

/// Is shown keys that the ledger may not know.
pub(super) type Strangers<'a> = dyn FnMut(&mut dyn Warehouse, Vec<String>) -> Outcome<()> + 'a;

/// Goes through place and ledger side by side, both in the order of the keys. `strangers` is told of keys that the ledger
/// may not know: what was loaded a moment ago is among them.
pub(super) fn compare(
    place: (&dyn ObjectStore, &str),
    warehouse: &mut dyn Warehouse,
    job: &str,
    of: ObjectsOf<'_>,
    strangers: &mut Strangers<'_>,
) -> Outcome<Listed> {
    let (store, prefix) = place;
    let mut fixed = Fixed { job, of, page: VecDeque::new(), after: String::new(), ended: false };
    let mut sides = Sides { listed: Listed::default(), gone: Vec::new(), missing: missing_kind(of) };
    let mut unknown = Vec::new();
    store.list(prefix, &mut |info| {
        while let Some(object) = fixed.next_if(warehouse, &|object| object.key < info.key)? {
            sides.is_not_listed(object);
        }
        match fixed.next_if(warehouse, &|object| object.key == info.key)? {
            Some(object) => sides.is_there(object, info.size),
            None => unknown.push(info.key),
        }
        if unknown.len() >= PAGE {
            strangers(warehouse, std::mem::take(&mut unknown))?;
        }
        Ok(())
    })?;
    while let Some(object) = fixed.next_if(warehouse, &|_| true)? {
        sides.is_not_listed(object);
    }
    strangers(warehouse, unknown)?;
    sides.end(store)
}

fn missing_kind(of: ObjectsOf<'_>) -> Kind {
    match of {
        ObjectsOf::Table(_) => Kind::MissingObject,
        ObjectsOf::Archive => Kind::MissingOriginal,
    }
}

/// What the ledger says, a page at a time.
struct Fixed<'a> {
    job: &'a str,
    of: ObjectsOf<'a>,
    page: VecDeque<FixedObject>,
    after: String,
    ended: bool,
}

impl Fixed<'_> {
    fn next_if(
        &mut self,
        warehouse: &mut dyn Warehouse,
        wanted: &dyn Fn(&FixedObject) -> bool,
    ) -> Outcome<Option<FixedObject>> {
        if self.page.is_empty() && !self.ended {
            self.page = warehouse.proof().fixed_objects(self.job, self.of, &self.after, PAGE)?.into();
            self.ended = self.page.len() < PAGE;
            if let Some(last) = self.page.back() {
                self.after.clone_from(&last.batch_id);
            }
        }
        Ok(if self.page.front().is_some_and(wanted) { self.page.pop_front() } else { None })
    }
}

struct Sides {
    listed: Listed,
    /// Fixed and not listed, at most [`MOST`].
    gone: Vec<FixedObject>,
    missing: Kind,
}

impl Sides {
    fn is_there(&mut self, object: FixedObject, size: u64) {
        if object.bytes.is_some_and(|bytes| bytes != size) {
            self.suspect(Kind::DamagedObject, &object);
        }
        self.note_covered(&object);
    }

    fn is_not_listed(&mut self, object: FixedObject) {
        self.note_covered(&object);
        if self.gone.len() < MOST {
            self.gone.push(object);
        }
    }

    fn note_covered(&mut self, object: &FixedObject) {
        if let Some(dt) = dt_of(&object.batch_id).filter(|_| object.covered) {
            self.listed.covered.entry(dt).or_insert_with(|| object.batch_id.clone());
        }
    }

    fn suspect(&mut self, kind: Kind, object: &FixedObject) {
        if self.listed.suspects.len() < MOST {
            let (key, batch_id) = (object.key.clone(), object.batch_id.clone());
            self.listed.suspects.push(Suspect { kind, key, batch_id });
        }
    }

    /// A listing may be older than what the ledger said, so what it did not show is asked for by its key.
    fn end(mut self, store: &dyn ObjectStore) -> Outcome<Listed> {
        for object in std::mem::take(&mut self.gone) {
            if store.head(&object.key)?.is_none() {
                self.suspect(self.missing, &object);
            }
        }
        Ok(self.listed)
    }
}
