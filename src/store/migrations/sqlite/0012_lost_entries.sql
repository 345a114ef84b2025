-- Entries that stood in a log which was lost, and which are not in the copy that was taken back: they go into it again. An
-- entry that never stood anywhere is not among them.
ALTER TABLE entries ADD COLUMN lost INTEGER NOT NULL DEFAULT 0;

CREATE INDEX entries_by_place ON entries (log_index);
