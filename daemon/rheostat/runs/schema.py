"""The tables of the daemon's state file."""

_FIRST = """
CREATE TABLE runs (
    ordinal INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    request_id TEXT UNIQUE, -- NULL where the creator gave none
    phase TEXT NOT NULL,
    spec TEXT NOT NULL,
    steps INTEGER,
    groups TEXT NOT NULL, -- JSON, as the next three
    snapshot TEXT,
    result TEXT,
    failure TEXT,
    principal TEXT NOT NULL,
    created_at REAL NOT NULL,
    started_at REAL,
    finished_at REAL,
    device TEXT NOT NULL,
    pid INTEGER
);
CREATE TABLE decisions (
    run TEXT NOT NULL REFERENCES runs (name) ON DELETE CASCADE,
    revision INTEGER NOT NULL,
    applied_step INTEGER NOT NULL,
    source TEXT NOT NULL,
    request_id TEXT NOT NULL,
    time REAL NOT NULL,
    record TEXT NOT NULL, -- the whole DecisionRecord as JSON
    hash TEXT NOT NULL,
    PRIMARY KEY (run, revision)
);
CREATE UNIQUE INDEX decisions_by_request
    ON decisions (run, request_id) WHERE request_id <> '';
CREATE TABLE step_rows (
    run TEXT NOT NULL REFERENCES runs (name) ON DELETE CASCADE,
    last_step INTEGER NOT NULL,
    batch BLOB NOT NULL, -- StepRows as msgpack
    PRIMARY KEY (run, last_step)
);
"""

# Trainers of schema 1 ended with their daemon and took no checkpoints.
_RESUMABLE = """
ALTER TABLE runs ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN queued_at REAL NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN is_paused INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN attempt INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN restarts TEXT NOT NULL DEFAULT '{}'; -- JSON, as the next
ALTER TABLE runs ADD COLUMN events TEXT NOT NULL DEFAULT '[]';
ALTER TABLE runs ADD COLUMN origin TEXT; -- JSON
UPDATE runs SET queued_at = created_at;
UPDATE runs
    SET phase = 'failed', pid = NULL, finished_at = COALESCE(started_at, created_at),
        failure = '{"message": "the daemon, an older Rheostat, ended while the run trained"}'
    WHERE phase IN ('starting', 'running', 'paused', 'stopping');
CREATE TABLE trainers (
    run TEXT PRIMARY KEY REFERENCES runs (name) ON DELETE CASCADE,
    token TEXT NOT NULL, -- what they prove themselves with
    reached INTEGER NOT NULL,
    fruitless INTEGER NOT NULL
);
CREATE TABLE pending_changes (
    ordinal INTEGER PRIMARY KEY AUTOINCREMENT,
    run TEXT NOT NULL REFERENCES runs (name) ON DELETE CASCADE,
    request_id TEXT NOT NULL,
    change TEXT NOT NULL, -- JSON
    UNIQUE (run, request_id)
);
CREATE TABLE undone_rows (
    run TEXT NOT NULL REFERENCES runs (name) ON DELETE CASCADE,
    revision INTEGER NOT NULL, -- of the rollback
    last_step INTEGER NOT NULL,
    batch BLOB NOT NULL, -- StepRows as msgpack
    PRIMARY KEY (run, revision, last_step)
);
CREATE TABLE offences (
    run TEXT NOT NULL REFERENCES runs (name) ON DELETE CASCADE,
    step INTEGER NOT NULL,
    policy TEXT NOT NULL,
    offence TEXT NOT NULL, -- JSON
    PRIMARY KEY (run, step, policy)
);
"""

_ATTACHED = """
ALTER TABLE runs ADD COLUMN attached INTEGER NOT NULL DEFAULT 0;
"""

MIGRATIONS = (_FIRST, _RESUMABLE, _ATTACHED)
"""What brings a file from each version to the next, an empty one from 0; the version that a file
has is kept in it as `PRAGMA user_version`."""
