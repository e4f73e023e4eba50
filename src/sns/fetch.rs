//! Reaches out to SNS: for certificates, and to confirm a subscription.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::url::CheckedUrl;

/// All of a request, from the name look-up to the last byte. SNS waits 15 seconds for us.
const FETCH_TIME: Duration = Duration::from_secs(5);
/// A certificate has 2 KiB; an answer of SNS's is smaller still.
const FETCH_BYTES: u64 = 64 << 10;

/// Asks one of the addresses that a rule has let through. There is one implementation for production, [`Https`]; tests
/// within this process bring their own. No variable and no setting chooses another.
pub trait Fetch: Send + Sync {
    /// The body of the answer to a GET.
    ///
    /// # Errors
    /// In words for people: no connection, no answer within 5 seconds, a status other than 200 (redirects are not followed),
    /// more than 64 KiB.
    fn get(&self, url: &CheckedUrl) -> Result<Vec<u8>, String>;
}

/// The real thing.
pub struct Https(Agent);

impl Https {
    /// Trusts these authorities. `HTTPS_PROXY` and its kin are obeyed, for some networks have no other way out; through a
    /// proxy too the host has to prove its name.
    pub fn new(roots: &[CertificateDer<'_>]) -> Self {
        let roots = roots.iter().map(|root| Certificate::from_der(root).to_owned()).collect();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .timeout_global(Some(FETCH_TIME))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .max_idle_connections(0)
            .build();
        Self(config.into())
    }
}

impl Fetch for Https {
    fn get(&self, url: &CheckedUrl) -> Result<Vec<u8>, String> {
        let mut answer =
            self.0.get(url.as_str()).call().map_err(|error| format!("{}: {error}", host(url)))?;
        let status = answer.status().as_u16();
        let mut body = Vec::new();
        let reader = answer.body_mut().as_reader();
        reader
            .take(FETCH_BYTES + 1)
            .read_to_end(&mut body)
            .map_err(|error| format!("{}: {error}", host(url)))?;
        if status != 200 {
            return Err(format!("{} answered {status}", host(url)));
        }
        if body.len() as u64 > FETCH_BYTES {
            return Err(format!("{} answered with more than {FETCH_BYTES} bytes", host(url)));
        }
        Ok(body)
    }
}

/// The host of an address: a token that follows it is nobody's business.
pub(super) fn host(url: &CheckedUrl) -> &str {
    url.as_str().split('/').nth(2).unwrap_or_default()
}
