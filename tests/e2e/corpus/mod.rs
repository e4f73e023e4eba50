//! Documents made from a seed, good and bad, with what each of them means.

mod broken;
mod build;
mod invoice;
mod random;

pub(crate) use build::{Document, Meaning, corpus, landed};
pub(crate) use invoice::{Invoice, Rows};
pub(crate) use random::Random;
