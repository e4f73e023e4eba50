//! Goal: days after the landing has emptied itself, what a wrong job file rejected is loaded once out of the archive in S3,
//! by ranged reads, however often the replay is killed.

use crate::checker::check_curated;
use crate::corpus::Meaning;
use crate::fleet::strangers;
use crate::oracle::Expected;
use crate::support::until;
use crate::world::World;

const RIGHT: &str = r#"label = "Customer-ID""#;
const WRONG: &str = r#"label = "Customer-No""#;

#[test]
fn a_killed_replay_loads_once_out_of_the_archive_in_s3() {
    let Some(world) = World::new() else { return };
    let mut documents = strangers(97, 120);
    documents.retain(|document| matches!(document.meaning, Meaning::Invoices(_)));
    let all = documents.len();
    let machine = world.machine(10);
    machine.edit("jobs/invoices.toml", RIGHT, WRONG);
    world.upload(&documents);
    let mut rejected = 0;
    until("everything is rejected", || {
        let ended = machine.run(&["drain", "--output", "json"]);
        rejected += ended.json()["documents"]["rejected"].as_u64().unwrap_or(0);
        (world.messages() == 0 && rejected == all as u64).then_some(())
    });
    world.empty_landing();
    std::fs::remove_dir_all(machine.path("var")).unwrap();
    machine.edit("jobs/invoices.toml", WRONG, RIGHT);

    let words = ["jobs", "replay", "--rejected", "--yes"];
    let loaded = || world.ask("SELECT count(*) FROM sluicegate.batch WHERE replay > 0").unwrap_or(0);
    for batches in [1, 4, 8] {
        let mut replay = machine.start(&words);
        until("some of it is loaded", || (loaded() >= batches || replay.has_ended()).then_some(()));
        replay.kill();
    }
    machine.run(&words).exits(0);
    let once = "SELECT (SELECT count(*) FROM invoices), (SELECT count(*) FROM sluicegate.document),
                       (SELECT count(*) FROM sluicegate.document WHERE outcome = 'loaded'),
                       (SELECT count(*) FROM sluicegate.verdict WHERE outcome = 'loaded'),
                       (SELECT count(*) FROM sluicegate.verdict WHERE outcome = 'again'),
                       (SELECT count(*) FROM sluicegate.batch WHERE published_at IS NULL)";
    let all = all.to_string();
    let all = all.as_str();
    assert_eq!(world.database.select(once), [[all, all, all, all, "0", "0"]]);
    let rows = "SELECT (SELECT count(*) FROM invoices) + (SELECT count(*) FROM invoice_items)";
    assert_eq!(world.ask(rows), Some(Expected::of(&documents).rows() as i64));
    check_curated(&world);
    machine.run(&words).exits(0).prints("nothing to replay");
}
