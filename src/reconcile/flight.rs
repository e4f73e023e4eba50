//! What was received and is not decided in the ledger: the journal, archives that nobody loaded yet, and the landing.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use chrono::NaiveDate;
use sha2::{Digest, Sha256};
use sluicegate_state::{Arrival, Batch, BatchState, Store, Timestamp};

use crate::archive::{Manifest, batch_id_of};
use crate::failure::Outcome;
use crate::job::Job;
use crate::pipeline::context::Context;
use crate::pipeline::fleet::ANNOUNCEMENT_TIME;
use crate::pipeline::missed;
use crate::ports::object_store::ObjectInfo;
use crate::ports::proof::ObjectsOf;
use crate::ports::warehouse::{KnownObject, Warehouse};

use super::finding::{Finding, Kind, counted};
use super::listing::{self, Suspect};
use super::model::Attention;

/// What is looked up at a time.
const PAGE: usize = 500;
/// Missed documents that are kept for a repair; the others are counted, and the next repair has them.
const MISSED_AT_A_TIME: usize = 10_000;

/// What is under way of one day, and what was found to be nowhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct FlightDay {
    pub(super) in_flight: u64,
    pub(super) abandoned: u64,
    pub(super) lost: u64,
    pub(super) missed: u64,
    pub(super) listed: u64,
}

/// What is under way of a job.
#[derive(Default)]
pub(super) struct Flight {
    pub(super) days: BTreeMap<NaiveDate, FlightDay>,
    pub(super) findings: Vec<Finding>,
    /// What lies in the landing and nobody knows.
    pub(super) missed: Vec<Arrival>,
    /// The same, but it landed so short a time ago that it may still be announced.
    pub(super) young: Vec<Arrival>,
    pub(super) parked: Vec<(NaiveDate, Attention)>,
    /// Archive objects that the ledger says are there, and are not.
    pub(super) suspects: Vec<Suspect>,
    /// Identities that were counted, by hash: a document that is in two places is one.
    seen: HashSet<[u8; 16]>,
}

/// Where a document that is not decided was found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    UnderWay,
    Abandoned,
    Lost,
}

/// One document that the ledger may not know.
struct Candidate {
    bucket: String,
    key: String,
    version: Option<String>,
    etag: String,
    day: NaiveDate,
}

/// Where to look.
pub(super) struct Look<'a> {
    pub(super) context: &'a Context,
    pub(super) store: Option<&'a Store>,
    pub(super) job: &'a Job,
    pub(super) now: Timestamp,
    /// Whether the ledger has anything, so that archive and landing have to be there.
    pub(super) began: bool,
}

impl Look<'_> {
    /// Journal first, then the archive, then the landing: each only for what those before it do not know.
    pub(super) fn look(&self, warehouse: &mut dyn Warehouse) -> Outcome<Flight> {
        let mut flight = Flight::default();
        self.journal(&mut flight, warehouse)?;
        self.batches(&mut flight, warehouse)?;
        self.archive(&mut flight, warehouse)?;
        self.landing(&mut flight, warehouse)?;
        Ok(flight)
    }

    fn journal(&self, flight: &mut Flight, warehouse: &mut dyn Warehouse) -> Outcome<()> {
        let Some(store) = self.store else { return Ok(()) };
        let mut after = 0;
        loop {
            let page = store.pending_page(&self.job.name, after, PAGE)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.notification_id;
            let candidates = page.into_iter().map(|entry| {
                let n = entry.notification;
                let day = self.job.day(n.event_time);
                Candidate { bucket: n.bucket, key: n.key, version: n.version_id, etag: n.etag, day }
            });
            self.count(flight, warehouse, candidates.collect(), Found::UnderWay)?;
        }
    }

    /// The batches of the state: those that the ledger does not know are under way, or lost.
    fn batches(&self, flight: &mut Flight, warehouse: &mut dyn Warehouse) -> Outcome<()> {
        let Some(store) = self.store else { return Ok(()) };
        let mut after = String::new();
        loop {
            let page = store.batches_page(&self.job.name, &after, PAGE)?;
            let Some(last) = page.last() else { return Ok(()) };
            after.clone_from(&last.batch_id);
            let ids: Vec<String> = page.iter().map(|batch| batch.batch_id.clone()).collect();
            let known = warehouse.known_batches(&ids)?;
            for batch in &page {
                if batch.state == BatchState::Failed {
                    flight.parked.push((self.job.day(batch.oldest_event_time), parked(batch)));
                }
                if !known.contains(&batch.batch_id) {
                    self.undecided(flight, warehouse, store, batch)?;
                }
            }
        }
    }

    fn undecided(
        &self,
        flight: &mut Flight,
        warehouse: &mut dyn Warehouse,
        store: &Store,
        batch: &Batch,
    ) -> Outcome<()> {
        // A parked batch has what the state that it was parked from says.
        let found = match (batch.state, batch.failed_from.unwrap_or(batch.state)) {
            (BatchState::Abandoned, _) => Found::Abandoned,
            (_, BatchState::Loaded | BatchState::Published) => Found::Lost,
            _ => Found::UnderWay,
        };
        let members = store.members(&batch.batch_id)?;
        let mut by_day: BTreeMap<NaiveDate, u64> = BTreeMap::new();
        for member in &members {
            *by_day.entry(self.job.day(member.event_time)).or_default() += 1;
        }
        let keys: Vec<String> = members.iter().map(|member| member.key.clone()).collect();
        let candidates = members.into_iter().map(|member| Candidate {
            day: self.job.day(member.event_time),
            bucket: member.bucket,
            key: member.key,
            version: member.version_id,
            etag: member.etag,
        });
        self.count(flight, warehouse, candidates.collect(), found)?;
        if found == Found::Lost {
            let detail = format!(
                "this machine loaded {} into the warehouse, whose ledger does not know it: was the database restored to \
                 the past?",
                counted(batch.documents, "document")
            );
            // Each of its days misses something; it is one discrepancy, and so one acceptance is enough.
            for (day, count) in by_day {
                let finding = Finding::new(day, Kind::LostBatch, "", &detail).of_batch(&batch.batch_id);
                flight.findings.push(Finding { count, ..finding.with_documents(keys.clone()) });
            }
        }
        Ok(())
    }

    /// Archives that neither ledger nor state knows: another machine's work, or what a machine left that is gone.
    fn archive(&self, flight: &mut Flight, warehouse: &mut dyn Warehouse) -> Outcome<()> {
        let mut strangers = Vec::new();
        let prefix = format!("{}/", self.job.name);
        let archive = self.context.archive.as_ref();
        let mut keep = |_: &mut dyn Warehouse, keys: Vec<String>| {
            for key in keys {
                if let Some((_, batch_id)) = batch_id_of(&key).filter(|(job, _)| *job == self.job.name)
                    && self.store.map(|store| store.batch(batch_id)).transpose()?.flatten().is_none()
                {
                    strangers.push((batch_id.to_owned(), key));
                }
            }
            Ok(())
        };
        match listing::compare((archive, &prefix), warehouse, &self.job.name, ObjectsOf::Archive, &mut keep) {
            Ok(listed) => flight.suspects = listed.suspects,
            Err(failure) if self.began => return Err(failure),
            // Before the first batch there is no archive yet.
            Err(_) => {}
        }
        let ids: Vec<String> = strangers.iter().map(|(batch_id, _)| batch_id.clone()).collect();
        let known = warehouse.known_batches(&ids)?;
        let live = warehouse.live_incarnations()?;
        for (batch_id, key) in strangers.iter().filter(|(batch_id, _)| !known.contains(batch_id)) {
            let Some(manifest) = missed::read_manifest(self.context, key)? else { continue };
            self.stranger(flight, warehouse, &live, batch_id, &manifest)?;
        }
        Ok(())
    }

    fn stranger(
        &self,
        flight: &mut Flight,
        warehouse: &mut dyn Warehouse,
        live: &BTreeSet<String>,
        batch_id: &str,
        manifest: &Manifest,
    ) -> Outcome<()> {
        let candidates = manifest.members.iter().map(|member| Candidate {
            bucket: member.bucket.clone(),
            key: member.key.clone(),
            version: member.version_id.clone(),
            etag: member.etag.clone(),
            day: self.job.day(member.event_time),
        });
        self.count(flight, warehouse, candidates.collect(), Found::UnderWay)?;
        if self.is_alive(live, &manifest.incarnation)? {
            return Ok(());
        }
        let days = manifest.members.iter().map(|member| self.job.day(member.event_time));
        let day = days.min().unwrap_or_else(|| self.job.day(self.now));
        let members = manifest.members.len() as u64;
        let detail = format!(
            "{} lie in the archive and are not loaded: the machine that archived them ({}) is gone; any other one goes \
             on with them",
            counted(members, "document"),
            manifest.incarnation
        );
        let keys = manifest.members.iter().map(|member| member.key.clone()).collect();
        let finding = Finding::new(day, Kind::UnfinishedBatch, "archived", detail).of_batch(batch_id);
        flight.findings.push(Finding { count: members, ..finding.with_documents(keys) });
        Ok(())
    }

    /// Whether somebody may still work on what this incarnation began.
    pub(super) fn is_alive(&self, live: &BTreeSet<String>, incarnation: &str) -> Outcome<bool> {
        let ended = self.store.map(|store| store.incarnation_has_ended(incarnation)).transpose()?;
        Ok(live.contains(incarnation) && ended != Some(true))
    }

    /// Objects that nobody knows. A young one may still be announced.
    fn landing(&self, flight: &mut Flight, warehouse: &mut dyn Warehouse) -> Outcome<()> {
        let landing = self.context.landing(&self.job.name)?;
        let mut chunk: Vec<ObjectInfo> = Vec::new();
        let job = self.job;
        let listed = landing.list(job.landing.key_prefix(), &mut |info| {
            if !job.matches(landing.bucket(), &info.key) || (info.size == 0 && info.key.ends_with('/')) {
                return Ok(());
            }
            flight.days.entry(job.day(info.last_modified)).or_default().listed += 1;
            let is_journaled =
                |store| missed::is_journaled(store, landing.as_ref(), &info, missed::Witness::Ledger);
            let journaled = self.store.map(is_journaled).transpose()?;
            let counted = flight.seen.contains(&identity(landing.bucket(), &info.key, &info.etag));
            if journaled != Some(true) && !counted {
                chunk.push(info);
            }
            if chunk.len() >= PAGE {
                self.missed(flight, warehouse, &std::mem::take(&mut chunk))?;
            }
            Ok(())
        });
        if self.began {
            listed?;
        }
        self.missed(flight, warehouse, &chunk)?;
        self.tell_missed(flight);
        Ok(())
    }

    fn missed(
        &self,
        flight: &mut Flight,
        warehouse: &mut dyn Warehouse,
        chunk: &[ObjectInfo],
    ) -> Outcome<()> {
        let bucket = self.job.landing.bucket();
        for info in missed::unknown_to(warehouse, self.job, chunk)? {
            let day = flight.days.entry(self.job.day(info.last_modified)).or_default();
            let found = if info.last_modified > self.now - ANNOUNCEMENT_TIME {
                day.in_flight += 1;
                &mut flight.young
            } else {
                day.missed += 1;
                &mut flight.missed
            };
            if found.len() < MISSED_AT_A_TIME {
                let notification = missed::listed(self.job, bucket, &info, missed::Found::Missed);
                found.push(Arrival::Notification(notification));
            }
        }
        Ok(())
    }

    fn tell_missed(&self, flight: &mut Flight) {
        let mut by_day: BTreeMap<NaiveDate, Vec<String>> = BTreeMap::new();
        for arrival in &flight.missed {
            let Arrival::Notification(n) = arrival else { continue };
            by_day.entry(self.job.day(n.event_time)).or_default().push(n.key.clone());
        }
        for (day, mut keys) in by_day {
            keys.sort();
            let count = flight.days.get(&day).map_or(0, |of| of.missed);
            let unkept = count.saturating_sub(keys.len() as u64);
            let lies = if count == 1 { "lies" } else { "lie" };
            let detail = format!(
                "{} {lies} in the landing, and no notification told of it: neither journal nor ledger knows it",
                counted(count, "document")
            );
            let finding = Finding::new(day, Kind::MissedDocument, keys.join("\n"), detail);
            let finding = finding.with_documents(keys);
            flight.findings.push(Finding { count, more: finding.more + unkept, ..finding });
        }
    }

    /// Counts what the ledger does not know, each identity once.
    fn count(
        &self,
        flight: &mut Flight,
        warehouse: &mut dyn Warehouse,
        candidates: Vec<Candidate>,
        found: Found,
    ) -> Outcome<()> {
        let mut by_bucket: BTreeMap<&str, Vec<&Candidate>> = BTreeMap::new();
        for candidate in &candidates {
            by_bucket.entry(&candidate.bucket).or_default().push(candidate);
        }
        for (bucket, candidates) in by_bucket {
            for chunk in candidates.chunks(PAGE) {
                let lookups: Vec<KnownObject<'_>> = chunk
                    .iter()
                    .map(|c| KnownObject { key: &c.key, version: c.version.as_deref(), etag: &c.etag })
                    .collect();
                let known = warehouse.known_objects(&self.job.name, bucket, &lookups)?;
                for (candidate, _) in chunk.iter().zip(known).filter(|(_, known)| !known) {
                    flight.count_one(candidate, found);
                }
            }
        }
        Ok(())
    }
}

impl Flight {
    fn count_one(&mut self, candidate: &Candidate, found: Found) {
        if !self.seen.insert(identity(&candidate.bucket, &candidate.key, &candidate.etag)) {
            return;
        }
        let day = self.days.entry(candidate.day).or_default();
        match found {
            Found::UnderWay => day.in_flight += 1,
            Found::Abandoned => day.abandoned += 1,
            Found::Lost => day.lost += 1,
        }
    }
}

fn identity(bucket: &str, key: &str, etag: &str) -> [u8; 16] {
    let mut hasher = Sha256::new();
    for part in [bucket, key, etag] {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    let mut short = [0; 16];
    short.copy_from_slice(&hasher.finalize()[..16]);
    short
}

fn parked(batch: &Batch) -> Attention {
    Attention {
        what: format!("batch {} with {} is parked", batch.batch_id, counted(batch.documents, "document")),
        cause: batch.last_error.clone().unwrap_or_default(),
        command: format!("sluicegate jobs replay {}", batch.batch_id),
    }
}
