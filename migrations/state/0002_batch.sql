-- Batches, their members, and the log of their transitions.
-- The triggers repeat the table of state/src/machine.rs; a test compares the two.

CREATE TABLE batch (
    batch_id          TEXT PRIMARY KEY
                      CHECK (batch_id GLOB '????????T??????Z-????????????????' AND length(batch_id) = 33),
    job               TEXT NOT NULL,
    state             TEXT NOT NULL
                      CHECK (state IN ('sealed', 'archived', 'loaded', 'published', 'failed', 'abandoned')),
    failed_from       TEXT CHECK (failed_from IN ('sealed', 'archived', 'loaded')),
    documents         INTEGER NOT NULL CHECK (documents >= 1),
    bytes             INTEGER NOT NULL CHECK (bytes >= 0),
    estimated_rows    INTEGER NOT NULL CHECK (estimated_rows >= 0),
    oldest_event_time TEXT NOT NULL CHECK (oldest_event_time GLOB '????-??-??T??:??:??.??????Z'),
    earliest_expiry   TEXT CHECK (earliest_expiry GLOB '????-??-??T??:??:??.??????Z'),
    early             INTEGER NOT NULL CHECK (early IN (0, 1)),
    sealed_at         TEXT NOT NULL CHECK (sealed_at GLOB '????-??-??T??:??:??.??????Z'),
    incarnation       TEXT NOT NULL,
    definition_hash   TEXT NOT NULL,
    -- For a replay: its parents as a JSON array of batch ids, and its number.
    parents           TEXT CHECK (json_valid(parents)),
    replay            INTEGER NOT NULL DEFAULT 0 CHECK (replay >= 0),
    -- Sealed elsewhere, or by an earlier life of this machine, and found in the archive.
    adopted           INTEGER NOT NULL DEFAULT 0 CHECK (adopted IN (0, 1)),
    -- Members that went back to the journal to be tried in a later batch.
    deferred          INTEGER NOT NULL DEFAULT 0 CHECK (deferred BETWEEN 0 AND documents),
    -- Transient failures since the batch entered its state; back-off counts them.
    failures          INTEGER NOT NULL DEFAULT 0 CHECK (failures >= 0),
    next_try_at       TEXT CHECK (next_try_at GLOB '????-??-??T??:??:??.??????Z'),
    last_error        TEXT,
    -- The last transition. A trigger copies it into the log, so no state changes unlogged.
    event             TEXT NOT NULL
                      CHECK (event IN ('sealed', 'archived', 'loaded', 'published', 'failed', 'resumed', 'abandoned')),
    changed_at        TEXT NOT NULL CHECK (changed_at GLOB '????-??-??T??:??:??.??????Z'),
    changed_by        TEXT NOT NULL,
    cause             TEXT NOT NULL,
    CHECK ((state = 'failed') = (failed_from IS NOT NULL)),
    CHECK (next_try_at IS NULL OR state IN ('sealed', 'archived', 'loaded')),
    CHECK ((parents IS NULL) = (replay = 0))
) STRICT;

-- Work to do, oldest seal first. History is not in it.
CREATE INDEX batch_unfinished
    ON batch (state, sealed_at, batch_id)
    WHERE state IN ('sealed', 'archived', 'loaded');

CREATE INDEX batch_retry
    ON batch (next_try_at)
    WHERE next_try_at IS NOT NULL AND state IN ('sealed', 'archived', 'loaded');

CREATE INDEX batch_by_age ON batch (sealed_at, batch_id);
CREATE INDEX batch_by_job ON batch (job, sealed_at, batch_id);
-- Counts by state, and the open batches of one job.
CREATE INDEX batch_by_state ON batch (job, state);

CREATE TABLE member (
    batch_id        TEXT NOT NULL REFERENCES batch (batch_id),
    ordinal         INTEGER NOT NULL CHECK (ordinal >= 0),
    notification_id INTEGER NOT NULL REFERENCES notification (notification_id),
    tries           INTEGER NOT NULL CHECK (tries >= 0),
    PRIMARY KEY (batch_id, ordinal),
    UNIQUE (notification_id, batch_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE transition (
    transition_id INTEGER PRIMARY KEY,
    batch_id      TEXT NOT NULL REFERENCES batch (batch_id),
    from_state    TEXT CHECK (from_state IN ('sealed', 'archived', 'loaded', 'failed')),
    to_state      TEXT NOT NULL
                  CHECK (to_state IN ('sealed', 'archived', 'loaded', 'published', 'failed', 'abandoned')),
    event         TEXT NOT NULL
                  CHECK (event IN ('sealed', 'archived', 'loaded', 'published', 'failed', 'resumed', 'abandoned')),
    at            TEXT NOT NULL CHECK (at GLOB '????-??-??T??:??:??.??????Z'),
    incarnation   TEXT NOT NULL,
    cause         TEXT NOT NULL,
    CHECK ((from_state IS NULL) = (event = 'sealed'))
) STRICT;

CREATE INDEX transition_of_batch ON transition (batch_id, transition_id);

-- Batches ---------------------------------------------------------------------------------------------------------

CREATE TRIGGER batch_begins_sealed
BEFORE INSERT ON batch
WHEN new.state <> 'sealed' OR new.event <> 'sealed'
BEGIN
    SELECT RAISE(ABORT, 'a batch begins sealed');
END;

CREATE TRIGGER batch_is_not_replaced
BEFORE INSERT ON batch
WHEN EXISTS (SELECT 1 FROM batch WHERE batch_id = new.batch_id)
BEGIN
    SELECT RAISE(ABORT, 'this batch exists; batches are never merged or replaced');
END;

CREATE TRIGGER batch_is_kept
BEFORE DELETE ON batch
BEGIN
    SELECT RAISE(ABORT, 'batches are never deleted');
END;

CREATE TRIGGER batch_is_fixed
BEFORE UPDATE OF batch_id, job, documents, bytes, estimated_rows, oldest_event_time, earliest_expiry, early, sealed_at,
                 incarnation, definition_hash, parents, replay, adopted
ON batch
BEGIN
    SELECT RAISE(ABORT, 'what was sealed never changes');
END;

CREATE TRIGGER batch_moves_by_the_table
BEFORE UPDATE OF state, failed_from ON batch
WHEN (old.state <> new.state OR old.failed_from IS NOT new.failed_from)
     AND NOT coalesce(
         CASE new.event
             WHEN 'archived' THEN old.state = 'sealed' AND new.state = 'archived'
             WHEN 'loaded' THEN old.state = 'archived' AND new.state = 'loaded'
             WHEN 'published' THEN old.state = 'loaded' AND new.state = 'published'
             WHEN 'failed' THEN old.state IN ('sealed', 'archived', 'loaded')
                 AND new.state = 'failed' AND new.failed_from = old.state
             WHEN 'resumed' THEN old.state = 'failed' AND new.state = old.failed_from
             -- The rows of a loaded batch are in the warehouse: it can only go forward.
             WHEN 'abandoned' THEN new.state = 'abandoned'
                 AND (old.state IN ('sealed', 'archived') OR old.failed_from IN ('sealed', 'archived'))
         END, 0)
BEGIN
    SELECT RAISE(ABORT, 'no such batch transition');
END;

CREATE TRIGGER batch_event_goes_with_a_move
BEFORE UPDATE OF event, changed_at, changed_by, cause ON batch
WHEN old.state = new.state
BEGIN
    SELECT RAISE(ABORT, 'an event without a transition');
END;

CREATE TRIGGER batch_sealing_is_logged
AFTER INSERT ON batch
BEGIN
    INSERT INTO transition (batch_id, from_state, to_state, event, at, incarnation, cause)
    VALUES (new.batch_id, NULL, new.state, new.event, new.changed_at, new.changed_by, new.cause);
END;

CREATE TRIGGER batch_move_is_logged
AFTER UPDATE OF state ON batch
WHEN old.state <> new.state
BEGIN
    INSERT INTO transition (batch_id, from_state, to_state, event, at, incarnation, cause)
    VALUES (new.batch_id, old.state, new.state, new.event, new.changed_at, new.changed_by, new.cause);
END;

-- Members ---------------------------------------------------------------------------------------------------------

CREATE TRIGGER member_is_fixed
BEFORE UPDATE ON member
BEGIN
    SELECT RAISE(ABORT, 'the members of a batch never change');
END;

CREATE TRIGGER member_is_kept
BEFORE DELETE ON member
BEGIN
    SELECT RAISE(ABORT, 'the members of a batch never change');
END;

CREATE TRIGGER member_is_not_replaced
BEFORE INSERT ON member
WHEN EXISTS (
    SELECT 1 FROM member
    WHERE batch_id = new.batch_id AND (ordinal = new.ordinal OR notification_id = new.notification_id)
)
BEGIN
    SELECT RAISE(ABORT, 'the members of a batch never change');
END;

-- The batch row says how many members there are, so none can be added later.
CREATE TRIGGER member_is_counted
BEFORE INSERT ON member
WHEN NOT coalesce(new.ordinal < (SELECT documents FROM batch WHERE batch_id = new.batch_id), 0)
BEGIN
    SELECT RAISE(ABORT, 'the members of a batch never change');
END;

-- Only a replay may take what another batch had, and an adopted batch holds what its archive says.
CREATE TRIGGER member_is_free
BEFORE INSERT ON member
WHEN (SELECT state FROM notification WHERE notification_id = new.notification_id) IS NOT 'pending'
     AND (SELECT parents IS NULL AND adopted = 0 FROM batch WHERE batch_id = new.batch_id)
BEGIN
    SELECT RAISE(ABORT, 'this notification is in another batch');
END;

CREATE TRIGGER notification_is_a_member
BEFORE UPDATE OF state, batch_id, ordinal ON notification
WHEN new.state = 'batched' AND NOT EXISTS (
    SELECT 1 FROM member
    WHERE batch_id = new.batch_id AND ordinal = new.ordinal AND notification_id = new.notification_id
)
BEGIN
    SELECT RAISE(ABORT, 'this notification is no member of that batch');
END;

-- The log ---------------------------------------------------------------------------------------------------------

CREATE TRIGGER transition_is_fixed
BEFORE UPDATE ON transition
BEGIN
    SELECT RAISE(ABORT, 'the transition log is append-only');
END;

CREATE TRIGGER transition_is_kept
BEFORE DELETE ON transition
BEGIN
    SELECT RAISE(ABORT, 'the transition log is append-only');
END;

CREATE TRIGGER transition_is_not_replaced
BEFORE INSERT ON transition
WHEN EXISTS (SELECT 1 FROM transition WHERE transition_id = new.transition_id)
BEGIN
    SELECT RAISE(ABORT, 'the transition log is append-only');
END;

CREATE TRIGGER transition_is_true
BEFORE INSERT ON transition
WHEN NOT EXISTS (
    SELECT 1 FROM batch
    WHERE batch_id = new.batch_id AND state = new.to_state AND event = new.event AND changed_at = new.at
)
BEGIN
    SELECT RAISE(ABORT, 'the transition log holds only what happened');
END;

-- Per job: no loading while held_since is set.
CREATE TABLE job_control (
    job        TEXT PRIMARY KEY,
    held_since TEXT CHECK (held_since GLOB '????-??-??T??:??:??.??????Z'),
    reason     TEXT,
    CHECK (held_since IS NULL OR reason IS NOT NULL)
) STRICT, WITHOUT ROWID;
