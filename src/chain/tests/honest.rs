//! What is appended is there, found, proven, and there again after the next start.

use std::cell::Cell;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tacitly_attestation::hash::leaf_hash;
use tacitly_attestation::note::KeyRing;
use tacitly_attestation::tree::{Tile, TileKind, decode_bundle, verify_consistency, verify_inclusion};

use super::super::View;
use super::super::log::{Log, Places};
use super::super::tiles::Tiles;
use super::{ChainError, ORIGIN, World, check, entry, files, key, open, root_of};

#[tokio::test]
async fn entries_are_numbered_found_and_proven_and_stay_so_after_a_restart() {
    let world = World::new();
    let mut log = world.open();
    assert_eq!((log.head().size, log.checkpoint()), (0, None));
    for (from, to) in [(0, 1), (1, 5), (5, 255), (255, 256), (256, 257), (257, 700)] {
        let leaves = World::fill(&log, from, to).await;
        let indices: Vec<u64> = leaves.iter().map(|leaf| leaf.index).collect();
        assert_eq!(indices, (from..to).collect::<Vec<_>>());
        let signed = log.signed(to).await.unwrap();
        assert_eq!(signed.checkpoint().root, root_of((0..to).map(entry)));
        assert_eq!(log.head().root, signed.checkpoint().root);
        drop(log);
        log = world.open();
        assert_eq!(log.head().size, to);
        for index in [0, to / 2, to - 1] {
            assert_eq!(log.entry(index).unwrap(), entry(index));
            let leaf = leaf_hash(&entry(index));
            assert_eq!(log.find(&leaf).unwrap(), Some(index));
            let proof = log.inclusion(index, to).unwrap();
            verify_inclusion(&leaf, index, to, &proof, &signed.checkpoint().root).unwrap();
        }
        for old in [0, 1, to / 2, to] {
            let proof = log.consistency(old, to).unwrap();
            let old_root = root_of((0..old).map(entry));
            verify_consistency(old, &old_root, to, &signed.checkpoint().root, &proof).unwrap();
        }
        assert_eq!(log.find(&leaf_hash(b"nobody's")).unwrap(), None);
        assert!(check(world.path()).is_sound(), "{:?}", check(world.path()));
    }
    for outside in [log.entry(700).err(), log.inclusion(700, 700).err(), log.consistency(3, 701).err()] {
        assert!(matches!(outside, Some(ChainError::Outside { .. })), "{outside:?}");
    }
    for length in [0, 65_536] {
        let refused = log.append(vec![0; length]).await.unwrap_err();
        assert!(matches!(refused, ChainError::Length(found) if found == length));
    }
    assert_eq!(log.append(vec![b'x'; 65_535]).await.unwrap().index, 700);
}

#[tokio::test]
async fn a_checkpoint_follows_within_a_second_without_anybody_asking() {
    let world = World::new();
    let log = world.open();
    log.append(entry(0)).await.unwrap();
    let size = tokio::time::timeout(Duration::from_secs(30), log.grown_from(0)).await.unwrap();
    assert_eq!(size, 1);
    let checkpoint = log.checkpoint().unwrap();
    assert_eq!(checkpoint.checkpoint().origin, ORIGIN);
    assert_eq!(checkpoint.verify(&KeyRing::from_iter([key(1).public().clone()])).unwrap().len(), 1);
    assert!(checkpoint.verify(&KeyRing::from_iter([key(2).public().clone()])).unwrap().is_empty());
}

#[tokio::test]
async fn a_search_that_was_overtaken_by_two_checkpoints_reads_the_tree_as_it_is_by_then() {
    let world = World::new();
    let log = world.open();
    for size in [3, 5, 7] {
        world.grow(&log, log.head().size, size).await;
    }
    let tiles = Tiles::of(world.path());
    let asked = Cell::new(0);
    let overtaken = || if asked.replace(asked.get() + 1) == 0 { 3 } else { 7 };
    let mut places = Places::default();
    places.extend(&tiles, overtaken).unwrap();
    assert_eq!(places.find(&leaf_hash(&entry(6))), Some(6));
    // A tile that is missing for good is said to be.
    let missing = Places::default().extend(&tiles, || 3);
    assert!(matches!(missing, Err(ChainError::DamagedFile { .. })), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_beside_appends_never_misses_a_tile_that_has_made_way() {
    let world = World::new();
    let log = world.open();
    let over = Arc::new(AtomicBool::new(false));
    let searches: Vec<_> = (0..6)
        .map(|_| {
            let (log, over) = (log.clone(), over.clone());
            std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    assert_eq!(log.find(&leaf_hash(b"nobody's")).unwrap(), None);
                }
            })
        })
        .collect();
    for number in 0..300 {
        let leaf = log.append(entry(number)).await.unwrap();
        assert_eq!(log.find(&leaf.hash).unwrap(), Some(number));
        log.signed(number + 1).await.unwrap();
        assert_eq!(log.find(&leaf.hash).unwrap(), Some(number));
    }
    over.store(true, Ordering::Relaxed);
    searches.into_iter().for_each(|search| search.join().unwrap());
}

#[tokio::test]
async fn the_tiles_are_those_of_the_specification_and_old_begun_ones_go() {
    let world = World::new();
    let log = world.open();
    for size in [3, 255, 300, 600, 601] {
        world.grow(&log, log.head().size, size).await;
    }
    for (index, width) in [(0, 256), (1, 256), (2, 89)] {
        let tile = Tile { kind: TileKind::Entries, index, width };
        let bundle = fs::read(world.file(&tile.to_string())).unwrap();
        let first = index * 256;
        let expected: Vec<Vec<u8>> = (first..first + u64::from(width)).map(entry).collect();
        assert_eq!(decode_bundle(&bundle).unwrap(), expected);
        let leaves = Tile { kind: TileKind::Hashes { level: 0 }, ..tile };
        let hashes: Vec<u8> = expected.iter().flat_map(|entry| leaf_hash(entry).0).collect();
        assert_eq!(fs::read(world.file(&leaves.to_string())).unwrap(), hashes);
    }
    let begun: Vec<String> = files(world.path())
        .into_iter()
        .map(|(path, _)| path.strip_prefix(world.path()).unwrap().display().to_string())
        .filter(|path| path.contains(".p/"))
        .collect();
    // Those of the newest checkpoint and of the one before.
    assert_eq!(
        begun,
        ["tile/0/002.p/88", "tile/0/002.p/89", "tile/1/000.p/2", "tile/entries/002.p/88", "tile/entries/002.p/89"]
    );
}

async fn await_index(world: &World) {
    let written = async {
        while !world.file("index").exists() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), written).await.expect("the index was not written");
}

#[tokio::test]
async fn missing_tiles_and_index_are_made_anew() {
    let world = World::closed(1000).await;
    let whole = files(&world.file("tile"));
    let remove = |name: &str| {
        let path = world.file(name);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
    };
    // Long enough for the index to be written: nothing came for a while.
    let log = world.open();
    await_index(&world).await;
    drop(log);
    for missing in [&["tile"][..], &["index"], &["tile", "index"], &["tile/entries/001"], &["tile/0/000"]] {
        missing.iter().for_each(|name| remove(name));
        assert!(!missing.iter().any(|name| name.starts_with("tile")) || !check(world.path()).is_sound());
        let log = world.open();
        assert_eq!(files(&world.file("tile")), whole, "{missing:?}");
        assert!(log.inclusion(17, 1000).is_ok());
        await_index(&world).await;
        drop(log);
        assert!(check(world.path()).is_sound());
    }
    // Half of an index is none.
    let index = fs::read(world.file("index")).unwrap();
    fs::write(world.file("index"), &index[..index.len() / 2]).unwrap();
    assert_eq!(world.open().entry(999).unwrap(), entry(999));
}

#[tokio::test]
async fn a_second_opener_is_refused_and_told_who_has_the_log() {
    let world = World::new();
    let log = world.open();
    let refused = open(world.path()).err().unwrap();
    assert!(matches!(refused, ChainError::Locked { pid: Some(pid), .. } if pid == std::process::id()), "{refused}");
    drop(log);
    world.open();
}

#[tokio::test]
async fn the_log_of_another_name_or_key_is_refused() {
    let world = World::closed(3).await;
    let refused = super::Log::open(world.path(), key(2)).err().unwrap();
    assert!(matches!(refused, ChainError::DamagedFile { .. }), "{refused}");
    let other = ed25519_dalek::SigningKey::from_bytes(&[1; 32]);
    let public = other.verifying_key().to_bytes();
    let key = super::NoteKey::new("tacitly/shop-b", super::KeyUse::Text, &public, other).unwrap();
    let refused = super::Log::open(world.path(), key).err().unwrap();
    assert!(matches!(refused, ChainError::AnotherLog { .. }), "{refused}");
}

#[tokio::test]
async fn an_old_copy_of_a_log_takes_no_more_entries_once_a_peer_says_so() {
    let world = World::closed(10).await;
    let old: Vec<_> = files(world.path());
    let log = world.open();
    world.grow(&log, 10, 20).await;
    let newest = log.checkpoint().unwrap().checkpoint().clone();
    log.peer_cosigned("shop-b", 20, &newest.root).unwrap();
    log.peer_cosigned("shop-b", 10, &root_of((0..10).map(entry))).unwrap();
    log.append(entry(20)).await.unwrap();
    drop(log);
    fs::remove_dir_all(world.path()).unwrap();
    for (path, bytes) in &old {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    let log = world.open();
    log.hold();
    let waiting = tokio::spawn({
        let log = log.clone();
        async move { log.append(entry(10)).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!waiting.is_finished(), "while it is not known whether the copy is old, entries wait");
    log.peer_cosigned("shop-b", 20, &newest.root).unwrap_err();
    log.release();
    for refused in [waiting.await.unwrap().unwrap_err(), log.append(entry(10)).await.unwrap_err()] {
        assert!(matches!(&refused, ChainError::Behind { peer, known: 20, ours: 10 } if peer == "shop-b"), "{refused}");
    }
    assert_eq!(log.head().size, 10);
    assert!(log.entry(9).is_ok(), "what is there can still be read and proven");
    assert!(log.inclusion(9, 10).is_ok());
}

#[tokio::test]
async fn a_peer_that_cosigned_another_history_ends_appending() {
    let world = World::closed(10).await;
    let log = world.open();
    let refused = log.peer_cosigned("shop-b", 7, &root_of((0..7).map(|number| entry(number + 1)))).unwrap_err();
    assert!(matches!(refused, ChainError::Forked { size: 7, .. }));
    assert!(matches!(log.append(entry(10)).await, Err(ChainError::Forked { .. })));
}

#[tokio::test]
async fn a_view_reads_beside_the_writer_and_leaves_nothing_behind() {
    let world = World::closed(600).await;
    let log = world.open();
    let before = files(world.path());
    let view = View::open(world.path()).unwrap();
    let mut seen = Vec::new();
    assert_eq!(view.each_from(598, |index, bytes| seen.push((index, bytes.to_vec()))).unwrap(), 600);
    assert_eq!(seen, [(598, entry(598)), (599, entry(599))]);
    assert_eq!((view.origin(), view.size_at_least()), (ORIGIN, 600));
    assert!(check(world.path()).is_sound());
    assert_eq!(files(world.path()), before);
    log.append(entry(600)).await.unwrap();
    assert_eq!(view.each_from(600, |_, _| panic!("appended after the view was opened")).unwrap(), 600);
}

#[tokio::test]
async fn entries_that_come_together_stand_where_they_were_to_stand_or_nowhere() {
    let world = World::closed(3).await;
    let log = world.open();
    log.append_all(3, (3..700).map(entry).collect()).await.unwrap();
    for place in [0, 699, 701] {
        let refused = log.append_all(place, vec![entry(700), entry(701)]).await.unwrap_err();
        assert!(matches!(refused, ChainError::Taken { asked, next: 700 } if asked == place), "{refused}");
    }
    assert!(matches!(log.append_all(700, vec![entry(700), Vec::new()]).await, Err(ChainError::Length(0))));
    assert_eq!(log.head().root, root_of((0..700).map(entry)));
    // More than one write takes.
    let many = (0..400).map(|number| vec![number as u8; 65_535]);
    log.append_all(700, many.collect()).await.unwrap();
    assert_eq!(log.signed(1100).await.unwrap().checkpoint().root, log.head().root);
    drop(log);
    assert!(check(world.path()).is_sound());
    assert_eq!(world.open().append(entry(700)).await.unwrap().index, 1100);
}

#[tokio::test]
async fn whoever_waits_for_a_held_log_goes_on_when_it_is_released_and_hears_why_it_refuses() {
    let world = World::closed(3).await;
    let log = world.open();
    log.takes_entries().await.unwrap();
    log.hold();
    let waits = |log: &Log| {
        let log = log.clone();
        tokio::spawn(async move { log.takes_entries().await })
    };
    let waiting = waits(&log);
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    log.release();
    waiting.await.unwrap().unwrap();
    log.hold();
    let waiting = waits(&log);
    tokio::task::yield_now().await;
    log.refuse_as_lost(9);
    assert!(matches!(waiting.await.unwrap(), Err(ChainError::Lost { known: 9, ours: 3 })));
}
