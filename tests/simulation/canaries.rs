//! Whether the simulation bites: deliberate defects that its seeds have to notice.

use sluicegate_state::canary::{Canary, Song};

use crate::{counts, play};

/// Seeds that a canary is looked for in.
const MOST_SEEDS: u64 = 60;

/// What no seed can notice, and why.
const NOT_HERE: [(Canary, &str); 6] = [
    (Canary::MoveFromAnywhere, "no stage asks for a move that is not allowed"),
    (Canary::NoIfMatch, "the defect is in the adapters, and the simulated landing is none of them"),
    (
        Canary::LeaseNotRenewed,
        "no crawl of the simulation lasts longer than its lease while its owner is busy",
    ),
    (Canary::JournalNotSynced, "no machine of the simulation loses its power"),
    (Canary::LinkedUnsynced, "the same"),
    (Canary::WindowInLocalTime, "the windows are quarters of an hour, which are the same in most places"),
];

/// The first seed that fails while a canary sings.
fn noticed(canary: Canary) -> Option<(u64, String)> {
    let _song = Song::of(canary);
    (1..=MOST_SEEDS).find_map(|seed| play(seed, &[], false).wrong.map(|wrong| (seed, wrong)))
}

#[test]
fn the_seeds_notice_canaries() {
    let mut caught = 0;
    for canary in Canary::ALL.iter().filter(|canary| NOT_HERE.iter().all(|(other, _)| other != *canary)) {
        let name = canary.name();
        let (seed, wrong) = noticed(*canary)
            .unwrap_or_else(|| panic!("{name} sings in {MOST_SEEDS} seeds, and none notices"));
        println!("{name:<31} → seed {seed}: {}", wrong.lines().next().unwrap_or_default());
        caught += 1;
    }
    counts::note("seeds-canaries", caught, "deliberate defects that seeds of the simulation notice too");
}
