//! What entries about datasets commit to, opened to an arbiter: one record, or the salt of the lawful basis. That it was
//! opened, to whom and why goes on record before it is handed out; what it is does not.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};
use tacitly_attestation::dataset::{DatasetSeed, Opener, OpenerFault};
use tacitly_attestation::entry::LeafHash;
use zeroize::Zeroizing;

use super::settings::{blocking, reading_version};
use super::versions::{Versions, about};
use crate::attest::Reader;
use crate::codes::{self, Error};
use crate::intake::{self, Budget, FileDigest, Inspection, Source};
use crate::store::{NewEvent, Store, StoredFingerprint};

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

/// Opens what is on record about datasets.
pub struct Openings {
    store: Arc<Store>,
    versions: Arc<Versions>,
    /// Bytes that reading a file may take.
    memory: usize,
}

impl Openings {
    pub(super) fn new(store: Arc<Store>, versions: Arc<Versions>, memory: usize) -> Self {
        Self { store, versions, memory }
    }

    /// Opens one record: reads the file of the version asked for once more, makes the opening, and puts on record that
    /// there is one. Its entry stands in our log, durable, when this returns.
    ///
    /// # Errors
    /// [`codes::DATASET_UNKNOWN`], [`codes::DATASET_FINGERPRINT`] if it has no such fingerprint, [`codes::BAD_REQUEST`]
    /// for a row that it does not have or a reader or purpose that cannot be, [`codes::DATASET_CHANGED`] if the file is
    /// not the one of the fingerprint, [`codes::DATASET_INPUT`] if it cannot be read or the record is too long, or an error
    /// of the store or the log.
    pub async fn record(&self, asked: OpenRecord, by: &str) -> Result<OpenedRecord, Error> {
        let reader = Reader::of(&asked.to, &asked.purpose)?;
        let (name, row) = (asked.dataset.clone(), asked.row);
        let version = self.versions.version(&name, &asked.fingerprint).await?;
        let (opening, inspection) = self.make_opening(asked, version.clone()).await?;
        let what = json!({ "row": row });
        let entry = self.put_on_record(&name, &version, reader, "dataset-opened", what, by).await?;
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
    /// if that version has no basis, or for a reader or purpose that cannot be, or an error of the store or the log.
    pub async fn basis(&self, asked: OpenBasis, by: &str) -> Result<OpenedBasis, Error> {
        let OpenBasis { dataset: name, fingerprint, to, purpose } = asked;
        let reader = Reader::of(&to, &purpose)?;
        let version = self.versions.version(&name, &fingerprint).await?;
        let none = || Error::new(codes::BAD_REQUEST, format!("this version of {name} was added without a basis"));
        let commitment = version.basis.clone().ok_or_else(none)?;
        let salt = self.store.fingerprints().basis_salt(&name, &version.fingerprint).await?;
        let entry = self.put_on_record(&name, &version, reader, "basis-opened", json!({}), by).await?;
        Ok(OpenedBasis { salt, commitment, fingerprint: version.fingerprint, entry: entry.to_string() })
    }

    async fn make_opening(
        &self,
        asked: OpenRecord,
        version: StoredFingerprint,
    ) -> Result<(Zeroizing<Vec<u8>>, Inspection), Error> {
        let OpenRecord { dataset: name, row, file, .. } = asked;
        let rows = version.rows;
        let outside =
            || Error::new(codes::BAD_REQUEST, format!("there is no row {row}: {name} has {rows} rows, counted from 1"));
        let index = row.checked_sub(1).ok_or_else(outside)?;
        let seed = DatasetSeed::new(*self.store.fingerprints().seed(&name, &version.fingerprint).await?);
        let opener = Opener::new(&seed, index, rows).map_err(|_| outside())?;
        let path = if file.as_os_str().is_empty() { self.store.datasets().get(&name).await?.path } else { file };
        let memory = self.memory;
        blocking(move || {
            let (source, digest) = reading_version(path, &version)?;
            open(opener, &source, &digest, &version, &Budget::of_bytes(memory))
        })
        .await
    }

    /// Puts on record that one value under the entry of this version is opened, and in the audit trail which.
    async fn put_on_record(
        &self,
        name: &str,
        version: &StoredFingerprint,
        reader: Reader,
        event: &str,
        mut detail: Value,
        by: &str,
    ) -> Result<LeafHash, Error> {
        let target = self.versions.attest_version(name, version).await?.entry.leaf();
        detail["dataset"] = name.into();
        detail["fingerprint"] = version.fingerprint.as_str().into();
        let event = NewEvent { job: None, actor: by.to_owned(), kind: event.to_owned(), detail };
        self.versions.recorder().record_opening(&about(name), target, reader, event).await
    }
}

fn open(
    mut opener: Opener,
    source: &Source,
    digest: &FileDigest,
    stored: &StoredFingerprint,
    budget: &Budget<'_>,
) -> Result<(Zeroizing<Vec<u8>>, Inspection), Error> {
    let inspection = intake::visit_rows(source, None, Some(digest), budget, |record| opener.push(record))?;
    let other = |fault: OpenerFault| Error::damaged(format!("the file is the same and its records are not: {fault}"));
    let (opening, found) = opener.finish().map_err(other)?;
    if found.to_string() != stored.fingerprint {
        return Err(Error::damaged("the file is the same and its fingerprint is not"));
    }
    let long = |_| Error::new(codes::DATASET_INPUT, "the record is longer than an opening may be, 32 KiB");
    Ok((Zeroizing::new(opening.encode().map_err(long)?), inspection))
}
