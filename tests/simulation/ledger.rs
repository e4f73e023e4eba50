//! The warehouse as a machine meets it: away for hours, failing before a call, or after it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sluicegate::failure::{Failure, Outcome};
use sluicegate::ports::decisions::Decisions;
use sluicegate::ports::proof::Proof;
use sluicegate::ports::warehouse::{
    BeginLoad, CrawlClaim, CrawlEnd, CrawlRequest, CrawlRow, Difference, DocumentRow, DocumentSource,
    KnownObject, LedgerIdentity, LoadRequest, LoadTransaction, LoadedBatch, LoadedTable, UnpublishedLoad,
    Verdict, VerdictRow, Warehouse,
};
use sluicegate::schema::Schema;
use sluicegate::sqlite::SqliteWarehouse;
use sluicegate_state::Timestamp;
use sluicegate_state::seam::Seam;

use crate::hub::{Hub, SkewedClock};
use crate::options::COMMIT_UNKNOWN;
use crate::stall::OpenLoad;

/// Fails a call to the ledger where it is away, or a fault strikes.
fn gate(hub: &Hub, what: &str) -> Outcome<()> {
    if hub.ledger_is_down() {
        return Err(Failure::transient(format!("test fault: the ledger is away at {what}")));
    }
    hub.may_stall(what);
    hub.gate("ledger-errors", what)
}

/// A connection.
pub(crate) struct Ledger {
    hub: Arc<Hub>,
    inner: SqliteWarehouse,
}

impl Ledger {
    pub(crate) fn open(hub: &Arc<Hub>, seam: Seam) -> Outcome<Self> {
        gate(hub, "connect")?;
        let clock = Arc::new(SkewedClock { hub: hub.clone(), skew: hub.options.ledger_skew });
        let inner = SqliteWarehouse::open(&hub.warehouse, "the-ledger", clock, seam)?;
        Ok(Self { hub: hub.clone(), inner })
    }
}

/// Calls that only pass through: each may fail before it, or be answered by nobody.
macro_rules! pass_through {
    ($(fn $name:ident(&mut self $(, $argument:ident: $kind:ty)*) -> $answer:ty;)*) => {
        $(fn $name(&mut self $(, $argument: $kind)*) -> Outcome<$answer> {
            gate(&self.hub, stringify!($name))?;
            let answer = self.inner.$name($($argument),*)?;
            gate(&self.hub, concat!("the answer to ", stringify!($name)))?;
            Ok(answer)
        })*
    };
}

impl Warehouse for Ledger {
    fn location(&self) -> String {
        "the simulated ledger".to_owned()
    }

    fn begin_load<'a>(&'a mut self, request: &'a LoadRequest, schema: &'a Schema) -> Outcome<BeginLoad<'a>> {
        gate(&self.hub, "begin_load")?;
        Ok(match self.inner.begin_load(request, schema)? {
            BeginLoad::Fresh(inner) => {
                let open = OpenLoad::new(&self.hub);
                BeginLoad::Fresh(Box::new(Load { hub: self.hub.clone(), inner, open }))
            }
            BeginLoad::AlreadyLoaded => {
                self.hub.meets_what_the_other_did();
                BeginLoad::AlreadyLoaded
            }
        })
    }

    fn decisions(&mut self) -> &mut dyn Decisions {
        self.inner.decisions()
    }

    fn proof(&mut self) -> &mut dyn Proof {
        self.inner.proof()
    }

    pass_through! {
        fn identity(&mut self) -> LedgerIdentity;
        fn knows_batch(&mut self, batch_id: &str) -> bool;
        fn prepare(&mut self, schema: &Schema) -> ();
        fn compare(&mut self, schema: &Schema) -> Vec<Difference>;
        fn loaded_batch(&mut self, batch_id: &str) -> Option<LoadedBatch>;
        fn mark_published(&mut self, batch_id: &str) -> ();
        fn heartbeat(&mut self, incarnation: &str, host: &str) -> ();
        fn farewell(&mut self, incarnation: &str) -> ();
        fn live_incarnations(&mut self) -> BTreeSet<String>;
        fn claim_listing(&mut self, job: &str, owner: &str) -> bool;
        fn unpublished_loads(&mut self, job: &str) -> Vec<UnpublishedLoad>;
        fn known_batches(&mut self, batch_ids: &[String]) -> BTreeSet<String>;
        fn known_objects(&mut self, job: &str, bucket: &str, objects: &[KnownObject<'_>]) -> Vec<bool>;
        fn now(&mut self) -> Timestamp;
        fn claim_crawl(&mut self, request: &CrawlRequest<'_>) -> Option<CrawlClaim>;
        fn crawl_attempt(&mut self, crawl_id: &str, owner: &str) -> u32;
        fn crawl_objects(&mut self, crawl_id: &str) -> Vec<String>;
        fn crawl_seen(&mut self, crawl_id: &str, owner: &str, attempt: u32, catalog_id: &str) -> ();
        fn renew_crawl(&mut self, crawl_id: &str, owner: &str) -> ();
        fn finish_crawl(&mut self, crawl_id: &str, owner: &str, attempt: u32, end: &CrawlEnd) -> ();
        fn awaiting_crawl(&mut self, job: &str) -> u64;
        fn last_crawl(&mut self, job: &str) -> Option<CrawlRow>;
        fn outcome_counts(&mut self, job: &str) -> BTreeMap<String, u64>;
        fn documents_by_key(&mut self, key: &str) -> Vec<DocumentRow>;
        fn verdicts(&mut self, batch_id: &str) -> Vec<VerdictRow>;
        fn verdicts_by_key(&mut self, key: &str) -> Vec<VerdictRow>;
    }
}

/// An open load whose COMMIT may be answered by nobody.
struct Load<'a> {
    hub: Arc<Hub>,
    inner: Box<dyn LoadTransaction + 'a>,
    open: OpenLoad,
}

impl LoadTransaction for Load<'_> {
    fn insert(&mut self, source: &dyn DocumentSource) -> Outcome<Vec<Verdict>> {
        gate(&self.hub, "insert")?;
        self.inner.insert(source)
    }

    fn commit(self: Box<Self>, verdicts: &[Verdict], tables: &[LoadedTable]) -> Outcome<()> {
        let Self { hub, inner, open } = *self;
        gate(&hub, "COMMIT")?;
        inner.commit(verdicts, tables)?;
        drop(open);
        gate(&hub, "the answer to COMMIT").inspect_err(|_| hub.tell(COMMIT_UNKNOWN))
    }
}
