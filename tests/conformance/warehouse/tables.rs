//! Target tables: made, or compared, and never changed.

use sluicegate::failure::FailureKind;
use sluicegate::ports::warehouse::{BeginLoad, Difference};

use super::batches::{batch, bill, bills, fates, ready};
use super::{Bench, cases};
use crate::published::schema;

cases![
    the_tables_are_made_and_then_left_alone,
    two_connections_may_prepare_an_empty_database,
    every_difference_is_named_and_nothing_is_changed,
    a_table_may_have_further_columns_that_need_nothing,
    a_further_column_that_needs_a_value_is_a_difference,
    a_comparison_names_what_is_missing_and_makes_nothing,
    a_comparison_does_not_wait_for_a_load,
];

fn the_tables_are_made_and_then_left_alone(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    batch(1, &[bills("x", &[bill("1", "1.00", &[["1", "item", "1.00"]])])]).load(&mut *warehouse);
    warehouse.prepare(&schema()).unwrap();
    bench.open().prepare(&schema()).unwrap();
    let row = bench.select("SELECT customer, number, dated, total, batch_id FROM bills");
    assert_eq!(row, [["a", "1", "2024-05-06", "1.00", batch(1, &[]).id()]]);
    let columns = "SELECT customer, number, line, description, price, batch_id, source_order FROM bill_items";
    assert_eq!(bench.select(columns).len(), 1);
}

fn two_connections_may_prepare_an_empty_database(bench: &dyn Bench) {
    let (mut one, mut two) = (bench.open(), bench.open());
    one.prepare(&schema()).unwrap();
    two.prepare(&schema()).unwrap();
    assert_eq!(one.identity().unwrap(), two.identity().unwrap());
}

fn every_difference_is_named_and_nothing_is_changed(bench: &dyn Bench) {
    drop(ready(bench));
    bench.execute("ALTER TABLE bills RENAME COLUMN total TO amount").unwrap();
    bench.execute("DROP TABLE bill_items").unwrap();
    bench.execute("CREATE TABLE bill_items (customer TEXT NOT NULL)").unwrap();
    let failure = bench.open().prepare(&schema()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Permanent, "{failure}");
    for word in ["bills", "total", "amount", "bill_items", "number", "line", "price", "source_order"] {
        assert!(failure.message.contains(word), "{word} in: {failure}");
    }
    bench.execute("SELECT amount FROM bills").unwrap();
    bench.execute("SELECT line FROM bill_items").unwrap_err();
    // One wrong table: the other is not made either.
    bench.execute("DROP TABLE bills").unwrap();
    bench.open().prepare(&schema()).unwrap_err();
    bench.execute("SELECT 1 FROM bills").unwrap_err();
}

fn a_table_may_have_further_columns_that_need_nothing(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    bench.execute("ALTER TABLE bills ADD COLUMN note TEXT").unwrap();
    warehouse.prepare(&schema()).unwrap();
    let members = [bills("x", &[bill("1", "1.00", &[])]), bills("y", &[bill("1", "1.00", &[])])];
    let verdicts = batch(1, &members).load(&mut *warehouse);
    assert_eq!(fates(&verdicts), [("loaded", 1), ("duplicate", 0)]);
}

fn a_further_column_that_needs_a_value_is_a_difference(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    bench.execute("ALTER TABLE bills ADD COLUMN stamp TEXT NOT NULL DEFAULT ''").unwrap();
    let failure = warehouse.prepare(&schema()).unwrap_err();
    assert!(failure.message.contains("stamp"), "{failure}");
}

fn a_comparison_names_what_is_missing_and_makes_nothing(bench: &dyn Bench) {
    let mut warehouse = bench.open();
    let missing = |table: &str| Difference::Missing { table: table.to_owned() };
    let both = [missing("bills"), missing("bill_items")];
    assert_eq!(warehouse.compare(&schema()).unwrap(), both);
    assert_eq!(warehouse.compare(&schema()).unwrap(), both, "the first look has made nothing");
    warehouse.prepare(&schema()).unwrap();
    assert_eq!(warehouse.compare(&schema()).unwrap(), []);
    bench.execute("DROP TABLE bill_items").unwrap();
    bench.execute("ALTER TABLE bills RENAME COLUMN total TO amount").unwrap();
    let found = warehouse.compare(&schema()).unwrap();
    assert!(found.contains(&missing("bill_items")), "{found:?}");
    let words: Vec<String> = found.iter().filter_map(Difference::otherwise).collect();
    assert!(words.iter().any(|word| word.starts_with("bills: ") && word.contains("amount")), "{words:?}");
}

fn a_comparison_does_not_wait_for_a_load(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let batch = batch(1, &[bills("x", &[bill("1", "1.00", &[])])]);
    let schema = schema();
    let BeginLoad::Fresh(load) = warehouse.begin_load(&batch.request, &schema).unwrap() else {
        panic!("loaded")
    };
    // The load is open: a comparison that waited for it would never end here.
    assert_eq!(bench.open().compare(&schema).unwrap(), []);
    drop(load);
}
