//! Where entries stand in the segment, and how to go on from a place where all tiles are on the disk.
//!
//! ```text
//! "tacitly-index@v1" LF · mark (8 bytes) · offsets: one for every 256 entries, the first at 0 and the last at the mark
//! · peaks of the tree at the mark · levels (1) · for each level above the leaves: count (2), hashes · SHA-256 of all
//! ```
//!
//! A file that does not fit its hash is as good as none: everything is read again from the segment.

use std::path::Path;

use tacitly_attestation::hash::Hash;

use super::tiles::{Edge, WIDTH};
use super::{ChainError, files};

/// The name of the file.
pub(super) const NAME: &str = "index";

const MAGIC: &[u8] = b"tacitly-index@v1\n";

/// The longest index: 2^33 entries.
const LIMIT: u64 = 1 << 28;

/// A place from which reading can go on: a multiple of 256 entries whose full tiles are all on the disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Mark {
    /// Where every 256th entry starts in the segment, up to the one at the mark.
    pub(super) offsets: Vec<u64>,
    /// The tree at the mark.
    pub(super) edge: Edge,
}

/// Stores a mark.
pub(super) fn write(folder: &Path, offsets: &[u64], edge: &Edge) -> Result<(), ChainError> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&edge.size().to_be_bytes());
    offsets.iter().for_each(|offset| bytes.extend_from_slice(&offset.to_be_bytes()));
    edge.peaks().iter().for_each(|peak| bytes.extend_from_slice(&peak.0));
    bytes.push(edge.above().len() as u8);
    for row in edge.above() {
        bytes.extend_from_slice(&(row.len() as u16).to_be_bytes());
        row.iter().for_each(|hash| bytes.extend_from_slice(&hash.0));
    }
    let hash = Hash::of(&bytes);
    bytes.extend_from_slice(&hash.0);
    files::replace(&folder.join(NAME), &bytes)
}

/// The stored mark; `None` if there is none that can be used.
pub(super) fn read(folder: &Path) -> Option<Mark> {
    parse(&files::read(&folder.join(NAME), LIMIT).ok()??)
}

fn parse(bytes: &[u8]) -> Option<Mark> {
    let (bytes, hash) = bytes.split_last_chunk::<{ Hash::LEN }>()?;
    if Hash::of(bytes).0 != *hash {
        return None;
    }
    let mut rest = bytes.strip_prefix(MAGIC)?;
    let size = u64::from_be_bytes(take(&mut rest)?);
    if size % WIDTH != 0 || size / WIDTH > LIMIT {
        return None;
    }
    let offsets = (0..=size / WIDTH).map(|_| take(&mut rest).map(u64::from_be_bytes)).collect::<Option<_>>()?;
    let hashes = |count: u32, rest: &mut &[u8]| (0..count).map(|_| take(rest).map(Hash)).collect::<Option<_>>();
    let peaks = hashes(size.count_ones(), &mut rest)?;
    let [levels] = take(&mut rest)?;
    let above = (0..levels)
        .map(|_| {
            let count = u16::from_be_bytes(take(&mut rest)?);
            hashes(u32::from(count), &mut rest)
        })
        .collect::<Option<_>>()?;
    let edge = Edge::resume(size, peaks, above).filter(|_| rest.is_empty())?;
    Some(Mark { offsets, edge })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*first)
}

/// Whether the stored index says what the segment says; `None` if there is no index at all.
pub(super) fn agrees(folder: &Path, offset_of: impl Fn(u64) -> Option<u64>) -> Option<bool> {
    let path = folder.join(NAME);
    if !path.exists() {
        return None;
    }
    let mark = read(folder);
    Some(mark.is_some_and(|mark| (0_u64..).zip(&mark.offsets).all(|(block, offset)| offset_of(block) == Some(*offset))))
}
