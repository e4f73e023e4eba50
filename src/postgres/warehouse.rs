//! The warehouse port over one PostgreSQL connection.

use std::collections::{BTreeMap, BTreeSet};

use sluicegate_state::Timestamp;
use sluicegate_state::seam::Seam;

use crate::config::Secret;
use crate::effects;
use crate::failure::{Failure, Outcome};
use crate::ports::decisions::Decisions;
use crate::ports::proof::Proof;
use crate::ports::warehouse::{
    BeginLoad, CrawlClaim, CrawlEnd, CrawlRequest, CrawlRow, Difference, DocumentRow, KnownObject,
    LedgerIdentity, LoadRequest, LoadedBatch, UnpublishedLoad, VerdictRow, Warehouse,
};
use crate::schema::Schema;

use super::address::Address;
use super::client::Client;
use super::error::failure;
use super::ledger::time_text;
use super::recent::Recent;
use super::session::{Session, connect};
use super::{crawl, fleet, ledger, load, migrate, parse_time, story, target};

/// The PostgreSQL warehouse: one connection, used by one thread. After a failure it is dropped and opened anew.
pub struct PostgresWarehouse {
    pub(super) session: Session,
    location: String,
    recent: Recent,
    pub(super) seam: Seam,
}

impl PostgresWarehouse {
    /// Connects, and brings the ledger's schema up to date. A ledger that is made now gets `ledger_id`; `incarnation` is
    /// shown in the server's list of sessions; `recent` is shared by the connections of one process.
    ///
    /// # Errors
    /// Transient where the server cannot be reached now; permanent where address, credentials, certificate or rights are
    /// wrong, or where a newer Sluicegate made the ledger. No message holds a password.
    pub fn open(
        url: &Secret,
        ledger_id: &str,
        incarnation: &str,
        recent: &Recent,
        seam: Seam,
    ) -> Outcome<Self> {
        let address = Address::read(url, &|name| std::env::var(name).ok())?;
        let location = address.location();
        let what = || format!("cannot open the warehouse {location}");
        let mut session = connect(&address, incarnation).map_err(|f| f.while_doing(what()))?;
        migrate::migrate(&mut session.client, ledger_id, &seam).map_err(|f| f.while_doing(what()))?;
        Ok(Self { session, location, recent: recent.clone(), seam })
    }

    /// For what lies in files of its own.
    pub(super) fn client(&mut self) -> &mut Client {
        &mut self.session.client
    }
}

impl Warehouse for PostgresWarehouse {
    fn location(&self) -> String {
        self.location.clone()
    }

    fn identity(&mut self) -> Outcome<LedgerIdentity> {
        let row = self
            .session
            .client
            .query_opt(
                "SELECT l.id, (SELECT batch_id::text FROM sluicegate.batch ORDER BY load_number DESC LIMIT 1)
                 FROM sluicegate.ledger l",
                &[],
            )
            .map_err(failure)?;
        let row =
            row.ok_or_else(|| Failure::permanent(format!("the ledger in {} has no id", self.location)))?;
        Ok(LedgerIdentity { id: row.get(0), newest_batch: row.get(1) })
    }

    fn knows_batch(&mut self, batch_id: &str) -> Outcome<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM sluicegate.batch WHERE batch_id = $1)";
        Ok(self.session.client.query_one(sql, &[&batch_id]).map_err(failure)?.get(0))
    }

    fn prepare(&mut self, schema: &Schema) -> Outcome<()> {
        target::prepare(&mut self.session, schema, &self.seam)
    }

    fn compare(&mut self, schema: &Schema) -> Outcome<Vec<Difference>> {
        let Session { client, schema: place } = &mut self.session;
        let mut transaction = client.transaction().map_err(failure)?;
        let differences = target::compare(&mut transaction, place, schema)?;
        transaction.commit().map_err(failure)?;
        Ok(differences)
    }

    fn begin_load<'a>(&'a mut self, request: &'a LoadRequest, schema: &'a Schema) -> Outcome<BeginLoad<'a>> {
        load::begin(&mut self.session, request, schema, &self.recent, self.seam.clone())
    }

    fn loaded_batch(&mut self, batch_id: &str) -> Outcome<Option<LoadedBatch>> {
        ledger::loaded_batch(&mut self.session.client, batch_id)
    }

    fn mark_published(&mut self, batch_id: &str) -> Outcome<()> {
        let Self { session, seam, .. } = self;
        seam.perform(effects::PUBLISHED_COMMIT, || {
            let sql = "UPDATE sluicegate.batch SET published_at = sluicegate.clock()
                       WHERE batch_id = $1 AND published_at IS NULL";
            session.client.execute(sql, &[&batch_id]).map(drop).map_err(failure)
        })
    }

    fn heartbeat(&mut self, incarnation: &str, host: &str) -> Outcome<()> {
        let Self { session, seam, .. } = self;
        seam.perform(effects::MACHINE_HEARTBEAT, || {
            fleet::heartbeat(&mut session.client, incarnation, host).map_err(failure)
        })
    }

    fn farewell(&mut self, incarnation: &str) -> Outcome<()> {
        let Self { session, seam, .. } = self;
        seam.perform(effects::MACHINE_FAREWELL, || {
            fleet::farewell(&mut session.client, incarnation).map_err(failure)
        })
    }

    fn live_incarnations(&mut self) -> Outcome<BTreeSet<String>> {
        fleet::live_incarnations(&mut self.session.client).map_err(failure)
    }

    fn claim_listing(&mut self, job: &str, owner: &str) -> Outcome<bool> {
        let Self { session, seam, .. } = self;
        seam.perform(effects::LISTING_CLAIM, || {
            fleet::claim_listing(&mut session.client, job, owner).map_err(failure)
        })
    }

    fn unpublished_loads(&mut self, job: &str) -> Outcome<Vec<UnpublishedLoad>> {
        fleet::unpublished_loads(&mut self.session.client, job).map_err(failure)
    }

    /// While the server works at one batch, the next is read and encoded; rows are sorted, so that loads which meet wait
    /// for each other.
    fn loads_at_a_time(&self) -> usize {
        2
    }

    fn known_batches(&mut self, batch_ids: &[String]) -> Outcome<BTreeSet<String>> {
        fleet::known_batches(&mut self.session.client, batch_ids).map_err(failure)
    }

    fn known_objects(&mut self, job: &str, bucket: &str, objects: &[KnownObject<'_>]) -> Outcome<Vec<bool>> {
        fleet::known_objects(&mut self.session.client, job, bucket, objects).map_err(failure)
    }

    fn now(&mut self) -> Outcome<Timestamp> {
        let sql = format!("SELECT {}", time_text("sluicegate.clock()"));
        parse_time(self.session.client.query_one(&sql, &[]).map_err(failure)?.get(0))
    }

    fn claim_crawl(&mut self, request: &CrawlRequest<'_>) -> Outcome<Option<CrawlClaim>> {
        let Self { session, seam, .. } = self;
        seam.perform(effects::CRAWL_CLAIM, || crawl::claim(&mut session.client, request))
    }

    fn crawl_attempt(&mut self, crawl_id: &str, owner: &str) -> Outcome<u32> {
        let Self { session, seam, .. } = self;
        seam.perform(effects::CRAWL_ATTEMPT, || crawl::attempt(&mut session.client, crawl_id, owner))
    }

    fn crawl_objects(&mut self, crawl_id: &str) -> Outcome<Vec<String>> {
        crawl::objects(&mut self.session.client, crawl_id)
    }

    fn crawl_seen(&mut self, crawl_id: &str, owner: &str, attempt: u32, catalog_id: &str) -> Outcome<()> {
        let Self { session, seam, .. } = self;
        seam.perform(effects::CRAWL_SEEN, || {
            crawl::seen(&mut session.client, crawl_id, owner, attempt, catalog_id)
        })
    }

    fn renew_crawl(&mut self, crawl_id: &str, owner: &str) -> Outcome<()> {
        let Self { session, seam, .. } = self;
        seam.perform(effects::CRAWL_RENEW, || crawl::renew(&mut session.client, crawl_id, owner))
    }

    fn finish_crawl(&mut self, crawl_id: &str, owner: &str, attempt: u32, end: &CrawlEnd) -> Outcome<()> {
        let Self { session, seam, .. } = self;
        seam.perform(effects::CRAWL_FINISH, || {
            crawl::finish(&mut session.client, crawl_id, owner, attempt, end)
        })
    }

    fn awaiting_crawl(&mut self, job: &str) -> Outcome<u64> {
        crawl::awaiting(&mut self.session.client, job)
    }

    fn last_crawl(&mut self, job: &str) -> Outcome<Option<CrawlRow>> {
        crawl::last(&mut self.session.client, job)
    }

    fn outcome_counts(&mut self, job: &str) -> Outcome<BTreeMap<String, u64>> {
        story::outcome_counts(&mut self.session.client, job).map_err(failure)
    }

    fn documents_by_key(&mut self, key: &str) -> Outcome<Vec<DocumentRow>> {
        story::documents_by_key(&mut self.session.client, key).map_err(failure)
    }

    fn verdicts(&mut self, batch_id: &str) -> Outcome<Vec<VerdictRow>> {
        story::verdicts(&mut self.session.client, "batch_id", batch_id).map_err(failure)
    }

    fn decisions(&mut self) -> &mut dyn Decisions {
        self
    }

    fn verdicts_by_key(&mut self, key: &str) -> Outcome<Vec<VerdictRow>> {
        story::verdicts(&mut self.session.client, "key", key).map_err(failure)
    }

    fn proof(&mut self) -> &mut dyn Proof {
        self
    }
}
