//! Behind the writer: reads new entries back, hashes them again, writes tiles, signs the checkpoint.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tacitly_attestation::hash::Hash;
use tacitly_attestation::tree::Tile;

use super::fault_point::reach;
use super::state::{Core, Signed};
use super::tile_store::TileStore;
use super::tiles::{Edge, Tiles, WIDTH};
use super::{ChainError, checkpoint, index};

/// How long entries gather before a checkpoint is signed, unless somebody waits for it.
const PATIENCE: Duration = Duration::from_millis(250);

/// How long a checkpoint that could not be made waits for its next attempt.
const PAUSE: Duration = Duration::from_secs(1);

/// How long nothing may have come before tiles are synchronised.
const QUIET: Duration = Duration::from_millis(500);

/// The one who signs.
pub(super) struct CheckpointSigner {
    /// What is signed.
    pub(super) tiles: TileStore,
    /// The entries whose full tiles are known to be on the disk.
    pub(super) synchronised: u64,
}

enum Task {
    Sign,
    Settle,
    End,
}

impl CheckpointSigner {
    /// Signs until the log is closed.
    pub(super) fn run(mut self, core: &Core) {
        loop {
            match self.wait(core) {
                Task::Sign => self.sign_or_say(core),
                // What is not on the disk is made anew at the next start.
                Task::Settle => drop(self.settle(core)),
                Task::End => return,
            }
        }
    }

    fn wait(&self, core: &Core) -> Task {
        let quiet_from = Instant::now();
        let mut state = core.locked();
        loop {
            let due = state.unsigned_since.map(|since| since + PATIENCE);
            if state.sign_now && due.is_none() {
                state.sign_now = false;
            }
            let now = Instant::now();
            let last_words = state.closing && state.writer_gone;
            if due.is_some_and(|due| due <= now || state.sign_now || last_words) {
                state.sign_now = false;
                return Task::Sign;
            }
            if last_words {
                return Task::End;
            }
            let unsettled = self.synchronised / WIDTH < self.tiles.edge().size() / WIDTH;
            if due.is_none() && unsettled && now >= quiet_from + QUIET {
                return Task::Settle;
            }
            let until = due.or(unsettled.then_some(quiet_from + QUIET));
            state = match until {
                None => core.to_sign.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let patience = until.saturating_duration_since(now);
                    core.to_sign.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    fn sign_or_say(&mut self, core: &Core) {
        let Err(error) = self.sign(core) else { return };
        tracing::error!(%error, "no checkpoint could be signed");
        if matches!(error, ChainError::Damaged { .. }) {
            core.refuse(&error);
        }
        let mut state = core.locked();
        // At the end the next start signs; before, patience begins anew.
        state.unsigned_since = (!state.closing).then(|| Instant::now() + PAUSE);
        drop(state);
        core.signed.send_modify(|signed| signed.fault = Some(error));
    }

    /// Signs the tree as it stands on the disk.
    fn sign(&mut self, core: &Core) -> Result<(), ChainError> {
        let (leaves, end, root) = {
            let mut state = core.locked();
            state.unsigned_since = None;
            (state.unsigned.iter().copied().collect::<Vec<Hash>>(), state.end, state.tree.root())
        };
        let edge = self.tiles.read_back(&core.segment, &core.segment_path, &leaves, end)?;
        if edge.root() != root {
            return Err(damaged(core, self.tiles.edge().size(), "the tree in memory has another root"));
        }
        reach("sign: before");
        let checkpoint = checkpoint::sign(&core.key, edge.size(), root)?;
        self.tiles.put(edge, end, &checkpoint)?;
        // Published first, so that an entry is always found in one of the two places.
        core.signed.send_replace(Signed { checkpoint: Some(Arc::new(checkpoint)), fault: None });
        core.locked().unsigned.drain(..leaves.len());
        Ok(())
    }

    /// Synchronises some full tiles; with the last of them, remembers that the next start can begin here.
    fn settle(&mut self, core: &Core) -> Result<(), ChainError> {
        const AT_ONCE: u64 = 16 * WIDTH;
        let tiles = Tiles::of(&core.folder);
        let all = self.tiles.edge().size() / WIDTH * WIDTH;
        let until = all.min(self.synchronised + AT_ONCE);
        for tile in Tile::changed(self.synchronised, until).filter(Tile::is_full) {
            let path = tiles.path(tile);
            let synchronised = std::fs::File::open(&path).and_then(|file| file.sync_all());
            synchronised.map_err(|error| ChainError::io(&path, error))?;
        }
        self.synchronised = until;
        if until == all {
            let offsets = core.locked().offsets.clone();
            let edge = self.tiles.edge().at_last_full();
            self.remember(core, &offsets, &edge)?;
        }
        Ok(())
    }

    fn remember(&self, core: &Core, offsets: &[u64], edge: &Edge) -> Result<(), ChainError> {
        let blocks = (edge.size() / WIDTH) as usize;
        // Where the entry at the mark starts: known once it is there, and the end of the log before.
        let mut offsets: Vec<u64> = offsets.iter().copied().take(blocks + 1).collect();
        if offsets.len() == blocks {
            offsets.push(self.tiles.end());
        }
        reach("index: before");
        index::write(&core.folder, &offsets, edge)
    }
}

fn damaged(core: &Core, entry: u64, what: &'static str) -> ChainError {
    ChainError::Damaged { path: core.segment_path.clone(), entry, what }
}
