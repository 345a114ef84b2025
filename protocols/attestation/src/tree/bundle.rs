//! Entry bundles: up to 256 log entries in one file, each behind its length (C2SP tlog-tiles).

use super::Tile;

/// The longest entry: its length is written in two bytes.
pub const MAX_ENTRY_BYTES: usize = u16::MAX as usize;

/// The bytes are not an entry bundle, or the entries do not fit one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedBundle {
    /// An entry longer than its length field can say.
    #[error("entry {0} of the bundle is longer than 65,535 bytes")]
    EntryTooLong(usize),
    /// More than 256 entries.
    #[error("a bundle holds at most 256 entries")]
    TooMany,
    /// The bytes end within an entry or its length.
    #[error("the bundle ends within entry {0}")]
    Truncated(usize),
}

/// Writes entries one behind the other, each after its length in two bytes, the higher first.
///
/// # Errors
/// [`MalformedBundle::EntryTooLong`] or [`MalformedBundle::TooMany`].
pub fn encode_bundle<'e>(entries: impl IntoIterator<Item = &'e [u8]>) -> Result<Vec<u8>, MalformedBundle> {
    let mut bundle = Vec::new();
    for (at, entry) in entries.into_iter().enumerate() {
        if at == usize::from(Tile::WIDTH) {
            return Err(MalformedBundle::TooMany);
        }
        let length = u16::try_from(entry.len()).map_err(|_| MalformedBundle::EntryTooLong(at))?;
        bundle.extend_from_slice(&length.to_be_bytes());
        bundle.extend_from_slice(entry);
    }
    Ok(bundle)
}

/// The entries in a bundle, in order, without copying them.
///
/// # Errors
/// [`MalformedBundle::Truncated`] or [`MalformedBundle::TooMany`].
pub fn decode_bundle(mut bundle: &[u8]) -> Result<Vec<&[u8]>, MalformedBundle> {
    let mut entries = Vec::new();
    while !bundle.is_empty() {
        if entries.len() == usize::from(Tile::WIDTH) {
            return Err(MalformedBundle::TooMany);
        }
        let truncated = MalformedBundle::Truncated(entries.len());
        let (length, rest) = bundle.split_first_chunk().ok_or(truncated)?;
        let (entry, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length))).ok_or(truncated)?;
        entries.push(entry);
        bundle = rest;
    }
    Ok(entries)
}
