//! A mirror's copy: what it takes, what it refuses, and what is left of it when its process is killed.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use ed25519_dalek::SigningKey;
use tacitly_attestation::checkpoint::SignedCheckpoint;
use tacitly_attestation::hash::Hash;
use tacitly_attestation::mirror::MirrorRefusal;
use tacitly_attestation::note::{KeyUse, NoteSignature};

use super::super::{ChainError, Log, Mirror, NoteKey};
use super::crash::{child, folder};
use super::full_disk::{full, limited, meets_limits};
use super::{World, check, entry, files, key, open};

const COPY: &str = "copy";

fn mirror_key() -> NoteKey {
    mirror_key_of(7)
}

fn mirror_key_of(byte: u8) -> NoteKey {
    let private = SigningKey::from_bytes(&[byte; 32]);
    let public = private.verifying_key().to_bytes();
    NoteKey::new("tacitly/shop/mirror", KeyUse::Cosignature, &public, private).unwrap()
}

fn open_copy(folder: &Path) -> Mirror {
    Mirror::open(folder, key(1).public()).unwrap()
}

/// Gives the mirror the next `count` entries of the log, as its owner does.
fn give(mirror: &mut Mirror, log: &Log, count: u64, toward: &SignedCheckpoint) -> Result<(), ChainError> {
    let size = toward.checkpoint().size;
    let until = size.min(mirror.size() + count);
    let entries: Vec<Vec<u8>> = (mirror.size()..until).map(|at| log.entry(at).unwrap()).collect();
    let proof = log.consistency(until, size).unwrap();
    mirror.add(entries.iter().map(Vec::as_slice), &proof, toward)
}

fn copy_all(mirror: &mut Mirror, log: &Log, at_once: u64) {
    let newest = log.checkpoint().unwrap();
    while mirror.checkpoint().is_none_or(|kept| kept.checkpoint().size < newest.checkpoint().size) {
        give(mirror, log, at_once, &newest).unwrap();
    }
}

#[tokio::test]
async fn a_copy_is_the_folder_of_the_log_and_its_owner_can_go_on_from_it() {
    for (size, at_once) in [(1, 1), (5, 2), (256, 100), (700, 300)] {
        let (world, place) = (World::new(), tempfile::tempdir().unwrap());
        let log = world.open();
        world.grow(&log, 0, size).await;
        let mut mirror = open_copy(place.path());
        assert!(mirror.cosign(&mirror_key(), 1).unwrap().is_none(), "nothing is held");
        copy_all(&mut mirror, &log, at_once);
        let line = mirror.cosign(&mirror_key(), 1_795_000_000).unwrap().unwrap();
        log.add_kept(mirror.checkpoint().unwrap(), line, mirror_key().public()).unwrap();
        let kept = log.mirror_cosignatures().newest();
        assert_eq!((kept[0].size, kept[0].witness.as_str()), (size, "tacitly/shop/mirror"));
        assert!(log.cosigned().newest().is_empty(), "a mirror is no witness");

        // It grows with the log, and is the same byte for byte but for what a write began with.
        world.grow(&log, size, size + 9).await;
        copy_all(&mut mirror, &log, at_once);
        drop(mirror);
        assert!(check(place.path()).is_sound(), "{size}");
        let tiles = |folder: &Path| {
            let all = files(folder).into_iter();
            let named = all.map(|(path, bytes)| (path.strip_prefix(folder).unwrap().to_owned(), bytes));
            let of_tree = named.filter(|(path, _)| path.starts_with("tile") && !path.to_string_lossy().contains(".p"));
            of_tree.collect::<Vec<_>>()
        };
        assert_eq!(tiles(place.path()), tiles(world.path()), "{size}");

        drop(log);
        let taken_back = open(place.path()).unwrap();
        assert_eq!(taken_back.head().size, size + 9);
        (0..size + 9).for_each(|at| assert_eq!(taken_back.entry(at).unwrap(), entry(at)));
        taken_back.append(entry(size + 9)).await.unwrap();
        assert_eq!(taken_back.signed(size + 10).await.unwrap().checkpoint().size, size + 10);
    }
}

fn text_of(checkpoint: &SignedCheckpoint) -> String {
    checkpoint.to_string().split_once("\n\n").unwrap().0.to_owned() + "\n"
}

#[tokio::test]
async fn what_is_not_the_logs_continuation_is_refused_and_changes_nothing() {
    let (world, place) = (World::new(), tempfile::tempdir().unwrap());
    let log = world.open();
    world.grow(&log, 0, 20).await;
    let newest = log.checkpoint().unwrap();
    let mut mirror = open_copy(place.path());
    give(&mut mirror, &log, 7, &newest).unwrap();
    let before = files(place.path());
    let entries: Vec<Vec<u8>> = (7..12).map(entry).collect();
    let proof = log.consistency(12, 20).unwrap();
    let mut refuses = |what: &str, entries: &[Vec<u8>], proof: &[Hash]| {
        let refused = mirror.add(entries.iter().map(Vec::as_slice), proof, &newest).unwrap_err();
        assert!(matches!(refused, ChainError::NotMirrored { from: 7, .. }), "{what}: {refused}");
        assert_eq!(files(place.path()), before, "{what}");
    };
    for changed in 0..entries.len() {
        let mut altered = entries.clone();
        altered[changed][0] ^= 1;
        refuses("one bit", &altered, &proof);
    }
    refuses("one is left out", &entries[1..], &proof);
    refuses("the order", &entries.iter().rev().cloned().collect::<Vec<_>>(), &proof);
    refuses("another place's proof", &entries, &log.consistency(11, 20).unwrap());
    refuses("no proof", &entries, &[]);
    refuses("an entry without bytes", &[Vec::new()], &proof);
    let all: Vec<Vec<u8>> = (7..21).map(entry).collect();
    let refused = mirror.add(all.iter().map(Vec::as_slice), &[], &newest).unwrap_err();
    assert!(matches!(refused, ChainError::NotMirrored { why: MirrorRefusal::Beyond, .. }), "{refused}");
    // The honest continuation is taken as ever.
    copy_all(&mut mirror, &log, 100);
    assert_eq!(mirror.checkpoint().unwrap().checkpoint(), newest.checkpoint());
}

#[tokio::test]
async fn a_mirrors_word_counts_for_our_log_and_under_its_key_only() {
    let (world, place) = (World::new(), tempfile::tempdir().unwrap());
    let log = world.open();
    world.grow(&log, 0, 3).await;
    let mut mirror = open_copy(place.path());
    copy_all(&mut mirror, &log, 3);
    let line = mirror.cosign(&mirror_key(), 1).unwrap().unwrap();
    let checkpoint = mirror.checkpoint().unwrap();
    assert!(log.add_kept(checkpoint, line.clone(), mirror_key_of(9).public()).is_err(), "another key");
    let another = World::new();
    let another = Log::open(another.path(), key(2)).unwrap();
    another.append(entry(0)).await.unwrap();
    assert!(another.add_kept(checkpoint, line.clone(), mirror_key().public()).is_err(), "another log");
    assert!(log.mirror_cosignatures().newest().is_empty());
    // Lines that a mirror invents in our name, and keys that it changes, are in no other mirror's way.
    let mut crowded = checkpoint.clone();
    for byte in 20..82 {
        let stranger = key(byte);
        crowded.add(NoteSignature::sign(&text_of(checkpoint), stranger.public(), &stranger).unwrap());
    }
    log.add_kept(&crowded, line, mirror_key().public()).unwrap();
    for byte in 8..20 {
        let changed = mirror_key_of(byte);
        let line = mirror.cosign(&changed, 2).unwrap().unwrap();
        log.add_kept(&crowded, line, changed.public()).unwrap();
    }
    let private = SigningKey::from_bytes(&[99; 32]);
    let public = private.verifying_key().to_bytes();
    let regulator = NoteKey::new("tacitly/regulator/mirror", KeyUse::Cosignature, &public, private).unwrap();
    log.add_kept(&crowded, mirror.cosign(&regulator, 3).unwrap().unwrap(), regulator.public()).unwrap();
    drop(log);
    let kept = world.open().mirror_cosignatures().newest();
    let shown: Vec<_> = kept.iter().map(|line| (line.witness.as_str(), line.size, line.time)).collect();
    assert_eq!(shown, [("tacitly/regulator/mirror", 3, 3), ("tacitly/shop/mirror", 3, 2)]);
    assert_eq!(files(&world.file("kept")).len(), 2, "one file for each mirror");
}

#[tokio::test]
#[ignore = "the child of the test below"]
async fn mirrors_until_killed() {
    let Some(folder) = folder() else { return };
    let log = open(&folder).unwrap();
    let mut mirror = open_copy(&folder.join(COPY));
    copy_all(&mut mirror, &log, 40);
}

#[tokio::test]
async fn a_mirror_killed_at_any_write_point_goes_on_from_what_it_had() {
    // What is on the disk of the copy when the process is killed there for the first, second, … time. A log of fewer
    // than 256 entries has no index: every file that is replaced is the copy's.
    let points: [(&str, &[u64]); 7] = [
        ("mirror: written", &[40, 80, 200]),
        ("mirror: before the checkpoint", &[200]),
        ("tile: before", &[200, 200]),
        ("tile: written", &[200, 200]),
        ("replace: written", &[200]),
        ("replace: synchronised", &[200]),
        ("replace: renamed", &[200]),
    ];
    for (point, sizes) in points {
        for (times, size) in (1..).zip(sizes) {
            let times = if point == "mirror: written" { size / 40 } else { times };
            let world = World::closed(200).await;
            let fatal = format!("{point}#{times}");
            let mut process =
                child(&world, "mirror::mirrors_until_killed").env("TACITLY_TEST_FATAL_POINT", &fatal).spawn().unwrap();
            assert_eq!(process.wait().unwrap().signal(), Some(9), "{fatal}");
            let log = world.open();
            let mut mirror = open_copy(&world.file(COPY));
            assert_eq!(mirror.size(), *size, "{fatal}");
            let whole = mirror.checkpoint().is_some();
            assert_eq!(whole, point == "replace: renamed", "{fatal}");
            copy_all(&mut mirror, &log, 40);
            assert_eq!(mirror.checkpoint().unwrap().checkpoint(), log.checkpoint().unwrap().checkpoint(), "{fatal}");
            drop(mirror);
            let report = check(&world.file(COPY));
            assert!(report.is_sound() && report.entries == 200, "{fatal}: {report:?}");
        }
    }
}

#[tokio::test]
#[ignore = "the child of the test below"]
async fn mirrors_up_to_a_limit() {
    let Some(folder) = folder() else { return };
    let log = open(&folder).unwrap();
    let (newest, copy) = (log.checkpoint().unwrap(), folder.join(COPY));
    let mut mirror = open_copy(&copy);
    limited(1 << 20, async || {
        let refused = loop {
            if let Err(error) = give(&mut mirror, &log, 7, &newest) {
                break error;
            }
        };
        full(&refused);
    })
    .await;
    // What was taken before is still there, and the copy goes on from it.
    let before = mirror.size();
    drop(mirror);
    let mut mirror = open_copy(&copy);
    assert_eq!((mirror.size(), mirror.checkpoint().is_some()), (before, false));
    assert!(before > 20, "{before}");
    copy_all(&mut mirror, &log, 7);
}

#[tokio::test]
async fn a_mirror_on_a_full_disk_keeps_what_it_had_and_goes_on_when_there_is_room() {
    let world = World::new();
    let log = world.open();
    for number in 0..80 {
        let mut bytes = entry(number);
        bytes.resize(20_000, b'x');
        log.append(bytes).await.unwrap();
    }
    log.signed(80).await.unwrap();
    drop(log);
    let ended = meets_limits(&child(&world, "mirror::mirrors_up_to_a_limit")).status().unwrap();
    assert!(ended.success());
    let report = check(&world.file(COPY));
    assert!(report.is_sound() && report.signed == Some(80), "{report:?}");
}
