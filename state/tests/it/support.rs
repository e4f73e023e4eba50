//! What every test needs: a store in a fresh folder, notifications, and a clock that stands where it is put.

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::Connection;
use sluicegate_state::seam::Seam;
use sluicegate_state::{
    Arrival, Batch, BatchEvent, BatchState, Incarnation, Limits, Moved, Notification, SealRequest, Store,
    Timestamp,
};
use tempfile::TempDir;

/// Who does things in tests.
pub(crate) const ME: &str = "me";

/// A store with one incarnation alive.
pub(crate) struct House {
    pub(crate) store: Store,
    pub(crate) _incarnation: Incarnation,
    folder: TempDir,
}

impl House {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path(), Seam::default()).unwrap();
        let incarnation = store.begin_incarnation(ME, "host", 1, "0", at(0)).unwrap();
        Self { store, _incarnation: incarnation, folder }
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// The same database as the `sqlite3` shell sees it: without our pragmas.
    pub(crate) fn shell(&self) -> Connection {
        let shell = Connection::open(self.folder.path().join("state.db")).unwrap();
        shell.pragma_update(None, "foreign_keys", false).unwrap();
        shell
    }

    /// Another process's view.
    pub(crate) fn again(&self, seam: Seam) -> Store {
        Store::open(self.folder.path(), seam).unwrap()
    }

    pub(crate) fn journal(&mut self, keys: &[&str]) {
        let arrivals: Vec<_> = keys.iter().map(|key| Arrival::Notification(notification(key))).collect();
        self.store.journal(&arrivals, at(0)).unwrap();
    }

    /// A sealed batch with these keys in it.
    pub(crate) fn sealed(&mut self, keys: &[&str]) -> Batch {
        self.journal(keys);
        self.store.seal(&forced(), at(1)).unwrap().unwrap()
    }

    /// A batch in a state, with where it failed from.
    pub(crate) fn batch_in(&mut self, key: &str, state: BatchState, from: Option<BatchState>) -> Batch {
        use BatchEvent as E;
        let id = self.sealed(&[key]).batch_id;
        let forward = |state| match state {
            BatchState::Archived => vec![E::Archived],
            BatchState::Loaded => vec![E::Archived, E::Loaded],
            BatchState::Published => vec![E::Archived, E::Loaded, E::Published],
            BatchState::Abandoned => vec![E::Abandoned],
            _ => vec![],
        };
        let mut events = forward(from.unwrap_or(state));
        if state == BatchState::Failed {
            events.push(E::Failed);
        }
        for event in events {
            assert_eq!(self.store.apply(&id, event, "test", ME, at(2)).unwrap(), Moved::Yes);
        }
        let batch = self.store.batch(&id).unwrap().unwrap();
        assert_eq!((batch.state, batch.failed_from), (state, from));
        batch
    }
}

/// A moment, in seconds after an arbitrary one.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(1_795_404_244 + seconds, 0).unwrap()
}

/// A notification of 100 bytes, as a folder's inbox makes them.
pub(crate) fn notification(key: &str) -> Notification {
    Notification {
        job: "invoices".into(),
        bucket: "local".into(),
        key: key.into(),
        version_id: None,
        etag: "100-1".into(),
        sequencer: None,
        size: Some(100),
        event_time: at(-60),
        event_name: "ObjectCreated:Put".into(),
        source: "folder".into(),
        expires_at: None,
    }
}

/// The defaults of a job.
pub(crate) fn limits() -> Limits {
    Limits {
        documents: 1_000,
        bytes: 64 << 20,
        rows: 200_000,
        bytes_per_row: 100,
        max_age: Duration::from_secs(5),
    }
}

/// Seal however little there is.
pub(crate) fn forced() -> SealRequest<'static> {
    SealRequest { job: "invoices", limits: limits(), force: true, incarnation: ME, definition_hash: "abc" }
}

/// Every state that a batch can be in, with where it failed from.
pub(crate) fn standings() -> Vec<(BatchState, Option<BatchState>)> {
    let mut standings = Vec::new();
    for state in BatchState::ALL {
        if *state == BatchState::Failed {
            let from = [BatchState::Sealed, BatchState::Archived, BatchState::Loaded];
            standings.extend(from.map(|from| (*state, Some(from))));
        } else {
            standings.push((*state, None));
        }
    }
    standings
}
