//! Goal: Athena keeps what the port promises, as far as a stand-in for it can show.

use std::path::PathBuf;

use sluicegate::aws::{AthenaOptions, AthenaQueryEngine};
use sluicegate::failure::Outcome;
use sluicegate::ports::query_engine::{Answer, Interrupt, QueryEngine};
use tempfile::TempDir;

use crate::emulator::{Emulator, Kind, emulator};
use crate::glue_tables;
use crate::published;
use crate::query_engine;

/// The suite publishes into a folder; what lies there is put into the bucket before each statement.
struct Following {
    engine: AthenaQueryEngine,
    emulator: Emulator,
    bucket: String,
    curated: PathBuf,
}

impl QueryEngine for Following {
    fn query(&mut self, sql: &str) -> Outcome<Answer> {
        glue_tables::upload(&self.emulator, &self.curated, &self.bucket, "csv");
        self.engine.query(sql)
    }
}

#[test]
fn athena_as_query_engine() {
    let Some(emulator) = emulator(Kind::Ministack) else { return };
    let mut folders: Vec<TempDir> = Vec::new();
    query_engine::query_engine_suite(&mut || {
        let folder = tempfile::tempdir().unwrap();
        let curated = folder.path().join("curated");
        folders.push(folder);
        let bucket = emulator.bucket();
        let database = glue_tables::create(&emulator, &published::schema(), &format!("s3://{bucket}/csv"));
        let options = AthenaOptions {
            workgroup: Some("primary".to_owned()),
            database: Some(database),
            output: Some(format!("s3://{bucket}/results/")),
        };
        let schemas = vec![published::schema()];
        let engine = AthenaQueryEngine::new(emulator.clients.clone(), options, schemas, Interrupt::default());
        let following = Following { engine, emulator: emulator.clone(), bucket, curated: curated.clone() };
        (Box::new(following) as Box<dyn QueryEngine>, curated)
    });
}
