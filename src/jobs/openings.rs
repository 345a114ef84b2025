//! What our entries commit to, opened to an arbiter: one record of a dataset, the salt of its lawful basis, or the salt and
//! the digest of a job's output. That it was opened, to whom and why goes on record before it is handed out; what it is does not.

use std::path::PathBuf;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tacitly_attestation::commitment::{Salt, Subject, opens};
use tacitly_attestation::dataset::{DatasetSeed, Opener, OpenerFault};
use tacitly_attestation::entry::{Body, Code, Commitment, Count, Kind, LeafHash, OpeningEntry, ResultEntry};
use tacitly_attestation::lint;
use tacitly_core::PartyId;
use zeroize::Zeroizing;

use super::datasets::{Datasets, blocking};
use super::office::Jobs;
use super::outcome::Outcome;
use super::record::{about, about_dataset};
use crate::attest::unfit;
use crate::codes::{self, Trouble};
use crate::intake::{self, Budget, FileDigest, Inspection, Source};
use crate::store::{Job, NewEvent, StoredFingerprint};

/// The purpose of an opening that states none.
const DISPUTE: &str = "dispute";

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
    /// The party that it is opened to.
    pub to: String,
    /// A code for why; empty: `dispute`.
    pub purpose: String,
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
    /// Our entry about this opening.
    pub entry: String,
}

/// Which lawful basis to open.
#[derive(Clone, Debug, Default)]
pub struct OpenBasis {
    /// The dataset.
    pub dataset: String,
    /// The fingerprint of an earlier version; empty: the present one.
    pub fingerprint: String,
    /// The party that it is opened to.
    pub to: String,
    /// A code for why; empty: `dispute`.
    pub purpose: String,
}

/// What opens the commitment to a lawful basis, beside the document itself. Neither `Clone` nor `Debug`.
pub struct OpenedBasis {
    /// The salt.
    pub salt: Zeroizing<[u8; 32]>,
    /// The commitment, as it stands in the entry.
    pub commitment: String,
    /// The fingerprint that it was stated with.
    pub fingerprint: String,
    /// Our entry about this opening.
    pub entry: String,
}

/// Which output to open.
#[derive(Clone, Debug, Default)]
pub struct OpenOutput {
    /// The job.
    pub job: String,
    /// The party that it is opened to.
    pub to: String,
    /// A code for why; empty: `dispute`.
    pub purpose: String,
}

/// What opens the commitment to our output of a job. Neither `Clone` nor `Debug`.
pub struct OpenedOutput {
    /// The salt.
    pub salt: Zeroizing<[u8; 32]>,
    /// The SHA-256 of the output, as the ledger keeps it. This is what is committed to.
    pub digest: [u8; 32],
    /// The commitment, as it stands in the entry about the job's end.
    pub commitment: String,
    /// Our entry about this opening.
    pub entry: String,
}

/// To whom something is opened, and why.
struct Reader {
    to: PartyId,
    purpose: Code,
}

impl Reader {
    fn of(to: &str, purpose: &str) -> Result<Self, Trouble> {
        let bad = |text: String| Trouble::new(codes::BAD_REQUEST, text);
        let form = || bad("say to whom it is opened (to): a party name, 1 to 32 of a-z, 0-9 and '-'".to_owned());
        let to: PartyId = to.parse().map_err(|_| form())?;
        if let Some(shape) = lint::find(to.as_str()) {
            return Err(bad(format!("the name to open it to goes on record, and it looks like {shape}")));
        }
        let purpose = if purpose.is_empty() { DISPUTE } else { purpose };
        let purpose = Code::parse(purpose).map_err(|reason| bad(format!("purpose: {reason}")))?;
        Ok(Self { to, purpose })
    }
}

impl Jobs {
    /// Opens one record: reads the file of the version asked for once more, makes the opening, and puts on record that
    /// there is one. Its entry stands in our log, durable, when this returns.
    ///
    /// # Errors
    /// [`codes::DATASET_UNKNOWN`], [`codes::DATASET_FINGERPRINT`] if it has no such fingerprint, [`codes::BAD_REQUEST`]
    /// for a row that it does not have or a reader or purpose that cannot be, [`codes::DATASET_CHANGED`] if the file is
    /// not the one of the fingerprint, [`codes::DATASET_INPUT`] if it cannot be read or the record is too long, or trouble
    /// of the store or the log.
    pub async fn open_record(&self, asked: OpenRecord, by: &str) -> Result<OpenedRecord, Trouble> {
        let reader = Reader::of(&asked.to, &asked.purpose)?;
        let (name, row) = (asked.dataset.clone(), asked.row);
        let version = self.datasets.version(&name, &asked.fingerprint).await?;
        let (opening, inspection) = self.datasets.make_opening(asked, version.clone()).await?;
        let what = json!({ "row": row });
        let entry = self.put_version_on_record(&name, &version, reader, "dataset-opened", what, by).await?;
        let columns = inspection.columns.into_iter().filter(|column| column.type_name != "nested");
        Ok(OpenedRecord {
            opening,
            fingerprint: version.fingerprint,
            rows: version.rows,
            columns: columns.map(|column| column.name).collect(),
            entry: entry.to_string(),
        })
    }

    /// Gives out the salt under the commitment to a dataset's lawful basis, once it is on record that it is given out.
    ///
    /// # Errors
    /// [`codes::DATASET_UNKNOWN`], [`codes::DATASET_FINGERPRINT`] if it has no such fingerprint, [`codes::BAD_REQUEST`]
    /// if that version has no basis, or for a reader or purpose that cannot be, or trouble of the store or the log.
    pub async fn open_basis(&self, asked: OpenBasis, by: &str) -> Result<OpenedBasis, Trouble> {
        let OpenBasis { dataset: name, fingerprint, to, purpose } = asked;
        let reader = Reader::of(&to, &purpose)?;
        let version = self.datasets.version(&name, &fingerprint).await?;
        let none = || Trouble::new(codes::BAD_REQUEST, format!("this version of {name} was added without a basis"));
        let commitment = version.basis.clone().ok_or_else(none)?;
        let salt = self.store.basis_salt(&name, &version.fingerprint).await?;
        let entry = self.put_version_on_record(&name, &version, reader, "basis-opened", json!({}), by).await?;
        Ok(OpenedBasis { salt, commitment, fingerprint: version.fingerprint, entry: entry.to_string() })
    }

    /// Gives out what opens the commitment to our output of a job: its salt and the digest of the output, once it is on
    /// record that they are given out.
    ///
    /// # Errors
    /// [`codes::JOB_UNKNOWN`], [`codes::RESULT_NONE`] if we received nothing or it was purged, [`codes::BAD_REQUEST`] for a
    /// reader or purpose that cannot be, or trouble of the store or the log.
    pub async fn open_output(&self, asked: OpenOutput, by: &str) -> Result<OpenedOutput, Trouble> {
        let reader = Reader::of(&asked.to, &asked.purpose)?;
        // Nothing is purged while it is being opened.
        let _closing = self.closing_entries.lock().await;
        let job = self.find(&asked.job).await?;
        let salt = self.store.salt(job.id).await?;
        let recorded = self.recorder.recorded(&about(&job), Kind::Result.as_str()).await?;
        let said = recorded.as_ref().map(|recorded| (recorded.entry.leaf(), recorded.entry.entry().body()));
        let (Some(salt), Some((target, Body::Result(ResultEntry { output: Some(commitment), .. })))) = (salt, said)
        else {
            return Err(self.without_result(&job));
        };
        let digest = self.output_digest(&job, commitment, &Salt::new(*salt)).await?;
        let event =
            NewEvent { job: Some(job.id), actor: by.to_owned(), kind: "output-opened".to_owned(), detail: json!({}) };
        let entry = self.put_opening_on_record(&about(&job), target, reader, event).await?;
        Ok(OpenedOutput { salt, digest, commitment: commitment.to_string(), entry: entry.to_string() })
    }

    /// The digest of a job's output to which this commitment opens.
    async fn output_digest(&self, job: &Job, commitment: &Commitment, salt: &Salt) -> Result<[u8; 32], Trouble> {
        let parts = self.store.result_parts(job.id).await?.ok_or_else(|| self.without_result(job))?;
        // A result of one part was committed to by itself; one of several together with their number.
        let whole = Outcome::Parts { parts, items: job.result_items.unwrap_or_default() }.encode();
        let mut together = Sha256::new_with_prefix(whole);
        let mut alone = None;
        for part in 0..parts {
            let bytes = self.store.result_part(job.id, part).await?;
            together.update(&bytes);
            alone = (parts == 1).then(|| Sha256::digest(&bytes).into());
        }
        let found = [Some(together.finalize().into()), alone].into_iter().flatten();
        let mut found = found.filter(|digest: &[u8; 32]| opens(commitment, Subject::Output, salt, digest));
        found.next().ok_or_else(|| Trouble::internal("the stored result is not the one on record"))
    }

    /// Puts on record that one value under the entry of this version is opened, and in the audit trail which.
    async fn put_version_on_record(
        &self,
        name: &str,
        version: &StoredFingerprint,
        reader: Reader,
        event: &str,
        mut detail: Value,
        by: &str,
    ) -> Result<LeafHash, Trouble> {
        let target = self.attest_version(name, version).await?.entry.leaf();
        detail["dataset"] = name.into();
        detail["fingerprint"] = version.fingerprint.as_str().into();
        let event = NewEvent { job: None, actor: by.to_owned(), kind: event.to_owned(), detail };
        self.put_opening_on_record(&about_dataset(name), target, reader, event).await
    }

    /// Puts on record that one value under an entry is opened, and in the audit trail which. An entry that a killed daemon
    /// had not logged yet goes into the log at the next start: more may be on record than was handed out, never less.
    async fn put_opening_on_record(
        &self,
        subject: &str,
        target: LeafHash,
        reader: Reader,
        mut event: NewEvent,
    ) -> Result<LeafHash, Trouble> {
        let Reader { to, purpose } = reader;
        event.detail["to"] = to.as_str().into();
        event.detail["purpose"] = purpose.as_str().into();
        let body = OpeningEntry { target, to, items: Count::new(1).map_err(unfit)?, purpose };
        let entry = self.recorder.sign_entry(self.recorder.header(Vec::new())?, body)?;
        let leaf = self.recorder.record(subject, entry).await?.entry.leaf();
        event.detail["entry"] = leaf.to_string().into();
        self.store.append_event(event).await?;
        Ok(leaf)
    }
}

impl Datasets {
    /// The version of a dataset with this fingerprint; the present one if it is empty.
    async fn version(&self, name: &str, fingerprint: &str) -> Result<StoredFingerprint, Trouble> {
        let which = (!fingerprint.is_empty()).then_some(fingerprint);
        let found = self.store().fingerprint(name, which).await?;
        found.ok_or_else(|| {
            let text = match which {
                Some(_) => format!("{name} never had this fingerprint"),
                None => format!("{name} was added before fingerprints were taken"),
            };
            Trouble::new(codes::DATASET_FINGERPRINT, text)
        })
    }

    async fn make_opening(
        &self,
        asked: OpenRecord,
        version: StoredFingerprint,
    ) -> Result<(Zeroizing<Vec<u8>>, Inspection), Trouble> {
        let OpenRecord { dataset: name, row, file, .. } = asked;
        let rows = version.rows;
        let outside = || {
            Trouble::new(codes::BAD_REQUEST, format!("there is no row {row}: {name} has {rows} rows, counted from 1"))
        };
        let index = row.checked_sub(1).ok_or_else(outside)?;
        let seed = DatasetSeed::new(*self.store().dataset_seed(&name, &version.fingerprint).await?);
        let opener = Opener::new(&seed, index, rows).map_err(|_| outside())?;
        let path = if file.as_os_str().is_empty() { self.store().dataset(&name).await?.path } else { file };
        let memory = self.room().memory;
        blocking(move || {
            let (source, digest) = reading(path, &version)?;
            open(opener, &source, &digest, &version, &Budget::of_bytes(memory))
        })
        .await
    }
}

/// How the file of a version is read, and what it must hash to.
fn reading(path: PathBuf, stored: &StoredFingerprint) -> Result<(Source, FileDigest), Trouble> {
    let unreadable = |error: serde_json::Error| Trouble::internal(format!("a stored dataset cannot be read: {error}"));
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
    let inspection = intake::visit_rows(source, None, Some(digest), budget, |record| opener.push(record))?;
    let other =
        |fault: OpenerFault| Trouble::internal(format!("the file is the same and its records are not: {fault}"));
    let (opening, found) = opener.finish().map_err(other)?;
    if found.to_string() != stored.fingerprint {
        return Err(Trouble::internal("the file is the same and its fingerprint is not"));
    }
    let long = |_| Trouble::new(codes::DATASET_INPUT, "the record is longer than an opening may be, 32 KiB");
    Ok((Zeroizing::new(opening.encode().map_err(long)?), inspection))
}
