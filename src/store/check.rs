//! Whether a store would open, told without opening it.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use super::database::{KEY_CHECK, Schema, check_schema, settled};
use super::lock::beside;
use super::{SealFault, Sealer, StoreError, files};

/// How every SQLite database begins.
const MAGIC: &[u8] = b"SQLite format 3\0";

/// Whether [`Store::open`](super::Store::open) would open what is at `path` with this key, or make a new store there.
/// Nothing is changed and no lock is taken: nobody else may have the store open. What a killed process left in the
/// write-ahead log is not looked at.
///
/// # Errors
/// As [`Store::open`](super::Store::open).
pub async fn check_store(path: &Path, sealer: &Sealer) -> Result<(), StoreError> {
    let path = settled(path)?;
    for suffix in ["", "-wal", "-shm", ".lock"] {
        files::refuse_loose(&beside(&path, suffix))?;
    }
    let is_there = |suffix| std::fs::metadata(beside(&path, suffix)).is_ok_and(|found| found.len() > 0);
    if !is_there("") {
        return Ok(());
    }
    match check(&path, sealer).await {
        // It may be half of a write that the next start makes whole.
        Err(StoreError::Corrupt { .. } | StoreError::Database { .. }) if is_there("-wal") && begins_well(&path)? => {
            Ok(())
        }
        checked => checked,
    }
}

async fn check(path: &Path, sealer: &Sealer) -> Result<(), StoreError> {
    let fault = |error| StoreError::database(path, error);
    let options = SqliteConnectOptions::new().filename(path).read_only(true).immutable(true);
    let mut connection = options.disable_statement_logging().connect().await.map_err(fault)?;
    if check_schema(path, &mut connection).await? == Schema::Empty {
        return Ok(());
    }
    let found: Option<Vec<u8>> = sqlx::query_scalar("SELECT value FROM meta WHERE name = $1")
        .bind(KEY_CHECK)
        .fetch_optional(&mut connection)
        .await
        .map_err(fault)?;
    connection.close().await.map_err(fault)?;
    match found.map(|blob| sealer.open(KEY_CHECK, &[], &blob)) {
        None | Some(Ok(_)) => Ok(()),
        Some(Err(SealFault::OtherKey(sealed_with))) => {
            Err(StoreError::WrongKey { sealed_with, given: sealer.key_id() })
        }
        Some(Err(fault)) => Err(StoreError::SealBroken { what: KEY_CHECK.to_owned(), fault }),
    }
}

fn begins_well(path: &Path) -> Result<bool, StoreError> {
    let mut found = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut found));
    read.map_err(|error| StoreError::io(path, error))?;
    Ok(found == MAGIC)
}
