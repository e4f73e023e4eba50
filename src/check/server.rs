//! The database server.

use super::clock::clock;
use super::finding::{Finding, Report};
use crate::ports::server::{LedgerFacts, ServerFacts};

/// `GENERATED … AS IDENTITY`, `ON CONFLICT` and what else is used came earlier; 13 is the oldest that RDS still keeps.
const OLDEST: i32 = 130_000;
/// A machine has four sessions open while it works.
const SESSIONS_OF_A_MACHINE: i64 = 4;

/// What the facts mean.
pub fn server(facts: &ServerFacts) -> Vec<Finding> {
    let mut report = Report::new("warehouse");
    report.ok("", format!("{}, PostgreSQL {}", facts.location, facts.version));
    if facts.version_number < OLDEST {
        let found = format!("PostgreSQL {} is older than 13", facts.version);
        report.wrong("version", found, "upgrade the server");
    }
    tls(&mut report, facts);
    if !facts.fsync {
        let found = "fsync is off: the server forgets commits when it dies, and with them what was loaded";
        report.wrong("durability", found, "ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf()");
    }
    let free = facts.most_sessions - facts.sessions;
    if free < SESSIONS_OF_A_MACHINE {
        let found =
            format!("{} of {} sessions are taken; a machine needs four", facts.sessions, facts.most_sessions);
        report.note("sessions", found, "raise max_connections, or close what is idle");
    }
    rights(&mut report, facts);
    if facts.ledger == LedgerFacts::Missing {
        report.note("ledger", "not there yet", "nothing: the first drain makes it, in the schema sluicegate");
    } else if facts.ledger == LedgerFacts::Older {
        report.note("ledger", "made by an older version", "nothing: the next drain brings it up to date");
    } else if facts.ledger == LedgerFacts::Newer {
        report.wrong("ledger", "made by a newer version", "install the newer Sluicegate");
    }
    let mut findings = report.into_findings();
    findings.push(clock("the warehouse", facts.now - facts.asked_at));
    findings
}

fn tls(report: &mut Report, facts: &ServerFacts) {
    const PART: &str = "TLS";
    const TODO: &str =
        "add sslmode=verify-full&sslrootcert=/path/of/the/bundle.pem to the warehouse's address";
    match (&facts.tls, facts.is_verified) {
        (Some(version), true) => report.ok(PART, format!("{version}, and the server has proved who it is")),
        (Some(version), false) if facts.is_local => report.ok(PART, format!("{version}, on this machine")),
        (Some(version), false) => {
            report.note(PART, format!("{version}, but nobody knows which server answers"), TODO);
        }
        (None, _) if facts.is_local => report.ok(PART, "none; the server is on this machine"),
        (None, _) => report.wrong(PART, "the connection is not encrypted", TODO),
    }
}

fn rights(report: &mut Report, facts: &ServerFacts) {
    if facts.missing_rights.is_empty() {
        report.ok("rights", format!("{} may do what is needed", facts.user));
        return;
    }
    for grant in &facts.missing_rights {
        let words = grant.strip_prefix("GRANT ").unwrap_or(grant);
        let right = words.split(" TO ").next().unwrap_or(words);
        report.wrong("rights", format!("{} lacks {right}", facts.user), format!("{grant};"));
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::super::finding::Level;
    use super::*;

    fn facts() -> ServerFacts {
        let now = "2024-05-06T10:00:00Z".parse().unwrap();
        ServerFacts {
            location: "postgres://me@db:5432/books".to_owned(),
            is_local: false,
            version: "15.18".to_owned(),
            version_number: 150_018,
            tls: Some("TLSv1.3".to_owned()),
            is_verified: true,
            user: "me".to_owned(),
            database: "books".to_owned(),
            schema: "public".to_owned(),
            fsync: true,
            most_sessions: 100,
            sessions: 3,
            now,
            asked_at: now,
            ledger: LedgerFacts::Missing,
            missing_rights: Vec::new(),
            differences: Vec::new(),
        }
    }

    fn worst(facts: &ServerFacts) -> Vec<(String, Level)> {
        let findings = server(facts);
        let of_note = findings.into_iter().filter(|finding| finding.level != Level::Ok);
        of_note.map(|finding| (finding.what, finding.level)).collect()
    }

    fn one(what: &str, level: Level) -> Vec<(String, Level)> {
        vec![("warehouse: ledger".to_owned(), Level::Note), (what.to_owned(), level)]
    }

    #[test]
    fn each_fault_is_named_alone() {
        assert_eq!(worst(&facts()), one("x", Level::Ok)[..1]);
        for (faulty, what, level) in [
            (ServerFacts { version_number: 120_022, ..facts() }, "warehouse: version", Level::Wrong),
            (ServerFacts { is_verified: false, ..facts() }, "warehouse: TLS", Level::Note),
            (ServerFacts { tls: None, ..facts() }, "warehouse: TLS", Level::Wrong),
            (ServerFacts { fsync: false, ..facts() }, "warehouse: durability", Level::Wrong),
            (ServerFacts { sessions: 98, ..facts() }, "warehouse: sessions", Level::Note),
            (
                ServerFacts { missing_rights: vec!["GRANT X ON y TO me".to_owned()], ..facts() },
                "warehouse: rights",
                Level::Wrong,
            ),
            (
                ServerFacts { now: facts().now + TimeDelta::minutes(6), ..facts() },
                "clock, compared with the warehouse",
                Level::Wrong,
            ),
        ] {
            let mut found = worst(&faulty);
            found.sort_by_key(|(found, _)| found == what);
            assert_eq!(found, one(what, level));
        }
        let newer = worst(&ServerFacts { ledger: LedgerFacts::Newer, ..facts() });
        assert_eq!(newer, [("warehouse: ledger".to_owned(), Level::Wrong)]);
    }
}
