//! What a log's folder holds, read when it is opened: the tail of a cut-off write removed, missing tiles made anew.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use tacitly_attestation::checkpoint::SignedCheckpoint;
use tacitly_attestation::hash::Hash;
use tacitly_attestation::note::{KeyRing, VerifierKey};
use tacitly_attestation::tree::Tile;

use super::files::{self, PRIVATE};
use super::index::{self, Mark};
use super::segment::{self, Records, Step};
use super::tiles::{Edge, Tiles, WIDTH};
use super::{ChainError, checkpoint};

/// A log as it was found, after what can be mended was.
pub(super) struct Found {
    pub(super) segment: File,
    /// Where every 256th entry starts.
    pub(super) offsets: Vec<u64>,
    /// The tree of the newest checkpoint, all its tiles written, and where its entries end.
    pub(super) signed: Edge,
    pub(super) signed_end: u64,
    pub(super) checkpoint: Option<SignedCheckpoint>,
    /// The leaves behind it, and where their entries end.
    pub(super) unsigned: Vec<Hash>,
    pub(super) end: u64,
    /// The tree whose tiles are known to be on the disk.
    pub(super) settled: u64,
}

/// Opens the log of `key` in `folder`, or begins it.
pub(super) fn open(folder: &Path, key: &VerifierKey) -> Result<Found, ChainError> {
    let path = folder.join(segment::NAME);
    let io = |error| ChainError::io(&path, error);
    let checkpoint = checkpoint::read(folder)?;
    // What has signed entries is not begun anew.
    if checkpoint.is_some() && !path.try_exists().map_err(io)? {
        return Err(ChainError::Damaged { path, entry: 0, what: GONE });
    }
    let (segment, first) = open_segment(&path, key.name())?;
    if let Some(checkpoint) = &checkpoint {
        checkpoint::check(folder, checkpoint, &KeyRing::from_iter([key.clone()]))?;
    }
    let length = segment.metadata().map_err(io)?.len();
    let signed = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.checkpoint().size);
    let reader = Reader { folder, path: &path, segment: &segment, length, checkpoint: checkpoint.as_ref() };
    let mark = index::read(folder).filter(|mark| mark.edge.size() <= signed && reader.can_start_at(mark));
    // Whatever is wrong with a short cut, the long way shows whether anything is wrong with the entries.
    let short = mark.and_then(|mark| reader.mend_from(mark).ok());
    let whole = || reader.mend_from(Mark { offsets: vec![first], edge: Edge::default() });
    let read = short.map_or_else(whole, Ok)?;
    if read.end < length {
        cut(folder, &path, &segment, read.end, length)?;
    }
    // Entries that a killed process had written and not yet synchronised count from now on.
    segment.sync_data().map_err(io)?;
    let Read { offsets, signed, signed_end, unsigned, end, settled } = read;
    Ok(Found { segment, offsets, signed, signed_end, checkpoint, unsigned, end, settled })
}

/// Opens the segment, begins it if it is new, and tells the length of its first line.
fn open_segment(path: &Path, origin: &str) -> Result<(File, u64), ChainError> {
    let io = |error| ChainError::io(path, error);
    let mut options = OpenOptions::new();
    let segment = options.read(true).write(true).create(true).truncate(false).mode(PRIVATE).open(path).map_err(io)?;
    let line = segment::first_line(origin);
    let length = segment.metadata().map_err(io)?.len();
    let mut found = vec![0; length.min(line.len() as u64) as usize];
    segment.read_exact_at(&mut found, 0).map_err(io)?;
    if let Some(version) = segment::other_version(&found) {
        return Err(ChainError::OtherVersion { path: path.to_owned(), version });
    }
    if !line.starts_with(&found) {
        return Err(ChainError::AnotherLog { path: path.to_owned(), origin: origin.to_owned() });
    }
    if found.len() < line.len() {
        segment.write_all_at(&line, 0).map_err(io)?;
        segment.sync_data().map_err(io)?;
        files::sync_folder_of(path)?;
    }
    Ok((segment, line.len() as u64))
}

/// Removes what a cut-off write left, which nobody was told is stored, and keeps a copy.
fn cut(folder: &Path, path: &Path, segment: &File, end: u64, length: u64) -> Result<(), ChainError> {
    let io = |error| ChainError::io(path, error);
    let mut rest = vec![0; (length - end).min(files::LONGEST_CUT) as usize];
    segment.read_exact_at(&mut rest, end).map_err(io)?;
    files::replace(&folder.join(format!("cut-{end}")), &rest)?;
    segment.set_len(end).map_err(io)
}

/// What is said of an entry behind the end of the file.
const GONE: &str = "it is signed and not there: it was lost, or the folder was copied while the log was written, and \
                    the checkpoint after the entries";

struct Reader<'f> {
    folder: &'f Path,
    path: &'f Path,
    segment: &'f File,
    length: u64,
    checkpoint: Option<&'f SignedCheckpoint>,
}

struct Read {
    offsets: Vec<u64>,
    signed: Edge,
    signed_end: u64,
    unsigned: Vec<Hash>,
    end: u64,
    settled: u64,
}

impl Reader<'_> {
    fn can_start_at(&self, mark: &Mark) -> bool {
        mark.offsets.last().is_some_and(|offset| *offset <= self.length)
            && Tiles::of(self.folder).are_there(mark.edge.size())
    }

    /// Reads the entries behind `mark` and writes what is missing of their tiles. Nothing is written before the signed
    /// root has been met: tiles that do not agree with an altered entry are what names it.
    fn mend_from(&self, mark: Mark) -> Result<Read, ChainError> {
        let tiles = Tiles::of(self.folder);
        let mut whole = true;
        let read = self.read_from(mark.clone(), |tile, content| {
            whole &= tiles.read(tile).is_ok_and(|found| found.as_deref() == Some(content));
            Ok(())
        })?;
        if whole { Ok(read) } else { self.read_from(mark, |tile, content| tiles.write(tile, content)) }
    }

    /// Reads the entries behind `mark`, compares the signed root, and tells the tiles of the signed tree.
    fn read_from(
        &self,
        mark: Mark,
        mut tile: impl FnMut(Tile, &[u8]) -> Result<(), ChainError>,
    ) -> Result<Read, ChainError> {
        let stated = self.checkpoint.map(SignedCheckpoint::checkpoint);
        let signed = stated.map_or(0, |checkpoint| checkpoint.size);
        let Mark { mut offsets, mut edge } = mark;
        let settled = edge.size();
        let offset = offsets.pop().unwrap_or(0);
        let mut records = if settled == 0 {
            Records::all(self.segment, offset, self.length)
        } else {
            Records::new(self.segment, offset, self.length)
        };
        let (mut unsigned, mut signed_end) = (Vec::new(), offset);
        loop {
            let at = edge.size() + unsigned.len() as u64;
            match records.next().map_err(|error| ChainError::io(self.path, error))? {
                Step::Record(record) => {
                    if at.is_multiple_of(WIDTH) {
                        offsets.push(record.offset);
                    }
                    if at < signed {
                        edge.push(record.leaf, record.entry, &mut tile)?;
                        signed_end = record.offset + (segment::HEADER + record.entry.len()) as u64;
                    } else {
                        unsigned.push(record.leaf);
                    }
                }
                Step::Flaw(flaw) => {
                    let offset = records.offset();
                    let later = || segment::later_write(self.segment, offset, self.length);
                    if at < signed || later().map_err(|error| ChainError::io(self.path, error))? {
                        return Err(self.damaged(at, flaw.words()));
                    }
                    break;
                }
                Step::End if at < signed => return Err(self.damaged(at, GONE)),
                Step::End => break,
            }
        }
        if let Some(stated) = stated.filter(|stated| stated.root != edge.root()) {
            return Err(ChainError::WrongRoot { path: checkpoint::path(self.folder), size: stated.size });
        }
        edge.partial().iter().try_for_each(|(begun, content)| tile(*begun, content))?;
        Ok(Read { offsets, signed: edge, signed_end, unsigned, end: records.offset(), settled })
    }

    fn damaged(&self, entry: u64, what: &'static str) -> ChainError {
        ChainError::Damaged { path: self.path.to_owned(), entry, what }
    }
}
