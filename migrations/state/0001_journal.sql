-- The journal: one row a notification, found again by its identity.
-- Times are fixed-width UTC text, so that they compare as text.

CREATE TABLE notification (
    notification_id     INTEGER PRIMARY KEY,
    job                 TEXT NOT NULL,
    bucket              TEXT NOT NULL,
    key                 TEXT NOT NULL,
    version_id          TEXT CHECK (version_id NOT IN ('', 'null')),
    etag                TEXT NOT NULL,
    sequencer           TEXT CHECK (sequencer <> ''),
    size                INTEGER CHECK (size >= 0),
    event_time          TEXT NOT NULL CHECK (event_time GLOB '????-??-??T??:??:??.??????Z'),
    event_name          TEXT NOT NULL,
    source              TEXT NOT NULL,
    expires_at          TEXT CHECK (expires_at GLOB '????-??-??T??:??:??.??????Z'),
    received_at         TEXT NOT NULL CHECK (received_at GLOB '????-??-??T??:??:??.??????Z'),
    redeliveries        INTEGER NOT NULL DEFAULT 0 CHECK (redeliveries >= 0),
    last_redelivered_at TEXT CHECK (last_redelivered_at GLOB '????-??-??T??:??:??.??????Z'),
    state               TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'batched')),
    batch_id            TEXT REFERENCES batch (batch_id),
    ordinal             INTEGER CHECK (ordinal >= 0),
    tries               INTEGER NOT NULL DEFAULT 0 CHECK (tries >= 0),
    next_try_at         TEXT CHECK (next_try_at GLOB '????-??-??T??:??:??.??????Z'),
    CHECK ((state = 'batched') = (batch_id IS NOT NULL)),
    CHECK ((batch_id IS NULL) = (ordinal IS NULL)),
    CHECK (state = 'pending' OR next_try_at IS NULL)
) STRICT;

-- The identity. The key comes first, so that the story of one key is a range of the same index.
CREATE UNIQUE INDEX notification_identity
    ON notification (key, bucket, coalesce(version_id, etag), coalesce(sequencer, ''));

-- What waits to be sealed, in sealing order: what expires first goes first, what never expires goes last.
CREATE INDEX notification_pending
    ON notification (job, expires_at IS NULL, expires_at, event_time, notification_id)
    WHERE state = 'pending';

-- What waits for its next try.
CREATE INDEX notification_deferred
    ON notification (next_try_at)
    WHERE state = 'pending' AND next_try_at IS NOT NULL;

-- Members of batches point at notifications, so what a notification says may never change.
CREATE TRIGGER notification_is_fixed
BEFORE UPDATE OF notification_id, job, bucket, key, version_id, etag, sequencer, size, event_time, event_name, source,
                 expires_at, received_at
ON notification
BEGIN
    SELECT RAISE(ABORT, 'what a notification says never changes');
END;

CREATE TRIGGER notification_is_kept
BEFORE DELETE ON notification
BEGIN
    SELECT RAISE(ABORT, 'the journal forgets no notification');
END;

-- REPLACE deletes without telling the trigger above, so it is refused here.
CREATE TRIGGER notification_is_not_replaced
BEFORE INSERT ON notification
WHEN EXISTS (SELECT 1 FROM notification WHERE notification_id = new.notification_id)
     OR EXISTS (
         SELECT 1 FROM notification
         WHERE key = new.key AND bucket = new.bucket
           AND coalesce(version_id, etag) = coalesce(new.version_id, new.etag)
           AND coalesce(sequencer, '') = coalesce(new.sequencer, '')
     )
BEGIN
    SELECT RAISE(ABORT, 'the journal forgets no notification');
END;

CREATE TRIGGER notification_begins_pending
BEFORE INSERT ON notification
WHEN new.state <> 'pending' OR new.tries <> 0 OR new.next_try_at IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'a notification begins pending and untried');
END;

-- A deferral is the only way back, and it counts: the number of tries is a part of the next batch's id.
CREATE TRIGGER notification_comes_back_counted
BEFORE UPDATE OF state ON notification
WHEN old.state = 'batched' AND new.state = 'pending'
     AND NOT (new.tries = old.tries + 1 AND new.next_try_at IS NOT NULL)
BEGIN
    SELECT RAISE(ABORT, 'a notification leaves its batch only as deferred, with one more try and its time');
END;

-- Totals by job, kept with the journal, so that nobody counts history.
CREATE TABLE journal_total (
    job          TEXT PRIMARY KEY,
    received     INTEGER NOT NULL DEFAULT 0 CHECK (received >= 0),
    redeliveries INTEGER NOT NULL DEFAULT 0 CHECK (redeliveries >= 0)
) STRICT, WITHOUT ROWID;

-- Messages that nobody could read, kept raw. The same body again is only counted.
CREATE TABLE unreadable (
    sha256        TEXT PRIMARY KEY CHECK (length(sha256) = 64),
    source        TEXT NOT NULL,
    body          BLOB NOT NULL,
    reason        TEXT NOT NULL,
    first_seen_at TEXT NOT NULL CHECK (first_seen_at GLOB '????-??-??T??:??:??.??????Z'),
    last_seen_at  TEXT NOT NULL CHECK (last_seen_at GLOB '????-??-??T??:??:??.??????Z'),
    seen          INTEGER NOT NULL CHECK (seen >= 1)
) STRICT;

CREATE INDEX unreadable_recent ON unreadable (last_seen_at);

-- Arrivals that make no notification. The job is empty where none is known.
CREATE TABLE counter (
    name    TEXT NOT NULL CHECK (name IN ('unrouted', 'test_event', 'ignored_event', 'ignored_key')),
    job     TEXT NOT NULL,
    count   INTEGER NOT NULL CHECK (count >= 1),
    last_at TEXT NOT NULL CHECK (last_at GLOB '????-??-??T??:??:??.??????Z'),
    PRIMARY KEY (name, job)
) STRICT, WITHOUT ROWID;
