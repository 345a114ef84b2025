//! Bytes laid aside on disk for a while: sealed under a key that only this process has, in a file without a name.
//!
//! The file is unlinked as soon as it is open, so the system takes it back when the process ends, however it ends; what
//! a disk keeps of its blocks is noise to everybody, us included.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce, Tag};
use rand::TryRng;
use rand::rngs::SysRng;
use zeroize::Zeroizing;

use super::{IntakeError, Problem};

const TAG: usize = 16;

/// Chunks of bytes in parts; each part is read back on its own.
pub(super) struct Spill {
    folder: PathBuf,
    file: File,
    cipher: ChaCha20Poly1305,
    /// The chunks of each part, in the order of writing, up to the last part that has any.
    parts: Vec<Vec<Chunk>>,
    end: u64,
    chunks: u64,
}

struct Chunk {
    /// Its number among all: its nonce.
    number: u64,
    at: u64,
    /// Without the tag.
    length: usize,
}

impl Spill {
    /// An empty file in `folder`.
    pub(super) fn create(folder: &Path) -> Result<Self, IntakeError> {
        let mut key = Zeroizing::new([0; 32]);
        SysRng.try_fill_bytes(key.as_mut()).map_err(|error| refused(folder, &io::Error::other(error)))?;
        Ok(Self {
            file: tempfile::tempfile_in(folder).map_err(|error| refused(folder, &error))?,
            folder: folder.to_owned(),
            cipher: ChaCha20Poly1305::new((&*key).into()),
            parts: Vec::new(),
            end: 0,
            chunks: 0,
        })
    }

    /// Seals `bytes` and appends them to a part. They are overwritten by their ciphertext and then removed.
    pub(super) fn append(&mut self, part: usize, bytes: &mut Vec<u8>) -> Result<(), IntakeError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let chunk = Chunk { number: self.chunks, at: self.end, length: bytes.len() };
        let tag = self
            .cipher
            .encrypt_inout_detached(&nonce(chunk.number), &[], bytes.as_mut_slice().into())
            .map_err(|_| self.refused(&io::ErrorKind::InvalidInput.into()))?;
        bytes.extend_from_slice(&tag);
        self.file.write_all(bytes).map_err(|error| self.refused(&error))?;
        self.end += bytes.len() as u64;
        self.chunks += 1;
        if part >= self.parts.len() {
            self.parts.resize_with(part + 1, Vec::new);
        }
        self.parts[part].push(chunk);
        bytes.clear();
        Ok(())
    }

    /// How many parts there are: one more than the number of the last that holds anything.
    pub(super) fn parts(&self) -> usize {
        self.parts.len()
    }

    /// A whole part; nothing of one that was never appended to.
    pub(super) fn read(&self, part: usize) -> Result<Zeroizing<Vec<u8>>, IntakeError> {
        let chunks = self.parts.get(part).map_or(&[][..], Vec::as_slice);
        let whole: usize = chunks.iter().map(|chunk| chunk.length).sum();
        let mut bytes = Zeroizing::new(vec![0; whole + TAG]);
        let mut start = 0;
        for chunk in chunks {
            // The tag stands for a moment where the next chunk begins.
            let room = &mut bytes[start..start + chunk.length + TAG];
            self.file.read_exact_at(room, chunk.at).map_err(|error| self.refused(&error))?;
            let (sealed, tag) = room.split_at_mut(chunk.length);
            let tag = Tag::try_from(&*tag).map_err(|_| self.damaged())?;
            self.cipher
                .decrypt_inout_detached(&nonce(chunk.number), &[], sealed.into(), &tag)
                .map_err(|_| self.damaged())?;
            start += chunk.length;
        }
        bytes.truncate(whole);
        Ok(bytes)
    }

    /// Something that was laid aside is not what it was.
    pub(super) fn damaged(&self) -> IntakeError {
        IntakeError::of(&self.folder, Problem::SpillDamaged)
    }

    fn refused(&self, error: &io::Error) -> IntakeError {
        refused(&self.folder, error)
    }
}

/// Every chunk has its own nonce; the key is used for one file.
fn nonce(number: u64) -> Nonce {
    let mut nonce = Nonce::default();
    nonce[4..].copy_from_slice(&number.to_be_bytes());
    nonce
}

fn refused(folder: &Path, error: &io::Error) -> IntakeError {
    IntakeError::of(folder, Problem::spilling(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back_whole_and_a_changed_byte_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let mut spill = Spill::create(folder.path()).unwrap();
        for (part, bytes) in [(0, "one, "), (2, "three"), (0, "and more"), (0, "")] {
            spill.append(part, &mut bytes.as_bytes().to_vec()).unwrap();
        }
        assert_eq!(
            [0, 1, 2, 9].map(|part| spill.read(part).unwrap().to_vec()),
            [&b"one, and more"[..], b"", b"three", b""]
        );
        assert_eq!(spill.parts(), 3);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the file has no name");

        let mut stored = vec![0; usize::try_from(spill.end).unwrap()];
        spill.file.read_exact_at(&mut stored, 0).unwrap();
        assert!(!stored.windows(5).any(|window| window == b"three"), "nothing is in the clear");
        stored[7] ^= 1;
        spill.file.write_all_at(&stored, 0).unwrap();
        assert_eq!(spill.read(0).unwrap_err().problem, Problem::SpillDamaged);
        assert!(spill.read(2).is_ok());
    }
}
