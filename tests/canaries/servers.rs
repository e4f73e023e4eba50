//! Canaries in the adapters of S3 and PostgreSQL: the suite that each adapter must pass notices them, against a stand-in and
//! a real server.

use std::path::Path;

use sluicegate::aws::S3Store;
use sluicegate_state::canary::{Canary, Song};

use crate::bench::PostgresBench;
use crate::emulator::{Kind, emulator};
use crate::notice::{Panicked, listen};
use crate::object_store::{Place, object_store_suite};
use crate::server::server;
use crate::warehouse::warehouse_suite;

/// The suite of object stores over buckets of the stand-in; none where it does not run.
fn s3() -> Option<Result<(), Panicked>> {
    let emulator = emulator(Kind::Ministack)?;
    Some(listen(|| {
        object_store_suite(&mut || {
            let bucket = emulator.bucket();
            let (uploads, removals) =
                ((emulator.clone(), bucket.clone()), (emulator.clone(), bucket.clone()));
            Place {
                store: Box::new(S3Store::landing(emulator.clients.clone(), bucket)),
                upload: Box::new(move |key, bytes| uploads.0.upload(&uploads.1, key, bytes)),
                remove: Box::new(move |key| removals.0.remove(&removals.1, key)),
            }
        });
    }))
}

/// The suite of warehouses over databases of the server; none where it does not run.
fn postgres() -> Option<Result<(), Panicked>> {
    server()?;
    Some(listen(|| {
        warehouse_suite(&mut || Box::new(PostgresBench::new().expect("there is a server")));
    }))
}

type Suite = fn() -> Option<Result<(), Panicked>>;

/// Each with the adapter whose hook it is, and who notices it: a file, and words of what it says.
const CANARIES: [(Canary, &str, Suite, &str, &str); 3] = [
    // The case reads what it announced, byte for byte.
    (Canary::NoIfMatch, "S3", s3, "conformance/object_store.rs", "left == right"),
    (Canary::LedgerApart, "PostgreSQL", postgres, "conformance/warehouse/", "violates foreign key"),
    (Canary::RetryWithoutAsking, "PostgreSQL", postgres, "src/postgres/ledger.rs", "claimed document"),
];

#[test]
fn the_suites_of_adapters_notice_the_canaries_in_s3_and_postgresql() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(crate::PAGE)).unwrap();
    for (canary, adapter, suite, file, words) in CANARIES {
        let song = Song::of(canary);
        let Some(heard) = suite() else { continue };
        drop(song);
        let name = canary.name();
        let heard = heard.err().unwrap_or_else(|| panic!("{adapter}: nobody notices {name}"));
        assert!(heard.file.contains(file) && heard.words.contains(words), "{name} in {adapter}: {heard:?}");
        assert!(page.contains(&format!("| {adapter}: `{name}` | the suite of ")), "{name} in {adapter}");
    }
}
