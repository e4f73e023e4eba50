//! docs/architecture.md against the code: effects, bounds and the modules' dependencies.

use std::collections::{BTreeMap, BTreeSet};

use crate::rules::{code, mentioned_modules};
use crate::{files, page, quoted, root, section, table};

const PAGE: &str = "docs/architecture.md";

#[test]
fn the_effects_are_those_of_the_code() {
    let page = page(PAGE);
    let told: Vec<String> =
        table(section(&page, "effects")).iter().map(|row| quoted(&row[0])[0].clone()).collect();
    let own = sluicegate::effects::ALL.iter();
    let there: Vec<String> =
        own.chain(sluicegate_state::effects::ALL).map(|effect| (*effect).to_owned()).collect();
    assert_eq!(told, there);
}

#[test]
fn the_bounds_and_intervals_are_those_of_the_code() {
    let page = page(PAGE);
    let rows = ["bounds", "intervals"].map(|name| table(section(&page, name)));
    assert!(rows.iter().all(|rows| !rows.is_empty()));
    for row in rows.concat() {
        let [name, file, value] = [0, 1, 2].map(|cell| quoted(&row[cell])[0].clone());
        let code = crate::page(&file);
        let found = code
            .lines()
            .filter_map(|line| line.trim_start_matches("pub ").strip_prefix(&format!("const {name}: ")))
            .filter_map(|rest| rest.split_once(" = "))
            .map(|(_, value)| value.trim_end_matches(';'))
            .collect::<Vec<_>>();
        assert_eq!(found, [value.as_str()], "{name} in {file}");
    }
}

#[test]
fn modules_use_what_the_map_says() {
    let page = page(PAGE);
    let told: BTreeMap<String, BTreeSet<String>> = table(section(&page, "modules"))
        .iter()
        .map(|row| (quoted(&row[0])[0].clone(), quoted(&row[2]).into_iter().collect()))
        .collect();
    let mut there: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in files(&root().join("src"), "rs") {
        let relative = path.strip_prefix(root().join("src")).unwrap();
        let first = relative.components().next().unwrap().as_os_str().to_str().unwrap();
        let module = first.trim_end_matches(".rs").to_owned();
        if module == "main" || module == "lib" {
            continue;
        }
        let mut used = mentioned_modules(&code(&path));
        used.remove(&module);
        there.entry(module).or_default().extend(used);
    }
    assert_eq!(told, there, "the table of modules in {PAGE}");
}
