//! The way in: an empty database, passwords, errors, TLS.

use std::path::Path;

use sluicegate::config::Secret;
use sluicegate::failure::{Failure, FailureKind};
use sluicegate::ports::warehouse::Warehouse;
use sluicegate::postgres::{PostgresWarehouse, Recent};
use sluicegate_state::seam::Seam;

use crate::openssl::{is_there, openssl};
use crate::program::until;
use crate::server::Database;

const PASSWORD: &str = "hunter2/&?@ é";

fn open(url: &str) -> Result<PostgresWarehouse, Failure> {
    PostgresWarehouse::open(&Secret::new(url), "ledger", "test", &Recent::default(), Seam::default())
}

fn refused(url: &str) -> Failure {
    open(url).err().expect("this address lets nobody in")
}

#[test]
fn several_processes_may_start_on_an_empty_database() {
    let Some(database) = Database::new() else { return };
    let ids: Vec<String> = std::thread::scope(|scope| {
        let url = database.url.as_str();
        let start = |number: u32| {
            scope.spawn(move || {
                let id = format!("ledger {number}");
                let recent = Recent::default();
                let mut warehouse =
                    PostgresWarehouse::open(&Secret::new(url), &id, "test", &recent, Seam::default())
                        .unwrap();
                warehouse.prepare(&crate::published::schema()).unwrap();
                warehouse.identity().unwrap().id
            })
        };
        let started: Vec<_> = (0..6).map(start).collect();
        started.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0]), "there is one ledger: {ids:?}");
}

#[test]
fn a_ledger_of_a_newer_program_is_refused() {
    let Some(database) = Database::new() else { return };
    open(&database.url).unwrap();
    database.shell().batch_execute("UPDATE sluicegate.schema_version SET version = 99").unwrap();
    let failure = refused(&database.url);
    assert_eq!(failure.kind, FailureKind::WrongLedger);
    assert!(failure.message.contains("99") && failure.message.contains("newer"), "{failure}");
}

#[test]
fn what_is_wrong_with_an_address_is_told_without_the_password() {
    let Some(database) = Database::new() else { return };
    let port = database.url.rsplit_once(':').unwrap().1.split_once('/').unwrap().0.to_owned();
    let cases = [
        (format!("postgres://postgres:hunter2@127.0.0.1:{port}/not_there"), FailureKind::Permanent, "3D000"),
        ("postgres://postgres:hunter2@127.0.0.1:1/x".to_owned(), FailureKind::Transient, "127.0.0.1:1"),
        ("postgres://postgres:hunter2@no.such.host.invalid/x".to_owned(), FailureKind::Transient, "no.such"),
        (
            format!("{}?sslmode=verify-full&sslrootcert=/not/there", database.url),
            FailureKind::Permanent,
            "/not/there",
        ),
        (format!("{}?passfile=/not/there", database.url), FailureKind::Permanent, "/not/there"),
    ];
    for (url, kind, word) in cases {
        let failure = refused(&url);
        assert!(
            failure.kind == kind && failure.message.contains(word),
            "{word}: {:?} {failure}",
            failure.kind
        );
        assert!(!failure.message.contains("hunter2"), "{failure}");
    }
}

#[test]
fn a_right_that_is_missing_is_named() {
    let Some(database) = Database::new() else { return };
    let role = "sluicegate_nobody";
    let _ = database.shell().batch_execute(&format!("CREATE ROLE {role} LOGIN"));
    let url = database.url.replacen("postgres://postgres@", &format!("postgres://{role}@"), 1);
    let failure = refused(&url);
    assert_eq!(failure.kind, FailureKind::Permanent);
    assert!(failure.message.contains("42501") && failure.message.contains("grant"), "{failure}");
}

#[test]
fn passwords_come_from_the_url_or_a_file_and_are_never_told() {
    let Some(database) = Database::new() else { return };
    let role = "sluicegate_password";
    let mut shell = database.shell();
    let _ = shell.batch_execute(&format!("CREATE ROLE {role} LOGIN SUPERUSER"));
    shell.batch_execute(&format!("ALTER ROLE {role} PASSWORD '{PASSWORD}'")).unwrap();
    let url = |password: &str| database.url.replacen("postgres@", &format!("{role}{password}@"), 1);
    let wrong = match open(&url(":wrong%20hunter3")) {
        Ok(_) => return println!("skipped: this server lets {role} in without a password"),
        Err(failure) => failure,
    };
    assert_eq!(wrong.kind, FailureKind::Permanent);
    assert!(wrong.message.contains("28P01") && !wrong.message.contains("hunter3"), "{wrong}");
    open(&url(":hunter2%2F%26%3F%40%20%C3%A9")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        restrict(&path);
        path.display().to_string()
    };
    let passfile = file("pass", &format!("127.0.0.1:*:*:{role}:{PASSWORD}\n"));
    open(&format!("{}?passfile={passfile}", url(""))).unwrap();
    let password_file = file("password", &format!("{PASSWORD}\n"));
    open(&format!("{}?password_file={password_file}", url(""))).unwrap();
    let stale = file("stale", "127.0.0.1:*:*:*:hunter4\n");
    let failure = refused(&format!("{}?passfile={stale}", url("")));
    assert!(!failure.message.contains("hunter4"), "{failure}");
    let none = refused(&url(""));
    assert_eq!(none.kind, FailureKind::Permanent, "{none}");
}

fn restrict(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// An authority, a certificate of its for `localhost`, and a stranger's authority.
fn certificates(folder: &Path) {
    let authority = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj";
    openssl(folder, &format!("{authority} /CN=ours -keyout ca.key -out ca.pem"));
    openssl(folder, &format!("{authority} /CN=stranger -keyout other.key -out other.pem"));
    openssl(
        folder,
        "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout server.key -out server.csr",
    );
    std::fs::write(folder.join("san"), "subjectAltName=DNS:localhost\n").unwrap();
    openssl(
        folder,
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san -out server.pem",
    );
}

/// Gives the server the certificate, through SQL alone; false where the test may not.
fn install(database: &Database, folder: &Path) -> bool {
    let mut shell = database.shell();
    for (file, place) in [("server.pem", "sluicegate_test.crt"), ("server.key", "sluicegate_test.key")] {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let sql = format!(
            "COPY (SELECT unnest(string_to_array('{}', '|'))) TO PROGRAM 'umask 077; cat > {place}'",
            lines.join("|")
        );
        if let Err(error) = shell.batch_execute(&sql) {
            println!("skipped: the server takes no certificate from this user: {error}");
            return false;
        }
    }
    for setting in
        ["ssl_cert_file = 'sluicegate_test.crt'", "ssl_key_file = 'sluicegate_test.key'", "ssl = on"]
    {
        shell.batch_execute(&format!("ALTER SYSTEM SET {setting}")).unwrap();
    }
    shell.batch_execute("SELECT pg_reload_conf()").unwrap();
    until("the server takes the certificate", || (database.select("SHOW ssl") == [["on"]]).then_some(true))
}

#[test]
fn tls_is_verified_as_much_as_sslmode_says() {
    let Some(database) = Database::new() else { return };
    if !is_there("TLS") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    if !install(&database, folder.path()) {
        return;
    }
    let named = database.url.replacen("127.0.0.1", "localhost", 1);
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (ours, strangers) = (file("ca.pem"), file("other.pem"));
    for url in [
        format!("{named}?sslmode=verify-full&sslrootcert={ours}"),
        format!("{}?sslmode=verify-ca&sslrootcert={ours}", database.url),
        format!("{}?sslmode=require", database.url),
        format!("{}?sslmode=prefer", database.url),
    ] {
        open(&url).unwrap_or_else(|failure| panic!("{url}: {failure}"));
        let sql = "SELECT count(*) > 0 FROM pg_stat_ssl WHERE ssl";
        assert_eq!(database.select(sql).len(), 1);
    }
    for (url, word) in [
        (format!("{}?sslmode=verify-full&sslrootcert={ours}", database.url), "not valid for name"),
        (format!("{named}?sslmode=verify-full&sslrootcert={strangers}"), "certificate"),
        (format!("{named}?sslmode=verify-ca&sslrootcert={strangers}"), "certificate"),
        (format!("{named}?sslmode=require&sslrootcert={strangers}"), "certificate"),
        (format!("{named}?sslmode=verify-full"), "certificate"),
    ] {
        let failure = refused(&url);
        assert_eq!(failure.kind, FailureKind::Permanent, "{url}: {failure}");
        assert!(
            failure.message.contains(word) && failure.message.contains("sslrootcert"),
            "{url}: {failure}"
        );
    }
}
