//! The certificates of signatures: fetched once, verified each time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls_pki_types::{ServerName, UnixTime};

use super::chain::{Broken, Chain, Roots};
use super::fetch::Fetch;
use super::refusal::Refusal;
use super::url::CheckedUrl;

/// Certificates that are kept. A region signs with one, and now and then with its successor too.
const KEPT: usize = 16;
/// For so long an address that brought nothing good is not asked again. SNS itself tries again after 20 seconds.
const FAILURE_TIME: Duration = Duration::from_secs(10);
/// Addresses that are remembered because of that. Whoever posts can make up any number of them.
const FAILURES: usize = 256;

/// A verified certificate's key.
pub(super) type PublicKey = Arc<Vec<u8>>;

/// Gets, verifies and keeps certificates.
pub(super) struct Certificates {
    fetch: Arc<dyn Fetch>,
    roots: Roots,
    names: Vec<ServerName<'static>>,
    known: Mutex<Known>,
    /// Held while something is fetched: strangers can make this reach out, but never more than once at a time.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    /// With the order in which they came.
    chains: BTreeMap<CheckedUrl, (u64, Arc<Chain>)>,
    fetched: u64,
    failures: BTreeMap<CheckedUrl, (Instant, Refusal)>,
}

impl Certificates {
    pub(super) fn new(fetch: Arc<dyn Fetch>, roots: Roots, names: Vec<ServerName<'static>>) -> Self {
        Self { fetch, roots, names, known: Mutex::default(), fetching: tokio::sync::Mutex::new(()) }
    }

    /// The key of the certificate at `url`, which is SNS's and valid `now`.
    pub(super) async fn key(&self, url: &CheckedUrl, now: UnixTime) -> Result<PublicKey, Refusal> {
        if let Some(found) = self.kept(url, now) {
            return found;
        }
        let _alone = self.fetching.lock().await;
        // Somebody else may have fetched it meanwhile.
        if let Some(found) = self.kept(url, now) {
            return found;
        }
        let fetched = self.fetch_chain(url, now).await;
        let mut known = self.lock();
        match fetched {
            Ok(chain) => {
                tracing::info!("SNS signs with the certificate at {url}, SHA-256 {}", chain.fingerprint());
                known.keep(url, chain.clone());
                key_of(&chain)
            }
            Err(refusal) => {
                known.fail(url, refusal.clone());
                Err(refusal)
            }
        }
    }

    /// What is known of an address. A chain is verified each time: its time may have run out since it was fetched.
    fn kept(&self, url: &CheckedUrl, now: UnixTime) -> Option<Result<PublicKey, Refusal>> {
        let known = self.lock();
        if let Some((_, chain)) = known.chains.get(url) {
            let chain = chain.clone();
            drop(known);
            return Some(self.verified(&chain, now).map_err(Broken::into).and_then(|()| key_of(&chain)));
        }
        let (at, refusal) = known.failures.get(url)?;
        (at.elapsed() < FAILURE_TIME).then(|| Err(refusal.clone()))
    }

    async fn fetch_chain(&self, url: &CheckedUrl, now: UnixTime) -> Result<Arc<Chain>, Refusal> {
        let mut chain = Chain::read(&self.get(url).await?).map_err(Refusal::Certificate)?;
        let mut verified = self.verified(&chain, now);
        if verified == Err(Broken::UnknownIssuer)
            && let Some(issuer) = chain.issuer()
        {
            chain.push(self.get(&issuer).await?);
            verified = self.verified(&chain, now);
        }
        verified?;
        Ok(Arc::new(chain))
    }

    fn verified(&self, chain: &Chain, now: UnixTime) -> Result<(), Broken> {
        chain.verify(&self.roots, &self.names, now)
    }

    async fn get(&self, url: &CheckedUrl) -> Result<Vec<u8>, Refusal> {
        let (fetch, url) = (self.fetch.clone(), url.clone());
        let fetched = tokio::task::spawn_blocking(move || fetch.get(&url)).await;
        fetched.map_err(|error| error.to_string()).flatten().map_err(Refusal::CertificateUnavailable)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key_of(chain: &Chain) -> Result<PublicKey, Refusal> {
    chain.public_key().map(Arc::new).map_err(Refusal::Certificate)
}

impl Known {
    /// Only what was verified comes here, so strangers cannot push out what is needed.
    fn keep(&mut self, url: &CheckedUrl, chain: Arc<Chain>) {
        self.failures.remove(url);
        self.fetched += 1;
        self.chains.insert(url.clone(), (self.fetched, chain));
        if self.chains.len() > KEPT {
            let oldest = self.chains.iter().min_by_key(|(_, (at, _))| *at).map(|(url, _)| url.clone());
            oldest.and_then(|url| self.chains.remove(&url));
        }
    }

    fn fail(&mut self, url: &CheckedUrl, refusal: Refusal) {
        self.failures.retain(|_, (at, _)| at.elapsed() < FAILURE_TIME);
        if self.failures.len() < FAILURES {
            self.failures.insert(url.clone(), (Instant::now(), refusal));
        }
    }
}

impl From<Broken> for Refusal {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Expired(why) => Self::CertificateExpired(why),
            Broken::UnknownIssuer => Self::Certificate("no trusted authority stands behind it".to_owned()),
            Broken::Wrong(why) => Self::Certificate(why),
        }
    }
}
