//! SNS over HTTP as an inbox: an endpoint that takes what one topic posts, verifies it, and answers 200 only after it is
//! journaled (I1).
//!
//! The endpoint stands on the public internet, so everything here counts as forged until it is verified, in this order:
//! size, JSON, topic, the address of the certificate, the certificate, the signature, the time. What does not verify is
//! refused with 4xx, which SNS takes as final; our own trouble is 5xx, after which SNS tries again (developer guide,
//! page `sns-message-delivery-retries`). `docs/sns-http.md` is the page for operators.
//!
//! `envelope`, `url`, `chain` and `signature` are pure; `certificates` and `fetch` reach out, `endpoint` and `server` are
//! reached, and `inbox` is where requests and the journal meet.

mod certificates;
mod chain;
mod endpoint;
mod envelope;
mod fetch;
mod inbox;
mod refusal;
mod server;
mod signature;
mod url;
mod verifier;

pub use chain::Roots;
pub use endpoint::Route;
pub use fetch::{Fetch, Https};
pub use inbox::{SnsInbox, SnsParts};
pub use url::CheckedUrl;
