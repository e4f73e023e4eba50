//! Goal: what the pages say is true. Each test reads a page and compares it with the program or with the code.

mod architecture;
mod faults;
mod finance;
mod iam;
mod links;
mod querying;
mod readme;
mod reconciliation;
mod rules;
mod units;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The text between `<!-- name: begin -->` and `<!-- name: end -->`.
fn section<'a>(page: &'a str, name: &str) -> &'a str {
    let (begin, end) = (format!("<!-- {name}: begin -->"), format!("<!-- {name}: end -->"));
    let (_, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("the page has no {begin}"));
    rest.split_once(&end).unwrap_or_else(|| panic!("the page has no {end}")).0
}

/// The section of a page from a heading to the next one of the same level.
fn section_of<'a>(page: &'a str, heading: &str) -> &'a str {
    let start = page.find(&format!("\n{heading}")).unwrap_or_else(|| panic!("the page has no {heading}"));
    let rest = &page[start + 1..];
    &rest[..rest.find("\n## ").unwrap_or(rest.len())]
}

/// The cells of the table in `text`, without its head.
fn table(text: &str) -> Vec<Vec<String>> {
    let lines = text.lines().filter(|line| line.starts_with('|')).skip(2);
    lines.map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// What stands between backticks.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The blocks of a page that are fenced as `language`.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    page.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap_or_default()).collect()
}

/// Runs the built program in `folder`, with nothing of this shell's configuration.
fn sluicegate(folder: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluicegate"));
    command.args(words).current_dir(folder).env_clear();
    command.output().expect("the program can be started")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("stdout is UTF-8")
}

/// Every file below `folder` with this extension, in order.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}
