-- Entries of the attestation log, by what they are about. The exact bytes stand here before they stand in the log, so
-- that a daemon that is killed in between logs the same entry and not another one.
CREATE TABLE entries (
    number    INTEGER PRIMARY KEY,
    subject   TEXT NOT NULL,
    kind      TEXT NOT NULL,
    note      BLOB NOT NULL,
    log_index INTEGER
) STRICT;

CREATE INDEX entries_of ON entries (subject, kind);
