//! `tacitly backup` and `tacitly restore`: the store as one file, and back.

use std::path::{Path, PathBuf};

use clap::Args;

use super::connect::Way;
use super::{Failure, Output, connect};
use crate::daemon::{Config, home};
use crate::rpc::control;
use crate::store::{Store, StoreError, restore};

/// Copy the store to a new file while the daemon works. The copy is sealed as the store is: keep the sealing key too,
/// elsewhere.
#[derive(Args)]
pub(crate) struct Backup {
    /// The new file.
    file: PathBuf,
}

/// Put a backup in the place of a store that is gone; the daemon is stopped. Jobs that were not over in the backup end
/// as `restored` when the daemon starts: in the lost store they may have released their results.
#[derive(Args)]
pub(crate) struct Restore {
    /// The backup.
    file: PathBuf,
}

impl Backup {
    pub(crate) async fn run(self, way: &Way, output: Output) -> Result<(), Failure> {
        let path = std::path::absolute(&self.file)?;
        let mut daemon = connect::connect(way).await?;
        let request = control::BackupRequest { path: path.display().to_string() };
        let size = daemon.backup(request).await?.into_inner().size_bytes;
        output.say(
            || serde_json::json!({ "file": path, "size_bytes": size }),
            || format!("{} holds the store as it is now ({size} bytes)", path.display()),
        )?;
        Ok(())
    }
}

impl Restore {
    pub(crate) async fn run(self, home: &Path, output: Output) -> Result<(), Failure> {
        let config = Config::load(home).map_err(Failure::plain)?;
        let store = home.join(&config.store.path);
        let shown = store.display();
        restore(&self.file, &store, "operator").await.map_err(|error| match error {
            StoreError::AlreadyExists { .. } => Failure::hinted(
                error.to_string(),
                format!("move {shown} away, with {shown}-wal and {shown}-shm if they are there"),
            ),
            error => Failure::plain(error),
        })?;
        // A backup without its key is found out now, not at the next start.
        let sealer = home::sealer(home, &config).await.map_err(Failure::plain)?;
        Store::open(&store, sealer).await.map_err(Failure::plain)?.close().await;
        output.say(
            || serde_json::json!({ "restored": store }),
            || format!("{shown} is restored\n  next: tacitly serve --home {}", home.display()),
        )?;
        Ok(())
    }
}
