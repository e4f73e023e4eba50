//! Goal: `docs/state-machine.md` says what the code does.

use std::collections::BTreeSet;

use sluicegate_state::{BatchEvent, BatchState, Stage, transition};

use crate::support::standings;

fn page() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/state-machine.md")).unwrap()
}

fn between<'a>(page: &'a str, begin: &str, end: &str) -> &'a str {
    let (_, rest) = page.split_once(begin).unwrap_or_else(|| panic!("no {begin} in the page"));
    rest.split_once(end).unwrap_or_else(|| panic!("no {end} after {begin}")).0
}

fn moves() -> impl Iterator<Item = (BatchState, Option<BatchState>, BatchEvent, BatchState)> {
    standings().into_iter().flat_map(|(state, from)| {
        let of =
            move |event: &BatchEvent| transition(state, *event, from).map(|next| (state, from, *event, next));
        BatchEvent::ALL.iter().filter_map(of)
    })
}

#[test]
fn the_table_is_the_code_s() {
    let mut table = String::from("\n| from | event | to |\n|---|---|---|\n");
    for (state, from, event, next) in moves() {
        let from = from.map_or(String::new(), |from| format!(" (from `{from}`)"));
        table += &format!("| `{state}`{from} | {event} | `{next}` |\n");
    }
    let page = page();
    let shown = between(&page, "<!-- transitions: begin -->", "<!-- transitions: end -->");
    assert_eq!(shown, table, "put this between the markers:\n{table}");
}

#[test]
fn the_diagram_has_the_code_s_edges() {
    let edges: BTreeSet<_> =
        moves().map(|(state, _, event, next)| format!("{state} --> {next}: {event}")).collect();
    let page = page();
    let diagram = between(&page, "```mermaid", "```");
    let shown: BTreeSet<_> = diagram
        .lines()
        .map(str::trim)
        .filter(|line| line.contains("-->") && !line.contains("[*]"))
        .map(str::to_owned)
        .collect();
    assert_eq!(shown, edges);
}

#[test]
fn every_state_and_stage_has_its_paragraph() {
    let page = page();
    for state in BatchState::ALL {
        assert!(page.contains(&format!("\n**`{state}`** ")), "{state}");
    }
    for stage in Stage::ALL {
        assert!(page.contains(&format!("*{stage}*")), "{stage}");
    }
}
