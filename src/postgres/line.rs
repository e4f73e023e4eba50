//! The line to a server: everything that is asked over it is answered within a limit, or the line is given up.
//!
//! The server ends a statement that takes too long (`statement_timeout`). A server that has fallen silent does not: it
//! was stopped, it hangs in its storage, or a proxy swallows what it says, while its kernel goes on acknowledging what
//! we send. So we wait as long as the server may work at a statement, and [`GRACE`] more. Then nothing can be known of
//! what was asked, as after any broken connection: the line is never used again.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_postgres::Socket;
use tokio_postgres::tls::MakeTlsConnect;

use crate::failure::{Failure, Outcome};

use super::address::Address;
use super::error::Error;

/// How much longer than the server's own limit an answer may take: for the way there and back, and for a server that is
/// slow to end what has taken too long.
const GRACE: Duration = Duration::from_secs(10);
/// How long a line that is no longer needed may take to say so.
const FAREWELL: Duration = Duration::from_secs(1);

/// Reads and writes; ends when the connection does.
type Traffic = Pin<Box<dyn Future<Output = Result<(), postgres::Error>> + Send>>;

/// A connection's traffic, and how long it may be silent.
pub(super) struct Line {
    /// None only while it is being dropped.
    runtime: Option<Runtime>,
    /// None before there is a connection, and after it has ended.
    traffic: Option<Traffic>,
    location: String,
    /// Until when all of the connecting has to be over; none after that.
    connecting: Option<(Instant, Duration)>,
    /// How long the server may work at one statement now.
    work: Duration,
    /// Why it was given up.
    silent: Option<String>,
}

impl Line {
    /// One that is not connected yet; from here on [`Address::connect_limit`] runs.
    pub(super) fn new(address: &Address) -> Outcome<Self> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime
            .map_err(|error| Failure::transient(format!("cannot make ready for a connection: {error}")))?;
        let limit = address.connect_limit();
        Ok(Self {
            runtime: Some(runtime),
            traffic: None,
            location: address.location(),
            connecting: Some((Instant::now() + limit, limit)),
            work: limit,
            silent: None,
        })
    }

    /// Connects: looks the name up, asks each address, and goes through TLS and the login.
    pub(super) fn connect<T>(
        &mut self,
        config: &tokio_postgres::Config,
        tls: T,
    ) -> Result<tokio_postgres::Client, Error>
    where
        T: MakeTlsConnect<Socket>,
        T::Stream: Send + 'static,
    {
        let (client, traffic) = self.wait(config.connect(tls))?;
        self.traffic = Some(Box::pin(traffic));
        Ok(client)
    }

    /// The connection is made; from here on the server may work so long at each statement.
    pub(super) fn connected(&mut self, work: Duration) {
        self.connecting = None;
        self.work = work;
    }

    /// How long the server may work at one statement.
    pub(super) fn work(&self) -> Duration {
        self.work
    }

    /// Changes that.
    pub(super) fn set_work(&mut self, work: Duration) {
        self.work = work;
    }

    /// Waits for the answer to one statement.
    pub(super) fn wait<T>(
        &mut self,
        asked: impl Future<Output = Result<T, postgres::Error>>,
    ) -> Result<T, Error> {
        self.wait_for(1, asked)
    }

    /// Waits for the answer to so many statements that are sent as one: the server's limit is for each of them.
    pub(super) fn wait_for<T>(
        &mut self,
        statements: u32,
        asked: impl Future<Output = Result<T, postgres::Error>>,
    ) -> Result<T, Error> {
        if let Some(why) = &self.silent {
            return Err(Error::Silent(why.clone()));
        }
        let limit = self.limit(statements);
        let traffic = &mut self.traffic;
        let answered = async {
            let mut asked = pin!(asked);
            poll_fn(|context| {
                if let Some(moving) = traffic
                    && let Poll::Ready(ended) = moving.as_mut().poll(context)
                {
                    *traffic = None;
                    // Why the connection ended says more than that it did.
                    ended?;
                }
                asked.as_mut().poll(context)
            })
            .await
        };
        let runtime = self.runtime.as_ref().expect("it is there until the line is dropped");
        // What has come is looked at before the clock is: a process that was held up itself blames nobody for it.
        match runtime.block_on(async { timeout(limit, answered).await }) {
            Ok(answer) => answer.map_err(Error::Library),
            Err(_) => Err(Error::Silent(self.silent.insert(self.silence(limit)).clone())),
        }
    }

    fn limit(&self, statements: u32) -> Duration {
        match self.connecting {
            Some((until, _)) => until.saturating_duration_since(Instant::now()),
            None => self.work * statements.max(1) + GRACE,
        }
    }

    fn silence(&self, limit: Duration) -> String {
        let location = &self.location;
        let look = "see whether it, or a proxy before it, hangs: psql must get an answer by the same way";
        match self.connecting {
            Some((_, all)) => format!(
                "the server says nothing: connecting to {location} was given up after {} s; {look}, or set a longer connect_timeout",
                all.as_secs()
            ),
            None => format!(
                "the server says nothing: {location} has not answered for {} s, though it ends each statement sooner \
                 itself (statement_timeout), so the connection was given up; {look}",
                limit.as_secs()
            ),
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        // The client is gone, so the traffic ends with a word to the server; it need not be waited for.
        if let (Some(traffic), None) = (self.traffic.take(), &self.silent) {
            let _ = runtime.block_on(async { timeout(FAREWELL, traffic).await });
        }
        // A name that is still being looked up must not be waited for.
        runtime.shutdown_background();
    }
}
