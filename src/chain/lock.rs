//! One writer per log.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::ChainError;
use super::files::PRIVATE;

/// The right to append to a log, for as long as this value lives. The kernel lets it go when the process ends.
pub(super) struct Lock(File);

impl Lock {
    /// Takes the lock of the log in `folder`, or says who has it.
    pub(super) fn take(folder: &Path) -> Result<Self, ChainError> {
        let path = folder.join("lock");
        let io = |error| ChainError::io(&path, error);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(PRIVATE);
        let mut file = options.open(&path).map_err(io)?;
        if let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            let error = std::io::Error::from(error);
            if error.kind() != ErrorKind::WouldBlock {
                return Err(io(error));
            }
            let pid = std::fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
            return Err(ChainError::Locked { path, pid });
        }
        // A courtesy to whoever finds the lock taken; a full disk must not keep a log from opening.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self(file))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file would not do: a process that is being started has a copy of it for a moment.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}
