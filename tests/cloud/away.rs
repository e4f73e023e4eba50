//! Goal: PostgreSQL away for longer than the landing lives, and then the disk lost: a fresh process loads everything.

use crate::checker::check;
use crate::corpus::corpus;
use crate::fleet::{finish, strangers};
use crate::proxy::PostgresProxy;
use crate::support::until;
use crate::world::{World, below_prefix};

#[test]
fn with_the_landing_emptied_and_the_state_lost_a_fresh_process_loads_everything() {
    let Some(world) = World::new() else { return };
    let documents = below_prefix(corpus(71, 260));
    world.upload(&documents);
    let postgres = PostgresProxy::start(&world.database.url, 71, 0);
    postgres.stop();
    let machine = world.machine_at(&world.emulator.endpoint, &postgres.url(&world.database.url), 40);
    let stuck = machine.run(&["drain", "--patience", "100ms", "--output", "json"]).exits(1);
    assert!(stuck.json()["waiting"].to_string().contains("the warehouse"), "{stuck:#?}");
    assert_eq!(world.messages(), 0, "everything is journaled and acknowledged");
    assert!(world.archived().len() >= documents.len() / 40, "{:?}", world.archived());
    assert_eq!(world.ask("SELECT count(*) FROM sluicegate.batch"), None);

    world.empty_landing();
    std::fs::remove_dir_all(machine.path("var")).unwrap();
    postgres.go_on();
    let summary = machine.drain(3);
    let expected = check(&world, &documents);
    assert_eq!(summary["rows"], expected.rows(), "{summary}");

    // The disk lost once more, with nothing left to do.
    std::fs::remove_dir_all(machine.path("var")).unwrap();
    let again = machine.drain(0);
    assert_eq!((&again["batches"], &again["rows"]), (&0.into(), &0.into()), "{again}");
    check(&world, &documents);
    machine.run(&["reconcile"]).exits(0).prints("BALANCED");
}

/// The recovery itself is killed, once with its state kept and once with it lost again.
#[test]
fn a_recovery_that_is_killed_is_recovered_from() {
    let Some(world) = World::new() else { return };
    let documents = strangers(73, 400);
    world.upload(&documents);
    let postgres = PostgresProxy::start(&world.database.url, 73, 0);
    postgres.stop();
    let machine = world.machine_at(&world.emulator.endpoint, &postgres.url(&world.database.url), 10);
    machine.run(&["drain", "--patience", "100ms"]).exits(1);
    assert_eq!(world.archived().len(), 40);
    world.empty_landing();
    std::fs::remove_dir_all(machine.path("var")).unwrap();
    postgres.go_on();
    let loaded = || world.ask("SELECT count(*) FROM sluicegate.batch").unwrap_or(0);
    for (batches, lost) in [(3, false), (8, true), (13, false)] {
        // It gets on only while this test looks: whoever stands still finds it where it was.
        postgres.answer_only(0);
        let mut recovery = machine.start(&["drain"]);
        until("some of it is loaded", || {
            let enough = loaded() >= batches || recovery.has_ended();
            postgres.answer_only(u64::from(!enough));
            enough.then_some(())
        });
        assert!(!recovery.has_ended(), "every kill meets a recovery");
        recovery.kill();
        postgres.answer_all();
        if lost {
            std::fs::remove_dir_all(machine.path("var")).unwrap();
        }
    }
    assert!(loaded() < 40, "every kill met a recovery");
    // A state that was lost with its process waits until the lease of that has run out.
    finish(&machine);
    check(&world, &documents);
}
