//! Replays: documents that earlier batches had go through the pipeline once more, under the definition in force, their
//! bytes out of the archive. [`plan`](plan::plan) says which; the archive stage makes each new batch an archive object of
//! its own, so that everything later is a function of that one alone (I4).

pub mod abandon;
mod index;
mod originals;
mod pattern;
pub mod plan;

pub use index::read_index;
pub use originals::ParentArchives;
pub use pattern::Pattern;
