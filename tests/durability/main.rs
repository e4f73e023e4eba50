//! Goal: what the program calls done is on the disk, and not only in the memory of a machine that may lose its power. A kill
//! cannot show this, for what a killed process wrote the system still has. So a shim between the built program and its C
//! library writes down what is written, synced and named, in one order with the program's own trace of its effects, and
//! the log is held against the rules. That the rules bite is shown by two canaries in `tests/canaries`.

#[path = "../e2e/corpus/mod.rs"]
#[allow(dead_code, unused_imports)]
mod corpus;
#[path = "../conformance/counts.rs"]
mod counts;
mod drains;
mod log;
mod rules;
#[allow(dead_code, reason = "no disk turns read-only here")]
mod shim;

use drains::drains;
use rules::hold;

#[test]
fn nothing_is_called_done_before_it_is_on_the_disk() {
    let Some(drains) = drains(2, None) else { return };
    let seen = hold(&drains.lines, &drains.kept);
    println!("{seen:?}");
    // Two drains, and six documents for each, three to a batch.
    let (batches, tables) = (4, 2);
    for effect in ["archive.put", "warehouse.commit"] {
        assert!(seen.times(effect) >= batches, "{effect}: {seen:?}");
    }
    for effect in ["journal.commit", "inbox.acknowledge", "seal.commit", "curated.put", "crawl.finish"] {
        assert!(seen.times(effect) >= 2, "{effect}: {seen:?}");
    }
    assert!(seen.objects >= batches + 2 * tables, "{seen:?}");
    assert_eq!(seen.put, seen.objects, "each object is put by an effect, in its thread: {seen:?}");
    assert!(seen.writes > 0 && seen.syncs > 0 && seen.checkpoints >= 4, "{seen:?}");
    let moments = seen.effects.values().sum();
    counts::note(
        "synced",
        moments,
        "effects of the built program: what it had written was synced before each was over",
    );
}
