//! A file that appears whole or not at all.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// A file in the making: beside its place, until it is finished.
pub(crate) struct WholeFile {
    place: PathBuf,
    file: NamedTempFile,
}

impl WholeFile {
    /// Begins a file that will be at `place`, in the stead of any that is there.
    pub(crate) fn begin(place: &Path) -> io::Result<Self> {
        let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok(Self { place: place.to_owned(), file: NamedTempFile::new_in(folder)? })
    }

    /// Adds bytes.
    pub(crate) fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Puts it in its place, once it is durable.
    pub(crate) fn finish(self) -> io::Result<()> {
        self.file.as_file().sync_all()?;
        self.file.persist(&self.place).map_err(|error| error.error)?;
        Ok(())
    }
}
