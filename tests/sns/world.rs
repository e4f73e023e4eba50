//! The endpoint within this process: the product's own listener journals what it takes, into a folder of the test.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sluicegate::config::TopicArn;
use sluicegate::failure::Failure;
use sluicegate::folder::FolderStore;
use sluicegate::pipeline::bell::Bell;
use sluicegate::pipeline::context::Context;
use sluicegate::pipeline::handover::Handover;
use sluicegate::pipeline::listener::Listener;
use sluicegate::pipeline::scheduler::{RunOptions, run};
use sluicegate::pipeline::stage::Stage;
use sluicegate::pipeline::tally::Tally;
use sluicegate::ports::clock::Clock;
use sluicegate::sns::{CheckedUrl, Fetch, Roots, SnsInbox, SnsParts};
use sluicegate_state::seam::{Fault, Injected, Seam};
use sluicegate_state::{Store, Timestamp};
use tempfile::TempDir;

use crate::authority::{Authority, SNS, Signer, authority};
use crate::http::{Answer, post};
use crate::manual_clock::ManualClock;
use crate::message::{CERTIFICATE_URL, Message, TOPIC};

/// What the endpoint reaches: a table of addresses, in place of the network.
#[derive(Default)]
pub(crate) struct Net {
    pages: Mutex<BTreeMap<String, Result<Vec<u8>, String>>>,
    asked: Mutex<Vec<String>>,
}

impl Net {
    pub(crate) fn put(&self, url: &str, page: Result<Vec<u8>, String>) {
        self.pages.lock().unwrap().insert(url.to_owned(), page);
    }

    /// Everything that was asked for, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Fetch for Net {
    fn get(&self, url: &CheckedUrl) -> Result<Vec<u8>, String> {
        self.asked.lock().unwrap().push(url.to_string());
        let page = self.pages.lock().unwrap().get(url.as_str()).cloned();
        page.unwrap_or_else(|| Err("there is nothing at this address".to_owned()))
    }
}

/// A moment: an effect, before it happens or after.
type Moment = (&'static str, bool);

/// What happens to an effect: nothing, or a failure before or after it; and nothing goes past a moment that is held.
#[derive(Default)]
pub(crate) struct Meddler {
    faults: Mutex<Vec<Moment>>,
    seen: Mutex<Vec<&'static str>>,
    held: Mutex<Option<Moment>>,
    moved: Condvar,
}

impl Meddler {
    /// The next time that `effect` comes, it fails: before it happens, or after.
    pub(crate) fn fail(&self, effect: &'static str, after: bool) {
        self.faults.lock().unwrap().push((effect, after));
    }

    /// From now on nothing goes past this one moment, before `effect` or after it; what was held elsewhere goes on.
    pub(crate) fn hold(&self, effect: &'static str, after: bool) {
        *self.held.lock().unwrap() = Some((effect, after));
        self.moved.notify_all();
    }

    pub(crate) fn release(&self) {
        *self.held.lock().unwrap() = None;
        self.moved.notify_all();
    }

    pub(crate) fn count(&self, effect: &str) -> usize {
        self.seen.lock().unwrap().iter().filter(|seen| **seen == effect).count()
    }

    fn meddle(&self, effect: &'static str, after: bool) -> Result<(), Injected> {
        let held = self.held.lock().unwrap();
        drop(self.moved.wait_while(held, |held| *held == Some((effect, after))).unwrap());
        let mut faults = self.faults.lock().unwrap();
        let Some(place) = faults.iter().position(|fault| *fault == (effect, after)) else { return Ok(()) };
        faults.remove(place);
        Err(Injected { effect, after, transient: true })
    }
}

impl Fault for Meddler {
    fn before(&self, effect: &'static str) -> Result<(), Injected> {
        self.seen.lock().unwrap().push(effect);
        self.meddle(effect, false)
    }

    fn after(&self, effect: &'static str) -> Result<(), Injected> {
        self.meddle(effect, true)
    }
}

/// A running endpoint and all that surrounds it.
pub(crate) struct World {
    pub(crate) authority: &'static Authority,
    pub(crate) address: SocketAddr,
    pub(crate) net: Arc<Net>,
    pub(crate) meddler: Arc<Meddler>,
    pub(crate) clock: Arc<ManualClock>,
    /// How often a message was on its way to the journal.
    routed: Arc<AtomicUsize>,
    bell: Arc<Bell>,
    running: Option<JoinHandle<()>>,
    folder: TempDir,
}

impl World {
    /// None where there is no `openssl`.
    pub(crate) fn new() -> Option<Self> {
        let authority = authority()?;
        let folder = tempfile::tempdir().unwrap();
        let net = Arc::new(Net::default());
        net.put(CERTIFICATE_URL, Ok(authority.pem(SNS)));
        let meddler = Arc::new(Meddler::default());
        let clock = Arc::new(ManualClock::new(&chrono::Utc::now().to_rfc3339()));
        let seam = Seam::with_fault(meddler.clone());
        let routed = Arc::new(AtomicUsize::new(0));
        let counted = routed.clone();
        let parts = SnsParts {
            topic: TopicArn::parse(TOPIC).unwrap(),
            route: Arc::new(move |bucket, key| {
                counted.fetch_add(1, Ordering::SeqCst);
                (bucket == "landing" && key.ends_with(".txt")).then(|| "invoices".to_owned())
            }),
            clock: clock.clone(),
            seam: seam.clone(),
            fetch: net.clone(),
            roots: Roots::new(&[authority.der("ca")]),
        };
        let inbox = SnsInbox::start("127.0.0.1:0", parts).unwrap();
        let address = inbox.address();
        let context = Arc::new(context(&folder, clock.clone(), seam));
        let listener = Listener::new(context.clone(), Box::new(inbox), true).unwrap();
        let bell = Arc::new(Bell::new(1));
        let rung = bell.clone();
        let running = std::thread::spawn(move || {
            let stages: Vec<Box<dyn Stage>> = vec![Box::new(listener)];
            run(&context, &rung, stages, RunOptions { watch: true, patience: Duration::ZERO }).unwrap();
        });
        let running = Some(running);
        Some(Self { authority, address, net, meddler, clock, routed, bell, running, folder })
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Messages about objects that were verified, and either are in the journal's queue or will be in a moment.
    pub(crate) fn routed(&self) -> usize {
        self.routed.load(Ordering::SeqCst)
    }

    /// A signed message that an object landed.
    pub(crate) fn landed(&self, key: &str) -> Message {
        Message::landed(key, self.now()).signed(self.authority)
    }

    pub(crate) fn post(&self, message: &Message) -> Answer {
        post(self.address, message.body().as_bytes())
    }

    /// Serves another certificate at the address of the usual one.
    pub(crate) fn sign_with(&self, signer: Signer) {
        self.net.put(CERTIFICATE_URL, Ok(self.authority.pem(signer)));
    }

    /// The journal, through a connection of its own.
    pub(crate) fn store(&self) -> Store {
        Store::open(&self.folder.path().join("state"), Seam::default()).unwrap()
    }

    /// How often a key was journaled: as notifications, and as redeliveries.
    pub(crate) fn journaled(&self, key: &str) -> (usize, u64) {
        let entries = self.store().notifications_for_key(key).unwrap();
        (entries.len(), entries.iter().map(|entry| entry.redeliveries).sum())
    }

    /// Nothing but counts of refusals was written.
    #[track_caller]
    pub(crate) fn assert_untouched(&self) {
        let store = self.store();
        assert_eq!(store.notification_totals("invoices").unwrap().received, 0);
        assert!(store.counters().unwrap().is_empty() && store.unreadable(10).unwrap().is_empty());
    }

    /// Waits until this many refusals for a reason are journaled.
    #[track_caller]
    pub(crate) fn wait_refused(&self, reason: &str, count: u64) {
        let store = self.store();
        let told = || store.refusals().unwrap().into_iter().find(|total| total.reason == reason);
        until(&format!("{count} refusals {reason}"), || told().is_some_and(|total| total.count == count));
    }

    /// Asks it to stop, as a signal does.
    pub(crate) fn ask_to_stop(&self) {
        self.bell.stop();
    }

    /// Stops as a signal does, and waits for the end.
    pub(crate) fn stop(&mut self) {
        self.ask_to_stop();
        if let Some(running) = self.running.take() {
            running.join().unwrap();
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.ask_to_stop();
        // A test that fails leaves nothing held.
        self.meddler.release();
        if let Some(running) = self.running.take() {
            let _ = running.join();
        }
    }
}

/// Waits for something that comes by itself.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "waited a minute for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn context(folder: &TempDir, clock: Arc<ManualClock>, seam: Seam) -> Context {
    let store = || Arc::new(FolderStore::new(folder.path().join("store")));
    Context {
        jobs: BTreeMap::new(),
        clock,
        seam,
        incarnation: "test".to_owned(),
        host: "host".to_owned(),
        landings: BTreeMap::new(),
        scanned_jobs: BTreeSet::new(),
        archive: store(),
        curated: store(),
        open_warehouse: Box::new(|| Err(Failure::transient("a listener needs no warehouse"))),
        state: folder.path().join("state"),
        spool: folder.path().join("spool"),
        fetch_concurrency: 1,
        seal_at_once: false,
        tally: Tally::default(),
        handover: Handover::default(),
    }
}
