//! What every warehouse must do. This suite pins the semantics that the design gives to PostgreSQL (§2, §7, §8).

mod batches;
mod content;
mod crawls;
mod decisions;
mod fleet;
mod loads;
mod proofs;
mod replacing;
mod replays;
mod tables;

use sluicegate::ports::warehouse::Warehouse;

use crate::manual_clock::ManualClock;

/// An empty database, and a way to it beside the port.
pub(crate) trait Bench {
    /// A connection through the port; all of them reach the same database.
    fn open(&self) -> Box<dyn Warehouse>;
    /// The ledger's clock.
    fn clock(&self) -> &ManualClock;
    /// Runs SQL as a stranger would; the error is the database's.
    fn execute(&self, sql: &str) -> Result<(), String>;
    /// The rows of a query as text, NULL as the empty text.
    fn select(&self, sql: &str) -> Vec<Vec<String>>;
    /// The name of a ledger table in SQL.
    fn ledger(&self, table: &str) -> String;
    /// From now on the database refuses rows of `table` whose `column` is `value`; answers some of the words with which.
    fn refuse_rows(&self, table: &str, column: &str, value: &str) -> String;
}

type Case = (&'static str, fn(&dyn Bench));

/// Runs every case, each over a bench of its own.
pub(crate) fn warehouse_suite(make: &mut dyn FnMut() -> Box<dyn Bench>) {
    let groups = [
        loads::CASES,
        content::CASES,
        replacing::CASES,
        replays::CASES,
        tables::CASES,
        crawls::CASES,
        decisions::CASES,
        fleet::CASES,
        proofs::CASES,
    ];
    for (name, case) in groups.into_iter().flatten() {
        // Shown only when a case fails.
        println!("case: {name}");
        case(&*make());
    }
}

/// The cases of a group with their names.
macro_rules! cases {
    ($($case:ident),+ $(,)?) => {
        pub(super) const CASES: &[super::Case] = &[$((stringify!($case), $case)),+];
    };
}
pub(crate) use cases;
