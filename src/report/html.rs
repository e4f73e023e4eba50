//! The report as one page: no script, no reference to anything outside, light and dark, fit for printing.

use std::fmt::Write;

use crate::reconcile::model::{Attention, DayReport, Discrepancy, Report};

const STYLE: &str = "
:root { color-scheme: light dark; --line: #c9c9c9; --soft: #f3f3f1; --good: #1d6b34; --bad: #a3201c; --ink: #1c1c1c; --paper: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --line: #4a4a4a; --soft: #262626; --good: #7fd397; --bad: #ff8f87; --ink: #eaeaea; --paper: #181818; }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.2rem; margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin-bottom: .3rem; }
.good { color: var(--good); } .bad { color: var(--bad); }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1rem; } caption { text-align: left; font-weight: 600; }
th, td { text-align: left; vertical-align: top; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid var(--line); }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
.card { background: var(--soft); border-left: 4px solid var(--bad); padding: .6rem 1rem; margin: .7rem 0; break-inside: avoid; }
.card.calm { border-color: var(--line); }
code { font: .9em ui-monospace, monospace; overflow-wrap: anywhere; }
.small { font-size: .875rem; opacity: .85; }
@media print { body { max-width: none; margin: 0; font-size: 11pt; } :root { --paper: #fff; --ink: #000; --soft: #fff; } }
";

/// The whole page.
pub fn page(report: &Report) -> String {
    let mut page = String::new();
    let title = format!("Reconciliation {}", span(report));
    let _ = write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{}</title><style>{STYLE}</style></head><body>\n",
        escaped(&title)
    );
    let _ = writeln!(page, "{}", verdict(report));
    let _ = writeln!(page, "<p class=\"small\">{}, made {}</p>", escaped(&title), escaped(&report.at));
    for day in &report.jobs {
        day_section(&mut page, day);
    }
    page.push_str("</body></html>\n");
    page
}

fn span(report: &Report) -> String {
    if report.from == report.to {
        report.from.to_string()
    } else {
        format!("{} to {}", report.from, report.to)
    }
}

fn verdict(report: &Report) -> String {
    let open: usize = report.jobs.iter().map(|day| day.discrepancies.len()).sum();
    if report.balanced {
        return "<h1 class=\"good\">Balanced</h1><p>Every document that was received is in exactly one place, and every \
                place holds what the others say.</p>"
            .to_owned();
    }
    let things = if open == 1 { "1 thing is".to_owned() } else { format!("{open} things are") };
    format!(
        "<h1 class=\"bad\">Not balanced</h1><p>{things} not as they should be. Each is below, with its cause and the command \
         that mends it.</p>"
    )
}

fn day_section(page: &mut String, day: &DayReport) {
    let (class, word) = if day.balanced { ("good", "balanced") } else { ("bad", "not balanced") };
    let closed = if day.closed { ", closed" } else { "" };
    let _ = writeln!(
        page,
        "<h2>{}, {}: <span class=\"{class}\">{word}</span>{closed}</h2>",
        escaped(&day.job),
        day.day
    );
    for found in &day.discrepancies {
        card(page, found, "card");
    }
    balance_table(page, day);
    place_table(page, day);
    if !day.accepted.is_empty() {
        page.push_str("<h3>Accepted</h3>\n");
        day.accepted.iter().for_each(|found| card(page, found, "card calm"));
    }
    attention_table(page, &day.attention, day.more_attention);
    if !day.changes.is_empty() {
        let list: Vec<String> =
            day.changes.iter().map(|change| format!("<li>{}</li>", escaped(change))).collect();
        let _ = writeln!(
            page,
            "<h3>What differs from revision {}</h3><ul>{}</ul>",
            day.revision.saturating_sub(1),
            list.concat()
        );
    }
}

fn card(page: &mut String, found: &Discrepancy, class: &str) {
    let _ = write!(
        page,
        "<div class=\"{class}\"><strong>{}</strong> in {}: {}",
        escaped(&found.kind.replace('_', " ")),
        escaped(found.place),
        escaped(&found.detail)
    );
    if let Some(batch_id) = &found.batch_id {
        let _ = write!(page, "<br>batch <code>{}</code>", escaped(batch_id));
    }
    if !found.documents.is_empty() {
        let _ = write!(page, "<br>documents: {}", codes(found.documents.iter().map(String::as_str)));
    }
    if !found.records.is_empty() {
        let records = found.records.iter().map(|record| {
            let pairs: Vec<String> = record.iter().map(|(name, value)| format!("{name} {value}")).collect();
            pairs.join(", ")
        });
        let records: Vec<String> = records.collect();
        let _ = write!(page, "<br>records: {}", codes(records.iter().map(String::as_str)));
    }
    if found.more > 0 {
        let _ = write!(page, " and {} more", found.more);
    }
    match &found.accepted {
        None => {
            let _ = write!(page, "<br>to mend it: <code>{}</code>", escaped(&found.command));
        }
        Some(accepted) => {
            let _ = write!(
                page,
                "<br>accepted by {} at {}: {}",
                escaped(&accepted.operator),
                escaped(&accepted.at),
                escaped(&accepted.reason)
            );
        }
    }
    let _ = writeln!(page, " <span class=\"small\">({})</span></div>", escaped(&found.id));
}

fn codes<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let codes: Vec<String> = texts.map(|text| format!("<code>{}</code>", escaped(text))).collect();
    codes.join(", ")
}

fn balance_table(page: &mut String, day: &DayReport) {
    page.push_str("<table><caption>Where every document is</caption><tbody>\n");
    let mut line = |name: &str, count: String| {
        let _ = writeln!(page, "<tr><th scope=\"row\">{name}</th><td class=\"n\">{count}</td></tr>");
    };
    line("received", day.balance.received.to_string());
    day.balance.lines().iter().for_each(|(name, count)| line(name, count.to_string()));
    line("difference", day.balance.difference.to_string());
    page.push_str("</tbody></table>\n");
}

fn place_table(page: &mut String, day: &DayReport) {
    page.push_str("<table><caption>Place against place</caption><thead><tr><th>place</th><th>what</th>");
    for word in ["expected", "ok", "lost", "duplicated", "unexpected"] {
        let _ = write!(page, "<th class=\"n\">{word}</th>");
    }
    page.push_str("</tr></thead><tbody>\n");
    for place in &day.places {
        let _ = write!(page, "<tr><td>{}</td><td>{}</td>", place.place, place.unit);
        if let Some(why) = place.unasked {
            let _ = writeln!(page, "<td colspan=\"5\">not asked: {}</td></tr>", escaped(why));
            continue;
        }
        for count in [place.expected, place.ok, place.lost, place.duplicated, place.unexpected] {
            let _ = write!(page, "<td class=\"n\">{count}</td>");
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table>\n");
}

fn attention_table(page: &mut String, attention: &[Attention], more: u64) {
    if attention.is_empty() {
        return;
    }
    page.push_str(
        "<table><caption>Needs a person, though nothing is lost</caption><thead><tr><th>what</th><th>why</th><th>command\
         </th></tr></thead><tbody>\n",
    );
    for Attention { what, cause, command } in attention {
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td>{}</td><td><code>{}</code></td></tr>",
            escaped(what),
            escaped(cause),
            escaped(command)
        );
    }
    page.push_str("</tbody></table>\n");
    if more > 0 {
        let _ = writeln!(page, "<p>and {more} more</p>");
    }
}

/// Text that means nothing but itself in HTML.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::model::{Balance, PlaceLine};

    fn report() -> Report {
        let found = Discrepancy {
            id: "0123456789ab".to_owned(),
            kind: "changed_rows",
            word: "unexpected",
            place: "warehouse",
            batch_id: Some("20261120T101500Z-00000000000000aa".to_owned()),
            documents: vec!["<script>alert('x')</script>.txt".to_owned()],
            records: vec![[("customer_id".to_owned(), "\"Anvils\" & Co.".to_owned())].into()],
            more: 2,
            detail: "1 row of invoices: not as loaded".to_owned(),
            command: "sluicegate reconcile --accept 0123456789ab --because 'why'".to_owned(),
            accepted: None,
        };
        let day = DayReport {
            job: "invoices".to_owned(),
            day: "2026-11-20".parse().unwrap(),
            balanced: false,
            closed: false,
            revision: 2,
            balance: Balance { received: 3, loaded: 3, ..Balance::default() },
            places: vec![PlaceLine {
                place: "warehouse",
                unit: "rows",
                expected: 9,
                ok: 8,
                ..PlaceLine::default()
            }],
            discrepancies: vec![found],
            accepted: Vec::new(),
            attention: Vec::new(),
            more_attention: 0,
            changes: vec!["new: 0123456789ab".to_owned()],
            control: String::new(),
        };
        let today = day.day;
        Report::new(vec![day], today, "2026-11-21T02:30:00.000000Z".to_owned())
    }

    #[test]
    fn the_page_needs_nothing_else_and_says_the_verdict_first() {
        let page = page(&report());
        let verdict = page.find("<h1 class=\"bad\">Not balanced</h1>").unwrap();
        assert!(verdict < page.find("<table>").unwrap());
        for outside in ["<script", "http:", "https:", "src=", "<link", "url(", "@import"] {
            assert!(!page.contains(outside), "{outside}");
        }
        for needed in ["prefers-color-scheme: dark", "@media print", "--accept 0123456789ab", "and 2 more"] {
            assert!(page.contains(needed), "{needed}");
        }
    }

    #[test]
    fn what_customers_write_means_nothing_but_itself() {
        let page = page(&report());
        assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;.txt"));
        assert!(page.contains("&quot;Anvils&quot; &amp; Co."));
    }

    #[test]
    fn the_csv_has_a_line_for_every_fact() {
        let text = crate::report::csv(&report());
        assert!(text.starts_with("job,day,section,what,count,id,detail,command\n"));
        assert!(text.contains("invoices,2026-11-20,balance,received,3,,,\n"), "{text}");
        assert!(text.contains("invoices,2026-11-20,discrepancy,changed_rows,,0123456789ab,"), "{text}");
    }
}
