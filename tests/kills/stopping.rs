//! What is done at an end that came too soon: the statement that runs in Athena is stopped, and messages that were not
//! journaled are given back to the queue. Both are killed, and both fail; the other side then does without.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock};

use crate::athena::Mood;
use crate::catalog::world::World;
use crate::cloud::Deployment;
use crate::deaths::{
    FAULT, KILL_AT, Kills, TRACE, counted, dies, moment, restart_until_done, side_by_side, was_killed,
};
use crate::documents::windows;
use crate::embedded::DRAIN;
use crate::failing::{Failures, traced};
use crate::kinds::Kind;

/// The journal takes no messages as long as the process lives, however often it tries, and the drain does not wait until it
/// does.
const NEVER_JOURNALED: usize = 40;
const IMPATIENT: &[&str] = &["drain", "--patience", "0s"];
/// Lives until an end comes while messages are there: one that comes later finds them hidden, and they show again.
const MOST_LIVES: usize = 20;
const WORKERS: usize = 3;

/// How an effect goes wrong: by a death, or by a failure.
type Fate = (&'static str, &'static str);

/// A query that a person stops, and that may meet its fate at that; how it ended.
fn stopped_query(world: &World, fate: Option<Fate>, trace: &Path) -> ExitStatus {
    let known = world.athena.statements().len();
    let mut query = world.command(&["query", "SELECT 1"]);
    if let Some((variable, word)) = fate {
        query.env(variable, format!("query.stop:1:{word}")).env(TRACE, trace);
    }
    let mut query = query.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    crate::support::until("the statement runs", || (world.athena.statements().len() > known).then_some(()));
    interrupt(&query);
    crate::support::until("it ends", || query.try_wait().unwrap())
}

fn interrupt(child: &Child) {
    let kill = format!("kill -INT {}", child.id());
    assert!(std::process::Command::new("sh").args(["-c", &kill]).status().unwrap().success(), "{kill}");
}

/// A statement is stopped, or left to its own end; the next one is stopped as if nothing had been. It only reads, so
/// there is nothing else to look at.
fn a_statement(fate: Fate, trace: &Path) {
    let world = World::with_athena(Mood::Runs);
    let status = stopped_query(&world, Some(fate), trace);
    let stops = usize::from(fate.1 != "before");
    assert_eq!(world.athena.stops(), stops, "{fate:?}");
    if fate.0 == KILL_AT {
        assert!(was_killed(status), "{fate:?}: {status}");
    } else {
        assert_eq!(status.code(), Some(1), "{fate:?}: {:?}", status.signal());
    }
    assert_eq!(stopped_query(&world, None, trace).code(), Some(1), "after {fate:?}");
    assert_eq!(world.athena.stops(), stops + 1, "after {fate:?}");
}

/// Messages that were taken, and that the journal did not take, are all there for the next drain.
fn messages((variable, word): Fate, trace: &Path) {
    let mut deployment = Deployment::new(false).expect("the servers are there");
    let [documents, _] = windows().map(crate::cloud_world::below_prefix);
    deployment.world.upload(&documents);
    let machine = &mut deployment.machine;
    let at = format!("inbox.give_back:1:{word}");
    let tries = (1..=NEVER_JOURNALED).map(|number| format!("journal.commit:{number}:before"));
    let not_journaled = tries.collect::<Vec<_>>().join(",");
    let met = if variable == KILL_AT {
        machine.set(FAULT, not_journaled);
        (0..MOST_LIVES).any(|_| dies(machine, IMPATIENT, &at))
    } else {
        let path = machine.path("trace");
        machine.set(FAULT, format!("{not_journaled},{at}"));
        machine.set(TRACE, path.to_str().unwrap().to_owned());
        (0..MOST_LIVES).any(|_| {
            let ended = machine.run(IMPATIENT);
            assert!(matches!(ended.status.code(), Some(0 | 1)), "{ended:#?}");
            traced(&path).contains(&("inbox.give_back".to_owned(), word))
        })
    };
    assert!(met, "`{}` meets {at}", IMPATIENT.join(" "));
    machine.set(FAULT, "");
    restart_until_done(machine, DRAIN);
    deployment.check(&documents);
    std::fs::copy(deployment.machine.path("trace"), trace).unwrap();
}

/// Every fate of both, and what the traces tell; without a queue where a server is missing.
fn ends() -> &'static (Kills, Failures) {
    static ENDS: OnceLock<(Kills, Failures)> = OnceLock::new();
    ENDS.get_or_init(|| {
        let fates =
            [(KILL_AT, "before"), (KILL_AT, "after"), (FAULT, "before"), (FAULT, "after"), (FAULT, "slowly")];
        let mut kinds: Vec<fn(Fate, &Path)> = vec![a_statement];
        if Deployment::new(false).is_some() {
            kinds.insert(0, messages);
        }
        let tasks: Vec<_> = kinds.iter().flat_map(|kind| fates.map(|fate| (*kind, fate))).collect();
        let told = Mutex::new((Kills::default(), Failures::new()));
        side_by_side(WORKERS, &tasks, |(kind, fate)| {
            let trace = tempfile::NamedTempFile::new().unwrap();
            kind(*fate, trace.path());
            let mut told = told.lock().unwrap();
            told.0.add(&Kills::traced(trace.path()));
            told.1.extend(traced(trace.path()));
        });
        told.into_inner().unwrap()
    })
}

pub(crate) fn kills() -> &'static Kills {
    &ends().0
}

pub(crate) fn failures() -> &'static Failures {
    &ends().1
}

#[test]
fn an_end_that_came_too_soon_is_killed_and_fails_too() {
    let kills = kills();
    counted("kills-ends", kills.count(), "kills of a program that stops a statement, or gives messages back");
    for effect in Kind::Aws.effects().filter(|name| ["query.stop", "inbox.give_back"].contains(name)) {
        for after in [false, true] {
            assert!(kills.met(effect, after), "{effect}: {}", moment(after));
        }
    }
}
