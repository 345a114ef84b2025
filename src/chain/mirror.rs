//! A copy of another party's log, entry for entry: in all respects the folder of a log, which its owner may take back.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use tacitly_attestation::checkpoint::SignedCheckpoint;
use tacitly_attestation::hash::Hash;
use tacitly_attestation::mirror::MirrorState;
use tacitly_attestation::note::{NoteSignature, VerifierKey};

use super::fault_point::reach;
use super::lock::Lock;
use super::recover::{self, Found};
use super::tile_store::TileStore;
use super::{ChainError, NoteKey, files, segment};

/// One party's log as its mirror has it.
pub struct Mirror {
    log: VerifierKey,
    path: PathBuf,
    segment: File,
    state: MirrorState,
    /// Where the entries end in the segment.
    end: u64,
    /// The leaves behind the newest checkpoint.
    unsigned: Vec<Hash>,
    tiles: TileStore,
    checkpoint: Option<SignedCheckpoint>,
    _lock: Lock,
}

impl Mirror {
    /// Opens the copy in `folder` of the log that signs with `log`, or begins it. Reads the whole copy; blocks.
    ///
    /// # Errors
    /// As [`Log::open`](super::Log::open).
    pub fn open(folder: &Path, log: &VerifierKey) -> Result<Self, ChainError> {
        files::make_folder(folder)?;
        let lock = Lock::take(folder)?;
        let Found { segment, signed, signed_end, checkpoint, unsigned, end, .. } = recover::open(folder, log)?;
        let mut range = signed.range().clone();
        unsigned.iter().for_each(|leaf| range.push(*leaf));
        Ok(Self {
            log: log.clone(),
            path: folder.join(segment::NAME),
            segment,
            state: MirrorState::resume(range),
            end,
            unsigned,
            tiles: TileStore::new(folder, signed, signed_end),
            checkpoint,
            _lock: lock,
        })
    }

    /// What verifies the log's checkpoints.
    #[must_use]
    pub fn log(&self) -> &VerifierKey {
        &self.log
    }

    /// How many entries are here, each shown to be the log's.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.state.size()
    }

    /// How many bytes they take.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.end
    }

    /// The newest checkpoint of which every entry is here.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&SignedCheckpoint> {
        self.checkpoint.as_ref()
    }

    /// Adds the log's next entries, durably. `proof` shows that with them the copy is the beginning of the tree of
    /// `signed`, whose signature has been verified; once it is the whole of it, that becomes its checkpoint. Blocks.
    /// After an error the copy is to be opened anew.
    ///
    /// # Errors
    /// [`ChainError::NotMirrored`] if they are not the log's next entries; then nothing was changed.
    /// [`ChainError::DiskFull`], [`ChainError::Io`], [`ChainError::Damaged`].
    pub fn add<'e>(
        &mut self,
        entries: impl IntoIterator<Item = &'e [u8]> + Clone,
        proof: &[Hash],
        signed: &SignedCheckpoint,
    ) -> Result<(), ChainError> {
        let considered = self.state.consider(entries.clone(), proof, signed.checkpoint());
        let extension = considered.map_err(|why| ChainError::NotMirrored {
            log: self.log.name().to_owned(),
            from: self.size(),
            why,
        })?;
        let mut bytes = Vec::new();
        for (leaf, entry) in extension.leaves().iter().zip(entries) {
            segment::encode(&mut bytes, self.end, leaf, entry);
        }
        self.write(&bytes)?;
        self.unsigned.extend_from_slice(extension.leaves());
        self.state = MirrorState::stored(extension);
        let newer = self.checkpoint.as_ref().is_none_or(|known| known.checkpoint() != signed.checkpoint());
        if newer && self.state.whole(signed).is_some() {
            let edge = self.tiles.read_back(&self.segment, &self.path, &self.unsigned, self.end)?;
            reach("mirror: before the checkpoint");
            self.tiles.put(edge, self.end, signed)?;
            self.unsigned.clear();
            self.checkpoint = Some(signed.clone());
        }
        Ok(())
    }

    /// The line with which the mirror of `key` says at `now`, in seconds since 1970, that it holds every entry of the
    /// newest checkpoint; `None` without one, or with entries behind it.
    ///
    /// # Errors
    /// [`ChainError::Signing`]
    pub fn cosign(&self, key: &NoteKey, now: u64) -> Result<Option<NoteSignature>, ChainError> {
        let whole = self.checkpoint.as_ref().and_then(|checkpoint| self.state.whole(checkpoint));
        let line = whole.map(|whole| whole.cosign(now, key.public(), key)).transpose();
        line.map_err(|error| ChainError::Signing(error.to_string()))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ChainError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let io = |error| ChainError::io(&self.path, error);
        if let Err(error) = self.segment.write_all_at(bytes, self.end) {
            // What cannot be removed now is cut off when the copy is opened anew.
            let _ = self.segment.set_len(self.end);
            return Err(io(error));
        }
        reach("mirror: written");
        self.segment.sync_data().map_err(io)?;
        self.end += bytes.len() as u64;
        Ok(())
    }
}
