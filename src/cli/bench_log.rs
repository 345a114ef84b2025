//! `tacitly bench log`: durable entries a second, each signed with a real key, and what it takes to check them.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use ed25519_dalek::SigningKey;
use serde::Serialize;
use tacitly_attestation::certificate::{Draft, create, verify};
use tacitly_attestation::commitment::{Salt, Subject, commit};
use tacitly_attestation::entry::{
    Bucket, ByteCount, Code, Entry, Header, Id, LeafHash, Nonce, Origin, PeerTranscript, QueryEntry, ResultEntry,
    ResultStatus, Sharing, SignedEntry, Software, Time,
};
use tacitly_attestation::hash::Hash;
use tacitly_attestation::note::{KeyRing, KeyUse, VerifierKey};
use tacitly_attestation::policy::{Policy, Witness};
use tacitly_attestation::proof::LogProof;
use tacitly_attestation::transcript::Transcript;
use tacitly_attestation::witness::{AddCheckpoint, WitnessState};
use tacitly_core::PartyId;
use tokio::runtime::Runtime;

use super::figures::round;
use super::{Failure, Output};
use crate::chain::{self, Log, NoteKey};

/// An attestation log in the folder for temporary files (set TMPDIR to measure another disk): callers who sign an
/// entry and wait until it is durable, a full check of a large log, one certificate.
#[derive(Args)]
pub(crate) struct BenchLog {
    /// Callers at the same time.
    #[arg(long, default_value_t = 64)]
    callers: usize,
    /// Seconds for each rate.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Entries in the log that is checked.
    #[arg(long, default_value_t = 1_000_000)]
    entries: u64,
}

#[derive(Serialize)]
struct Figures {
    callers: usize,
    /// One entry outstanding for each caller, its signature included.
    entries_per_s: f64,
    /// The least of 10,000 and 40 % of what as many callers could reach if every synchronisation served all.
    entries_per_s_target: f64,
    /// Sixteen entries outstanding for each caller.
    entries_per_s_16: f64,
    /// What a single caller waits for an entry, its signature included.
    added_p50_ms: f64,
    /// An entry's bytes written to the end of a file and synchronised, nothing else, on the same disk.
    fdatasync_p50_ms: f64,
    entry_bytes: usize,
    fsck_entries: u64,
    fsck_s: f64,
    /// The same for a million entries.
    fsck_1m_s: f64,
    certificate_bytes: usize,
    verify_ms: f64,
    sound: bool,
}

impl BenchLog {
    pub(crate) fn run(self, output: Output) -> Result<(), Failure> {
        let figures = self.measure(output)?;
        output.say(|| &figures, || figures.words())?;
        if figures.sound { Ok(()) } else { Err(Failure::plain("the log is not as it was written")) }
    }

    fn measure(&self, output: Output) -> Result<Figures, Failure> {
        let folder = tempfile::Builder::new().prefix("tacitly-bench-log-").tempdir()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let party = Arc::new(Party::new()?);
        let fdatasync = fdatasync_p50(&folder.path().join("probe"), party.entry(0)?.len())?;
        let log = open(folder.path())?;
        let added = runtime.block_on(single(&party, &log, Duration::from_secs(2)))?;
        let time = Duration::from_secs(self.seconds.max(1));
        let one = self.rate(&runtime, &party, &log, 1, time)?;
        let sixteen = self.rate(&runtime, &party, &log, 16, time)?;
        output.note(|| format!("{} entries; filling up to {}", log.head().size, self.entries));
        self.fill(&runtime, &party, &log)?;
        let size = log.head().size;
        runtime.block_on(log.signed(size)).map_err(Failure::plain)?;
        let (certificate, verify_ms) = certificate(&runtime, &party, &log)?;
        drop(log);

        let begun = Instant::now();
        let keys = KeyRing::from_iter([party.log.clone()]);
        let report = chain::fsck(&folder.path().join("log"), &keys, None).map_err(Failure::plain)?;
        let fsck = begun.elapsed().as_secs_f64();
        let ceiling = 0.4 * self.callers as f64 / fdatasync.as_secs_f64();
        Ok(Figures {
            callers: self.callers,
            entries_per_s: round(one, 0),
            entries_per_s_target: round(ceiling.min(10_000.0), 0),
            entries_per_s_16: round(sixteen, 0),
            added_p50_ms: milliseconds(added),
            fdatasync_p50_ms: milliseconds(fdatasync),
            entry_bytes: party.entry(0)?.len(),
            fsck_entries: report.entries,
            fsck_s: round(fsck, 2),
            fsck_1m_s: round(fsck * 1e6 / report.entries as f64, 2),
            certificate_bytes: certificate,
            verify_ms: milliseconds(verify_ms),
            sound: report.is_sound() && report.signed == Some(report.entries),
        })
    }

    /// Entries a second while every caller has `outstanding` entries under way.
    fn rate(
        &self,
        runtime: &Runtime,
        party: &Arc<Party>,
        log: &Log,
        outstanding: usize,
        time: Duration,
    ) -> Result<f64, Failure> {
        let before = log.head().size;
        let begun = Instant::now();
        let callers: Vec<_> = (0..self.callers * outstanding)
            .map(|caller| {
                let (party, log) = (party.clone(), log.clone());
                runtime.spawn(async move {
                    for number in 0.. {
                        if begun.elapsed() >= time {
                            break;
                        }
                        let entry =
                            party.entry((caller as u64) << 40 | number).map_err(|failure| failure.to_string())?;
                        log.append(entry).await.map_err(|error| error.to_string())?;
                    }
                    Ok::<(), String>(())
                })
            })
            .collect();
        for caller in callers {
            runtime.block_on(caller).map_err(Failure::plain)?.map_err(Failure::plain)?;
        }
        Ok((log.head().size - before) as f64 / begun.elapsed().as_secs_f64())
    }

    /// Grows the log to the size that is checked. Its entries are copies of one, since nobody measures their making.
    fn fill(&self, runtime: &Runtime, party: &Arc<Party>, log: &Log) -> Result<(), Failure> {
        const AT_ONCE: u64 = 4096;
        let entry = party.entry(0)?;
        while log.head().size < self.entries {
            let count = AT_ONCE.min(self.entries - log.head().size);
            let appends: Vec<_> = (0..count)
                .map(|_| {
                    let (entry, log) = (entry.clone(), log.clone());
                    runtime.spawn(async move { log.append(entry).await })
                })
                .collect();
            for append in appends {
                runtime.block_on(append).map_err(Failure::plain)?.map_err(Failure::plain)?;
            }
        }
        Ok(())
    }
}

impl Figures {
    fn words(&self) -> String {
        format!(
            "{} callers: {:.0} entries/s with one outstanding each (target {:.0}), {:.0}/s with 16 · single caller {:.2} ms, \
             fdatasync {:.2} ms · fsck of {} entries {:.2} s · certificate {} bytes, verified in {:.2} ms",
            self.callers,
            self.entries_per_s,
            self.entries_per_s_target,
            self.entries_per_s_16,
            self.added_p50_ms,
            self.fdatasync_p50_ms,
            self.fsck_entries,
            self.fsck_s,
            self.certificate_bytes,
            self.verify_ms,
        )
    }
}

/// Who signs, and what the entries say.
struct Party {
    name: PartyId,
    private: SigningKey,
    signer: VerifierKey,
    log: VerifierKey,
    origin: Origin,
    peer: PartyId,
    purpose: Code,
}

const ORIGIN: &str = "tacitly/bank-a";

fn private(byte: u8) -> SigningKey {
    SigningKey::from_bytes(&[byte; 32])
}

fn open(folder: &Path) -> Result<Log, Failure> {
    let key = NoteKey::new(ORIGIN, KeyUse::Text, &private(1).verifying_key().to_bytes(), private(1));
    Log::open(&folder.join("log"), key.map_err(Failure::plain)?).map_err(Failure::plain)
}

fn digest(number: u64) -> Hash {
    Hash::of(&number.to_be_bytes())
}

fn half(hash: Hash) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&hash.0[..16]);
    half
}

impl Party {
    fn new() -> Result<Self, Failure> {
        let key = |name: &str| VerifierKey::of(name, KeyUse::Text, &private(1)).map_err(Failure::plain);
        Ok(Self {
            name: "bank-a".parse().map_err(Failure::plain)?,
            private: private(1),
            signer: key("bank-a")?,
            log: key(ORIGIN)?,
            origin: Origin::parse(ORIGIN).map_err(Failure::plain)?,
            peer: "shop-b".parse().map_err(Failure::plain)?,
            purpose: Code::parse("credit-review").map_err(Failure::plain)?,
        })
    }

    fn header(&self, number: u64) -> Result<Header, Failure> {
        Ok(Header {
            id: Id(half(digest(number))),
            log: self.origin.clone(),
            by: self.name,
            t: now()?,
            nonce: Nonce(half(digest(!number))),
            rel: Vec::new(),
        })
    }

    fn sign(&self, entry: Entry) -> Result<SignedEntry, Failure> {
        let mut signed = SignedEntry::new(entry);
        signed.sign(&self.signer, &self.private).map_err(Failure::plain)?;
        Ok(signed)
    }

    /// A question put on record, signed.
    fn entry(&self, number: u64) -> Result<Vec<u8>, Failure> {
        let body = QueryEntry {
            job: Id(half(digest(7))),
            agreement: LeafHash(digest(8)),
            query: Id(half(digest(number))),
            commitment: commit(Subject::Query, &Salt::new(digest(number).0), b"question"),
            batch: Bucket::of(1),
            responder: self.peer,
            authorisation: None,
            purpose: self.purpose.clone(),
        };
        let entry = Entry::new(self.header(number)?, body).map_err(Failure::plain)?;
        Ok(self.sign(entry)?.encode())
    }

    /// A finished job's result.
    fn result(&self) -> Result<SignedEntry, Failure> {
        let mut transcript = Transcript::new();
        transcript.absorb(b"blinded rows");
        let bytes = ByteCount::new(64_000_123).map_err(Failure::plain)?;
        let body = ResultEntry {
            job: Id(half(digest(7))),
            agreement: LeafHash(digest(8)),
            status: ResultStatus::Done,
            output: Some(commit(Subject::Output, &Salt::new(digest(9).0), b"result")),
            sharing: Some(Sharing::Own),
            peers: vec![PeerTranscript {
                peer: self.peer,
                sent: transcript.digest(),
                sent_bytes: bytes,
                received: transcript.digest(),
                received_bytes: bytes,
            }],
            metric: None,
        };
        self.sign(Entry::new(self.header(10)?, body).map_err(Failure::plain)?)
    }
}

fn now() -> Result<Time, Failure> {
    let now = jiff::Timestamp::now().as_millisecond();
    Time::new(u64::try_from(now).unwrap_or_default()).map_err(Failure::plain)
}

/// What a single caller waits, its signature included: the median.
async fn single(party: &Party, log: &Log, time: Duration) -> Result<Duration, Failure> {
    let (begun, mut waits) = (Instant::now(), Vec::new());
    while begun.elapsed() < time {
        let start = Instant::now();
        log.append(party.entry(waits.len() as u64)?).await.map_err(Failure::plain)?;
        waits.push(start.elapsed());
    }
    Ok(median(waits))
}

/// What one synchronisation takes of a file that an entry was appended to: the median.
pub(crate) fn fdatasync_p50(path: &Path, bytes: usize) -> Result<Duration, Failure> {
    let mut file = File::create(path)?;
    let (begun, mut waits) = (Instant::now(), Vec::new());
    while begun.elapsed() < Duration::from_secs(2) {
        file.write_all(&vec![b'x'; bytes])?;
        let start = Instant::now();
        file.sync_data()?;
        waits.push(start.elapsed());
    }
    Ok(median(waits))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn milliseconds(time: Duration) -> f64 {
    round(time.as_secs_f64() * 1e3, 3)
}

/// The certificate of a result in the log, cosigned by two witnesses: its length, and the median time to verify it.
fn certificate(runtime: &Runtime, party: &Party, log: &Log) -> Result<(usize, Duration), Failure> {
    let result = party.result()?;
    let leaf = runtime.block_on(log.append(result.encode())).map_err(Failure::plain)?;
    let signed = runtime.block_on(log.signed(leaf.index + 1)).map_err(Failure::plain)?;
    let mut checkpoint = (*signed).clone();
    let mut witnesses = Vec::new();
    for (byte, name) in [(2, "shop-b"), (3, "regulator")] {
        let key = VerifierKey::of(&format!("{name}.example/witness"), KeyUse::Cosignature, &private(byte));
        let key = key.map_err(Failure::plain)?;
        let state = WitnessState::new(ORIGIN, KeyRing::from_iter([party.log.clone()]));
        let request = AddCheckpoint { old: 0, proof: Vec::new(), checkpoint: (*signed).clone() };
        let seconds = u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default();
        let stored = state.consider(&request, seconds).map_err(Failure::plain)?.stored();
        checkpoint.add(stored.cosign(&key, &private(byte)).map_err(Failure::plain)?);
        witnesses.push(Witness { name: name.to_owned(), key });
    }
    let policy = Policy::consortium(
        std::slice::from_ref(&party.signer),
        std::slice::from_ref(&party.log),
        &witnesses,
        witnesses.len(),
    )
    .map_err(Failure::plain)?;
    let path = log.inclusion(leaf.index, checkpoint.checkpoint().size).map_err(Failure::plain)?;
    let proof = LogProof { index: leaf.index, path, checkpoint, extra: None };
    let draft = Draft {
        id: Id(half(digest(11))),
        issued: now()?,
        issuer: party.name,
        tool: &Software::parse(concat!("tacitly ", env!("CARGO_PKG_VERSION"))).map_err(Failure::plain)?,
        entry: &result,
        related: &[],
        proof: Some(&proof),
        anchor: None,
        policy: &policy,
    };
    let (bytes, _) = create(&draft, &party.signer, &party.private).map_err(Failure::plain)?;
    let mut times = Vec::new();
    for _ in 0..101 {
        let begun = Instant::now();
        verify(&bytes, Some(&policy)).map_err(Failure::plain)?;
        times.push(begun.elapsed());
    }
    Ok((bytes.len(), median(times)))
}
