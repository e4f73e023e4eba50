//! Tests of the state store through its public face, and through SQLite behind its back.

mod adopt;
mod attempts;
mod faults;
mod incarnations;
mod journal;
mod machine;
mod model;
mod opening;
mod page;
mod racing;
mod replays;
mod sealing;
mod status;
mod support;
mod triggers;
