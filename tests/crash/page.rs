//! `docs/crash-safety.md`, made of the trace of a calm run and of what the story tells of each effect.
//! `SLUICEGATE_BLESS=1` writes it; else the page must be just that.

use std::fmt::Write;
use std::path::Path;

use crate::calm;
use crate::story::{self, Line};

const PAGE: &str = "docs/crash-safety.md";

const HEAD: &str = "\
# What happens when the program is killed

<!-- Made by tests/crash/page.rs. To make it again: SLUICEGATE_BLESS=1 cargo test --test crash the_page -->

Sluicegate may be killed at any moment: by `kill -9`, by a machine that loses its power, by an update. Nothing is lost and
nothing is counted twice. This page says why, step by step.

Everything that the program does to a disk, a bucket, a database or another service is a *step* with a name. Nearly every
step happens whole or not at all: a commit, a file that is linked into place, an object that is put. So for each there are two
questions. What is there when the kill comes just before it, and what when it comes just after? And what does the next start
do with that?

A few steps are several calls. Messages are deleted ten at a time: where a kill comes between two calls, the rest comes again
as after a kill before the step. A large object goes up in parts, and shows when the last one is there; parts without an end
stay hidden until a rule of the bucket removes them.

The next start is the same command again, by hand or by the service manager. Nobody has to clean up anything.
";

const RARER: &str = "
## On rarer occasions

These steps happen after a death, a failure or a loss, or in other commands.
";

const PROOF: &str = "
## How this is known

- **In one process.** `tests/crash` runs the workload that is counted above: good and bad documents, a duplicate, a conflict,
  two windows. It fails each step in turn, before and after, and then pairs of them. An oracle that shares no code with the
  program looks at all that is left.
- **For real.** `tests/kills` starts the built program, which sends itself SIGKILL at a step, before and after, and starts it
  again: on embedded parts, and between a real PostgreSQL and stand-ins for AWS. The program's own trace proves that
  every step in these tables was met by a real kill, before and after, in the command that the table names, and on each of
  the two kinds of deployment that has the step. A step that no kill met fails the test. The words in the other columns are
  written by hand.
- **On the disk.** A kill takes nothing away that was written and not synced; a machine that loses its power does. So
  `tests/durability` writes down what the built program writes, syncs and names, on embedded parts, together with its steps, and holds
  that all of it is synced before a step is over: the journal before a message is acknowledged, an object before it has its
  name. No power was cut: what a disk does with a sync is not shown here.
- `scripts/test` prints how many there were, and takes a sample of the pairs and of later moments. `scripts/prove` takes all
  of those; only of second deaths while a lost state is rebuilt, and of moments in rarer commands, there is always a sample.

The order of the steps and their names in the code are in [architecture.md](architecture.md#effects).
";

fn row(page: &mut String, line: &Line, times: Option<usize>) {
    let Line { effect, command, before, after, restart } = line;
    match times {
        Some(times) => writeln!(page, "| `{effect}` | {times} | {before} | {after} | {restart} |").unwrap(),
        None => writeln!(page, "| `{effect}` | `{command}` | {before} | {after} | {restart} |").unwrap(),
    }
}

/// The page, in the order in which a calm run meets the steps.
fn page() -> String {
    let trace = &calm().first_life;
    let first = |line: &&Line| trace.iter().position(|effect| *effect == line.effect);
    let mut on_the_way: Vec<&Line> = story::lines().filter(|line| first(line).is_some()).collect();
    on_the_way.sort_by_key(first);
    let mut page = HEAD.to_owned();
    writeln!(
        page,
        "\n## On the way of a document\n\nIn the order in which a run meets them first. The workload of the crash tests meets \
         {} different steps,\n{} times in all; it was killed {} times, before and after each.\n",
        on_the_way.len(),
        trace.len(),
        2 * trace.len()
    )
    .unwrap();
    page.push_str(
        "| step | times | killed before it, there is | killed after it, there is | the next start |\n",
    );
    page.push_str("|---|---|---|---|---|\n");
    for line in &on_the_way {
        row(&mut page, line, Some(trace.iter().filter(|effect| **effect == line.effect).count()));
    }
    page.push_str(RARER);
    page.push_str(
        "\n| step | in | killed before it, there is | killed after it, there is | the next start |\n",
    );
    page.push_str("|---|---|---|---|---|\n");
    for line in story::lines().filter(|line| first(line).is_none()) {
        row(&mut page, line, None);
    }
    page.push_str(PROOF);
    page
}

#[test]
fn the_page_for_the_reader_is_what_the_trace_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let wanted = page();
    if std::env::var_os("SLUICEGATE_BLESS").is_some_and(|value| value == "1") {
        std::fs::write(&path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "{PAGE} is not what the trace says; to write it: SLUICEGATE_BLESS=1 cargo test --test crash the_page"
    );
}
