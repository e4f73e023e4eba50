//! Goal: what listens to a queue ends cleanly when a signal asks it to, though it waits for messages at that moment: it says
//! what it did, notes its end, and the next start is none after a death.

use rusqlite::{Connection, OpenFlags};

use crate::checker::check;
use crate::fleet::{finish, strangers};
use crate::support::{Project, until};
use crate::world::World;

/// Processes that began, and those of them that said farewell; none before there is a state.
fn lives(machine: &Project) -> Option<(u64, u64)> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let state = Connection::open_with_flags(machine.path("var/state.db"), flags).ok()?;
    let sql = "SELECT count(*), count(ended_at) FROM incarnation";
    state.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).ok()
}

#[test]
fn what_listens_to_a_queue_ends_cleanly() {
    let Some(world) = World::new() else { return };
    let machine = world.machine(10);
    let documents = strangers(82, 3);
    world.upload(&documents);
    let commands: [&[&str]; 3] = [&["listen"], &["run"], &["drain", "--watch", "--output", "json"]];
    for (begun, words) in (1..).zip(commands) {
        let running = machine.start(words);
        until("it is at work", || (lives(&machine)?.0 == begun && world.messages() == 0).then_some(()));
        running.signal("TERM");
        let ended = running.wait().0.exits(0);
        if words.contains(&"json") {
            assert!(ended.json()["batches"].is_u64(), "{ended:?}");
        }
        assert_eq!(lives(&machine), Some((begun, begun)), "`{}` said farewell", words.join(" "));
    }
    finish(&machine);
    check(&world, &documents);
}
