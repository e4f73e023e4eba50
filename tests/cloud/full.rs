//! Goal: a journal that cannot be written leaves in the queue what it did not take, says so, and takes it once it can.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::checker::check;
use crate::fleet::{finish, strangers};
use crate::support::{SmallDisk, until};
use crate::world::World;

/// More messages than there is room for in the log that SQLite already has on the disk.
const MANY: u64 = 300;
pub(crate) const REFUSED: &str = "the journal cannot be written, so nothing is acknowledged";

/// Notifications in the journal; none where it is not there, or may not be read now.
pub(crate) fn journaled(state: &Path) -> Option<u64> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(state.join("state.db"), flags).ok()?;
    connection.query_row("SELECT count(*) FROM notification", [], |row| row.get(0)).ok()
}

#[test]
fn a_full_disk_under_the_journal_leaves_the_messages_in_the_queue() {
    let Some(world) = World::new() else { return };
    let machine = world.machine_that_forgets_soon(100).with("SLUICEGATE_STATE", "state");
    let Some(disk) = SmallDisk::at(machine.path("state"), "4m") else { return };
    let mut documents = strangers(81, 1 + MANY);
    let others = documents.split_off(1);
    world.upload(&documents);
    let listen = machine.start(&["listen"]);
    until("the first one is journaled and acknowledged", || {
        (journaled(&disk.path)? == 1 && world.messages() == 0).then_some(())
    });

    disk.fill();
    world.upload(&others);
    until("it says so", || listen.told().contains(REFUSED).then_some(()));
    until("what is not in the journal is in the queue, and nothing else is", || {
        // There may be room for a few messages where there is none for more of them.
        let taken = journaled(&disk.path)?;
        assert!(taken < 1 + MANY, "the disk is full");
        (world.messages() == 1 + MANY - taken).then_some(())
    });
    machine.run(&["status"]).exits(3).prints("so nothing is acknowledged").prints("df -h state");

    disk.free();
    until("all is journaled and acknowledged", || {
        (journaled(&disk.path)? == 1 + MANY && world.messages() == 0).then_some(())
    });
    listen.signal("TERM");
    listen.wait().0.exits(0);
    finish(&machine);
    documents.extend(others);
    check(&world, &documents);
    machine.run(&["reconcile"]).prints("BALANCED");
}
