//! Goal: `check` names what is wrong, and nothing else. Each permission in turn is taken away, from an account of the tests' own
//! and, with the built binary, from a role whose policy a stand-in for AWS enforces.

mod account;
mod permissions;
mod settings;

#[cfg(feature = "aws")]
mod binary;
#[cfg(feature = "aws")]
#[path = "../aws/emulator.rs"]
#[allow(dead_code)]
mod emulator;
#[cfg(feature = "aws")]
#[path = "../aws/fake.rs"]
#[allow(dead_code)]
mod fake;
#[cfg(feature = "aws")]
mod iam;
#[cfg(feature = "aws")]
mod iam_user;
#[cfg(feature = "aws")]
mod silence;
