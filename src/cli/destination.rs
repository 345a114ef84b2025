//! Where a command puts the file that it was asked for. What is there already is never lost by mistake.

use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use tokio::io::AsyncWriteExt;

use super::Failure;
use super::output::unwritten;
use crate::new_file::NewFile;

/// The places named by `--out`.
#[derive(Clone)]
pub(crate) struct Destination {
    path: PathBuf,
    force: bool,
}

/// What is at that place.
enum Found {
    /// Standard output was meant.
    StandardOutput,
    /// Nothing yet.
    Nothing,
    /// A file that may be replaced; links to it stay.
    Replaceable(PathBuf),
    /// What takes bytes and is no file, such as a pipe.
    Stream,
}

/// A file in the making.
pub(crate) struct Begun {
    shown: String,
    sink: Sink,
}

enum Sink {
    /// Whether it takes the place of a file that is there.
    Whole(NewFile, bool),
    Stream(tokio::fs::File),
    StandardOutput(tokio::fs::File),
}

impl Destination {
    /// The file at `path`, and standard output for `-`. A file that is there already is replaced only with `force`.
    pub(crate) fn new(path: &Path, force: bool) -> Self {
        Self { path: path.to_owned(), force }
    }

    /// Whether the bytes go to standard output, so that nothing else may.
    pub(crate) fn is_standard_output(&self) -> bool {
        ["-", "/dev/stdout"].iter().any(|name| self.path.as_os_str() == *name)
    }

    /// Whether its name ends like this.
    pub(crate) fn has_ending(&self, ending: &str) -> bool {
        self.path.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending))
    }

    /// Whether the file could be written now; nothing is left there.
    ///
    /// # Errors
    /// A [`Failure`] that says what is in the way.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match self.look()? {
            Found::StandardOutput => Ok(()),
            Found::Nothing => NewFile::begin(&self.path).map(drop).map_err(|error| self.unwritable(&error)),
            Found::Replaceable(path) => NewFile::begin(&path).map(drop).map_err(|error| self.unwritable(&error)),
            Found::Stream => access(&self.path, Access::WRITE_OK).map_err(|error| self.unwritable(&error.into())),
        }
    }

    /// Begins the file. A pipe waits for its reader.
    ///
    /// # Errors
    /// As [`Destination::check`].
    pub(crate) async fn begin(&self) -> Result<Begun, Failure> {
        let sink = match self.look()? {
            Found::StandardOutput => {
                let output = io::stdout().as_fd().try_clone_to_owned();
                output.map(|output| Sink::StandardOutput(fs::File::from(output).into()))
            }
            Found::Nothing => NewFile::begin(&self.path).map(|file| Sink::Whole(file, false)),
            Found::Replaceable(path) => NewFile::begin(&path).map(|file| Sink::Whole(file, true)),
            Found::Stream => tokio::fs::File::options().write(true).open(&self.path).await.map(Sink::Stream),
        };
        let sink = sink.map_err(|error| self.unwritable(&error))?;
        Ok(Begun { shown: self.path.display().to_string(), sink })
    }

    fn look(&self) -> Result<Found, Failure> {
        let shown = self.path.display();
        if self.is_standard_output() {
            return Ok(Found::StandardOutput);
        }
        let no_file = |what: &str| Failure::hinted(format!("{shown} {what}"), "name a file");
        if self.path.as_os_str().is_empty() {
            return Err(Failure::hinted("an empty name names no file", "name a file, or `-` for standard output"));
        }
        let found = match fs::metadata(&self.path) {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return match self.path.symlink_metadata() {
                    Ok(_) => Err(no_file("is a link that leads nowhere")),
                    Err(_) if self.path.as_os_str().as_encoded_bytes().ends_with(b"/") => {
                        Err(no_file("is the name of a folder"))
                    }
                    Err(_) => Ok(Found::Nothing),
                };
            }
            Err(error) => return Err(self.unwritable(&error)),
        };
        let kind = found.file_type();
        if kind.is_dir() {
            Err(no_file("is a folder"))
        } else if kind.is_block_device() || kind.is_socket() {
            Err(no_file("is a device or a socket"))
        } else if !kind.is_file() {
            Ok(Found::Stream)
        } else if self.force {
            fs::canonicalize(&self.path).map(Found::Replaceable).map_err(|error| self.unwritable(&error))
        } else {
            Err(self.unwritable(&ErrorKind::AlreadyExists.into()))
        }
    }

    fn unwritable(&self, error: &io::Error) -> Failure {
        unwritable(&self.path.display().to_string(), error)
    }
}

impl Begun {
    /// Adds bytes.
    ///
    /// # Errors
    /// A [`Failure`] that says why it cannot be written.
    pub(crate) async fn add(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let added = match &mut self.sink {
            Sink::Whole(file, _) => file.write_all(bytes),
            Sink::Stream(stream) | Sink::StandardOutput(stream) => stream.write_all(bytes).await,
        };
        added.map_err(|error| self.failed(&error))
    }

    /// Ends the file: only now is it in its place, if it is one.
    ///
    /// # Errors
    /// As [`Begun::add`]; also if a file has appeared in its place meanwhile.
    pub(crate) async fn finish(mut self) -> Result<(), Failure> {
        let shown = self.shown.clone();
        match self.sink {
            Sink::Whole(file, replaces) => {
                let placed = if replaces { file.finish_over() } else { file.finish() };
                placed.map_err(|error| unwritable(&shown, &error))
            }
            Sink::Stream(ref mut stream) | Sink::StandardOutput(ref mut stream) => {
                let flushed = stream.flush().await;
                flushed.map_err(|error| self.failed(&error))
            }
        }
    }

    fn failed(&self, error: &io::Error) -> Failure {
        match &self.sink {
            Sink::StandardOutput(_) => unwritten(error),
            Sink::Stream(_) if error.kind() == ErrorKind::BrokenPipe => Failure::nobody_reads(),
            _ => unwritable(&self.shown, error),
        }
    }
}

/// Why a file cannot be written, in the same words everywhere.
pub(crate) fn unwritable(shown: &str, error: &io::Error) -> Failure {
    match error.kind() {
        ErrorKind::AlreadyExists => {
            Failure::hinted(format!("{shown} is there already"), "name a new file, or replace this one with --force")
        }
        _ => Failure::plain(format!("{shown} cannot be written: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn write(path: &Path, force: bool, text: &str) -> Result<(), Failure> {
        let place = Destination::new(path, force);
        place.check()?;
        let mut begun = place.begin().await?;
        begun.add(text.as_bytes()).await?;
        begun.finish().await
    }

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|item| item.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn a_file_that_is_there_is_replaced_only_with_force_and_a_link_to_it_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("a.csv"), folder.path().join("link"));
        write(&file, false, "first").await.unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        for place in [&file, &link] {
            let refused = write(place, false, "second").await.unwrap_err().to_string();
            assert!(refused.contains("is there already") && refused.contains("--force"), "{refused}");
            assert_eq!(fs::read_to_string(&file).unwrap(), "first");
        }
        write(&link, true, "third").await.unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "third");
        assert!(link.is_symlink());
        assert_eq!(names(folder.path()), ["a.csv", "link"]);
    }

    #[tokio::test]
    async fn a_file_that_appears_while_another_is_written_is_not_lost() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.csv");
        let mut begun = Destination::new(&file, false).begin().await.unwrap();
        begun.add(b"ours").await.unwrap();
        fs::write(&file, "another's").unwrap();
        let refused = begun.finish().await.unwrap_err().to_string();
        assert!(refused.contains("is there already"), "{refused}");
        assert_eq!((fs::read_to_string(&file).unwrap().as_str(), names(folder.path()).len()), ("another's", 1));
    }

    #[tokio::test]
    async fn what_is_no_file_is_written_to_or_refused_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for force in [false, true] {
            let reader = pipe.clone();
            let reader = std::thread::spawn(move || fs::read_to_string(reader).unwrap());
            write(&pipe, force, "rows").await.unwrap();
            assert_eq!(reader.join().unwrap(), "rows");
            assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());

            let full = write(Path::new("/dev/full"), force, "rows").await.unwrap_err().to_string();
            assert!(full.contains("/dev/full cannot be written"), "{full}");
            assert!(fs::metadata("/dev/full").unwrap().file_type().is_char_device());

            for (place, words) in
                [(folder.path().to_owned(), "is a folder"), (folder.path().join("no/a.csv"), "cannot be written")]
            {
                let refused = write(&place, force, "rows").await.unwrap_err().to_string();
                assert!(refused.contains(words), "{refused}");
            }
        }
        assert_eq!(names(folder.path()), ["pipe"]);
    }
}
