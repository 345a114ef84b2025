//! What is known of a version of a dataset: the fingerprint taken while its file is read, and what its owner states beside
//! it.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use rayon::prelude::*;
use tacitly_attestation::commitment::{MAX_BASIS_BYTES, Salt, Subject, commit};
use tacitly_attestation::dataset::{DatasetSeed, Fingerprinter, RecordLeaf};
use tacitly_attestation::entry::{
    Body, Bucket, Commitment, DatasetEntry, Digest, Fingerprint, Id, LeafHash, Period, Reason, SignedEntry,
};
use tacitly_attestation::hash::Hash;
use zeroize::Zeroizing;

use crate::attest::random;
use crate::codes::{self, Error};
use crate::intake::{self, Budget, ColumnInfo, KeySpec, Source, Survey};
use crate::store::{NewBasis, NewFingerprint, StoredEntry, StoredFingerprint};

/// Bytes and records that are hashed at a time, while the next ones are read.
const BATCH_BYTES: usize = 1 << 20;
const BATCH_RECORDS: usize = 1 << 14;
/// Batches that wait to be hashed.
const AHEAD: usize = 2;
/// Records that are not worth another thread.
const FEW: usize = 512;

/// Reads a file once, if it has the columns of the key: takes its fingerprint under a fresh seed, and counts its keys,
/// which are laid aside in `folder`, if one is given, when they do not fit into memory.
pub(super) fn survey(
    source: &Source,
    key: &KeySpec,
    folder: Option<&Path>,
    budget: &Budget<'_>,
) -> Result<(Survey, NewFingerprint), Error> {
    let seed = Zeroizing::new(random()?);
    let (survey, fingerprint) = fingerprint(source, key, &DatasetSeed::new(*seed), folder, budget)?;
    let new = NewFingerprint {
        id: Id(random()?).to_string(),
        fingerprint: fingerprint.to_string(),
        schema: schema(&survey.inspection.columns)?.to_string(),
        seed,
        period: None,
        basis: None,
    };
    Ok((survey, new))
}

/// The days that data describe, as their owner states them; none if nothing is stated.
pub(super) fn period(text: &str) -> Result<Option<String>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let period = Period::parse(text).map_err(|reason| Error::new(codes::BAD_REQUEST, format!("period: {reason}")))?;
    Ok(Some(period.to_string()))
}

/// A commitment, under a fresh salt, to the exact bytes of the document with a lawful basis.
pub(super) fn basis(path: &Path) -> Result<NewBasis, Error> {
    let bad = |what: &str| Error::new(codes::BAD_REQUEST, format!("the basis {}: {what}", path.display()));
    let unreadable = |error: std::io::Error| bad(&format!("it cannot be read: {error}"));
    // Looked at before it is opened: opening a pipe would wait for its writer.
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(bad("it is not a file"));
    }
    // The room is reserved at once, so that no shorter copy is left behind unwiped.
    let room = metadata.len().min(MAX_BASIS_BYTES) as usize + 1;
    let mut document = Zeroizing::new(Vec::with_capacity(room));
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_BASIS_BYTES + 1).read_to_end(&mut document).map_err(unreadable)?;
    match document.len() as u64 {
        0 => return Err(bad("it is empty")),
        1..=MAX_BASIS_BYTES => {}
        _ => return Err(bad(&format!("it has more than {} MiB; name the document itself", MAX_BASIS_BYTES >> 20))),
    }
    let salt = Zeroizing::new(random()?);
    let commitment = commit(Subject::Basis, &Salt::new(*salt), &document).to_string();
    Ok(NewBasis { commitment, salt })
}

/// Reads a file once; what is read is hashed meanwhile, on all cores.
fn fingerprint(
    source: &Source,
    key: &KeySpec,
    seed: &DatasetSeed,
    folder: Option<&Path>,
    budget: &Budget<'_>,
) -> Result<(Survey, Fingerprint), Error> {
    let mut fingerprinter = Fingerprinter::new(seed);
    thread::scope(|scope| {
        let (full, batches) = mpsc::sync_channel::<Batch>(AHEAD);
        let (spare, spares) = mpsc::channel();
        let hashing = thread::Builder::new().name("fingerprint".into()).spawn_scoped(scope, move || {
            for mut batch in batches {
                batch.hash_into(&mut fingerprinter);
                batch.clear();
                // The reader may be done.
                let _ = spare.send(batch);
            }
            fingerprinter.fingerprint()
        });
        let hashing =
            hashing.map_err(|error| Error::new(codes::SYSTEM, format!("the system gives no thread: {error}")))?;
        let mut batch = Batch::default();
        let surveyed = intake::survey(source, key, folder, budget, |record| {
            batch.push(record);
            if batch.is_full() {
                let next = spares.try_recv().unwrap_or_default();
                // It fails only if the hashing has died, which `join` tells.
                let _ = full.send(std::mem::replace(&mut batch, next));
            }
        });
        let _ = full.send(batch);
        drop(full);
        let fingerprint = hashing.join().map_err(|_| Error::internal("hashing a file ended unexpectedly"))?;
        Ok((surveyed?, fingerprint))
    })
}

/// Records one behind the other.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Batch {
    fn push(&mut self, record: &[u8]) {
        self.bytes.extend_from_slice(record);
        self.ends.push(self.bytes.len());
    }

    fn is_full(&self) -> bool {
        self.bytes.len() >= BATCH_BYTES || self.ends.len() >= BATCH_RECORDS
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    fn record(&self, at: usize) -> &[u8] {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[at]]
    }

    fn hash_into(&self, fingerprinter: &mut Fingerprinter) {
        let (leaves, first) = (fingerprinter.leaves(), fingerprinter.rows());
        let records = (0..self.ends.len()).into_par_iter().with_min_len(FEW);
        let hashed: Vec<RecordLeaf> = records.map(|at| leaves.leaf(first + at as u64, self.record(at))).collect();
        hashed.into_iter().for_each(|leaf| fingerprinter.push_leaf(leaf));
    }
}

/// The digest of the names and types of all columns, as one line of JSON: `[["mobile","text"],["age","int32"]]`.
fn schema(columns: &[ColumnInfo]) -> Result<Digest, Error> {
    let pairs: Vec<_> = columns.iter().map(|column| [&column.name, &column.type_name]).collect();
    let line = serde_json::to_vec(&pairs).map_err(|error| Error::internal(error.to_string()))?;
    Ok(Digest(Hash::of(&line)))
}

/// What the entry about this version of a dataset says.
pub(super) fn dataset_entry(stored: &StoredFingerprint, supersedes: Option<LeafHash>) -> Result<DatasetEntry, Error> {
    Ok(DatasetEntry {
        dataset: Id::parse(&stored.id).map_err(unreadable)?,
        fingerprint: Fingerprint::parse(&stored.fingerprint).map_err(unreadable)?,
        rows: Bucket::of(stored.rows),
        schema: Digest::parse(&stored.schema).map_err(unreadable)?,
        period: stored.period.as_deref().map(Period::parse).transpose().map_err(unreadable)?,
        basis: stored.basis.as_deref().map(Commitment::parse).transpose().map_err(unreadable)?,
        supersedes,
    })
}

/// The entry about this version among those that stand under the dataset's name.
pub(super) fn entry_about<'a>(
    entries: &'a [StoredEntry],
    version: &StoredFingerprint,
) -> Result<Option<&'a StoredEntry>, Error> {
    for stored in entries {
        let entry = SignedEntry::parse(&stored.note).map_err(Error::damaged)?;
        // Another dataset that once had this name has another number in its entries.
        if let Body::Dataset(said) = entry.entry().body()
            && *said == dataset_entry(version, said.supersedes)?
        {
            return Ok(Some(stored));
        }
    }
    Ok(None)
}

/// A stored fingerprint that is none.
pub(super) fn unreadable(reason: Reason) -> Error {
    Error::damaged(format!("a stored fingerprint cannot be read: {reason}"))
}
