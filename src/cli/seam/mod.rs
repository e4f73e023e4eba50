//! The seam of this process: every effect of every command passes through it. It holds nothing, except in a build for
//! tests (cargo feature `faults`), where the environment may tell it to kill the process at an effect.

#[cfg(feature = "faults")]
mod faults;

use sluicegate_state::seam::Seam;

/// The one seam of the process.
#[cfg(not(feature = "faults"))]
pub(super) fn seam() -> Seam {
    Seam::default()
}

/// The one seam of the process: effects are counted over all threads and both crates.
#[cfg(feature = "faults")]
pub(super) fn seam() -> Seam {
    static SEAM: std::sync::OnceLock<Seam> = std::sync::OnceLock::new();
    SEAM.get_or_init(faults::from_environment).clone()
}
