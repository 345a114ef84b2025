//! Names of a log's files: C2SP tlog-tiles, 256 hashes or entries a file.

use std::fmt;

use super::shape::MAX_TREE_SIZE;
use crate::encoding::from_decimal;

/// What a file of the log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TileKind {
    /// The entries themselves, each with its length before it.
    Entries,
    /// Hashes of full subtrees of `256^level` leaves.
    Hashes {
        /// 0 for leaf hashes; 63 at most, 7 in any tree that fits a `u64`.
        level: u8,
    },
}

/// One file of the log: 256 hashes or entries, or fewer at the right edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    /// What it holds.
    pub kind: TileKind,
    /// Its place among the files of that kind, from 0.
    pub index: u64,
    /// How many hashes or entries it holds, 1 to 256.
    pub width: u16,
}

/// The text is not the path of a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the path of a tile: tile/LEVEL/INDEX or tile/entries/INDEX, with .p/WIDTH behind it if it is not full")]
pub struct MalformedTilePath;

impl Tile {
    /// Hashes or entries in a full tile.
    pub const WIDTH: u16 = 256;

    /// The log of the tree's levels that a tile spans.
    const HEIGHT: u32 = 8;

    /// The highest level that a path may name.
    const MAX_LEVEL: u8 = 63;

    /// The tile of `kind` at `index` in a tree of `size` leaves; `None` if the tree has none there.
    #[must_use]
    pub fn in_tree(kind: TileKind, index: u64, size: u64) -> Option<Self> {
        let start = index.checked_mul(u64::from(Self::WIDTH))?;
        let available = items(kind, size).checked_sub(start)?;
        let width = available.min(u64::from(Self::WIDTH)) as u16;
        (width > 0).then_some(Self { kind, index, width })
    }

    /// Whether no later leaf can change it.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.width == Self::WIDTH
    }

    /// The files to write when a log grows from `old` to `new` leaves: the entries, then the hashes from the leaves
    /// upwards, each kind from left to right. A file that held fewer items before is among them.
    pub fn changed(old: u64, new: u64) -> impl Iterator<Item = Self> {
        let new = new.min(MAX_TREE_SIZE);
        let hashes = (0..8).map(|level| TileKind::Hashes { level });
        std::iter::once(TileKind::Entries).chain(hashes).flat_map(move |kind| {
            let (before, after) = (items(kind, old), items(kind, new));
            let width = u64::from(Self::WIDTH);
            let indices = if before < after { before / width..after.div_ceil(width) } else { 0..0 };
            indices.filter_map(move |index| Self::in_tree(kind, index, new))
        })
    }

    /// Reads what [`Tile`] prints, and nothing else.
    ///
    /// # Errors
    /// [`MalformedTilePath`].
    pub fn parse(path: &str) -> Result<Self, MalformedTilePath> {
        parse(path).ok_or(MalformedTilePath)
    }
}

/// How many hashes or entries of a kind a tree of `size` leaves has.
fn items(kind: TileKind, size: u64) -> u64 {
    match kind {
        TileKind::Entries => size,
        TileKind::Hashes { level } => size.checked_shr(u32::from(level) * Tile::HEIGHT).unwrap_or(0),
    }
}

fn parse(path: &str) -> Option<Tile> {
    let (kind, rest) = path.strip_prefix("tile/")?.split_once('/')?;
    let kind = if kind == "entries" {
        TileKind::Entries
    } else {
        let level = u8::try_from(from_decimal(kind)?).ok().filter(|level| *level <= Tile::MAX_LEVEL)?;
        TileKind::Hashes { level }
    };
    let (index, width) = match rest.split_once(".p/") {
        Some((index, width)) => (index, u16::try_from(from_decimal(width)?).ok().filter(|width| *width < Tile::WIDTH)?),
        None => (rest, Tile::WIDTH),
    };
    if width == 0 {
        return None;
    }
    let mut number: u64 = 0;
    let mut groups = index.split('/').peekable();
    let mut first = true;
    while let Some(group) = groups.next() {
        let digits = if groups.peek().is_some() { group.strip_prefix('x')? } else { group };
        // A group of three zeros in front would name the same tile twice.
        let redundant = first && groups.peek().is_some() && digits == "000";
        if digits.len() != 3 || redundant || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        number = number.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
        first = false;
    }
    Some(Tile { kind, index: number, width })
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Entries => f.write_str("tile/entries")?,
            TileKind::Hashes { level } => write!(f, "tile/{level}")?,
        }
        let mut groups = vec![self.index % 1000];
        let mut rest = self.index / 1000;
        while rest > 0 {
            groups.push(rest % 1000);
            rest /= 1000;
        }
        for (at, group) in groups.iter().enumerate().rev() {
            write!(f, "/{}{group:03}", if at > 0 { "x" } else { "" })?;
        }
        if self.is_full() { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}
