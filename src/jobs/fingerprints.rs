//! What a dataset is on record as: the fingerprint taken while its file is read, the entry about it, and one record opened
//! to an arbiter while all others stay hidden.

use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;

use rayon::prelude::*;
use serde_json::json;
use tacitly_attestation::dataset::{DatasetSeed, Fingerprinter, Opener, OpenerFault, RecordLeaf};
use tacitly_attestation::entry::{Body, Bucket, DatasetEntry, Digest, Fingerprint, Id, Kind, LeafHash, Reason};
use tacitly_attestation::hash::Hash;
use zeroize::Zeroizing;

use super::datasets::{DatasetView, Datasets, NewDataset, blocking};
use super::office::Jobs;
use super::record::{Recorded, about_dataset, random};
use super::trouble::internal;
use crate::codes::{self, Trouble};
use crate::intake::{self, Budget, ColumnInfo, FileDigest, Inspection, Source};
use crate::store::{NewEvent, NewFingerprint, StoredFingerprint};

/// Bytes and records that are hashed at a time, while the next ones are read.
const BATCH_BYTES: usize = 1 << 20;
const BATCH_RECORDS: usize = 1 << 14;
/// Batches that wait to be hashed.
const AHEAD: usize = 2;
/// Records that are not worth another thread.
const FEW: usize = 512;

/// Which record to open.
#[derive(Clone, Debug, Default)]
pub struct OpenRecord {
    /// The dataset.
    pub dataset: String,
    /// The row, counted from 1 without the header.
    pub row: u64,
    /// The fingerprint of an earlier version; empty: the present one.
    pub fingerprint: String,
    /// The file of that version, by its whole path; empty: where the dataset's file is now.
    pub file: PathBuf,
}

/// A record opened. It holds personal data: neither `Clone` nor `Debug`.
pub struct OpenedRecord {
    /// The opening, as `tacitly evidence verify-opening` reads it.
    pub opening: Zeroizing<Vec<u8>>,
    /// The fingerprint that it belongs to.
    pub fingerprint: String,
    /// The exact number of rows.
    pub rows: u64,
    /// The names of the columns, in the order of the record.
    pub columns: Vec<String>,
}

/// Reads a file once and takes its fingerprint under a fresh seed.
pub(super) fn inspect(source: &Source, budget: &Budget<'_>) -> Result<(Inspection, NewFingerprint), Trouble> {
    let seed = Zeroizing::new(random()?);
    let (inspection, fingerprint) = fingerprint(source, &DatasetSeed::new(*seed), budget)?;
    let new = NewFingerprint {
        id: Id(random()?).to_string(),
        fingerprint: fingerprint.to_string(),
        schema: schema(&inspection.columns)?.to_string(),
        seed,
    };
    Ok((inspection, new))
}

/// Reads a file once; what is read is hashed meanwhile, on all cores.
fn fingerprint(source: &Source, seed: &DatasetSeed, budget: &Budget<'_>) -> Result<(Inspection, Fingerprint), Trouble> {
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
        let hashing = hashing.map_err(|error| internal(&format!("the system gives no thread: {error}")))?;
        let mut batch = Batch::default();
        let inspected = intake::visit_rows(source, None, budget, |record| {
            batch.push(record);
            if batch.is_full() {
                let next = spares.try_recv().unwrap_or_default();
                // It fails only if the hashing has died, which `join` tells.
                let _ = full.send(std::mem::replace(&mut batch, next));
            }
        });
        let _ = full.send(batch);
        drop(full);
        let fingerprint = hashing.join().map_err(|_| internal("hashing a file ended unexpectedly"))?;
        Ok((inspected?, fingerprint))
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
fn schema(columns: &[ColumnInfo]) -> Result<Digest, Trouble> {
    let pairs: Vec<_> = columns.iter().map(|column| [&column.name, &column.type_name]).collect();
    let line = serde_json::to_vec(&pairs).map_err(|error| internal(&error.to_string()))?;
    Ok(Digest(Hash::of(&line)))
}

/// What the entry about this version of a dataset says.
pub(super) fn dataset_entry(stored: &StoredFingerprint, supersedes: Option<LeafHash>) -> Result<DatasetEntry, Trouble> {
    Ok(DatasetEntry {
        dataset: Id::parse(&stored.id).map_err(unreadable)?,
        fingerprint: Fingerprint::parse(&stored.fingerprint).map_err(unreadable)?,
        rows: Bucket::of(stored.rows),
        schema: Digest::parse(&stored.schema).map_err(unreadable)?,
        period: None,
        basis: None,
        supersedes,
    })
}

impl Jobs {
    /// Registers a dataset and puts its fingerprint on record: the entry stands in our log, durable, when this returns.
    /// Returns the dataset and a report of counts for its owner.
    ///
    /// # Errors
    /// [`codes::BAD_REQUEST`] for settings that do not exist, [`codes::DATASET_INPUT`] with file, line and column,
    /// [`codes::DATASET_EXISTS`], [`codes::PEER_UNKNOWN`], or trouble of the store or the log. If the log refuses, the
    /// dataset is there and goes on record before the first job with it.
    pub async fn add_dataset(&self, new: NewDataset, by: &str) -> Result<(DatasetView, String), Trouble> {
        let (view, report) = self.datasets.add(new, by).await?;
        self.attest_dataset(&view.name).await?;
        Ok((view, report))
    }

    /// The entry about the present version of a dataset, which goes on record now if it has not yet. None if the dataset
    /// was added before fingerprints were taken.
    pub(super) async fn attest_dataset(&self, name: &str) -> Result<Option<Recorded>, Trouble> {
        let _one = self.datasets.recording().await;
        let subject = about_dataset(name);
        let Some(stored) = self.store.fingerprint(name, None).await? else { return Ok(None) };
        let known = self.recorded(&subject, Kind::Dataset.as_str()).await?;
        let mut supersedes = None;
        if let Some(known) = known
            && let Body::Dataset(body) = known.entry.entry().body()
        {
            if body.fingerprint.to_string() == stored.fingerprint {
                return Ok(Some(known));
            }
            // Another dataset that once had this name is not replaced by this one.
            supersedes = (body.dataset.to_string() == stored.id).then(|| known.entry.leaf());
        }
        let entry = self.sign_entry(self.header(Vec::new())?, dataset_entry(&stored, supersedes)?)?;
        Ok(Some(self.record(&subject, entry).await?))
    }
}

impl Datasets {
    /// Opens one record: reads the file of the version asked for once more and makes the opening.
    ///
    /// # Errors
    /// [`codes::DATASET_UNKNOWN`], [`codes::DATASET_FINGERPRINT`] if it has no such fingerprint, [`codes::BAD_REQUEST`]
    /// for a row that it does not have, [`codes::DATASET_CHANGED`] if the file is not the one of the fingerprint,
    /// [`codes::DATASET_INPUT`] if it cannot be read or the record is too long, or trouble of the store.
    pub async fn open_record(&self, asked: OpenRecord, by: &str) -> Result<OpenedRecord, Trouble> {
        let OpenRecord { dataset: name, row, fingerprint, file } = asked;
        let dataset = self.store().dataset(&name).await?;
        let which = (!fingerprint.is_empty()).then_some(fingerprint.as_str());
        let none = || {
            let text = match which {
                Some(_) => format!("{name} never had this fingerprint"),
                None => format!("{name} was added before fingerprints were taken"),
            };
            Trouble::new(codes::DATASET_FINGERPRINT, text)
        };
        let stored = self.store().fingerprint(&name, which).await?.ok_or_else(none)?;
        let rows = stored.rows;
        let outside = || {
            Trouble::new(codes::BAD_REQUEST, format!("there is no row {row}: {name} has {rows} rows, counted from 1"))
        };
        let index = row.checked_sub(1).ok_or_else(outside)?;
        let seed = DatasetSeed::new(*self.store().dataset_seed(&name, &stored.fingerprint).await?);
        let opener = Opener::new(&seed, index, rows).map_err(|_| outside())?;
        let path = if file.as_os_str().is_empty() { dataset.path } else { file };
        let whole = stored.fingerprint.clone();
        let memory = self.room().memory;
        let (opening, inspection) = blocking(move || {
            let (source, digest) = reading(path, &stored)?;
            open(opener, &source, &digest, &stored, &Budget::of_bytes(memory))
        })
        .await?;
        let event = NewEvent {
            job: None,
            actor: by.to_owned(),
            kind: "dataset-opened".to_owned(),
            detail: json!({ "dataset": name, "row": row, "fingerprint": whole }),
        };
        self.store().append_event(event).await?;
        let columns = inspection.columns.into_iter().filter(|column| column.type_name != "nested");
        Ok(OpenedRecord { opening, fingerprint: whole, rows, columns: columns.map(|column| column.name).collect() })
    }
}

/// How the file of a version is read, and what it must hash to.
fn reading(path: PathBuf, stored: &StoredFingerprint) -> Result<(Source, FileDigest), Trouble> {
    let unreadable = |error: serde_json::Error| internal(&format!("a stored dataset cannot be read: {error}"));
    let format = serde_json::from_value(stored.format.clone()).map_err(unreadable)?;
    let digits = stored.digest.strip_prefix("sha256:").unwrap_or_default();
    let digest = serde_json::from_value(json!({ "size": stored.size, "sha256": digits })).map_err(unreadable)?;
    Ok((Source { path, format }, digest))
}

fn open(
    mut opener: Opener,
    source: &Source,
    digest: &FileDigest,
    stored: &StoredFingerprint,
    budget: &Budget<'_>,
) -> Result<(Zeroizing<Vec<u8>>, Inspection), Trouble> {
    let inspection = intake::visit_rows(source, Some(digest), budget, |record| opener.push(record))?;
    let other = |fault: OpenerFault| internal(&format!("the file is the same and its records are not: {fault}"));
    let (opening, found) = opener.finish().map_err(other)?;
    if found.to_string() != stored.fingerprint {
        return Err(internal("the file is the same and its fingerprint is not"));
    }
    let long = |_| Trouble::new(codes::DATASET_INPUT, "the record is longer than an opening may be, 32 KiB");
    Ok((Zeroizing::new(opening.encode().map_err(long)?), inspection))
}

fn unreadable(reason: Reason) -> Trouble {
    internal(&format!("a stored fingerprint cannot be read: {reason}"))
}
