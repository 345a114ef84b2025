-- Every fingerprint that a dataset had, newest last: what each version of its file was, and the sealed seed without which
-- no record of it can be opened. They go with the dataset. Only an empty file has the same fingerprint twice.
CREATE TABLE fingerprints (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    dataset     TEXT NOT NULL REFERENCES datasets (name) ON DELETE CASCADE,
    id          TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    schema      TEXT NOT NULL,
    row_count   INTEGER NOT NULL,
    size        INTEGER NOT NULL,
    digest      TEXT NOT NULL,
    format      TEXT NOT NULL,
    seed        BLOB NOT NULL
) STRICT;

CREATE INDEX fingerprints_of ON fingerprints (dataset, fingerprint);
