//! In front of PostgreSQL: can be stopped like a server, and cuts connections at a COMMIT.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::corpus::Random;

/// The end of a simple query that says nothing but COMMIT.
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
    stopped: AtomicBool,
    /// One COMMIT in so many is cut; none is with 0.
    one_in: u64,
    random: Mutex<Random>,
    met: Mutex<BTreeMap<Cut, u64>>,
    open: Mutex<Vec<TcpStream>>,
}

impl Shared {
    fn decide(&self) -> Option<Cut> {
        let mut random = self.random.lock().unwrap();
        let cut = (self.one_in > 0 && random.one_in(self.one_in)).then(|| *random.pick(&CUTS))?;
        *self.met.lock().unwrap().entry(cut).or_default() += 1;
        Some(cut)
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
        });
        let accepting = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A dropped connection is what a stopped server's clients see.
                if !accepting.stopped.load(Ordering::SeqCst) {
                    let _ = pass(client, &accepting);
                }
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
        self.shared.stopped.store(true, Ordering::SeqCst);
        for stream in self.shared.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub(crate) fn go_on(&self) {
        self.shared.stopped.store(false, Ordering::SeqCst);
    }

    /// How often a COMMIT was cut, by the moment.
    pub(crate) fn met(&self) -> BTreeMap<Cut, u64> {
        self.shared.met.lock().unwrap().clone()
    }
}

/// Passes everything on, in both directions, on threads of its own.
fn pass(client: TcpStream, shared: &Arc<Shared>) -> std::io::Result<()> {
    let server = TcpStream::connect(&shared.upstream)?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
        shared.open.lock().unwrap().push(stream.try_clone()?);
    }
    let drop_answer = Arc::new(AtomicBool::new(false));
    let (to_client, from_server) = (client.try_clone()?, server.try_clone()?);
    let dropping = drop_answer.clone();
    std::thread::spawn(move || {
        let keep = |_: &[u8]| !dropping.load(Ordering::SeqCst);
        pump(from_server, to_client, |bytes, to| keep(bytes) && to.write_all(bytes).is_ok());
    });
    let shared = shared.clone();
    std::thread::spawn(move || {
        pump(client, server, |bytes, to| {
            let has_commit = bytes.windows(COMMIT.len()).any(|window| window == COMMIT);
            let cut = if has_commit { shared.decide() } else { None };
            drop_answer.store(cut == Some(Cut::Answered), Ordering::SeqCst);
            cut != Some(Cut::Before) && to.write_all(bytes).is_ok() && cut != Some(Cut::Passed)
        });
    });
    Ok(())
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
