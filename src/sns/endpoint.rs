//! What a request becomes: verified, handed to the journal, answered.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::routing::{get, post};
use http_body::Body as _;
use sluicegate_state::Arrival;
use sluicegate_state::seam::Seam;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use super::envelope::{Envelope, Kind};
use super::fetch::{Fetch, host};
use super::inbox::Health;
use super::refusal::{Refusal, Tally, shown};
use super::url;
use super::verifier::Verifier;
use crate::effects;
use crate::events::read_message;
use crate::failure::{Failure, Outcome};

/// A body. SNS takes messages of 256 KiB; in the envelope each character of one may be escaped, with three bytes for one
/// at most for any text that an S3 event has in it.
const BODY_BYTES: u64 = 1 << 20;
/// Of a body that is too large so much is read and thrown away, so that its sender gets to read the answer.
const DISCARD_BYTES: u64 = 4 << 20;
/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(5);
/// How long a request may take in all. SNS waits 15 seconds (developer guide, page `SendMessageToHttp.prepare`).
const ANSWER_TIME: Duration = Duration::from_secs(12);
/// What arrivals from here say about where they came from.
pub(super) const SOURCE: &str = "sns";
/// What SNS sends with a raw delivery, which has no signature.
const RAW_HEADER: &str = "x-amz-sns-rawdelivery";

/// Finds the job that a bucket and a key belong to.
pub type Route = Arc<dyn Fn(&str, &str) -> Option<String> + Send + Sync>;

/// A verified message on its way into the journal.
pub(super) struct Waiting {
    pub(super) arrivals: Vec<Arrival>,
    /// Told once it is on disk; dropped where it will not be.
    pub(super) journaled: oneshot::Sender<()>,
}

/// What all requests share.
pub(super) struct Endpoint {
    pub(super) verifier: Verifier,
    pub(super) fetch: Arc<dyn Fetch>,
    pub(super) route: Route,
    pub(super) queue: SyncSender<Waiting>,
    pub(super) tally: Arc<Tally>,
    pub(super) health: Arc<Health>,
    pub(super) seam: Seam,
    pub(super) stopping: AtomicBool,
}

/// The two paths that there are.
pub(super) fn router(endpoint: Arc<Endpoint>) -> Router {
    Router::new().route("/sns", post(deliver)).route("/health", get(health)).with_state(endpoint)
}

/// Answers 200 only while requests are being journaled, for a load balancer to ask.
async fn health(State(endpoint): State<Arc<Endpoint>>) -> (StatusCode, &'static str) {
    if !endpoint.stopping.load(Ordering::SeqCst) && endpoint.health.is_good() {
        (StatusCode::OK, "journaling\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not journaling\n")
    }
}

async fn deliver(
    State(endpoint): State<Arc<Endpoint>>,
    request: Request<Body>,
) -> (StatusCode, &'static str) {
    match endpoint.take(request).await {
        Ok(()) => (StatusCode::OK, "taken\n"),
        Err(refusal) => {
            endpoint.tally.note(refusal.word(), &refusal.to_string());
            let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
            (status, if status.is_server_error() { "not now\n" } else { "refused\n" })
        }
    }
}

impl Endpoint {
    async fn take(&self, request: Request<Body>) -> Result<(), Refusal> {
        let deadline = Instant::now() + ANSWER_TIME;
        let (head, body) = request.into_parts();
        let body = timeout(BODY_TIME, read(&head.headers, body))
            .await
            .map_err(|_| Refusal::Incomplete(format!("nothing more within {} s", BODY_TIME.as_secs())))??;
        if is_raw(&head.headers) {
            return Err(Refusal::Raw);
        }
        let envelope = Envelope::read(&body)?;
        drop(body);
        let too_long = |_| Refusal::CertificateUnavailable("it took too long".to_owned());
        timeout_at(deadline, self.verifier.verify(&envelope)).await.map_err(too_long)??;
        match envelope.kind {
            Kind::Notification => self.journal(&envelope, deadline).await,
            Kind::SubscriptionConfirmation => self.confirm(&envelope, deadline).await,
            Kind::UnsubscribeConfirmation => {
                // Its SubscribeURL would subscribe again, and whoever ended the subscription may have meant it.
                let what =
                    format!("the subscription to {} has ended: nothing more will come", envelope.topic_arn);
                self.tally.note("unsubscribed", &what);
                Ok(())
            }
        }
    }

    /// Hands a message to the journal and waits until it is on disk (I1).
    async fn journal(&self, envelope: &Envelope, deadline: Instant) -> Result<(), Refusal> {
        let route = |bucket: &str, key: &str| (self.route)(bucket, key);
        // The message alone, and not the body around it: it is what was signed.
        let arrivals = read_message(envelope.message.as_bytes(), SOURCE, &route);
        let (journaled, answer) = oneshot::channel();
        self.queue.try_send(Waiting { arrivals, journaled }).map_err(|error| match error {
            TrySendError::Full(_) => Refusal::Busy,
            TrySendError::Disconnected(_) => Refusal::NotJournaled("the program is ending"),
        })?;
        match timeout_at(deadline, answer).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Refusal::NotJournaled(
                "the journal could not be written, see above, or the program is ending",
            )),
            Err(_) => Err(Refusal::NotJournaled("the journal took too long")),
        }
    }

    /// Visits the address that makes SNS deliver here.
    async fn confirm(&self, envelope: &Envelope, deadline: Instant) -> Result<(), Refusal> {
        let address = envelope.subscribe_url.as_deref().unwrap_or_default();
        let token = envelope.token.as_deref().unwrap_or_default();
        let url = url::of_subscription(address, &self.verifier.topic, token)
            .map_err(|why| Refusal::SubscribeUrl(format!("{}: {why}", shown(address))))?;
        let (fetch, seam, at) = (self.fetch.clone(), self.seam.clone(), host(&url).to_owned());
        let visit = move || -> Outcome<()> {
            seam.perform(effects::SUBSCRIPTION_CONFIRM, || {
                fetch.get(&url).map(drop).map_err(Failure::transient)
            })
        };
        let visited = timeout_at(deadline, tokio::task::spawn_blocking(visit)).await;
        match visited {
            Ok(Ok(Ok(()))) => {
                tracing::info!(
                    "SNS over HTTP: the subscription to {} is confirmed, at {at}",
                    envelope.topic_arn
                );
                Ok(())
            }
            Ok(Ok(Err(failure))) => Err(Refusal::Unconfirmed(failure.message)),
            Ok(Err(error)) => Err(Refusal::Unconfirmed(error.to_string())),
            Err(_) => Err(Refusal::Unconfirmed("it took too long".to_owned())),
        }
    }
}

fn is_raw(headers: &HeaderMap) -> bool {
    headers.get(RAW_HEADER).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"))
}

/// Reads a body whose size is bounded.
async fn read(headers: &HeaderMap, mut body: Body) -> Result<Vec<u8>, Refusal> {
    let announced =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > DISCARD_BYTES) {
        return Err(Refusal::TooLarge);
    }
    let mut read = Vec::new();
    let mut came: u64 = 0;
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|error| Refusal::Incomplete(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        came += data.len() as u64;
        if came > DISCARD_BYTES {
            return Err(Refusal::TooLarge);
        }
        if came <= BODY_BYTES {
            read.extend_from_slice(&data);
        }
    }
    if came > BODY_BYTES { Err(Refusal::TooLarge) } else { Ok(read) }
}
