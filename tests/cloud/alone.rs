//! Goal: a machine that is gone for good, with its disk, is finished by the others: nothing lost, nothing twice.

use std::collections::BTreeSet;

use crate::checker::check;
use crate::fleet::{finish, strangers};
use crate::support::{Project, until};
use crate::world::World;

fn watching(world: &World) -> Project {
    let machine = world.machine_that_forgets_soon(10);
    machine.edit("jobs/invoices.toml", "seconds = 5\n", "seconds = 1\n");
    machine
}

/// Who said that they live.
fn incarnations(world: &World) -> BTreeSet<String> {
    let Some(_) = world.ask("SELECT count(*) FROM sluicegate.machine") else { return BTreeSet::new() };
    world.database.select("SELECT incarnation FROM sluicegate.machine").into_iter().flatten().collect()
}

#[test]
fn what_a_dead_machine_left_is_finished_by_the_others() {
    let Some(world) = World::new() else { return };
    let documents = strangers(91, 400);
    let (first, second) = (watching(&world), watching(&world));
    let doomed = first.start(&["drain", "--watch"]);
    let alone = until("the first machine lives", || Some(incarnations(&world)).filter(|all| !all.is_empty()));
    let survivor = second.start(&["drain", "--watch"]);
    until("the second machine lives", || (incarnations(&world).len() == 2).then_some(()));
    let doomed_name = alone.first().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| world.upload(&documents));
        let loaded = format!("SELECT count(*) FROM sluicegate.batch WHERE incarnation = '{doomed_name}'");
        until("the first machine has loaded something", || (world.ask(&loaded)? >= 2).then_some(()));
        doomed.kill();
        std::fs::remove_dir_all(first.path("var")).unwrap();
    });
    let others = format!("SELECT count(*) FROM sluicegate.batch WHERE incarnation <> '{doomed_name}'");
    until("the second machine has loaded something", || (world.ask(&others)? >= 1).then_some(()));
    // Its lease of a minute has run out.
    let aged = format!(
        "UPDATE sluicegate.machine SET seen_at = seen_at - interval '1 hour' WHERE incarnation = '{doomed_name}'"
    );
    world.database.shell().batch_execute(&aged).unwrap();
    let unfinished = || {
        let sql = "SELECT archive_key FROM sluicegate.batch WHERE published_at IS NOT NULL";
        let published: BTreeSet<String> = world.database.select(sql).into_iter().flatten().collect();
        world.archived().difference(&published).count()
    };
    eprintln!("{} batches are archived and not published when the machine is gone", unfinished());
    until("the second machine has finished everything that is archived", || {
        (unfinished() == 0 && world.messages() == 0).then_some(())
    });
    // What the dead machine had journaled and not yet archived is in nobody's state: its replacement lists the landing.
    let replacement = world.machine(1_000);
    finish(&replacement);
    survivor.signal("TERM");
    survivor.wait().0.exits(0);
    finish(&second);
    check(&world, &documents);
}
