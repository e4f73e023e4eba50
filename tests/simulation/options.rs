//! What a seed's world is like: everything that is decided before the first step.

use std::fmt;

use chrono::TimeDelta;

use crate::random::Random;

/// The classes of faults. Each seed leaves some of them out, so that rare ones are not always hidden behind frequent ones.
pub(crate) const CLASSES: [&str; 17] = [
    "duplicated",
    "delayed",
    "lost",
    "overwritten",
    "deleted",
    "same-content",
    "forbidden",
    "throttled",
    "ledger-errors",
    "effect-errors",
    "deaths",
    "stall",
    "crawler",
    "outages",
    "disk-lost",
    "old-state",
    "ledger-past",
];

/// What has to happen somewhere in a thousand seeds: the losses that a rebuild is for, and faults that a class has among
/// others.
pub(crate) const STORIES: [&str; 19] = [
    DISK_LOST,
    GONE_FOR_GOOD,
    OLD_STATE,
    AWAY_PAST_EXPIRY,
    LOST_AFTER_EXPIRY,
    REFUSED,
    ENTERED_AGAIN,
    COMMIT_UNKNOWN,
    CRAWL_UNKNOWN,
    CRAWL_FAILED,
    SKEWED,
    SECURED,
    STALLED,
    OVERTAKEN,
    CRAWLER_BUSY,
    SAME_ELSEWHERE,
    EXPIRED,
    MISSING,
    SUPERSEDED,
];
pub(crate) const DISK_LOST: &str = "a machine lost its disk";
pub(crate) const GONE_FOR_GOOD: &str = "a machine died for good";
pub(crate) const OLD_STATE: &str = "a machine got an old copy of its state";
pub(crate) const AWAY_PAST_EXPIRY: &str = "the ledger was away until what waited for it had expired";
pub(crate) const LOST_AFTER_EXPIRY: &str = "a machine lost its disk after that";
pub(crate) const REFUSED: &str = "a ledger restored to the past was refused";
pub(crate) const ENTERED_AGAIN: &str = "lost loads were entered again";
pub(crate) const COMMIT_UNKNOWN: &str = "nobody answered whether a load was committed";
pub(crate) const CRAWL_UNKNOWN: &str = "nobody answered whether a crawl was started";
pub(crate) const CRAWL_FAILED: &str = "a crawl failed";
pub(crate) const SKEWED: &str = "two clocks were four minutes apart or more";
pub(crate) const SECURED: &str = "while the ledger was away, everything that could be read was archived";
pub(crate) const STALLED: &str = "a machine stood still past its lease, and the other one went on";
pub(crate) const OVERTAKEN: &str = "a machine that had stood still found the work done by the other one";
pub(crate) const CRAWLER_BUSY: &str = "the crawler was busy with another crawl";
pub(crate) const SAME_ELSEWHERE: &str = "the same invoices came under another key";
pub(crate) const EXPIRED: &str = "a document ended as expired";
pub(crate) const MISSING: &str = "a document ended as missing";
pub(crate) const SUPERSEDED: &str = "a document ended as superseded";
/// Too rare for a thousand seeds.
pub(crate) const LEFT_TO_A_PERSON: &str = "the order of lost loads could not be known, and a person was told";

/// The options of a seed.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) seed: u64,
    pub(crate) machines: usize,
    /// Steps of the fault phase.
    pub(crate) steps: u64,
    /// The landing bucket has versions.
    pub(crate) versioned: bool,
    /// Events carry a sequencer.
    pub(crate) sequencers: bool,
    /// The objects say when the lifecycle takes them.
    pub(crate) tells_expiry: bool,
    pub(crate) batch_documents: u64,
    /// Machines seal whatever is there, as a drain does that does not watch.
    pub(crate) seal_at_once: bool,
    /// The last machine dies for good, at this step, and its disk with it.
    pub(crate) dies_for_good: Option<u64>,
    /// How far the clocks of the ledger, the storage, the catalog and the machines are from the true time.
    pub(crate) ledger_skew: TimeDelta,
    pub(crate) storage_skew: TimeDelta,
    pub(crate) catalog_skew: TimeDelta,
    pub(crate) machine_skews: Vec<TimeDelta>,
    /// Seconds that time mostly passes by between two steps, at the most.
    pub(crate) pace: i64,
    /// Faults of a kind, in a thousand calls.
    pub(crate) rate: u64,
    pub(crate) on: Vec<&'static str>,
}

impl Options {
    /// The options of a seed; the classes of `without` are left out, whatever the seed says.
    pub(crate) fn of(seed: u64, without: &[String]) -> Self {
        let random = &mut Random::new(seed);
        let machines = if random.chance(600) { 2 } else { 1 };
        // Any two of them are at most five minutes apart.
        let skewed = random.chance(500);
        let skew =
            |random: &mut Random| TimeDelta::seconds(if skewed { random.between(-150, 150) } else { 0 });
        let (ledger_skew, storage_skew) = (skew(random), skew(random));
        let catalog_skew = skew(random);
        let machine_skews = (0..machines).map(|_| skew(random)).collect();
        // Most defects need few steps, and then the story is short.
        let (least, most) = if random.chance(200) { (45, 120) } else { (12, 45) };
        let steps = random.between(least, most).unsigned_abs();
        let chosen: Vec<&str> = CLASSES.into_iter().filter(|_| random.chance(550)).collect();
        let for_good = machines == 2 && random.chance(350);
        Self {
            seed,
            machines,
            steps,
            versioned: random.chance(400),
            sequencers: random.chance(850),
            tells_expiry: random.chance(700),
            batch_documents: random.between(1, 6).unsigned_abs(),
            seal_at_once: random.chance(500),
            dies_for_good: for_good.then(|| random.below(steps)),
            ledger_skew,
            storage_skew,
            catalog_skew,
            machine_skews,
            pace: random.between(2, 60),
            rate: random.between(2, 60).unsigned_abs(),
            on: chosen.into_iter().filter(|class| !without.iter().any(|name| name == class)).collect(),
        }
    }

    /// How far apart two clocks are at the most.
    pub(crate) fn skew(&self) -> TimeDelta {
        let clocks = [self.ledger_skew, self.storage_skew, self.catalog_skew];
        let clocks = || clocks.iter().chain(&self.machine_skews);
        let (first, last) = (clocks().min(), clocks().max());
        first.zip(last).map_or(TimeDelta::zero(), |(first, last)| *last - *first)
    }

    pub(crate) fn has(&self, class: &str) -> bool {
        debug_assert!(CLASSES.contains(&class), "{class}");
        self.on.contains(&class)
    }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let skews: Vec<i64> = self.machine_skews.iter().map(TimeDelta::num_seconds).collect();
        write!(
            f,
            "seed {}: {} machine(s), {} steps, versioned {}, sequencers {}, tells expiry {}, {} documents a batch, \
             seal at once {}, last machine dies for good {:?}, skews: ledger {} s, storage {} s, catalog {} s, machines \
             {skews:?} s; pace {} s, fault rate {}/1000; faults: {}",
            self.seed,
            self.machines,
            self.steps,
            self.versioned,
            self.sequencers,
            self.tells_expiry,
            self.batch_documents,
            self.seal_at_once,
            self.dies_for_good,
            self.ledger_skew.num_seconds(),
            self.storage_skew.num_seconds(),
            self.catalog_skew.num_seconds(),
            self.pace,
            self.rate,
            self.on.join(" "),
        )
    }
}
