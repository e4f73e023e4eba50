//! Takes in what nobody alive works on any more: loads that are not published, and archives that are not loaded.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use sluicegate_state::canary::{Canary, sings};
use sluicegate_state::{AdoptedMember, Adoption, AdoptionReach, Batch, BatchState, Notification, Timestamp};

use crate::archive::{ArchiveReader, Got, Manifest, Outcomes, batch_id_of, read_outcomes};
use crate::failure::{Failure, Outcome};
use crate::job::Job;
use crate::pipeline::archived::read_archive;
use crate::pipeline::documents::archive_failure;
use crate::pipeline::{missed, publish};
use crate::ports::warehouse::{UnpublishedLoad, Warehouse};

use super::{FleetStage, LOOKUP, SCAN_DAYS};

impl FleetStage {
    /// Whether nobody works on what this incarnation began.
    fn is_abandoned(&self, incarnation: &str, live: &BTreeSet<String>) -> Outcome<bool> {
        if incarnation == self.context.incarnation {
            return Ok(true);
        }
        Ok(!live.contains(incarnation) || self.store.incarnation_has_ended(incarnation)?)
    }

    /// Loads whose CSV objects are not known to be all there.
    pub(super) fn adopt_loads(&mut self, job: &Job) -> Outcome<()> {
        let Self { store, ledger, .. } = self;
        let warehouse = ledger.get(store)?;
        let loads = warehouse.unpublished_loads(&job.name)?;
        let live = warehouse.live_incarnations()?;
        for UnpublishedLoad { batch_id, archive_key, incarnation } in loads {
            if let Some(batch) = self.store.batch(&batch_id)? {
                let published = self.publish_again(&batch);
                self.go_on_after_one(published)?;
                continue;
            }
            if self.is_abandoned(&incarnation, &live)? {
                let cause = format!("{incarnation} loaded it and did not publish it");
                let adopted = self.adopt(&archive_key, AdoptionReach::Loaded, &cause);
                self.go_on_after_one(adopted)?;
            } else {
                self.left_to_peers += 1;
            }
        }
        Ok(())
    }

    /// What this machine has published, and the ledger does not know as such: it was restored to a moment between the load and
    /// the end of the publishing, and nobody else would go on with it.
    fn publish_again(&mut self, batch: &Batch) -> Outcome<()> {
        if batch.state != BatchState::Published {
            return Ok(());
        }
        let Self { context, store, ledger, .. } = self;
        let published = publish::publish_again(context, ledger.get(store)?, batch);
        published.map_err(|failure| failure.while_doing(format!("publishing {} again", batch.batch_id)))
    }

    /// Archived batches that the ledger does not know.
    pub(super) fn adopt_archives(&mut self, job: &Job, everything: bool, now: Timestamp) -> Outcome<()> {
        let mut unknown = Vec::new();
        for prefix in prefixes(&job.name, everything, now) {
            self.find_unknown(job, &prefix, &mut unknown)?;
        }
        if unknown.is_empty() || sings(Canary::ArchiveNotAdopted) {
            return Ok(());
        }
        let Self { store, ledger, .. } = self;
        let live = ledger.get(store)?.live_incarnations()?;
        for key in &unknown {
            let adopted = self.adopt_archive(key, &live);
            self.go_on_after_one(adopted)?;
        }
        Ok(())
    }

    /// Keys below `prefix` of the archives of batches that neither this state nor the ledger knows. An archive grows for
    /// years, so the ledger is asked page by page.
    fn find_unknown(&mut self, job: &Job, prefix: &str, unknown: &mut Vec<String>) -> Outcome<()> {
        let Self { context, store, ledger, .. } = self;
        let mut page = Vec::new();
        context.archive.list(prefix, &mut |info| {
            let Some((_, batch_id)) = batch_id_of(&info.key).filter(|(owner, _)| *owner == job.name) else {
                return Ok(());
            };
            if store.batch(batch_id)?.is_none() {
                page.push(info.key);
            }
            if page.len() >= LOOKUP {
                keep_unknown(ledger.get(store)?, &mut page, unknown)?;
            }
            Ok(())
        })?;
        keep_unknown(ledger.get(store)?, &mut page, unknown)
    }

    /// Only the beginning of an archive is read to learn whose it is: a machine that lives may have many.
    fn adopt_archive(&mut self, key: &str, live: &BTreeSet<String>) -> Outcome<()> {
        let Some(manifest) = missed::read_manifest(&self.context, key)? else { return Ok(()) };
        if !self.is_abandoned(&manifest.incarnation, live)? {
            self.left_to_peers += 1;
            return Ok(());
        }
        let cause = format!("{} archived it and did not load it", manifest.incarnation);
        self.adopt(key, AdoptionReach::Archived, &cause)
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
}

/// Moves the keys of `page` whose batches the ledger does not know to `unknown`.
fn keep_unknown(
    warehouse: &mut dyn Warehouse,
    page: &mut Vec<String>,
    unknown: &mut Vec<String>,
) -> Outcome<()> {
    let known =
        if page.is_empty() { BTreeSet::new() } else { warehouse.known_batches(&missed::ids(page))? };
    let is_known = |key: &String| batch_id_of(key).is_some_and(|(_, batch_id)| known.contains(batch_id));
    unknown.extend(page.drain(..).filter(|key| !is_known(key)));
    Ok(())
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
pub(in crate::pipeline) fn adopted_members(manifest: &Manifest, outcomes: &Outcomes) -> Vec<AdoptedMember> {
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
