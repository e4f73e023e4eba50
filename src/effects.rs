//! The names of all effects on the outside world, in one place. Crash tests fail each of them; a name that no test hits
//! fails the test (§9 of the design). The state store's own names are in [`sluicegate_state::effects`].

/// Puts an archive object: the commit point of fetching (I4).
pub const ARCHIVE_PUT: &str = "archive.put";
/// Reads an original: from the landing, or for a replay from the archive.
pub const LANDING_GET: &str = "landing.get";
/// Commits a load (I5).
pub const WAREHOUSE_COMMIT: &str = "warehouse.commit";
/// Writes one CSV object.
pub const CURATED_PUT: &str = "curated.put";
/// Records in the ledger that a batch's CSV objects are all there.
pub const PUBLISHED_COMMIT: &str = "published.commit";
/// Claims a window's crawl and adopts its batches.
pub const CRAWL_CLAIM: &str = "crawl.claim";
/// Records that an attempt at a crawl is about to start.
pub const CRAWL_ATTEMPT: &str = "crawl.attempt";
/// Asks the catalog for a crawl.
pub const CRAWL_START: &str = "crawl.start";
/// Records which of the catalog's crawls an attempt follows.
pub const CRAWL_SEEN: &str = "crawl.seen";
/// Records how a crawl ended.
pub const CRAWL_FINISH: &str = "crawl.finish";
/// Records in the ledger a reconciliation, or what a person did by hand together with the record of it.
pub const PROOF_COMMIT: &str = "proof.commit";
/// Puts the report of a reconciliation beside the CSV objects.
pub const REPORT_PUT: &str = "report.put";
/// Writes a file of that report into the state folder.
pub const REPORT_WRITE: &str = "report.write";
/// Says that the owner of a crawl still waits for it.
pub const CRAWL_RENEW: &str = "crawl.renew";
/// Runs a statement in the query engine.
pub const QUERY_RUN: &str = "query.run";
/// Asks the query engine to stop a statement that somebody waits for no longer.
pub const QUERY_STOP: &str = "query.stop";
/// Makes or changes a database, table, view or crawler in the catalog.
pub const CATALOG_DEFINE: &str = "catalog.define";
/// Acknowledges deliveries to the inbox (I1).
pub const INBOX_ACKNOWLEDGE: &str = "inbox.acknowledge";
/// Gives deliveries back to the inbox that this process will not journal.
pub const INBOX_GIVE_BACK: &str = "inbox.give_back";
/// Creates the ledger or brings it up to date.
pub const LEDGER_MIGRATE: &str = "ledger.migrate";
/// Creates target tables that are not there.
pub const TARGET_CREATE: &str = "target.create";
/// Says that a machine lives (I11).
pub const MACHINE_HEARTBEAT: &str = "machine.heartbeat";
/// Says that a process ends.
pub const MACHINE_FAREWELL: &str = "machine.farewell";
/// Takes the turn to list a landing.
pub const LISTING_CLAIM: &str = "listing.claim";

/// Tells a person of what cannot wait.
pub const ALERT_PUSH: &str = "alert.push";

/// Confirms a subscription of the endpoint for SNS.
pub const SUBSCRIPTION_CONFIRM: &str = "subscription.confirm";

/// All names of this crate.
pub const ALL: &[&str] = &[
    ARCHIVE_PUT,
    LANDING_GET,
    WAREHOUSE_COMMIT,
    CURATED_PUT,
    PUBLISHED_COMMIT,
    CRAWL_CLAIM,
    CRAWL_ATTEMPT,
    CRAWL_START,
    CRAWL_SEEN,
    CRAWL_FINISH,
    PROOF_COMMIT,
    REPORT_PUT,
    REPORT_WRITE,
    CRAWL_RENEW,
    QUERY_RUN,
    QUERY_STOP,
    CATALOG_DEFINE,
    INBOX_ACKNOWLEDGE,
    INBOX_GIVE_BACK,
    LEDGER_MIGRATE,
    TARGET_CREATE,
    MACHINE_HEARTBEAT,
    MACHINE_FAREWELL,
    LISTING_CLAIM,
    ALERT_PUSH,
    SUBSCRIPTION_CONFIRM,
];
