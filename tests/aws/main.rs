//! The AWS adapters: against stand-ins over HTTP where they run (`scripts/emulators start`), and against a server of the
//! tests' own that breaks in just the way a test wants.

mod conformance;
mod emulator;
mod ending;
mod fake;
mod faults;
mod inbox;
mod landing;
mod lost_answers;
mod refusals;
mod sns;
mod store;
mod wiring;
