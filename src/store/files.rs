//! Files that only their owner may read: checked on every use, written whole or not at all.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use super::StoreError;
use crate::new_file::NewFile;

/// The permission bits of a private file.
pub(crate) const PRIVATE: u32 = 0o600;

/// The longest private file that is read: every key, in any form, is far shorter.
const LIMIT: u64 = 64 << 10;

/// Refuses a file that others than its owner may reach. A file that is not there passes.
pub(crate) fn refuse_loose(path: &Path) -> Result<(), StoreError> {
    match fs::metadata(path) {
        Ok(found) => private_mode(path, &found),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StoreError::io(path, error)),
    }
}

fn private_mode(path: &Path, found: &fs::Metadata) -> Result<(), StoreError> {
    let mode = found.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(StoreError::Permissions { path: path.to_owned(), mode }) }
}

/// Reads a private text file.
///
/// # Errors
/// [`StoreError::Permissions`] if others may reach it, [`StoreError::Key`] if it is not a short text.
pub(crate) fn read_private(path: &Path) -> Result<Zeroizing<String>, StoreError> {
    let io = |error| StoreError::io(path, error);
    let file = File::open(path).map_err(io)?;
    private_mode(path, &file.metadata().map_err(io)?)?;
    // The capacity is reserved at once, so that no shorter copy is left behind unwiped.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LIMIT as usize + 1));
    file.take(LIMIT + 1).read_to_end(&mut bytes).map_err(io)?;
    match std::str::from_utf8(&bytes) {
        Ok(text) if bytes.len() as u64 <= LIMIT => Ok(Zeroizing::new(text.to_owned())),
        _ => Err(StoreError::Key { origin: path.display().to_string(), why: "it is not a key file".to_owned() }),
    }
}

/// Writes a new private file, durably: it is there whole, or not at all.
///
/// # Errors
/// [`StoreError::AlreadyExists`] rather than to replace a file.
pub(crate) fn create_private(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let write = || {
        let mut file = NewFile::begin(path)?;
        file.write_all(bytes)?;
        file.finish()
    };
    write().map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => StoreError::already_exists("file", path.display()),
        _ => StoreError::io(path, error),
    })
}

/// A private file under a passing name, in the directory of `path`, for a database, which has to have one. It goes away
/// unless it is placed; what killed processes have left of files for this place goes as well.
pub(crate) fn unplaced(path: &Path) -> Result<NamedTempFile, StoreError> {
    let io = |error| StoreError::io(path, error);
    let passing = format!(".{}.unfinished-", path.file_name().unwrap_or_default().to_string_lossy());
    for item in fs::read_dir(directory_of(path)).map_err(io)?.filter_map(Result::ok) {
        let name = item.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(&passing)?.split('-').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            fs::remove_file(item.path()).map_err(io)?;
        }
    }
    tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(PRIVATE))
        .prefix(&format!("{passing}{}-", std::process::id()))
        .tempfile_in(directory_of(path))
        .map_err(io)
}

/// Makes what a file holds durable and gives it its name.
///
/// # Errors
/// [`StoreError::AlreadyExists`] rather than to replace a file.
pub(crate) fn place(file: NamedTempFile, path: &Path) -> Result<(), StoreError> {
    let io = |error| StoreError::io(path, error);
    file.as_file().sync_all().map_err(io)?;
    file.persist_noclobber(path).map_err(|refused| match refused.error.kind() {
        ErrorKind::AlreadyExists => StoreError::already_exists("file", path.display()),
        _ => io(refused.error),
    })?;
    let directory = directory_of(path);
    File::open(directory).and_then(|open| open.sync_all()).map_err(|error| StoreError::io(directory, error))
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
