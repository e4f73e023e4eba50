//! The rules of dependency in docs/architecture.md. Comments and tests are left out: they may name what they like.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use regex::Regex;

use crate::{files, page, root};

/// What `state` has no business with.
const NETWORK: [&str; 14] = [
    "async_std",
    "aws",
    "axum",
    "hyper",
    "native_tls",
    "postgres",
    "reqwest",
    "rustls",
    "smol",
    "socket2",
    "sqlx",
    "tonic",
    "tokio",
    "ureq",
];

/// What a pure transformation has no business with.
const IMPURE: [&str; 16] = [
    "std::fs",
    "std::env",
    "std::net",
    "std::process",
    "std::thread",
    "std::time",
    "fs::",
    "env::",
    "File::",
    "SystemTime",
    "Instant",
    "Utc::now",
    "Local::now",
    "getrandom",
    "rand::",
    "rusqlite",
];

const ADAPTERS: [&str; 6] = ["aws", "embedded", "folder", "postgres", "sns", "sqlite"];

/// Where the parts are put together.
const ASSEMBLY: &str = "src/cli/assemble/";

/// The code of a file, without comments and without the tests at its end; nothing for a file of tests.
pub(crate) fn code(path: &Path) -> String {
    if path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs") {
        return String::new();
    }
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let comment = Regex::new("(?m)//.*$").unwrap();
    comment.replace_all(text, "").into_owned()
}

/// The modules of this crate that some code names from the crate's root.
pub(crate) fn mentioned_modules(code: &str) -> BTreeSet<String> {
    let one = Regex::new(r"\bcrate::(\w+)").unwrap();
    let several = Regex::new(r"\bcrate::\{").unwrap();
    assert!(!several.is_match(code), "write one `use crate::module` a line, so that this test can read them");
    one.captures_iter(code).map(|found| found[1].to_owned()).collect()
}

fn below(folder: &str) -> Vec<(String, String)> {
    let paths = files(&root().join(folder), "rs");
    assert!(!paths.is_empty(), "{folder} is not there");
    paths.iter().map(|path| (path.strip_prefix(root()).unwrap().display().to_string(), code(path))).collect()
}

#[test]
fn the_state_store_knows_no_network() {
    let manifest: toml::Table = toml::from_str(&page("state/Cargo.toml")).unwrap();
    let dependencies = manifest["dependencies"].as_table().unwrap();
    for name in dependencies.keys().map(|name| name.replace('-', "_")) {
        let network = NETWORK.iter().find(|word| name.starts_with(*word));
        assert!(network.is_none() && name != "sluicegate", "state depends on {name}");
    }
    for (path, code) in below("state/src") {
        let words = NETWORK.iter().map(|word| format!("{word}::"));
        for word in words.chain(["std::net".to_owned(), "TcpStream".to_owned()]) {
            assert!(!code.to_lowercase().contains(&word.to_lowercase()), "{path} mentions {word}");
        }
    }
}

#[test]
fn the_transformation_is_pure() {
    let impure = Regex::new(&format!(r"\b({})", IMPURE.join("|"))).unwrap();
    for (path, code) in below("src/transform") {
        let found = impure.find(&code).map(|found| found.as_str());
        assert_eq!(found, None, "{path}");
    }
}

#[test]
fn ports_and_pipeline_know_no_adapter() {
    let names = Regex::new(
        r"\b(aws|embedded|folder|postgres|sns|sqlite|cli)::|\b(Aws|Embedded|Folder|Postgres|Sns|Sqlite|S3|Sqs)[A-Z]\w*",
    )
    .unwrap();
    for (path, code) in
        ["src/ports", "src/pipeline", "src/reconcile", "src/report"].into_iter().flat_map(below)
    {
        let found = names.find(&code).map(|found| found.as_str());
        assert_eq!(found, None, "{path}");
    }
}

#[test]
fn adapters_are_known_where_parts_are_put_together() {
    for (path, code) in below("src") {
        let allowed = path.starts_with(ASSEMBLY) || path == "src/cli/check/here.rs";
        let own = |adapter: &str| path.starts_with(&format!("src/{adapter}/"));
        let mentioned = mentioned_modules(&code);
        let adapter = ADAPTERS.iter().find(|adapter| mentioned.contains(**adapter) && !own(adapter));
        assert!(allowed || adapter.is_none(), "{path} knows {adapter:?}");
    }
}

#[test]
fn the_rules_find_what_they_forbid() {
    let modules = mentioned_modules("use crate::folder::FolderStore;\nfn f() { crate::sqlite::open(); }");
    assert_eq!(modules, ["folder", "sqlite"].map(str::to_owned).into());
    assert!(std::panic::catch_unwind(|| mentioned_modules("use crate::{folder, sqlite};")).is_err());
    let assembly: BTreeSet<String> =
        below(ASSEMBLY).iter().flat_map(|(_, code)| mentioned_modules(code)).collect();
    assert!(ADAPTERS.iter().all(|adapter| assembly.contains(*adapter)), "{assembly:?}");
}
