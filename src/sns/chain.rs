//! The certificate that signed a message, and whether it is SNS's. Pure, but for the system's authorities.
//!
//! What SNS publishes at `SigningCertURL` is a certificate for the name `sns.amazonaws.com` alone, issued by one of
//! Amazon's intermediate authorities, without that authority's own certificate. So the chain may have to be completed:
//! see [`Chain::issuer`].

use aws_lc_rs::digest;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::url::{CheckedUrl, of_issuer};
use crate::config::TopicArn;
use crate::failure::{Failure, Outcome};

/// More certificates than a file with a whole chain has.
const MOST_CERTIFICATES: usize = 8;
/// The object identifier 1.3.6.1.5.5.7.48.2 (`id-ad-caIssuers`, RFC 5280 §4.2.2.1) in DER, with its tag and length.
const CA_ISSUERS: [u8; 10] = [0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x02];
/// The tag of an address in a `GeneralName`.
const ADDRESS_TAG: u8 = 0x86;

/// The authorities that are trusted.
pub struct Roots(Vec<TrustAnchor<'static>>);

impl Roots {
    /// These certificates; what is none is left out.
    pub fn new(certificates: &[CertificateDer<'_>]) -> Self {
        let anchors = certificates.iter().filter_map(|one| anchor_from_trusted_cert(one).ok());
        Self(anchors.map(|anchor| anchor.to_owned()).collect())
    }

    /// The system's authorities, as `SSL_CERT_FILE` and `SSL_CERT_DIR` may name them.
    ///
    /// # Errors
    /// Permanent where there is none: nothing could ever be verified.
    pub fn system() -> Outcome<(Self, Vec<CertificateDer<'static>>)> {
        let loaded = rustls_native_certs::load_native_certs().certs;
        let roots = Self::new(&loaded);
        if roots.0.is_empty() {
            return Err(Failure::permanent(
                "SNS over HTTP: there is no certificate authority on this system, so no message could be verified; \
                 install ca-certificates, or name a PEM bundle in SSL_CERT_FILE",
            ));
        }
        Ok((roots, loaded))
    }
}

/// Why a chain is not good.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// Its time is over.
    Expired(String),
    /// No trusted authority is reached from it with what is there.
    UnknownIssuer,
    /// Anything else.
    Wrong(String),
}

/// A certificate and what may connect it with an authority.
#[derive(Debug, Clone)]
pub(super) struct Chain {
    leaf: CertificateDer<'static>,
    others: Vec<CertificateDer<'static>>,
}

impl Chain {
    /// Reads a PEM file: the certificate of the signature first.
    pub(super) fn read(pem: &[u8]) -> Result<Self, String> {
        let mut all = CertificateDer::pem_slice_iter(pem).take(MOST_CERTIFICATES);
        let leaf =
            all.next().ok_or("there is no certificate in the file")?.map_err(|error| error.to_string())?;
        let others = all.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
        Ok(Self { leaf, others })
    }

    /// Where the issuer publishes its own certificate, as the certificate says and a rule allows.
    pub(super) fn issuer(&self) -> Option<CheckedUrl> {
        let last = self.others.last().unwrap_or(&self.leaf);
        let place = last.windows(CA_ISSUERS.len()).position(|bytes| bytes == CA_ISSUERS)? + CA_ISSUERS.len();
        // A short length is one byte. Whatever this finds, the rule and the verification of the chain decide.
        let &[tag, length, ref rest @ ..] = last.get(place..)? else { return None };
        let address = rest.get(..usize::from(length)).filter(|_| tag == ADDRESS_TAG && length < 0x80)?;
        of_issuer(std::str::from_utf8(address).ok()?)
    }

    /// Adds an issuer's certificate, in DER.
    pub(super) fn push(&mut self, issuer: Vec<u8>) {
        self.others.push(issuer.into());
    }

    /// Verifies the way to an authority, the dates, and that one of `names` is the certificate's.
    pub(super) fn verify(
        &self,
        roots: &Roots,
        names: &[ServerName<'_>],
        now: UnixTime,
    ) -> Result<(), Broken> {
        let leaf = EndEntityCert::try_from(&self.leaf).map_err(|error| Broken::Wrong(error.to_string()))?;
        leaf.verify_for_usage(
            ALL_VERIFICATION_ALGS,
            &roots.0,
            &self.others,
            now,
            KeyUsage::server_auth(),
            None,
            None,
        )
        .map_err(|error| match error {
            webpki::Error::CertExpired { .. } => Broken::Expired(error.to_string()),
            webpki::Error::UnknownIssuer => Broken::UnknownIssuer,
            error => Broken::Wrong(error.to_string()),
        })?;
        if names.iter().any(|name| leaf.verify_is_valid_for_subject_name(name).is_ok()) {
            return Ok(());
        }
        let its: Vec<&str> = leaf.valid_dns_names().take(4).collect();
        Err(Broken::Wrong(format!("it is made out to {its:?}")))
    }

    /// The key, as X.509 SubjectPublicKeyInfo.
    pub(super) fn public_key(&self) -> Result<Vec<u8>, String> {
        let leaf = EndEntityCert::try_from(&self.leaf).map_err(|error| error.to_string())?;
        Ok(leaf.subject_public_key_info().as_ref().to_vec())
    }

    /// The SHA-256 of the certificate, by which people can compare it.
    pub(super) fn fingerprint(&self) -> String {
        hex::encode(digest::digest(&digest::SHA256, &self.leaf))
    }
}

/// The names that SNS's certificates are made out to, in the regions of a topic: `sns.amazonaws.com` in the older ones,
/// `sns-signing.<region>.amazonaws.com` in the newer ones, `sns-<region>.amazonaws.com[.cn]` in China and GovCloud, where
/// both regions use the western one's. AWS documents no list; AWS's SDK for Java has this one.
pub(super) fn signer_names(topic: &TopicArn) -> Vec<ServerName<'static>> {
    let (region, suffix) = (topic.region(), topic.dns_suffix());
    let mut names = vec![
        format!("sns.{suffix}"),
        format!("sns-signing.{region}.{suffix}"),
        format!("sns-{region}.{suffix}"),
    ];
    if region.starts_with("us-gov-") {
        names.push(format!("sns-us-gov-west-1.{suffix}"));
    }
    names.into_iter().filter_map(|name| ServerName::try_from(name).ok()).collect()
}
