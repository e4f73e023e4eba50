//! The transformation: bytes and a definition become records or a reject. Pure: no clock, no I/O, no randomness.

pub mod rows;
