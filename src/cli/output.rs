//! What people and programs read on stdout: tables and JSON.

use std::io::{IsTerminal, Write};

use comfy_table::presets;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table};
use serde::Serialize;
use sluicegate_state::Timestamp;

use super::exit::Stop;

pub(super) use crate::pipeline::alert::{counted, span};

/// Prints text to stdout; a closed pipe (`| head`) ends quietly.
pub(super) fn print(text: &str) -> Result<(), Stop> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Stop::failed(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints one JSON object on one line.
pub(super) fn print_json(value: &impl Serialize) -> Result<(), Stop> {
    let text = serde_json::to_string(value).map_err(|e| Stop::failed(format!("cannot make JSON: {e}")))?;
    print(&format!("{text}\n"))
}

/// A table without lines: headers, then rows; numbers to the right.
pub(super) struct Sheet {
    table: Table,
    numeric: Vec<bool>,
}

impl Sheet {
    /// With these headers; `#` in front of a header means that its column holds numbers.
    pub(super) fn new(headers: &[&str]) -> Self {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        let numeric: Vec<bool> = headers.iter().map(|header| header.starts_with('#')).collect();
        let names: Vec<Cell> = headers
            .iter()
            .zip(&numeric)
            .map(|(header, numeric)| aligned(header.trim_start_matches('#'), *numeric))
            .collect();
        table.set_header(names);
        Self { table, numeric }
    }

    /// Adds a row.
    pub(super) fn row<T: AsRef<str>>(&mut self, values: impl IntoIterator<Item = T>) {
        let cells: Vec<Cell> = values
            .into_iter()
            .zip(&self.numeric)
            .map(|(value, numeric)| aligned(value.as_ref(), *numeric))
            .collect();
        self.table.add_row(cells);
    }

    /// The lines, without blanks at their ends.
    pub(super) fn text(&self) -> String {
        let text = self.table.to_string();
        let lines: Vec<&str> =
            text.lines().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end()).collect();
        format!("{}\n", lines.join("\n"))
    }
}

fn aligned(text: &str, numeric: bool) -> Cell {
    let alignment = if numeric { CellAlignment::Right } else { CellAlignment::Left };
    Cell::new(text).set_alignment(alignment)
}

/// Emphasis for a verdict, where the terminal shows it and nobody forbade it.
pub(super) fn emphasised(text: &str, good: bool) -> String {
    let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    match (colours, good) {
        (false, _) => text.to_owned(),
        (true, true) => format!("\u{1b}[1;32m{text}\u{1b}[0m"),
        (true, false) => format!("\u{1b}[1;31m{text}\u{1b}[0m"),
    }
}

/// A time for people: UTC, whole seconds.
pub(super) fn time(at: Timestamp) -> String {
    at.format("%Y-%m-%d %H:%M:%SZ").to_string()
}
