//! Three parties, their keys, one of every kind of entry, and a finished job with its log.

use std::collections::BTreeMap;

use ed25519_dalek::SigningKey;
use tacitly_attestation::checkpoint::{Checkpoint, SignedCheckpoint};
use tacitly_attestation::commitment::{Salt, Subject, commit};
use tacitly_attestation::entry::{
    AgreementEntry, Amount, AnchorEntry, AnchorRule, Attendance, Body, Bucket, ByteCount, ChainNumber, ChainValue,
    Code, Commitment, ContributionEntry, Count, Currency, DatasetEntry, Digest, DisputeEntry, Entry, Erased,
    ErasureEntry, Fingerprint, Header, Id, Kind, LeafHash, LegalName, Limit, LogRange, LogSize, Milliseconds, Nonce,
    OpeningEntry, Origin, PadEntry, Participant, PartyEntry, PartyKey, Payment, PeerTranscript, Period, PolicyEntry,
    PriceRule, QueryEntry, Region, Registration, ResultEntry, ResultStatus, RevocationEntry, ServeEntry, ServeStatus,
    SettlementEntry, Sharing, SignedEntry, Software, StatementEntry, StatementFields, StatementSubject, StatementValue,
    TickEntry, Time, TimeUnit, TreeRoot, UnitRow,
};
use tacitly_attestation::hash::{Hash, leaf_hash};
use tacitly_attestation::note::{KeyUse, VerifierKey};
use tacitly_attestation::policy::{Policy, Witness};
use tacitly_attestation::proof::LogProof;
use tacitly_attestation::transcript::Transcript;
use tacitly_attestation::tree::{MemoryTree, prove_consistency};
use tacitly_attestation::witness::{AddCheckpoint, WitnessState};
use tacitly_core::PartyId;

/// A moment in November 2026, in milliseconds.
pub(crate) const NOW_MS: u64 = 1_795_000_000_000;

/// The same moment in seconds.
pub(crate) const NOW: u64 = NOW_MS / 1000;

/// A named private key with its public half.
pub(crate) struct Keyed {
    pub(crate) private: SigningKey,
    pub(crate) public: VerifierKey,
}

/// The same key for the same name and use at every run.
pub(crate) fn key(name: &str, key_use: KeyUse) -> Keyed {
    let seed = Hash::of(format!("test key {name} {key_use:?}").as_bytes());
    let private = SigningKey::from_bytes(&seed.0);
    let public = VerifierKey::of(name, key_use, &private).unwrap();
    Keyed { private, public }
}

pub(crate) fn signer(party: &str) -> Keyed {
    key(party, KeyUse::Text)
}

pub(crate) fn log_key(party: &str) -> Keyed {
    key(origin(party).as_str(), KeyUse::Text)
}

pub(crate) fn witness_key(party: &str) -> Keyed {
    key(&format!("{party}.example/witness"), KeyUse::Cosignature)
}

pub(crate) fn origin(party: &str) -> Origin {
    Origin::parse(&format!("{party}.example/log")).unwrap()
}

pub(crate) fn party(name: &str) -> PartyId {
    name.parse().unwrap()
}

fn bytes16(label: &str) -> [u8; 16] {
    Hash::of(label.as_bytes()).0[..16].try_into().unwrap()
}

pub(crate) fn id(label: &str) -> Id {
    Id(bytes16(label))
}

fn digest(label: &str) -> Digest {
    Digest(Hash::of(label.as_bytes()))
}

fn leaf(label: &str) -> LeafHash {
    LeafHash(Hash::of(label.as_bytes()))
}

fn commitment(label: &str) -> Commitment {
    commit(Subject::Query, &Salt::new(Hash::of(label.as_bytes()).0), label.as_bytes())
}

pub(crate) fn code(text: &str) -> Code {
    Code::parse(text).unwrap()
}

fn count(number: u64) -> Count {
    Count::new(number).unwrap()
}

pub(crate) fn header(by: &str, label: &str, rel: Vec<LeafHash>) -> Header {
    Header {
        id: id(label),
        log: origin(by),
        by: party(by),
        t: Time::new(NOW_MS).unwrap(),
        nonce: Nonce(bytes16(&format!("nonce {label}"))),
        rel,
    }
}

/// An entry of every kind with every field filled.
pub(crate) fn body(kind: Kind) -> Body {
    match kind {
        Kind::Party => PartyEntry {
            name: LegalName::parse("示例银行股份有限公司").unwrap(),
            registration: Some(Registration::parse("uscc:91350100M000100Y43").unwrap()),
            keys: vec![PartyKey {
                key: signer("bank-a").public,
                from: Time::new(NOW_MS).unwrap(),
                until: Some(Time::new(NOW_MS + 1000).unwrap()),
            }],
            certificate: Some(digest("tls")),
            software: Software::parse("tacitly 0.1.0").unwrap(),
            build: digest("build"),
            region: Some(Region::parse("CN-BJ").unwrap()),
        }
        .into(),
        Kind::Policy => PolicyEntry {
            policy: digest("policy"),
            members: vec![party("bank-a"), party("regulator"), party("shop-b")],
            needed: count(2),
            retention_days: count(1825),
            formula: Some(digest("formula")),
            anchor: Some(AnchorRule {
                chain: ChainNumber::new(31337).unwrap(),
                contract: chain_value(40),
                code: digest("code"),
                cadence_ms: Milliseconds::new(600_000).unwrap(),
            }),
        }
        .into(),
        Kind::Revocation => RevocationEntry { key: signer("bank-a").public, since: Time::new(NOW_MS).unwrap() }.into(),
        Kind::Dataset => DatasetEntry {
            dataset: id("data set"),
            fingerprint: Fingerprint(Hash::of(b"fingerprint")),
            rows: Bucket::of(1_000_000),
            schema: digest("schema"),
            period: Some(Period::parse("2026-01-01/2026-09-30").unwrap()),
            basis: Some(commitment("basis")),
            supersedes: Some(leaf("last month")),
        }
        .into(),
        Kind::Agreement => agreement(Some(leaf("data set a")), Some(leaf("data set b"))).into(),
        Kind::Query => QueryEntry {
            job: id("job"),
            agreement: leaf("agreement"),
            query: id("query"),
            commitment: commitment("query"),
            batch: Bucket::of(100),
            responder: party("shop-b"),
            authorisation: Some(commitment("authorisation")),
            purpose: code("credit-review"),
        }
        .into(),
        Kind::Serve => ServeEntry {
            job: id("job"),
            query: leaf("query"),
            asker: party("shop-b"),
            commitment: commitment("query"),
            batch: Bucket::of(100),
            purpose: code("credit-review"),
            status: ServeStatus::Served,
            reason: None,
            answer: Some(commitment("answer")),
            unit: code("answer"),
            units: count(100),
            hits: Some(count(17)),
            hits_commitment: None,
        }
        .into(),
        Kind::Statement => StatementEntry {
            topic: code("model-deployed"),
            subject: StatementSubject::Job(id("job")),
            signers: vec![party("shop-b")],
            fields: StatementFields::new()
                .with(code("at"), StatementValue::Time(Time::new(NOW_MS).unwrap()))
                .with(code("base"), StatementValue::Dataset(Fingerprint(Hash::of(b"fingerprint"))))
                .with(code("coefficients"), StatementValue::Commitment(commitment("coefficients")))
                .with(code("dealer"), StatementValue::Party(party("regulator")))
                .with(code("features"), StatementValue::Codes([code("age"), code("income")].into()))
                .with(code("method"), StatementValue::Code(code("newton")))
                .with(code("model"), StatementValue::Id(id("model")))
                .with(code("replaces"), StatementValue::Entry(leaf("statement")))
                .with(code("rounds"), StatementValue::Count(count(12)))
                .with(code("size"), StatementValue::Bytes(ByteCount::new(64_000_123).unwrap()))
                .with(code("weights"), StatementValue::Digest(digest("weights"))),
        }
        .into(),
        Kind::Result => result(leaf("agreement")).into(),
        Kind::Contribution => ContributionEntry {
            period: Period::parse("2026-10-01/2026-10-31").unwrap(),
            ranges: vec![LogRange {
                log: origin("bank-a"),
                from: LogSize::new(10).unwrap(),
                until: LogSize::new(20).unwrap(),
                root: TreeRoot(Hash::of(b"root")),
            }],
            units: vec![UnitRow {
                responder: party("bank-a"),
                asker: party("shop-b"),
                dataset: Some(leaf("data set a")),
                unit: code("answer"),
                count: count(100),
            }],
            formula: digest("formula"),
        }
        .into(),
        Kind::Settlement => SettlementEntry {
            contribution: leaf("contribution"),
            currency: Currency::parse("CNY").unwrap(),
            payments: vec![Payment {
                payer: party("shop-b"),
                payee: party("bank-a"),
                amount: Amount::new(1_380_000_000_000).unwrap(),
            }],
        }
        .into(),
        Kind::Dispute => DisputeEntry {
            target: leaf("serve"),
            claim: code("units-overstated"),
            evidence: vec![commitment("evidence")],
        }
        .into(),
        Kind::Opening => OpeningEntry {
            target: leaf("data set a"),
            to: party("regulator"),
            items: count(1),
            purpose: code("dispute"),
        }
        .into(),
        Kind::Erasure => ErasureEntry { targets: vec![leaf("data set a")], erased: Erased::SaltsAndRecords }.into(),
        Kind::Anchor => AnchorEntry {
            chain: ChainNumber::new(31337).unwrap(),
            contract: chain_value(40),
            transaction: chain_value(64),
            block: ChainNumber::new(12345).unwrap(),
            block_hash: chain_value(64),
            block_time: ChainNumber::new(NOW_MS).unwrap(),
            time_unit: TimeUnit::Milliseconds,
            size: LogSize::new(200_000).unwrap(),
            root: TreeRoot(Hash::of(b"root")),
        }
        .into(),
        Kind::Tick => TickEntry { interval_ms: Milliseconds::new(60_000).unwrap() }.into(),
        Kind::Pad => PadEntry {}.into(),
    }
}

fn chain_value(digits: usize) -> ChainValue {
    ChainValue::parse(&format!("0x{}", "5f".repeat(digits / 2))).unwrap()
}

fn agreement(a: Option<LeafHash>, b: Option<LeafHash>) -> AgreementEntry {
    AgreementEntry {
        job: id("job"),
        protocol: code("tacitly.psi"),
        version: count(1),
        terms: digest("terms"),
        purpose: code("joint-marketing"),
        parties: vec![
            Participant {
                party: party("bank-a"),
                role: code("receiver"),
                dataset: a,
                contribution: None,
                offer: None,
                learns: vec![code("intersection")],
                attendance: Attendance::Signs,
            },
            Participant {
                party: party("shop-b"),
                role: code("holder"),
                dataset: b,
                contribution: None,
                offer: None,
                learns: vec![code("size")],
                attendance: Attendance::Signs,
            },
        ],
        limits: vec![Limit { of: code("runs"), most: count(1) }],
        expires: Some(Time::new(NOW_MS + 86_400_000).unwrap()),
        price: Some(PriceRule {
            unit: code("hit"),
            amount: Amount::new(5).unwrap(),
            currency: Currency::parse("CNY").unwrap(),
        }),
    }
}

fn result(agreement: LeafHash) -> ResultEntry {
    let mut transcript = Transcript::new();
    transcript.absorb(b"blinded rows");
    ResultEntry {
        job: id("job"),
        agreement,
        status: ResultStatus::Done,
        output: Some(commitment("output")),
        sharing: Some(Sharing::Own),
        peers: vec![PeerTranscript {
            peer: party("shop-b"),
            sent: transcript.digest(),
            sent_bytes: ByteCount::new(64_000_123).unwrap(),
            received: transcript.digest(),
            received_bytes: ByteCount::new(64_000_123).unwrap(),
        }],
        metric: None,
    }
}

pub(crate) fn signed(entry: Entry, parties: &[&str]) -> SignedEntry {
    let mut signed = SignedEntry::new(entry);
    for party in parties {
        let key = signer(party);
        signed.sign(&key.public, &key.private).unwrap();
    }
    signed
}

pub(crate) fn witnesses(parties: &[&str]) -> Vec<Witness> {
    parties.iter().map(|party| Witness { name: (*party).to_owned(), key: witness_key(party).public }).collect()
}

/// The policy of the three parties: bank-a's and shop-b's logs, the given witnesses, all of them needed.
pub(crate) fn policy(watching: &[&str]) -> Policy {
    let signers = [signer("bank-a").public, signer("shop-b").public];
    let logs = [log_key("bank-a").public, log_key("shop-b").public];
    Policy::consortium(&signers, &logs, &witnesses(watching), watching.len()).unwrap()
}

pub(crate) fn checkpoint(party: &str, size: u64, root: Hash) -> SignedCheckpoint {
    let checkpoint = Checkpoint { origin: origin(party).as_str().to_owned(), size, root, extensions: vec![] };
    let mut signed = SignedCheckpoint::new(&checkpoint).unwrap();
    let key = log_key(party);
    signed.sign(&key.public, &key.private).unwrap();
    signed
}

/// A tree of `size` leaves, each the hash of its index.
pub(crate) fn levels(size: u64) -> MemoryTree {
    let mut levels = MemoryTree::new();
    (0..size).for_each(|index| levels.push(leaf_hash(&index.to_be_bytes())));
    levels
}

/// Asks a fresh witness for its cosignature.
pub(crate) fn cosign(checkpoint: &mut SignedCheckpoint, party: &str) {
    let state = WitnessState::new(&checkpoint.checkpoint().origin, [log_key("bank-a").public].into_iter().collect());
    let request = AddCheckpoint { old: 0, proof: vec![], checkpoint: checkpoint.clone() };
    let key = witness_key(party);
    let stored = state.consider(&request, NOW).unwrap().stored();
    checkpoint.add(stored.cosign(&key.public, &key.private).unwrap());
}

/// A finished intersection of bank-a with shop-b, as it stands in bank-a's log among `size` entries.
pub(crate) struct Job {
    pub(crate) dataset: SignedEntry,
    pub(crate) agreement: SignedEntry,
    pub(crate) party: SignedEntry,
    pub(crate) result: SignedEntry,
    pub(crate) proof: LogProof,
}

pub(crate) fn job(size: u64, watching: &[&str]) -> Job {
    let dataset = signed(Entry::new(header("bank-a", "data set", vec![]), body(Kind::Dataset)).unwrap(), &["bank-a"]);
    let party = signed(Entry::new(header("bank-a", "party", vec![]), body(Kind::Party)).unwrap(), &["bank-a"]);
    let terms = agreement(Some(dataset.leaf()), None);
    let agreement = Entry::new(header("bank-a", "agreement", vec![party.leaf()]), terms).unwrap();
    let agreement = signed(agreement, &["bank-a", "shop-b"]);
    let result = Entry::new(header("bank-a", "result", vec![]), result(agreement.leaf())).unwrap();
    let result = signed(result, &["bank-a"]);

    let index = size * 3 / 5;
    let mut log = MemoryTree::new();
    for at in 0..size {
        log.push(if at == index { result.leaf().0 } else { leaf_hash(&at.to_be_bytes()) });
    }
    let mut checkpoint = checkpoint("bank-a", size, log.root());
    watching.iter().for_each(|party| cosign(&mut checkpoint, party));
    let proof = LogProof::prove(&mut &log, index, checkpoint).unwrap();
    Job { dataset, agreement, party, result, proof }
}

/// A log's request to go on from `old` to `new` leaves of the tree of [`levels`].
pub(crate) fn request(log: &MemoryTree, old: u64, new: u64) -> AddCheckpoint {
    let root = tacitly_attestation::tree::root_at(&mut &*log, new).unwrap();
    let proof = prove_consistency(&mut &*log, old, new).unwrap();
    AddCheckpoint { old, proof, checkpoint: checkpoint("bank-a", new, root) }
}

/// Salts of two parties for one joint output.
pub(crate) fn shares() -> BTreeMap<PartyId, [u8; 32]> {
    BTreeMap::from([(party("bank-a"), [1; 32]), (party("shop-b"), [2; 32])])
}
