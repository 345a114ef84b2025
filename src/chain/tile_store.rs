//! The tree on the disk behind the segment: entries read back, hashed again, filed as tiles up to a checkpoint.

use std::fs::File;
use std::path::{Path, PathBuf};

use tacitly_attestation::checkpoint::SignedCheckpoint;
use tacitly_attestation::hash::Hash;

use super::segment::{Records, Step};
use super::tiles::{Edge, Tiles};
use super::{ChainError, checkpoint};

/// What is filed of a segment.
pub(super) struct TileStore {
    folder: PathBuf,
    edge: Edge,
    end: u64,
    /// The size of the checkpoint before: its tiles are still there for whoever reads them.
    before: u64,
}

impl TileStore {
    /// The shelf of the log in `folder`: the tree of its newest checkpoint, and where its entries end.
    pub(super) fn new(folder: &Path, edge: Edge, end: u64) -> Self {
        Self { folder: folder.to_owned(), before: edge.size(), edge, end }
    }

    /// The tree of the newest checkpoint.
    pub(super) fn edge(&self) -> &Edge {
        &self.edge
    }

    /// Where the entries of the newest checkpoint end.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Reads the entries behind the newest checkpoint from the file, compares them with the leaves that are in memory
    /// (one flipped bit between the two would be signed for ever), and writes their tiles. What fails half-way is done
    /// again from the checkpoint.
    pub(super) fn read_back(&self, segment: &File, path: &Path, leaves: &[Hash], end: u64) -> Result<Edge, ChainError> {
        let tiles = Tiles::of(&self.folder);
        let mut edge = self.edge.clone();
        let mut records = Records::new(segment, self.end, end);
        for leaf in leaves {
            let damaged = |what| ChainError::Damaged { path: path.to_owned(), entry: edge.size(), what };
            match records.next().map_err(|error| ChainError::io(path, error))? {
                Step::Record(record) if record.leaf == *leaf => {
                    edge.push(record.leaf, record.entry, |tile, content| tiles.write(tile, content))?;
                }
                Step::Record(_) => return Err(damaged("it is not the one that was acknowledged")),
                Step::Flaw(flaw) => return Err(damaged(flaw.words())),
                Step::End => return Err(damaged("it is gone")),
            }
        }
        edge.partial().iter().try_for_each(|(tile, content)| tiles.write(*tile, content))?;
        Ok(edge)
    }

    /// Puts the checkpoint of the tree that was read back in the place of the one before.
    pub(super) fn put(&mut self, edge: Edge, end: u64, checkpoint: &SignedCheckpoint) -> Result<(), ChainError> {
        checkpoint::write(&self.folder, checkpoint)?;
        Tiles::of(&self.folder).retire(self.before, &[self.edge.size(), edge.size()]);
        (self.before, self.edge, self.end) = (self.edge.size(), edge, end);
        Ok(())
    }
}
