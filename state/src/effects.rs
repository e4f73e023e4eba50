//! The names of this crate's effects: each is one SQLite commit, which a test may let fail before or after.

/// The schema is created or brought up to date.
pub const MIGRATE: &str = "migrate.commit";
/// Arrivals are journaled.
pub const JOURNAL: &str = "journal.commit";
/// A batch is sealed.
pub const SEAL: &str = "seal.commit";
/// An attempt begins.
pub const ATTEMPT: &str = "attempt.commit";
/// An attempt has failed.
pub const ATTEMPT_FAILED: &str = "attempt_failed.commit";
/// A batch moves to another state.
pub const TRANSITION: &str = "transition.commit";
/// A batch that was found elsewhere is taken in.
pub const ADOPT: &str = "adopt.commit";
/// A small fact is written.
pub const META: &str = "meta.commit";
/// A process makes itself known.
pub const INCARNATION: &str = "incarnation.commit";
/// A process says that it ends.
pub const INCARNATION_ENDED: &str = "incarnation_ended.commit";
/// The attempts of a dead process are closed.
pub const BURY: &str = "bury.commit";
/// A command line is logged.
pub const COMMAND: &str = "command.commit";
/// A command's end is logged.
pub const COMMAND_ENDED: &str = "command_ended.commit";

/// All of them.
pub const ALL: &[&str] = &[
    MIGRATE,
    JOURNAL,
    SEAL,
    ATTEMPT,
    ATTEMPT_FAILED,
    TRANSITION,
    ADOPT,
    META,
    INCARNATION,
    INCARNATION_ENDED,
    BURY,
    COMMAND,
    COMMAND_ENDED,
];
