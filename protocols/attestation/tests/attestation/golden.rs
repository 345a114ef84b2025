//! Our own known answers: what is written today must be read, and written the same, for as long as logs are kept.
//!
//! A difference that is meant goes into the file as the failing test prints it, and only with a new
//! version of the format.

use serde_json::{Value as Json, json};
use tacitly_attestation::certificate::{self, Draft};
use tacitly_attestation::commitment::{Batch, Salt, SaltSeed, Subject, commit};
use tacitly_attestation::dataset::{DatasetSeed, Fingerprinter, Opener, Opening};
use tacitly_attestation::entry::{Entry, Fingerprint, Kind, SignedEntry, Software, Time};
use tacitly_attestation::hash::Hash;
use tacitly_attestation::policy::Policy;
use tacitly_attestation::proof::LogProof;
use tacitly_attestation::transcript::Transcript;
use tacitly_attestation::witness::{AddCheckpoint, ForkEvidence, WitnessRefusal, WitnessState};

use super::support::{
    NOW, NOW_MS, body, checkpoint, header, id, job, levels, log_key, origin, party, policy, request, shares, signed,
    signer, witness_key,
};

const GOLDEN: &str = include_str!("../../vectors/golden.json");

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

fn entries() -> Json {
    let of = |kind: &Kind| {
        let entry = Entry::new(header("bank-a", kind.as_str(), vec![]), body(*kind)).unwrap();
        let signed = signed(entry, &["bank-a", "shop-b"]);
        json!({ "kind": kind.as_str(), "leaf": signed.leaf().to_string(), "note": signed.to_string() })
    };
    Kind::ALL.iter().map(of).collect()
}

fn log() -> Json {
    let job = job(1000, &["shop-b", "regulator"]);
    let policy = policy(&["shop-b", "regulator"]);
    let tool = Software::parse("tacitly 0.1.0").unwrap();
    let related = [job.agreement.clone(), job.dataset.clone(), job.party.clone()];
    let draft = Draft {
        id: id("certificate"),
        issued: Time::new(NOW_MS + 5000).unwrap(),
        issuer: party("bank-a"),
        tool: &tool,
        entry: &job.result,
        related: &related,
        proof: Some(&job.proof),
        anchor: None,
        policy: &policy,
    };
    let key = signer("bank-a");
    let (bytes, verdict) = certificate::create(&draft, &key.public, &key.private).unwrap();
    json!({
        "policy": policy.canonical(),
        "policy_digest": policy.digest().to_string(),
        "proof": job.proof.to_string(),
        "certificate": text(bytes),
        "levels": verdict.levels.to_string(),
    })
}

fn question() -> Json {
    let certificate = super::questions::certificate_of_asker();
    json!({ "certificate": text(certificate) })
}

fn witness() -> Json {
    let keys = || [log_key("bank-a").public].into_iter().collect();
    let mut state = WitnessState::new(origin("bank-a").as_str(), keys());
    let first = state.consider(&request(&levels(10), 0, 10), NOW).unwrap();
    state.apply(&first).unwrap();
    let request = request(&levels(20), 10, 20);
    let key = witness_key("shop-b");
    let line = state.consider(&request, NOW + 60).unwrap().stored().cosign(&key.public, &key.private).unwrap();
    let other = AddCheckpoint { checkpoint: checkpoint("bank-a", 10, Hash::of(b"other")), old: 10, proof: vec![] };
    let Err(WitnessRefusal::Fork(evidence)) = state.consider(&other, NOW) else { panic!() };
    json!({
        "log_key": log_key("bank-a").public.to_string(),
        "witness_key": key.public.to_string(),
        "request": request.to_string(),
        "cosignature": line.to_string(),
        "fork": evidence.to_string(),
    })
}

fn hashes() -> Json {
    let seed = DatasetSeed::new([42; 32]);
    let mut fingerprinter = Fingerprinter::new(&seed);
    let mut opener = Opener::new(&seed, 2, 5).unwrap();
    for row in 0..5u8 {
        fingerprinter.push(&[b'r', row]);
        opener.push(&[b'r', row]);
    }
    let mut transcript = Transcript::new();
    transcript.absorb(b"one");
    transcript.absorb(b"two");
    let salt = Salt::new([7; 32]);
    let queries = [1u8, 2, 3].map(|query| commit(Subject::Query, &salt, &[query]));
    json!({
        "dataset": {
            "seed": "42 times 32", "records": "r0 to r4, the row as one byte",
            "fingerprint": fingerprinter.fingerprint().to_string(),
            "opening_of_row_2": text(opener.finish().unwrap().0.encode().unwrap()),
        },
        "salts": {
            "seed": "42 times 32",
            "salts": ([0, 1].map(|at| Hash(*SaltSeed::new([42; 32]).salt(at).expose()).to_string())),
        },
        "commitment": {
            "salt": "7 times 32", "subject": "query", "values": "one byte each: 1, 2, 3",
            "commitments": queries.map(|query| query.to_string()),
            "batch": Batch::of(&queries).commitment().to_string(),
        },
        "joint_salt": { "shares": "bank-a 1 times 32, shop-b 2 times 32", "salt": Hash(*Salt::joint(&shares()).expose()).to_string() },
        "transcript": { "messages": ["one", "two"], "digest": transcript.digest().to_string() },
    })
}

#[test]
fn golden_texts_and_hashes_are_written_as_ever() {
    let now = json!({
        "source": "written by tests/attestation/golden.rs of this crate",
        "entries": entries(), "log": log(), "witness": witness(), "hashes": hashes(), "question": question(),
    });
    let golden: Json = serde_json::from_str(GOLDEN).unwrap();
    for (name, expected) in golden.as_object().unwrap() {
        assert_eq!(&now[name], expected, "{name}; if the change is meant, this is the new file:\n{now:#}");
    }
}

#[test]
fn golden_texts_are_read_and_verified() {
    let golden: Json = serde_json::from_str(GOLDEN).unwrap();
    let text = |json: &Json| json.as_str().unwrap().to_owned();
    for entry in golden["entries"].as_array().unwrap() {
        let read = SignedEntry::parse(text(&entry["note"]).as_bytes()).unwrap();
        assert_eq!(read.leaf().to_string(), text(&entry["leaf"]));
        assert_eq!(read.entry().kind().as_str(), text(&entry["kind"]));
    }
    let log = &golden["log"];
    let policy = Policy::parse(&text(&log["policy"])).unwrap();
    LogProof::parse(text(&log["proof"]).as_bytes()).unwrap();
    let verdict = certificate::verify(text(&log["certificate"]).as_bytes(), Some(&policy)).unwrap();
    assert_eq!(verdict.levels.to_string(), text(&log["levels"]));

    let verdict = certificate::verify(text(&golden["question"]["certificate"]).as_bytes(), None).unwrap();
    assert!(verdict.question().unwrap().serve.is_some());

    AddCheckpoint::parse(text(&golden["witness"]["request"]).as_bytes()).unwrap();
    let fork = ForkEvidence::parse(text(&golden["witness"]["fork"]).as_bytes()).unwrap();
    assert_eq!(fork.verify(&[log_key("bank-a").public].into_iter().collect()), Ok(()));

    let dataset = &golden["hashes"]["dataset"];
    let opening = Opening::parse(text(&dataset["opening_of_row_2"]).as_bytes()).unwrap();
    let fingerprint = Fingerprint::parse(&text(&dataset["fingerprint"])).unwrap();
    assert_eq!(opening.verify(&fingerprint).unwrap(), b"r\x02");
}
