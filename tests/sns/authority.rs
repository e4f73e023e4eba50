//! Authorities, and certificates as SNS has them, made once for all tests of a process.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;

use crate::openssl::{is_there, openssl, openssl_with};

/// Where the intermediate authority publishes its certificate, as the certificates that it issued say.
pub(crate) const ISSUER_URL: &str = "http://crt.test.amazontrust.com/test.cer";

const EC: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
const RSA: &str = "-newkey rsa:2048 -nodes";

/// A folder with `ca.pem`, `stranger.pem`, and the certificates and keys of signers.
pub(crate) struct Authority {
    folder: TempDir,
}

/// A signer's name among the files.
pub(crate) type Signer = &'static str;

/// SNS itself: issued by the trusted authority, for the right name.
pub(crate) const SNS: Signer = "sns";
/// The same, issued by an intermediate authority whose certificate is not in the file.
pub(crate) const UNDER_INTERMEDIATE: Signer = "under";
/// A certificate of the trusted authority for somebody else.
pub(crate) const OTHER_NAME: Signer = "other";
/// SNS's name, issued by an authority that nobody trusts.
pub(crate) const STRANGER: Signer = "strange";
/// SNS's name, issued by itself.
pub(crate) const SELF_MADE: Signer = "selfmade";
/// SNS's name and issuer, but no RSA key.
pub(crate) const NO_RSA: Signer = "ec";

/// The one authority, or none where there is no `openssl`.
pub(crate) fn authority() -> Option<&'static Authority> {
    static MADE: OnceLock<Option<Authority>> = OnceLock::new();
    MADE.get_or_init(|| is_there("SNS over HTTP").then(Authority::make)).as_ref()
}

impl Authority {
    fn make() -> Self {
        let made = Self { folder: tempfile::tempdir().unwrap() };
        let folder = made.path();
        for name in ["ca", "stranger"] {
            openssl(
                folder,
                &format!("req -x509 {EC} -days 2 -subj /CN={name} -keyout {name}.key -out {name}.pem"),
            );
        }
        made.issue("middle", EC, "ca", "basicConstraints=critical,CA:TRUE\n");
        let sns = "subjectAltName=DNS:sns.amazonaws.com\nextendedKeyUsage=serverAuth\n";
        made.issue(SNS, RSA, "ca", sns);
        let issuer = format!("{sns}authorityInfoAccess=caIssuers;URI:{ISSUER_URL}\n");
        made.issue(UNDER_INTERMEDIATE, RSA, "middle", &issuer);
        made.issue(
            OTHER_NAME,
            RSA,
            "ca",
            "subjectAltName=DNS:sqs.amazonaws.com,DNS:sns.amazonaws.com.evil.example\n",
        );
        made.issue(STRANGER, RSA, "stranger", sns);
        made.issue(NO_RSA, EC, "ca", sns);
        for (name, issuer) in [("host", "ca"), ("impostor", "stranger")] {
            made.issue(name, EC, issuer, "subjectAltName=DNS:sns.eu-west-1.amazonaws.com\n");
        }
        let own = "-days 2 -subj /CN=sns.amazonaws.com -addext subjectAltName=DNS:sns.amazonaws.com";
        openssl(folder, &format!("req -x509 {RSA} {own} -keyout {SELF_MADE}.key -out {SELF_MADE}.pem"));
        made
    }

    fn issue(&self, name: &str, key: &str, issuer: &str, extensions: &str) {
        let folder = self.path();
        fs::write(folder.join(format!("{name}.ext")), extensions).unwrap();
        openssl(folder, &format!("req -new {key} -subj /CN={name} -keyout {name}.key -out {name}.csr"));
        let issued =
            format!("-CA {issuer}.pem -CAkey {issuer}.key -CAcreateserial -days 2 -extfile {name}.ext");
        openssl(folder, &format!("x509 -req -in {name}.csr {issued} -out {name}.pem"));
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A certificate as its file has it.
    pub(crate) fn pem(&self, name: &str) -> Vec<u8> {
        fs::read(self.path().join(format!("{name}.pem"))).unwrap()
    }

    pub(crate) fn der(&self, name: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(&self.pem(name)).unwrap()
    }

    /// A signature in base64, of version 1 (by `openssl`, for nothing else here makes SHA1 any more) or 2.
    pub(crate) fn sign(&self, signer: Signer, version: &str, text: &str) -> String {
        let signature = match version {
            "1" => openssl_with(self.path(), &format!("dgst -sha1 -sign {signer}.key"), text.as_bytes()),
            _ if signer == NO_RSA => {
                openssl_with(self.path(), &format!("dgst -sha256 -sign {signer}.key"), text.as_bytes())
            }
            _ => {
                let pem = fs::read(self.path().join(format!("{signer}.key"))).unwrap();
                let key = PrivatePkcs8KeyDer::from_pem_slice(&pem).unwrap();
                let key = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).unwrap();
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
                signature
            }
        };
        aws_smithy_types::base64::encode(signature)
    }
}
