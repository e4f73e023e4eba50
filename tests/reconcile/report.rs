//! What a reconciliation prints and leaves behind.

use std::fs;

use crate::support::{Project, files_under};
use crate::world::{by_hand, date, days_ago, invoice, land};

#[test]
fn the_contracts_shape_of_the_json() {
    let project = Project::new();
    land(&project, 0..2, 2);
    project.run(&["drain", "--crawl"]).exits(0);
    by_hand(&project, &format!("DELETE FROM invoices WHERE invoice_id = '{}'", invoice(1).number));
    let report = crate::world::reconcile(&project, &[], 3);
    for key in ["from", "to", "balanced", "jobs"] {
        assert!(report.get(key).is_some(), "{key}");
    }
    let day = crate::world::day(&report, &date(2));
    for key in ["job", "day", "balance", "discrepancies"] {
        assert!(day.get(key).is_some(), "{key}");
    }
    let keys: Vec<&str> = day["balance"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "received",
            "loaded",
            "rejected",
            "duplicate",
            "conflict",
            "superseded",
            "missing",
            "expired",
            "abandoned",
            "in_flight",
            "difference"
        ]
    );
    let found = &day["discrepancies"][0];
    for key in ["kind", "place", "batch_id", "documents", "records", "more", "detail", "command"] {
        assert!(found.get(key).is_some(), "{key}");
    }
    let record: Vec<&str> = found["records"][0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(record, ["customer_id", "invoice_id"]);
}

#[test]
fn a_page_lies_in_the_state_and_beside_the_tables() {
    let project = Project::new();
    land(&project, 0..2, 2);
    project.land("<script>.txt", b"no invoice", days_ago(2));
    project.run(&["drain", "--crawl"]).exits(3);
    let told = project.run(&["reconcile"]).exits(0).prints("BALANCED");
    assert!(told.stdout.contains("received 3 = 2 loaded + 1 rejected"), "{}", told.stdout);
    let own = files_under(&project.path("var/reports"));
    let beside = files_under(&project.path("var/curated/.reports"));
    for found in [&own, &beside] {
        let kinds: Vec<&str> =
            found.iter().filter_map(|(name, _)| name.rsplit_once('.').map(|(_, kind)| kind)).collect();
        assert_eq!(kinds, ["csv", "html", "json"]);
    }
    let page = fs::read_to_string(&own[1].1).unwrap();
    assert_eq!(page, fs::read_to_string(&beside[1].1).unwrap());
    assert!(page.contains("&lt;script&gt;.txt is rejected"), "escaped, with its cause");
    // The tables are as they were: a query counts what was loaded.
    let answer =
        project.run(&["query", "SELECT count(*) AS n FROM invoices", "--output", "json"]).exits(0).json();
    assert_eq!(answer["rows"][0][0].as_i64().or(answer["rows"][0]["n"].as_i64()), Some(2), "{answer}");
}
