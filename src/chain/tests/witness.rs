//! A witness lets no second history pass, whoever asks at the same time and whenever it is killed.

use std::path::Path;
use std::sync::Arc;

use tacitly_attestation::checkpoint::{Checkpoint, SignedCheckpoint};
use tacitly_attestation::note::{KeyRing, KeyUse, NoteSignature, VerifierKey};
use tacitly_attestation::tree::{MemoryTree, prove_consistency, root_at};
use tacitly_attestation::witness::{AddCheckpoint, ForkEvidence, WitnessRefusal};

use super::super::witness::all;
use super::super::{LogName, NoteKey, Verdict, Witness};
use super::crash::{child, folder};
use super::{ChainError, World, entry, files, key};

fn witness_key() -> NoteKey {
    let private = ed25519_dalek::SigningKey::from_bytes(&[9; 32]);
    let public = private.verifying_key().to_bytes();
    NoteKey::new("tacitly/shop-b/witness", KeyUse::Cosignature, &public, private).unwrap()
}

fn open(folder: &Path) -> Result<Witness, ChainError> {
    Witness::open(&folder.join("witness"), &folder.join("evidence"), witness_key())
}

fn log_key() -> VerifierKey {
    key(1).public().clone()
}

/// The first entries of a history; from `other` on its entries are different.
fn history(size: u64, other: u64) -> MemoryTree {
    let mut tree = MemoryTree::new();
    for number in 0..size {
        let number = if number < other { number } else { number + 1000 };
        tree.push(tacitly_attestation::hash::leaf_hash(&entry(number)));
    }
    tree
}

fn checkpoint(tree: &MemoryTree, size: u64) -> SignedCheckpoint {
    let origin = super::ORIGIN.to_owned();
    let root = root_at(&mut &*tree, size).unwrap();
    let mut signed = SignedCheckpoint::new(&Checkpoint { origin, size, root, extensions: vec![] }).unwrap();
    signed.sign(&log_key(), &key(1)).unwrap();
    signed
}

fn request(tree: &MemoryTree, old: u64, new: u64) -> Vec<u8> {
    let proof = prove_consistency(&mut &*tree, old, new).unwrap();
    AddCheckpoint { old, proof, checkpoint: checkpoint(tree, new) }.encode()
}

fn cosigned(verdict: &Verdict) -> &NoteSignature {
    match verdict {
        Verdict::Cosigned(line) => line,
        other => panic!("{other:?}"),
    }
}

fn size_of(witness: &Witness) -> u64 {
    let last = witness.last(LogName::of(&log_key())).unwrap();
    last.map_or(0, |known| known.head.checkpoint.checkpoint().size)
}

#[test]
fn a_witness_remembers_across_restarts_and_cosigns_growth_only() {
    let world = World::new();
    let tree = history(30, 30);
    let witness = open(world.path()).unwrap();
    assert!(matches!(open(world.path()), Err(ChainError::Locked { .. })));
    let verdict = witness.add_checkpoint(&log_key(), &request(&tree, 0, 10), 100).unwrap();
    let mut with = checkpoint(&tree, 10);
    with.add(cosigned(&verdict).clone());
    let ring = KeyRing::from_iter([witness_key().public().clone()]);
    assert_eq!(with.verify(&ring).unwrap()[0].time, Some(100));
    assert_eq!(verdict.http().0, 200);
    drop(witness);

    let witness = open(world.path()).unwrap();
    let stale = witness.add_checkpoint(&log_key(), &request(&tree, 0, 20), 101).unwrap();
    assert_eq!(stale.http(), (409, "10\n".to_owned()));
    cosigned(&witness.add_checkpoint(&log_key(), &request(&tree, 10, 20), 102).unwrap());
    assert_eq!(size_of(&witness), 20);
    assert_eq!(witness.add_checkpoint(&log_key(), b"nonsense", 103).unwrap().http().0, 400);
    // Another log's key, same name: nothing of it is known, and its signature is missing.
    let stranger = key(2).public().clone();
    assert_eq!(witness.add_checkpoint(&stranger, &request(&tree, 20, 30), 104).unwrap().http().0, 403);
    assert_eq!(all(&world.file("witness")).unwrap().len(), 1);
}

#[test]
fn two_histories_of_one_size_are_kept_as_evidence_that_convicts_the_log() {
    let world = World::new();
    let witness = open(world.path()).unwrap();
    let (first, second) = (history(20, 20), history(20, 7));
    cosigned(&witness.add_checkpoint(&log_key(), &request(&first, 0, 12), 100).unwrap());
    let verdict = witness.add_checkpoint(&log_key(), &request(&second, 0, 12), 101).unwrap();
    assert!(matches!(&verdict, Verdict::Refused(WitnessRefusal::Fork(_))), "{verdict:?}");
    assert_eq!(verdict.http(), (409, "12\n".to_owned()));
    // Found also when another witness shows it.
    assert!(witness.compare(LogName::of(&log_key()), &checkpoint(&second, 12)).unwrap().is_some());
    assert!(witness.compare(LogName::of(&log_key()), &checkpoint(&first, 12)).unwrap().is_none());
    assert!(witness.compare(LogName::of(&log_key()), &checkpoint(&second, 11)).unwrap().is_none());
    let kept = files(&world.file("evidence"));
    assert_eq!(kept.len(), 1, "one fork, one file: {kept:?}");
    let evidence = ForkEvidence::parse(&kept[0].1).unwrap();
    assert_eq!(evidence.size(), 12);
    evidence.verify(&KeyRing::from_iter([log_key()])).unwrap();
    // A history that does not extend the one known convicts, too, by the proof that comes with it.
    let verdict = witness.add_checkpoint(&log_key(), &request(&second, 12, 20), 102).unwrap();
    assert!(matches!(&verdict, Verdict::Refused(WitnessRefusal::Fork(_))) && verdict.http().0 == 422, "{verdict:?}");
    // A proof that proves nothing is kept for whoever looks into it.
    let useless = AddCheckpoint { old: 12, proof: vec![], checkpoint: checkpoint(&second, 20) }.encode();
    assert_eq!(witness.add_checkpoint(&log_key(), &useless, 103).unwrap().http().0, 422);
    let kept = files(&world.file("evidence"));
    let names = kept.iter().map(|(path, _)| path.file_name().unwrap().to_str().unwrap());
    assert_eq!(names.map(|name| name.split('-').next().unwrap()).collect::<Vec<_>>(), ["fork", "fork", "inconsistent"]);
    for (_, bytes) in &kept[..2] {
        ForkEvidence::parse(bytes).unwrap().verify(&KeyRing::from_iter([log_key()])).unwrap();
    }
    assert_eq!(size_of(&witness), 12);
    // However many a log makes, they do not fill the disk.
    for other in 0..12 {
        let another = history(20, other);
        let _refused = witness.add_checkpoint(&log_key(), &request(&another, 0, 12), 104).unwrap();
    }
    assert_eq!(files(&world.file("evidence")).len(), 9);
}

#[test]
fn requests_that_cross_never_roll_a_witness_back() {
    let world = World::new();
    let witness = Arc::new(open(world.path()).unwrap());
    let tree = Arc::new(history(400, 400));
    let mut known = 0;
    for round in 0..10_u64 {
        let begin = Arc::new(std::sync::Barrier::new(4));
        let crossing: Vec<_> = (1..=4)
            .map(|step| {
                let (witness, tree, begin) = (witness.clone(), tree.clone(), begin.clone());
                std::thread::spawn(move || {
                    let request = request(&tree, known, known + step * 7);
                    begin.wait();
                    witness.add_checkpoint(&log_key(), &request, 100 + round).unwrap()
                })
            })
            .collect();
        let verdicts: Vec<Verdict> = crossing.into_iter().map(|thread| thread.join().unwrap()).collect();
        let won = verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Cosigned(_))).count();
        assert_eq!(won, 1, "of those who come from the same size, one wins: {verdicts:?}");
        let now = size_of(&witness);
        assert!(now > known);
        for verdict in verdicts.iter().filter(|verdict| !matches!(verdict, Verdict::Cosigned(_))) {
            assert_eq!(verdict.http(), (409, format!("{now}\n")));
        }
        known = now;
    }
}

#[test]
#[ignore = "the child of the test below"]
fn cosigns_until_killed() {
    let Some(folder) = folder() else { return };
    let witness = open(&folder).unwrap();
    let known = size_of(&witness);
    println!("{:?}", witness.add_checkpoint(&log_key(), &request(&history(20, 20), known, 20), 200).unwrap());
}

#[test]
fn a_witness_killed_between_storing_and_answering_cosigns_the_same_again_and_no_other() {
    for (point, stored) in [
        ("replace: written", false),
        ("replace: synchronised", false),
        ("replace: renamed", true),
        ("witness: stored", true),
    ] {
        let world = World::new();
        let (first, second) = (history(20, 20), history(20, 3));
        cosigned(&open(world.path()).unwrap().add_checkpoint(&log_key(), &request(&first, 0, 10), 100).unwrap());
        let output = child(&world, "witness::cosigns_until_killed")
            .env("TACITLY_TEST_FATAL_POINT", format!("{point}#1"))
            .output()
            .unwrap();
        assert!(!String::from_utf8_lossy(&output.stdout).contains("Cosigned"), "nothing was answered: {point}");
        let witness = open(world.path()).unwrap();
        assert_eq!(size_of(&witness), if stored { 20 } else { 10 }, "{point}");
        // The log does not know how far the witness came, and learns it.
        let verdict = witness.add_checkpoint(&log_key(), &request(&first, 10, 20), 201).unwrap();
        if stored {
            assert_eq!(verdict.http(), (409, "20\n".to_owned()));
            let other = witness.add_checkpoint(&log_key(), &request(&second, 20, 20), 202).unwrap();
            assert!(matches!(other, Verdict::Refused(WitnessRefusal::Fork(_))), "{point}: {other:?}");
            cosigned(&witness.add_checkpoint(&log_key(), &request(&first, 20, 20), 203).unwrap());
        } else {
            cosigned(&verdict);
        }
    }
}

#[test]
fn a_state_that_cannot_be_read_is_an_error_and_no_new_beginning() {
    let world = World::new();
    let tree = history(20, 20);
    let witness = open(world.path()).unwrap();
    cosigned(&witness.add_checkpoint(&log_key(), &request(&tree, 0, 10), 100).unwrap());
    let (path, bytes) = files(&world.file("witness")).pop().unwrap();
    for at in (0..bytes.len()).step_by(5) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 4;
        std::fs::write(&path, &flipped).unwrap();
        let asked = witness.add_checkpoint(&log_key(), &request(&tree, 0, 20), 101);
        // A time that was altered stays a time; everything else is noticed.
        let refused = match &asked {
            Err(ChainError::DamagedFile { path: named, .. }) => *named == path,
            Ok(verdict) => verdict.http() == (409, "10\n".to_owned()),
            Err(_) => false,
        };
        assert!(refused, "{at}: {asked:?}");
    }
}

#[tokio::test]
async fn cosignatures_are_kept_with_the_log_and_the_best_checkpoint_is_given_out() {
    let world = World::new();
    let log = world.open();
    world.grow(&log, 0, 5).await;
    let witness = open(world.path()).unwrap();
    let five = log.checkpoint().unwrap();
    let asked = AddCheckpoint { old: 0, proof: vec![], checkpoint: (*five).clone() }.encode();
    let line = cosigned(&witness.add_checkpoint(&log_key(), &asked, 500).unwrap()).clone();
    log.add_cosignature(&five, line.clone(), witness.key()).unwrap();
    world.grow(&log, 5, 9).await;
    let nine = log.checkpoint().unwrap();
    let refused = log.add_cosignature(&nine, line, witness.key()).unwrap_err();
    assert!(matches!(refused, ChainError::BadCosignature { .. }), "a line under another checkpoint: {refused}");

    assert_eq!(log.witnessed(3).unwrap().checkpoint().size, 5);
    assert_eq!(log.witnessed(6).unwrap(), *nine, "nobody has cosigned that much yet");
    assert_eq!(log.witnessed(10), None);
    drop(log);
    let log = world.open();
    let newest = log.cosigned().newest();
    assert_eq!((newest.len(), newest[0].size, newest[0].time), (1, 5, 500));
    assert_eq!(newest[0].witness, "tacitly/shop-b/witness");
    assert!(super::check(world.path()).is_sound());
    let path = world.file("cosigned/5");
    let text = std::fs::read_to_string(&path).unwrap();
    let root = five.checkpoint().root.to_string();
    let other = nine.checkpoint().root.to_string();
    std::fs::write(&path, text.replace(&root, &other)).unwrap();
    let report = super::check(world.path());
    assert!(report.findings.iter().any(|finding| finding.file == Path::new("cosigned/5")), "{report:?}");
}

/// A request of a log whose name is its owner's choice: an empty tree with a root that is none, which is no history.
fn nonsense(origin: &str) -> (VerifierKey, Vec<u8>) {
    let private = ed25519_dalek::SigningKey::from_bytes(&[4; 32]);
    let public = private.verifying_key().to_bytes();
    let key = NoteKey::new(origin, KeyUse::Text, &public, private).unwrap();
    let root = root_at(&mut &history(3, 3), 3).unwrap();
    let extensions = vec!["x".repeat(1000)];
    let mut checkpoint =
        SignedCheckpoint::new(&Checkpoint { origin: origin.to_owned(), size: 0, root, extensions }).unwrap();
    checkpoint.sign(key.public(), &key).unwrap();
    (key.public().clone(), AddCheckpoint { old: 0, proof: vec![], checkpoint }.encode())
}

/// The review's seventh finding.
#[test]
fn requests_about_logs_that_were_never_cosigned_fill_no_disk() {
    let world = World::new();
    let witness = open(world.path()).unwrap();
    for number in 0..300 {
        let (log, request) = nonsense(&format!("tacitly/mallory-{number}"));
        let verdict = witness.add_checkpoint(&log, &request, 100).unwrap();
        assert!(matches!(verdict, Verdict::Refused(WitnessRefusal::Inconsistent)), "{verdict:?}");
    }
    let kept = world.file("evidence");
    assert!(!kept.exists() || files(&kept).is_empty(), "{kept:?}");
}
