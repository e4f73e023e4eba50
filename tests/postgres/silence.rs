//! Goal: a server that takes everything and says nothing is given up in bounded time, at whatever moment it falls silent;
//! what was under way is asked and never assumed, and a load that is only slow is let alone.

use std::time::{Duration, Instant};

use sluicegate::config::Secret;
use sluicegate::failure::{Failure, FailureKind};
use sluicegate::postgres::{PostgresWarehouse, Recent, inspect};
use sluicegate_state::seam::Seam;

use crate::mute::Mute;
use crate::published::schema;
use crate::server::{Database, select};
use crate::support::{batch, document};

/// Far above every limit of these tests, which are 6 seconds for connecting and 14 for one answer, and far below a hang.
const BOUND: Duration = Duration::from_secs(120);
/// More answers of the server's than an opening or a load of the tests takes.
const MOMENTS: usize = 64;
/// At this one of them it is the COMMIT that is taken and not answered.
const AT_COMMIT: usize = MOMENTS - 1;

fn open(url: &str) -> Result<PostgresWarehouse, Failure> {
    PostgresWarehouse::open(&Secret::new(url), "ledger", "test", &Recent::default(), Seam::default())
}

/// The failure of a server that said nothing: it passes, it names the server, and it came in time.
fn check_given_up(failure: &Failure, began: Instant) {
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
    assert_eq!(failure.kind, FailureKind::Transient, "{failure}");
    assert!(failure.message.contains("says nothing"), "{failure}");
    assert!(failure.message.contains("postgres@127.0.0.1:"), "{failure}");
    assert!(failure.message.contains("psql"), "the next step: {failure}");
}

/// On a machine that is very busy a statement takes longer than the server lets it; that is no silence.
fn is_ended_by_server(failure: &Failure) -> bool {
    failure.message.contains("57014")
}

#[test]
fn a_server_that_never_says_anything_is_given_up() {
    let Some(database) = Database::new() else { return };
    let mute = Mute::start(&database.url);
    mute.fall_silent();
    for sslmode in ["disable", "prefer", "require"] {
        let url = format!("{}&sslmode={sslmode}", mute.url(&database.url));
        let began = Instant::now();
        check_given_up(&open(&url).err().expect("nobody answers"), began);
        let began = Instant::now();
        check_given_up(&inspect(&Secret::new(url), &[]).expect_err("nobody answers"), began);
    }
}

/// At each answer of the server's while a ledger is made and opened.
#[test]
fn an_opening_is_given_up_wherever_the_server_falls_silent() {
    let Some(database) = Database::new() else { return };
    open(&database.url).unwrap();
    let url = database.url.as_str();
    // Whether the opening is given up where so many answers pass.
    let is_given_up = |answers: usize| {
        loop {
            let mute = Mute::after(url, answers);
            let began = Instant::now();
            match open(&format!("{}&sslmode=disable", mute.url(url))) {
                Ok(_) => return false,
                Err(failure) if is_ended_by_server(&failure) => {}
                Err(failure) => {
                    check_given_up(&failure, began);
                    return true;
                }
            }
        }
    };
    let given_up = std::thread::scope(|scope| {
        let attempts: Vec<_> =
            (0..MOMENTS).map(|answers| scope.spawn(move || is_given_up(answers))).collect();
        attempts.into_iter().map(|attempt| attempt.join().unwrap()).collect::<Vec<_>>()
    });
    let moments = given_up.iter().filter(|given_up| **given_up).count();
    println!("an opening hears {moments} answers");
    // How many answers come at a time differs; in the end nothing was left to be silent about.
    assert!((10..MOMENTS).contains(&moments) && given_up[0], "{given_up:?}");
}

/// At each answer of the server's during a load, that to its COMMIT included: the next attempt finds out whether it is
/// loaded, and it is loaded once.
#[test]
fn a_load_is_given_up_wherever_the_server_falls_silent_and_loaded_once() {
    const BILLS: u64 = 20;
    let Some(database) = Database::new() else { return };
    open(&database.url).unwrap();
    let mut warehouse = open(&database.url).unwrap();
    sluicegate::ports::warehouse::Warehouse::prepare(&mut warehouse, &schema()).unwrap();
    let url = database.url.as_str();
    let ended = std::thread::scope(|scope| {
        let attempts: Vec<_> =
            (0..MOMENTS).map(|moment| scope.spawn(move || load_with_silence(url, moment, BILLS))).collect();
        attempts.into_iter().map(|attempt| attempt.join().unwrap()).collect::<Vec<_>>()
    });
    let given_up = ended.iter().filter(|(given_up, _)| *given_up).count();
    let committed = ended.iter().filter(|(_, committed)| *committed).count();
    println!("a load hears {given_up} answers; {committed} were committed without being heard");
    assert!((10..MOMENTS).contains(&given_up) && ended[0].0, "{ended:?}");
    assert_eq!(ended[AT_COMMIT], (true, true), "the server has heard its COMMIT: {ended:?}");
    let all = MOMENTS as u64 * BILLS;
    let mut shell = database.shell();
    let mut number = |sql: &str| select(&mut shell, sql)[0][0].parse::<u64>().unwrap();
    assert_eq!(number("SELECT count(*) FROM sluicegate.batch"), MOMENTS as u64);
    assert_eq!(number("SELECT count(*) FROM bills"), all);
    assert_eq!(number("SELECT count(*) FROM bill_items"), 2 * all);
}

/// Loads a batch of its own through a server that falls silent at that moment, and then again; whether it was given up, and
/// whether it turned out to be loaded all the same.
fn load_with_silence(url: &str, moment: usize, bills: u64) -> (bool, bool) {
    let first = moment as u64 * bills;
    let load = batch(moment as u32 + 1, &[document("a", first..first + bills)]);
    let began_at_all = Instant::now();
    loop {
        assert!(began_at_all.elapsed() < BOUND, "{:?}", began_at_all.elapsed());
        // Counted from where the connection is open.
        let mute = Mute::start(url);
        let Ok(mut warehouse) = open(&format!("{}&sslmode=disable", mute.url(url))) else { continue };
        match moment {
            AT_COMMIT => mute.fall_silent_at_commit(),
            moment => mute.fall_silent_after(moment),
        }
        let began = Instant::now();
        let failure = match load.load(&mut warehouse) {
            Ok(_) => return (false, false),
            Err(failure) if is_ended_by_server(&failure) => continue,
            Err(failure) => failure,
        };
        check_given_up(&failure, began);
        // The connection is not used again.
        let again = Instant::now();
        check_given_up(&load.load(&mut warehouse).expect_err("it is given up"), again);
        assert!(again.elapsed() < Duration::from_secs(4), "nothing was waited for: {:?}", again.elapsed());
        drop(warehouse);
        mute.speak();
        return (true, retried(&load, &mute.url(url)));
    }
}

/// Loads it by a new connection; whether it was there already.
fn retried(load: &crate::support::Batch, url: &str) -> bool {
    let began = Instant::now();
    loop {
        match open(url).and_then(|mut warehouse| load.load(&mut warehouse)) {
            Ok(loaded) => return loaded.is_none(),
            // The server has not heard yet that nobody is at the other end.
            Err(failure) => assert_eq!(failure.kind, FailureKind::Transient, "{failure}"),
        }
        assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
    }
}

/// Slower than the limit of one answer, and never given up: each piece of the COPY is a statement of its own.
#[test]
fn a_load_that_is_only_slow_is_not_cut() {
    let Some(database) = Database::new() else { return };
    let mut warehouse = open(&database.url).unwrap();
    sluicegate::ports::warehouse::Warehouse::prepare(&mut warehouse, &schema()).unwrap();
    let mute = Mute::slow(&database.url, Duration::from_millis(50));
    // So a piece takes three seconds, the server lets it take eight, and one answer may take eighteen.
    let url = format!("{}&sslmode=disable", mute.url(&database.url)).replace("%3D4s", "%3D8s");
    let mut bills = document("a", 0..6_000);
    bills.items = 20;
    let load = batch(1, &[bills]);
    let first = Instant::now();
    let took = loop {
        let began = Instant::now();
        match open(&url).and_then(|mut warehouse| load.load(&mut warehouse)) {
            Ok(loaded) => break loaded.map(|_| began.elapsed()).expect("it is loaded now"),
            Err(failure) => assert!(is_ended_by_server(&failure), "{failure}"),
        }
        assert!(first.elapsed() < BOUND, "{:?}", first.elapsed());
    };
    println!("a slow load took {took:?}");
    assert!(took > Duration::from_secs(18), "slower than one answer may be: {took:?}");
}
