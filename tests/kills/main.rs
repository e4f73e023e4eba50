//! The built binary, killed for real: with the cargo feature `faults` it sends itself SIGKILL at a numbered effect. It is
//! started again until everything is done, and what is left is held against the oracle of the end-to-end tests, which
//! shares no code with it. Every effect that the program has a name for is met by a real kill, before it and after it.
//!
//! `SLUICEGATE_FULL=1` tries every moment where else there is a sample.

#[cfg(feature = "aws")]
#[path = "../catalog/athena.rs"]
#[allow(dead_code)]
mod athena;
#[cfg(feature = "aws")]
#[path = "../sns/authority.rs"]
#[allow(dead_code)]
mod authority;
#[path = "../e2e/checker/mod.rs"]
#[allow(dead_code, unused_imports)]
mod checker;
#[cfg(feature = "aws")]
#[path = "../cloud/checker.rs"]
mod cloud_checker;
#[cfg(feature = "aws")]
#[path = "../cloud/proxy/mod.rs"]
#[allow(dead_code, unused_imports)]
mod cloud_proxy;
#[cfg(feature = "aws")]
#[path = "../cloud/world.rs"]
#[allow(dead_code)]
mod cloud_world;
#[path = "../e2e/corpus/mod.rs"]
#[allow(dead_code)]
mod corpus;
#[path = "../conformance/counts.rs"]
mod counts;
#[cfg(feature = "aws")]
#[path = "../aws/emulator.rs"]
#[allow(dead_code)]
mod emulator;
#[cfg(feature = "aws")]
#[path = "../glue/endpoint/mod.rs"]
mod endpoint;
#[path = "../docs/faults.rs"]
mod faults;
#[cfg(feature = "aws")]
#[path = "../glue/endpoint/http.rs"]
#[allow(
    clippy::duplicate_mod,
    reason = "Athena speaks the same protocol, and the Glue keeps its own to itself"
)]
mod http;
#[cfg(feature = "aws")]
#[path = "../conformance/manual_clock.rs"]
#[allow(dead_code)]
mod manual_clock;
#[cfg(feature = "aws")]
#[path = "../sns/message.rs"]
#[allow(dead_code)]
mod message;
#[cfg(feature = "aws")]
#[path = "../conformance/openssl.rs"]
#[allow(dead_code)]
mod openssl;
#[path = "../e2e/oracle.rs"]
#[allow(dead_code)]
mod oracle;
#[cfg(feature = "aws")]
#[path = "../sns/program.rs"]
#[allow(dead_code)]
mod program;
#[cfg(feature = "aws")]
#[path = "../postgres/server.rs"]
#[allow(dead_code)]
mod server;
#[cfg(feature = "aws")]
#[path = "../aws/sns.rs"]
#[allow(dead_code)]
mod sns;
#[cfg(feature = "aws")]
#[path = "../sns/proxy.rs"]
#[allow(dead_code)]
mod sns_proxy;
#[path = "../e2e/support/mod.rs"]
#[allow(dead_code, unused_imports)]
mod support;

#[cfg(feature = "aws")]
mod catalog;
#[cfg(feature = "aws")]
mod cloud;
mod commands;
mod deaths;
mod documents;
mod embedded;
mod failing;
#[cfg(feature = "aws")]
mod failing_cloud;
mod restored;
#[cfg(feature = "aws")]
mod stopping;
#[allow(dead_code, reason = "the words are for the page, which tests/crash makes")]
mod story;
#[cfg(feature = "aws")]
mod subscription;

/// The proxies of two families of tests, under the one name by which each knows its own.
#[cfg(feature = "aws")]
mod proxy {
    pub(crate) use crate::cloud_proxy::HttpProxy;
    pub(crate) use crate::sns_proxy::{Page, Proxy};
}

/// The same for what surrounds the program.
#[cfg(feature = "aws")]
mod world {
    pub(crate) use crate::cloud_world::World;

    pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
        crate::support::until(what, || holds().then_some(()));
    }
}

use std::collections::BTreeSet;

use deaths::{Kills, counted};

/// Nothing is left out; a name would stand here with the reason why no real process can be killed at it.
const EXCEPTIONS: &[(&str, &str)] = &[];

/// The proof of completeness: the traces of all tests together.
#[test]
fn every_effect_is_met_by_a_real_kill() {
    let mut kills = Kills::default();
    kills.add(embedded::first_window());
    kills.add(embedded::second_window());
    kills.add(commands::kills());
    #[cfg(feature = "aws")]
    {
        kills.add(catalog::kills());
        kills.add(stopping::kills());
        for more in [cloud::kills(), subscription::kills()].into_iter().flatten() {
            kills.add(more);
        }
    }
    counted(
        "kills",
        kills.count(),
        "real kills of the built binary, each followed by a restart and the oracle",
    );
    let excepted: BTreeSet<&str> = EXCEPTIONS.iter().map(|(name, _)| *name).collect();
    let names = sluicegate::effects::ALL.iter().chain(sluicegate_state::effects::ALL);
    let mut missed = Vec::new();
    for name in names.filter(|name| !excepted.contains(**name) && can_be_met(name)) {
        missed.extend(
            [false, true].iter().filter(|after| !kills.met(name, **after)).map(|after| (*name, *after)),
        );
    }
    assert!(missed.is_empty(), "no real kill met (name, after): {missed:?}");
}

/// Whether what an effect needs is on this machine; `scripts/test` names what is missing, and the command for it.
fn can_be_met(effect: &str) -> bool {
    match effect {
        "listing.claim" | "inbox.give_back" => has_servers(),
        "subscription.confirm" => has_endpoint(),
        "catalog.define" | "query.stop" => cfg!(feature = "aws"),
        _ => true,
    }
}

#[cfg(feature = "aws")]
fn has_servers() -> bool {
    cloud::kills().is_some()
}

/// An endpoint for SNS needs a certificate.
#[cfg(feature = "aws")]
fn has_endpoint() -> bool {
    authority::authority().is_some()
}

#[cfg(not(feature = "aws"))]
fn has_servers() -> bool {
    false
}

#[cfg(not(feature = "aws"))]
fn has_endpoint() -> bool {
    false
}

#[test]
fn the_story_has_a_line_for_every_effect() {
    let told: BTreeSet<&str> = story::lines().map(|line| line.effect).collect();
    let names = sluicegate::effects::ALL.iter().chain(sluicegate_state::effects::ALL);
    assert_eq!(told, names.copied().collect());
    assert_eq!(story::lines().count(), told.len(), "one line each");
}
