//! A real PostgreSQL, a stand-in for AWS, and a Glue of the tests' own: a drain is killed at the first occurrence of each
//! effect, before and after, and started again; a second window follows.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock};

use chrono::TimeDelta;
use sluicegate::aws::S3Store;
use sluicegate::ports::clock::SystemClock;

use crate::cloud_checker::check;
use crate::cloud_world::{World, below_prefix};
use crate::corpus::Document;
use crate::covered::FOLLOWED;
use crate::deaths::{Kills, advance, counted, moment, must_die, restart_until_done, side_by_side};
use crate::documents::{BATCH, windows};
use crate::embedded::{DRAIN, full};
use crate::endpoint::{Crawl, End, GlueEndpoint};
use crate::support::Project;

/// Worlds at a time. They mostly wait.
const WORKERS: usize = 8;
const DATABASE: &str = "sales";
const CRAWLER: &str = "nightly";
/// Of a stand-in's crawl.
const SOON: TimeDelta = TimeDelta::milliseconds(300);

/// What a first drain meets without a crawler.
pub(crate) const UNCRAWLED: &[&str] = &[
    "migrate.commit",
    "incarnation.commit",
    "command.commit",
    "ledger.migrate",
    "target.create",
    "machine.heartbeat",
    "listing.claim",
    "journal.commit",
    "inbox.acknowledge",
    "seal.commit",
    "attempt.commit",
    "landing.get",
    "archive.put",
    "transition.commit",
    "warehouse.commit",
    "meta.commit",
    "curated.put",
    "published.commit",
    "machine.farewell",
    "incarnation_ended.commit",
    "command_ended.commit",
];

/// What it meets with one.
pub(crate) const CRAWLED: &[&str] =
    &["crawl.claim", "crawl.attempt", "crawl.start", "crawl.seen", "crawl.renew", "crawl.finish"];

/// What the life after a death meets: the moment of the first death, whether the state is lost with it, and the effect.
const SECOND_DEATHS: &[(&str, bool, &str)] =
    &[("curated.put:1:after", false, "bury.commit"), ("warehouse.commit:1:after", true, "adopt.commit")];

/// One deployment, a machine in it, and its Glue where it has one.
pub(crate) struct Deployment {
    pub(crate) world: World,
    pub(crate) machine: Project,
    glue: Option<GlueEndpoint>,
}

impl Deployment {
    pub(crate) fn new(crawls: bool) -> Option<Self> {
        let world = World::new()?;
        let mut machine = world.machine_that_forgets_soon(BATCH);
        let glue = crawls.then(|| {
            let glue = GlueEndpoint::start(Arc::new(SystemClock));
            glue.create_crawler(CRAWLER, DATABASE);
            glue.crawls_take(SOON, SOON);
            let curated = S3Store::under(world.emulator.clients.clone(), &world.data, "curated");
            glue.place(DATABASE, Arc::new(curated));
            machine.set("AWS_ENDPOINT_URL_GLUE", &glue.url);
            machine.set("SLUICEGATE_CRAWLER", CRAWLER);
            machine.set("SLUICEGATE_DATABASE", DATABASE);
            glue
        });
        Some(Self { world, machine, glue })
    }

    /// The state folder is gone, and the lease of whoever died has run out.
    pub(crate) fn lose_state(&self) {
        std::fs::remove_dir_all(self.machine.path("var")).unwrap();
        self.run_out();
    }

    fn run_out(&self) {
        let sql = "UPDATE sluicegate.machine SET seen_at = seen_at - interval '1 hour'";
        self.world.database.shell().batch_execute(sql).unwrap();
    }

    /// Everything is done: rows, objects, archive; the queue is empty; each window is covered by one crawl.
    pub(crate) fn check(&self, documents: &[Document]) {
        check(&self.world, documents);
        assert_eq!(self.world.messages(), 0, "every message is acknowledged");
        let Some(glue) = &self.glue else { return };
        assert_eq!(self.world.ask("SELECT count(*) FROM sluicegate.batch WHERE crawl_id IS NULL"), Some(0));
        let crawls = self.world.ask("SELECT count(*) FROM sluicegate.crawl WHERE state = 'succeeded'");
        assert_eq!(crawls, self.world.ask("SELECT count(*) FROM sluicegate.crawl"), "every crawl ended well");
        self.check_covered(&glue.history(CRAWLER));
    }

    /// Each crawl of the ledger is one of Glue's own, which saw all objects of its batches when it began; Glue has no other.
    fn check_covered(&self, history: &[Crawl]) {
        let mut used = BTreeSet::new();
        for row in self.world.database.select(&FOLLOWED.replace("sluicegate_", "sluicegate.")) {
            let (crawl_id, name) = (&row[0], &row[1]);
            let crawl = history.iter().find(|crawl| crawl.id == *name);
            let crawl = crawl.unwrap_or_else(|| panic!("{crawl_id} says {name:?}: {history:#?}"));
            assert_eq!(crawl.end, End::Succeeds, "{crawl_id}");
            assert!(used.insert(name.clone()), "{name} is said to cover two windows");
            let adopted = format!(
                "SELECT t.csv_key FROM sluicegate.batch b JOIN sluicegate.batch_table t USING (batch_id)
                 WHERE b.crawl_id = '{crawl_id}' AND t.csv_key IS NOT NULL"
            );
            let adopted = self.world.database.select(&adopted);
            assert!(!adopted.is_empty(), "{crawl_id} covers nothing");
            for key in adopted.into_iter().flatten() {
                assert!(crawl.seen.contains(&key), "{crawl_id}: {key} was not there when {crawl:#?} began");
            }
        }
        assert_eq!(history.len(), used.len(), "crawls that cover nothing: {history:#?}");
    }

    pub(crate) fn traced(&self) -> Kills {
        Kills::traced(&self.machine.path("trace"))
    }
}

/// What a life is killed at: first death, state lost with it, last death.
#[derive(Clone)]
struct Fate {
    crawls: bool,
    first: Option<(&'static str, bool)>,
    at: String,
}

fn fates() -> Vec<Fate> {
    let fate = |crawls, first, effect: &str, after| {
        let at = format!("{effect}:1:{}", moment(after));
        Fate { crawls, first, at }
    };
    let mut fates = Vec::new();
    for after in [false, true] {
        // The slow ones first.
        fates.extend(CRAWLED.iter().map(|effect| fate(true, None, effect, after)));
        fates.extend(UNCRAWLED.iter().map(|effect| fate(false, None, effect, after)));
        let second = |&(first, lost, effect): &(&'static str, bool, &'static str)| {
            fate(false, Some((first, lost)), effect, after)
        };
        fates.extend(SECOND_DEATHS.iter().map(second));
    }
    fates
}

/// A deployment whose drain meets its fate, is started again, and sees a second window; what its trace tells.
fn live(fate: &Fate) -> Option<Kills> {
    let mut deployment = Deployment::new(fate.crawls)?;
    let [first, second] = windows().map(below_prefix);
    deployment.world.upload(&first);
    let mut lost_state = false;
    if let Some((at, lost)) = fate.first {
        must_die(&mut deployment.machine, DRAIN, at);
        lost_state = lost;
        if lost {
            deployment.lose_state();
        }
    }
    must_die(&mut deployment.machine, DRAIN, &fate.at);
    if lost_state {
        deployment.run_out();
    }
    restart_until_done(&deployment.machine, DRAIN);
    deployment.world.upload(&second);
    restart_until_done(&deployment.machine, DRAIN);
    deployment.check(&[first, second].concat());
    Some(deployment.traced())
}

/// The kills; none, and a word about how to get them, where a server is missing.
pub(crate) fn kills() -> Option<&'static Kills> {
    static KILLS: OnceLock<Option<Kills>> = OnceLock::new();
    KILLS.get_or_init(|| {
        Deployment::new(false)?;
        let kills = Mutex::new(Kills::default());
        let fates = fates();
        side_by_side(WORKERS, &fates, |fate| {
            let traced = live(fate).expect("the servers are there");
            kills.lock().unwrap().add(&traced);
        });
        Some(kills.into_inner().unwrap())
    });
    KILLS.get().and_then(Option::as_ref)
}

#[test]
fn a_drain_on_aws_is_killed_at_each_effect() {
    let Some(kills) = kills() else { return };
    counted("kills-aws", kills.count(), "kills of a drain between PostgreSQL and the stand-in for AWS");
    for effect in CRAWLED.iter().chain(UNCRAWLED).copied().chain(["bury.commit", "adopt.commit"]) {
        assert!(kills.met(effect, false) && kills.met(effect, true), "{effect}");
    }
}

/// Every moment, and not only the first of each name: for `scripts/prove`.
#[test]
fn a_drain_on_aws_is_killed_at_each_moment() {
    if !full() || Deployment::new(false).is_none() {
        return;
    }
    let points = advance(WORKERS, 1, |number, after| {
        let mut deployment = Deployment::new(true).expect("the servers are there");
        let [first, second] = windows().map(below_prefix);
        deployment.world.upload(&first);
        let at = format!("{number}:{}", moment(after));
        let met = crate::deaths::dies(&mut deployment.machine, DRAIN, &at);
        restart_until_done(&deployment.machine, DRAIN);
        deployment.world.upload(&second);
        restart_until_done(&deployment.machine, DRAIN);
        deployment.check(&[first, second].concat());
        met
    });
    counted("kills-aws-all", points, "moments of a first drain on AWS: killed at each");
    assert!(points >= 100, "{points}");
}
