//! The built binary, killed for real: with the cargo feature `faults` it sends itself SIGKILL at a numbered effect. It is
//! started again until everything is done, and what is left is held against the oracle of the end-to-end tests, which
//! shares no code with it. Every effect that the program has a name for is met by a real kill, before it and after it, on
//! embedded parts and between PostgreSQL and a stand-in for AWS; what one of the two does not have stands in kinds.rs.
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
mod covered;
mod deaths;
mod documents;
mod embedded;
mod failing;
#[cfg(feature = "aws")]
mod failing_cloud;
mod kinds;
#[cfg(feature = "aws")]
mod rarer_cloud;
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
use kinds::Kind;

/// The traces of all tests together, of each kind of deployment.
fn kills() -> Vec<(Kind, Kills)> {
    let mut embedded = Kills::default();
    for kills in [embedded::first_window(), embedded::second_window(), commands::kills()] {
        embedded.add(kills);
    }
    #[cfg_attr(not(feature = "aws"), allow(unused_mut))]
    let mut all = vec![(Kind::Embedded, embedded)];
    #[cfg(feature = "aws")]
    {
        let mut aws = Kills::default();
        let servers = [cloud::kills(), rarer_cloud::kills(), subscription::kills()];
        for kills in [catalog::kills(), stopping::kills()].into_iter().chain(servers.into_iter().flatten()) {
            aws.add(kills);
        }
        all.push((Kind::Aws, aws));
    }
    all
}

/// The proof of completeness: adapters of one port share no line, so one kind of deployment never speaks for the other.
#[test]
fn every_effect_is_met_by_a_real_kill() {
    let all = kills();
    counted(
        "kills",
        all.iter().map(|(_, kills)| kills.count()).sum(),
        "real kills of the built binary, each followed by a restart and a look at all that is left",
    );
    for (kind, kills) in all {
        let moments = kind.effects().flat_map(|name| [(name, false), (name, true)]);
        let missed: Vec<_> = moments.filter(|(name, after)| !kills.met(name, *after)).collect();
        assert!(missed.is_empty(), "no real kill on {kind:?} met (name, after): {missed:?}");
        let names = sluicegate::effects::ALL.iter().chain(sluicegate_state::effects::ALL);
        let lacking = names.filter(|name| kind.lacks(name).is_some());
        let strangers: Vec<_> = lacking.filter(|n| kills.met(n, false) || kills.met(n, true)).collect();
        assert!(strangers.is_empty(), "said not to exist on {kind:?}, and met: {strangers:?}");
    }
}

/// The page for the reader names a command for each effect: that one was killed there.
#[test]
fn every_line_of_the_story_was_met_in_the_command_that_it_names() {
    let mut all = Kills::default();
    kills().iter().for_each(|(_, kills)| all.add(kills));
    for line in story::lines() {
        let command = line.command.split(',').next().unwrap();
        for after in [false, true] {
            if all.met(line.effect, after) {
                assert!(all.met_in(line.effect, after, command), "{}: {}", line.effect, line.command);
            }
        }
    }
}

#[test]
fn the_story_has_a_line_for_every_effect() {
    let told: BTreeSet<&str> = story::lines().map(|line| line.effect).collect();
    let names = sluicegate::effects::ALL.iter().chain(sluicegate_state::effects::ALL);
    assert_eq!(told, names.copied().collect());
    assert_eq!(story::lines().count(), told.len(), "one line each");
}
