//! Rarer moments and other commands between PostgreSQL and the stand-ins for AWS: what commands.rs and failing.rs do on
//! embedded parts, and what the adapters of S3, SNS, Athena and PostgreSQL have to survive on their own.

use std::sync::{Mutex, OnceLock};

use crate::cloud::Deployment;
use crate::cloud_world::below_prefix;
use crate::commands::QUERY;
use crate::corpus::Document;
use crate::deaths::{FAULT, Kills, counted, moment, must_die, restart_until_done, side_by_side};
use crate::documents::windows;
use crate::embedded::DRAIN;
use crate::emulator::fresh_name;
use crate::failing::{Failures, WAYS, fail_each, fail_with, traced};
use crate::sns;
use crate::support::Project;

/// Worlds at a time. They mostly wait.
const WORKERS: usize = 8;
const IMPATIENT: &[&str] = &["drain", "--patience", "0s"];
const RECONCILE: &[&str] = &["reconcile"];
const REPAIR: &[&str] = &["reconcile", "--repair"];
/// A CSV object cannot be written, once.
const NOT_WRITTEN: &str = "curated.put:1:before";
/// More often than a drain without patience tries to write an archive object.
const MOST_PUTS: usize = 50;

/// The first window's documents have landed.
fn landed() -> Option<(Deployment, Vec<Document>)> {
    let deployment = Deployment::new(false)?;
    let [documents, _] = windows().map(below_prefix);
    deployment.world.upload(&documents);
    Some((deployment, documents))
}

/// The same where a catalog and a query engine are there too, and everything is done.
fn asked() -> Option<(Deployment, Vec<Document>)> {
    let (mut deployment, documents) = landed()?;
    let catalog = fresh_name("kills").replace('-', "_");
    let answers = format!("s3://{}/answers/", deployment.world.data);
    for (name, value) in [
        ("SLUICEGATE_DATABASE", catalog.as_str()),
        ("SLUICEGATE_CRAWLER_ROLE", "arn:aws:iam::123456789012:role/glue"),
        ("SLUICEGATE_WORKGROUP", "primary"),
        ("SLUICEGATE_ATHENA_OUTPUT", &answers),
    ] {
        deployment.machine.set(name, value);
    }
    // The stand-in has one namespace for all crawlers.
    deployment.machine.set("SLUICEGATE_CRAWLER", format!("crawl-{catalog}"));
    deployment.machine.run(&["catalog", "--apply"]).exits(0);
    restart_until_done(&deployment.machine, &["drain", "--crawl", "--patience", "60s"]);
    Some((deployment, documents))
}

/// Everything is proven, and just as the oracle says.
fn is_proven(deployment: &Deployment, documents: &[Document]) {
    deployment.machine.run(QUERY).exits(0).prints("n");
    deployment.machine.run(RECONCILE).exits(0).prints("BALANCED");
    // The reports lie beside the CSV objects, and the checker knows only those.
    let Deployment { world, .. } = deployment;
    for key in world.objects(&world.data, "curated/.reports/").into_keys() {
        world.emulator.remove(&world.data, &format!("curated/.reports/{key}"));
    }
    deployment.check(documents);
}

/// A question and a proof die, as the proof is recorded and as its report is written and put.
fn a_proof(after: bool) -> Option<Kills> {
    let (mut deployment, documents) = asked()?;
    must_die(&mut deployment.machine, QUERY, &format!("query.run:1:{}", moment(after)));
    for at in ["proof.commit:1", "report.write:1", "report.put:1", "report.write:3", "report.put:2"] {
        must_die(&mut deployment.machine, RECONCILE, &format!("{at}:{}", moment(after)));
    }
    is_proven(&deployment, &documents);
    Some(deployment.traced())
}

/// What a person has done by hand, by the record of it.
fn operations(deployment: &Deployment) -> i64 {
    deployment.world.ask("SELECT count(*) FROM sluicegate.operation").unwrap()
}

/// A CSV object was deleted by hand, and the repair dies as it writes it again, and as it records that.
fn a_repair(after: bool) -> Option<Kills> {
    let (mut deployment, documents) = asked()?;
    let key = deployment.world.curated().into_keys().find(|key| key.starts_with("invoices/")).unwrap();
    let key = format!("curated/{key}");
    let bytes = deployment.world.read(&deployment.world.data, &key);
    let mut recorded = 0;
    for at in ["curated.put:1", "proof.commit:1", "proof.commit:2"] {
        deployment.world.emulator.remove(&deployment.world.data, &key);
        let before = operations(&deployment);
        must_die(&mut deployment.machine, REPAIR, &format!("{at}:{}", moment(after)));
        recorded += operations(&deployment) - before;
        deployment.machine.run(REPAIR).exits(0);
        assert!(deployment.world.read(&deployment.world.data, &key) == bytes, "the same bytes again: {key}");
    }
    assert_eq!(recorded, i64::from(after), "one of the two commits is that of the record");
    is_proven(&deployment, &documents);
    Some(deployment.traced())
}

/// No archive object can be written.
fn not_archived() -> String {
    (1..=MOST_PUTS).map(|number| format!("archive.put:{number}:before")).collect::<Vec<_>>().join(",")
}

/// A topic that is told of a document near its end, the number of messages in it, and the document.
struct Alarmed {
    deployment: Deployment,
    heard: String,
    documents: Vec<Document>,
}

impl Alarmed {
    fn new() -> Option<Self> {
        let (mut deployment, documents) = landed()?;
        let emulator = &deployment.world.emulator;
        let (topic, heard) = (sns::topic(emulator), emulator.queue());
        sns::subscribe(emulator, &topic, &emulator.queue_arn(&heard), false);
        deployment.machine.set("SLUICEGATE_ALERT_TOPIC", topic);
        deployment.machine.edit("jobs/invoices.toml", "format = ", "expires_after_hours = 1\nformat = ");
        Some(Self { deployment, heard, documents })
    }

    /// It was told so often, and everything is done once it can be.
    fn ends(mut self, times: u64) -> Project {
        assert_eq!(self.deployment.world.emulator.messages(&self.heard), times, "told");
        self.deployment.machine.set(FAULT, "");
        restart_until_done(&self.deployment.machine, DRAIN);
        self.deployment.check(&self.documents);
        self.deployment.machine
    }
}

/// Documents that are near their end and cannot be archived; whoever tells of them dies. It is told twice rather than
/// never.
fn an_alert(after: bool) -> Option<Kills> {
    let mut alarmed = Alarmed::new()?;
    let machine = &mut alarmed.deployment.machine;
    machine.set(FAULT, not_archived());
    must_die(machine, IMPATIENT, &format!("alert.push:1:{}", moment(after)));
    machine.run(IMPATIENT).exits(1);
    Some(Kills::traced(&alarmed.ends(1 + u64::from(after)).path("trace")))
}

/// A CSV object cannot be written, and the process dies while it notes that.
fn a_failure_to_record(after: bool) -> Option<Kills> {
    let (mut deployment, documents) = landed()?;
    deployment.machine.set(FAULT, NOT_WRITTEN);
    must_die(&mut deployment.machine, DRAIN, &format!("attempt_failed.commit:1:{}", moment(after)));
    deployment.machine.set(FAULT, "");
    restart_until_done(&deployment.machine, DRAIN);
    deployment.check(&documents);
    Some(deployment.traced())
}

/// The kills of all of them; none where a server is missing.
pub(crate) fn kills() -> Option<&'static Kills> {
    static KILLS: OnceLock<Option<Kills>> = OnceLock::new();
    KILLS.get_or_init(|| {
        Deployment::new(false)?;
        type Scenario = fn(bool) -> Option<Kills>;
        let scenarios: [Scenario; 4] = [a_proof, a_repair, an_alert, a_failure_to_record];
        let tasks: Vec<_> =
            scenarios.iter().flat_map(|scenario| [(*scenario, false), (*scenario, true)]).collect();
        let kills = Mutex::new(Kills::default());
        side_by_side(WORKERS, &tasks, |(scenario, after)| {
            let traced = scenario(*after).expect("the servers are there");
            kills.lock().unwrap().add(&traced);
        });
        Some(kills.into_inner().unwrap())
    });
    KILLS.get().and_then(Option::as_ref)
}

#[test]
fn rarer_moments_and_other_commands_on_aws() {
    let Some(kills) = kills() else { return };
    counted("kills-commands-aws", kills.count(), "kills in other commands and rarer moments on AWS");
    assert!(kills.count() >= 22, "{kills:?}");
}

/// A question, a proof and its report.
fn a_failing_proof(way: &'static str) -> Option<Project> {
    let (mut deployment, documents) = asked()?;
    fail_each(&mut deployment.machine, QUERY, &["query.run"], way);
    fail_each(&mut deployment.machine, RECONCILE, &["proof.commit", "report.put", "report.write"], way);
    is_proven(&deployment, &documents);
    Some(deployment.machine)
}

/// It is told again where nobody knows whether it was heard.
fn a_failing_alert(way: &'static str) -> Option<Project> {
    let mut alarmed = Alarmed::new()?;
    let machine = &mut alarmed.deployment.machine;
    fail_with(machine, IMPATIENT, &["alert.push"], way, &not_archived());
    machine.set(FAULT, not_archived());
    machine.run(IMPATIENT).exits(1);
    Some(alarmed.ends(1 + u64::from(way == "after")))
}

/// The dead are buried.
fn after_a_death(way: &'static str) -> Option<Project> {
    let (mut deployment, documents) = landed()?;
    must_die(&mut deployment.machine, DRAIN, "archive.put:1:after");
    fail_each(&mut deployment.machine, DRAIN, &["bury.commit"], way);
    restart_until_done(&deployment.machine, DRAIN);
    deployment.check(&documents);
    Some(deployment.machine)
}

/// A CSV object cannot be written, and that is noted.
fn a_failure_to_note(way: &'static str) -> Option<Project> {
    let (mut deployment, documents) = landed()?;
    fail_with(&mut deployment.machine, DRAIN, &["attempt_failed.commit"], way, NOT_WRITTEN);
    restart_until_done(&deployment.machine, DRAIN);
    deployment.check(&documents);
    Some(deployment.machine)
}

/// What a lost state left is adopted.
fn after_a_loss(way: &'static str) -> Option<Project> {
    let (mut deployment, documents) = landed()?;
    must_die(&mut deployment.machine, DRAIN, "warehouse.commit:1:after");
    deployment.lose_state();
    fail_each(&mut deployment.machine, DRAIN, &["adopt.commit"], way);
    restart_until_done(&deployment.machine, DRAIN);
    deployment.check(&documents);
    Some(deployment.machine)
}

/// All of them; none where a server is missing.
pub(crate) fn failures() -> Option<&'static Failures> {
    static FAILURES: OnceLock<Option<Failures>> = OnceLock::new();
    FAILURES.get_or_init(|| {
        Deployment::new(false)?;
        type Scenario = fn(&'static str) -> Option<Project>;
        let scenarios: [Scenario; 5] =
            [a_failing_proof, a_failing_alert, after_a_death, a_failure_to_note, after_a_loss];
        let tasks: Vec<_> =
            scenarios.iter().flat_map(|scenario| WAYS.iter().map(move |way| (*scenario, *way))).collect();
        let failures = Mutex::new(Failures::new());
        side_by_side(WORKERS, &tasks, |(scenario, way)| {
            let machine = scenario(way).expect("the servers are there");
            failures.lock().unwrap().extend(traced(&machine.path("trace")));
        });
        Some(failures.into_inner().unwrap())
    });
    FAILURES.get().and_then(Option::as_ref)
}
