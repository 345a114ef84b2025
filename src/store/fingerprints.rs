//! What each version of a dataset is on record as, with what opens it: the sealed seed for its records, the sealed salt
//! for the lawful basis.

use serde_json::Value;
use zeroize::Zeroizing;

use super::database::{Database, Transaction};
use super::record::{Row, count, statement};
use super::{NewDataset, SealFault, Sealer, StoreError};

/// What a seed and a salt are sealed as.
const SEED: &str = "dataset-seed";
const BASIS_SALT: &str = "basis-salt";

/// The fingerprint of one version of a dataset. Texts are as they stand in an entry.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredFingerprint {
    /// Its number here; a later version has a larger one.
    pub number: u64,
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
    /// The days that its data describe, if its owner stated them.
    pub period: Option<String>,
    /// The commitment to its lawful basis, if its owner gave one.
    pub basis: Option<String>,
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
    /// The days that its data describe.
    pub period: Option<String>,
    /// The commitment to its lawful basis.
    pub basis: Option<NewBasis>,
}

/// A commitment to a lawful basis. Neither `Clone` nor `Debug`; the salt is wiped on drop.
pub struct NewBasis {
    /// The commitment.
    pub commitment: String,
    /// Its salt.
    pub salt: Zeroizing<[u8; 32]>,
}

const SELECT: &str = "SELECT number, id, fingerprint, schema, row_count, size, digest, format, period, basis
    FROM fingerprints WHERE dataset = $1 AND ($2 IS NULL OR fingerprint = $2) ORDER BY number DESC";

/// What each version of a dataset is on record as.
#[derive(Clone, Copy)]
pub struct FingerprintTable<'s>(pub(super) &'s Database);

impl FingerprintTable<'_> {
    /// A fingerprint of a dataset: the present one, or with `which` that one, which may be of an earlier version. None
    /// if there is no such fingerprint, or the dataset was added by a version that made none.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is no such dataset; [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn get(self, dataset: &str, which: Option<&str>) -> Result<Option<StoredFingerprint>, StoreError> {
        self.require_dataset(dataset).await?;
        let query = statement(SELECT).bind(dataset.to_owned()).bind(which.map(str::to_owned));
        self.0.row(query).await?.as_ref().map(read).transpose()
    }

    /// The fingerprints of all versions of a dataset, the present one first.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is no such dataset; [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn all(self, dataset: &str) -> Result<Vec<StoredFingerprint>, StoreError> {
        self.require_dataset(dataset).await?;
        let query = statement(SELECT).bind(dataset.to_owned()).bind(None::<String>);
        self.0.rows(query).await?.iter().map(read).collect()
    }

    /// The seed of a fingerprint.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::SealBroken`], [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn seed(self, dataset: &str, fingerprint: &str) -> Result<Zeroizing<[u8; 32]>, StoreError> {
        let sql = "SELECT seed AS secret FROM fingerprints WHERE dataset = $1 AND fingerprint = $2
                   ORDER BY number DESC LIMIT 1";
        self.secret(SEED, sql, dataset, fingerprint).await
    }

    /// The salt of the commitment to the lawful basis that was given with a fingerprint.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also if none was given; [`StoreError::SealBroken`], [`StoreError::Corrupt`],
    /// [`StoreError::Io`].
    pub async fn basis_salt(self, dataset: &str, fingerprint: &str) -> Result<Zeroizing<[u8; 32]>, StoreError> {
        let sql = "SELECT basis_salt AS secret FROM fingerprints WHERE dataset = $1 AND fingerprint = $2
                   AND basis_salt IS NOT NULL ORDER BY number DESC LIMIT 1";
        self.secret(BASIS_SALT, sql, dataset, fingerprint).await
    }

    async fn require_dataset(self, name: &str) -> Result<(), StoreError> {
        let found = self.0.row(statement("SELECT name FROM datasets WHERE name = $1").bind(name.to_owned())).await?;
        found.map(drop).ok_or_else(|| StoreError::not_found("dataset", name))
    }

    async fn secret(
        self,
        purpose: &'static str,
        sql: &'static str,
        dataset: &str,
        fingerprint: &str,
    ) -> Result<Zeroizing<[u8; 32]>, StoreError> {
        let sealer = self.0.sealer.read().await;
        let row = self.0.row(statement(sql).bind(dataset.to_owned()).bind(fingerprint.to_owned())).await?;
        let row = row.ok_or_else(|| StoreError::not_found("fingerprint", dataset))?;
        let secret = open(&sealer, purpose, dataset, fingerprint, row.get("secret")?)?;
        let whole = <[u8; 32]>::try_from(secret.as_slice());
        Ok(Zeroizing::new(whole.map_err(|_| broken(purpose, dataset, SealFault::Truncated))?))
    }
}

/// Stores the fingerprint of a dataset's new version. The name for entries stays that of its first version.
pub(crate) async fn put_fingerprint(
    write: &mut Transaction,
    sealer: &Sealer,
    dataset: &NewDataset,
    new: &NewFingerprint,
) -> Result<(), StoreError> {
    let query = statement(SELECT).bind(dataset.name.clone()).bind(None::<String>);
    let id = match write.row(query).await? {
        Some(row) => row.get("id")?,
        None => new.id.clone(),
    };
    let bound = [dataset.name.as_str(), &new.fingerprint];
    let seed = sealer.seal(SEED, &bound, &new.seed[..])?;
    let salt = new.basis.as_ref().map(|basis| sealer.seal(BASIS_SALT, &bound, &basis.salt[..])).transpose()?;
    let sql = "INSERT INTO fingerprints
            (dataset, id, fingerprint, schema, row_count, size, digest, format, seed, period, basis, basis_salt)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    let query = statement(sql)
        .bind(dataset.name.clone())
        .bind(id)
        .bind(new.fingerprint.clone())
        .bind(new.schema.clone())
        .bind(count("the rows of a dataset", dataset.rows)?)
        .bind(count("the size of a dataset", dataset.size)?)
        .bind(dataset.digest.clone())
        .bind(dataset.format.to_string())
        .bind(seed)
        .bind(new.period.clone())
        .bind(new.basis.as_ref().map(|basis| basis.commitment.clone()))
        .bind(salt);
    write.run(query).await?;
    Ok(())
}

/// Opens every seed and every salt with one key and seals it with another. Returns how many there are.
pub(crate) async fn reseal_fingerprints(
    write: &mut Transaction,
    old: &Sealer,
    new: &Sealer,
) -> Result<u64, StoreError> {
    let rows = write.rows(statement("SELECT number, dataset, fingerprint, seed, basis_salt FROM fingerprints")).await?;
    let mut resealed = 0;
    for row in &rows {
        let (dataset, fingerprint): (String, String) = (row.get("dataset")?, row.get("fingerprint")?);
        let anew = |purpose, blob: &[u8]| {
            let secret = open(old, purpose, &dataset, &fingerprint, blob)?;
            new.seal(purpose, &[&dataset, &fingerprint], &secret)
        };
        let seed = anew(SEED, row.get("seed")?)?;
        let salt: Option<&[u8]> = row.get("basis_salt")?;
        let salt = salt.map(|salt| anew(BASIS_SALT, salt)).transpose()?;
        resealed += 1 + u64::from(salt.is_some());
        let number: i64 = row.get("number")?;
        let sql = "UPDATE fingerprints SET seed = $2, basis_salt = $3 WHERE number = $1";
        write.run(statement(sql).bind(number).bind(seed).bind(salt)).await?;
    }
    Ok(resealed)
}

fn open(
    sealer: &Sealer,
    purpose: &'static str,
    dataset: &str,
    fingerprint: &str,
    blob: &[u8],
) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    sealer.open(purpose, &[dataset, fingerprint], blob).map_err(|fault| broken(purpose, dataset, fault))
}

fn broken(purpose: &str, dataset: &str, fault: SealFault) -> StoreError {
    StoreError::SealBroken { what: format!("{purpose} of {dataset}"), fault }
}

fn read(row: &Row) -> Result<StoredFingerprint, StoreError> {
    Ok(StoredFingerprint {
        number: row.count("number")?,
        id: row.get("id")?,
        fingerprint: row.get("fingerprint")?,
        schema: row.get("schema")?,
        rows: row.count("row_count")?,
        size: row.count("size")?,
        digest: row.get("digest")?,
        format: row.json("format")?,
        period: row.get("period")?,
        basis: row.get("basis")?,
    })
}
