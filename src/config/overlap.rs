//! What two jobs may not share: a name, a target table, a crawler, a key.
//!
//! A notification belongs to the one job whose bucket, prefix and key pattern match. Whether two patterns can both
//! match one key is decided, not sampled: both become deterministic automata, which are walked side by side.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Component, Path, PathBuf};

use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;
use regex_automata::{Anchored, MatchKind, util::start};

use super::error::ConfigError;
use super::location::Location;
use crate::job::Job;

/// Automata and walks above these sizes are refused and not waited for.
const AUTOMATON_BYTES: usize = 8 << 20;
const WALK_STATES: usize = 200_000;

/// Refuses the first two jobs that get in each other's way, naming both files.
pub(super) fn check(jobs: &[Job]) -> Result<(), ConfigError> {
    for (index, job) in jobs.iter().enumerate() {
        for earlier in &jobs[..index] {
            if let Some(problem) = shared(earlier, job) {
                return Err(ConfigError::in_file(
                    &job.file,
                    format!("{} and this job {problem}", earlier.file.display()),
                ));
            }
        }
    }
    Ok(())
}

fn shared(one: &Job, two: &Job) -> Option<String> {
    if one.name == two.name {
        return Some(format!("have the same name `{}`; give each job its own", one.name));
    }
    let tables =
        |job: &Job| job.definition.schema().tables.iter().map(|table| table.name.clone()).collect::<Vec<_>>();
    if let Some(table) = tables(one).iter().find(|&table| tables(two).contains(table)) {
        return Some(format!("fill the same table `{table}`; give each job its own tables"));
    }
    if let (Some(crawler), true) = (&one.crawler, one.crawler == two.crawler) {
        return Some(format!("share the crawler `{crawler}`; give each job its own"));
    }
    let (head_one, head_two) = common_ground(&one.landing, &two.landing)?;
    match common_key(one.keys.as_str(), &head_one, two.keys.as_str(), &head_two) {
        Ok(None) => None,
        Ok(Some(key)) => Some(format!(
            "both take the key `{}` of {}; make the prefixes or the key patterns differ",
            String::from_utf8_lossy(&key),
            two.landing
        )),
        Err(problem) => Some(format!(
            "may both take the same keys, and this cannot be decided ({problem}); make the prefixes differ, or the key patterns simpler"
        )),
    }
}

/// What keys at the common part of both landings begin with, as each job sees them; none when there is no common part.
fn common_ground(one: &Location, two: &Location) -> Option<(String, String)> {
    match (one, two) {
        (Location::S3 { bucket, prefix }, Location::S3 { bucket: other_bucket, prefix: other_prefix }) => {
            let nested = one.holds_key(&format!("{other_prefix}/")) || two.holds_key(&format!("{prefix}/"));
            if bucket != other_bucket || !nested {
                return None;
            }
            let longer = if prefix.len() > other_prefix.len() { prefix } else { other_prefix };
            let head = if longer.is_empty() { String::new() } else { format!("{longer}/") };
            Some((head.clone(), head))
        }
        (Location::Folder(one), Location::Folder(two)) => {
            let (one, two) = (plain(one), plain(two));
            if let Ok(below) = two.strip_prefix(&one) {
                return Some((folder_head(below), String::new()));
            }
            one.strip_prefix(&two).ok().map(|below| (String::new(), folder_head(below)))
        }
        _ => None,
    }
}

fn plain(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut plain = PathBuf::new();
    for part in absolute.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

fn folder_head(below: &Path) -> String {
    below.components().map(|part| format!("{}/", part.as_os_str().to_string_lossy())).collect()
}

type Dfa = dense::DFA<Vec<u32>>;

fn automaton(pattern: &str) -> Result<Dfa, String> {
    dense::Builder::new()
        .configure(
            dense::Config::new()
                .start_kind(StartKind::Unanchored)
                .match_kind(MatchKind::All)
                .dfa_size_limit(Some(AUTOMATON_BYTES))
                .determinize_size_limit(Some(2 * AUTOMATON_BYTES)),
        )
        .thompson(thompson::Config::new().nfa_size_limit(Some(AUTOMATON_BYTES)))
        .build(pattern)
        .map_err(|_| format!("the key pattern `{pattern}` is too large for that, or uses `\\b`"))
}

/// One automaton's place in the walk: it has matched whatever comes, or is in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum At {
    Matched,
    In(StateID),
}

fn begin(dfa: &Dfa, head: &str) -> Result<At, String> {
    let state =
        dfa.start_state(&start::Config::new().anchored(Anchored::No)).map_err(|error| error.to_string())?;
    Ok(head.bytes().fold(settle(dfa, state), |at, byte| step(dfa, at, byte)))
}

fn settle(dfa: &Dfa, state: StateID) -> At {
    if dfa.is_match_state(state) { At::Matched } else { At::In(state) }
}

fn step(dfa: &Dfa, at: At, byte: u8) -> At {
    match at {
        At::Matched => At::Matched,
        At::In(state) => settle(dfa, dfa.next_state(state, byte)),
    }
}

fn accepts_end(dfa: &Dfa, at: At) -> bool {
    match at {
        At::Matched => true,
        At::In(state) => dfa.is_match_state(dfa.next_eoi_state(state)),
    }
}

fn is_dead(dfa: &Dfa, at: At) -> bool {
    matches!(at, At::In(state) if dfa.is_dead_state(state) || dfa.is_quit_state(state))
}

/// The shortest tail of a key that both patterns match behind their heads, as the second job sees the key.
fn common_key(one: &str, head_one: &str, two: &str, head_two: &str) -> Result<Option<Vec<u8>>, String> {
    let (a, b) = (automaton(one)?, automaton(two)?);
    let begin = Step { a: begin(&a, head_one)?, b: begin(&b, head_two)?, is_object: false };
    // The state before each state and the byte between them, to tell an example at the end.
    let mut came_from = BTreeMap::from([(begin, None)]);
    let mut waiting = VecDeque::from([begin]);
    while let Some(at) = waiting.pop_front() {
        if at.is_object && accepts_end(&a, at.a) && accepts_end(&b, at.b) {
            return Ok(Some([head_two.as_bytes(), &spell(&came_from, at)].concat()));
        }
        for byte in bytes_to_try(&a, &b) {
            let next = Step { a: step(&a, at.a, byte), b: step(&b, at.b, byte), is_object: byte != b'/' };
            if is_dead(&a, next.a) || is_dead(&b, next.b) || came_from.contains_key(&next) {
                continue;
            }
            if came_from.len() == WALK_STATES {
                return Err(format!("the key patterns `{one}` and `{two}` are too large together"));
            }
            came_from.insert(next, Some((at, byte)));
            waiting.push_back(next);
        }
    }
    Ok(None)
}

/// Both automata, and whether the key so far could be an object: the empty key and a key ending in `/` never are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Step {
    a: At,
    b: At,
    is_object: bool,
}

fn spell(came_from: &BTreeMap<Step, Option<(Step, u8)>>, mut at: Step) -> Vec<u8> {
    let mut key = Vec::new();
    while let Some((before, byte)) = came_from[&at] {
        key.push(byte);
        at = before;
    }
    key.reverse();
    key
}

/// One byte for each pair of byte classes, readable ones first so that the example is readable.
fn bytes_to_try(a: &Dfa, b: &Dfa) -> Vec<u8> {
    let (classes_a, classes_b) = (a.byte_classes(), b.byte_classes());
    let mut seen = std::collections::BTreeSet::new();
    let readable = (b'a'..=b'z').chain(b'0'..=b'9').chain(b' '..=b'~');
    // The slash has a meaning of its own in the walk, so it never stands for its class.
    let others = readable.chain(0..=255).filter(|&byte| byte != b'/');
    others.filter(|&byte| seen.insert((classes_a.get(byte), classes_b.get(byte)))).chain([b'/']).collect()
}
