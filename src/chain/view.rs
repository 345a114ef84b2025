//! A log's folder read by others than its writer, beside it if need be: nothing is changed and no lock is taken.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use tacitly_attestation::checkpoint::SignedCheckpoint;

use super::segment::{self, Records, Step};
use super::tiles::WIDTH;
use super::{ChainError, Cosigned, MirrorCosignatures, checkpoint, index};

/// The longest first line of a segment.
const MAX_FIRST_LINE: u64 = 512;

/// A log as it stands in its folder at this moment.
pub struct View {
    pub(super) folder: PathBuf,
    pub(super) path: PathBuf,
    pub(super) segment: File,
    /// How long the segment was at first sight; what is appended later is not looked at.
    pub(super) length: u64,
    /// Where the first entry starts.
    pub(super) first: u64,
    origin: String,
    checkpoint: Option<SignedCheckpoint>,
}

impl View {
    /// Looks at the log in `folder`. Nothing but its name and form is checked.
    ///
    /// # Errors
    /// [`ChainError::Io`] if there is none, [`ChainError::DamagedFile`] if its first line or its checkpoint cannot be
    /// read.
    pub fn open(folder: &Path) -> Result<Self, ChainError> {
        let path = folder.join(segment::NAME);
        let io = |error| ChainError::io(&path, error);
        let segment = File::open(&path).map_err(io)?;
        // The checkpoint first: its entries are in the segment by then.
        let checkpoint = checkpoint::read(folder)?;
        let length = segment.metadata().map_err(io)?.len();
        let mut line = Vec::new();
        let mut start = BufReader::new(&segment).take(MAX_FIRST_LINE);
        start.read_until(b'\n', &mut line).map_err(io)?;
        let text = std::str::from_utf8(&line).ok().and_then(|line| line.strip_suffix('\n'));
        if let Some(version) = segment::other_version(&line) {
            return Err(ChainError::OtherVersion { path, version });
        }
        let origin = text.and_then(|line| line.strip_prefix("tacitly-log@v1 ")).map(str::to_owned);
        let origin = origin.ok_or_else(|| ChainError::DamagedFile {
            path: path.clone(),
            what: "its first line is not that of a log".to_owned(),
            hint: "take it back from a copy",
        })?;
        let first = line.len() as u64;
        Ok(Self { folder: folder.to_owned(), path, segment, length, first, origin, checkpoint })
    }

    /// The log's name.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The newest checkpoint, with the cosignatures that are kept with it. Nothing of it is verified.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&SignedCheckpoint> {
        self.checkpoint.as_ref()
    }

    /// What witnesses have cosigned.
    ///
    /// # Errors
    /// [`ChainError::DamagedFile`] or [`ChainError::Io`].
    pub fn cosigned(&self) -> Result<Cosigned, ChainError> {
        Cosigned::read(&self.folder)
    }

    /// What mirrors hold.
    ///
    /// # Errors
    /// [`ChainError::DamagedFile`] or [`ChainError::Io`].
    pub fn mirror_cosignatures(&self) -> Result<MirrorCosignatures, ChainError> {
        MirrorCosignatures::read(&self.folder)
    }

    /// How many bytes the entries take.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.length
    }

    /// Gives every entry from `from` on to `each`, with its index, and tells how many entries the log has. What the
    /// writer is writing at the moment is left out.
    ///
    /// # Errors
    /// [`ChainError::Damaged`] for an entry that is not what was acknowledged; [`ChainError::Io`].
    pub fn each_from(&self, from: u64, mut each: impl FnMut(u64, &[u8])) -> Result<u64, ChainError> {
        let (mut at, offset) = self.start_for(from);
        let mut records = if at == 0 {
            Records::all(&self.segment, offset, self.length)
        } else {
            Records::new(&self.segment, offset, self.length)
        };
        let signed = self.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.checkpoint().size);
        loop {
            match records.next().map_err(|error| ChainError::io(&self.path, error))? {
                Step::Record(record) => {
                    if at >= from {
                        each(at, record.entry);
                    }
                    at += 1;
                }
                Step::Flaw(flaw) if at < signed => {
                    return Err(ChainError::Damaged { path: self.path.clone(), entry: at, what: flaw.words() });
                }
                Step::Flaw(_) | Step::End => return Ok(at),
            }
        }
    }

    /// The last place before entry `from` that can be gone to at once: entry and offset.
    fn start_for(&self, from: u64) -> (u64, u64) {
        let mark = index::read(&self.folder).unwrap_or_default();
        let usable = |offset: &u64| *offset <= self.length;
        let block = (from / WIDTH).min((mark.offsets.len() as u64).saturating_sub(1));
        let offset = mark.offsets.get(block as usize).copied().filter(usable);
        offset.map_or((0, self.first), |offset| (block * WIDTH, offset))
    }

    /// How many entries there are, at the least: those that are signed or indexed.
    #[must_use]
    pub fn size_at_least(&self) -> u64 {
        let indexed = index::read(&self.folder).map_or(0, |mark| mark.edge.size());
        self.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.checkpoint().size).max(indexed)
    }
}
