//! In front of PostgreSQL: can be stopped like a server, cuts connections at a COMMIT, and holds its answer back.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use crate::corpus::Random;

/// The end of a simple query that says nothing but COMMIT, and of the answer that says that it is done.
const COMMIT: &[u8] = b"COMMIT\0";

/// When the connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cut {
    /// The COMMIT never arrives.
    Before,
    /// At once after the COMMIT was passed on; the server may still be at it when the next attempt comes.
    Passed,
    /// When the server had answered, instead of passing its answer on.
    Answered,
}

const CUTS: [Cut; 3] = [Cut::Before, Cut::Passed, Cut::Answered];

/// A proxy on a free port; it lives as long as the test process.
pub(crate) struct PostgresProxy {
    address: String,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: String,
    /// Changes only while `open` is locked, so that no connection is opened past a stop.
    stopped: AtomicBool,
    /// One COMMIT in so many is cut; none is with 0.
    one_in: u64,
    random: Mutex<Random>,
    met: Mutex<BTreeMap<Cut, u64>>,
    open: Mutex<Vec<TcpStream>>,
    /// Answers to COMMITs that may still be passed on; all where there is none.
    answers: Mutex<Option<u64>>,
    granted: Condvar,
}

impl Shared {
    fn decide(&self) -> Option<Cut> {
        let mut random = self.random.lock().unwrap();
        let cut = (self.one_in > 0 && random.one_in(self.one_in)).then(|| *random.pick(&CUTS))?;
        *self.met.lock().unwrap().entry(cut).or_default() += 1;
        Some(cut)
    }

    /// Waits until the answer to a COMMIT may be passed on.
    fn wait_for_leave(&self) {
        let answers = self.answers.lock().unwrap();
        let mut answers = self.granted.wait_while(answers, |left| *left == Some(0)).unwrap();
        if let Some(left) = &mut *answers {
            *left -= 1;
        }
    }
}

/// `postgres://user@host:port/database` in three parts.
fn parts(url: &str) -> (&str, &str, &str) {
    let (user, rest) = url.split_once('@').unwrap();
    let (address, database) = rest.split_once('/').unwrap();
    (user, address, database)
}

impl PostgresProxy {
    pub(crate) fn start(server: &str, seed: u64, one_in: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared {
            upstream: parts(server).1.to_owned(),
            stopped: AtomicBool::new(false),
            one_in,
            random: Mutex::new(Random::new(seed)),
            met: Mutex::default(),
            open: Mutex::default(),
            answers: Mutex::default(),
            granted: Condvar::new(),
        });
        let accepting = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let _ = pass(client, &accepting);
            }
        });
        Self { address, shared }
    }

    /// The same database by this way. Without TLS, which a server may offer: no COMMIT could be seen in it.
    pub(crate) fn url(&self, url: &str) -> String {
        let (user, _, database) = parts(url);
        format!("{user}@{}/{database}?sslmode=disable", self.address)
    }

    /// What `pg_ctl stop` does.
    pub(crate) fn stop(&self) {
        let mut open = self.shared.open.lock().unwrap();
        self.shared.stopped.store(true, Ordering::SeqCst);
        for stream in open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub(crate) fn go_on(&self) {
        self.shared.stopped.store(false, Ordering::SeqCst);
    }

    /// From now on only so many answers to COMMITs are passed on, and the others held back: whoever waits for one goes no
    /// further, and the server has done what it answers.
    pub(crate) fn answer_only(&self, commits: u64) {
        *self.shared.answers.lock().unwrap() = Some(commits);
        self.shared.granted.notify_all();
    }

    /// Passes everything on again, also what was held back.
    pub(crate) fn answer_all(&self) {
        *self.shared.answers.lock().unwrap() = None;
        self.shared.granted.notify_all();
    }

    /// How often a COMMIT was cut, by the moment.
    pub(crate) fn met(&self) -> BTreeMap<Cut, u64> {
        self.shared.met.lock().unwrap().clone()
    }
}

/// Passes everything on, in both directions, on threads of its own.
fn pass(client: TcpStream, shared: &Arc<Shared>) -> std::io::Result<()> {
    let mut open = shared.open.lock().unwrap();
    // A dropped connection is what a stopped server's clients see.
    if shared.stopped.load(Ordering::SeqCst) {
        return Ok(());
    }
    let server = TcpStream::connect(&shared.upstream)?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
        open.push(stream.try_clone()?);
    }
    drop(open);
    let drop_answer = Arc::new(AtomicBool::new(false));
    let (to_client, from_server) = (client.try_clone()?, server.try_clone()?);
    let (dropping, holding) = (drop_answer.clone(), shared.clone());
    std::thread::spawn(move || {
        pump(from_server, to_client, |bytes, to| {
            if has_commit(bytes) {
                holding.wait_for_leave();
            }
            !dropping.load(Ordering::SeqCst) && to.write_all(bytes).is_ok()
        });
    });
    let shared = shared.clone();
    std::thread::spawn(move || {
        pump(client, server, |bytes, to| {
            let cut = if has_commit(bytes) { shared.decide() } else { None };
            drop_answer.store(cut == Some(Cut::Answered), Ordering::SeqCst);
            cut != Some(Cut::Before) && to.write_all(bytes).is_ok() && cut != Some(Cut::Passed)
        });
    });
    Ok(())
}

fn has_commit(bytes: &[u8]) -> bool {
    bytes.windows(COMMIT.len()).any(|window| window == COMMIT)
}

/// Hands everything to `step` until that, or either end, has had enough; then both ends are closed.
fn pump(mut from: TcpStream, mut to: TcpStream, step: impl Fn(&[u8], &mut TcpStream) -> bool) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if !step(&buffer[..count], &mut to) {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
