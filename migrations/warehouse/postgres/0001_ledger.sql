-- The ledger (§7 of the design). The schema `sluicegate` and its table `schema_version` are made before this runs.

-- The clock of everything in the ledger. A function of its own, so that a test can let it stand where it wants.
CREATE FUNCTION sluicegate.clock() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT pg_catalog.clock_timestamp()';

CREATE TABLE sluicegate.ledger (
    one        integer PRIMARY KEY CHECK (one = 1),
    id         text NOT NULL,
    created_at timestamptz NOT NULL
);

-- The text of each job definition that ever made rows.
CREATE TABLE sluicegate.definition (
    hash          text PRIMARY KEY,
    job           text NOT NULL,
    text          text NOT NULL,
    first_used_at timestamptz NOT NULL
);

-- One row a load: the batch key. Its insertion is the first statement of every attempt (I6).
CREATE TABLE sluicegate.batch (
    load_number     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch_id        text COLLATE "C" NOT NULL UNIQUE,
    job             text NOT NULL,
    documents       bigint NOT NULL CHECK (documents >= 0),
    rows            bigint NOT NULL CHECK (rows >= 0),
    sealed_at       timestamptz NOT NULL,
    loaded_at       timestamptz NOT NULL,
    published_at    timestamptz,
    crawl_id        text,
    definition_hash text NOT NULL REFERENCES sluicegate.definition (hash) DEFERRABLE INITIALLY DEFERRED,
    archive_key     text NOT NULL,
    incarnation     text NOT NULL,
    parents         jsonb NOT NULL DEFAULT '[]',
    replay          bigint NOT NULL DEFAULT 0,
    CHECK (crawl_id IS NULL OR published_at IS NOT NULL)
);
CREATE INDEX batch_unpublished ON sluicegate.batch (job, loaded_at) WHERE published_at IS NULL;
CREATE INDEX batch_unadopted ON sluicegate.batch (job, published_at)
    WHERE crawl_id IS NULL AND published_at IS NOT NULL;
CREATE INDEX batch_crawl ON sluicegate.batch (crawl_id) WHERE crawl_id IS NOT NULL AND crawl_id <> 'none';

-- One row a document: the present outcome and the batch that decided it. `claimed` never survives a COMMIT. Each row is
-- written twice by its load, as claimed and with its outcome; half-filled pages and no index over what changes make the
-- second time cheap.
CREATE TABLE sluicegate.document (
    job       text COLLATE "C" NOT NULL,
    bucket    text COLLATE "C" NOT NULL,
    key       text COLLATE "C" NOT NULL,
    version   text COLLATE "C" NOT NULL,
    batch_id  text COLLATE "C" NOT NULL REFERENCES sluicegate.batch (batch_id),
    ordinal   integer NOT NULL,
    outcome   text NOT NULL CHECK (outcome IN ('claimed', 'loaded', 'rejected', 'duplicate', 'conflict',
                                               'superseded', 'missing', 'expired', 'abandoned')),
    reason    text NOT NULL DEFAULT '',
    sha256    text,
    rows      bigint NOT NULL DEFAULT 0,
    size      bigint NOT NULL,
    etag      text NOT NULL,
    landed_at timestamptz NOT NULL,
    day       date NOT NULL,
    PRIMARY KEY (job, bucket, key, version)
) WITH (fillfactor = 50);
CREATE INDEX document_day ON sluicegate.document (job, day);
CREATE INDEX document_batch ON sluicegate.document (batch_id, ordinal);
CREATE INDEX document_key ON sluicegate.document (key);

-- What each batch said about each of its members; never changed, never deleted.
CREATE TABLE sluicegate.verdict (
    batch_id text COLLATE "C" NOT NULL REFERENCES sluicegate.batch (batch_id),
    ordinal  integer NOT NULL,
    job      text NOT NULL,
    bucket   text NOT NULL,
    key      text COLLATE "C" NOT NULL,
    version  text NOT NULL,
    outcome  text NOT NULL CHECK (outcome IN ('loaded', 'rejected', 'duplicate', 'conflict', 'superseded', 'missing',
                                              'expired', 'abandoned', 'again', 'deferred')),
    reason   text NOT NULL DEFAULT '',
    rows     bigint NOT NULL DEFAULT 0,
    at       timestamptz NOT NULL,
    PRIMARY KEY (batch_id, ordinal)
);
CREATE INDEX verdict_key ON sluicegate.verdict (key);

CREATE FUNCTION sluicegate.refuse_verdict_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'verdicts are append-only' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER verdict_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON sluicegate.verdict
    FOR EACH STATEMENT EXECUTE FUNCTION sluicegate.refuse_verdict_change();

-- Where and why a document was rejected or conflicted.
CREATE TABLE sluicegate.reject (
    batch_id text COLLATE "C" NOT NULL REFERENCES sluicegate.batch (batch_id),
    ordinal  integer NOT NULL,
    key      text NOT NULL,
    line     bigint,
    place    text,
    reason   text NOT NULL,
    text     text NOT NULL DEFAULT '',
    PRIMARY KEY (batch_id, ordinal)
);

-- Records that a load skipped: already there with the same content (`duplicate`), or older than what is there (`older`).
CREATE TABLE sluicegate.refused (
    batch_id       text COLLATE "C" NOT NULL REFERENCES sluicegate.batch (batch_id),
    ordinal        integer NOT NULL,
    record         bigint NOT NULL,
    table_name     text NOT NULL,
    record_key     text NOT NULL,
    reason         text NOT NULL CHECK (reason IN ('duplicate', 'older')),
    other_batch_id text NOT NULL,
    PRIMARY KEY (batch_id, ordinal, record)
);

-- Records that a later one overwrote (`on_conflict = "replace"`).
CREATE TABLE sluicegate.replaced (
    batch_id     text COLLATE "C" NOT NULL,
    table_name   text NOT NULL,
    record_key   text NOT NULL,
    source_order text COLLATE "C" NOT NULL,
    rows         bigint NOT NULL,
    sums         jsonb NOT NULL,
    digest       text NOT NULL,
    by_batch_id  text COLLATE "C" NOT NULL,
    at           timestamptz NOT NULL,
    PRIMARY KEY (batch_id, source_order, table_name, record_key)
);
CREATE INDEX replaced_by ON sluicegate.replaced (by_batch_id);

-- The control totals, fixed by the COMMIT (I5). `sums` is a JSON object: decimal column → exact sum as a string.
CREATE TABLE sluicegate.batch_table (
    batch_id   text COLLATE "C" NOT NULL REFERENCES sluicegate.batch (batch_id),
    table_name text NOT NULL,
    position   integer NOT NULL,
    rows       bigint NOT NULL,
    sums       jsonb NOT NULL,
    digest     text NOT NULL,
    csv_key    text,
    csv_bytes  bigint NOT NULL,
    csv_sha256 text NOT NULL,
    PRIMARY KEY (batch_id, table_name),
    CHECK ((csv_key IS NULL) = (rows = 0))
);

-- One row a window that had something to cover (I8).
CREATE TABLE sluicegate.crawl (
    crawl_id    text PRIMARY KEY,
    job         text NOT NULL,
    window_end  timestamptz NOT NULL,
    early       boolean NOT NULL DEFAULT false,
    state       text NOT NULL CHECK (state IN ('claimed', 'running', 'succeeded', 'failed', 'given_up')),
    owner       text NOT NULL,
    lease_until timestamptz NOT NULL,
    batches     bigint NOT NULL CHECK (batches > 0),
    attempts    bigint NOT NULL DEFAULT 0,
    claimed_at  timestamptz NOT NULL,
    started_at  timestamptz,
    finished_at timestamptz,
    message     text,
    UNIQUE (job, window_end)
);
CREATE INDEX crawl_open ON sluicegate.crawl (job, window_end) WHERE state IN ('claimed', 'running', 'failed');

CREATE TABLE sluicegate.crawl_attempt (
    crawl_id      text NOT NULL REFERENCES sluicegate.crawl (crawl_id),
    attempt       bigint NOT NULL,
    owner         text NOT NULL,
    glue_crawl_id text,
    state         text NOT NULL CHECK (state IN ('running', 'succeeded', 'failed', 'given_up', 'died')),
    started_at    timestamptz NOT NULL,
    finished_at   timestamptz,
    message       text,
    PRIMARY KEY (crawl_id, attempt)
);

-- Who is alive, by the ledger's clock (I11).
CREATE TABLE sluicegate.machine (
    incarnation text PRIMARY KEY,
    host        text NOT NULL,
    seen_at     timestamptz NOT NULL
);

-- The hourly listing of each landing: one claim an hour in the whole fleet.
CREATE TABLE sluicegate.listing (
    job        text PRIMARY KEY,
    owner      text NOT NULL,
    claimed_at timestamptz NOT NULL
);

-- What people did by hand.
CREATE TABLE sluicegate.operation (
    operation_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operator     text NOT NULL,
    at           timestamptz NOT NULL,
    command      text NOT NULL,
    reason       text NOT NULL,
    detail       text NOT NULL DEFAULT ''
);

CREATE TABLE sluicegate.reconciliation (
    job      text NOT NULL,
    day      date NOT NULL,
    revision bigint NOT NULL,
    verdict  text NOT NULL,
    at       timestamptz NOT NULL,
    closed   boolean NOT NULL DEFAULT false,
    report   jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (job, day, revision)
);
