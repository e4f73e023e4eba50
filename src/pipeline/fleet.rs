//! What holds a fleet together, and what brings a lost or old state back (I11): signs of life, batches that nobody works
//! on any more, and documents that no notification told of.
//!
//! The ledger comes first, then the archive, then the landing. Everything found is adopted into this machine's state and
//! goes on through the ordinary stages; whatever two machines do at once is decided by the ledger.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use sluicegate_state::canary::{Canary, sings};
use sluicegate_state::{AdoptedMember, Adoption, AdoptionReach, Notification, Store, Timestamp};

use crate::archive::{ArchiveReader, Got, Manifest, Outcomes, batch_id_of, read_outcomes};
use crate::failure::{Failure, FailureKind, Outcome};
use crate::job::Job;
use crate::ports::warehouse::UnpublishedLoad;

use super::archived::read_archive;
use super::backoff;
use super::context::Context;
use super::documents::archive_failure;
use super::ledger::LedgerConnection;
use super::missed::{self, Found};
use super::stage::{Idle, Stage, Tick};

/// How often a machine says that it lives.
const HEARTBEAT: TimeDelta = TimeDelta::seconds(15);
/// How often the archive is looked through for batches that nobody works on.
const SCAN_INTERVAL: TimeDelta = TimeDelta::minutes(1);
/// How soon a machine that lost its state looks again at what may be a dead machine's.
const PEER_INTERVAL: TimeDelta = TimeDelta::seconds(5);
/// The dates of the archive that a scan looks at; once a day it looks at all, and whenever the state is new or old.
const SCAN_DAYS: i64 = 3;
/// A state whose last scan is older than this may be an old copy: everything is looked at.
const A_DAY: TimeDelta = TimeDelta::hours(24);
/// An object that landed later than this may still be announced.
pub const ANNOUNCEMENT_TIME: TimeDelta = TimeDelta::minutes(30);
/// How often a landing is listed while the ledger cannot say whose turn it is.
const LONELY_LISTING: TimeDelta = TimeDelta::hours(1);
/// Objects of a listing that are looked up at a time.
const LOOKUP: usize = 500;

const SCANNED_AT: &str = "fleet.scanned_at";
const WHOLE_SCAN_AT: &str = "fleet.whole_scan_at";

/// Keeps an eye on the fleet.
pub struct FleetStage {
    context: Arc<Context>,
    store: Store,
    ledger: LedgerConnection,
    next_heartbeat: Timestamp,
    next_scan: Timestamp,
    next_lonely_listing: Timestamp,
    failures: u64,
    /// Unfinished batches that the last scan found and left to machines that live, as far as the ledger knows.
    left_to_peers: u64,
    waits_for_peers: bool,
    /// Whether the present look may have brought work for the stages behind.
    found: bool,
    /// After a failure: until when it rests, whatever the other stages do.
    setback: Option<Idle>,
    watch: bool,
}

impl FleetStage {
    /// A stage with a state connection and a ledger connection of its own.
    pub fn new(context: Arc<Context>, watch: bool) -> Outcome<Self> {
        let store = context.open_store()?;
        let ledger = LedgerConnection::new(context.clone());
        let start = DateTime::<Utc>::MIN_UTC;
        let next_lonely_listing = context.clock.now() + LONELY_LISTING;
        let (next_heartbeat, next_scan) = (start, start);
        Ok(Self {
            context,
            store,
            ledger,
            next_heartbeat,
            next_scan,
            next_lonely_listing,
            failures: 0,
            left_to_peers: 0,
            waits_for_peers: false,
            found: false,
            setback: None,
            watch,
        })
    }

    fn work(&mut self) -> Outcome<bool> {
        self.found = false;
        let now = self.context.clock.now();
        if now >= self.next_heartbeat {
            let Self { context, store, ledger, .. } = self;
            ledger.get(store)?.heartbeat(&context.incarnation, &context.host)?;
            self.next_heartbeat = now + HEARTBEAT;
        }
        if now < self.next_scan {
            return Ok(false);
        }
        let first_start = self.ledger_is_empty()?;
        let rebuild = self.is_older_than_a_day(SCANNED_AT, now)?;
        let whole_archive = rebuild || self.is_older_than_a_day(WHOLE_SCAN_AT, now)?;
        self.scan(whole_archive, rebuild && !first_start, now)?;
        self.waits_for_peers = rebuild && self.left_to_peers > 0;
        if whole_archive && self.left_to_peers == 0 {
            self.store.set_meta(WHOLE_SCAN_AT, &now.to_rfc3339())?;
        }
        // While something of a lost state is left to machines that may be dead, the state is not yet whole again.
        if !self.waits_for_peers {
            self.store.set_meta(SCANNED_AT, &now.to_rfc3339())?;
        }
        self.next_scan = now + if self.waits_for_peers { PEER_INTERVAL } else { SCAN_INTERVAL };
        Ok(self.found)
    }

    /// Ledger, archive and landing of each job, in this order.
    fn scan(&mut self, whole_archive: bool, whole_landing: bool, now: Timestamp) -> Outcome<()> {
        self.left_to_peers = 0;
        let jobs: Vec<Arc<Job>> = self.context.jobs.values().cloned().collect();
        for job in &jobs {
            self.adopt_loads(job)?;
            self.adopt_archives(job, whole_archive, now)?;
            let before = std::mem::replace(&mut self.found, true);
            let listed = self.list_landing(job, whole_landing, now)?;
            self.found = before || listed;
        }
        Ok(())
    }

    /// At the very first start nothing is lost: what lies in the landing is announced, or listed in its turn.
    fn ledger_is_empty(&mut self) -> Outcome<bool> {
        let Self { store, ledger, .. } = self;
        Ok(ledger.get(store)?.identity()?.newest_batch.is_none())
    }

    /// Whether what `meta` remembers is a day ago, or never was.
    fn is_older_than_a_day(&self, meta: &str, now: Timestamp) -> Outcome<bool> {
        let at = self.store.meta(meta)?.and_then(|text| DateTime::parse_from_rfc3339(&text).ok());
        Ok(at.is_none_or(|at| now - at.with_timezone(&Utc) > A_DAY))
    }

    /// Whether nobody works on what this incarnation began.
    fn is_abandoned(&self, incarnation: &str, live: &BTreeSet<String>) -> Outcome<bool> {
        if incarnation == self.context.incarnation {
            return Ok(true);
        }
        Ok(!live.contains(incarnation) || self.store.incarnation_has_ended(incarnation)?)
    }

    /// Loads whose CSV objects are not known to be all there.
    fn adopt_loads(&mut self, job: &Job) -> Outcome<()> {
        let Self { store, ledger, .. } = self;
        let warehouse = ledger.get(store)?;
        let loads = warehouse.unpublished_loads(&job.name)?;
        let live = warehouse.live_incarnations()?;
        for UnpublishedLoad { batch_id, archive_key, incarnation } in loads {
            if self.store.batch(&batch_id)?.is_some() {
                continue;
            }
            if self.is_abandoned(&incarnation, &live)? {
                let cause = format!("{incarnation} loaded it and did not publish it");
                self.adopt(&archive_key, AdoptionReach::Loaded, &cause)?;
            } else {
                self.left_to_peers += 1;
            }
        }
        Ok(())
    }

    /// Archived batches that the ledger does not know.
    fn adopt_archives(&mut self, job: &Job, everything: bool, now: Timestamp) -> Outcome<()> {
        let mut keys = Vec::new();
        for prefix in prefixes(&job.name, everything, now) {
            self.context.archive.list(&prefix, &mut |info| {
                keys.push(info.key);
                Ok(())
            })?;
        }
        let mut strangers = Vec::new();
        for key in keys {
            if let Some((_, batch_id)) = batch_id_of(&key).filter(|(owner, _)| *owner == job.name)
                && self.store.batch(batch_id)?.is_none()
            {
                strangers.push((batch_id.to_owned(), key.clone()));
            }
        }
        if strangers.is_empty() || sings(Canary::ArchiveNotAdopted) {
            return Ok(());
        }
        let ids: Vec<String> = strangers.iter().map(|(batch_id, _)| batch_id.clone()).collect();
        let Self { store, ledger, .. } = self;
        let warehouse = ledger.get(store)?;
        let known = warehouse.known_batches(&ids)?;
        let live = warehouse.live_incarnations()?;
        for (_, key) in strangers.iter().filter(|(batch_id, _)| !known.contains(batch_id)) {
            let Some((manifest, _)) = self.read_index(key)? else { continue };
            if self.is_abandoned(&manifest.incarnation, &live)? {
                let cause = format!("{} archived it and did not load it", manifest.incarnation);
                self.adopt(key, AdoptionReach::Archived, &cause)?;
            } else {
                self.left_to_peers += 1;
            }
        }
        Ok(())
    }

    fn read_index(&self, key: &str) -> Outcome<Option<(Manifest, Outcomes)>> {
        let Some(mut copy) = read_archive(&self.context, key)? else { return Ok(None) };
        let what = |failure: Failure| failure.while_doing(key);
        let outcomes = read_outcomes(&mut copy.file).map_err(archive_failure).map_err(what)?;
        copy.rewind().map_err(|error| Failure::transient(format!("cannot read the spool: {error}")))?;
        let reader = ArchiveReader::new(&mut copy.file).map_err(archive_failure).map_err(what)?;
        Ok(Some((reader.manifest().clone(), outcomes)))
    }

    fn adopt(&mut self, archive_key: &str, reach: AdoptionReach, cause: &str) -> Outcome<()> {
        let Some((manifest, outcomes)) = self.read_index(archive_key)? else {
            tracing::error!("the archive object {archive_key} is gone: its batch cannot be finished");
            return Ok(());
        };
        let members = adopted_members(&manifest, &outcomes);
        let adoption = Adoption {
            batch_id: &manifest.batch_id,
            job: &manifest.job,
            sealed_at: manifest.sealed_at,
            members: &members,
            definition_hash: &manifest.definition_hash,
            parents: &manifest.parents,
            replay: u64::from(manifest.replay),
            incarnation: &self.context.incarnation,
            reach,
            cause,
        };
        // What fails may have had its effect all the same.
        let before = std::mem::replace(&mut self.found, true);
        let adopted = self.store.adopt(&adoption, self.context.clock.now())?;
        self.found = before || adopted;
        if adopted {
            tracing::info!(batch = %manifest.batch_id, "adopted: {cause}");
        }
        Ok(())
    }

    /// Once an hour in the whole fleet, and whenever a state is new or old, the landing is listed for what nobody told of.
    fn list_landing(&mut self, job: &Job, everything: bool, now: Timestamp) -> Outcome<bool> {
        if self.context.scanned_jobs.contains(&job.name) {
            return Ok(false);
        }
        let Self { context, store, ledger, .. } = self;
        let claimed = ledger.get(store)?.claim_listing(&job.name, &context.incarnation)?;
        if !claimed && !everything {
            return Ok(false);
        }
        let landed_before = if everything { now } else { now - ANNOUNCEMENT_TIME };
        let objects = missed::candidates(context, store, job, landed_before)?;
        let mut unknown = Vec::new();
        for chunk in objects.chunks(LOOKUP) {
            unknown.extend(missed::unknown_to(ledger.get(store)?, job, chunk)?);
        }
        let in_archive = missed::strangers(context, store, job, &unknown, now)?;
        let known = ledger.get(store)?.known_batches(&missed::ids(&in_archive))?;
        let unknown = missed::not_archived(context, job, unknown, &in_archive, &known)?;
        let found = if everything { Found::Again } else { Found::Missed };
        missed::journal(context, store, job, &unknown, found)
    }

    /// The same while the ledger is away: what it knows is found out at the load.
    fn list_alone(&mut self) -> Outcome<bool> {
        let now = self.context.clock.now();
        if now < self.next_lonely_listing {
            return Ok(false);
        }
        self.next_lonely_listing = now + LONELY_LISTING;
        let Self { context, store, .. } = self;
        let mut found = false;
        for job in context.jobs.values().filter(|job| !context.scanned_jobs.contains(&job.name)) {
            let objects = missed::candidates(context, store, job, now - ANNOUNCEMENT_TIME)?;
            let in_archive = missed::strangers(context, store, job, &objects, now)?;
            let unknown = missed::not_archived(context, job, objects, &in_archive, &BTreeSet::new())?;
            found |= missed::journal(context, store, job, &unknown, Found::Missed)?;
        }
        Ok(found)
    }

    /// A state that is whole needs nothing from the ledger; one that may have lost something waits for it.
    fn rest_without_ledger(&self, idle: Idle) -> Outcome<Idle> {
        let whole = !self.is_older_than_a_day(SCANNED_AT, self.context.clock.now())?;
        Ok(if whole { Idle { waiting_for: None, ..idle } } else { idle })
    }

    fn rest(&self) -> Tick {
        let look_again = self.watch || self.waits_for_peers;
        let waiting_for = self.waits_for_peers.then(|| {
            format!(
                "{} batches of machines that may be dead; their leases run out within a minute",
                self.left_to_peers
            )
        });
        Tick::Idle(Idle { wake_at: look_again.then(|| self.next_heartbeat.min(self.next_scan)), waiting_for })
    }
}

/// A stage that ends, ends with its process; one that is killed says nothing, and its lease runs out.
impl Drop for FleetStage {
    fn drop(&mut self) {
        if let Err(failure) = self.ledger.say_farewell() {
            tracing::debug!("the ledger was not told that this process ends: {failure}");
        }
    }
}

impl Stage for FleetStage {
    fn name(&self) -> &'static str {
        "fleet"
    }

    fn tick(&mut self) -> Outcome<Tick> {
        let now = self.context.clock.now();
        if let Some(idle) = self.setback.as_ref().filter(|idle| idle.is_before(now)) {
            return Ok(Tick::Idle(idle.clone()));
        }
        self.setback = None;
        if let Some(idle) = self.ledger.unreachable(&mut self.store)? {
            // What nobody told of is looked for all the same; what the ledger knows of it is found out at the load.
            let listed = self.list_alone().unwrap_or_else(|failure| {
                tracing::warn!("the landing cannot be listed now: {failure}");
                false
            });
            return Ok(if listed { Tick::Worked } else { Tick::Idle(self.rest_without_ledger(idle)?) });
        }
        match self.work() {
            Ok(found) => {
                self.failures = 0;
                Ok(if found { Tick::Worked } else { self.rest() })
            }
            Err(failure) if failure.kind == FailureKind::WrongLedger || failure.kind == FailureKind::Died => {
                Err(failure)
            }
            Err(failure) => {
                // Documents never wait for this: the ordinary stages go on.
                self.ledger.close();
                self.failures += 1;
                tracing::warn!("cannot look after the fleet now: {failure}");
                let delay =
                    backoff::delay(TimeDelta::seconds(1), TimeDelta::minutes(1), self.failures, "fleet");
                let wake_at = Some(self.context.clock.now() + delay);
                let waiting_for = Some(format!("the ledger or the archive: {failure}"));
                let idle = Idle { wake_at, waiting_for };
                self.setback = Some(idle.clone());
                Ok(if self.found { Tick::Worked } else { Tick::Idle(idle) })
            }
        }
    }
}

/// The parts of the archive that a scan looks at.
fn prefixes(job: &str, everything: bool, now: Timestamp) -> Vec<String> {
    if everything {
        return vec![format!("{job}/")];
    }
    let day = |ago| (now - TimeDelta::days(ago)).format("%Y-%m-%d");
    (0..SCAN_DAYS).map(|ago| format!("{job}/dt={}/", day(ago))).collect()
}

/// The members of an archive as notifications, in their order.
pub(super) fn adopted_members(manifest: &Manifest, outcomes: &Outcomes) -> Vec<AdoptedMember> {
    let member = |member: &crate::archive::ManifestMember| AdoptedMember {
        notification: Notification {
            job: manifest.job.clone(),
            bucket: member.bucket.clone(),
            key: member.key.clone(),
            version_id: member.version_id.clone(),
            etag: member.etag.clone(),
            sequencer: member.sequencer.clone(),
            size: member.size,
            event_time: member.event_time,
            event_name: "Archive:Found".to_owned(),
            source: "archive".to_owned(),
            expires_at: member.expires_at,
        },
        tries: member.tries,
        deferred: outcomes.member(member.ordinal).is_some_and(|outcome| outcome.got == Got::Deferred),
    };
    manifest.members.iter().map(member).collect()
}
