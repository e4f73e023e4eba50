//! Configuration: where things are on this machine (`sluicegate.toml`), and the jobs that its folder of job files holds.
//!
//! Every error names the file, the line and the key, and says what is allowed there.

mod error;
pub(crate) mod interpolate;
mod load;
mod location;
mod overlap;
mod settings;
mod size;
pub(crate) mod source;
mod topic;

pub use error::ConfigError;
pub use load::{CONFIG_VARIABLE, Config, demo, load};
pub use location::{FOLDER_BUCKET, Location, Secret, WarehouseLocation};
pub use settings::{InboxSettings, PipelineSettings, Settings};
pub use size::Size;
pub use topic::TopicArn;

/// Looks a variable up: the process environment in the program, a closure in tests and in the demo.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

#[cfg(test)]
mod tests;
