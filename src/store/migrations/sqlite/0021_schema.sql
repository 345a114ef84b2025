-- The schema of a store. Texts named *_at are RFC 3339 in UTC with milliseconds, so they sort by time.

-- "tacl": tells a store of ours from any other SQLite file.
PRAGMA application_id = 1952539500;

-- Facts about the store itself; the seal over the rows of peers, peer_pins, invites, rosters, roster_members, revocations,
-- datasets and rules among them, which also covers this schema.
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT;

CREATE TABLE peers (
    id          TEXT PRIMARY KEY,
    address     TEXT,
    signing_key TEXT NOT NULL,
    added_at    TEXT NOT NULL
) STRICT;

CREATE TABLE peer_pins (
    peer     TEXT NOT NULL REFERENCES peers (id) ON DELETE CASCADE,
    pin      TEXT NOT NULL,
    since_at TEXT NOT NULL,
    until_at TEXT,
    PRIMARY KEY (peer, pin)
) STRICT;

CREATE TABLE invites (
    token_hash TEXT PRIMARY KEY,
    -- Whom it invites.
    party      TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    used_at    TEXT
) STRICT;

CREATE TABLE datasets (
    name        TEXT PRIMARY KEY,
    path        TEXT NOT NULL,
    format      TEXT NOT NULL,
    columns     TEXT NOT NULL,
    keys        TEXT NOT NULL,
    settings    TEXT NOT NULL,
    row_count   INTEGER NOT NULL,
    size        INTEGER NOT NULL,
    digest      TEXT NOT NULL,
    -- A hash over all that says what is read of the file and how.
    stamp       TEXT NOT NULL,
    added_at    TEXT NOT NULL,
    replaced_at TEXT
) STRICT;

-- The newest pinned roster of each consortium, as its founder has signed it, with the keys of its members but ourselves.
CREATE TABLE rosters (
    consortium TEXT PRIMARY KEY,
    note       BLOB NOT NULL,
    pinned_at  TEXT NOT NULL
) STRICT;

CREATE TABLE roster_members (
    consortium  TEXT NOT NULL REFERENCES rosters (consortium) ON DELETE CASCADE,
    party       TEXT NOT NULL,
    signing_key TEXT NOT NULL,
    PRIMARY KEY (consortium, party)
) STRICT;

CREATE INDEX consortia_of ON roster_members (party);

-- Keys that count no more, with the signed entry that says so: a party's own word, or that of whoever has its key.
CREATE TABLE revocations (
    party       TEXT NOT NULL,
    signing_key TEXT PRIMARY KEY,
    since_at    TEXT NOT NULL,
    note        BLOB NOT NULL
) STRICT;

-- Every party whose key is pinned here, as a peer, as a member of consortia, or as both.
CREATE VIEW known_parties (party, signing_key) AS
    SELECT id, signing_key FROM peers UNION SELECT party, signing_key FROM roster_members;

-- A rule goes with its dataset: a later one of the same name starts with no rule. It goes, too, when its party is no longer
-- known, neither as a peer nor as a member of a consortium.
CREATE TABLE rules (
    dataset    TEXT NOT NULL REFERENCES datasets (name) ON DELETE CASCADE,
    peer       TEXT NOT NULL,
    rule       TEXT NOT NULL,
    -- The stamp of the dataset for which it was given. For another one it decides nothing without a person.
    stamp      TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT,
    PRIMARY KEY (dataset, peer)
) STRICT;

-- The job ledger. A line stays when its peer or dataset has gone, so neither is a foreign key.
CREATE TABLE jobs (
    id              TEXT PRIMARY KEY,
    kind            TEXT NOT NULL,
    leader          TEXT NOT NULL,
    dataset         TEXT,
    state           TEXT NOT NULL,
    terms           BLOB NOT NULL,
    terms_hash      TEXT NOT NULL,
    request_key     TEXT UNIQUE,
    result_items    INTEGER,
    attempt         INTEGER NOT NULL,
    -- The columns of our dataset that our rules let out when the job was agreed, as a JSON list.
    columns         TEXT,
    summary         TEXT,
    traffic         TEXT,
    failure_code    TEXT,
    failure_who     TEXT,
    failure_stage   TEXT,
    failure_text    TEXT,
    created_at      TEXT NOT NULL,
    updated_at      TEXT NOT NULL,
    finished_at     TEXT,
    purged_at       TEXT
) STRICT;

-- The parties of a job, we among them: what each has decided, with its signature and what it adds to the terms, and its
-- word that its result is stored. `entry` is its signed entry about its data, for certificates.
CREATE TABLE job_parties (
    job          TEXT NOT NULL REFERENCES jobs (id),
    party        TEXT NOT NULL,
    dataset      TEXT,
    receives     INTEGER NOT NULL,
    decision     TEXT NOT NULL CHECK (decision IN ('open', 'signed', 'refused')),
    contribution BLOB,
    signature    TEXT,
    left_out     INTEGER NOT NULL,
    receipt      TEXT,
    entry        BLOB,
    PRIMARY KEY (job, party)
) STRICT;

CREATE INDEX jobs_of_party ON job_parties (party, job);

CREATE INDEX jobs_open ON jobs (id) WHERE finished_at IS NULL;

-- Everything sealed, in pieces small enough to seal and bind one at a time. `pieces` is how many there are.
CREATE TABLE sealed (
    job     TEXT NOT NULL REFERENCES jobs (id),
    purpose TEXT NOT NULL,
    label   TEXT NOT NULL,
    piece   INTEGER NOT NULL,
    pieces  INTEGER NOT NULL,
    blob    BLOB NOT NULL,
    PRIMARY KEY (job, purpose, label, piece)
) STRICT;

-- Prepared material of services: streams of units that are used once. Whatever is taken out to be used is deleted from
-- its blocks, and passed by `next`, in one transaction before it is used.
CREATE TABLE material (
    scope  TEXT NOT NULL,
    stream TEXT NOT NULL,
    -- The first unit that was never taken out, and the one behind the last that was put.
    next   INTEGER NOT NULL,
    stored INTEGER NOT NULL,
    PRIMARY KEY (scope, stream)
) STRICT;

CREATE TABLE material_blocks (
    scope  TEXT NOT NULL,
    stream TEXT NOT NULL,
    first  INTEGER NOT NULL,
    units  INTEGER NOT NULL,
    blob   BLOB NOT NULL,
    PRIMARY KEY (scope, stream, first)
) STRICT;

-- The audit trail.
CREATE TABLE events (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    at     TEXT NOT NULL,
    job    TEXT,
    actor  TEXT NOT NULL,
    kind   TEXT NOT NULL,
    detail TEXT NOT NULL,
    -- Covers the line and the seal of the one before it.
    seal   BLOB NOT NULL
) STRICT;

CREATE INDEX events_of_job ON events (job, seq);

CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'events are append-only');
END;

CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
BEGIN
    SELECT RAISE(ABORT, 'events are append-only');
END;

-- Entries of the attestation log, by what they are about. The exact bytes and the place of each stand here before it
-- stands in the log, so that a daemon that is killed in between logs the same entry at the same place, and a log that is
-- lost comes back as it was.
CREATE TABLE entries (
    number    INTEGER PRIMARY KEY,
    -- The log of ours in which it is to stand; a party may have begun another one after it lost the first.
    log       TEXT NOT NULL,
    subject   TEXT NOT NULL,
    kind      TEXT NOT NULL,
    note      BLOB NOT NULL,
    -- Its index in that log; none while it waits for one.
    log_index INTEGER,
    UNIQUE (log, log_index)
) STRICT;

CREATE INDEX entries_of ON entries (log, subject, kind);

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
    seed        BLOB NOT NULL,
    -- What its owner states beside the rows: the days that they describe, and a commitment to the document with the
    -- lawful basis, with the sealed salt without which that commitment never opens. Both or neither of the last two.
    period      TEXT,
    basis       TEXT,
    basis_salt  BLOB
) STRICT;

CREATE INDEX fingerprints_of ON fingerprints (dataset, fingerprint);

-- Questions that we ask under standing jobs, by the key that their caller chose. The signed question stands among the
-- entries; what it commits to is sealed here, and so is the answer, beside the signed entry of who gave it.
CREATE TABLE queries (
    job         TEXT NOT NULL,
    request_key TEXT NOT NULL,
    id          TEXT NOT NULL UNIQUE,
    responder   TEXT NOT NULL,
    entry       INTEGER NOT NULL REFERENCES entries (number),
    asked       BLOB NOT NULL,
    -- Both or neither: none while it waits for its answer.
    serve       BLOB,
    answer      BLOB,
    PRIMARY KEY (job, request_key)
) STRICT;

CREATE INDEX queries_open ON queries (job) WHERE serve IS NULL;

-- Questions that were put to us, by the leaf of the asker's entry, so that none is answered or charged twice: the asker's
-- signed entry, ours (among the entries), and the sealed answer, which is given again byte for byte.
CREATE TABLE serves (
    query  BLOB PRIMARY KEY,
    id     TEXT NOT NULL,
    job    TEXT NOT NULL,
    asker  TEXT NOT NULL,
    note   BLOB NOT NULL,
    entry  INTEGER NOT NULL REFERENCES entries (number),
    answer BLOB NOT NULL
) STRICT;

CREATE INDEX serves_by_id ON serves (id);

-- What was used of budgets, which outlive jobs: of a limit, for one key of it, in the window that began then (milliseconds
-- since 1970; 0 for a budget without windows).
CREATE TABLE charges (
    limit_name   TEXT NOT NULL,
    key_digest   BLOB NOT NULL,
    window_start INTEGER NOT NULL,
    units        INTEGER NOT NULL,
    PRIMARY KEY (limit_name, key_digest, window_start)
) STRICT;
