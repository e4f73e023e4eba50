//! Lists the landings in their turn for what nobody told of.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sluicegate_state::Timestamp;

use crate::failure::Outcome;
use crate::job::Job;
use crate::pipeline::missed::{self, Found, Witness};
use crate::pipeline::stage::lies_ahead;

use super::{
    ALONE_SINCE, ANNOUNCEMENT_TIME, FleetStage, LONELY_LISTING, LOOKUP, SCAN_INTERVAL, ends_the_run,
};

impl FleetStage {
    /// Once an hour in the whole fleet, and whenever a state is new or old, the landing is listed for what nobody told of.
    pub(super) fn list_landing(&mut self, job: &Job, everything: bool, now: Timestamp) -> Outcome<bool> {
        if self.context.scanned_jobs.contains(&job.name) {
            return Ok(false);
        }
        if !self.has_turn(job)? && !everything {
            return Ok(false);
        }
        let Self { context, store, ledger, .. } = self;
        let landed_before = if everything { now } else { now - ANNOUNCEMENT_TIME };
        let objects = missed::candidates(context, store, job, landed_before, Witness::Ledger)?;
        let mut unknown = Vec::new();
        for chunk in objects.chunks(LOOKUP) {
            unknown.extend(missed::unknown_to(ledger.get(store)?, job, chunk)?);
        }
        let in_archive = missed::strangers(context, store, job, &unknown, now)?;
        let known = ledger.get(store)?.known_batches(&missed::ids(&in_archive))?;
        let unknown = missed::not_archived(context, job, unknown, &in_archive, &known)?;
        let found = if everything { Found::Again } else { Found::Missed };
        let listed = missed::journal(context, store, job, &unknown, found, Witness::Ledger)?;
        self.owed.remove(&job.name);
        Ok(listed)
    }

    /// Whether it is this process's turn to list the landing. A turn that was taken is owed until the landing was listed:
    /// nobody else takes it for an hour.
    fn has_turn(&mut self, job: &Job) -> Outcome<bool> {
        if self.owed.contains(&job.name) {
            return Ok(true);
        }
        let Self { context, store, ledger, .. } = self;
        let claimed = ledger.get(store)?.claim_listing(&job.name, &context.incarnation);
        // A claim whose answer was lost may have been granted; to list once too often does no harm.
        if claimed.as_ref().is_ok_and(|claimed| *claimed) || claimed.is_err() {
            self.owed.insert(job.name.clone());
        }
        claimed
    }

    /// The same while the ledger is away, an hour after it was there or was listed without it: what it knows is found out at
    /// the load. Whether something was found.
    ///
    /// # Errors
    /// Of the state, or what ends the run. A landing that cannot be listed is listed in a minute again.
    pub(super) fn list_alone(&mut self, now: Timestamp) -> Outcome<bool> {
        if lies_ahead(self.next_lonely_look, now, SCAN_INTERVAL) {
            return Ok(false);
        }
        self.next_lonely_look = now + SCAN_INTERVAL;
        match self.alone_since()? {
            Some(since) if lies_ahead(since + LONELY_LISTING, now, LONELY_LISTING) => return Ok(false),
            Some(_) => {}
            None => {
                self.store.set_meta(ALONE_SINCE, &now.to_rfc3339())?;
                return Ok(false);
            }
        }
        let context = self.context.clone();
        let (mut found, mut whole) = (false, true);
        for job in context.jobs.values().filter(|job| !context.scanned_jobs.contains(&job.name)) {
            match self.list_one_alone(job, now) {
                Ok(journaled) => found |= journaled,
                Err(failure) if ends_the_run(&failure) => return Err(failure),
                Err(failure) => {
                    tracing::warn!("job {}: the landing cannot be listed now: {failure}", job.name);
                    // What fails may have had its effect all the same.
                    (found, whole) = (true, false);
                }
            }
        }
        if whole {
            self.store.set_meta(ALONE_SINCE, &now.to_rfc3339())?;
        }
        Ok(found)
    }

    fn alone_since(&self) -> Outcome<Option<Timestamp>> {
        let at = self.store.meta(ALONE_SINCE)?;
        Ok(at.and_then(|text| DateTime::parse_from_rfc3339(&text).ok()).map(|at| at.with_timezone(&Utc)))
    }

    /// The ledger answers: whose turn it is to list, it says.
    pub(super) fn be_alone_no_more(&mut self) -> Outcome<()> {
        if self.alone_since()?.is_some() {
            self.store.set_meta(ALONE_SINCE, "")?;
        }
        Ok(())
    }

    fn list_one_alone(&mut self, job: &Job, now: Timestamp) -> Outcome<bool> {
        let Self { context, store, .. } = self;
        let objects = missed::candidates(context, store, job, now - ANNOUNCEMENT_TIME, Witness::Journal)?;
        let in_archive = missed::strangers(context, store, job, &objects, now)?;
        let unknown = missed::not_archived(context, job, objects, &in_archive, &BTreeSet::new())?;
        missed::journal(context, store, job, &unknown, Found::Missed, Witness::Journal)
    }
}
