//! How a file is read: in an operator's words, as the store keeps it, and for who reads it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::view::NewDataset;
use crate::codes::{self, Error};
use crate::intake::{
    self, Duplicates, Encoding, FileDigest, Format, Inspection, Invalid, KeyColumn, KeySpec, Profile, Source,
};
use crate::store::{Dataset, DatasetKey, NewDataset as StoredDataset, StoredFingerprint};

/// How a dataset's file is read, as the store keeps it.
#[derive(Serialize, Deserialize)]
struct Settings {
    duplicates: Duplicates,
    invalid: Invalid,
}

/// A dataset as the store keeps it.
pub(super) fn stored(
    name: String,
    path: PathBuf,
    format: serde_json::Value,
    inspected: &Inspection,
    spec: &KeySpec,
) -> Result<StoredDataset, Error> {
    let key = |of: &KeyColumn| DatasetKey { column: of.column.clone(), profile: of.profile.to_string() };
    Ok(StoredDataset {
        name,
        path,
        format,
        columns: json!(inspected.columns.iter().map(|column| &column.name).collect::<Vec<_>>()),
        keys: spec.columns.iter().map(key).collect(),
        settings: json(&Settings { duplicates: spec.duplicates, invalid: spec.invalid })?,
        rows: inspected.rows,
        size: inspected.digest.size,
        digest: digest_text(&inspected.digest),
    })
}

/// How a registered file is read, and what it must hash to. A frame brings its own format.
pub(super) fn reading(dataset: &Dataset, frame: Option<Format>) -> Result<(Source, KeySpec, FileDigest), Error> {
    let format = match frame {
        Some(frame) => frame,
        None => serde_json::from_value(dataset.format.clone()).map_err(unreadable)?,
    };
    let settings: Settings = serde_json::from_value(dataset.settings.clone()).map_err(unreadable)?;
    let keys: Vec<_> = dataset.keys.iter().map(|key| (key.column.clone(), key.profile.clone())).collect();
    let spec = KeySpec { columns: key_columns(&keys)?, duplicates: settings.duplicates, invalid: settings.invalid };
    Ok((Source { path: dataset.path.clone(), format }, spec, digest_of(&dataset.digest, dataset.size)?))
}

/// How the file of a version is read, wherever it is now, and what it must hash to.
pub(super) fn reading_version(path: PathBuf, version: &StoredFingerprint) -> Result<(Source, FileDigest), Error> {
    let format = serde_json::from_value(version.format.clone()).map_err(unreadable)?;
    Ok((Source { path, format }, digest_of(&version.digest, version.size)?))
}

fn digest_of(text: &str, size: u64) -> Result<FileDigest, Error> {
    let digits = text.strip_prefix("sha256:").unwrap_or_default();
    serde_json::from_value(json!({ "size": size, "sha256": digits })).map_err(unreadable)
}

fn unreadable(error: serde_json::Error) -> Error {
    Error::damaged(format!("a stored dataset cannot be read: {error}"))
}

fn digest_text(digest: &FileDigest) -> String {
    format!("sha256:{}", data_encoding::HEXLOWER.encode(&digest.sha256))
}

/// The format of a new file, by its settings or its ending.
pub(super) fn format_of(new: &NewDataset) -> Result<Format, Error> {
    let bad = |text: String| Error::new(codes::BAD_REQUEST, text);
    let ending = new.path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
    let name = if new.format.is_empty() && ending == "parquet" { "parquet" } else { new.format.as_str() };
    match name {
        "parquet" if new.no_header => {
            Err(bad("a Parquet file always names its columns; leave out no-header".to_owned()))
        }
        "parquet" => Ok(Format::Parquet),
        "" | "csv" => {
            let encoding: Encoding = named(&new.encoding, "encodings are utf-8, gbk and gb18030")?;
            // A tab is hard to type at a prompt.
            let written = if ["tab", "\\t"].contains(&new.delimiter.as_str()) { "\t" } else { new.delimiter.as_str() };
            let mut characters = written.chars();
            let delimiter = match (characters.next(), characters.next()) {
                (None, _) => intake::Delimiter::COMMA,
                (Some(delimiter), None) => {
                    delimiter.try_into().map_err(|error: intake::BadDelimiter| bad(error.to_string()))?
                }
                _ => return Err(bad("a delimiter is one character, or tab".to_owned())),
            };
            Ok(Format::Csv { encoding, delimiter, header: !new.no_header })
        }
        _ => Err(bad("formats are csv and parquet".to_owned())),
    }
}

fn key_columns(keys: &[(String, String)]) -> Result<Vec<KeyColumn>, Error> {
    if keys.is_empty() {
        return Err(Error::new(codes::BAD_REQUEST, "a dataset has at least one key column, COLUMN=PROFILE"));
    }
    let column = |(column, profile): &(String, String)| {
        let unknown = |error: intake::UnknownProfile| Error::new(codes::BAD_REQUEST, error.to_string());
        Ok(KeyColumn { column: column.clone(), profile: profile.parse::<Profile>().map_err(unknown)? })
    };
    keys.iter().map(column).collect()
}

/// A setting by its name; the default if it is empty.
fn named<T: Default + for<'de> Deserialize<'de>>(name: &str, known: &str) -> Result<T, Error> {
    if name.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_value(name.into()).map_err(|_| Error::new(codes::BAD_REQUEST, known))
}

/// A value as the store keeps it.
pub(super) fn json(value: &impl Serialize) -> Result<serde_json::Value, Error> {
    serde_json::to_value(value).map_err(|error| Error::internal(error.to_string()))
}

/// How keys are read: columns with their profiles, and the settings for repeated and invalid keys by their names.
///
/// # Errors
/// [`codes::BAD_REQUEST`] for what does not exist.
pub(crate) fn key_spec(keys: &[(String, String)], duplicates: &str, invalid: &str) -> Result<KeySpec, Error> {
    Ok(KeySpec {
        columns: key_columns(keys)?,
        duplicates: named(duplicates, "duplicates are error, first or all")?,
        invalid: named(invalid, "invalid rows are error or skip")?,
    })
}

/// Runs work that reads files or computes for long, away from the threads that serve the network.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::internal("reading a file ended unexpectedly"))?
}
