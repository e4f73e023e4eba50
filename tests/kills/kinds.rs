//! The two kinds of deployment. Most effects exist on both, in adapters that share no line, so each kind is counted alone.

/// Where the program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Folders and SQLite files.
    Embedded,
    /// S3, SQS, SNS, Glue, Athena and PostgreSQL, or what stands in for them.
    #[cfg_attr(not(feature = "aws"), allow(dead_code))]
    Aws,
}

/// Effects that one kind does not have, and why.
const LACKING: &[(&str, Kind, &str)] = &[
    ("listing.claim", Kind::Embedded, "each drain walks through a landing folder; nobody takes turns at it"),
    ("inbox.give_back", Kind::Embedded, "a folder hides nothing, so nothing has to be given back"),
    ("catalog.define", Kind::Embedded, "the embedded catalog knows the tables from the job file"),
    ("query.stop", Kind::Embedded, "a statement runs in the process that asks, and ends with it"),
    ("subscription.confirm", Kind::Embedded, "only SNS wants a confirmation"),
];

impl Kind {
    /// Why an effect does not exist here, where it does not.
    pub(crate) fn lacks(self, effect: &str) -> Option<&'static str> {
        let found = LACKING.iter().find(|(name, kind, _)| *name == effect && *kind == self);
        found.map(|(_, _, why)| *why)
    }

    /// The effects that have to be met here, with what there is on this machine.
    pub(crate) fn effects(self) -> impl Iterator<Item = &'static str> {
        let names = sluicegate::effects::ALL.iter().chain(sluicegate_state::effects::ALL).copied();
        names.filter(move |name| self.lacks(name).is_none() && self.can_meet(name))
    }

    /// Whether what an effect needs is on this machine; `scripts/test` names what is missing, and the command for it.
    fn can_meet(self, effect: &str) -> bool {
        match (self, effect) {
            (Self::Embedded, _) => true,
            (Self::Aws, "subscription.confirm") => has_endpoint(),
            // Stand-ins of the tests' own are enough.
            (Self::Aws, "catalog.define" | "query.stop") => cfg!(feature = "aws"),
            (Self::Aws, _) => has_servers(),
        }
    }
}

#[cfg(feature = "aws")]
fn has_servers() -> bool {
    static THERE: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *THERE.get_or_init(|| crate::cloud::Deployment::new(false).is_some())
}

/// An endpoint for SNS needs a certificate.
#[cfg(feature = "aws")]
fn has_endpoint() -> bool {
    crate::authority::authority().is_some()
}

#[cfg(not(feature = "aws"))]
fn has_servers() -> bool {
    false
}

#[cfg(not(feature = "aws"))]
fn has_endpoint() -> bool {
    false
}

#[test]
fn what_a_kind_lacks_exists() {
    let known =
        |name| sluicegate::effects::ALL.iter().chain(sluicegate_state::effects::ALL).any(|n| *n == name);
    assert!(LACKING.iter().all(|(name, _, why)| known(*name) && !why.is_empty()));
}
