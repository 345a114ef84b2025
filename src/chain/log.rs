//! The log as its owner uses it.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use tacitly_attestation::checkpoint::SignedCheckpoint;
use tacitly_attestation::hash::{Hash, leaf_hash};
use tacitly_attestation::note::{KeyRing, NoteSignature, VerifierKey};
use tacitly_attestation::tree::{
    MAX_ENTRY_BYTES, ProveError, Tile, TileKind, prove_consistency, prove_inclusion, root_at, verify_consistency,
    verify_inclusion,
};
use tokio::sync::{oneshot, watch};

use super::checkpoint_signer::CheckpointSigner;
use super::lock::Lock;
use super::recover::{self, Found};
use super::segment::{Records, Step};
use super::state::{Core, Head, Leaf, Mode, Signed, State, Waiting};
use super::tile_store::TileStore;
use super::tiles::{Tiles, WIDTH, damaged};
use super::{ChainError, Cosigned, MirrorCosignatures, NoteKey, files, index, writer};

/// One party's log. A clone is the same log; when the last is dropped, what waits is written and signed.
#[derive(Clone)]
pub struct Log(Arc<Handle>);

struct Handle {
    core: Arc<Core>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    places: Mutex<Places>,
    cosigned: Mutex<Cosigned>,
    kept: Mutex<MirrorCosignatures>,
    _lock: Lock,
}

/// Entries by the first half of their leaf hash, as far as anybody has asked.
#[derive(Default)]
pub(super) struct Places {
    known: HashMap<[u8; 16], u64>,
    size: u64,
}

impl Log {
    /// Opens the log whose checkpoints `key` signs (its name is the log's origin), or begins it. What a crash left of
    /// an unacknowledged write is removed; missing tiles are made anew. May read the whole log; blocks.
    ///
    /// # Errors
    /// [`ChainError::Locked`] if it is open elsewhere; [`ChainError::AnotherLog`]; [`ChainError::Damaged`] and
    /// [`ChainError::WrongRoot`] if an acknowledged entry is not there as it was; [`ChainError::Io`],
    /// [`ChainError::DiskFull`].
    pub fn open(folder: &Path, key: NoteKey) -> Result<Self, ChainError> {
        files::make_folder(folder)?;
        let lock = Lock::take(folder)?;
        let Found { segment, offsets, signed, signed_end, checkpoint, unsigned, end, settled } =
            recover::open(folder, key.public())?;
        let (cosigned, kept) =
            (Cosigned::mended(folder, key.public())?, MirrorCosignatures::mended(folder, key.public())?);
        let mut tree = signed.range().clone();
        unsigned.iter().for_each(|leaf| tree.push(*leaf));
        let state = State {
            waiting: VecDeque::new(),
            mode: Mode::Appending,
            tree,
            end,
            offsets,
            unsigned_since: (!unsigned.is_empty()).then(Instant::now),
            unsigned: unsigned.into(),
            sign_now: false,
            closing: false,
            writer_gone: false,
        };
        let core = Arc::new(Core {
            folder: folder.to_owned(),
            key,
            segment,
            segment_path: folder.join(super::segment::NAME),
            state: Mutex::new(state),
            to_write: Condvar::new(),
            to_sign: Condvar::new(),
            signed: watch::Sender::new(Signed { checkpoint: checkpoint.map(Arc::new), fault: None }),
            turned: watch::Sender::default(),
        });
        let signer = CheckpointSigner { tiles: TileStore::new(folder, signed, signed_end), synchronised: settled };
        let (writing, signing) = (core.clone(), core.clone());
        let threads = [
            thread::Builder::new().name("log-writer".to_owned()).spawn(move || writer::run(&writing)),
            thread::Builder::new().name("log-signer".to_owned()).spawn(move || signer.run(&signing)),
        ];
        let threads = threads.into_iter().collect::<Result<Vec<_>, _>>();
        let threads = threads.map_err(|error| ChainError::io(folder, error))?;
        let (threads, places) = (Mutex::new(threads), Mutex::default());
        let (cosigned, kept) = (Mutex::new(cosigned), Mutex::new(kept));
        Ok(Self(Arc::new(Handle { core, threads, places, cosigned, kept, _lock: lock })))
    }

    /// The log's name.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.0.core.key.public().name()
    }

    /// The key that verifies the log's checkpoints.
    #[must_use]
    pub fn key(&self) -> &NoteKey {
        &self.0.core.key
    }

    /// Appends an entry: the exact bytes of its signed note. It is on the disk when this returns. A caller that goes
    /// away earlier leaves open whether it is stored.
    ///
    /// # Errors
    /// [`ChainError::Length`]; [`ChainError::DiskFull`] and [`ChainError::Io`], then it is not stored and another
    /// attempt may succeed; [`ChainError::Behind`], [`ChainError::Lost`], [`ChainError::Forked`], [`ChainError::Damaged`] and
    /// [`ChainError::Unsure`] for every entry from now on.
    pub async fn append(&self, entry: Vec<u8>) -> Result<Leaf, ChainError> {
        self.put(vec![entry], None).await
    }

    /// Appends entries together, one behind the other, the first of them at index `place`. They are on the disk when this
    /// returns. A caller that goes away earlier leaves open whether they are stored.
    ///
    /// # Errors
    /// As [`append`](Self::append), and [`ChainError::Taken`] if `place` is not the log's end: none of them is stored then.
    pub async fn append_all(&self, place: u64, entries: Vec<Vec<u8>>) -> Result<(), ChainError> {
        if !entries.is_empty() {
            self.put(entries, Some(place)).await?;
        }
        Ok(())
    }

    async fn put(&self, entries: Vec<Vec<u8>>, place: Option<u64>) -> Result<Leaf, ChainError> {
        if let Some(unfit) = entries.iter().find(|entry| entry.is_empty() || entry.len() > MAX_ENTRY_BYTES) {
            return Err(ChainError::Length(unfit.len()));
        }
        let hashed = |entry: Vec<u8>| {
            let leaf = leaf_hash(&entry);
            (entry, leaf)
        };
        let entries = entries.into_iter().map(hashed).collect();
        let (answer, answered) = oneshot::channel();
        {
            let mut state = self.0.core.locked();
            if let Mode::Refusing(why) = &state.mode {
                return Err(why.clone());
            }
            state.waiting.push_back(Waiting { entries, place, answer });
        }
        self.0.core.to_write.notify_one();
        answered.await.map_err(|_| ChainError::Closed)?
    }

    /// Returns as soon as entries are taken: at once, or when a log that is [held](Self::hold) is released.
    ///
    /// # Errors
    /// Why nothing is appended any more.
    pub async fn takes_entries(&self) -> Result<(), ChainError> {
        let mut turned = self.0.core.turned.subscribe();
        loop {
            match &self.0.core.locked().mode {
                Mode::Appending => return Ok(()),
                Mode::Refusing(why) => return Err(why.clone()),
                Mode::Held => {}
            }
            turned.changed().await.map_err(|_| ChainError::Closed)?;
        }
    }

    /// Keeps entries waiting until it is known whether this log is the newest of its name: see
    /// [`peer_cosigned`](Self::peer_cosigned), then [`release`](Self::release).
    pub fn hold(&self) {
        let mut state = self.0.core.locked();
        if matches!(state.mode, Mode::Appending) {
            state.mode = Mode::Held;
        }
    }

    /// Takes entries again after [`hold`](Self::hold). A log that refuses goes on refusing.
    pub fn release(&self) {
        let mut state = self.0.core.locked();
        if matches!(state.mode, Mode::Held) {
            state.mode = Mode::Appending;
        }
        self.0.core.to_write.notify_all();
        self.0.core.turned.send_replace(());
    }

    /// Takes in that `peer` has cosigned the tree of `size` entries with this `root`, under this log's key.
    ///
    /// # Errors
    /// [`ChainError::Behind`] or [`ChainError::Forked`] if this log does not extend that tree. Nothing is appended
    /// from then on: the newest copy of the log is elsewhere.
    pub fn peer_cosigned(&self, peer: &str, size: u64, root: &Hash) -> Result<(), ChainError> {
        let ours = self.signed_size();
        let refused = if size > ours {
            ChainError::Behind { peer: peer.to_owned(), known: size, ours }
        } else if self.root_at(size)? != *root {
            ChainError::Forked { peer: peer.to_owned(), size }
        } else {
            return Ok(());
        };
        self.refuse(&refused);
        Err(refused)
    }

    /// Takes in that the log had `known` entries, and that what is missing cannot be had again. Nothing is appended from
    /// then on.
    pub fn refuse_as_lost(&self, known: u64) -> ChainError {
        let refused = ChainError::Lost { known, ours: self.head().size };
        self.refuse(&refused);
        refused
    }

    /// Takes in that the entry at `index` is not the one that was put there. Nothing is appended from then on.
    pub fn refuse_as_other(&self, index: u64) -> ChainError {
        let refused = ChainError::Other { entry: index };
        self.refuse(&refused);
        refused
    }

    fn refuse(&self, why: &ChainError) {
        self.0.core.refuse(why);
        tracing::error!(error = %why, "the log takes no more entries");
    }

    /// Why nothing is appended, if that is so. Whether the file is still in its place is looked up.
    #[must_use]
    pub fn refusal(&self) -> Option<ChainError> {
        let end = match &*self.0.core.locked() {
            State { mode: Mode::Refusing(why), .. } => return Some(why.clone()),
            state => state.end,
        };
        // A write that is under way makes it longer.
        if writer::length_in_place(&self.0.core).is_none_or(|length| length < end) {
            let why = ChainError::Moved { path: self.0.core.segment_path.clone() };
            self.refuse(&why);
            return Some(why);
        }
        None
    }

    /// The durable log.
    #[must_use]
    pub fn head(&self) -> Head {
        self.0.core.head()
    }

    /// The newest signed checkpoint; none before the first entry.
    #[must_use]
    pub fn checkpoint(&self) -> Option<Arc<SignedCheckpoint>> {
        self.0.core.signed.borrow().checkpoint.clone()
    }

    /// Waits for a checkpoint of at least `size` entries, and has it made at once.
    ///
    /// # Errors
    /// [`ChainError::Outside`] if the log is smaller; why no checkpoint could be signed.
    pub async fn signed(&self, size: u64) -> Result<Arc<SignedCheckpoint>, ChainError> {
        let durable = self.head().size;
        if size > durable || size == 0 {
            return Err(ChainError::Outside { asked: size, size: durable });
        }
        let mut signed = self.0.core.signed.subscribe();
        let mut already = true;
        loop {
            {
                let now = signed.borrow_and_update();
                if let Some(checkpoint) = now.checkpoint.as_ref().filter(|_| now.size() >= size) {
                    return Ok(checkpoint.clone());
                }
                if let Some(fault) = now.fault.as_ref().filter(|_| !already) {
                    return Err(fault.clone());
                }
            }
            already = false;
            self.0.core.locked().sign_now = true;
            self.0.core.to_sign.notify_all();
            signed.changed().await.map_err(|_| ChainError::Closed)?;
        }
    }

    /// Waits until the newest checkpoint has another size than `size`, and tells its size.
    pub async fn grown_from(&self, size: u64) -> u64 {
        let mut signed = self.0.core.signed.subscribe();
        let grown = signed.wait_for(|signed| signed.size() != size).await.map(|signed| signed.size());
        match grown {
            Ok(grown) => grown,
            Err(_) => std::future::pending().await,
        }
    }

    /// The bytes of the entry at `index`.
    ///
    /// # Errors
    /// [`ChainError::Outside`], [`ChainError::Damaged`], [`ChainError::Io`].
    pub fn entry(&self, index: u64) -> Result<Vec<u8>, ChainError> {
        let core = &self.0.core;
        let (offset, end) = {
            let state = core.locked();
            let size = state.tree.size();
            let block = usize::try_from(index / WIDTH).unwrap_or(usize::MAX);
            let start = state.offsets.get(block).filter(|_| index < size).copied();
            let start = start.ok_or(ChainError::Outside { asked: index, size })?;
            (start, state.offsets.get(block + 1).copied().unwrap_or(state.end))
        };
        let damaged = |entry, what| ChainError::Damaged { path: core.segment_path.clone(), entry, what };
        let mut records = Records::new(&core.segment, offset, end);
        let mut at = index / WIDTH * WIDTH;
        loop {
            match records.next().map_err(|error| ChainError::io(&core.segment_path, error))? {
                Step::Record(record) if at == index => return Ok(record.entry.to_vec()),
                Step::Record(_) => at += 1,
                Step::Flaw(flaw) => return Err(damaged(at, flaw.words())),
                Step::End => return Err(damaged(at, "it is gone")),
            }
        }
    }

    /// Gives the entries from `from` up to `until` to `each`, with their indices, for as long as it says so.
    ///
    /// # Errors
    /// As [`entry`](Self::entry), and what `each` refuses.
    pub fn each_between(
        &self,
        from: u64,
        until: u64,
        mut each: impl FnMut(u64, &[u8]) -> Result<bool, ChainError>,
    ) -> Result<(), ChainError> {
        let core = &self.0.core;
        let (start, end, until) = {
            let state = core.locked();
            let block = usize::try_from(from / WIDTH).unwrap_or(usize::MAX);
            let start = state.offsets.get(block).copied().unwrap_or(state.end);
            (start, state.end, until.min(state.tree.size()))
        };
        let mut records = Records::new(&core.segment, start, end);
        for index in from / WIDTH * WIDTH..until {
            let damaged = |what| ChainError::Damaged { path: core.segment_path.clone(), entry: index, what };
            match records.next().map_err(|error| ChainError::io(&core.segment_path, error))? {
                Step::Record(record) if index >= from => {
                    if !each(index, record.entry)? {
                        return Ok(());
                    }
                }
                Step::Record(_) => {}
                Step::Flaw(flaw) => return Err(damaged(flaw.words())),
                Step::End => return Err(damaged("it is gone")),
            }
        }
        Ok(())
    }

    /// The index of the entry with this leaf hash. The first question reads all leaf hashes.
    ///
    /// # Errors
    /// [`ChainError::DamagedFile`] if a tile is not there.
    pub fn find(&self, leaf: &Hash) -> Result<Option<u64>, ChainError> {
        // The leaves behind the checkpoint first: while they are looked at, they may move behind the tiles.
        let unsigned = {
            let state = self.0.core.locked();
            let place = state.unsigned.iter().position(|found| found == leaf);
            place.map(|place| state.tree.size() - state.unsigned.len() as u64 + place as u64)
        };
        if unsigned.is_some() {
            return Ok(unsigned);
        }
        let mut places = self.0.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.extend(&Tiles::of(&self.0.core.folder), || self.signed_size())?;
        Ok(places.find(leaf))
    }

    /// The proof that the entry at `index` is in the tree of the first `size` entries, verified before it is returned.
    ///
    /// # Errors
    /// [`ChainError::Outside`] unless `index < size`, and `size` at most that of the newest checkpoint;
    /// [`ChainError::DamagedFile`] if the tiles lead to another root.
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>, ChainError> {
        let root = self.root_at(size)?;
        let leaf = leaf_hash(&self.entry(index)?);
        let proof =
            self.with_tiles(size, |hashes| prove_inclusion(hashes, index, size).map_err(outside(index, size)))?;
        match verify_inclusion(&leaf, index, size, &proof, &root) {
            Ok(()) => Ok(proof),
            Err(_) => Err(self.wrong_tiles()),
        }
    }

    /// The proof that the tree of `old` entries is the beginning of the tree of `new`, verified before it is returned.
    ///
    /// # Errors
    /// As [`inclusion`](Self::inclusion).
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, ChainError> {
        let (old_root, new_root) = (self.root_at(old)?, self.root_at(new)?);
        let proof = self.with_tiles(new, |hashes| prove_consistency(hashes, old, new).map_err(outside(old, new)))?;
        match verify_consistency(old, &old_root, new, &new_root, &proof) {
            Ok(()) => Ok(proof),
            Err(_) => Err(self.wrong_tiles()),
        }
    }

    /// The root of the tree of the first `size` entries, shown to be the beginning of what is signed.
    ///
    /// # Errors
    /// As [`inclusion`](Self::inclusion).
    pub fn root_at(&self, size: u64) -> Result<Hash, ChainError> {
        let signed = self.checkpoint();
        let newest = signed.as_ref().map(|signed| signed.checkpoint());
        let (now, signed_root) = newest.map_or((0, None), |newest| (newest.size, Some(newest.root)));
        if size > now {
            return Err(ChainError::Outside { asked: size, size: now });
        }
        let Some(signed_root) = signed_root.filter(|_| size > 0) else {
            return Ok(tacitly_attestation::hash::empty_root());
        };
        if size == now {
            return Ok(signed_root);
        }
        let (root, proof) = self.with_tiles(now, |hashes| {
            let root = root_at(hashes, size)?;
            Ok((root, prove_consistency(hashes, size, now).map_err(outside(size, now))?))
        })?;
        match verify_consistency(size, &root, now, &signed_root, &proof) {
            Ok(()) => Ok(root),
            Err(_) => Err(self.wrong_tiles()),
        }
    }

    /// Keeps `line`, with which the witness of `key` has cosigned `checkpoint`, one of ours.
    ///
    /// # Errors
    /// [`ChainError::BadCosignature`] if it does not verify; [`ChainError::Io`], [`ChainError::DiskFull`].
    pub fn add_cosignature(
        &self,
        checkpoint: &SignedCheckpoint,
        line: NoteSignature,
        key: &VerifierKey,
    ) -> Result<(), ChainError> {
        let mut with = checkpoint.clone();
        with.add(line.clone());
        let keys = KeyRing::from_iter([key.clone()]);
        let verified = with.verify(&keys);
        if !verified.is_ok_and(|verified| verified.iter().any(|verified| verified.time.is_some())) {
            return Err(ChainError::BadCosignature { witness: key.name().to_owned() });
        }
        locked(&self.0.cosigned).add(&self.0.core.folder, checkpoint, line, key)
    }

    /// Keeps `line`, with which the mirror of `key` says that it holds every entry of `checkpoint`.
    ///
    /// # Errors
    /// [`ChainError::BadCosignature`] if it does not verify, or the checkpoint is not one of ours; [`ChainError::Io`],
    /// [`ChainError::DiskFull`].
    pub fn add_kept(
        &self,
        checkpoint: &SignedCheckpoint,
        line: NoteSignature,
        key: &VerifierKey,
    ) -> Result<(), ChainError> {
        let bad = || ChainError::BadCosignature { witness: key.name().to_owned() };
        if !checkpoint.is_of(self.key().public()) {
            return Err(bad());
        }
        // Of what the mirror sent, our own line and its own are kept and no others.
        let own = (self.origin(), self.key().public().id());
        let own = checkpoint.signatures().iter().find(|line| (line.name(), line.key_id()) == own).ok_or_else(bad)?;
        let mut bare = SignedCheckpoint::new(checkpoint.checkpoint()).map_err(|_| bad())?;
        bare.add(own.clone());
        locked(&self.0.kept).add(&self.0.core.folder, bare, line, key)
    }

    /// What witnesses have cosigned.
    #[must_use]
    pub fn cosigned(&self) -> Cosigned {
        locked(&self.0.cosigned).clone()
    }

    /// What mirrors hold.
    #[must_use]
    pub fn mirror_cosignatures(&self) -> MirrorCosignatures {
        locked(&self.0.kept).clone()
    }

    /// The checkpoint of at least `size` entries with the most cosignatures: the cosigned one that is best, or the
    /// newest that only we have signed.
    #[must_use]
    pub fn witnessed(&self, size: u64) -> Option<SignedCheckpoint> {
        let best = locked(&self.0.cosigned).best(size).cloned();
        let newest = || self.checkpoint().filter(|newest| newest.checkpoint().size >= size);
        best.or_else(|| newest().map(|newest| (*newest).clone()))
    }

    fn signed_size(&self) -> u64 {
        self.0.core.signed.borrow().size()
    }

    /// Reads hashes of the signed tree, at least of `size` entries.
    fn with_tiles<T>(
        &self,
        size: u64,
        mut read: impl FnMut(&mut super::tiles::Hashes) -> Result<T, ChainError>,
    ) -> Result<T, ChainError> {
        let tiles = Tiles::of(&self.0.core.folder);
        as_it_is_by_then(|| self.signed_size().max(size), |now| read(&mut tiles.hashes(now)))
    }

    /// The tiles do not lead to the signed root. They are made anew at the next start, since the index goes.
    fn wrong_tiles(&self) -> ChainError {
        let folder = &self.0.core.folder;
        let _gone_or_made_anew_later = std::fs::remove_file(folder.join(index::NAME));
        damaged(folder.join("tile"), "its hashes do not lead to the signed root")
    }
}

/// Reads tiles of the signed tree of `size` entries. Those that are not full make way for fuller ones now and then:
/// whoever misses one reads the tree as it is by then.
fn as_it_is_by_then<T>(
    size: impl Fn() -> u64,
    mut read: impl FnMut(u64) -> Result<T, ChainError>,
) -> Result<T, ChainError> {
    let mut now = size();
    loop {
        let result = read(now);
        let then = size();
        if result.is_ok() || then == now {
            return result;
        }
        now = then;
    }
}

fn locked<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

fn outside(asked: u64, size: u64) -> impl Fn(ProveError<ChainError>) -> ChainError {
    move |error| match error {
        ProveError::OutsideTree => ChainError::Outside { asked, size },
        ProveError::Source(error) => error,
    }
}

fn half(leaf: &Hash) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&leaf.0[..16]);
    half
}

impl Places {
    /// Takes in the leaves of the signed tree, which has `size` entries by now.
    pub(super) fn extend(&mut self, tiles: &Tiles, size: impl Fn() -> u64) -> Result<(), ChainError> {
        as_it_is_by_then(size, |now| self.extend_to(tiles, now))
    }

    /// The index of the entry with this leaf hash, if it is among the leaves taken in.
    pub(super) fn find(&self, leaf: &Hash) -> Option<u64> {
        self.known.get(&half(leaf)).copied()
    }

    fn extend_to(&mut self, tiles: &Tiles, size: u64) -> Result<(), ChainError> {
        while self.size < size {
            let index = self.size / WIDTH;
            let Some(tile) = Tile::in_tree(TileKind::Hashes { level: 0 }, index, size) else { break };
            let bytes = match tiles.read(tile)? {
                Some(bytes) => bytes,
                None => {
                    // It has become full meanwhile.
                    let full = Tile { width: Tile::WIDTH, ..tile };
                    tiles.read(full)?.ok_or_else(|| damaged(tiles.path(tile), "it is missing"))?
                }
            };
            let (hashes, _) = bytes.as_chunks::<{ Hash::LEN }>();
            let first = (self.size % WIDTH) as usize;
            let hashes = hashes.get(first..usize::from(tile.width));
            let hashes = hashes.ok_or_else(|| damaged(tiles.path(tile), "its length is wrong"))?;
            for hash in hashes {
                self.known.insert(half(&Hash(*hash)), self.size);
                self.size += 1;
            }
        }
        Ok(())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.core.locked().closing = true;
        self.core.to_write.notify_all();
        self.core.to_sign.notify_all();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}
