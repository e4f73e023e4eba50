//! Goal: whatever is asked of the store, in whatever order, legal or not, and wherever its connection is dropped, it holds
//! exactly what a few lines of plain collections hold.
//!
//! `SLUICEGATE_FULL=1` tries many more sequences.

mod real;
mod reference;

use proptest::prelude::*;
use real::Real;
use sluicegate_state::{BatchEvent as Event, Moved, Stage};

const JOB: &str = "invoices";
/// How long a transient failure or a deferral is put off, in steps.
const DELAY: i64 = 3;

/// One thing that is asked. Indices are taken modulo what there is; where there is nothing, it is not asked.
#[derive(Debug, Clone)]
enum Ask {
    Journal(Vec<u8>),
    Seal {
        force: bool,
        documents: u64,
    },
    Begin {
        batch: usize,
        stage: Stage,
    },
    Complete {
        attempt: usize,
        event: Event,
        defer_first: bool,
    },
    Fail {
        attempt: usize,
        permanent: bool,
    },
    Apply {
        batch: usize,
        event: Event,
    },
    Replay {
        parents: Vec<usize>,
    },
    /// A batch that was found in the archive, or in the ledger, with these members, of which the first one was deferred.
    Adopt {
        keys: Vec<u8>,
        loaded: bool,
        defer_first: bool,
    },
    /// The process dies and another one begins: nothing is said, attempts are buried.
    Die,
    /// The connection is dropped, politely or in the middle of a transaction, and opened again.
    Reopen {
        torn: bool,
    },
    /// The process says farewell and another one begins.
    Farewell,
}

/// What an ask is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Nothing,
    Journaled { recorded: u64, redelivered: u64 },
    Sealed(Option<Vec<String>>),
    Moved(Moved),
    Done,
    Refused,
}

fn key(number: &u8) -> String {
    format!("{number:03}")
}

fn config() -> ProptestConfig {
    let full = std::env::var("SLUICEGATE_FULL").is_ok_and(|full| full == "1");
    ProptestConfig {
        cases: if full { 2_000 } else { 30 },
        max_shrink_iters: 2_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest_state_machine::prop_state_machine! {
    #![proptest_config(config())]

    #[test]
    fn the_store_holds_what_its_model_holds(sequential 1..50 => Real);
}
