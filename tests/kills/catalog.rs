//! `catalog --apply`, killed at each thing that it makes.

#[path = "../catalog/world.rs"]
#[allow(dead_code)]
pub(crate) mod world;

use std::sync::OnceLock;

use crate::deaths::{KILL_AT, Kills, TRACE, counted, moment, was_killed};
use world::World;

/// More than there are tables, views and crawlers.
const MOST: usize = 20;

pub(crate) fn kills() -> &'static Kills {
    static KILLS: OnceLock<Kills> = OnceLock::new();
    KILLS.get_or_init(|| {
        let calm = World::new();
        calm.apply().exits(0);
        let mut kills = Kills::default();
        for after in [false, true] {
            for number in 1..=MOST {
                let (world, trace) = (World::new(), tempfile::NamedTempFile::new().unwrap());
                let mut doomed = world.command(&["catalog", "--apply"]);
                doomed.env(KILL_AT, format!("catalog.define:{number}:{}", moment(after)));
                let output = doomed.env(TRACE, trace.path()).output().unwrap();
                let killed = was_killed(output.status);
                world.apply().exits(0);
                assert_eq!(world.catalog().exits(0).differences(), [""; 0], "killed at {number}");
                assert_eq!(world.content().len(), calm.content().len());
                let traced = Kills::traced(trace.path());
                assert_eq!(traced.count(), usize::from(killed), "{output:?}");
                kills.add(&traced);
                if !killed {
                    break;
                }
            }
        }
        kills
    })
}

#[test]
fn an_apply_is_killed_at_each_thing_that_it_makes() {
    let kills = kills();
    counted("kills-catalog", kills.count(), "moments of `catalog --apply`: killed at each");
    assert!(kills.count() >= 8, "{kills:?}");
}
