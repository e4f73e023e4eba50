//! Goal: what people and programs read. Tables keep their columns; JSON is one object, alone on stdout; the exit status
//! is the contract's.

use serde_json::{Value, json};

use crate::corpus::{Invoice, Random, landed};
use crate::support::{Ended, Project};

/// The layout that customers send, word for word.
const REAL: &str = "\
******************************************************************
                             Invoice
******************************************************************
Customer-ID: sm-0080145
Inv-ID: inv-00001
Dated: Mar 31 2018
From: Space Mechanics Inc.
To: Starfleet HQ
Amount: 2850
SGST: 200
Total: 3050
InWords: Space Rupees three thousand fifty only

Items
1) Fusion controller, matter antimatter, 2000, 200
2) Transporter base dial, 850
";

const KEY: &str = "2018/real é, 100 %.txt";

/// One invoice, the same again, and something that is none.
fn drained() -> Project {
    let project = Project::new().with("SLUICEGATE_WINDOW", "0 0 0 1 1 *");
    project.land(KEY, REAL.as_bytes(), landed(0));
    project.land("again.txt", REAL.as_bytes(), landed(1));
    project.land("broken.txt", b"Dear Sir or Madam\n", landed(2));
    project.land("stranger.pdf", b"%PDF", landed(3));
    project
        .run(&["drain"])
        .exits(3)
        .prints("1 loaded, 1 rejected, 1 duplicate")
        .tells("see: sluicegate status");
    project
}

/// The same words with `--output json`.
#[track_caller]
fn as_json(project: &Project, words: &[&str], code: i32) -> Value {
    let words: Vec<&str> = words.iter().copied().chain(["--output", "json"]).collect();
    project.run(&words).exits(code).json()
}

/// The words of a table's first line.
fn header(ended: &Ended) -> Vec<&str> {
    ended.stdout.lines().next().unwrap_or_default().split_whitespace().collect()
}

fn batch_id(project: &Project) -> String {
    project.ask("SELECT batch_id FROM sluicegate_batch").unwrap()
}

#[test]
fn before_anything_landed_nothing_is_made_and_all_is_well() {
    let project = Project::new();
    project.run(&["status"]).exits(0).prints("OK: nothing has been journaled yet");
    project.run(&["jobs", "list"]).exits(0).prints("invoices");
    assert_eq!(as_json(&project, &["jobs", "list", "invoices"], 0)["batches"], json!([]));
    let answer = as_json(&project, &["query", "SELECT count(*) AS n FROM invoices"], 0);
    assert_eq!(answer["rows"], json!([{ "n": 0 }]));
    assert!(!project.path("var/state.db").exists() && !project.path("var/warehouse.db").exists());
}

#[test]
fn a_drain_ends_with_one_object_of_the_contracts_keys() {
    let project = Project::new();
    project.land("broken.txt", b"Dear Sir or Madam\n", landed(0));
    let summary = project.drain(3);
    for key in ["batches", "documents", "rows", "crawls", "failed_batches"] {
        assert!(summary.get(key).is_some(), "{key} in {summary}");
    }
    let outcomes =
        ["loaded", "rejected", "duplicate", "conflict", "superseded", "missing", "expired", "abandoned"];
    for outcome in outcomes {
        assert_eq!(summary["documents"][outcome], u64::from(outcome == "rejected"), "{outcome} in {summary}");
    }
}

#[test]
fn jobs_are_listed() {
    let project = drained();
    let table = project.run(&["jobs", "list"]).exits(0);
    let columns =
        ["job", "pending", "sealed", "archived", "loaded", "published", "failed", "abandoned", "next"];
    assert_eq!(header(&table)[..9], columns);
    let jobs = as_json(&project, &["jobs", "list"], 0);
    assert_eq!(jobs["jobs"].as_array().unwrap().len(), 1);
    let job = &jobs["jobs"][0];
    assert_eq!((&job["job"], &job["pending"]), (&json!("invoices"), &json!(0)));
    assert_eq!((&job["batches"]["published"], &job["batches"]["failed"]), (&json!(1), &json!(0)));
    assert!(job["next_window"].as_str().unwrap().contains("-01-01 00:00:00Z"), "{job}");
    let table = project.run(&["jobs", "list", "invoices"]).exits(0).prints(&batch_id(&project));
    assert_eq!(header(&table)[..4], ["batch", "state", "documents", "bytes"]);
    let batch = &as_json(&project, &["jobs", "list", "invoices"], 0)["batches"][0];
    assert_eq!((&batch["state"], &batch["documents"]), (&json!("published"), &json!(3)));
    assert_eq!(batch["batch_id"], batch_id(&project));
    project.run(&["jobs", "list", "nope"]).exits(2).tells("there is no job \"nope\"; there is invoices");
}

#[test]
fn a_batch_is_shown_by_the_beginning_of_its_id() {
    let project = drained();
    let id = batch_id(&project);
    for prefix in [&id[..], &id[..9], &id[..20]] {
        let shown = as_json(&project, &["jobs", "show", prefix], 0);
        assert_eq!((&shown["batch_id"], &shown["state"]), (&json!(id), &json!("published")));
        let outcomes: Vec<_> = shown["verdicts"].as_array().unwrap().iter().map(|v| &v["outcome"]).collect();
        assert_eq!(outcomes, ["loaded", "duplicate", "rejected"], "in the order of landing");
        let history: Vec<_> =
            shown["history"].as_array().unwrap().iter().map(|e| e["what"].as_str().unwrap()).collect();
        for (step, words) in
            ["sealed: ", "sealed → archived: ", "archived → loaded: ", "loaded → published: "]
                .iter()
                .enumerate()
        {
            assert!(history[step].starts_with(words), "{history:?}");
        }
    }
    let table = project.run(&["jobs", "show", &id]).exits(0);
    table
        .prints(&format!("batch      {id}\njob        invoices\nstate      published\ndocuments  3"))
        .prints("broken.txt");
}

#[test]
fn the_beginning_of_two_batch_ids_names_both() {
    let project = drained();
    project.land("later.txt", REAL.replace("inv-00001", "inv-00002").as_bytes(), landed(9));
    project.drain(0);
    let ids: Vec<String> = as_json(&project, &["jobs", "list", "invoices"], 0)["batches"]
        .as_array()
        .unwrap()
        .iter()
        .map(|batch| batch["batch_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 2);
    let ended = project.run(&["jobs", "show", "2"]).exits(2).tells("begins more than one batch id");
    ended.tells(&ids[0]).tells(&ids[1]);
}

#[test]
fn a_document_is_shown_with_its_whole_story() {
    let project = drained();
    let shown = as_json(&project, &["jobs", "show", "broken.txt"], 0);
    let document = &shown["documents"][0];
    assert_eq!((&document["outcome"], &document["line"]), (&json!("rejected"), &json!(1)));
    assert_eq!(document["text"], "Dear Sir or Madam");
    assert!(document["reason"].as_str().unwrap().starts_with("line 1: the line is no label"), "{document}");
    assert_eq!(
        (&shown["notifications"][0]["state"], &shown["notifications"][0]["redeliveries"]),
        (&json!("batched"), &json!(0))
    );
    let times: Vec<_> =
        shown["history"].as_array().unwrap().iter().map(|event| event["at"].as_str().unwrap()).collect();
    assert!(times.len() >= 6 && times.is_sorted(), "{shown:#}");
    let table = project.run(&["jobs", "show", KEY]).exits(0).prints(&format!("document   {KEY}\n"));
    let table = table.prints("outcome    loaded").prints("rows       3").prints("journaled: ");
    table.prints("sealed → archived").prints("archived → loaded").prints("loaded → published");
    project.run(&["jobs", "show", "nope.txt"]).exits(1).tells("nor is there a document with that key");
}

#[test]
fn status_begins_with_a_verdict() {
    let project = drained();
    let told = project.run(&["status"]).exits(0);
    assert!(told.stdout.starts_with("OK: everything received is decided\n"), "{told:#?}");
    let told = told.prints("1 duplicate, 1 loaded, 1 rejected").prints("1 batch awaiting one");
    assert!(!told.stdout.contains('\u{1b}'), "no colours where nobody sees them: {told:#?}");
    let status = as_json(&project, &["status"], 0);
    assert_eq!(status["problems"], json!([]));
    let job = &status["jobs"][0];
    assert_eq!(job["outcomes"], json!({ "duplicate": 1, "loaded": 1, "rejected": 1 }));
    assert_eq!(
        (&job["received"], &job["awaiting_crawl"], &job["last_crawl"]),
        (&json!(3), &json!(1), &Value::Null)
    );
}

#[test]
fn check_names_each_finding() {
    let project = drained();
    let table = project.run(&["check"]).exits(0);
    assert!(
        table.stdout.lines().skip(1).all(|line| line.starts_with("ok ") || line.starts_with("note ")),
        "{table:#?}"
    );
    table.prints("stranger.pdf").prints("the one this state belongs to");
    let findings = as_json(&project, &["check"], 0);
    let of = |what: &str| {
        let all = findings["findings"].as_array().unwrap();
        all.iter().filter(|finding| finding["what"] == what).map(|f| f["level"].clone()).collect::<Vec<_>>()
    };
    for what in ["configuration", "state", "archive", "curated", "warehouse", "ledger", "tables of invoices"]
    {
        assert_eq!(of(what), ["ok"], "{what} in {findings:#}");
    }
    assert_eq!(of("landing of invoices"), ["ok", "note"]);
}

#[test]
fn check_makes_nothing() {
    let project = Project::new();
    project.land("a.txt", REAL.as_bytes(), landed(0));
    project.run(&["check"]).exits(0);
    let made: Vec<_> =
        std::fs::read_dir(project.path("var")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(made, [project.landing()], "nothing beside the landing");
    let drained = drained();
    let warehouse = rusqlite::Connection::open(drained.path("var/warehouse.db")).unwrap();
    warehouse.execute_batch("DROP TABLE invoice_items").unwrap();
    // A load that is open is not waited for.
    warehouse.execute_batch("BEGIN IMMEDIATE").unwrap();
    drained.run(&["check"]).exits(0).prints("not there yet: invoice_items");
    warehouse.execute_batch("ROLLBACK; ALTER TABLE invoices RENAME COLUMN total TO amount_due").unwrap();
    drained.run(&["check"]).exits(1).prints("amount_due");
    let tables = "SELECT group_concat(name) FROM sqlite_master WHERE name LIKE 'invoice%'";
    assert_eq!(drained.ask::<String>(tables).as_deref(), Some("invoices"));
}

/// A look must not decide which ledger the state belongs to.
#[test]
fn check_binds_the_state_to_no_ledger() {
    let other = drained();
    let mut project = Project::new();
    std::fs::copy(other.path("var/warehouse.db"), project.path("var/other.db")).unwrap();
    project.set("SLUICEGATE_WAREHOUSE", "sqlite:var/other.db");
    project.run(&["check"]).exits(0);
    project.set("SLUICEGATE_WAREHOUSE", "sqlite:var/warehouse.db");
    project.land("a.txt", REAL.as_bytes(), landed(0));
    assert_eq!(project.drain(0)["documents"]["loaded"], 1);
}

#[test]
fn try_says_what_a_document_would_become_and_makes_nothing() {
    let project = Project::new();
    std::fs::write(project.path("good.txt"), REAL).unwrap();
    std::fs::write(project.path("bad.txt"), REAL.replace("3050", "3051")).unwrap();
    let good = project.run(&["try", "good.txt", "--job", "invoices"]).exits(0);
    let good = good
        .prints("would be loaded by job invoices: 1 record, 3 rows")
        .prints("Fusion controller, matter antimatter");
    assert!(good.stderr.is_empty(), "{good:#?}");
    let good = as_json(&project, &["try", "good.txt"], 0);
    assert_eq!((&good["outcome"], &good["records"], &good["rows"]), (&json!("loaded"), &json!(1), &json!(3)));
    assert_eq!(good["tables"]["invoice_items"][1]["price"], "850.00");
    assert_eq!(good["tables"]["invoice_items"][1]["tax"], Value::Null);
    let bad = project.run(&["try", "bad.txt"]).exits(3);
    bad.prints("would be rejected by job invoices").prints("total 3051.00 is not amount + sgst = 3050.00");
    let bad = as_json(&project, &["try", "bad.txt"], 3);
    assert_eq!((&bad["outcome"], &bad["line"]), (&json!("rejected"), &json!(2)));
    project.run(&["try", "nowhere.txt"]).exits(1).tells("nowhere.txt");
    project.run(&["try", "good.txt", "--job", "nope"]).exits(2).tells("there is no job \"nope\"");
    assert!(!project.path("var/state.db").exists() && !project.path("var/warehouse.db").exists());
}

#[test]
fn query_answers_over_what_was_published() {
    let project = drained();
    let sql = "SELECT line, description, price, tax FROM invoice_items ORDER BY line";
    let answer = as_json(&project, &["query", sql], 0);
    assert_eq!(answer["columns"], json!(["line", "description", "price", "tax"]));
    let rows = json!([
        { "line": 1, "description": "Fusion controller, matter antimatter", "price": "2000.00", "tax": "200.00" },
        { "line": 2, "description": "Transporter base dial", "price": "850.00", "tax": null },
    ]);
    assert_eq!((&answer["rows"], &answer["batches_awaiting_crawl"]), (&rows, &json!(1)));
    let table = project.run(&["query", "SELECT invoice_id, total, dated FROM invoices"]).exits(0);
    let table = table.tells("1 published batch awaits a crawl");
    let cells: Vec<Vec<&str>> = table.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(cells, [["invoice_id", "total", "dated"], ["inv-00001", "3050.00", "2018-03-31"]]);
    let raw = as_json(&project, &["query", "SELECT total, batch_id FROM invoices_csv"], 0);
    assert_eq!(raw["rows"], json!([{ "total": "3050.00", "batch_id": batch_id(&project) }]));
    let with = "WITH big AS (SELECT * FROM invoices WHERE total > 3000) SELECT count(*) AS n FROM big";
    assert_eq!(as_json(&project, &["query", with], 0)["rows"], json!([{ "n": 1 }]));
    for wrong in ["DELETE FROM invoices", "SELECT nope FROM invoices", "SELECT 1; SELECT 2"] {
        let ended = project.run(&["query", wrong]);
        assert!(!ended.status.success() && ended.stdout.is_empty() && !ended.stderr.is_empty(), "{ended:#?}");
    }
}

/// What customers write reaches the answer unharmed.
#[test]
fn query_returns_awkward_values_as_they_were_sent() {
    let project = Project::new();
    let mut random = Random::new(11);
    let invoices: Vec<Invoice> = (0..60).map(|number| Invoice::made_up(&mut random, number)).collect();
    let text: String = invoices.iter().map(Invoice::text).collect();
    project.land("all.txt", text.as_bytes(), landed(0));
    project.drain(0);
    let sql = "SELECT from_party, to_party, in_words, total FROM invoices ORDER BY invoice_id";
    let answer = as_json(&project, &["query", sql], 0);
    let wanted: Vec<Value> = invoices
        .iter()
        .map(|invoice| {
            let parent = invoice.rows().parent;
            json!({ "from_party": parent[3], "to_party": parent[4], "in_words": parent[8], "total": parent[7] })
        })
        .collect();
    assert_eq!(answer["rows"], Value::Array(wanted));
}

#[test]
fn help_and_version_are_data() {
    let project = Project::new();
    for words in [&["--help"][..], &["drain", "--help"], &["--version"], &["completions", "bash"]] {
        let ended = project.run(words).exits(0);
        assert!(!ended.stdout.is_empty() && ended.stderr.is_empty(), "{ended:#?}");
    }
}
