-- The ledger (§7 of the design), in SQLite with the prefix sluicegate_. Times are RFC 3339 UTC text of fixed width.

CREATE TABLE sluicegate_ledger (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    id         TEXT NOT NULL,
    created_at TEXT NOT NULL
) STRICT;

-- The text of each job definition that ever made rows.
CREATE TABLE sluicegate_definition (
    hash          TEXT PRIMARY KEY,
    job           TEXT NOT NULL,
    text          TEXT NOT NULL,
    first_used_at TEXT NOT NULL
) STRICT;

-- One row a load: the batch key. Its insertion is the first statement of every attempt (I6).
CREATE TABLE sluicegate_batch (
    load_number     INTEGER PRIMARY KEY AUTOINCREMENT,
    batch_id        TEXT NOT NULL UNIQUE,
    job             TEXT NOT NULL,
    documents       INTEGER NOT NULL CHECK (documents >= 0),
    rows            INTEGER NOT NULL CHECK (rows >= 0),
    sealed_at       TEXT NOT NULL,
    loaded_at       TEXT NOT NULL,
    published_at    TEXT,
    crawl_id        TEXT,
    definition_hash TEXT NOT NULL REFERENCES sluicegate_definition (hash) DEFERRABLE INITIALLY DEFERRED,
    archive_key     TEXT NOT NULL,
    incarnation     TEXT NOT NULL,
    parents         TEXT NOT NULL DEFAULT '[]',
    replay          INTEGER NOT NULL DEFAULT 0,
    CHECK (crawl_id IS NULL OR published_at IS NOT NULL)
) STRICT;
CREATE INDEX sluicegate_batch_unpublished ON sluicegate_batch (job, loaded_at) WHERE published_at IS NULL;
CREATE INDEX sluicegate_batch_unadopted ON sluicegate_batch (job, published_at)
    WHERE crawl_id IS NULL AND published_at IS NOT NULL;
CREATE INDEX sluicegate_batch_crawl ON sluicegate_batch (crawl_id) WHERE crawl_id IS NOT NULL AND crawl_id <> 'none';

-- One row a document: the present outcome and the batch that decided it. `claimed` never survives a COMMIT.
CREATE TABLE sluicegate_document (
    job       TEXT NOT NULL,
    bucket    TEXT NOT NULL,
    key       TEXT NOT NULL,
    version   TEXT NOT NULL,
    batch_id  TEXT NOT NULL REFERENCES sluicegate_batch (batch_id),
    ordinal   INTEGER NOT NULL,
    outcome   TEXT NOT NULL CHECK (outcome IN ('claimed', 'loaded', 'rejected', 'duplicate', 'conflict',
                                               'superseded', 'missing', 'expired', 'abandoned')),
    reason    TEXT NOT NULL DEFAULT '',
    sha256    TEXT,
    rows      INTEGER NOT NULL DEFAULT 0,
    size      INTEGER NOT NULL,
    etag      TEXT NOT NULL,
    landed_at TEXT NOT NULL,
    day       TEXT NOT NULL,
    PRIMARY KEY (job, bucket, key, version)
) STRICT, WITHOUT ROWID;
CREATE INDEX sluicegate_document_day ON sluicegate_document (job, day, outcome);
CREATE INDEX sluicegate_document_batch ON sluicegate_document (batch_id, ordinal);
CREATE INDEX sluicegate_document_key ON sluicegate_document (key);

-- What each batch said about each of its members; never changed, never deleted.
CREATE TABLE sluicegate_verdict (
    batch_id TEXT NOT NULL REFERENCES sluicegate_batch (batch_id),
    ordinal  INTEGER NOT NULL,
    job      TEXT NOT NULL,
    bucket   TEXT NOT NULL,
    key      TEXT NOT NULL,
    version  TEXT NOT NULL,
    outcome  TEXT NOT NULL CHECK (outcome IN ('loaded', 'rejected', 'duplicate', 'conflict', 'superseded', 'missing',
                                              'expired', 'abandoned', 'again', 'deferred')),
    reason   TEXT NOT NULL DEFAULT '',
    rows     INTEGER NOT NULL DEFAULT 0,
    at       TEXT NOT NULL,
    PRIMARY KEY (batch_id, ordinal)
) STRICT, WITHOUT ROWID;
CREATE INDEX sluicegate_verdict_key ON sluicegate_verdict (key);
CREATE TRIGGER sluicegate_verdict_kept BEFORE UPDATE ON sluicegate_verdict
BEGIN SELECT RAISE(ABORT, 'verdicts are append-only'); END;
CREATE TRIGGER sluicegate_verdict_never_deleted BEFORE DELETE ON sluicegate_verdict
BEGIN SELECT RAISE(ABORT, 'verdicts are append-only'); END;

-- Where and why a document was rejected or conflicted.
CREATE TABLE sluicegate_reject (
    batch_id TEXT NOT NULL REFERENCES sluicegate_batch (batch_id),
    ordinal  INTEGER NOT NULL,
    key      TEXT NOT NULL,
    line     INTEGER,
    place    TEXT,
    reason   TEXT NOT NULL,
    text     TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (batch_id, ordinal)
) STRICT, WITHOUT ROWID;

-- Records that a load skipped: already there with the same content (`duplicate`), or older than what is there (`older`).
CREATE TABLE sluicegate_refused (
    batch_id       TEXT NOT NULL REFERENCES sluicegate_batch (batch_id),
    ordinal        INTEGER NOT NULL,
    record         INTEGER NOT NULL,
    table_name     TEXT NOT NULL,
    record_key     TEXT NOT NULL,
    reason         TEXT NOT NULL CHECK (reason IN ('duplicate', 'older')),
    other_batch_id TEXT NOT NULL,
    PRIMARY KEY (batch_id, ordinal, record)
) STRICT, WITHOUT ROWID;

-- Records that a later one overwrote (`on_conflict = "replace"`).
CREATE TABLE sluicegate_replaced (
    batch_id          TEXT NOT NULL,
    table_name        TEXT NOT NULL,
    record_key        TEXT NOT NULL,
    source_order      TEXT NOT NULL,
    rows              INTEGER NOT NULL,
    sums              TEXT NOT NULL,
    digest            TEXT NOT NULL,
    by_batch_id       TEXT NOT NULL,
    at                TEXT NOT NULL,
    PRIMARY KEY (batch_id, table_name, record_key, source_order)
) STRICT, WITHOUT ROWID;

-- The control totals, fixed by the COMMIT (I5). `sums` is a JSON object: decimal column → exact sum as a string.
CREATE TABLE sluicegate_batch_table (
    batch_id   TEXT NOT NULL REFERENCES sluicegate_batch (batch_id),
    table_name TEXT NOT NULL,
    position   INTEGER NOT NULL,
    rows       INTEGER NOT NULL,
    sums       TEXT NOT NULL,
    digest     TEXT NOT NULL,
    csv_key    TEXT,
    csv_bytes  INTEGER NOT NULL,
    csv_sha256 TEXT NOT NULL,
    PRIMARY KEY (batch_id, table_name),
    CHECK ((csv_key IS NULL) = (rows = 0))
) STRICT, WITHOUT ROWID;

-- One row a window that had something to cover (I8).
CREATE TABLE sluicegate_crawl (
    crawl_id    TEXT PRIMARY KEY,
    job         TEXT NOT NULL,
    window_end  TEXT NOT NULL,
    early       INTEGER NOT NULL DEFAULT 0 CHECK (early IN (0, 1)),
    state       TEXT NOT NULL CHECK (state IN ('claimed', 'running', 'succeeded', 'failed', 'given_up')),
    owner       TEXT NOT NULL,
    lease_until TEXT NOT NULL,
    batches     INTEGER NOT NULL CHECK (batches > 0),
    attempts    INTEGER NOT NULL DEFAULT 0,
    claimed_at  TEXT NOT NULL,
    started_at  TEXT,
    finished_at TEXT,
    message     TEXT,
    UNIQUE (job, window_end)
) STRICT;
CREATE INDEX sluicegate_crawl_open ON sluicegate_crawl (job, window_end) WHERE state IN ('claimed', 'running', 'failed');

CREATE TABLE sluicegate_crawl_attempt (
    crawl_id      TEXT NOT NULL REFERENCES sluicegate_crawl (crawl_id),
    attempt       INTEGER NOT NULL,
    owner         TEXT NOT NULL,
    glue_crawl_id TEXT,
    state         TEXT NOT NULL CHECK (state IN ('running', 'succeeded', 'failed', 'given_up', 'died')),
    started_at    TEXT NOT NULL,
    finished_at   TEXT,
    message       TEXT,
    PRIMARY KEY (crawl_id, attempt)
) STRICT, WITHOUT ROWID;

-- Who is alive, by the ledger's clock (I11).
CREATE TABLE sluicegate_machine (
    incarnation TEXT PRIMARY KEY,
    host        TEXT NOT NULL,
    seen_at     TEXT NOT NULL
) STRICT;

-- The hourly listing of each landing: one claim an hour in the whole fleet.
CREATE TABLE sluicegate_listing (
    job        TEXT PRIMARY KEY,
    owner      TEXT NOT NULL,
    claimed_at TEXT NOT NULL
) STRICT;

-- What people did by hand.
CREATE TABLE sluicegate_operation (
    operation_id INTEGER PRIMARY KEY,
    operator     TEXT NOT NULL,
    at           TEXT NOT NULL,
    command      TEXT NOT NULL,
    reason       TEXT NOT NULL,
    detail       TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE TABLE sluicegate_reconciliation (
    job      TEXT NOT NULL,
    day      TEXT NOT NULL,
    revision INTEGER NOT NULL,
    verdict  TEXT NOT NULL,
    at       TEXT NOT NULL,
    closed   INTEGER NOT NULL DEFAULT 0,
    report   TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY (job, day, revision)
) STRICT, WITHOUT ROWID;
