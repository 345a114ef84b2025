//! Small files: read whole within a bound, replaced whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::ChainError;
use super::fault_point::reach;

/// The permission bits of a log's files: entries name who works with whom.
pub(super) const PRIVATE: u32 = 0o600;

/// The most that is kept of a write that was cut off.
pub(super) const LONGEST_CUT: u64 = 64 << 20;

/// Makes a folder, and those above it, for its owner only.
pub(super) fn make_folder(folder: &Path) -> Result<(), ChainError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| ChainError::io(folder, error))
}

/// The bytes of a file of at most `limit` bytes; `None` if there is no such file.
pub(super) fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, ChainError> {
    let io = |error| ChainError::io(path, error);
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(io)?,
    };
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > limit {
        let hint = "it was not written by this software; move it away";
        return Err(ChainError::DamagedFile { path: path.to_owned(), what: "it is too long".to_owned(), hint });
    }
    Ok(Some(bytes))
}

/// Writes a file in place, making the folders above it.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), ChainError> {
    let io = |error| ChainError::io(path, error);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(PRIVATE);
    let mut file = match options.open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), make_folder)?;
            options.open(path).map_err(io)?
        }
        opened => opened.map_err(io)?,
    };
    file.write_all(bytes).map_err(io)
}

/// Puts new bytes in the place of a file, durably: afterwards it is the new one, after a crash one of both.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), ChainError> {
    let next = path.with_extension("next");
    let io = |error| ChainError::io(path, error);
    write(&next, bytes)?;
    reach("replace: written");
    File::open(&next).and_then(|file| file.sync_data()).map_err(io)?;
    reach("replace: synchronised");
    fs::rename(&next, path).map_err(io)?;
    reach("replace: renamed");
    sync_folder_of(path)
}

/// Makes the names in the folder of `path` durable.
pub(super) fn sync_folder_of(path: &Path) -> Result<(), ChainError> {
    let folder = path.parent().unwrap_or(path);
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| ChainError::io(folder, error))
}
