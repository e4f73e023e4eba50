//! The layers of the tests, each as what it does while a canary sings.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::OnceLock;

use sluicegate::failure::FailureKind;
use sluicegate::job::Job;
use sluicegate_state::canary::{Canary, Song};
use sluicegate_state::{Arrival, BatchEvent, BatchState, Moved, Timestamp, transition};

use crate::benches::{FolderPostbox, SqliteBench, folder_place};
use crate::drains::drains;
use crate::fault::{Faults, Kind, Strike};
use crate::landing::land;
use crate::notice::{Panicked, Voice, listen};
use crate::process::{Process, World};
use crate::rules::hold;
use crate::run::{Report, run};
use crate::support::{House, ME, at, notification, standings};
use crate::{inbox, object_store, oracle, warehouse, workload};

/// More moments than a run of the workload can have.
const MOST_MOMENTS: usize = 1_000;

/// A layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layer {
    /// The workload of the crash tests, without any fault.
    CalmRun,
    /// A process dies before and after each effect.
    Death,
    /// An effect fails once, before and after it, and the process goes on.
    Failure,
    /// A process dies at each effect, and the state folder is lost with it.
    LostState,
    /// The suites that every adapter must pass.
    Conformance,
    /// Notifications that come again.
    Journal,
    /// Every state and every event of a batch.
    Model,
    /// The ends of windows against plain arithmetic in UTC.
    Windows,
    /// Documents land while the ledger cannot be reached.
    LedgerAway,
    /// The built program under a shim that writes down what it writes and syncs.
    Disk,
}

/// In the order in which they are asked: those that take long come last.
const LAYERS: [Layer; 10] = [
    Layer::CalmRun,
    Layer::Journal,
    Layer::Model,
    Layer::Windows,
    Layer::LedgerAway,
    Layer::Disk,
    Layer::Death,
    Layer::Conformance,
    Layer::Failure,
    Layer::LostState,
];

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CalmRun => "a run without faults",
            Self::Death => "a death at an effect",
            Self::Failure => "an effect that fails once",
            Self::LostState => "a death that takes the state",
            Self::Conformance => "the conformance suites",
            Self::Journal => "a notification that comes again",
            Self::Model => "the model of the states",
            Self::Windows => "windows in UTC",
            Self::LedgerAway => "a ledger that is away",
            Self::Disk => "the order of writes and syncs",
        })
    }
}

/// Who notices a canary first.
pub(crate) struct Noticed {
    pub(crate) layer: Layer,
    pub(crate) voice: Voice,
    /// How many things the layer had tried by then.
    pub(crate) points: usize,
    /// Its first words.
    pub(crate) words: String,
}

/// Lets a canary sing, and asks layer after layer.
pub(crate) fn noticed(canary: Canary) -> Option<Noticed> {
    let _song = Song::of(canary);
    LAYERS.into_iter().find_map(|layer| {
        let mut points = 0;
        let heard = layer.ask(canary, &mut points).err()?;
        let first_line = heard.words.lines().next().unwrap_or_default();
        let words: String = first_line.chars().take(160).collect();
        Some(Noticed { layer, voice: heard.voice(), points, words: format!("{words} [{}]", heard.file) })
    })
}

impl Layer {
    fn ask(self, canary: Canary, points: &mut usize) -> Result<(), Panicked> {
        match self {
            Self::CalmRun => calm_run(points),
            Self::Death => advance(Kind::Dies, 0, points),
            Self::Failure => advance(Kind::FailsOnce, 0, points),
            Self::LostState => advance(Kind::Dies, 1, points),
            Self::Conformance => conformance(points),
            Self::Journal => listen(|| journal(points)),
            Self::Model => listen(|| model(points)),
            Self::Windows => listen(|| windows(points)),
            Self::LedgerAway => listen(|| ledger_away(points)),
            Self::Disk => listen(|| disk(canary, points)),
        }
    }
}

/// A run without faults and without a canary.
pub(crate) fn calm() -> &'static Report {
    static CALM: OnceLock<Report> = OnceLock::new();
    CALM.get_or_init(|| run(&[], 0))
}

fn calm_run(points: &mut usize) -> Result<(), Panicked> {
    *points += 1;
    same_as_calm(&listen(|| run(&[], 0))?, 0)
}

/// The content of a run against that of the calm one; where the state was lost, without what nobody can know.
fn same_as_calm(report: &Report, lost: usize) -> Result<(), Panicked> {
    let same = if lost == 0 {
        report.content == calm().content
    } else {
        let known = oracle::without_what_may_be_lost;
        known(&report.content) == known(&calm().content)
    };
    let words = "the content is not that of the calm run".to_owned();
    if same { Ok(()) } else { Err(Panicked { file: "tests/crash/oracle/".to_owned(), words }) }
}

/// Strikes before and after each moment in turn, until a run meets no fault.
fn advance(kind: Kind, lost: usize, points: &mut usize) -> Result<(), Panicked> {
    for moment in 1..MOST_MOMENTS {
        for after in [false, true] {
            // After one effect is before the next one, but for what was on its way.
            if lost > 0 && after != moment.is_multiple_of(2) {
                continue;
            }
            *points += 1;
            let report = listen(|| run(&[&[Strike { moment, after, kind }]], lost))?;
            if !report.all_met {
                return Ok(());
            }
            same_as_calm(&report, lost)?;
        }
    }
    Ok(())
}

/// What the built program calls done is on the disk by then.
fn disk(canary: Canary, points: &mut usize) {
    let Some(drains) = drains(1, Some(canary)) else { return };
    *points += drains.lines.len();
    hold(&drains.lines, &drains.kept);
}

fn conformance(points: &mut usize) -> Result<(), Panicked> {
    listen(|| {
        warehouse::warehouse_suite(&mut || {
            *points += 1;
            Box::new(SqliteBench::new())
        });
        let mut folders = Vec::new();
        object_store::object_store_suite(&mut || {
            *points += 1;
            let folder = tempfile::tempdir().unwrap();
            let place = folder_place(folder.path().join("objects"));
            folders.push(folder);
            place
        });
        inbox::inbox_suite(&mut || {
            *points += 1;
            Box::new(FolderPostbox::new())
        });
    })
}

/// What is known is counted as a redelivery when it is sent again, and passed over when it is listed again.
fn journal(points: &mut usize) {
    let mut house = House::new();
    let told = |words: &str| {
        let words = words.to_owned();
        move |error| panic!("{words}: {error}")
    };
    house.journal(&["a", "c"]);
    let again: Vec<Arrival> = ["a", "b", "c"].map(|key| Arrival::Notification(notification(key))).into();
    *points += 1;
    let listed = house.store.journal_listed(&again, at(1)).unwrap_or_else(told("listed again"));
    assert_eq!((listed.recorded, listed.redelivered), (1, 0));
    *points += 1;
    let sent = house.store.journal(&again, at(2)).unwrap_or_else(told("sent again"));
    assert_eq!((sent.recorded, sent.redelivered), (0, 3));
}

/// The store moves a batch where the table of the state machine says, and else leaves it where it is.
fn model(points: &mut usize) {
    let mut house = House::new();
    for (index, (state, from)) in standings().into_iter().enumerate() {
        for event in BatchEvent::ALL {
            *points += 1;
            let batch = house.batch_in(&format!("{index}/{event}"), state, from);
            let moved = house.store.apply(&batch.batch_id, *event, "why", ME, at(9));
            let moved = moved.unwrap_or_else(|error| panic!("{state} +{event}: {error}"));
            let next = transition(state, *event, from);
            assert_eq!(moved == Moved::Yes, next.is_some(), "{state} +{event}");
        }
    }
}

/// What lands while the ledger is away is sealed and archived, and waits there.
fn ledger_away(points: &mut usize) {
    *points += 1;
    let world = World::new(false);
    // No database can be opened there.
    std::fs::create_dir(world.warehouse()).unwrap();
    let documents = workload::first_window();
    for document in &documents {
        land(&world.path("landing"), document.key, &document.bytes, document.landed_at);
    }
    let mut process = Process::start(&world, &Faults::new(&[])).unwrap();
    let waits = process.settle().expect_err("it waits for the ledger");
    assert_eq!(waits.kind, FailureKind::Transient, "{waits}");
    let archived = process.store.batches_in(BatchState::Archived, MOST_MOMENTS).unwrap();
    let members = archived.iter().flat_map(|batch| process.store.members(&batch.batch_id).unwrap());
    let keys: BTreeSet<String> = members.map(|member| member.key).collect();
    let landed: BTreeSet<String> = documents.iter().map(|document| document.key.to_owned()).collect();
    assert_eq!(keys, landed, "the documents that are archived while the ledger is away");
}

/// A window that ends each day at six, over a year of moments, against the days of the Unix clock.
fn windows(points: &mut usize) {
    const DAY: i64 = 86_400;
    const SIX: i64 = 6 * 3_600;
    let text = include_str!("../../jobs/invoices.toml");
    let variable = |name: &str| (name == "SLUICEGATE_WINDOW").then(|| "0 0 6 * * *".to_owned());
    let job = Job::parse(std::path::Path::new("jobs/invoices.toml"), text, &variable).unwrap();
    for moment in (1_800_000_000..1_800_000_000 + 365 * DAY).step_by(7 * 3_600 + 13) {
        *points += 1;
        let tick = (moment - SIX).div_euclid(DAY) * DAY + SIX;
        let time = |seconds| Timestamp::from_timestamp(seconds, 0).unwrap();
        assert_eq!(job.window.previous_tick(time(moment)), Some(time(tick)));
        assert_eq!(job.window.next_tick(time(moment)), Some(time(tick + DAY)));
    }
}
