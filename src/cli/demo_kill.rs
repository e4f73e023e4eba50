//! `demo --kill N`: drains that are killed at random moments, N times, and then the balance.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde::Serialize;
use signal_hook::consts::SIGKILL;

use crate::config;

use super::args::{DemoOptions, DrainOptions, Flags, Format};
use super::assemble::Intake;
use super::demo_balance::{Landed, Line, balance, text};
use super::demo_files::{land_portion, portion};
use super::drain::{Drained, drain_config};
use super::exit::{Exit, Stop};
use super::output::{counted, print, print_json};
use super::session::fresh_id;
use super::signals::stop_on_signal;

/// Where the killed drains say what they did.
const LOG: &str = "drains.log";
/// A drain that ended before its moment came is followed by another one; more of them than this for one kill means that
/// something is wrong.
const TRIES: u32 = 200;
/// Drains that run undisturbed at the end, until nothing is left to do.
const LAST: u32 = 5;

#[derive(Serialize)]
struct Proof {
    kills: u32,
    documents: usize,
    seed: u64,
    balanced: bool,
    balance: Vec<Line>,
}

/// Lands documents in portions, and kills a drain over each.
pub(super) fn demo_kill(flags: &Flags, options: &DemoOptions, root: &Path, kills: u32) -> Result<Exit, Stop> {
    let seed = match options.seed {
        Some(seed) => seed,
        None => u64::from_str_radix(&fresh_id()?[..8], 16).unwrap_or_default(),
    };
    eprintln!("sluicegate: seed {seed}; `demo --kill {kills} --seed {seed}` chooses the same moments again");
    let mut landed: Vec<Landed> = Vec::new();
    let mut land = |number| {
        let documents = portion(number);
        land_portion(&root.join("landing"), &documents)?;
        landed.extend(documents);
        Ok::<(), Stop>(())
    };
    // The first one is left alone, to learn how long a drain takes.
    land(0)?;
    let began = Instant::now();
    finish(root)?;
    let mut moments = Moments { state: seed, longest: began.elapsed() };
    for number in 1..=kills {
        land(number)?;
        kill_one(root, &mut moments)?;
    }
    finish(root)?;
    let lines = balance(root, &landed)?;
    let balanced = lines.iter().all(Line::balances);
    let proof = Proof { kills, documents: landed.len(), seed, balanced, balance: lines };
    match flags.output {
        Format::Json => print_json(&proof)?,
        Format::Table => tell(&proof)?,
    }
    Ok(if balanced { Exit::Fine } else { Exit::Failed })
}

fn tell(proof: &Proof) -> Result<(), Stop> {
    let drains = counted(u64::from(proof.kills), "drain", "drains");
    print(&format!(
        "{} documents landed; {drains} killed with SIGKILL at random moments\n\n",
        proof.documents
    ))?;
    print(&text(&proof.balance))?;
    print(if proof.balanced { "\nbalanced: everything is there once\n" } else { "\nNOT balanced\n" })
}

/// The child: drains what is in the demo's folder.
pub(super) fn go_on(root: &Path) -> Result<Exit, Stop> {
    let asked = stop_on_signal(Exit::Failed)?;
    let options = DrainOptions { watch: false, crawl: true, patience: Duration::from_secs(60) };
    match drain_config(&config::demo(root), &options, Intake::Once, &asked)? {
        Drained::Done(summary) => Ok(summary.exit()),
        Drained::HeldBy(holder) => Err(Stop::failed(format!("another demo is running: {holder}"))),
    }
}

fn start(root: &Path) -> Result<Child, Stop> {
    let failed = |error: std::io::Error| Stop::failed(format!("cannot start a drain: {error}"));
    let log = std::fs::File::options().create(true).append(true).open(root.join(LOG)).map_err(failed)?;
    let program = std::env::current_exe().map_err(failed)?;
    let mut command = Command::new(program);
    command.args(["demo", "--go-on"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.spawn().map_err(failed)
}

/// Starts drains until one of them dies by our hand.
fn kill_one(root: &Path, moments: &mut Moments) -> Result<(), Stop> {
    let lost = |error: std::io::Error| Stop::failed(format!("a drain got out of reach: {error}"));
    for attempt in 0..TRIES {
        let mut child = start(root)?;
        // Not a wait for something: the moment itself is what is drawn.
        std::thread::sleep(moments.next(attempt));
        child.kill().map_err(lost)?;
        let status = child.wait().map_err(lost)?;
        if was_killed(status) {
            return Ok(());
        }
        ended_well(root, status)?;
    }
    Err(Stop::failed(format!(
        "no drain of {TRIES} lived long enough to be killed; see {}",
        root.join(LOG).display()
    )))
}

/// Whether it was our SIGKILL. A status code says that it had ended before, and any other signal that it went wrong.
fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(SIGKILL)
}

/// Drains that nobody disturbs, until nothing is left to do.
fn finish(root: &Path) -> Result<(), Stop> {
    let mut last = Ok(());
    for _ in 0..LAST {
        let status = start(root)?.wait();
        let status = status.map_err(|error| Stop::failed(format!("a drain got out of reach: {error}")))?;
        last = ended_well(root, status);
        if last.is_ok() {
            break;
        }
    }
    last
}

/// 3 says that documents were turned away, and some are.
fn ended_well(root: &Path, status: ExitStatus) -> Result<(), Stop> {
    let fine = [Exit::Fine, Exit::NeedsPerson].map(|exit| Some(i32::from(exit.code())));
    if fine.contains(&status.code()) {
        return Ok(());
    }
    let log = root.join(LOG);
    Err(Stop::failed(format!("a drain that nobody killed ended with {status}; see {}", log.display())))
}

/// When to kill, drawn from a seed (SplitMix64).
struct Moments {
    state: u64,
    longest: Duration,
}

impl Moments {
    /// A moment of a drain's life; the more drains have ended before theirs, the earlier.
    fn next(&mut self, attempt: u32) -> Duration {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let share = ((bits ^ (bits >> 31)) >> 32) as u32;
        self.longest.mul_f64(f64::from(share) / f64::from(u32::MAX)) / (attempt / 4 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_abort_is_not_our_kill() {
        // As wait(2) tells of them: a signal's number, an aborted one's with its core dumped, a status code.
        assert!(was_killed(ExitStatus::from_raw(9)));
        for status in [6, 0x80 | 6, 11, 15, 0, 9 << 8].map(ExitStatus::from_raw) {
            assert!(!was_killed(status), "{status}");
        }
        let ended = |status| ended_well(Path::new("root"), ExitStatus::from_raw(status));
        assert!(ended(0).is_ok() && ended(3 << 8).is_ok() && ended(6).is_err() && ended(1 << 8).is_err());
    }

    #[test]
    fn a_seed_chooses_the_same_moments_within_a_drain_s_life() {
        let longest = Duration::from_millis(100);
        let moments = |seed| {
            let mut moments = Moments { state: seed, longest };
            (0..200).map(|attempt| moments.next(attempt)).collect::<Vec<_>>()
        };
        assert_eq!(moments(7), moments(7));
        assert_ne!(moments(7), moments(8));
        assert!(moments(7).iter().all(|moment| *moment <= longest));
        assert!(moments(7)[..4].iter().any(|moment| *moment > longest / 4), "{:?}", &moments(7)[..4]);
    }
}
