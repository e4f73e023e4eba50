//! Goal: a drain right after a listener that was stopped, or killed, takes what that left hidden in the queue.

use crate::checker::check;
use crate::fleet::strangers;
use crate::support::{Project, until};
use crate::world::World;

/// A listener is at work: it has journaled a message that was put there for it.
fn listening(world: &World, machine: &Project) -> crate::support::Running {
    let listener = machine.start(&["listen"]);
    world.deliver_again(&["no notification, but a sign of life".to_owned()]);
    until("the listener is at work", || (world.messages() == 0).then_some(()));
    listener
}

#[test]
fn what_a_stopped_listener_left_hidden_is_taken_by_the_next_drain() {
    for signal in ["TERM", "KILL"] {
        let Some(world) = World::new() else { return };
        let machine = world.machine_that_forgets_soon(1_000);
        let documents = strangers(101, 40);
        let listener = listening(&world, &machine);
        // Its long polls are under way, and end with these messages whether anybody listens or not.
        listener.signal(signal);
        if signal == "TERM" {
            listener.wait().0.exits(0);
        } else {
            listener.kill();
        }
        world.upload(&documents);
        let summary = machine.drain(3);
        assert_eq!(world.messages(), 0, "{signal}: {summary}");
        assert_eq!(summary["notifications"], documents.len(), "{signal}: {summary}");
        check(&world, &documents);
    }
}
