//! The AWS adapters: against stand-ins over HTTP where they run (`scripts/emulators start`), and against a server of the
//! tests' own that breaks in just the way a test wants.

mod conformance;
mod emulator;
mod ending;
mod failing;
mod fake;
mod faults;
mod inbox;
mod landing;
mod lost_answers;
#[path = "../conformance/manual_clock.rs"]
mod manual_clock;
mod refusals;
mod silence;
mod sns;
mod store;
mod wiring;
