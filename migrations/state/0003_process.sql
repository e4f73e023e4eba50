-- Who did what: incarnations of the program, their attempts at batches, their command lines; and small facts.

-- One row a process start. While it lives it holds a kernel lock on its file, so liveness is asked of the kernel.
CREATE TABLE incarnation (
    incarnation TEXT PRIMARY KEY,
    host        TEXT NOT NULL,
    pid         INTEGER NOT NULL,
    version     TEXT NOT NULL,
    started_at  TEXT NOT NULL CHECK (started_at GLOB '????-??-??T??:??:??.??????Z'),
    ended_at    TEXT CHECK (ended_at GLOB '????-??-??T??:??:??.??????Z'),
    ending      TEXT CHECK (ending IN ('ended', 'died')),
    CHECK ((ended_at IS NULL) = (ending IS NULL))
) STRICT;

CREATE INDEX incarnation_unended ON incarnation (incarnation) WHERE ended_at IS NULL;

CREATE TRIGGER incarnation_ends_once
BEFORE UPDATE OF ended_at, ending ON incarnation
WHEN old.ended_at IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'an incarnation ends once');
END;

CREATE TABLE attempt (
    attempt_id  INTEGER PRIMARY KEY,
    batch_id    TEXT NOT NULL REFERENCES batch (batch_id),
    stage       TEXT NOT NULL CHECK (stage IN ('archive', 'load', 'publish')),
    incarnation TEXT NOT NULL REFERENCES incarnation (incarnation),
    started_at  TEXT NOT NULL CHECK (started_at GLOB '????-??-??T??:??:??.??????Z'),
    ended_at    TEXT CHECK (ended_at GLOB '????-??-??T??:??:??.??????Z'),
    outcome     TEXT NOT NULL DEFAULT 'running'
                CHECK (outcome IN ('running', 'succeeded', 'transient', 'permanent', 'died', 'lost')),
    error       TEXT,
    CHECK ((outcome = 'running') = (ended_at IS NULL)),
    CHECK (outcome NOT IN ('transient', 'permanent') OR error IS NOT NULL)
) STRICT;

CREATE INDEX attempt_of_batch ON attempt (batch_id, attempt_id);
CREATE INDEX attempt_running ON attempt (incarnation) WHERE outcome = 'running';

CREATE TRIGGER attempt_ends_once
BEFORE UPDATE ON attempt
WHEN old.outcome <> 'running'
BEGIN
    SELECT RAISE(ABORT, 'an attempt ends once');
END;

CREATE TRIGGER attempt_is_fixed
BEFORE UPDATE OF attempt_id, batch_id, stage, incarnation, started_at ON attempt
BEGIN
    SELECT RAISE(ABORT, 'what was attempted never changes');
END;

CREATE TRIGGER attempt_is_kept
BEFORE DELETE ON attempt
BEGIN
    SELECT RAISE(ABORT, 'attempts are never deleted');
END;

CREATE TRIGGER attempt_is_not_replaced
BEFORE INSERT ON attempt
WHEN EXISTS (SELECT 1 FROM attempt WHERE attempt_id = new.attempt_id)
BEGIN
    SELECT RAISE(ABORT, 'attempts are never deleted');
END;

CREATE TABLE command (
    command_id  INTEGER PRIMARY KEY,
    incarnation TEXT NOT NULL REFERENCES incarnation (incarnation),
    argv        TEXT NOT NULL CHECK (json_valid(argv)),
    started_at  TEXT NOT NULL CHECK (started_at GLOB '????-??-??T??:??:??.??????Z'),
    ended_at    TEXT CHECK (ended_at GLOB '????-??-??T??:??:??.??????Z'),
    -- NULL with an end: the process died in its midst.
    exit        INTEGER,
    CHECK (exit IS NULL OR ended_at IS NOT NULL)
) STRICT;

CREATE INDEX command_running ON command (incarnation) WHERE ended_at IS NULL;

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
