//! What `check` finds: the settings and permissions that a job needs, compared with what an account, a server and this
//! machine answer. Each finding says what to do about it.
//!
//! Nothing here asks by itself: the questions go through the port [`Account`](crate::ports::account::Account), so that every
//! answer can be made up in a test.

mod arn;
pub mod athena;
pub mod clock;
pub mod crawler;
mod finding;
mod lifecycle;
pub mod machine;
mod permission;
pub mod places;
mod policy;
mod queue;
mod reading;
pub mod server;
mod store;
mod topic;
mod wiring;

pub use finding::{Finding, Level, Report};
pub use permission::{PERMISSIONS, Permission, Place};
pub use queue::queue;
pub use store::{Inboxes, landing, own_place};
pub use topic::{alerts, topic};
