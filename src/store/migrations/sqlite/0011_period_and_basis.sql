-- What the owner states about a version of a dataset beside its rows: the days that they describe, and a commitment to the
-- document with the lawful basis, with the sealed salt without which that commitment never opens. Both or neither of the
-- last two.
ALTER TABLE fingerprints ADD COLUMN period TEXT;
ALTER TABLE fingerprints ADD COLUMN basis TEXT;
ALTER TABLE fingerprints ADD COLUMN basis_salt BLOB;
