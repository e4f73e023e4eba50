//! The seeded simulation: a faulty world in memory on a virtual clock, with the real state store, the real embedded
//! warehouse and the real stages in it. A seed makes the world, its faults and every choice; a phase with faults, then
//! healing, and everything has to settle; an independent oracle judges what is there then, and some rules are watched at
//! every step. A seed that fails is printed, and `scripts/simulate SEED` plays it again with its trace.

mod away;
mod canaries;
#[path = "../conformance/counts.rs"]
mod counts;
mod crawler;
mod customers;
mod documents;
mod hub;
mod landing;
mod ledger;
mod lost;
mod machine;
mod objects;
mod options;
mod oracle;
mod past;
mod queue;
mod random;
#[path = "../conformance/rows.rs"]
mod rows;
mod stall;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use options::{CLASSES, LEFT_TO_A_PERSON, Options, STORIES};
use world::World;

/// Seeds of an ordinary run of the tests.
const ORDINARY: u64 = 1_000;
/// The first of them.
const FIRST: u64 = 1;
/// One seed may end with a person, and one more in so many: those are neither healed nor judged to the end.
const SEEDS_PER_LEFT: u64 = 5_000;
/// Threads that play seeds; each seed is played by one of them from its beginning to its end.
const THREADS: usize = 2;

/// What came of a seed.
struct Played {
    world: World,
    faults: BTreeMap<&'static str, u64>,
    stories: BTreeMap<&'static str, u64>,
    deaths: u64,
    wrong: Option<String>,
    trace: Vec<String>,
}

fn play(seed: u64, without: &[String], aloud: bool) -> Played {
    let options = Options::of(seed, without);
    if aloud {
        println!("{options}");
    }
    let mut world = World::new(options, aloud);
    let ended = catch_unwind(AssertUnwindSafe(|| world.run()));
    let wrong = match ended {
        Ok(result) => result.err(),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            Some(format!("a panic: {}", text.unwrap_or_default()))
        }
    };
    let hub = world.hub().clone();
    // Whoever stood by is not kept in a world that ended in a panic.
    drop(hub.stalls.end());
    let (faults, stories) = (hub.faults(), hub.stories());
    Played { world, faults, stories, deaths: hub.deaths(), wrong, trace: hub.last_lines() }
}

/// What a person needs to know of a seed that failed, with the classes of faults that it fails without.
fn describe(seed: u64, wrong: &str, trace: &[String]) -> String {
    let options = Options::of(seed, &[]);
    let needless: Vec<&str> = options
        .on
        .iter()
        .copied()
        .filter(|class| play(seed, &[(*class).to_owned()], false).wrong.is_some())
        .collect();
    format!(
        "{options}\nthe end of its trace:\n{}\n{wrong}\nit also fails without each of: {}\nplay it again: scripts/simulate {seed}\n",
        trace.join("\n"),
        if needless.is_empty() { "(none)".to_owned() } else { needless.join(" ") },
    )
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a number, and not {text:?}")))
}

/// What came of many seeds.
#[derive(Default)]
struct Totals {
    faults: BTreeMap<&'static str, u64>,
    stories: BTreeMap<&'static str, u64>,
    deaths: u64,
    failed: Vec<(u64, String, Vec<String>)>,
}

impl Totals {
    fn add(&mut self, seed: u64, played: Played) {
        let Played { faults, stories, deaths, wrong, trace, .. } = played;
        let left = stories.contains_key(LEFT_TO_A_PERSON);
        for (sum, part) in [(&mut self.faults, faults), (&mut self.stories, stories)] {
            for (name, number) in part {
                *sum.entry(name).or_default() += number;
            }
        }
        self.deaths += deaths;
        if left {
            println!("seed {seed} ends with a person");
        }
        if let Some(wrong) = wrong {
            println!("seed {seed} fails: {}", wrong.lines().next().unwrap_or_default());
            self.failed.push((seed, wrong, trace));
        }
    }

    /// Seeds that ended there, without healing.
    fn left_to_a_person(&self) -> u64 {
        self.stories.get(LEFT_TO_A_PERSON).copied().unwrap_or_default()
    }

    fn print(&self, count: u64, began: Instant) {
        let settled = match (self.failed.len(), self.left_to_a_person()) {
            (0, 0) => "all settled".to_owned(),
            (0, left) => format!("all settled but {left} that a person was told of"),
            (failed, _) => format!("{failed} FAILED"),
        };
        let seconds = began.elapsed().as_secs_f64();
        println!("{count} seeds, {} deaths, {settled}; {seconds:.1} s", self.deaths);
        for (name, number) in self.faults.iter().chain(&self.stories) {
            println!("  {number:>8}  {name}");
        }
    }
}

/// Plays `count` seeds from `first` on, and says what it took.
fn play_all(first: u64, count: u64) {
    let (next, totals) = (AtomicU64::new(first), Mutex::new(Totals::default()));
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    let played = play(seed, &[], false);
                    totals.lock().unwrap().add(seed, played);
                }
            });
        }
    });
    let totals = totals.into_inner().unwrap();
    totals.print(count, began);
    if let Some((seed, wrong, trace)) = totals.failed.first() {
        panic!("{}", describe(*seed, wrong, trace));
    }
    // Some other thousand may do without the rarest of them.
    if (first == FIRST && count >= ORDINARY) || count >= 10 * ORDINARY {
        let unseen = |all: &[&'static str], seen: &BTreeMap<&str, u64>| -> Vec<&str> {
            all.iter().copied().filter(|name| !seen.contains_key(*name)).collect()
        };
        let never = [unseen(&CLASSES, &totals.faults), unseen(&STORIES, &totals.stories)].concat();
        assert!(never.is_empty(), "this never happened in {count} seeds: {never:?}");
    }
    let left = totals.left_to_a_person();
    assert!(
        left <= 1 + count / SEEDS_PER_LEFT,
        "{left} of {count} seeds end with lost loads that a person is told of"
    );
    let healed = (count - left) as usize;
    counts::note("seeds", healed, "seeds of the simulation, each a world with its faults, healed");
    if left > 0 {
        counts::note(
            "seeds-left",
            left as usize,
            "seeds more, which end with lost loads that a person is told of",
        );
    }
    counts::note("seeds-deaths", totals.deaths as usize, "deaths in them");
}

#[test]
fn every_seed_settles() {
    play_all(
        number("SLUICEGATE_FIRST_SEED").unwrap_or(FIRST),
        number("SLUICEGATE_SEEDS").unwrap_or(ORDINARY),
    );
}

/// A seed that cannot be played again is worth nothing.
#[test]
fn a_seed_plays_the_same_twice() {
    for seed in [3, 14, 159] {
        let (one, two) = (play(seed, &[], false), play(seed, &[], false));
        assert_eq!(one.trace, two.trace, "seed {seed}");
        assert_eq!(one.faults, two.faults, "seed {seed}");
    }
}

/// For `scripts/simulate`: one seed, with its whole trace.
#[test]
#[ignore = "plays the seed that scripts/simulate asks for"]
fn replay() {
    let seed = number("SLUICEGATE_SEED").expect("SLUICEGATE_SEED says which");
    let without = std::env::var("SLUICEGATE_WITHOUT").unwrap_or_default();
    let without: Vec<String> = without.split_whitespace().map(str::to_owned).collect();
    if let Some(unknown) = without.iter().find(|name| !CLASSES.contains(&name.as_str())) {
        panic!("there is no class of faults {unknown:?}; there are: {}", CLASSES.join(" "));
    }
    let played = play(seed, &without, true);
    if let Some(wrong) = played.wrong {
        panic!("seed {seed}: {wrong}\nwhat it left: {}", played.world.keep().display());
    }
    println!("seed {seed} settles: {} deaths, faults {:?}", played.deaths, played.faults);
}
