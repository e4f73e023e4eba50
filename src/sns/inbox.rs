//! Where requests and the journal meet: requests wait here until what they brought is on disk.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sluicegate_state::Arrival;
use sluicegate_state::seam::Seam;
use tokio::sync::oneshot;

use super::chain::Roots;
use super::endpoint::{Endpoint, Route, SOURCE, Waiting, router};
use super::fetch::{Fetch, Https};
use super::refusal::{Counts, Tally};
use super::server::Server;
use super::verifier::Verifier;
use crate::config::TopicArn;
use crate::failure::{Failure, Outcome};
use crate::ports::clock::Clock;
use crate::ports::inbox::{Delivery, Inbox, Poll};

/// Verified messages that wait for the journal; one more is refused with 503.
const WAITING: usize = 256;
/// How long a poll waits for a first message.
const POLL_WAIT: Duration = Duration::from_millis(500);
/// How often refusals are journaled.
const TALLY_INTERVAL: Duration = Duration::from_secs(2);
/// A journal that nobody has asked for work this long is stuck or waits out a failure.
const POLL_AGE: Duration = Duration::from_secs(5);
/// For so long after a failure a load balancer is told not to come.
const DOUBT: Duration = Duration::from_secs(10);
/// The receipt of the counts of refusals.
const TALLY_RECEIPT: &str = "refusals";

/// What an endpoint consists of, besides its address.
pub struct SnsParts {
    /// The one topic.
    pub topic: TopicArn,
    /// Finds jobs.
    pub route: Route,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The seam for crash tests.
    pub seam: Seam,
    /// Reaches out to SNS.
    pub fetch: Arc<dyn Fetch>,
    /// Who may have issued its certificates.
    pub roots: Roots,
}

impl SnsParts {
    /// The parts for production: HTTPS, and the authorities of this system.
    ///
    /// # Errors
    /// Permanent where the system has no authorities.
    pub fn new(topic: TopicArn, route: Route, clock: Arc<dyn Clock>, seam: Seam) -> Outcome<Self> {
        let (roots, certificates) = Roots::system()?;
        Ok(Self { topic, route, clock, seam, fetch: Arc::new(Https::new(&certificates)), roots })
    }
}

/// The endpoint as an inbox. It listens from the moment that it is made until it is dropped.
pub struct SnsInbox {
    endpoint: Arc<Endpoint>,
    server: Server,
    /// Gone once the end has begun: then nobody can wait any more.
    queue: Option<Receiver<Waiting>>,
    handed_out: HandedOut,
    receipts: u64,
    tally: Arc<Tally>,
    tallied: Instant,
    health: Arc<Health>,
}

/// What the last poll gave to the journal.
#[derive(Default)]
struct HandedOut {
    requests: HashMap<String, oneshot::Sender<()>>,
    counts: Option<Counts>,
}

impl SnsInbox {
    /// Listens on `address`, such as `0.0.0.0:8080`.
    ///
    /// # Errors
    /// When it is taken, or not this machine's.
    pub fn start(address: &str, parts: SnsParts) -> Outcome<Self> {
        let SnsParts { topic, route, clock, seam, fetch, roots } = parts;
        let (sender, queue) = sync_channel(WAITING);
        let (tally, health) = (Arc::new(Tally::default()), Arc::new(Health::new()));
        let endpoint = Arc::new(Endpoint {
            verifier: Verifier::new(topic, fetch.clone(), roots, clock),
            fetch,
            route,
            queue: sender,
            tally: tally.clone(),
            health: health.clone(),
            seam,
            stopping: AtomicBool::new(false),
        });
        let server = Server::start(address, router(endpoint.clone()))?;
        tracing::info!("listening for SNS on {}: POST /sns, GET /health", server.address);
        let (queue, handed_out) = (Some(queue), HandedOut::default());
        Ok(Self { endpoint, server, queue, handed_out, receipts: 0, tally, tallied: Instant::now(), health })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// What waits, after waiting for a first message; while the journal writes, more come, and one commit covers them.
    fn waiting(&self) -> Outcome<Vec<Waiting>> {
        let gone = || Failure::permanent("the endpoint for SNS has ended by itself; see above");
        let queue = self.queue.as_ref().ok_or_else(gone)?;
        match queue.recv_timeout(POLL_WAIT) {
            Ok(first) => Ok(std::iter::once(first).chain(queue.try_iter().take(WAITING)).collect()),
            Err(RecvTimeoutError::Timeout) if self.server.is_up() => Ok(Vec::new()),
            Err(_) => Err(gone()),
        }
    }

    fn refusals(&mut self) -> Option<Delivery> {
        if self.tallied.elapsed() < TALLY_INTERVAL {
            return None;
        }
        self.tallied = Instant::now();
        let counts = self.tally.take();
        if counts.is_empty() {
            return None;
        }
        let refused = |(word, count): (&&str, &u64)| Arrival::Refused {
            source: SOURCE.to_owned(),
            reason: (*word).to_owned(),
            count: *count,
        };
        let arrivals = counts.iter().map(refused).collect();
        self.handed_out.counts = Some(counts);
        Some(Delivery { arrivals, receipt: TALLY_RECEIPT.to_owned() })
    }

    /// What was handed out and neither acknowledged nor given back was not journaled: whoever waits is told so.
    fn fail_handed_out(&mut self) {
        let HandedOut { requests, counts } = std::mem::take(&mut self.handed_out);
        if !requests.is_empty() || counts.is_some() {
            self.health.failed();
        }
        if let Some(counts) = counts {
            self.tally.restore(counts);
        }
    }
}

impl Inbox for SnsInbox {
    fn poll(&mut self) -> Outcome<Poll> {
        self.fail_handed_out();
        self.health.polled();
        let mut deliveries = Vec::new();
        for Waiting { arrivals, journaled } in self.waiting()? {
            self.receipts += 1;
            let receipt = self.receipts.to_string();
            self.handed_out.requests.insert(receipt.clone(), journaled);
            deliveries.push(Delivery { arrivals, receipt });
        }
        deliveries.extend(self.refusals());
        Ok(Poll { deliveries, unsettled: 0, more: false })
    }

    fn acknowledge(&mut self, receipts: &[String]) -> Outcome<()> {
        self.health.worked();
        for receipt in receipts {
            if receipt == TALLY_RECEIPT {
                self.handed_out.counts = None;
            } else if let Some(journaled) = self.handed_out.requests.remove(receipt) {
                // A sender that has gone meanwhile sends it again, and that is a redelivery.
                let _ = journaled.send(());
            }
        }
        Ok(())
    }

    fn give_back(&mut self, _receipts: &[String]) {
        self.fail_handed_out();
    }

    fn is_listing(&self) -> bool {
        false
    }
}

impl Drop for SnsInbox {
    /// Whoever still waits is answered 503, so that SNS comes again.
    fn drop(&mut self) {
        self.endpoint.stopping.store(true, Ordering::SeqCst);
        self.queue = None;
        self.handed_out = HandedOut::default();
        self.server.stop();
    }
}

/// Whether what comes in is journaled.
pub(super) struct Health {
    began: Instant,
    /// Milliseconds after the beginning.
    polled: AtomicU64,
    failed: Mutex<Option<Instant>>,
}

impl Health {
    fn new() -> Self {
        Self { began: Instant::now(), polled: AtomicU64::new(0), failed: Mutex::new(None) }
    }

    fn polled(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.polled.store(now, Ordering::SeqCst);
    }

    fn failed(&self) {
        self.set_failed(Some(Instant::now()));
    }

    fn worked(&self) {
        self.set_failed(None);
    }

    fn set_failed(&self, at: Option<Instant>) {
        *self.failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = at;
    }

    /// Somebody asks for work often enough, and the last attempt at it did not just fail. After a while the doubt ends by
    /// itself, for without requests nothing would ever prove that the journal works again.
    pub(super) fn is_good(&self) -> bool {
        let polled = Duration::from_millis(self.polled.load(Ordering::SeqCst));
        let failed = *self.failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.began.elapsed().saturating_sub(polled) < POLL_AGE
            && failed.is_none_or(|at| at.elapsed() >= DOUBT)
    }
}
