-- Times are integer microseconds since the epoch (wall clock), except lease_expires: nanoseconds of
-- the monotonic clock of one boot. JSON columns hold ASCII text. Each index names the query it serves.
-- Alternatives in a CHECK are written with OR: SQLite builds a table for each IN list of more than
-- two each time a statement runs, which made a drain take 1.7 times as long.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO meta (key, value) VALUES
    ('database_id', lower(hex(randomblob(16)))),
    ('restores', 0);

CREATE TABLE queues (
    name   TEXT PRIMARY KEY,
    paused INTEGER NOT NULL DEFAULT 0 CHECK (paused = 0 OR paused = 1)
) STRICT, WITHOUT ROWID;

CREATE TABLE jobs (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    type              TEXT NOT NULL,
    queue             TEXT NOT NULL,
    lane              TEXT NOT NULL CHECK (lane = 'sync' OR lane = 'async'),
    state             TEXT NOT NULL CHECK (
                          state = 'pending' OR state = 'in_progress' OR state = 'done' OR
                          state = 'scheduled' OR state = 'failed' OR state = 'cancelled' OR
                          state = 'blocked'),
    priority          INTEGER NOT NULL DEFAULT 0 CHECK (priority BETWEEN -100 AND 100),
    payload           TEXT NOT NULL,
    result            TEXT,
    error             TEXT,
    attempt           INTEGER NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    retries           INTEGER NOT NULL DEFAULT 0 CHECK (retries BETWEEN 0 AND max_retries),
    crashes           INTEGER NOT NULL DEFAULT 0 CHECK (crashes BETWEEN 0 AND max_crashes),
    max_retries       INTEGER NOT NULL CHECK (max_retries >= 0),
    max_crashes       INTEGER NOT NULL CHECK (max_crashes >= 1),
    backoff_base      INTEGER NOT NULL CHECK (backoff_base >= 0),
    backoff_cap       INTEGER NOT NULL CHECK (backoff_cap >= 0),
    timeout           INTEGER NOT NULL CHECK (timeout > 0),
    progress          TEXT,
    tags              TEXT NOT NULL DEFAULT '[]',
    meta              TEXT NOT NULL DEFAULT '{}',
    unique_key        TEXT,
    ref               TEXT,
    schedule          TEXT,
    on_parent_failure TEXT NOT NULL DEFAULT 'cancel' CHECK (
                          on_parent_failure = 'cancel' OR on_parent_failure = 'run'),
    parents_left      INTEGER NOT NULL DEFAULT 0 CHECK (parents_left >= 0),
    created_at        INTEGER NOT NULL,
    run_at            INTEGER NOT NULL,
    started_at        INTEGER,
    finished_at       INTEGER,
    worker            TEXT,
    cancel_requested  INTEGER NOT NULL DEFAULT 0 CHECK (
                          cancel_requested = 0 OR cancel_requested = 1),
    CHECK ((state = 'done' OR state = 'failed' OR state = 'cancelled') = (finished_at IS NOT NULL)),
    CHECK (result IS NULL OR state = 'done'),
    CHECK (cancel_requested = 0 OR state = 'in_progress' OR state = 'done' OR state = 'failed' OR
           state = 'cancelled')
) STRICT;

CREATE INDEX jobs_claim ON jobs (queue, lane, priority DESC, run_at, id) WHERE state = 'pending';
CREATE INDEX jobs_promote ON jobs (state, run_at) WHERE state = 'scheduled';
CREATE INDEX jobs_cancel_requested ON jobs (id) WHERE cancel_requested = 1 AND state = 'in_progress';
CREATE UNIQUE INDEX jobs_active_unique_key ON jobs (unique_key)
    WHERE unique_key IS NOT NULL
      AND (state = 'scheduled' OR state = 'blocked' OR state = 'pending' OR state = 'in_progress');
CREATE INDEX jobs_list ON jobs (state, id)
    WHERE state = 'scheduled' OR state = 'blocked' OR state = 'failed' OR state = 'cancelled';
CREATE INDEX jobs_prune ON jobs (state, finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE tags (
    tag    TEXT NOT NULL,
    job_id INTEGER NOT NULL,
    PRIMARY KEY (tag, job_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE workers (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    name         TEXT NOT NULL UNIQUE,
    pool         TEXT NOT NULL,
    pid          INTEGER NOT NULL,
    start_time   INTEGER NOT NULL,
    boot_id      TEXT NOT NULL,
    lane         TEXT NOT NULL CHECK (lane = 'sync' OR lane = 'async'),
    state        TEXT NOT NULL CHECK (
                     state = 'starting' OR state = 'idle' OR state = 'draining' OR
                     state = 'stopped' OR state = 'crashed'),
    started_at   INTEGER NOT NULL,
    heartbeat_at INTEGER NOT NULL,
    ended_at     INTEGER,
    exit         TEXT,
    CHECK ((state = 'stopped' OR state = 'crashed') = (ended_at IS NOT NULL))
) STRICT;

CREATE INDEX workers_live ON workers (id) WHERE ended_at IS NULL;

-- An attempt without an outcome is the lease; its id, never reused, is the fencing token.
CREATE TABLE attempts (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id        INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    number        INTEGER NOT NULL CHECK (number >= 1),
    worker_id     INTEGER NOT NULL,
    worker        TEXT NOT NULL,
    pid           INTEGER NOT NULL,
    boot_id       TEXT NOT NULL,
    lease_expires INTEGER NOT NULL,
    claimed_at    INTEGER NOT NULL,
    started_at    INTEGER,
    finished_at   INTEGER,
    outcome       TEXT CHECK (
                      outcome = 'done' OR outcome = 'failed' OR outcome = 'timed_out' OR
                      outcome = 'failed_permanent' OR outcome = 'crashed' OR
                      outcome = 'cancelled' OR outcome = 'interrupted'),
    error         TEXT,
    exit          TEXT,
    CHECK ((outcome IS NULL) = (finished_at IS NULL)),
    UNIQUE (job_id, number)
) STRICT;

CREATE UNIQUE INDEX attempts_one_open ON attempts (job_id) WHERE outcome IS NULL;

CREATE TABLE logs (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id  INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    attempt INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    level   TEXT NOT NULL CHECK (
                level = 'info' OR level = 'debug' OR level = 'warning' OR level = 'error' OR
                level = 'critical'),
    stream  TEXT NOT NULL CHECK (stream = 'log' OR stream = 'stdout' OR stream = 'stderr'),
    message TEXT NOT NULL,
    fields  TEXT NOT NULL DEFAULT '{}'
) STRICT;

CREATE INDEX logs_of_job ON logs (job_id, seq);

CREATE TABLE events (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    event   TEXT NOT NULL,
    job_id  INTEGER,
    type    TEXT,
    queue   TEXT,
    state   TEXT,
    attempt INTEGER,
    reason  TEXT,
    data    TEXT
) STRICT;

-- Maintained in the transaction that changes a state, so that nothing ever counts history.
CREATE TABLE counters (
    queue TEXT NOT NULL,
    type  TEXT NOT NULL,
    state TEXT NOT NULL,
    n     INTEGER NOT NULL CHECK (n >= 0),
    PRIMARY KEY (queue, type, state)
) STRICT, WITHOUT ROWID;

-- Figures that only rise: totals and histogram buckets behind /metrics.
CREATE TABLE totals (
    name  TEXT NOT NULL,
    queue TEXT NOT NULL,
    type  TEXT NOT NULL,
    label TEXT NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (name, queue, type, label)
) STRICT, WITHOUT ROWID;

-- One row a second of activity: what "in the last minute" is summed from.
CREATE TABLE activity (
    second    INTEGER PRIMARY KEY,
    submitted INTEGER NOT NULL DEFAULT 0,
    done      INTEGER NOT NULL DEFAULT 0,
    failed    INTEGER NOT NULL DEFAULT 0,
    cancelled INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE idempotency_keys (
    scope      TEXT NOT NULL,
    key        TEXT NOT NULL,
    body_hash  TEXT NOT NULL,
    answer     TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (scope, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_keys_prune ON idempotency_keys (created_at);
