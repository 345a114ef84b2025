//! A private file that appears whole or not at all, and of which nothing is left if its writer is killed.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, open};
use rustix::io::Errno;
use tempfile::{NamedTempFile, TempPath};

/// Where a process finds its open files by number: the way to give a file without a name one.
const OPEN_FILES: &str = "/proc/self/fd";

/// A file in the making. It has no name until it is finished, where the file system allows that; elsewhere a passing one,
/// which a killed writer leaves behind.
pub(crate) struct NewFile {
    place: PathBuf,
    file: File,
    passing: Option<TempPath>,
}

impl NewFile {
    /// Begins a file that will be at `place`. Only its owner can read it.
    pub(crate) fn begin(place: &Path) -> io::Result<Self> {
        let private = Mode::RUSR | Mode::WUSR;
        let nameless = open(folder_of(place), OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, private);
        match nameless {
            Ok(file) if Path::new(OPEN_FILES).is_dir() => {
                Ok(Self { place: place.to_owned(), file: file.into(), passing: None })
            }
            // Some file systems do not know such files, and old kernels take the flag for another.
            Err(error) if ![Errno::OPNOTSUPP, Errno::ISDIR, Errno::NOENT].contains(&error) => Err(error.into()),
            Ok(_) | Err(_) => {
                let (file, passing) = NamedTempFile::new_in(folder_of(place))?.into_parts();
                file.set_permissions(fs::Permissions::from_mode(0o600))?;
                Ok(Self { place: place.to_owned(), file, passing: Some(passing) })
            }
        }
    }

    /// Makes it durable and gives it its name.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] rather than to replace a file.
    pub(crate) fn finish(self) -> io::Result<()> {
        self.file.sync_all()?;
        match self.passing {
            Some(passing) => passing.persist_noclobber(&self.place).map_err(|refused| refused.error)?,
            None => name(&self.file, &self.place)?,
        }
        synchronise(&self.place)
    }

    /// Makes it durable and puts it in the place of a file that is there.
    pub(crate) fn finish_over(self) -> io::Result<()> {
        self.file.sync_all()?;
        match self.passing {
            Some(passing) => passing.persist(&self.place).map_err(|refused| refused.error)?,
            None => {
                // One name for all, so that a file that a kill leaves here goes with the next.
                let mut beside = std::ffi::OsString::from(".");
                beside.push(self.place.file_name().unwrap_or_default());
                beside.push(".new");
                let beside = self.place.with_file_name(beside);
                match name(&self.file, &beside) {
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                        fs::remove_file(&beside)?;
                        name(&self.file, &beside)?;
                    }
                    named => named?,
                }
                fs::rename(&beside, &self.place)?;
            }
        }
        synchronise(&self.place)
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn name(file: &File, place: &Path) -> io::Result<()> {
    let number = format!("{OPEN_FILES}/{}", file.as_raw_fd());
    Ok(linkat(CWD, number, CWD, place, AtFlags::SYMLINK_FOLLOW)?)
}

/// Makes the names in a file's folder durable.
fn synchronise(place: &Path) -> io::Result<()> {
    File::open(folder_of(place))?.sync_all()
}

fn folder_of(place: &Path) -> &Path {
    place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|item| item.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[test]
    fn a_file_has_no_name_before_it_is_finished() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("rows.csv");
        for is_dropped in [true, false] {
            let mut file = NewFile::begin(&place).unwrap();
            file.write_all(b"rows").unwrap();
            assert_eq!(names(folder.path()), [""; 0]);
            if !is_dropped {
                file.finish().unwrap();
            }
        }
        assert_eq!(names(folder.path()), ["rows.csv"]);
        assert_eq!(fs::read(&place).unwrap(), b"rows");
        assert_eq!(fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_is_there_is_replaced_only_on_purpose() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("rows.csv");
        fs::write(&place, "another's").unwrap();
        let write = || {
            let mut file = NewFile::begin(&place).unwrap();
            file.write_all(b"ours").unwrap();
            file
        };
        assert_eq!(write().finish().unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&place).unwrap(), b"another's");
        // As a kill between two steps may leave it.
        fs::write(folder.path().join(".rows.csv.new"), "ours of before").unwrap();
        write().finish_over().unwrap();
        assert_eq!((fs::read(&place).unwrap(), names(folder.path()).len()), (b"ours".to_vec(), 1));
    }

    #[test]
    fn a_folder_that_is_not_there_or_not_a_folder_is_told() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(NewFile::begin(&folder.path().join("no/rows.csv")).err().unwrap().kind(), ErrorKind::NotFound);
        fs::write(folder.path().join("file"), "").unwrap();
        let error = NewFile::begin(&folder.path().join("file/rows.csv")).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::NotADirectory);
    }
}
