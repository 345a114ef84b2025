//! Whether a store would open, told without opening it.

use std::fs;
use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use super::database::{Schema, check_schema, options, settled, sound};
use super::lock::beside;
use super::parties::refuse_ours;
use super::{Ourselves, Sealer, StoreError, files};

/// The largest store that is copied to be looked at together with its write-ahead log.
const COPIED: u64 = 256 << 20;

/// Whether [`Store::open`](super::Store::open) would open what is at `path` with this key, or make a new store there, and
/// whether it can be this party's.
/// Nothing beside it is changed and no lock is taken: nobody else may have the store open. What its last process left in
/// the write-ahead log is read in a private copy.
///
/// # Errors
/// As [`Store::open`](super::Store::open), and [`StoreError::Roster`] if somebody else has this party's name or key in it.
pub async fn check_store(path: &Path, sealer: &Sealer, ours: Option<Ourselves>) -> Result<(), StoreError> {
    let path = settled(path)?;
    for suffix in ["", "-wal", "-shm", ".lock"] {
        files::refuse_loose(&beside(&path, suffix))?;
    }
    let length = |suffix| fs::metadata(beside(&path, suffix)).map_or(0, |found| found.len());
    let (database, log) = (length(""), length("-wal"));
    if database == 0 && log == 0 {
        return Ok(());
    }
    if log == 0 || database + log > COPIED {
        let alone =
            SqliteConnectOptions::new().filename(&path).read_only(true).immutable(true).disable_statement_logging();
        return match look(&path, alone, sealer, ours).await {
            // Without the log the database may be of two moments.
            Err(StoreError::Forged { .. }) if log > 0 => Ok(()),
            found => found,
        };
    }
    let folder = tempfile::tempdir().map_err(|error| StoreError::io(&std::env::temp_dir(), error))?;
    let copy = folder.path().join("store");
    for suffix in ["", "-wal"] {
        let to = beside(&copy, suffix);
        fs::copy(beside(&path, suffix), &to).map_err(|error| StoreError::io(&to, error))?;
    }
    look(&path, options(&copy).pragma("query_only", "ON"), sealer, ours).await
}

/// Looks at the store called `path` by a connection made with `options`.
async fn look(
    path: &Path,
    options: SqliteConnectOptions,
    sealer: &Sealer,
    ours: Option<Ourselves>,
) -> Result<(), StoreError> {
    let fault = |error| StoreError::database(path, error);
    let mut connection = options.connect().await.map_err(fault)?;
    if check_schema(path, &mut connection).await? == Schema::Empty {
        return Ok(());
    }
    let found = match sound(path, &mut connection, sealer).await {
        Ok(Some(_)) => sqlx::query_as("SELECT party, signing_key FROM known_parties")
            .fetch_all(&mut connection)
            .await
            .map_err(|error| StoreError::database(path, error)),
        Ok(None) => Ok(Vec::new()),
        Err(error) => Err(error),
    };
    connection.close().await.map_err(fault)?;
    let known: Vec<(String, String)> = found?;
    let Some(ours) = ours else { return Ok(()) };
    // Names and keys that cannot be read are damage, and told when they are needed.
    let read = known.iter().filter_map(|(party, key)| Some((party.parse().ok()?, key.parse().ok()?)));
    read.into_iter().try_for_each(|(party, key)| Ok(refuse_ours(ours, party, &key)?))
}
