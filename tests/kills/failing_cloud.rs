//! The same failures between a real PostgreSQL and the stand-ins for AWS: before an effect, after it, and late.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Mutex, OnceLock};

use crate::cloud::{CRAWLED, Deployment, UNCRAWLED};
use crate::cloud_world::below_prefix;
use crate::deaths::{FAULT, TRACE, restart_until_done, side_by_side};
use crate::documents::everything;
use crate::embedded::DRAIN;
use crate::failing::{Failures, WAYS, fail_each, traced};
use crate::message::Message;
use crate::program::Program;
use crate::proxy::Page;
use crate::subscription::post;

/// Tasks at a time. They mostly wait.
const WORKERS: usize = 5;
/// More than there are tables, views and crawlers, each of which one life makes.
const MOST_DEFINITIONS: usize = 20;

/// A drain in which each effect fails once.
fn drains(way: &'static str) -> Option<Failures> {
    let mut deployment = Deployment::new(true)?;
    let documents = below_prefix(everything());
    deployment.world.upload(&documents);
    let effects: Vec<&str> = UNCRAWLED.iter().chain(CRAWLED).copied().collect();
    fail_each(&mut deployment.machine, DRAIN, &effects, way);
    restart_until_done(&deployment.machine, DRAIN);
    deployment.check(&documents);
    Some(traced(&deployment.machine.path("trace")))
}

/// `catalog --apply` makes what is missing, however its calls went wrong.
fn defines(way: &'static str) -> Option<Failures> {
    let world = crate::catalog::world::World::new();
    let trace = tempfile::NamedTempFile::new().unwrap();
    for number in 1..=MOST_DEFINITIONS {
        let mut apply = world.command(&["catalog", "--apply"]);
        apply.env(FAULT, format!("catalog.define:{number}:{way}")).env(TRACE, trace.path());
        let ended = apply.output().unwrap();
        assert!(matches!(ended.status.code(), Some(0 | 1)), "{ended:?}");
    }
    world.apply().exits(0);
    assert_eq!(world.catalog().exits(0).differences(), [""; 0], "{way}");
    Some(traced(trace.path()))
}

/// An endpoint confirms its subscription, in the end.
fn confirms(way: &'static str) -> Option<Failures> {
    let mut program = Program::new()?;
    let trace = program.path("trace");
    program.set(TRACE, trace.to_str().unwrap());
    program.set(FAULT, &format!("subscription.confirm:1:{way}"));
    let confirmation = Message::confirmation("SubscriptionConfirmation", chrono::Utc::now());
    let confirmation = confirmation.signed(program.authority);
    let subscribe = confirmation.fields["SubscribeURL"].as_str().unwrap().to_owned();
    program.proxy.put(&subscribe, Page::Body(b"<ConfirmSubscriptionResponse/>".to_vec()));
    let mut listening = program.start(&["listen"]);
    let address: SocketAddr = listening.address();
    let first = post(address, &confirmation.body());
    assert_eq!(first == Some(200), way == "slowly", "{first:?}: {}", listening.log());
    crate::support::until("it is confirmed", || {
        (post(address, &confirmation.body()) == Some(200)).then_some(())
    });
    assert_eq!(post(address, &program.landed("a.txt").body()), Some(200), "{}", listening.log());
    Some(traced(&trace))
}

/// All of them; none, and a word about how to get them, where a server is missing.
pub(crate) fn failures() -> Option<&'static Failures> {
    static FAILURES: OnceLock<Option<Failures>> = OnceLock::new();
    FAILURES.get_or_init(|| {
        Deployment::new(false)?;
        type Scenario = fn(&'static str) -> Option<Failures>;
        let scenarios: [Scenario; 3] = [drains, defines, confirms];
        let tasks: Vec<_> =
            scenarios.iter().flat_map(|scenario| WAYS.iter().map(move |way| (*scenario, *way))).collect();
        let failures = Mutex::new(Failures::new());
        side_by_side(WORKERS, &tasks, |(scenario, way)| match scenario(way) {
            Some(met) => failures.lock().unwrap().extend(met),
            None => {
                let _ = writeln!(std::io::stderr(), "skipped: the endpoint for SNS, for there is no openssl");
            }
        });
        Some(failures.into_inner().unwrap())
    });
    FAILURES.get().and_then(Option::as_ref)
}

#[test]
fn effects_on_aws_fail_before_and_after_and_happen_late() {
    let Some(failures) = failures() else { return };
    for effect in UNCRAWLED.iter().chain(CRAWLED).chain(&["catalog.define"]) {
        for way in WAYS {
            assert!(failures.contains(&((*effect).to_owned(), way)), "{effect} {way}");
        }
    }
}
