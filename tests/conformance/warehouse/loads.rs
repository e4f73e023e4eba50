//! The transaction of a load: its key, its atomicity, and what it leaves in the ledger (I5, I6, I9).

use sluicegate::ports::warehouse::{BeginLoad, DocumentOutcome, LedgerIdentity, LoadedBatch};
use sluicegate_state::time::to_text;

use super::batches::{
    Content, JOB, Member, a_minute_later, batch, bill, bills, bills_there, count, fates, member, ready,
};
use super::{Bench, cases};
use crate::published::schema;

cases![
    a_ledger_has_one_identity_for_ever,
    a_batch_is_loaded_once,
    a_dropped_load_leaves_nothing,
    every_verdict_of_get_becomes_an_outcome,
    a_loaded_batch_comes_back_as_it_was,
    a_batch_without_rows_has_nothing_to_publish,
    published_once_is_published_then,
    a_definition_is_kept_once_by_its_hash,
    a_document_belongs_to_the_batch_that_decided,
    an_object_decided_long_ago_is_not_missing,
    an_unread_version_is_not_another_one_with_the_same_content,
    who_has_read_a_document_takes_it_over_from_who_came_too_late,
    an_earlier_upload_that_nobody_could_read_stays_what_it_was,
    a_deferred_document_has_no_outcome_yet,
    verdicts_are_append_only,
    the_stories_are_told,
];

fn a_ledger_has_one_identity_for_ever(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let LedgerIdentity { id, newest_batch } = warehouse.identity().unwrap();
    assert!(!id.is_empty());
    assert_eq!(newest_batch, None);
    let (first, second) = (batch(2, &[bills("x", &[bill("1", "1.00", &[])])]), batch(1, &[]));
    for loaded in [&first, &second] {
        assert!(!warehouse.knows_batch(loaded.id()).unwrap());
        loaded.load(&mut *warehouse);
        assert!(warehouse.knows_batch(loaded.id()).unwrap());
        // The newest load, whatever its batch is called.
        let expected = LedgerIdentity { id: id.clone(), newest_batch: Some(loaded.id().to_owned()) };
        assert_eq!(bench.open().identity().unwrap(), expected);
    }
}

fn a_batch_is_loaded_once(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let batch = batch(1, &[bills("x", &[bill("1", "1.00", &[["1", "item", "1.00"]])])]);
    assert!(batch.try_load(&mut *warehouse).is_some());
    assert!(batch.try_load(&mut *warehouse).is_none());
    assert!(batch.try_load(&mut *bench.open()).is_none(), "for another connection too");
    assert_eq!((count(bench, "bills"), count(bench, "bill_items")), (1, 1));
}

fn a_dropped_load_leaves_nothing(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let schema = schema();
    let batch =
        batch(1, &[bills("x", &[bill("1", "1.00", &[])]), member("y", Content::Broken(vec![], "no"))]);
    let BeginLoad::Fresh(mut transaction) = warehouse.begin_load(&batch.request, &schema).unwrap() else {
        panic!("the batch is new");
    };
    transaction.insert(&batch).unwrap();
    drop(transaction);
    for table in ["batch", "document", "verdict", "reject", "refused", "batch_table", "definition"] {
        assert_eq!(count(bench, &bench.ledger(table)), 0, "{table}");
    }
    assert_eq!(count(bench, "bills"), 0);
    assert_eq!(warehouse.loaded_batch(batch.id()).unwrap(), None);
    assert_eq!(fates(&batch.load(&mut *warehouse)), [("loaded", 1), ("rejected", 0)]);
}

fn every_verdict_of_get_becomes_an_outcome(bench: &dyn Bench) {
    use DocumentOutcome::{Again, Deferred, Expired, Missing, Superseded};
    let mut warehouse = ready(bench);
    let unread = |key, outcome, reason| member(key, Content::Unread(outcome, reason));
    let batch = batch(
        1,
        &[
            unread("gone", Missing, "it was gone"),
            bills("x", &[bill("1", "1.00", &[])]),
            unread("over", Superseded, "overwritten"),
            unread("old", Expired, "the lifecycle took it"),
            unread("later", Deferred, "403"),
            unread("elsewhere", Again, "another batch has read it"),
        ],
    );
    let verdicts = batch.load(&mut *warehouse);
    let expected = [("missing", 0), ("loaded", 1), ("superseded", 0), ("expired", 0), ("deferred", 0)];
    assert_eq!(fates(&verdicts)[..5], expected);
    assert_eq!(fates(&verdicts)[5..], [("again", 0)]);
    assert_eq!(verdicts[5].reason, "another batch has read it");
    assert_eq!(verdicts[0].reason, "it was gone");
    let counts = warehouse.outcome_counts(JOB).unwrap();
    let counts: Vec<_> = counts.iter().map(|(outcome, count)| (outcome.as_str(), *count)).collect();
    assert_eq!(counts, [("expired", 1), ("loaded", 1), ("missing", 1), ("superseded", 1)]);
    assert!(warehouse.outcome_counts("another job").unwrap().is_empty());
}

fn of_version(key: &'static str, version: &str, etag: &str, content: Content) -> Member {
    let (version, etag) = (version.to_owned(), etag.to_owned());
    Member { key, version, etag, content }
}

fn gone() -> Content {
    Content::Unread(DocumentOutcome::Missing, "it was gone")
}

fn read(number: &'static str) -> Content {
    Content::Bills(vec![bill(number, "1.00", &[])])
}

/// Documents in their order, with what became of each and which batch decided.
fn decided(bench: &dyn Bench) -> Vec<Vec<String>> {
    let documents = bench.ledger("document");
    bench.select(&format!("SELECT key, version, outcome, batch_id FROM {documents} ORDER BY key, version"))
}

/// A machine that stood still between its GET and its archive, and another one that found the object gone meanwhile: the archive
/// that has read decides, whichever batch is loaded first (I9).
fn who_has_read_a_document_takes_it_over_from_who_came_too_late(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let old = Content::Unread(DocumentOutcome::Expired, "the lifecycle took it");
    let over = Content::Unread(DocumentOutcome::Superseded, "overwritten");
    let too_late = batch(
        1,
        &[
            of_version("a", "e@", "e", gone()),
            of_version("b", "v1", "f", old),
            of_version("c", "g@", "g", over),
            of_version("d", "h@", "h", gone()),
        ],
    );
    too_late.load(&mut *warehouse);
    let landed = "2024-05-06T09:00:00Z";
    let has_read = batch(
        2,
        &[
            of_version("a", &format!("e@{landed}"), "e", read("1")),
            of_version("b", "v1", "f", read("2")),
            of_version("c", &format!("g@{landed}"), "g", Content::Broken(Vec::new(), "no date")),
            of_version("d", &format!("other@{landed}"), "other", read("3")),
            of_version("a", &format!("e@{landed}"), "e", read("1")),
        ],
    );
    let verdicts = has_read.load(&mut *warehouse);
    assert_eq!(
        fates(&verdicts),
        [("loaded", 1), ("loaded", 1), ("rejected", 0), ("loaded", 1), ("again", 0)]
    );
    let (first, second) = (too_late.id(), has_read.id());
    assert_eq!(
        decided(bench),
        [
            ["a", &format!("e@{landed}"), "loaded", second],
            ["b", "v1", "loaded", second],
            ["c", &format!("g@{landed}"), "rejected", second],
            ["d", "h@", "missing", first],
            ["d", &format!("other@{landed}"), "loaded", second],
        ]
    );
    assert!(warehouse.proof().unsettled_documents(JOB, 10).unwrap().is_empty());
    // Who comes too late after that is told so, as ever.
    let third = batch(3, &[of_version("a", "e@", "e", gone()), of_version("b", "v1", "f", gone())]);
    assert_eq!(fates(&third.load(&mut *warehouse)), [("again", 0), ("again", 0)]);
}

/// The same content that landed later is another document.
fn an_earlier_upload_that_nobody_could_read_stays_what_it_was(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    batch(1, &[of_version("a", "e@", "e", gone())]).load(&mut *warehouse);
    let mut later = batch(2, &[of_version("a", "e@2024-05-06T10:00:00Z", "e", read("1"))]);
    later.request.documents[0].landed_at = "2024-05-06T10:00:00Z".parse().unwrap();
    later.load(&mut *warehouse);
    let outcomes: Vec<String> = decided(bench).into_iter().map(|mut document| document.remove(2)).collect();
    assert_eq!(outcomes, ["missing", "loaded"]);
}

/// What could not be read is known already where only its eTag tells; a version of its own is another document, whatever
/// its content (I2).
fn an_unread_version_is_not_another_one_with_the_same_content(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    batch(1, &[of_version("x", "v1", "e", read("1")), of_version("y", "f@", "f", gone())])
        .load(&mut *warehouse);
    let second = batch(
        2,
        &[
            of_version("x", "v2", "e", gone()),
            of_version("x", "e@", "e", gone()),
            of_version("y", "v3", "f", gone()),
        ],
    );
    let verdicts = second.load(&mut *warehouse);
    // What has a name of the storage's own has an outcome of its own (I2).
    assert_eq!(fates(&verdicts), [("missing", 0), ("again", 0), ("missing", 0)]);
    assert!(verdicts[1].reason.contains("already decided by batch"), "{:?}", verdicts[1]);
}

fn a_loaded_batch_comes_back_as_it_was(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    batch(1, &[bills("x", &[bill("1", "1.00", &[])])]).load(&mut *warehouse);
    let known = bill("1", "1.00", &[]);
    let new = bill("2", "20.50", &[["1", "é, \"quoted\"", "20.00"], ["2", "other", "0.50"]]);
    let second =
        batch(2, &[bills("y", &[known.clone(), new, known]), member("z", Content::Broken(vec![], "why"))]);
    let (verdicts, tables) = second.try_load(&mut *warehouse).unwrap();
    assert_eq!(verdicts[0].refused, [0, 2]);
    assert_eq!(tables[1].totals.sums["price"], "20.50");
    let found = bench.open().loaded_batch(second.id()).unwrap().unwrap();
    let expected = LoadedBatch {
        batch_id: second.id().to_owned(),
        definition_hash: second.request.definition_hash.clone(),
        definition_text: second.request.definition_text.clone(),
        rows: 3,
        published_at: None,
        tables,
        verdicts,
    };
    assert_eq!(found, expected);
    let sql = format!(
        "SELECT documents, rows, job, archive_key, incarnation FROM {} WHERE batch_id = '{}'",
        bench.ledger("batch"),
        second.id()
    );
    assert_eq!(bench.select(&sql), [["2", "3", JOB, &second.request.archive_key, "one"]]);
    assert_eq!(warehouse.loaded_batch("20240506T999999Z-0000000000000000").unwrap(), None);
}

fn a_batch_without_rows_has_nothing_to_publish(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let now = warehouse.now().unwrap();
    let batch = batch(1, &[member("x", Content::Broken(vec![bill("1", "1.00", &[])], "no"))]);
    batch.load(&mut *warehouse);
    let found = warehouse.loaded_batch(batch.id()).unwrap().unwrap();
    assert_eq!((found.rows, found.published_at), (0, Some(now)));
    assert!(found.tables.iter().all(|table| table.csv_key.is_none() && table.totals.rows == 0));
    let sql = format!("SELECT crawl_id FROM {}", bench.ledger("batch"));
    assert_eq!(bench.select(&sql), [["none"]]);
    assert_eq!(warehouse.awaiting_crawl(JOB).unwrap(), 0);
}

fn published_once_is_published_then(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let batch = batch(1, &[bills("x", &[bill("1", "1.00", &[])])]);
    batch.load(&mut *warehouse);
    let first = a_minute_later(bench);
    warehouse.mark_published(batch.id()).unwrap();
    a_minute_later(bench);
    warehouse.mark_published(batch.id()).unwrap();
    assert_eq!(warehouse.loaded_batch(batch.id()).unwrap().unwrap().published_at, Some(first));
    assert_eq!(warehouse.awaiting_crawl(JOB).unwrap(), 1);
}

fn a_definition_is_kept_once_by_its_hash(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    for (number, hash) in [(1, "hash one"), (2, "hash one"), (3, "hash two")] {
        let mut batch = batch(number, &[]);
        batch.request.definition_hash = hash.to_owned();
        batch.request.definition_text = format!("the text of {hash}");
        batch.load(&mut *warehouse);
        let found = warehouse.loaded_batch(batch.id()).unwrap().unwrap();
        assert_eq!(found.definition_text, format!("the text of {hash}"));
    }
    assert_eq!(count(bench, &bench.ledger("definition")), 2);
}

fn a_document_belongs_to_the_batch_that_decided(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let document = bills("x", &[bill("1", "1.00", &[])]);
    let other_version =
        super::batches::Member { version: "x@v2".into(), etag: "e2".into(), ..document.clone() };
    let first = batch(1, std::slice::from_ref(&document));
    first.load(&mut *warehouse);
    // Another batch has the same identity: a verdict, no outcome, and none of its rows.
    let second = batch(2, &[bills("new", &[bill("2", "2.00", &[])]), document.clone(), other_version]);
    let verdicts = second.load(&mut *warehouse);
    assert_eq!(fates(&verdicts), [("loaded", 1), ("again", 0), ("duplicate", 0)]);
    assert!(verdicts[1].reason.contains(first.id()), "{}", verdicts[1].reason);
    let rows = warehouse.documents_by_key("x").unwrap();
    let rows: Vec<_> = rows.iter().map(|row| (&*row.version, &*row.batch_id, &*row.outcome)).collect();
    assert_eq!(rows, [("x@v1", first.id(), "loaded"), ("x@v2", second.id(), "duplicate")]);
    // The same identity twice in one batch is one document, too.
    let third = batch(3, &[bills("y", &[bill("3", "3.00", &[])]), bills("y", &[bill("3", "3.00", &[])])]);
    assert_eq!(fates(&third.load(&mut *warehouse)), [("loaded", 1), ("again", 0)]);
    assert_eq!(bills_there(bench), ["1 1.00", "2 2.00", "3 3.00"]);
}

fn an_object_decided_long_ago_is_not_missing(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let document = bills("x", &[bill("1", "1.00", &[])]);
    let first = batch(1, std::slice::from_ref(&document));
    first.load(&mut *warehouse);
    // Its notification came again after the object had gone; a document never seen has another version.
    let content = Content::Unread(DocumentOutcome::Missing, "gone");
    let gone = super::batches::Member { version: "etag of x@".into(), content, ..document };
    let second = batch(2, &[gone, member("other", Content::Unread(DocumentOutcome::Missing, "gone"))]);
    let verdicts = second.load(&mut *warehouse);
    assert_eq!(fates(&verdicts), [("again", 0), ("missing", 0)]);
    assert!(verdicts[0].reason.contains(first.id()), "{}", verdicts[0].reason);
}

fn a_deferred_document_has_no_outcome_yet(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let later = member("x", Content::Unread(DocumentOutcome::Deferred, "403: not now"));
    let first = batch(1, &[later, bills("y", &[bill("1", "1.00", &[])])]);
    assert_eq!(fates(&first.load(&mut *warehouse)), [("deferred", 0), ("loaded", 1)]);
    assert!(warehouse.documents_by_key("x").unwrap().is_empty());
    let second = batch(2, &[bills("x", &[bill("2", "2.00", &[])])]);
    assert_eq!(fates(&second.load(&mut *warehouse)), [("loaded", 1)]);
    let verdicts = warehouse.verdicts_by_key("x").unwrap();
    let words: Vec<_> = verdicts.iter().map(|row| (&*row.batch_id, &*row.outcome)).collect();
    assert_eq!(words, [(first.id(), "deferred"), (second.id(), "loaded")]);
}

fn verdicts_are_append_only(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    batch(1, &[bills("x", &[bill("1", "1.00", &[])])]).load(&mut *warehouse);
    let verdict = bench.ledger("verdict");
    for sql in [format!("UPDATE {verdict} SET outcome = 'rejected'"), format!("DELETE FROM {verdict}")] {
        bench.execute(&sql).expect_err("even a person cannot change what was decided");
    }
    assert_eq!(warehouse.verdicts_by_key("x").unwrap()[0].outcome, "loaded");
}

fn the_stories_are_told(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let now = to_text(warehouse.now().unwrap());
    let batch = batch(
        1,
        &[
            bills("x", &[bill("1", "1.00", &[["1", "i", "1.00"]])]),
            member("é'\".txt", Content::Broken(vec![], "bad date")),
        ],
    );
    batch.load(&mut *warehouse);
    let verdicts = warehouse.verdicts(batch.id()).unwrap();
    let told: Vec<_> = verdicts.iter().map(|row| (row.ordinal, &*row.key, &*row.outcome, row.rows)).collect();
    assert_eq!(told, [(0, "x", "loaded", 2), (1, "é'\".txt", "rejected", 0)]);
    assert!(verdicts.iter().all(|row| row.batch_id == batch.id() && row.at == now), "{verdicts:?}");
    let row = warehouse.documents_by_key("é'\".txt").unwrap().remove(0);
    assert_eq!((&*row.job, &*row.bucket, &*row.landed_at), (JOB, "local", "2024-05-06T09:00:00Z"));
    assert_eq!((row.line, row.text.as_deref()), (Some(7), Some("the line")));
    assert!(row.reason.contains("bad date") && row.reason.contains("line 7"), "{}", row.reason);
    assert_eq!(row.sha256.as_deref(), Some("sha of é'\".txt"));
    assert!(warehouse.documents_by_key("nobody's").unwrap().is_empty());
    assert!(warehouse.verdicts("nobody's").unwrap().is_empty());
}
