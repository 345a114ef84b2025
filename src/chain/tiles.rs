//! The tree as files (C2SP tlog-tiles): written behind the segment, and made anew from it when one is missing.

use std::fs;
use std::path::{Path, PathBuf};

use tacitly_attestation::hash::Hash;
use tacitly_attestation::tree::{
    CompactRange, HashSource, Node, Tile, TileHashes, TileKind, TileReadError, TileSource,
};

use super::fault_point::reach;
use super::{ChainError, files};

/// Entries in a full tile.
pub(super) const WIDTH: u64 = Tile::WIDTH as u64;

/// The longest tile: 256 entries, each with its length before it.
const MAX_TILE_BYTES: u64 = WIDTH * (2 + u16::MAX as u64);

/// The right edge of the tree: what appending needs to go on, and which tiles are begun.
#[derive(Clone, Debug, Default)]
pub(super) struct Edge {
    range: CompactRange,
    /// By level: the hashes of the tile that is not full yet.
    rows: Vec<Vec<Hash>>,
    /// The entries of the bundle that is not full yet, each behind its length.
    bundle: Vec<u8>,
}

impl Edge {
    /// The edge of a tree that ends with a full bundle: its full subtrees, and the hashes in the tiles above the
    /// leaves that are not full. `None` if these do not belong to a tree of that size.
    pub(super) fn resume(size: u64, peaks: Vec<Hash>, above: Vec<Vec<Hash>>) -> Option<Self> {
        let range = CompactRange::from_peaks(size, peaks).ok()?;
        let mut rows = vec![Vec::new()];
        rows.extend(above);
        let fits = |(level, row): (usize, &Vec<Hash>)| {
            size.checked_shr(8 * level as u32).unwrap_or(0) % WIDTH == row.len() as u64
        };
        rows.iter().enumerate().all(fits).then_some(Self { range, rows, bundle: Vec::new() })
    }

    pub(super) fn size(&self) -> u64 {
        self.range.size()
    }

    pub(super) fn root(&self) -> Hash {
        self.range.root()
    }

    pub(super) fn peaks(&self) -> &[Hash] {
        self.range.peaks()
    }

    /// The hashes in the tiles above the leaves that are not full, by level.
    pub(super) fn above(&self) -> &[Vec<Hash>] {
        self.rows.get(1..).unwrap_or_default()
    }

    /// Appends an entry; tells every tile that becomes full, with its content.
    pub(super) fn push<E>(
        &mut self,
        leaf: Hash,
        entry: &[u8],
        mut full: impl FnMut(Tile, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.bundle.extend_from_slice(&(entry.len() as u16).to_be_bytes());
        self.bundle.extend_from_slice(entry);
        let at = self.size();
        if at % WIDTH == WIDTH - 1 {
            full(Tile { kind: TileKind::Entries, index: at / WIDTH, width: Tile::WIDTH }, &self.bundle)?;
            self.bundle.clear();
        }
        let (rows, mut told) = (&mut self.rows, Ok(()));
        self.range.push_with(leaf, |node, hash| {
            if node.level % 8 != 0 || told.is_err() {
                return;
            }
            let level = usize::from(node.level / 8);
            if rows.len() == level {
                rows.push(Vec::new());
            }
            rows[level].push(*hash);
            if rows[level].len() as u64 == WIDTH {
                let kind = TileKind::Hashes { level: node.level / 8 };
                let tile = Tile { kind, index: node.index / WIDTH, width: Tile::WIDTH };
                told = full(tile, &content(&rows[level]));
                rows[level].clear();
            }
        });
        told
    }

    /// The tree up to its last full bundle.
    pub(super) fn at_last_full(&self) -> Self {
        let size = self.size() / WIDTH * WIDTH;
        let peaks = self.peaks().iter().take(size.count_ones() as usize).copied().collect();
        Self::resume(size, peaks, self.above().to_vec()).unwrap_or_default()
    }

    /// The leaves of the tree, for a tree in memory to go on from.
    pub(super) fn range(&self) -> &CompactRange {
        &self.range
    }

    /// The tiles at the right edge that are not full, with their content.
    pub(super) fn partial(&self) -> Vec<(Tile, Vec<u8>)> {
        let hashes =
            self.rows.iter().enumerate().map(|(level, row)| {
                (TileKind::Hashes { level: level as u8 }, self.size() >> (8 * level), content(row))
            });
        let entries = (TileKind::Entries, self.size(), self.bundle.clone());
        let begun = std::iter::once(entries).chain(hashes).filter(|(_, _, content)| !content.is_empty());
        let tile = |(kind, items, content): (TileKind, u64, Vec<u8>)| {
            (Tile { kind, index: items / WIDTH, width: (items % WIDTH) as u16 }, content)
        };
        begun.map(tile).collect()
    }
}

fn content(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// The tiles of a log's folder.
#[derive(Clone, Debug)]
pub(super) struct Tiles {
    folder: PathBuf,
}

impl Tiles {
    pub(super) fn of(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    pub(super) fn path(&self, tile: Tile) -> PathBuf {
        self.folder.join(tile.to_string())
    }

    pub(super) fn write(&self, tile: Tile, content: &[u8]) -> Result<(), ChainError> {
        reach("tile: before");
        files::write(&self.path(tile), content)?;
        reach("tile: written");
        Ok(())
    }

    /// The bytes of a tile, `None` if the file is not there.
    pub(super) fn read(&self, tile: Tile) -> Result<Option<Vec<u8>>, ChainError> {
        files::read(&self.path(tile), MAX_TILE_BYTES)
    }

    /// Removes the begun tiles of a tree of `size` entries that trees of the sizes in `needed` have no use for.
    pub(super) fn retire(&self, size: u64, needed: &[u64]) {
        let kinds = (0..8).map(|level| TileKind::Hashes { level }).chain([TileKind::Entries]);
        for kind in kinds {
            let level = if let TileKind::Hashes { level } = kind { level } else { 0 };
            let items = size >> (8 * u32::from(level));
            if let Some(tile) = Tile::in_tree(kind, items / WIDTH, size)
                && !tile.is_full()
                && needed.iter().all(|size| Tile::in_tree(kind, tile.index, *size) != Some(tile))
            {
                // What cannot be removed is in nobody's way.
                let _ = fs::remove_file(self.path(tile));
            }
        }
    }

    /// Whether every full tile of a tree of `size` entries is there, judged by its length.
    pub(super) fn are_there(&self, size: u64) -> bool {
        Tile::changed(0, size).filter(Tile::is_full).all(|tile| {
            let found = fs::metadata(self.path(tile)).map_or(0, |found| found.len());
            match tile.kind {
                TileKind::Entries => found > 0,
                TileKind::Hashes { .. } => found == WIDTH * Hash::LEN as u64,
            }
        })
    }

    /// The hashes of the tree of `size` entries whose tiles are here.
    pub(super) fn hashes(&self, size: u64) -> Hashes {
        Hashes(TileHashes::new(self.clone(), size))
    }
}

impl TileSource for Tiles {
    type Error = ChainError;

    fn read(&mut self, tile: Tile) -> Result<Vec<u8>, ChainError> {
        Self::read(self, tile)?.ok_or_else(|| damaged(self.path(tile), "it is missing"))
    }
}

/// The tree's hashes as proofs read them.
pub(super) struct Hashes(TileHashes<Tiles>);

impl HashSource for Hashes {
    type Error = ChainError;

    fn hash(&mut self, node: Node) -> Result<Hash, ChainError> {
        self.0.hash(node).map_err(|error| match error {
            TileReadError::Source(error) => error,
            TileReadError::WrongLength(tile, _) => damaged(tile.to_string().into(), "its length is wrong"),
            TileReadError::NoSuchNode(_) => damaged("tile".into(), "the tree has no such hash"),
        })
    }
}

/// A tile is not what the entries say.
pub(super) fn damaged(path: PathBuf, what: &str) -> ChainError {
    let hint = "stop the daemon, remove the folder tile/ and the file index, and start it: they are made anew";
    ChainError::DamagedFile { path, what: what.to_owned(), hint }
}
