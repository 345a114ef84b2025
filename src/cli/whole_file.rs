//! A file that appears whole or not at all.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// A file in the making: beside its place, until it is finished.
pub(crate) struct WholeFile {
    place: PathBuf,
    file: NamedTempFile,
    is_new: bool,
}

impl WholeFile {
    /// Begins a file that will be at `place`, in the stead of any that is there.
    pub(crate) fn begin(place: &Path) -> io::Result<Self> {
        let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok(Self { place: place.to_owned(), file: NamedTempFile::new_in(folder)?, is_new: false })
    }

    /// Begins a file at a place where there is none yet. Only its owner can read it.
    pub(crate) fn begin_new(place: &Path) -> io::Result<Self> {
        // Told before the work is done that the file is for; `finish` looks again.
        if place.symlink_metadata().is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        Ok(Self { is_new: true, ..Self::begin(place)? })
    }

    /// Adds bytes.
    pub(crate) fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Puts it in its place, once it is durable.
    pub(crate) fn finish(self) -> io::Result<()> {
        self.file.as_file().sync_all()?;
        let placed =
            if self.is_new { self.file.persist_noclobber(&self.place) } else { self.file.persist(&self.place) };
        placed.map(drop).map_err(|error| error.error)
    }
}
