-- Payloads of large submits are written before their jobs, a little at a time, so that nobody waits
-- long for the gate (ADR 0021). Such a job has the payload '', which no other can have, and the id of
-- its real one. Only adds: files of the first schema, however large, are ready at once.

CREATE TABLE payloads (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    payload TEXT NOT NULL
) STRICT;

-- The payloads whose jobs are not there yet, by runs of ids. What remains was given up.
CREATE TABLE staged (
    first     INTEGER PRIMARY KEY,
    last      INTEGER NOT NULL CHECK (last >= first),
    staged_at INTEGER NOT NULL
) STRICT;

ALTER TABLE jobs ADD COLUMN payload_id INTEGER;
