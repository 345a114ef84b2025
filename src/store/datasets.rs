//! The datasets we may compute on: where they lie and what they looked like when they were added. Never their rows.

use std::path::PathBuf;

use data_encoding::HEXLOWER;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::database::{Database, Transaction};
use super::entries::put_entries;
use super::events::note;
use super::fingerprints::put_fingerprint;
use super::in_use::refuse_in_use;
use super::record::{Row, count, moment, statement};
use super::{Dataset, NewDataset, NewEntry, NewFingerprint, StoreError, StoredEntry};

const SELECT: &str =
    "SELECT name, path, format, columns, keys, settings, row_count, size, digest, added_at, replaced_at
    FROM datasets WHERE ($1 IS NULL OR name = $1) ORDER BY name";

/// Datasets.
#[derive(Clone, Copy)]
pub struct DatasetTable<'s>(pub(super) &'s Database);

impl DatasetTable<'_> {
    /// Adds a dataset with its fingerprint, or gives an existing name new content if `replace` is set. Rules for the
    /// name stay, and so do the fingerprints of its earlier versions.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`] if the name is taken and `replace` is not set; [`StoreError::InUse`] if it is
    /// and unfinished jobs compute on it; [`StoreError::Invalid`] for a name, path, count or digest that cannot be
    /// one; [`StoreError::DiskFull`], [`StoreError::Busy`], [`StoreError::Io`].
    pub async fn add(
        self,
        dataset: NewDataset,
        fingerprint: &NewFingerprint,
        replace: bool,
        by: &str,
    ) -> Result<Dataset, StoreError> {
        check(&dataset)?;
        let path = dataset.path.to_str().ok_or_else(|| {
            StoreError::invalid("the path of a dataset", "it is not UTF-8; rename the file or its folders")
        })?;
        let sealer = self.0.sealer.read().await;
        let mut write = self.0.begin_trusted().await?;
        let found = write.row(statement(SELECT).bind(dataset.name.clone())).await?;
        let old = found.as_ref().map(read).transpose()?;
        if old.is_some() {
            if !replace {
                return Err(StoreError::already_exists("dataset", dataset.name));
            }
            refuse_in_use(&mut write, "dataset", &dataset.name).await?;
        }
        let replaced_at = old.as_ref().map(|_| write.now);
        let added_at = old.as_ref().map_or(write.now, |old| old.added_at);
        let sql = "INSERT INTO datasets
                (name, path, format, columns, keys, settings, row_count, size, digest, added_at, replaced_at, stamp)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
            ON CONFLICT (name) DO UPDATE SET path = excluded.path, format = excluded.format,
                columns = excluded.columns, keys = excluded.keys, settings = excluded.settings,
                row_count = excluded.row_count, size = excluded.size, digest = excluded.digest,
                replaced_at = excluded.replaced_at, stamp = excluded.stamp";
        let query = statement(sql)
            .bind(dataset.name.clone())
            .bind(path.to_owned())
            .bind(dataset.format.to_string())
            .bind(dataset.columns.to_string())
            .bind(json!(dataset.keys).to_string())
            .bind(dataset.settings.to_string())
            .bind(count("the rows of a dataset", dataset.rows)?)
            .bind(count("the size of a dataset", dataset.size)?)
            .bind(dataset.digest.clone())
            .bind(moment(added_at))
            .bind(replaced_at.map(moment))
            .bind(stamp(&dataset));
        write.run(query).await?;
        put_fingerprint(&mut write, &sealer, &dataset, fingerprint).await?;
        let kind = if old.is_some() { "dataset-replaced" } else { "dataset-added" };
        let old_digest = old.map(|old| old.digest);
        let detail = json!({
            "dataset": dataset.name, "rows": dataset.rows, "digest": dataset.digest, "old_digest": old_digest,
            "fingerprint": fingerprint.fingerprint,
        });
        note(&mut write, by, kind, detail).await?;
        write.commit_trusted().await?;
        let NewDataset { name, path, format, columns, keys, settings, rows, size, digest } = dataset;
        Ok(Dataset { name, path, format, columns, keys, settings, rows, size, digest, added_at, replaced_at })
    }

    /// The dataset of this name.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn get(self, name: &str) -> Result<Dataset, StoreError> {
        let row = self.0.row(statement(SELECT).bind(name.to_owned())).await?;
        read(&row.ok_or_else(|| StoreError::not_found("dataset", name))?)
    }

    /// All datasets, by name.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn all(self) -> Result<Vec<Dataset>, StoreError> {
        self.0.rows(statement(SELECT).bind(None::<String>)).await?.iter().map(read).collect()
    }

    /// Forgets a dataset with every rule about it, and puts down the entries that say so. The file itself is not touched.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::InUse`] while unfinished jobs compute on it;
    /// [`StoreError::DiskFull`], [`StoreError::Busy`], [`StoreError::Io`].
    pub async fn remove(self, name: &str, by: &str, entries: Vec<NewEntry>) -> Result<Vec<StoredEntry>, StoreError> {
        let mut write = self.0.begin_trusted().await?;
        refuse_in_use(&mut write, "dataset", name).await?;
        if write.run(statement("DELETE FROM datasets WHERE name = $1").bind(name.to_owned())).await? == 0 {
            return Err(StoreError::not_found("dataset", name));
        }
        note(&mut write, by, "dataset-removed", json!({ "dataset": name })).await?;
        let stored = put_entries(&mut write, entries).await?;
        write.commit_trusted().await?;
        // The seeds and salts that went are in no file of the store any more.
        self.0.cut_log().await;
        Ok(stored)
    }
}

/// Refuses a name that no dataset has.
pub(crate) async fn require_dataset(write: &mut Transaction, name: &str) -> Result<(), StoreError> {
    let found = write.row(statement("SELECT name FROM datasets WHERE name = $1").bind(name.to_owned())).await?;
    found.map(drop).ok_or_else(|| StoreError::not_found("dataset", name))
}

/// Whether a dataset may have this name.
///
/// # Errors
/// [`StoreError::Invalid`].
pub fn check_dataset_name(name: &str) -> Result<(), StoreError> {
    let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
    if (1..=64).contains(&name.len()) && name.bytes().all(fits) {
        return Ok(());
    }
    Err(StoreError::invalid("the name of a dataset", "it is 1 to 64 characters of a-z, 0-9, '-', '_' and '.'"))
}

/// A hash over all that says what is read of a file and how: a rule that was given for one is given for no other.
fn stamp(dataset: &NewDataset) -> String {
    let NewDataset { format, columns, keys, settings, digest, .. } = dataset;
    let text = json!([format, columns, keys, settings, digest]).to_string();
    format!("sha256:{}", HEXLOWER.encode(&Sha256::digest(text)))
}

fn check(dataset: &NewDataset) -> Result<(), StoreError> {
    check_dataset_name(&dataset.name)?;
    let hexadecimal = |digits: &str| {
        (32..=128).contains(&digits.len()) && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    match dataset.digest.split_once(':') {
        Some((algorithm, digits)) if !algorithm.is_empty() && hexadecimal(digits) => Ok(()),
        _ => Err(StoreError::invalid("the digest of a dataset", "it is an algorithm, ':' and hexadecimal digits")),
    }
}

fn read(row: &Row) -> Result<Dataset, StoreError> {
    Ok(Dataset {
        name: row.get("name")?,
        path: PathBuf::from(row.get::<String>("path")?),
        format: row.json("format")?,
        columns: row.json("columns")?,
        keys: serde_json::from_value(row.json("keys")?).map_err(|_| row.damaged("keys"))?,
        settings: row.json("settings")?,
        rows: row.count("row_count")?,
        size: row.count("size")?,
        digest: row.get("digest")?,
        added_at: row.parse("added_at")?,
        replaced_at: row.parse_optional("replaced_at")?,
    })
}
