//! A look at the server makes nothing, and names each right that the user lacks.

use postgres::Client;
use sluicegate::config::Secret;
use sluicegate::failure::FailureKind;
use sluicegate::ports::server::{LedgerFacts, ServerFacts};
use sluicegate::ports::warehouse::{Difference, Warehouse};
use sluicegate::postgres::{PostgresWarehouse, Recent, Wanted, inspect};
use sluicegate_state::seam::Seam;

use crate::published::schema;
use crate::server::Database;

fn look_as(url: &str, replaces: bool) -> ServerFacts {
    inspect(&Secret::new(url), &[Wanted { schema: &schema(), replaces }]).unwrap()
}

/// A role that is dropped with this, and a URL for it.
struct Role {
    name: String,
    url: String,
    server: String,
}

impl Role {
    /// One who may connect, and nothing else.
    fn new(database: &Database) -> Self {
        let name = format!("role_of_{}", database.url.rsplit_once('/').unwrap().1);
        let mut shell = database.shell();
        shell
            .batch_execute(&format!("DROP ROLE IF EXISTS {name}; CREATE ROLE {name} LOGIN PASSWORD 'x'"))
            .unwrap();
        let base = database.url.split_once("://").unwrap().1;
        let place = base.rsplit_once('@').map_or(base, |(_, place)| place);
        Self { url: format!("postgres://{name}:x@{place}"), name, server: database.url.clone() }
    }

    fn drop_from(self) {
        let mut shell = Client::connect(&self.server, postgres::NoTls).unwrap();
        shell.batch_execute(&format!("DROP OWNED BY {0}; DROP ROLE {0}", self.name)).unwrap();
    }
}

fn make(database: &Database) {
    let secret = database.secret();
    let mut warehouse =
        PostgresWarehouse::open(&secret, "the-ledger", "test", &Recent::default(), Seam::default()).unwrap();
    warehouse.prepare(&schema()).unwrap();
}

#[test]
fn a_look_makes_nothing() {
    let Some(database) = Database::new() else { return };
    for _ in 0..2 {
        let facts = look_as(&database.url, false);
        assert_eq!(facts.ledger, LedgerFacts::Missing);
        let missing = |table: &str| Difference::Missing { table: table.to_owned() };
        assert_eq!(facts.differences, [vec![missing("bills"), missing("bill_items")]]);
        assert_eq!(facts.missing_rights, [] as [&str; 0]);
        assert!(
            facts.version_number >= 100_000
                && facts.version.starts_with(&(facts.version_number / 10_000).to_string())
        );
        assert!(facts.sessions >= 1 && facts.most_sessions > 1 && facts.is_local, "{facts:?}");
    }
    let schemas = database.select("SELECT 1 FROM pg_namespace WHERE nspname = 'sluicegate'");
    assert!(schemas.is_empty());
    make(&database);
    let facts = look_as(&database.url, true);
    assert_eq!((facts.differences.concat(), facts.missing_rights), (Vec::new(), Vec::new()));
    let LedgerFacts::Current(identity) = facts.ledger else { panic!("{:?}", facts.ledger) };
    assert_eq!((identity.id.as_str(), identity.newest_batch), ("the-ledger", None));
}

#[test]
fn the_version_of_the_ledger_is_told() {
    let Some(database) = Database::new() else { return };
    make(&database);
    for (version, expected) in [(0, LedgerFacts::Older), (999, LedgerFacts::Newer)] {
        let update = format!("UPDATE sluicegate.schema_version SET version = {version}");
        database.shell().batch_execute(&update).unwrap();
        assert_eq!(look_as(&database.url, false).ledger, expected);
    }
}

#[test]
fn a_look_waits_for_nobody() {
    let Some(database) = Database::new() else { return };
    make(&database);
    let mut other = database.shell();
    let mut load = other.transaction().unwrap();
    load.batch_execute("LOCK TABLE bills, sluicegate.batch IN SHARE ROW EXCLUSIVE MODE").unwrap();
    assert!(matches!(look_as(&database.url, false).ledger, LedgerFacts::Current(_)));
    load.batch_execute("LOCK TABLE sluicegate.batch IN ACCESS EXCLUSIVE MODE").unwrap();
    let wanted = [Wanted { schema: &schema(), replaces: false }];
    let failure = inspect(&database.secret(), &wanted).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Transient, "{failure}");
    load.rollback().unwrap();
}

/// What is printed is what is missing: granting it, line by line, leaves nothing to say.
#[test]
fn each_missing_right_is_named_as_its_grant() {
    let Some(database) = Database::new() else { return };
    let role = Role::new(&database);
    let name = database.url.rsplit_once('/').unwrap().1;
    let mut shell = database.shell();
    shell
        .batch_execute(&format!(
            "REVOKE ALL ON DATABASE {name} FROM PUBLIC; GRANT CONNECT ON DATABASE {name} TO {}",
            role.name
        ))
        .unwrap();
    shell.batch_execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC").unwrap();
    let empty = look_as(&role.url, false);
    let expected = [
        format!("GRANT TEMPORARY ON DATABASE \"{name}\" TO \"{}\"", role.name),
        format!("GRANT CREATE ON DATABASE \"{name}\" TO \"{}\"", role.name),
        format!("GRANT CREATE ON SCHEMA \"public\" TO \"{}\"", role.name),
    ];
    assert_eq!(empty.missing_rights, expected);
    make(&database);
    let mut granted = Vec::new();
    // The schema first: what is in it shows only then.
    for _ in 0..3 {
        let facts = look_as(&role.url, true);
        assert_eq!(
            facts.missing_rights.is_empty(),
            matches!(facts.ledger, LedgerFacts::Current(_)),
            "{facts:?}"
        );
        for grant in facts.missing_rights {
            shell.batch_execute(&grant).unwrap();
            granted.push(grant);
        }
    }
    assert_eq!(look_as(&role.url, true).missing_rights, [] as [&str; 0]);
    let of_bills =
        format!("GRANT SELECT, INSERT, UPDATE, DELETE ON \"public\".\"bills\" TO \"{}\"", role.name);
    assert!(granted.contains(&of_bills), "{granted:#?}");
    assert!(granted.iter().all(|grant| !grant.contains("CREATE")), "nothing is to be made: {granted:#?}");
    // Each alone, taken away again.
    for grant in &granted {
        let revoke = grant.replacen("GRANT ", "REVOKE ", 1).replace(" TO ", " FROM ");
        shell.batch_execute(&revoke).unwrap();
        let missing = look_as(&role.url, true).missing_rights;
        assert!(missing.contains(grant), "{grant}: {missing:?}");
        shell.batch_execute(grant).unwrap();
    }
    role.drop_from();
}
