//! What the threads of a log share.

use std::collections::VecDeque;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tacitly_attestation::checkpoint::SignedCheckpoint;
use tacitly_attestation::hash::Hash;
use tacitly_attestation::tree::CompactRange;
use tokio::sync::{oneshot, watch};

use super::{ChainError, NoteKey};

/// Where the log has put an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Its index, from 0.
    pub index: u64,
    /// The hash of its bytes as a leaf.
    pub hash: Hash,
}

/// The durable log: its size and the root of its tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Entries.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

/// Entries that wait to become durable together, and whoever waits for them: the answer is where the first of them is.
pub(super) struct Waiting {
    pub(super) entries: Vec<(Vec<u8>, Hash)>,
    /// Where the first of them is to stand, if only this place will do.
    pub(super) place: Option<u64>,
    pub(super) answer: oneshot::Sender<Result<Leaf, ChainError>>,
}

impl Waiting {
    /// How many bytes the entries have.
    pub(super) fn bytes(&self) -> usize {
        self.entries.iter().map(|(entry, _)| entry.len()).sum()
    }
}

/// Whether entries are taken.
#[derive(Clone, Debug)]
pub(super) enum Mode {
    Appending,
    /// They wait until it is known whether this log is the newest of its name.
    Held,
    Refusing(ChainError),
}

/// What the log is at the moment.
pub(super) struct State {
    pub(super) waiting: VecDeque<Waiting>,
    pub(super) mode: Mode,
    /// The durable entries.
    pub(super) tree: CompactRange,
    /// Where they end in the segment.
    pub(super) end: u64,
    /// Where every 256th of them starts.
    pub(super) offsets: Vec<u64>,
    /// The leaves behind the newest checkpoint, and since when there are any.
    pub(super) unsigned: VecDeque<Hash>,
    pub(super) unsigned_since: Option<Instant>,
    /// Somebody waits for the next checkpoint.
    pub(super) sign_now: bool,
    pub(super) closing: bool,
    pub(super) writer_gone: bool,
}

/// The newest checkpoint, and why there is no newer one if that failed.
#[derive(Clone, Default)]
pub(super) struct Signed {
    pub(super) checkpoint: Option<Arc<SignedCheckpoint>>,
    pub(super) fault: Option<ChainError>,
}

impl Signed {
    pub(super) fn size(&self) -> u64 {
        self.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.checkpoint().size)
    }
}

pub(super) struct Core {
    pub(super) folder: PathBuf,
    pub(super) key: NoteKey,
    pub(super) segment: File,
    pub(super) segment_path: PathBuf,
    pub(super) state: Mutex<State>,
    /// There is something to write.
    pub(super) to_write: Condvar,
    /// There is something to sign.
    pub(super) to_sign: Condvar,
    pub(super) signed: watch::Sender<Signed>,
    /// Told when the standing has changed.
    pub(super) turned: watch::Sender<()>,
}

impl Core {
    pub(super) fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn head(&self) -> Head {
        let state = self.locked();
        Head { size: state.tree.size(), root: state.tree.root() }
    }

    /// From now on nothing is appended; whoever waits learns why.
    pub(super) fn refuse(&self, why: &ChainError) {
        let mut state = self.locked();
        state.mode = Mode::Refusing(why.clone());
        for waiting in state.waiting.drain(..) {
            let _nobody_waits = waiting.answer.send(Err(why.clone()));
        }
        self.to_write.notify_all();
        self.turned.send_replace(());
    }
}
