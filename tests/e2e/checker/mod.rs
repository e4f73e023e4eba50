//! The checker: holds everything that a drain leaves behind against the oracle.

mod archive;
mod csv_objects;
mod ledger;
mod rows;

use crate::oracle::Expected;
use crate::support::{Project, Snapshot};

pub(crate) use archive::Landing;
pub(crate) use csv_objects::no_stranger_in_curated;

/// Everything is decided, and just as the oracle says: ledger, rows, CSV objects, archive, landing.
pub(crate) fn check(project: &Project, expected: &Expected, landed: &Snapshot) {
    check_after(Landing::Kept, project, expected, landed);
}

/// The same after a while in which the landing may have emptied itself.
#[allow(dead_code, reason = "only the tests with real kills empty a landing that is read again")]
pub(crate) fn check_after(landing: Landing, project: &Project, expected: &Expected, landed: &Snapshot) {
    assert!(Snapshot::of(&project.landing()) == *landed, "the landing was touched");
    let warehouse = project.warehouse().expect("the warehouse was made");
    let documents = ledger::documents(&warehouse);
    ledger::check(&warehouse, &documents, expected, landed);
    rows::check(&warehouse, &documents, expected);
    csv_objects::check(project, &warehouse);
    archive::check(project, &warehouse, &documents, landed, landing);
}
