//! Published known answers, and bad inputs that name the reason for which they must fail.

use serde_json::Value as Json;
use tacitly_attestation::certificate;
use tacitly_attestation::checkpoint::{Checkpoint, SignedCheckpoint};
use tacitly_attestation::entry::{Entry, MalformedEntry, Reason, SCHEMA};
use tacitly_attestation::hash::{Hash, empty_root, leaf_hash};
use tacitly_attestation::note::{KeyRing, KeyUse, Note, NoteSignature, VerifierKey};
use tacitly_attestation::policy::{Policy, Quorum};
use tacitly_attestation::proof::LogProof;
use tacitly_attestation::tree::{
    MemoryTree, ProofFault, prove_consistency, prove_inclusion, verify_consistency, verify_inclusion,
};
use tacitly_attestation::witness::AddCheckpoint;

macro_rules! vectors {
    ($name:literal) => {
        serde_json::from_str::<Json>(include_str!(concat!("../../vectors/", $name, ".json"))).unwrap()
    };
}

fn text(json: &Json) -> &str {
    json.as_str().unwrap()
}

fn number(json: &Json) -> u64 {
    json.as_u64().unwrap()
}

fn list(json: &Json) -> &[Json] {
    json.as_array().unwrap()
}

fn hash(json: &Json) -> Hash {
    Hash::from_base64(text(json)).unwrap()
}

fn hashes(json: &Json) -> Vec<Hash> {
    list(json).iter().map(hash).collect()
}

fn bytes<const N: usize>(json: &Json) -> [u8; N] {
    data_encoding::HEXLOWER.decode(text(json).as_bytes()).unwrap().try_into().unwrap()
}

#[test]
fn the_reference_tree_of_certificate_transparency_has_its_roots_and_proofs() {
    let vectors = vectors!("rfc6962");
    assert_eq!(hash(&vectors["empty_root"]), empty_root());
    let mut tree = MemoryTree::new();
    let mut leaves = Vec::new();
    let roots = hashes(&vectors["roots"]);
    for (leaf, root) in list(&vectors["leaves_hex"]).iter().zip(&roots) {
        leaves.push(leaf_hash(&data_encoding::HEXLOWER.decode(text(leaf).as_bytes()).unwrap()));
        tree.push(*leaves.last().unwrap());
        assert_eq!(tree.root(), *root);
    }
    for case in list(&vectors["inclusion"]) {
        let (index, size, proof) = (number(&case["index"]), number(&case["size"]), hashes(&case["proof"]));
        assert_eq!(prove_inclusion(&mut &tree, index, size).unwrap(), proof);
        let root = &roots[size as usize - 1];
        assert_eq!(verify_inclusion(&leaves[index as usize], index, size, &proof, root), Ok(()));
    }
    for case in list(&vectors["consistency"]) {
        let (old, new, proof) = (number(&case["old"]), number(&case["new"]), hashes(&case["proof"]));
        assert_eq!(prove_consistency(&mut &tree, old, new).unwrap(), proof);
        let (old_root, new_root) = (&roots[old as usize - 1], &roots[new as usize - 1]);
        assert_eq!(verify_consistency(old, old_root, new, new_root, &proof), Ok(()));
    }
}

#[test]
fn altered_proofs_are_refused_by_their_fault() {
    let vectors = vectors!("bad_proofs");
    for case in list(&vectors["cases"]) {
        let proof = hashes(&case["proof"]);
        let found = if case["kind"] == "inclusion" {
            let (index, size) = (number(&case["index"]), number(&case["size"]));
            verify_inclusion(&hash(&case["leaf"]), index, size, &proof, &hash(&case["root"]))
        } else {
            let (old, new) = (number(&case["old"]), number(&case["new"]));
            verify_consistency(old, &hash(&case["old_root"]), new, &hash(&case["new_root"]), &proof)
        };
        let fault = found.expect_err(text(&case["desc"]));
        match case["fault"].as_str() {
            Some("root") => assert_eq!(fault, ProofFault::WrongRoot, "{case}"),
            Some("length") => assert_eq!(fault, ProofFault::WrongLength, "{case}"),
            Some("outside") => assert_eq!(fault, ProofFault::OutsideTree, "{case}"),
            _ => {}
        }
    }
}

#[test]
fn published_notes_checkpoints_and_requests_are_read_verified_and_written_the_same() {
    let vectors = vectors!("c2sp");
    for case in list(&vectors["notes"]) {
        let note = Note::parse(text(&case["note"]).as_bytes()).unwrap();
        assert_eq!(note.to_string(), text(&case["note"]));
        let keys: KeyRing = list(&case["keys"]).iter().map(|key| VerifierKey::parse(text(key)).unwrap()).collect();
        let verified: Vec<&str> = note.verify(&keys).unwrap().iter().map(|verified| verified.key.name()).collect();
        assert_eq!(verified, list(&case["verified"]).iter().map(text).collect::<Vec<_>>());
        if let Some(seed) = case["signing_seed_base64"].as_str() {
            let seed: [u8; 32] = data_encoding::BASE64.decode(seed.as_bytes()).unwrap().try_into().unwrap();
            let key = VerifierKey::parse(text(&case["keys"][0])).unwrap();
            let private = ed25519_dalek::SigningKey::from_bytes(&seed);
            let signature = NoteSignature::sign(note.text(), &key, &private).unwrap();
            assert_eq!(note.signatures(), [signature]);
        }
    }
    for case in list(&vectors["checkpoints"]) {
        let read = SignedCheckpoint::parse(text(&case["note"]).as_bytes()).unwrap();
        assert_eq!(read.to_string(), text(&case["note"]));
        assert_eq!(
            (read.checkpoint().origin.as_str(), read.checkpoint().size),
            (text(&case["origin"]), number(&case["size"]))
        );
    }
    for case in list(&vectors["requests"]) {
        let read = AddCheckpoint::parse(text(&case["request"]).as_bytes()).unwrap();
        assert_eq!(read.to_string(), text(&case["request"]));
        assert_eq!((read.old, read.checkpoint.checkpoint().size), (number(&case["old"]), number(&case["new"])));
        assert_eq!(read.proof.len() as u64, number(&case["proof"]));
    }
    for bad in list(&vectors["bad_proofs"]["texts"]) {
        assert!(LogProof::parse(text(bad).as_bytes()).is_err(), "{bad}");
    }
}

/// A real log and eight real witnesses, none of which knew of us.
#[test]
fn a_public_log_and_its_witnesses_satisfy_their_public_policy() {
    let vectors = vectors!("sigsum");
    let key_hash: [u8; 32] = bytes(&vectors["log_key_hash_hex"]);
    let log_key = list(&vectors["log_keys_hex"]).iter().map(bytes::<32>).find(|key| Hash::of(key).0 == key_hash);
    let origin = format!("sigsum.org/v1/tree/{}", text(&vectors["log_key_hash_hex"]));
    let log = VerifierKey::new(&origin, KeyUse::Text, &log_key.unwrap()).unwrap();
    let line = |key: &VerifierKey, parts: &[&[u8]]| {
        let bytes = [&[&key.id().to_be_bytes()[..]], parts].concat().concat();
        format!("— {} {}\n", key.name(), data_encoding::BASE64.encode(&bytes))
    };

    let (size, root) = (number(&vectors["size"]), Hash(bytes(&vectors["root_hex"])));
    let checkpoint = Checkpoint { origin: origin.clone(), size, root, extensions: vec![] };
    let mut note = format!("{checkpoint}\n{}", line(&log, &[&bytes::<64>(&vectors["signature_hex"])]));
    let mut policy = format!("log {log}\n");
    for witness in list(&vectors["witnesses"]) {
        let (name, public) = (text(&witness["name"]), bytes::<32>(&witness["key_hex"]));
        let key = VerifierKey::new(name, KeyUse::Cosignature, &public).unwrap();
        policy += &format!("witness {name} {key}\n");
        let of_key = |signed: &&Json| bytes::<32>(&signed["key_hash_hex"]) == Hash::of(&public).0;
        let cosignature = list(&vectors["cosignatures"]).iter().find(of_key).unwrap();
        let time = number(&cosignature["time"]).to_be_bytes();
        note += &line(&key, &[&time, &bytes::<64>(&cosignature["signature_hex"])]);
    }
    list(&vectors["groups"]).iter().for_each(|group| policy += &format!("{}\n", text(group)));

    let policy = Policy::parse(&policy).unwrap();
    let signed = SignedCheckpoint::parse(note.as_bytes()).unwrap();
    let standing = policy.judge(&signed).unwrap();
    assert_eq!((standing.cosigned.len(), standing.of, standing.quorum), (8, 8, Quorum::Met));

    let message = Hash::of(text(&vectors["message"]).as_bytes());
    let leaf = [
        &Hash::of(&message.0).0[..],
        &bytes::<64>(&vectors["leaf_signature_hex"]),
        &bytes::<32>(&vectors["leaf_key_hash_hex"]),
    ];
    let path = list(&vectors["node_hashes_hex"]).iter().map(|hash| Hash(bytes(hash))).collect();
    let proof = LogProof { extra: None, index: number(&vectors["leaf_index"]), path, checkpoint: signed };
    assert_eq!(LogProof::parse(&proof.encode()).unwrap(), proof);
    assert_eq!(proof.verify(&leaf_hash(&leaf.concat())), Ok(()));
    assert_eq!(proof.verify(&leaf_hash(b"another leaf")), Err(ProofFault::WrongRoot));
}

#[test]
fn bad_entries_are_refused_by_field_and_reason() {
    for case in list(&vectors!("bad_entries")["cases"]) {
        let found = Entry::parse(&format!("{SCHEMA}\n{}\n", text(&case["line"]))).expect_err(text(&case["desc"]));
        let (field, reason) = match &found {
            MalformedEntry::Refused(refusal) => (
                Some(refusal.field.as_str()),
                match refusal.reason {
                    Reason::Missing => "missing",
                    Reason::Undeclared => "undeclared",
                    Reason::Form(_) => "form",
                    Reason::TooMany(_) => "too-many",
                    Reason::Personal(_) => "personal",
                    Reason::Inconsistent(_) => "inconsistent",
                },
            ),
            MalformedEntry::NotJson => (None, "not-json"),
            MalformedEntry::NotCanonical => (None, "not-canonical"),
            other => panic!("{case}: {other}"),
        };
        assert_eq!((field, reason), (case["field"].as_str(), text(&case["reason"])), "{}", case["desc"]);
    }
}

#[test]
fn bad_certificates_are_refused_by_their_code() {
    let golden = vectors!("golden");
    let good = text(&golden["log"]["certificate"]);
    for case in list(&vectors!("bad_certificates")["cases"]) {
        let bad = good.replacen(text(&case["replace"]), text(&case["by"]), 1);
        assert_ne!(bad, good, "{case}");
        let refusal = certificate::verify(bad.as_bytes(), None).expect_err(text(&case["desc"]));
        assert_eq!(refusal.code.as_str(), text(&case["code"]), "{}: {refusal}", case["desc"]);
    }
}
