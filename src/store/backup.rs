//! Copies of a store: made while it is in use, checked before one takes a store's place.
//!
//! A backup holds what the store held at one moment, sealed values sealed as they are: to use it, the sealing key of
//! that moment is needed. It also holds the seeds of jobs that were under way, so it is as private as the store.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{ConnectOptions, Connection};

use super::database::{Database, MIGRATIONS, Schema, check_schema, damage, migration_fault, options, settled};
use super::events::note;
use super::lock::{Lock, beside};
use super::record::{moment, statement};
use super::{StoreError, files};

/// Under which name a restored store holds who restored it from where, until it is opened.
const RESTORED: &str = "restored";

/// Enters into the audit trail that the store was a backup, of which [`restore`] has left word.
pub(crate) async fn note_restore(database: &Database) -> Result<(), StoreError> {
    let here = || statement("SELECT value FROM meta WHERE name = $1").bind(RESTORED);
    let Some(restored) = database.row(here()).await? else { return Ok(()) };
    let word: Vec<u8> = restored.get("value")?;
    let (by, detail): (String, Value) = serde_json::from_slice(&word).map_err(|_| restored.damaged("value"))?;
    let mut write = database.begin().await?;
    note(&mut write, &by, "store-restored", detail).await?;
    write.run(statement("DELETE FROM meta WHERE name = $1").bind(RESTORED)).await?;
    write.commit().await
}

/// Writes a copy of the open store at `from` to a new file. See [`Store::backup`](super::Store::backup).
pub(crate) async fn backup(from: &Path, to: &Path) -> Result<(), StoreError> {
    let to = settled(to)?;
    refuse_existing(&to)?;
    let copy = files::unplaced(&to)?;
    let name = copy.path().to_str().ok_or_else(|| StoreError::invalid("the path of a backup", "it is not UTF-8"))?;
    // What is damaged is the store; what cannot be written is the backup.
    let fault = |error| blame(StoreError::database(&to, error), from);
    let mut connection = options(from).connect().await.map_err(fault)?;
    let copied = sqlx::query("VACUUM INTO $1").bind(name.to_owned()).execute(&mut connection).await;
    connection.close().await.map_err(fault)?;
    copied.map_err(fault)?;
    files::place(copy, &to)
}

/// Puts a backup where a store shall be, after checking that it is whole and of a version that this software knows.
/// Once it is opened, the audit trail of the restored store says so.
///
/// Jobs that are unfinished in the backup may have gone on in the store that was lost, and may have released what they
/// release: whoever restores asks the peer, or ends them, before they run again.
///
/// # Errors
/// [`StoreError::AlreadyExists`] if there is a store (move it away first, with its `-wal` and `-shm` files);
/// [`StoreError::Locked`] if a process has it open; [`StoreError::Permissions`] if others may reach the backup;
/// [`StoreError::Corrupt`], [`StoreError::NotAStore`], [`StoreError::SchemaNewer`] for a backup that cannot be used;
/// [`StoreError::DiskFull`], [`StoreError::Io`].
pub async fn restore(from: &Path, to: &Path, by: &str) -> Result<(), StoreError> {
    let to = settled(to)?;
    let _lock = Lock::take(&to)?;
    for suffix in ["", "-wal", "-shm"] {
        refuse_existing(&beside(&to, suffix))?;
    }
    let io = |error| StoreError::io(from, error);
    files::refuse_loose(from)?;
    let mut source = File::open(from).map_err(io)?;
    let mut copy = files::unplaced(&to)?;
    std::io::copy(&mut source, &mut copy).map_err(|error| StoreError::io(&to, error))?;
    // What is wrong in it is wrong with the backup; what cannot be written is the new store.
    check_and_note(copy.path(), from, by).await.map_err(|error| blame(error, from))?;
    files::place(copy, &to)
}

/// Checks the copy of a backup, brings it to the present schema and notes in it that it was restored.
async fn check_and_note(copy: &Path, from: &Path, by: &str) -> Result<(), StoreError> {
    let fault = |error| StoreError::database(copy, error);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options(copy)).await.map_err(fault)?;
    let checked = async {
        if check_schema(from, &mut *pool.acquire().await.map_err(fault)?).await? == Schema::Empty {
            return Err(StoreError::NotAStore { path: from.to_owned() });
        }
        if let Some(found) = damage(&pool).await.map_err(fault)? {
            return Err(StoreError::corrupt(from, found));
        }
        MIGRATIONS.run(&pool).await.map_err(|error| migration_fault(copy, error))?;
        // Its audit trail is sealed with a key that is not asked for here: the next start enters it.
        let detail = json!({ "from": from.display().to_string(), "at": moment(Timestamp::now()) });
        sqlx::query("INSERT OR REPLACE INTO meta (name, value) VALUES ($1, $2)")
            .bind(RESTORED)
            .bind(json!([by, detail]).to_string().into_bytes())
            .execute(&pool)
            .await
            .map_err(fault)?;
        Ok(())
    };
    let checked = checked.await;
    // Closed before the copy is placed or thrown away, so that no log of it is left beside it.
    pool.close().await;
    checked
}

/// Names the file that is damaged in an error that names another.
fn blame(error: StoreError, damaged: &Path) -> StoreError {
    match error {
        StoreError::Corrupt { detail, .. } => StoreError::corrupt(damaged, detail),
        other => other,
    }
}

fn refuse_existing(path: &Path) -> Result<(), StoreError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Err(StoreError::already_exists("file", path.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StoreError::io(path, error)),
    }
}
