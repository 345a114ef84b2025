//! One process per store.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::{StoreError, files};

/// The right to use a store, for as long as this value lives.
///
/// It is a `flock` on a file of its own beside the database: the kernel lets it go when the process ends, however it
/// ends. The file stays, and says which process held it last.
pub(crate) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock of the store at `database`, or says who has it.
    pub(crate) fn take(database: &Path) -> Result<Self, StoreError> {
        let path = beside(database, ".lock");
        let io = |error| StoreError::io(&path, error);
        files::refuse_loose(&path)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(files::PRIVATE)
            .open(&path)
            .map_err(io)?;
        if let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            let error = std::io::Error::from(error);
            if error.kind() != ErrorKind::WouldBlock {
                return Err(io(error));
            }
            return Err(held(path));
        }
        // A courtesy to whoever finds the lock taken; a full disk must not keep a store from opening.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { file })
    }
}

/// The lock is taken. The holder writes its number right after it got it; before that the file may be empty.
fn held(path: PathBuf) -> StoreError {
    let pid = std::fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
    StoreError::Locked { path, pid }
}

/// Says who has the store at `database` open, if anybody has. What is taken to find out is let go at once.
///
/// # Errors
/// [`StoreError::Locked`].
pub fn refuse_held(database: &Path) -> Result<(), StoreError> {
    let path = beside(database, ".lock");
    let Ok(file) = File::open(&path) else { return Ok(()) };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Err(error) if std::io::Error::from(error).kind() == ErrorKind::WouldBlock => Err(held(path)),
        _ => {
            let _ = flock(&file, FlockOperation::Unlock);
            Ok(())
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file would not do: a process that is being started has a copy of it for a moment.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

/// The path of a file that belongs to `database` and stands beside it.
pub(crate) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_free_at_once_when_it_is_let_go_though_a_starting_process_has_a_copy_of_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("party.db");
        let lock = Lock::take(&database).unwrap();
        let copy = lock.file.try_clone().unwrap();
        assert!(matches!(Lock::take(&database), Err(StoreError::Locked { .. })));
        drop(lock);
        Lock::take(&database).unwrap();
        drop(copy);
    }
}
