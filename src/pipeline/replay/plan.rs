//! Which new batches a wish to replay makes, and what it leaves out and why. A dry run prints the same plan.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::Serialize;
use sluicegate_state::{Notification, ReplayMember, ReplaySeal, Store, Timestamp};

use crate::archive::object_key;
use crate::failure::Outcome;
use crate::job::{Job, OnConflict};
use crate::ports::decisions::{Decision, DecisionQuery};
use crate::ports::warehouse::{DocumentOutcome, Warehouse};

use super::super::context::Context;
use super::{Pattern, read_index};

/// Decisions that are read from the ledger at a time.
const PAGE: u32 = 1_000;

/// What is to be replayed.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// Only this job.
    pub job: Option<String>,
    /// Only what these batches decided; empty for all.
    pub batches: Vec<String>,
    /// Only what was decided at this time or later.
    pub since: Option<Timestamp>,
    /// Only with such a reason.
    pub reason: Option<Pattern>,
    /// Only documents with such a key.
    pub key: Option<Pattern>,
    /// Whatever was not loaded and is in the archive, and not only what was rejected; where the later record wins, what was
    /// loaded too.
    pub whole: bool,
}

/// A new batch of documents that others had.
#[derive(Debug, Clone, Default)]
pub struct PlannedBatch {
    /// The job.
    pub job: String,
    /// Its definition's hash now.
    pub definition_hash: String,
    /// In their order.
    pub members: Vec<ReplayMember>,
    /// The sum of their sizes.
    pub bytes: u64,
    /// The batches that decided about them.
    pub parents: BTreeSet<String>,
    /// Its number.
    pub replay: u64,
    /// Rows that its bytes are taken for.
    pub estimated_rows: u64,
}

/// Documents that fit the wish and cannot be replayed, for one reason.
#[derive(Debug, Clone, Serialize)]
pub struct LeftOut {
    /// The job.
    pub job: String,
    /// Why, for people.
    pub why: String,
    /// How many documents.
    pub documents: u64,
    /// The key of one of them.
    pub example: String,
    /// Another replay has them already, so nobody has to look.
    pub busy: bool,
    /// They are loaded, and that is all right.
    pub loaded: bool,
}

/// Why a document is left out.
enum Obstacle {
    /// There are no bytes of it.
    Unread,
    /// Another replay has it.
    Busy,
    /// It is loaded, and its own rows would be in its way.
    Loaded,
}

/// What a wish comes to.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// In the order in which they are sealed.
    pub batches: Vec<PlannedBatch>,
    /// What is left out.
    pub left_out: Vec<LeftOut>,
    /// Every batch that decided about something that fits the wish, and when, RFC 3339; no time where all of it stays as
    /// it was loaded.
    pub decided: BTreeMap<String, String>,
}

impl Plan {
    /// Writes down all new batches in one transaction of the state: before it nothing has happened, after it every drain
    /// carries them on. Their ids, in order.
    ///
    /// # Errors
    /// The state cannot be written.
    pub fn seal(
        &self,
        store: &mut Store,
        operator: &str,
        incarnation: &str,
        now: Timestamp,
    ) -> Outcome<Vec<String>> {
        if self.batches.is_empty() {
            return Ok(Vec::new());
        }
        let parents: Vec<Vec<String>> =
            self.batches.iter().map(|batch| batch.parents.iter().cloned().collect()).collect();
        let causes: Vec<String> = self
            .batches
            .iter()
            .map(|batch| format!("{operator} replays {}", batch.parents_in_words()))
            .collect();
        let seals =
            self.batches.iter().zip(&parents).zip(&causes).map(|((batch, parents), cause)| ReplaySeal {
                job: &batch.job,
                members: &batch.members,
                parents,
                replay: batch.replay,
                estimated_rows: batch.estimated_rows,
                incarnation,
                definition_hash: &batch.definition_hash,
                cause,
            });
        Ok(store.seal_replays(&seals.collect::<Vec<_>>(), now)?)
    }
}

impl PlannedBatch {
    /// Whose documents it has, for people.
    pub fn parents_in_words(&self) -> String {
        match (self.parents.first(), self.parents.len()) {
            (Some(only), 1) => format!("documents of batch {only}"),
            (_, count) => format!("documents of {count} batches"),
        }
    }
}

/// Makes the plan. Nothing is written.
///
/// # Errors
/// Ledger or archive cannot be read now.
pub fn plan(context: &Context, store: &Store, warehouse: &mut dyn Warehouse, wish: &Wish) -> Outcome<Plan> {
    let busy = busy_documents(store)?;
    let mut plan = Plan::default();
    for job in context.jobs.values().filter(|job| wish.job.as_ref().is_none_or(|name| *name == job.name)) {
        let mut planner = Planner {
            context,
            store,
            job,
            busy: &busy,
            parent: None,
            present: PlannedBatch::default(),
            identities: HashSet::new(),
            batches: Vec::new(),
            left_out: BTreeMap::new(),
            decided: &mut plan.decided,
        };
        let mut found = planner.find_all(warehouse, wish)?;
        if job.on_conflict == OnConflict::Replace {
            // Inside a batch the last member with a key has it, so the members come in the order of their landing.
            found.sort_by_cached_key(landing_order);
        }
        for (decision, member) in found {
            planner.take(&decision, member);
        }
        let mut batches = planner.finish();
        plan.left_out.extend(planner.left_out.into_values());
        plan.batches.append(&mut batches);
    }
    Ok(plan)
}

/// The outcomes that a wish is about. What could not be read has no bytes in the archive; a duplicate brings nothing, and
/// so does what was superseded.
fn outcomes(wish: &Wish) -> &'static [DocumentOutcome] {
    use DocumentOutcome::{Abandoned, Conflict, Loaded, Rejected};
    if wish.whole { &[Loaded, Rejected, Conflict, Abandoned] } else { &[Rejected] }
}

/// The beginning of a `source_order`: when a document landed, and its sequencer.
fn landing_order((decision, member): &(Decision, ReplayMember)) -> (String, String) {
    let sequencer = member.notification.sequencer.as_deref().unwrap_or_default().to_ascii_uppercase();
    (decision.landed_at.clone(), format!("{sequencer:0<32}"))
}

/// The notifications of replays that are under way, and which those are: nothing is replayed twice at a time.
fn busy_documents(store: &Store) -> Outcome<HashMap<String, String>> {
    let mut busy = HashMap::new();
    for batch in store.unfinished_replays()? {
        for member in store.members(&batch.batch_id)? {
            busy.insert(member.identity(), batch.batch_id.clone());
        }
    }
    Ok(busy)
}

/// A batch whose decisions are looked at, and its members where its archive is there.
struct Parent {
    batch_id: String,
    members: Option<HashMap<u32, ReplayMember>>,
}

struct Planner<'a> {
    context: &'a Context,
    store: &'a Store,
    job: &'a Job,
    busy: &'a HashMap<String, String>,
    parent: Option<Parent>,
    present: PlannedBatch,
    /// What the members of the present batch announce.
    identities: HashSet<(String, Option<String>, String)>,
    batches: Vec<PlannedBatch>,
    left_out: BTreeMap<String, LeftOut>,
    decided: &'a mut BTreeMap<String, String>,
}

impl Planner<'_> {
    /// What can be replayed, in the order of batch and ordinal.
    fn find_all(
        &mut self,
        warehouse: &mut dyn Warehouse,
        wish: &Wish,
    ) -> Outcome<Vec<(Decision, ReplayMember)>> {
        let mut found = Vec::new();
        let mut after: Option<(String, u32)> = None;
        loop {
            let query = DecisionQuery {
                job: &self.job.name,
                outcomes: outcomes(wish),
                since: wish.since,
                history: false,
                after: after.as_ref().map(|(batch, ordinal)| (batch.as_str(), *ordinal)),
                limit: PAGE,
            };
            let page = warehouse.decisions().decided(&query)?;
            let Some(last) = page.last() else { return Ok(found) };
            after = Some((last.batch_id.clone(), last.ordinal));
            for decision in page.into_iter().filter(|decision| fits(wish, decision)) {
                if let Some(member) = self.find(&decision)? {
                    found.push((decision, member));
                }
            }
        }
    }

    /// The member that a decision is about, if it can be replayed.
    fn find(&mut self, decision: &Decision) -> Outcome<Option<ReplayMember>> {
        let is_loaded = decision.outcome == DocumentOutcome::Loaded.as_str();
        if is_loaded && self.job.on_conflict != OnConflict::Replace {
            self.decided.entry(decision.batch_id.clone()).or_default();
            let why = "loaded, and stays so: only a job with on_conflict = \"replace\" loads it again";
            self.leave_out(decision, why.to_owned(), &Obstacle::Loaded);
            return Ok(None);
        }
        self.decided.insert(decision.batch_id.clone(), decision.decided_at.clone());
        if !decision.archived {
            let why = "its bytes were never read, so no archive holds them";
            self.leave_out(decision, why.to_owned(), &Obstacle::Unread);
            return Ok(None);
        }
        let Some(member) = self.member(decision)? else {
            let key = object_key(&self.job.name, &decision.batch_id);
            self.leave_out(decision, format!("the archive object {key} is gone"), &Obstacle::Unread);
            return Ok(None);
        };
        if let Some(batch) = self.busy.get(&member.notification.identity()) {
            self.leave_out(decision, format!("batch {batch} is replaying it already"), &Obstacle::Busy);
            return Ok(None);
        }
        Ok(Some(member))
    }

    fn leave_out(&mut self, decision: &Decision, why: String, obstacle: &Obstacle) {
        let job = self.job.name.clone();
        let entry = self.left_out.entry(why.clone()).or_insert_with(|| LeftOut {
            job,
            why,
            documents: 0,
            example: decision.key.clone(),
            busy: matches!(obstacle, Obstacle::Busy),
            loaded: matches!(obstacle, Obstacle::Loaded),
        });
        entry.documents += 1;
    }

    /// The member that a decision is about; none where the archive object is gone.
    fn member(&mut self, decision: &Decision) -> Outcome<Option<ReplayMember>> {
        if self.parent.as_ref().is_none_or(|parent| parent.batch_id != decision.batch_id) {
            let members = self.members_of(&decision.batch_id)?;
            self.parent = Some(Parent { batch_id: decision.batch_id.clone(), members });
        }
        let members = self.parent.as_ref().and_then(|parent| parent.members.as_ref());
        Ok(members.and_then(|members| members.get(&decision.ordinal)).cloned())
    }

    /// From this machine's state where it knows the batch, else from its archive.
    fn members_of(&self, batch_id: &str) -> Outcome<Option<HashMap<u32, ReplayMember>>> {
        let archive = self.context.archive.as_ref();
        let key = object_key(&self.job.name, batch_id);
        if self.store.batch(batch_id)?.is_some() {
            if archive.head(&key)?.is_none() {
                return Ok(None);
            }
            let members = self.store.members(batch_id)?;
            let member = |m: sluicegate_state::Member| {
                let notification = Notification {
                    job: self.job.name.clone(),
                    bucket: m.bucket,
                    key: m.key,
                    version_id: m.version_id,
                    etag: m.etag,
                    sequencer: m.sequencer,
                    size: m.size,
                    event_time: m.event_time,
                    event_name: "Archive:Found".to_owned(),
                    source: "archive".to_owned(),
                    expires_at: m.expires_at,
                };
                (m.ordinal, ReplayMember { notification, tries: m.tries })
            };
            return Ok(Some(members.into_iter().map(member).collect()));
        }
        let Some((manifest, outcomes)) = read_index(archive, &key)? else { return Ok(None) };
        let members = super::super::fleet::adopted_members(&manifest, &outcomes);
        let member = |m: sluicegate_state::AdoptedMember| ReplayMember {
            notification: m.notification,
            tries: m.tries,
        };
        let ordinals = manifest.members.iter().map(|member| member.ordinal);
        Ok(Some(ordinals.zip(members.into_iter().map(member)).collect()))
    }

    /// Puts a document into the present batch, or into the next one where it has no room.
    fn take(&mut self, decision: &Decision, member: ReplayMember) {
        let limits = &self.job.limits;
        let rows = decision.size.div_ceil(limits.bytes_per_row.max(1));
        let n = &member.notification;
        // Two uploads of the same bytes are told apart by their places, and a batch is fetched by what it announces.
        let announced = (n.key.clone(), n.version_id.clone(), n.etag.clone());
        let present = &self.present;
        let has_room = (present.members.len() as u64) < limits.documents
            && present.bytes + decision.size <= limits.bytes
            && present.estimated_rows + rows <= limits.rows
            && !self.identities.contains(&announced);
        if !present.members.is_empty() && !has_room {
            self.close();
        }
        self.identities.insert(announced);
        let present = &mut self.present;
        present.bytes += decision.size;
        present.estimated_rows += rows;
        present.replay = present.replay.max(u64::from(decision.replay) + 1);
        present.parents.insert(decision.batch_id.clone());
        present.members.push(member);
    }

    fn close(&mut self) {
        let mut batch = std::mem::take(&mut self.present);
        self.identities.clear();
        batch.job.clone_from(&self.job.name);
        batch.definition_hash.clone_from(&self.job.hash);
        self.batches.push(batch);
    }

    fn finish(&mut self) -> Vec<PlannedBatch> {
        if !self.present.members.is_empty() {
            self.close();
        }
        std::mem::take(&mut self.batches)
    }
}

fn fits(wish: &Wish, decision: &Decision) -> bool {
    let line = decision.line.map_or_else(String::new, |line| format!("line {line}: "));
    let reason = || format!("{line}{}", decision.reason);
    (wish.batches.is_empty() || wish.batches.contains(&decision.batch_id))
        && wish.key.as_ref().is_none_or(|key| key.fits(&decision.key))
        && wish.reason.as_ref().is_none_or(|wanted| wanted.fits(&decision.reason) || wanted.fits(&reason()))
}
