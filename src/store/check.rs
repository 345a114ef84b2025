//! Whether a store would open, told without opening it.

use std::fs;
use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use super::database::{Schema, check_schema, options, settled};
use super::key_check::KEY_CHECK;
use super::lock::beside;
use super::{SealFault, Sealer, StoreError, files};

/// The largest store that is copied to be looked at. One whose write-ahead log still holds what shows its key is far
/// smaller: SQLite moves the log into the database after a few megabytes.
const COPIED: u64 = 256 << 20;

/// Whether [`Store::open`](super::Store::open) would open what is at `path` with this key, or make a new store there.
/// Nothing beside it is changed and no lock is taken: nobody else may have the store open. What its last process left in
/// the write-ahead log is read in a private copy.
///
/// # Errors
/// As [`Store::open`](super::Store::open).
pub async fn check_store(path: &Path, sealer: &Sealer) -> Result<(), StoreError> {
    let path = settled(path)?;
    for suffix in ["", "-wal", "-shm", ".lock"] {
        files::refuse_loose(&beside(&path, suffix))?;
    }
    let length = |suffix| fs::metadata(beside(&path, suffix)).map_or(0, |found| found.len());
    let (database, log) = (length(""), length("-wal"));
    if database == 0 && log == 0 {
        return Ok(());
    }
    // As it stands in the database alone, which is nearly always all that is to be known.
    let alone = SqliteConnectOptions::new().filename(&path).read_only(true).immutable(true).disable_statement_logging();
    let found = look(&path, alone, sealer).await;
    if matches!(found, Ok(Found::Key)) || log == 0 || database + log > COPIED {
        return found.map(drop);
    }
    let folder = tempfile::tempdir().map_err(|error| StoreError::io(&std::env::temp_dir(), error))?;
    let copy = folder.path().join("store");
    for suffix in ["", "-wal"] {
        let to = beside(&copy, suffix);
        fs::copy(beside(&path, suffix), &to).map_err(|error| StoreError::io(&to, error))?;
    }
    look(&path, options(&copy).pragma("query_only", "ON"), sealer).await.map(drop)
}

/// What a store shows about the key it is sealed with.
enum Found {
    /// It is ours.
    Key,
    /// Nothing yet.
    Nothing,
}

/// Looks at the store called `path` by a connection made with `options`.
async fn look(path: &Path, options: SqliteConnectOptions, sealer: &Sealer) -> Result<Found, StoreError> {
    let fault = |error| StoreError::database(path, error);
    let mut connection = options.connect().await.map_err(fault)?;
    if check_schema(path, &mut connection).await? == Schema::Empty {
        return Ok(Found::Nothing);
    }
    let query = sqlx::query_scalar("SELECT value FROM meta WHERE name = $1").bind(KEY_CHECK);
    let blob: Option<Vec<u8>> = query.fetch_optional(&mut connection).await.map_err(fault)?;
    connection.close().await.map_err(fault)?;
    match blob.map(|blob| sealer.open(KEY_CHECK, &[], &blob)) {
        None => Ok(Found::Nothing),
        Some(Ok(_)) => Ok(Found::Key),
        Some(Err(SealFault::OtherKey(sealed_with))) => {
            Err(StoreError::WrongKey { sealed_with, given: sealer.key_id() })
        }
        Some(Err(fault)) => Err(StoreError::SealBroken { what: KEY_CHECK.to_owned(), fault }),
    }
}
