//! A log's tiles as the hashes of its tree.

use std::collections::BTreeMap;

use super::{HashSource, Node, Tile, TileKind};
use crate::hash::{Hash, node_hash};

/// Reads a log's files.
pub trait TileSource {
    /// Why a file cannot be had.
    type Error;

    /// The bytes of `tile`. A file that has grown since, and so begins with the same bytes, will do.
    ///
    /// # Errors
    /// If it cannot be read.
    fn read(&mut self, tile: Tile) -> Result<Vec<u8>, Self::Error>;
}

/// A hash cannot be had from the tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TileReadError<E> {
    /// The tree has no such full subtree.
    #[error("the tree has no full subtree at level {} and index {}", .0.level, .0.index)]
    NoSuchNode(Node),
    /// The file is too short, too long or not made of whole hashes.
    #[error("{0} holds {1} bytes, not the hashes that its tree size asks for")]
    WrongLength(Tile, usize),
    /// The file cannot be read.
    #[error("a tile cannot be read")]
    Source(#[source] E),
}

/// The tree of the first `size` leaves, read from tiles. Each file is read once and kept.
///
/// The hashes are not checked against a root: verify the proofs that are made from them.
#[derive(Debug)]
pub struct TileHashes<T> {
    tiles: T,
    size: u64,
    read: BTreeMap<(u8, u64), Vec<Hash>>,
}

impl<T: TileSource> TileHashes<T> {
    /// The tree of `size` leaves whose files `tiles` reads.
    #[must_use]
    pub fn new(tiles: T, size: u64) -> Self {
        Self { tiles, size, read: BTreeMap::new() }
    }

    fn tile(&mut self, level: u8, index: u64, node: Node) -> Result<&[Hash], TileReadError<T::Error>> {
        use std::collections::btree_map::Entry;
        match self.read.entry((level, index)) {
            Entry::Occupied(hashes) => Ok(hashes.into_mut()),
            Entry::Vacant(place) => {
                let tile = Tile::in_tree(TileKind::Hashes { level }, index, self.size)
                    .ok_or(TileReadError::NoSuchNode(node))?;
                let bytes = self.tiles.read(tile).map_err(TileReadError::Source)?;
                let (needed, longest) = (usize::from(tile.width) * Hash::LEN, usize::from(Tile::WIDTH) * Hash::LEN);
                let (hashes, rest) = bytes.as_chunks();
                if bytes.len() < needed || bytes.len() > longest || !rest.is_empty() {
                    return Err(TileReadError::WrongLength(tile, bytes.len()));
                }
                Ok(place.insert(hashes.iter().take(usize::from(tile.width)).copied().map(Hash).collect()))
            }
        }
    }
}

impl<T: TileSource> HashSource for TileHashes<T> {
    type Error = TileReadError<T::Error>;

    fn hash(&mut self, node: Node) -> Result<Hash, Self::Error> {
        // A tile stores every eighth level; the seven above it are hashed from a run of the tile's hashes.
        let (level, above) = (node.level / 8, node.level % 8);
        let per_tile = u64::from(Tile::WIDTH) >> above;
        let (index, run) = (node.index / per_tile, (node.index % per_tile) << above);
        let hashes = self.tile(level, index, node)?;
        let run = hashes.get(run as usize..).and_then(|rest| rest.get(..1 << above));
        let mut row = run.ok_or(TileReadError::NoSuchNode(node))?.to_vec();
        while row.len() > 1 {
            row = row.as_chunks().0.iter().map(|[left, right]| node_hash(left, right)).collect();
        }
        row.first().copied().ok_or(TileReadError::NoSuchNode(node))
    }
}
