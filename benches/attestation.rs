//! What attestation costs: appending, proving, verifying, fingerprinting, signing.
//!
//! `cargo bench -p tacitly-attestation`

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ed25519_dalek::SigningKey;
use tacitly_attestation::certificate;
use tacitly_attestation::dataset::{DatasetSeed, Fingerprinter};
use tacitly_attestation::entry::{Entry, Header, Id, Milliseconds, Nonce, Origin, SignedEntry, TickEntry, Time};
use tacitly_attestation::hash::{Hash, leaf_hash};
use tacitly_attestation::note::{KeyUse, VerifierKey};
use tacitly_attestation::policy::Policy;
use tacitly_attestation::transcript::Transcript;
use tacitly_attestation::tree::{
    CompactRange, MemoryTree, prove_consistency, prove_inclusion, verify_consistency, verify_inclusion,
};

const LEAVES: u64 = 200_000;

fn leaf(index: u64) -> Hash {
    leaf_hash(&index.to_be_bytes())
}

fn tree(c: &mut Criterion) {
    let mut group = c.benchmark_group("tree");
    let leaves: Vec<Hash> = (0..100_000).map(leaf).collect();
    group.throughput(Throughput::Elements(leaves.len() as u64));
    group.bench_function("append 100,000 leaf hashes", |b| {
        b.iter(|| {
            let mut range = CompactRange::new();
            leaves.iter().for_each(|leaf| range.push(*leaf));
            range.root()
        });
    });
    group.throughput(Throughput::Elements(1));
    let mut levels = MemoryTree::new();
    (0..LEAVES).for_each(|index| levels.push(leaf(index)));
    let (index, old) = (LEAVES * 3 / 5, LEAVES - 777);
    let root = levels.root();
    let inclusion = prove_inclusion(&mut &levels, index, LEAVES).unwrap();
    verify_inclusion(&leaf(index), index, LEAVES, &inclusion, &root).unwrap();
    group.bench_function("prove inclusion in 200,000", |b| {
        b.iter(|| prove_inclusion(&mut &levels, black_box(index), LEAVES));
    });
    group.bench_function("verify inclusion in 200,000", |b| {
        b.iter(|| verify_inclusion(&leaf(index), black_box(index), LEAVES, &inclusion, &root));
    });
    let old_root = tacitly_attestation::tree::root_at(&mut &levels, old).unwrap();
    let consistency = prove_consistency(&mut &levels, old, LEAVES).unwrap();
    verify_consistency(old, &old_root, LEAVES, &root, &consistency).unwrap();
    group.bench_function("verify consistency with 200,000", |b| {
        b.iter(|| verify_consistency(black_box(old), &old_root, LEAVES, &root, &consistency));
    });
    group.finish();
}

fn dataset(c: &mut Criterion) {
    let mut group = c.benchmark_group("dataset");
    let records: Vec<[u8; 40]> = (0..1_000_000u64)
        .map(|row| {
            let mut record = [b'x'; 40];
            record[..8].copy_from_slice(&row.to_le_bytes());
            record
        })
        .collect();
    let seed = DatasetSeed::new([7; 32]);
    group.sample_size(10).throughput(Throughput::Elements(records.len() as u64));
    group.bench_function("fingerprint of 1,000,000 records of 40 bytes", |b| {
        b.iter(|| {
            let mut fingerprinter = Fingerprinter::new(&seed);
            records.iter().for_each(|record| fingerprinter.push(record));
            fingerprinter.fingerprint()
        });
    });
    let message = vec![7u8; 1 << 20];
    group.throughput(Throughput::Bytes(message.len() as u64));
    group.bench_function("transcript of 1 MiB", |b| {
        b.iter(|| {
            let mut transcript = Transcript::new();
            transcript.absorb(&message);
            transcript.digest()
        });
    });
    group.finish();
}

fn entry(c: &mut Criterion) {
    let mut group = c.benchmark_group("entry");
    let private = SigningKey::from_bytes(&[7; 32]);
    let key = VerifierKey::of("bank-a", KeyUse::Text, &private).unwrap();
    let make = || {
        let header = Header {
            id: Id([1; 16]),
            log: Origin::parse("bank-a.example/log").unwrap(),
            by: "bank-a".parse().unwrap(),
            t: Time::new(1_795_000_000_000).unwrap(),
            nonce: Nonce([2; 16]),
            rel: vec![],
        };
        Entry::new(header, TickEntry { interval_ms: Milliseconds::new(60_000).unwrap() }).unwrap()
    };
    group.bench_function("make", |b| b.iter(make));
    let entry = SignedEntry::new(make());
    group.bench_function("sign", |b| {
        b.iter_batched(|| entry.clone(), |mut entry| entry.sign(&key, &private), BatchSize::SmallInput);
    });
    let mut signed = entry.clone();
    signed.sign(&key, &private).unwrap();
    let bytes = signed.encode();
    let ring = [key].into_iter().collect();
    group.bench_function("read and verify", |b| {
        b.iter(|| SignedEntry::parse(black_box(&bytes)).unwrap().verify(&ring).unwrap());
    });
    group.finish();
}

fn evidence(c: &mut Criterion) {
    let golden: serde_json::Value =
        serde_json::from_str(include_str!("../protocols/attestation/vectors/golden.json")).unwrap();
    let policy = Policy::parse(golden["log"]["policy"].as_str().unwrap()).unwrap();
    let bytes = golden["log"]["certificate"].as_str().unwrap().as_bytes();
    certificate::verify(bytes, Some(&policy)).unwrap();
    c.bench_function("verify a certificate with three attached entries and two witnesses", |b| {
        b.iter(|| certificate::verify(black_box(bytes), Some(&policy)));
    });
}

criterion_group!(benches, tree, dataset, entry, evidence);
criterion_main!(benches);
