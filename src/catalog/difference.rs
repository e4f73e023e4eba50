//! One way in which the catalog is not as it should be.

use std::fmt;

use serde::Serialize;

/// Who does something about a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Remedy {
    /// It is missing, and `--apply` makes it.
    Make,
    /// `--apply` changes it.
    Change,
    /// A person decides.
    Person,
    /// Nobody has to: it works as it is.
    Nobody,
}

/// A named difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Such as `table finance.invoices_csv`.
    pub thing: String,
    /// Which of its properties.
    pub property: String,
    /// What it should be.
    pub wanted: String,
    /// What it is.
    pub found: String,
    /// Who does something about it.
    pub remedy: Remedy,
    /// What can be done, or why nothing has to be.
    pub next_step: String,
}

impl Difference {
    pub(super) fn new(
        thing: &str,
        property: impl Into<String>,
        wanted: impl AsRef<str>,
        found: impl AsRef<str>,
    ) -> Self {
        Self {
            thing: thing.to_owned(),
            property: property.into(),
            wanted: shown(wanted.as_ref()),
            found: shown(found.as_ref()),
            remedy: Remedy::Person,
            next_step: String::new(),
        }
    }

    pub(super) fn made_by_apply(self, next_step: impl Into<String>) -> Self {
        Self { remedy: Remedy::Make, next_step: next_step.into(), ..self }
    }

    pub(super) fn changed_by_apply(self, next_step: impl Into<String>) -> Self {
        Self { remedy: Remedy::Change, next_step: next_step.into(), ..self }
    }

    pub(super) fn for_a_person(self, next_step: impl Into<String>) -> Self {
        Self { remedy: Remedy::Person, next_step: next_step.into(), ..self }
    }

    pub(super) fn for_nobody(self, why: impl Into<String>) -> Self {
        Self { remedy: Remedy::Nobody, next_step: why.into(), ..self }
    }

    /// Whether something has to be done.
    pub fn matters(&self) -> bool {
        self.remedy != Remedy::Nobody
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { thing, property, wanted, found, next_step, .. } = self;
        write!(f, "{thing}: {property}: wanted {wanted}, found {found}; {next_step}")
    }
}

/// A value that can be read: nothing is said, and control characters have their number.
fn shown(value: &str) -> String {
    if value.is_empty() {
        return "none".to_owned();
    }
    let mut out = String::new();
    for character in value.chars() {
        match character {
            control if control.is_control() => out.push_str(&format!("U+{:04X}", u32::from(control))),
            other => out.push(other),
        }
    }
    out
}
