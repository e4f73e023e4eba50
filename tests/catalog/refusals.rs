//! Goal: what is forbidden or fails ends with status 1 and names the operation and the thing; what was done is told.

use crate::athena::Mood;
use crate::endpoint::{Fault, What};
use crate::world::World;

const DENIED: What = What::Refused(400, "AccessDeniedException");

#[test]
fn each_missing_permission_is_named() {
    for (operation, thing) in [
        ("GetDatabase", "the database finance"),
        ("GetTable", "the table finance.invoices_csv"),
        ("GetCrawler", "the crawler nightly"),
        ("CreateDatabase", "the database finance"),
        ("CreateTable", "the table finance.invoices_csv"),
        ("CreateCrawler", "the crawler nightly"),
    ] {
        let world = World::new();
        if operation == "GetTable" {
            world.apply().exits(0);
        }
        world.glue.fault(Fault::always(operation, DENIED));
        let ended = world.apply().exits(1);
        let told = &ended.stderr;
        assert!(told.contains(&format!("glue:{operation}")) && told.contains(thing), "{operation}: {told}");
        assert!(told.contains("AccessDeniedException") && told.contains("policy"), "{operation}: {told}");
        assert!(!told.contains("test-secret"), "{told}");
    }
}

#[test]
fn what_was_done_before_a_failure_is_told_and_the_next_run_goes_on() {
    let world = World::new();
    world.glue.fault(Fault::always("CreateCrawler", DENIED));
    let ended = world.apply().exits(1);
    assert_eq!(ended.list("done").len(), 5);
    assert_eq!(ended.differences(), ["crawler nightly: existence (make)"]);
    assert!(ended.job()["error"].as_str().unwrap().contains("glue:CreateCrawler"), "{ended:?}");
    world.glue.no_more_faults();
    assert_eq!(world.apply().exits(0).list("done"), ["make the crawler nightly"]);
}

#[test]
fn a_table_that_somebody_changes_meanwhile_is_not_overwritten() {
    let world = World::new();
    world.apply().exits(0);
    world.edit("invoices_csv", |table| table["Parameters"]["skip.header.line.count"] = "0".into());
    let before = world.content();
    let busy = What::Refused(400, "ConcurrentModificationException");
    world.glue.fault(Fault::always("UpdateTable", busy));
    let ended = world.apply().exits(1);
    assert!(ended.stderr.contains("somebody else changed it meanwhile; try again"), "{ended:?}");
    assert_eq!(world.content(), before);
    world.glue.no_more_faults();
    world.apply().exits(0);
}

#[test]
fn athenas_words_about_a_view_are_told() {
    for (mood, words) in
        [(Mood::Fails, "failed in Athena: line 1:8: SYNTAX_ERROR"), (Mood::Cancels, "was cancelled")]
    {
        let world = World::with_athena(mood);
        let ended = world.apply().exits(1);
        assert!(
            ended.stderr.contains("make the view finance.invoices") && ended.stderr.contains(words),
            "{ended:?}"
        );
        assert_eq!(ended.list("done").len(), 3, "{ended:?}");
    }
}
