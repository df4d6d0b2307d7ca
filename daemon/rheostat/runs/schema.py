"""The tables of the daemon's state file."""

SCHEMA_VERSION = 1
"""Kept in the file as `PRAGMA user_version`; counts up with every change below."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
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
CREATE TABLE IF NOT EXISTS decisions (
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
CREATE UNIQUE INDEX IF NOT EXISTS decisions_by_request
    ON decisions (run, request_id) WHERE request_id <> '';
CREATE TABLE IF NOT EXISTS step_rows (
    run TEXT NOT NULL REFERENCES runs (name) ON DELETE CASCADE,
    last_step INTEGER NOT NULL,
    batch BLOB NOT NULL, -- StepRows as msgpack
    PRIMARY KEY (run, last_step)
);
"""
