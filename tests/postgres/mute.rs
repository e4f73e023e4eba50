//! In front of PostgreSQL: a proxy that falls silent. It goes on accepting connections and taking bytes, and nothing comes
//! back, as from a postmaster that was stopped: the kernel acknowledges everything.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The end of a simple query that says nothing but COMMIT.
const COMMIT: &[u8] = b"COMMIT\0";

/// A proxy on a free port; it lives as long as the test process.
pub(crate) struct Mute {
    address: String,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: String,
    silent: AtomicBool,
    /// So many answers of the server's pass, over all connections; then it falls silent.
    answers: AtomicUsize,
    /// The next COMMIT is passed on, and its connection then falls silent.
    at_commit: AtomicBool,
    /// What is waited before each part of what a client sends is passed on.
    slowness: std::time::Duration,
}

impl Mute {
    /// One that passes everything on until it is told otherwise.
    pub(crate) fn start(server: &str) -> Self {
        Self::begin(server, usize::MAX, std::time::Duration::ZERO)
    }

    /// One that falls silent after so many answers of the server's.
    pub(crate) fn after(server: &str, answers: usize) -> Self {
        Self::begin(server, answers, std::time::Duration::ZERO)
    }

    /// One that is slow with what the client sends: so long for at most 64 KiB.
    pub(crate) fn slow(server: &str, slowness: std::time::Duration) -> Self {
        Self::begin(server, usize::MAX, slowness)
    }

    fn begin(server: &str, answers: usize, slowness: std::time::Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared {
            upstream: parts(server).1.to_owned(),
            silent: AtomicBool::new(false),
            answers: AtomicUsize::new(answers),
            at_commit: AtomicBool::new(false),
            slowness,
        });
        let accepting = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let _ = pass(client, &accepting);
            }
        });
        Self { address, shared }
    }

    /// The same database by this way, with limits that a test can wait for.
    pub(crate) fn url(&self, url: &str) -> String {
        let (user, _, database) = parts(url);
        format!("{user}@{}/{database}?connect_timeout=2&options=-c%20statement_timeout%3D4s", self.address)
    }

    /// From now on nothing passes any more.
    pub(crate) fn fall_silent(&self) {
        self.shared.silent.store(true, Ordering::SeqCst);
    }

    /// After so many more answers of the server's nothing passes any more.
    pub(crate) fn fall_silent_after(&self, answers: usize) {
        self.shared.answers.store(answers, Ordering::SeqCst);
    }

    /// New connections are served again; those that fell silent stay so.
    pub(crate) fn speak(&self) {
        self.shared.silent.store(false, Ordering::SeqCst);
        self.shared.answers.store(usize::MAX, Ordering::SeqCst);
    }

    /// The next COMMIT reaches the server, and nothing more passes on its connection.
    pub(crate) fn fall_silent_at_commit(&self) {
        self.shared.at_commit.store(true, Ordering::SeqCst);
    }
}

/// `postgres://user@host:port/database` in three parts.
fn parts(url: &str) -> (&str, &str, &str) {
    let (user, rest) = url.split_once('@').unwrap();
    let (address, database) = rest.split_once('/').unwrap();
    (user, address, database)
}

impl Shared {
    /// Whether one more answer of the server's passes.
    fn lets_answer(&self) -> bool {
        let left = |left: usize| if left == usize::MAX { Some(left) } else { left.checked_sub(1) };
        !self.silent.load(Ordering::SeqCst)
            && self.answers.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_ok()
    }
}

/// Passes both directions on, each on a thread of its own. What the client sent before the silence reaches the server.
fn pass(client: TcpStream, shared: &Arc<Shared>) -> std::io::Result<()> {
    let server = TcpStream::connect(&shared.upstream)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let mute = Arc::new(AtomicBool::new(false));
    let (to_client, from_server) = (client.try_clone()?, server.try_clone()?);
    let (answering, now_mute) = (shared.clone(), mute.clone());
    std::thread::spawn(move || {
        pump(from_server, to_client, |bytes, to| {
            if !now_mute.load(Ordering::SeqCst) && answering.lets_answer() {
                return to.write_all(bytes).is_ok();
            }
            now_mute.store(true, Ordering::SeqCst);
            true
        });
    });
    let shared = shared.clone();
    std::thread::spawn(move || {
        pump(client, server, |bytes, to| {
            if shared.silent.load(Ordering::SeqCst) {
                mute.store(true, Ordering::SeqCst);
            }
            // A link that is slow, and not a wait for anything.
            std::thread::sleep(shared.slowness);
            let swallowed = mute.load(Ordering::SeqCst);
            let commits = bytes.windows(COMMIT.len()).any(|part| part == COMMIT);
            if commits && shared.at_commit.swap(false, Ordering::SeqCst) {
                mute.store(true, Ordering::SeqCst);
            }
            swallowed || to.write_all(bytes).is_ok()
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
