//! Loads that a database restored to the past has lost: which they are ([`look`]), and how they are entered again
//! ([`enter`]), under their old batch ids, from the archive, by the ordinary load.
//!
//! The state machine does not move for that. A batch that this machine has as loaded or published is so again at the end,
//! and until then the state refuses the ledger.

mod agree;
pub mod enter;
pub mod look;
