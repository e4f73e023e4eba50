//! Goal: without Glue the command shows what the embedded engine has, asks nobody, and makes nothing.

use crate::world::{Ended, World, program};

#[test]
fn the_embedded_engines_tables_are_printed_and_there_is_nothing_to_make() {
    let folder = tempfile::tempdir().unwrap();
    for words in [&["catalog"][..], &["catalog", "--apply"]] {
        let ended = Ended::of(program(folder.path(), words).output().unwrap()).exits(0);
        assert!(ended.stdout.contains("CREATE TABLE \"invoices_csv\""), "{ended:?}");
        assert!(ended.stdout.contains("CREATE VIEW \"invoice_items\" AS"), "{ended:?}");
        assert_eq!(ended.stderr.contains("nothing to do"), words.len() == 2, "{ended:?}");
    }
    let ended =
        Ended::of(program(folder.path(), &["catalog", "--output", "json"]).output().unwrap()).exits(0);
    assert_eq!((ended.json()["engine"].as_str(), ended.list("ddl").len()), (Some("embedded"), 4));
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "it only looks");
}

#[test]
fn half_a_configuration_is_refused_by_the_name_of_what_is_missing() {
    for (variable, value, told) in [
        (
            "SLUICEGATE_DATABASE",
            "",
            "the Glue crawler nightly: its database is not known: set SLUICEGATE_DATABASE",
        ),
        ("SLUICEGATE_CURATED", "var/curated", "set SLUICEGATE_CURATED to s3://bucket/prefix"),
    ] {
        let mut world = World::new();
        world.set(variable, value);
        let ended = world.catalog().exits(2);
        assert!(ended.stderr.contains(told), "{ended:?}");
        assert_eq!(world.glue.requests(), [""; 0]);
    }
    let mut world = World::new();
    world.set("SLUICEGATE_DATABASE", "");
    world.set("SLUICEGATE_CRAWLER", "");
    let ended = world.catalog().exits(2);
    assert!(
        ended.stderr.contains("s3://books/csv") && ended.stderr.contains("SLUICEGATE_DATABASE"),
        "{ended:?}"
    );
}
