//! Goal: a journal that somebody holds, or whose disk turns read-only under the running program, takes nothing: what
//! came stays in the queue, the program says so, and goes on by itself once the journal can be written.

use std::path::Path;

use rusqlite::Connection;

use crate::checker::check;
use crate::fleet::{finish, strangers};
use crate::full::{REFUSED, journaled};
use crate::shim::Shim;
use crate::support::{Project, until};
use crate::world::World;

/// Documents that come while the journal takes nothing.
const MEANWHILE: u64 = 25;

/// The journal and the queue hold so many, and nothing is in neither.
fn until_held(world: &World, state: &Path, in_journal: u64, in_queue: u64) {
    until(&format!("{in_journal} in the journal, {in_queue} in the queue"), || {
        (journaled(state)? == in_journal && world.messages() == in_queue).then_some(())
    });
}

/// One document in peace; then the journal takes nothing, while others come; then it does again.
fn refused_for_a_while<T>(
    world: &World,
    machine: &Project,
    command: &str,
    seed: u64,
    begin: impl FnOnce(&Path) -> T,
    end: impl FnOnce(T),
) {
    let state = machine.path("var");
    let mut documents = strangers(seed, 1 + MEANWHILE);
    let others = documents.split_off(1);
    world.upload(&documents);
    let running = machine.start(&[command, "-v"]);
    until_held(world, &state, 1, 0);
    if command == "run" {
        // What a run does with the first one is over, so that nothing but the listener is at work.
        until("the first one is loaded", || {
            (world.ask("SELECT count(*) FROM sluicegate.document")? == 1).then_some(())
        });
    }

    let refusing = begin(&state);
    world.upload(&others);
    until("it says so", || running.told().contains(REFUSED).then_some(()));
    assert_eq!(journaled(&state), Some(1), "nothing is half there");
    until_held(world, &state, 1, MEANWHILE);
    if command == "listen" {
        let status = machine.run(&["status"]);
        let says = [(3, "cannot be written, so nothing is acknowledged"), (1, "may write")];
        let said = |(code, words): &(i32, &str)| {
            status.status.code() == Some(*code) && (status.stdout.clone() + &status.stderr).contains(words)
        };
        assert!(says.iter().any(said), "{status:?}");
    }

    end(refusing);
    until_held(world, &state, 1 + MEANWHILE, 0);
    assert!(running.told().contains("the journal can be written again"), "{}", running.told());
    running.signal("TERM");
    running.wait().0.exits(0);
    finish(machine);
    documents.extend(others);
    check(world, &documents);
    machine.run(&["reconcile"]).prints("BALANCED");
}

/// Somebody looks into the database with a tool, and leaves a transaction open for longer than SQLite waits.
fn held_for_a_while(command: &str, seed: u64) {
    let Some(world) = World::new() else { return };
    let machine = world.machine_that_forgets_soon(100);
    let hold = |state: &Path| {
        let holder = Connection::open(state.join("state.db")).unwrap();
        holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
        holder
    };
    refused_for_a_while(&world, &machine, command, seed, hold, |holder| {
        holder.execute_batch("ROLLBACK").unwrap();
    });
}

#[test]
fn a_locked_journal_leaves_the_messages_in_the_queue() {
    held_for_a_while("listen", 83);
}

#[test]
fn a_run_with_a_locked_journal_leaves_them_there_too() {
    held_for_a_while("run", 84);
}

/// A mounted file system cannot be made read-only by hand while files on it are open for writing; an error of the disk can do it.
/// So the program is told what such a disk tells it.
fn read_only_for_a_while(command: &str, seed: u64) {
    let Some(world) = World::new() else { return };
    let Some(shim) = Shim::new() else { return };
    let mut machine = world.machine_that_forgets_soon(100);
    let (variables, disk) = shim.over(&machine.path("var"));
    for (name, value) in variables {
        machine.set(name, value);
    }
    refused_for_a_while(&world, &machine, command, seed, |_| disk.turn_read_only(), |()| disk.turn_back());
}

#[test]
fn a_disk_that_turns_read_only_leaves_the_messages_in_the_queue() {
    read_only_for_a_while("listen", 85);
}

#[test]
fn a_run_on_a_disk_that_turns_read_only_leaves_them_there_too() {
    read_only_for_a_while("run", 86);
}
