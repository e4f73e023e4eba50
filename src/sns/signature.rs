//! Whether a signature is that of a text. Pure.

use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, RsaParameters,
    UnparsedPublicKey,
};

use super::refusal::{Refusal, shown};

/// The algorithm of a `SignatureVersion`: 1 is SHA1withRSA, which topics use unless told otherwise, and 2 SHA256withRSA
/// (developer guide, page `sns-verify-signature-of-message`).
pub(super) fn algorithm(version: &str) -> Result<&'static RsaParameters, Refusal> {
    match version {
        "1" => Ok(&RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY),
        "2" => Ok(&RSA_PKCS1_2048_8192_SHA256),
        other => Err(Refusal::SignatureVersion(shown(other))),
    }
}

/// Verifies `signature`, in base64, over `text` with a public key (X.509 SubjectPublicKeyInfo, RSA of 2,048 to 8,192 bits).
pub(super) fn verify(
    algorithm: &'static RsaParameters,
    public_key: &[u8],
    text: &str,
    signature: &str,
) -> Result<(), Refusal> {
    let signature = aws_smithy_types::base64::decode(signature).map_err(|_| Refusal::Signature)?;
    UnparsedPublicKey::new(algorithm, public_key)
        .verify(text.as_bytes(), &signature)
        .map_err(|_| Refusal::Signature)
}
