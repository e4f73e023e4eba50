//! Whether the places of a configuration get in each other's way.

use std::path::Path;

use super::finding::Finding;
use crate::config::{Config, Location};

/// What is written where documents land would be announced as a document, and removed like one.
pub fn places(config: &Config) -> Vec<Finding> {
    const TODO: &str = "give each a prefix, a bucket or a folder of its own";
    let settings = &config.settings;
    let mut findings = Vec::new();
    for job in &config.jobs {
        for (name, own) in [("archive", &settings.archive), ("curated", &settings.curated)] {
            if overlap(&job.landing, own) {
                let found = format!(
                    "{} and {own} overlap: what is written there would land as a document",
                    job.landing
                );
                findings.push(Finding::wrong(format!("landing of {} and {name}", job.name), found, TODO));
            }
        }
    }
    if overlap(&settings.archive, &settings.curated) {
        let found = format!("{} and {} overlap", settings.archive, settings.curated);
        findings.push(Finding::wrong("archive and curated", found, TODO));
    }
    findings
}

/// Whether one lies in the other, or is it.
fn overlap(one: &Location, two: &Location) -> bool {
    match (one, two) {
        (Location::S3 { bucket, prefix }, Location::S3 { bucket: other, prefix: below }) => {
            bucket == other && (lies_in(prefix, below) || lies_in(below, prefix))
        }
        (Location::Folder(one), Location::Folder(two)) => {
            let (one, two) = (plain(one), plain(two));
            one.starts_with(&two) || two.starts_with(&one)
        }
        _ => false,
    }
}

fn lies_in(inner: &str, outer: &str) -> bool {
    outer.is_empty() || inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `./var` is `var`.
fn plain(path: &Path) -> std::path::PathBuf {
    path.components().filter(|part| !matches!(part, std::path::Component::CurDir)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_holds_what_lies_behind_its_slash() {
        let at = |text: &str| Location::parse(text).unwrap();
        for (one, two, expected) in [
            ("s3://b/in", "s3://b/in/out", true),
            ("s3://b/in", "s3://b/inner", false),
            ("s3://b", "s3://b/out", true),
            ("s3://b/in", "s3://c/in", false),
            ("s3://b/in", "s3://b/in/", true),
            ("var/landing", "./var/landing/archive", true),
            ("var/landing", "var/landings", false),
            ("var/landing", "s3://var/landing", false),
        ] {
            assert_eq!(overlap(&at(one), &at(two)), expected, "{one} {two}");
            assert_eq!(overlap(&at(two), &at(one)), expected, "{two} {one}");
        }
    }
}
