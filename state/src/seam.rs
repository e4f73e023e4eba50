//! The seam for crash tests: every effect on the outside world passes through [`Seam::perform`] under a name, and a test
//! may let it fail before the effect, or after it. In production the seam holds nothing and costs one branch.

use std::fmt;
use std::sync::Arc;

/// What a test puts into the seam.
pub trait Fault: Send + Sync {
    /// Called before the effect; an error means the effect never happened.
    fn before(&self, effect: &'static str) -> Result<(), Injected>;
    /// Called after the effect succeeded; an error means that it happened and its answer was lost.
    fn after(&self, effect: &'static str) -> Result<(), Injected>;
}

/// A fault that a test injected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Injected {
    /// The name of the effect.
    pub effect: &'static str,
    /// Whether the effect had happened.
    pub after: bool,
    /// The process goes on and sees a transient error, instead of dying here.
    pub transient: bool,
}

impl fmt::Display for Injected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = if self.after { "after" } else { "before" };
        let what = if self.transient { "failed" } else { "died" };
        write!(f, "test fault: {what} {moment} {}", self.effect)
    }
}

impl std::error::Error for Injected {}

/// The one place that every effect goes through.
#[derive(Clone, Default)]
pub struct Seam(Option<Arc<dyn Fault>>);

impl Seam {
    /// A seam with a test's faults in it.
    pub fn with_fault(fault: Arc<dyn Fault>) -> Self {
        Self(Some(fault))
    }

    /// Performs an effect under its name.
    pub fn perform<T, E: From<Injected>>(
        &self,
        effect: &'static str,
        action: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let Some(fault) = &self.0 else { return action() };
        fault.before(effect)?;
        let value = action()?;
        fault.after(effect)?;
        Ok(value)
    }
}

impl fmt::Debug for Seam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Seam(test)" } else { "Seam" })
    }
}
