//! The server itself: connections, their limits, and their end.
//!
//! One connection carries one request: what a load balancer would save by keeping it open is small within a network, and
//! nothing can then be sent into a connection that is just being closed.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::failure::{Failure, Outcome};

/// Connections at a time; more wait in the kernel. Each may hold one body.
const CONNECTIONS: u32 = 64;
/// How long the head of a request may take to arrive.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// The head of a request. SNS and a load balancer write about 1.5 KiB and 20 lines.
const HEAD_BYTES: usize = 32 << 10;
const HEAD_LINES: usize = 64;
/// The life of a connection, whatever is going on in it.
const CONNECTION_TIME: Duration = Duration::from_secs(20);
/// How long a stop waits for answers that are on their way.
const STOP_TIME: Duration = Duration::from_millis(250);
/// After the system refused a connection: most likely there are no file descriptors, and asking at once would not help.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);
/// Verifying takes a fraction of a millisecond; fetching has threads of its own.
const THREADS: usize = 2;

/// A running server.
pub(super) struct Server {
    runtime: Option<Runtime>,
    accepting: JoinHandle<()>,
    slots: Arc<Semaphore>,
    stop: watch::Sender<bool>,
    /// Where it listens; the port is the real one, also where 0 was asked for.
    pub(super) address: SocketAddr,
}

impl Server {
    /// Binds `address` and begins to serve.
    pub(super) fn start(address: &str, router: Router) -> Outcome<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .max_blocking_threads(THREADS)
            .thread_name("sns")
            .enable_all()
            .build()
            .map_err(|error| {
                Failure::transient(format!("cannot start the threads that serve SNS: {error}"))
            })?;
        let cannot = |error: std::io::Error| {
            let hint = if error.kind() == std::io::ErrorKind::AddrInUse {
                "; another process listens there: stop it, or choose another SLUICEGATE_SNS_LISTEN"
            } else {
                ""
            };
            Failure::transient(format!("cannot listen for SNS on {address}: {error}{hint}"))
        };
        let listener = runtime.block_on(TcpListener::bind(address)).map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let slots = Arc::new(Semaphore::new(CONNECTIONS as usize));
        let (stop, stopped) = watch::channel(false);
        let accepting = runtime.spawn(accept(listener, router, slots.clone(), stopped));
        Ok(Self { runtime: Some(runtime), accepting, slots, stop, address })
    }

    /// Whether it takes connections. It stops doing so before its end only by a defect.
    pub(super) fn is_up(&self) -> bool {
        !self.accepting.is_finished()
    }

    /// Takes no more connections, and gives those that are there a moment to read their answers.
    pub(super) fn stop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        self.stop.send_replace(true);
        let all_ended = self.slots.acquire_many(CONNECTIONS);
        let _ = runtime.block_on(async { timeout(STOP_TIME, all_ended).await.map(drop) });
        runtime.shutdown_background();
    }
}

async fn accept(
    listener: TcpListener,
    router: Router,
    slots: Arc<Semaphore>,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        let next = async {
            let slot = slots.clone().acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            _ = stopped.changed() => return,
            next = next => next,
        };
        match accepted {
            Ok((stream, _)) => {
                let served = serve(stream, router.clone());
                tokio::spawn(async move {
                    served.await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!("a connection for SNS could not be taken: {error}");
                tokio::time::sleep(REFUSED_PAUSE).await;
            }
        }
    }
}

/// Serves one request. How a connection ended is its sender's business: what counts is counted where requests are read.
fn serve(stream: TcpStream, router: Router) -> impl Future<Output = ()> + Send {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_headers(HEAD_LINES)
        .max_buf_size(HEAD_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    async {
        match timeout(CONNECTION_TIME, connection).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!("a connection for SNS ended early: {error}"),
            Err(_) => tracing::debug!("a connection for SNS was cut after {} s", CONNECTION_TIME.as_secs()),
        }
    }
}
