//! The report as CSV: one line a fact, for spreadsheets.

use crate::reconcile::model::Report;

/// `job,day,section,what,count,id,detail,command`.
pub fn csv(report: &Report) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut line = |values: [&str; 8]| writer.write_record(values).expect("a vector takes every line");
    line(["job", "day", "section", "what", "count", "id", "detail", "command"]);
    for day in &report.jobs {
        let date = day.day.to_string();
        let verdict = if day.balanced { "balanced" } else { "not balanced" };
        line([&day.job, &date, "verdict", verdict, "", "", "", ""]);
        line([&day.job, &date, "balance", "received", &day.balance.received.to_string(), "", "", ""]);
        for (name, count) in day.balance.lines() {
            line([&day.job, &date, "balance", name, &count.to_string(), "", "", ""]);
        }
        line([&day.job, &date, "balance", "difference", &day.balance.difference.to_string(), "", "", ""]);
        for place in &day.places {
            if let Some(why) = place.unasked {
                line([&day.job, &date, "place", &format!("{} not asked", place.place), "", "", why, ""]);
                continue;
            }
            let counts = [
                ("expected", place.expected),
                ("ok", place.ok),
                ("lost", place.lost),
                ("duplicated", place.duplicated),
                ("unexpected", place.unexpected),
            ];
            for (word, count) in counts {
                let what = format!("{} {} {word}", place.place, place.unit);
                line([&day.job, &date, "place", &what, &count.to_string(), "", "", ""]);
            }
        }
        for (section, list) in [("discrepancy", &day.discrepancies), ("accepted", &day.accepted)] {
            for found in list {
                line([&day.job, &date, section, found.kind, "", &found.id, &found.detail, &found.command]);
            }
        }
        for attention in &day.attention {
            line([
                &day.job,
                &date,
                "attention",
                &attention.what,
                "",
                "",
                &attention.cause,
                &attention.command,
            ]);
        }
    }
    let bytes = writer.into_inner().expect("a vector takes every byte");
    String::from_utf8(bytes).expect("every value is UTF-8")
}
