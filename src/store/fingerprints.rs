//! What each version of a dataset is on record as, and the sealed seed that opens its records.

use serde_json::Value;
use zeroize::Zeroizing;

use super::database::Write;
use super::record::{Row, count, statement};
use super::{NewDataset, SealFault, Sealer, Store, StoreError};

/// What a seed is sealed as.
const PURPOSE: &str = "dataset-seed";

/// The fingerprint of one version of a dataset. Texts are as they stand in an entry.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredFingerprint {
    /// Names the dataset in entries: 32 hexadecimal digits, the same for all its versions.
    pub id: String,
    /// The fingerprint.
    pub fingerprint: String,
    /// The digest of its columns' names and types.
    pub schema: String,
    /// The exact number of records.
    pub rows: u64,
    /// The bytes of the file.
    pub size: u64,
    /// The digest of the file.
    pub digest: String,
    /// How the file is read.
    pub format: Value,
}

/// A fingerprint to store with a dataset. Neither `Clone` nor `Debug`; the seed is wiped on drop.
pub struct NewFingerprint {
    /// The name for entries, if the dataset has none yet.
    pub id: String,
    /// The fingerprint.
    pub fingerprint: String,
    /// The digest of its columns' names and types.
    pub schema: String,
    /// What the salts of its records are derived from.
    pub seed: Zeroizing<[u8; 32]>,
}

const SELECT: &str = "SELECT id, fingerprint, schema, row_count, size, digest, format FROM fingerprints
    WHERE dataset = $1 AND ($2 IS NULL OR fingerprint = $2) ORDER BY number DESC LIMIT 1";

impl Store {
    /// A fingerprint of a dataset: the present one, or with `which` that one, which may be of an earlier version. None
    /// if there is no such fingerprint, or the dataset was added by a version that made none.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is no such dataset; [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn fingerprint(
        &self,
        dataset: &str,
        which: Option<&str>,
    ) -> Result<Option<StoredFingerprint>, StoreError> {
        self.dataset(dataset).await?;
        let query = statement(SELECT).bind(dataset.to_owned()).bind(which.map(str::to_owned));
        self.row(query).await?.as_ref().map(read).transpose()
    }

    /// The seed of a fingerprint.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::SealBroken`], [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn dataset_seed(&self, dataset: &str, fingerprint: &str) -> Result<Zeroizing<[u8; 32]>, StoreError> {
        let sealer = self.sealer.read().await;
        let sql = "SELECT seed FROM fingerprints WHERE dataset = $1 AND fingerprint = $2
                   ORDER BY number DESC LIMIT 1";
        let row = self.row(statement(sql).bind(dataset.to_owned()).bind(fingerprint.to_owned())).await?;
        let row = row.ok_or_else(|| StoreError::not_found("fingerprint", dataset))?;
        let seed = open(&sealer, dataset, fingerprint, row.get("seed")?)?;
        let seed = <[u8; 32]>::try_from(seed.as_slice()).map_err(|_| broken(dataset, SealFault::Truncated))?;
        Ok(Zeroizing::new(seed))
    }
}

impl Write {
    /// Stores the fingerprint of a dataset's new version. The name for entries stays that of its first version.
    pub(crate) async fn put_fingerprint(
        &mut self,
        sealer: &Sealer,
        dataset: &NewDataset,
        new: &NewFingerprint,
    ) -> Result<(), StoreError> {
        let query = statement(SELECT).bind(dataset.name.clone()).bind(None::<String>);
        let id = match self.row(query).await? {
            Some(row) => row.get("id")?,
            None => new.id.clone(),
        };
        let seed = sealer.seal(PURPOSE, &[&dataset.name, &new.fingerprint], &new.seed[..])?;
        let sql = "INSERT INTO fingerprints (dataset, id, fingerprint, schema, row_count, size, digest, format, seed)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let query = statement(sql)
            .bind(dataset.name.clone())
            .bind(id)
            .bind(new.fingerprint.clone())
            .bind(new.schema.clone())
            .bind(count("the rows of a dataset", dataset.rows)?)
            .bind(count("the size of a dataset", dataset.size)?)
            .bind(dataset.digest.clone())
            .bind(dataset.format.to_string())
            .bind(seed);
        self.run(query).await?;
        Ok(())
    }

    /// Opens every seed with one key and seals it with another.
    pub(crate) async fn reseal_dataset_seeds(&mut self, old: &Sealer, new: &Sealer) -> Result<u64, StoreError> {
        let rows = self.rows(statement("SELECT number, dataset, fingerprint, seed FROM fingerprints")).await?;
        for row in &rows {
            let (dataset, fingerprint): (String, String) = (row.get("dataset")?, row.get("fingerprint")?);
            let seed = open(old, &dataset, &fingerprint, row.get("seed")?)?;
            let seed = new.seal(PURPOSE, &[&dataset, &fingerprint], &seed)?;
            let number: i64 = row.get("number")?;
            self.run(statement("UPDATE fingerprints SET seed = $2 WHERE number = $1").bind(number).bind(seed)).await?;
        }
        Ok(rows.len() as u64)
    }
}

fn open(sealer: &Sealer, dataset: &str, fingerprint: &str, blob: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    sealer.open(PURPOSE, &[dataset, fingerprint], blob).map_err(|fault| broken(dataset, fault))
}

fn broken(dataset: &str, fault: SealFault) -> StoreError {
    StoreError::SealBroken { what: format!("{PURPOSE} of {dataset}"), fault }
}

fn read(row: &Row) -> Result<StoredFingerprint, StoreError> {
    Ok(StoredFingerprint {
        id: row.get("id")?,
        fingerprint: row.get("fingerprint")?,
        schema: row.get("schema")?,
        rows: row.count("row_count")?,
        size: row.count("size")?,
        digest: row.get("digest")?,
        format: row.json("format")?,
    })
}
