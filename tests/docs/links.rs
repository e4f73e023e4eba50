//! Every link of every page leads somewhere, and the promises name tests that are there.

use std::path::{Path, PathBuf};

use regex::Regex;

use crate::{files, page, quoted, root, section_of, table};

fn pages() -> Vec<PathBuf> {
    let mut pages = files(&root().join("docs"), "md");
    pages.extend(["README.md", "CHANGELOG.md", "systemd/README.md"].map(|name| root().join(name)));
    pages
}

fn is_elsewhere(target: &str) -> bool {
    target.starts_with("https://") || target.starts_with('#')
}

#[test]
fn every_link_leads_somewhere() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    for path in pages() {
        let text = std::fs::read_to_string(&path).unwrap();
        for found in link.captures_iter(&text) {
            let target = found[1].split('#').next().unwrap();
            let there = path.parent().unwrap_or(Path::new(".")).join(target);
            assert!(is_elsewhere(&found[1]) || there.exists(), "{}: {}", path.display(), &found[1]);
        }
    }
}

/// A test that a promise names by its path; a plain file name stands beside the path before it.
#[test]
fn every_promise_names_a_test_that_is_there() {
    let page = page("README.md");
    let rows = table(section_of(&page, "## Each promise"));
    assert!(rows.len() >= 10);
    for row in rows {
        let mut beside = PathBuf::new();
        let named = quoted(&row[1]).into_iter().filter(|name| name.contains('/') || name.ends_with(".rs"));
        let mut count = 0;
        for name in named {
            let path = if name.contains('/') { root().join(&name) } else { beside.join(&name) };
            assert!(path.exists(), "{name}, which is to attack: {}", row[0]);
            beside = path.parent().unwrap().to_owned();
            count += 1;
        }
        assert!(count > 0, "nothing attacks: {}", row[0]);
    }
}
