//! The log as its users meet it: what is kept, what a crash, a full disk, a flipped bit or an old copy leads to.

mod crash;
mod damage;
mod full_disk;
mod honest;
mod mirror;
mod witness;

use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use tacitly_attestation::hash::Hash;
use tacitly_attestation::note::{KeyRing, KeyUse};
use tempfile::TempDir;

use super::{ChainError, Fsck, Leaf, Log, NoteKey, fsck};

const ORIGIN: &str = "tacitly/bank-a";

/// A folder for a log, and the log's key.
struct World {
    folder: TempDir,
}

fn key(byte: u8) -> NoteKey {
    let private = SigningKey::from_bytes(&[byte; 32]);
    let public = private.verifying_key().to_bytes();
    NoteKey::new(ORIGIN, KeyUse::Text, &public, private).unwrap()
}

/// An entry's bytes; the log does not look into them. The lengths differ, so that no two offsets agree by chance.
fn entry(number: u64) -> Vec<u8> {
    let filling = "x".repeat((number * 7 % 40) as usize);
    format!("entry {number} {filling}\n").into_bytes()
}

fn open(folder: &Path) -> Result<Log, ChainError> {
    Log::open(folder, key(1))
}

fn check(folder: &Path) -> Fsck {
    fsck(folder, &KeyRing::from_iter([key(1).public().clone()]), None).unwrap()
}

impl World {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    fn open(&self) -> Log {
        open(self.path()).unwrap()
    }

    /// Appends the entries from `from` up to `to`, all at once.
    async fn fill(log: &Log, from: u64, to: u64) -> Vec<Leaf> {
        let appends: Vec<_> = (from..to)
            .map(|number| {
                let log = log.clone();
                tokio::spawn(async move { log.append(entry(number)).await.unwrap() })
            })
            .collect();
        let mut leaves = Vec::new();
        for append in appends {
            leaves.push(append.await.unwrap());
        }
        leaves
    }

    /// A closed log with `size` entries, every one signed, in order.
    async fn closed(size: u64) -> Self {
        let world = Self::new();
        let log = world.open();
        if size > 0 {
            world.grow(&log, 0, size).await;
        }
        world
    }

    /// Appends in order, and waits for the checkpoint.
    async fn grow(&self, log: &Log, from: u64, to: u64) {
        // On one thread the tasks reach the log in the order in which they were made.
        Self::fill(log, from, to).await;
        log.signed(to).await.unwrap();
    }
}

/// Every file in the folder and below, with its bytes.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for item in std::fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.file_name().unwrap() != "lock" {
            found.push((path.clone(), std::fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

/// The root of the tree over these entries.
fn root_of(entries: impl IntoIterator<Item = Vec<u8>>) -> Hash {
    let mut range = tacitly_attestation::tree::CompactRange::new();
    entries.into_iter().for_each(|entry| range.push(tacitly_attestation::hash::leaf_hash(&entry)));
    range.root()
}
