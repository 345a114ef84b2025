//! What the tests share: a directory, a key, a clock that only moves forward, and the usual peers and jobs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use serde_json::json;
use sqlx::{ConnectOptions, SqliteConnection};
use tacitly::store::{
    Clock, DatasetKey, Decision, FileSigner, Job, JobId, JobParty, NewDataset, NewFingerprint, NewJob, NewPeer, Sealer,
    SealingKey, Signer, Store, StoreError,
};
use tacitly_core::{PartyId, Terms};
use tempfile::TempDir;

/// A fingerprint like no other.
pub(crate) fn fingerprint() -> NewFingerprint {
    static NEXT: AtomicI64 = AtomicI64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    NewFingerprint {
        id: format!("{number:032x}"),
        fingerprint: format!("dataset-sha256:{number}"),
        schema: "sha256:columns".to_owned(),
        seed: zeroize::Zeroizing::new([7; 32]),
        period: None,
        basis: None,
    }
}

pub(crate) struct World {
    pub(crate) directory: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path("party.db")
    }

    pub(crate) async fn open(&self) -> Store {
        self.try_open(1).await.unwrap()
    }

    /// Opens with the key made of `byte`.
    pub(crate) async fn try_open(&self, byte: u8) -> Result<Store, StoreError> {
        Store::open_with_clock(&self.database(), sealer(byte), clock()).await
    }

    /// The key of a peer, made once per world.
    pub(crate) fn signer(&self, name: &str) -> FileSigner {
        let path = self.path(&format!("{name}.pem"));
        if path.exists() { FileSigner::load(&path).unwrap() } else { FileSigner::create(&path).unwrap() }
    }

    pub(crate) fn new_peer(&self, name: &str) -> NewPeer {
        NewPeer {
            id: party(name),
            address: Some("peer.example:7443".to_owned()),
            signing_key: self.signer(name).public_key(),
            pins: vec!["sha256:pin-one".to_owned()],
        }
    }

    /// A store with the peer `shop` and the dataset `customers`.
    pub(crate) async fn furnished(&self) -> Store {
        let store = self.open().await;
        store.peers().add(self.new_peer("shop"), "operator").await.unwrap();
        store.datasets().add(new_dataset("customers"), &fingerprint(), false, "operator").await.unwrap();
        store
    }

    /// A connection past the store, for damage and for a look at what is really there.
    pub(crate) async fn raw(&self) -> SqliteConnection {
        sqlx::sqlite::SqliteConnectOptions::new().filename(self.database()).connect().await.unwrap()
    }

    /// All bytes of the database and its log. Read by another process: to open and close the file in this one would
    /// drop the locks that SQLite holds.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for suffix in ["", "-wal"] {
            let path = format!("{}{suffix}", self.database().display());
            if Path::new(&path).exists() {
                bytes.extend(std::process::Command::new("cat").arg(&path).output().unwrap().stdout);
            }
        }
        bytes
    }
}

pub(crate) fn sealer(byte: u8) -> Sealer {
    Sealer::new(SealingKey::from_bytes([byte; 32]))
}

pub(crate) fn clock() -> Clock {
    let now = AtomicI64::new(1_767_225_600_000);
    Arc::new(move || Timestamp::from_millisecond(now.fetch_add(1000, Ordering::Relaxed)).unwrap())
}

pub(crate) fn party(name: &str) -> PartyId {
    name.parse().unwrap()
}

pub(crate) fn new_dataset(name: &str) -> NewDataset {
    NewDataset {
        name: name.to_owned(),
        path: format!("/data/{name}.csv").into(),
        format: json!({ "csv": { "delimiter": "," } }),
        columns: json!(["phone", "city"]),
        keys: vec![DatasetKey { column: "phone".to_owned(), profile: "cn-mobile".to_owned() }],
        settings: json!({ "duplicates": "refuse" }),
        rows: 1000,
        size: 32_000,
        digest: format!("sha256:{}", "5e".repeat(32)),
    }
}

pub(crate) fn terms(purpose: &str) -> Terms {
    Terms::new().with("protocol", "tacitly.psi").with("purpose", purpose)
}

/// A party that has not decided.
pub(crate) fn a_party(name: &str) -> JobParty {
    JobParty {
        party: party(name),
        dataset: None,
        receives: name == "bank",
        decision: Decision::Open,
        left_out: false,
        receipt: None,
        entry: None,
    }
}

pub(crate) fn new_job() -> NewJob {
    NewJob {
        id: JobId::fresh(),
        kind: "intersect".to_owned(),
        leader: party("bank"),
        parties: ["bank", "shop"].map(a_party).to_vec(),
        dataset: Some("customers".to_owned()),
        state: "proposed".to_owned(),
        terms: terms("joint marketing"),
        failure: None,
        request_key: None,
        by: "operator".to_owned(),
    }
}

/// Notes the usual job.
pub(crate) async fn a_job(store: &Store) -> Job {
    store.jobs().create(new_job()).await.unwrap().into_job()
}

pub(crate) fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}
