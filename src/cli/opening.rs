//! What the commands that open something to an arbiter have in common: a named reader and a private file.

use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

use clap::Args;

use super::{Failure, destination};
use crate::new_file::NewFile;

/// To whom something is opened.
#[derive(Args)]
pub(crate) struct Reader {
    /// The party that it is opened to, such as an arbiter: 1 to 32 of a-z, 0-9 and '-'. It goes on record.
    #[arg(long, value_name = "WHOM")]
    pub(crate) to: String,
    /// Why: a code of 1 to 32 of a-z, 0-9, '-', '_' and '.'. It goes on record.
    #[arg(long, value_name = "CODE", default_value = "dispute")]
    pub(crate) purpose: String,
}

/// Begins a new file that only its owner can read, before anything is opened for it.
pub(crate) fn begin_private(path: &Path) -> Result<NewFile, Failure> {
    if path.as_os_str() == "-" {
        return Err(Failure::hinted("what is opened goes into a file that only you can read", "name a new file"));
    }
    // Told before anything goes on record for it; when it is finished it is looked at again.
    let begun = match path.symlink_metadata() {
        Ok(_) => Err(ErrorKind::AlreadyExists.into()),
        Err(_) => NewFile::begin(path),
    };
    begun.map_err(|error| unwritable(path, &error))
}

/// Ends a file that was begun so.
pub(crate) fn finish(mut file: NewFile, path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    file.write_all(bytes).and_then(|()| file.finish()).map_err(|error| {
        let text =
            format!("cannot write {}: {error}. That it was opened is on record, and nothing was kept", path.display());
        Failure::hinted(text, "make room and open it again, which is one more entry")
    })
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    let failure = destination::unwritable(&path.display().to_string(), error);
    // What was opened to one arbiter never takes the place of anything.
    if error.kind() == ErrorKind::AlreadyExists { failure.with_hint("name a new file") } else { failure }
}
