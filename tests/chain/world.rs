//! What the tests share: a party's folder without its daemon, and entries for its log.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;

use serde_json::Value;
use sqlx::{ConnectOptions as _, SqliteConnection};
use tacitly::chain::{Log, NoteKey};
use tacitly::store::{FileSigner, NoteSigner, Signer};
use tacitly::test_bed::{Party, Setup, connect, until};
use tacitly_attestation::entry::{Entry, Header, Id, Milliseconds, Nonce, Origin, SignedEntry, TickEntry, Time};
use tacitly_attestation::hash::Hash;
use tacitly_attestation::note::{KeyUse, VerifierKey};

use crate::support::tacitly;

/// Runs a command on a party's folder.
pub(crate) fn run(home: &Path, words: &[&str]) -> Output {
    tacitly().args(words).arg("--home").arg(home).output().unwrap()
}

/// What a command prints as JSON, and whether it succeeded.
pub(crate) fn json(home: &Path, words: &[&str]) -> (Value, bool) {
    let output = run(home, &[words, &["--json"]].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    (serde_json::from_str(text.trim()).unwrap_or_else(|error| panic!("{error}: {output:?}")), output.status.success())
}

/// A new party's folder.
pub(crate) fn init(folder: &Path, name: &str) -> PathBuf {
    let home = folder.join(name);
    let output = run(&home, &["init", name]);
    assert!(output.status.success(), "{output:?}");
    home
}

pub(crate) fn signer(home: &Path) -> Arc<dyn Signer> {
    Arc::new(FileSigner::load(&home.join("identity.key")).unwrap())
}

/// The key that signs the log's checkpoints.
pub(crate) fn log_key(home: &Path, name: &str) -> NoteKey {
    let signer = signer(home);
    let public = *signer.public_key().as_bytes();
    NoteKey::new(&format!("tacitly/{name}"), KeyUse::Text, &public, NoteSigner(signer)).unwrap()
}

/// The party's log, opened as its daemon does.
pub(crate) fn open_log(home: &Path, name: &str) -> Log {
    Log::open(&home.join("log"), log_key(home, name)).unwrap()
}

/// A sign of life, signed by the party; its number makes it unlike others.
pub(crate) fn tick(home: &Path, name: &str, number: u64) -> Vec<u8> {
    let half = |what: &str| {
        let hash = Hash::of(format!("{what} {number}").as_bytes());
        <[u8; 16]>::try_from(&hash.0[..16]).unwrap()
    };
    let header = Header {
        id: Id(half("id")),
        log: Origin::parse(&format!("tacitly/{name}")).unwrap(),
        by: name.parse().unwrap(),
        t: Time::new(1_795_000_000_000 + number).unwrap(),
        nonce: Nonce(half("nonce")),
        rel: Vec::new(),
    };
    let body = TickEntry { interval_ms: Milliseconds::new(60_000).unwrap() };
    let mut entry = SignedEntry::new(Entry::new(header, body).unwrap());
    let signer = signer(home);
    let key = VerifierKey::new(name, KeyUse::Text, signer.public_key().as_bytes()).unwrap();
    entry.sign(&key, &NoteSigner(signer)).unwrap();
    entry.encode()
}

/// Appends `count` ticks to the log of a party whose daemon does not run, from `first` on, and has them signed.
pub(crate) async fn append(home: &Path, name: &str, first: u64, count: u64) {
    let log = open_log(home, name);
    for number in first..first + count {
        log.append(tick(home, name, number)).await.unwrap();
    }
    log.signed(log.head().size).await.unwrap();
}

/// A party's ledger, to put it into a state that only a kill leaves behind.
pub(crate) async fn ledger(party: &Party) -> SqliteConnection {
    let database = party.home.join("tacitly.db");
    sqlx::sqlite::SqliteConnectOptions::new().filename(database).connect().await.unwrap()
}

/// Copies a folder with all that is in it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for item in fs::read_dir(from).unwrap() {
        let path = item.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// What `tacitly log head` says of a party's log.
pub(crate) fn head(party: &Party) -> Value {
    json(&party.home, &["log", "head"]).0
}

/// Waits until the party's newest checkpoint has these witnesses' cosignatures.
pub(crate) fn await_cosignatures(party: &Party, witnesses: &[&str]) -> Value {
    let mut last = Value::Null;
    let there = until(|| {
        last = head(party);
        let signed = last["signed_size"].as_u64();
        let all = witnesses.iter().all(|name| {
            let name = format!("tacitly/{name}/witness");
            let lines = last["cosigned"].as_array().unwrap();
            lines.iter().any(|line| line["witness"] == *name && line["size"].as_u64() == signed)
        });
        (signed.is_some() && all).then_some(true)
    });
    assert_eq!(there, Some(true), "{last}\n{}", fs::read_to_string(party.log_path()).unwrap());
    last
}

/// The evidence of forks that a party has kept.
pub(crate) fn forks(party: &Party) -> Vec<PathBuf> {
    let Ok(items) = fs::read_dir(party.home.join("evidence")) else { return Vec::new() };
    let paths = items.map(|item| item.unwrap().path());
    let is_fork = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("fork-") && name.ends_with(".txt")
    };
    paths.filter(is_fork).collect()
}

/// Bank, shop and regulator, each linked with both others.
pub(crate) struct Consortium {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) bank: Party,
    pub(crate) shop: Party,
    pub(crate) regulator: Party,
}

impl Consortium {
    /// All of them set up alike.
    pub(crate) fn start(setup: impl Fn() -> Setup) -> Self {
        Self::start_each([setup(), setup(), setup()])
    }

    /// Bank, shop and regulator, each set up in its own way.
    pub(crate) fn start_each([bank, shop, regulator]: [Setup; 3]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let start = |name: &str, setup: Setup| Party::start(folder.path(), name, setup).unwrap();
        let (bank, shop, regulator) = (start("bank", bank), start("shop", shop), start("regulator", regulator));
        connect(&bank, &shop).unwrap();
        connect(&bank, &regulator).unwrap();
        connect(&shop, &regulator).unwrap();
        Self { folder, bank, shop, regulator }
    }

    /// Puts entries into the bank's log while its daemon does not run.
    pub(crate) async fn append(&mut self, first: u64, count: u64) {
        let _stopped = self.bank.stop();
        append(&self.bank.home, "bank", first, count).await;
    }

    pub(crate) fn copy_of_log(&self, name: &str) -> PathBuf {
        let copy = self.folder.path().join(name);
        copy_folder(&self.bank.home.join("log"), &copy);
        copy
    }

    /// Puts a copy in the place of the bank's log, whose daemon does not run.
    pub(crate) fn put_log(&self, copy: &Path) {
        put_log(&self.bank, copy);
    }
}

/// Puts a copy in the place of a party's log, whose daemon does not run.
pub(crate) fn put_log(party: &Party, copy: &Path) {
    let log = party.home.join("log");
    fs::remove_dir_all(&log).unwrap();
    copy_folder(copy, &log);
}
