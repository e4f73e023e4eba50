//! The report of a reconciliation for people and for spreadsheets: one HTML page that needs nothing else, and CSV.

mod html;
mod lines;

pub use html::page;
pub use lines::csv;
