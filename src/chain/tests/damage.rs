//! Whatever is changed by hand is found, and named.

use std::fs;
use std::path::Path;

use ed25519_dalek::SigningKey;
use tacitly_attestation::hash::leaf_hash;
use tacitly_attestation::note::{KeyRing, KeyUse, VerifierKey};
use tacitly_attestation::witness::{AddCheckpoint, WitnessState};

use super::super::segment::{HEADER, first_line};
use super::{ChainError, Log, ORIGIN, World, check, entry, files, key, open};

/// Where each of the first entries stands in the segment, the end last.
fn offsets(size: u64) -> Vec<usize> {
    let mut at = first_line(ORIGIN).len();
    let mut offsets = vec![at];
    for number in 0..size {
        at += HEADER + entry(number).len();
        offsets.push(at);
    }
    offsets
}

/// Puts the folder back as it was.
fn restore(folder: &Path, whole: &[(std::path::PathBuf, Vec<u8>)]) {
    for (path, _) in files(folder) {
        if !whole.iter().any(|(kept, _)| *kept == path) {
            fs::remove_file(path).unwrap();
        }
    }
    whole.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
}

#[tokio::test]
async fn immudb_2063_a_stored_value_edited_by_hand_fails_the_audit_which_names_the_entry() {
    let world = World::closed(300).await;
    let (segment, offsets) = (world.file("segment"), offsets(300));
    let whole = fs::read(&segment).unwrap();
    for number in [0, 41, 255, 256, 299] {
        // The value alone.
        let mut edited = whole.clone();
        edited[offsets[number] + HEADER] = b'E';
        fs::write(&segment, &edited).unwrap();
        let report = check(world.path());
        assert!(report.findings.iter().any(|finding| finding.entry == Some(number as u64)), "{number}: {report:?}");
        assert!(report.findings[0].what.contains(&format!("entry {number} ")), "{report:?}");
        let refused = open(world.path()).err().unwrap();
        assert!(matches!(refused, ChainError::Damaged { entry, .. } if entry == number as u64), "{refused}");
        // The value and the hash beside it, so that the record is sound by itself.
        let end = offsets[number + 1];
        let leaf = leaf_hash(&edited[offsets[number] + HEADER..end]);
        edited[offsets[number] + 10..offsets[number] + HEADER].copy_from_slice(&leaf.0);
        fs::write(&segment, &edited).unwrap();
        let report = check(world.path());
        assert!(report.findings.iter().any(|finding| finding.entry == Some(number as u64)), "{number}: {report:?}");
        assert!(report.findings.iter().any(|finding| finding.file == Path::new("checkpoint")), "{report:?}");
        let refused = open(world.path()).err().unwrap();
        assert!(matches!(refused, ChainError::WrongRoot { size: 300, .. }), "{refused}");
        // The tiles as well: nothing but the signed root can tell, and it does.
        let tiles = world.file("tile");
        let kept = files(&tiles);
        let _ = fs::remove_dir_all(&tiles);
        let report = check(world.path());
        assert!(report.findings.iter().any(|finding| finding.file == Path::new("checkpoint")), "{report:?}");
        for (path, bytes) in &kept {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
    fs::write(&segment, &whole).unwrap();
    assert!(check(world.path()).is_sound());
    open(world.path()).unwrap();
}

#[tokio::test]
async fn a_flipped_bit_in_any_file_is_found_and_the_entry_or_the_file_is_named() {
    let world = World::closed(260).await;
    let log = world.open();
    while !world.file("index").exists() {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    // With what a witness and a mirror have signed.
    let newest = log.checkpoint().unwrap();
    for (name, byte) in [("tacitly/shop/witness", 7), ("tacitly/shop/mirror", 8)] {
        let private = SigningKey::from_bytes(&[byte; 32]);
        let key = VerifierKey::of(name, KeyUse::Cosignature, &private).unwrap();
        let request = AddCheckpoint { old: 0, proof: Vec::new(), checkpoint: (*newest).clone() };
        let state = WitnessState::new(ORIGIN, KeyRing::from_iter([log.key().public().clone()]));
        let line = state.consider(&request, 1).unwrap().stored().cosign(&key, &private).unwrap();
        if byte == 7 {
            log.add_cosignature(&newest, line, &key).unwrap();
        } else {
            log.add_kept(&newest, line, &key).unwrap();
        }
    }
    drop(log);
    let whole = files(world.path());
    let offsets = offsets(260);
    let mut flips = 0;
    for (path, bytes) in &whole {
        let name = path.strip_prefix(world.path()).unwrap();
        // Every byte of the small files, every hundredth of the others, another bit each time.
        let step = if bytes.len() > 3000 { 101 } else { 1 };
        for at in (0..bytes.len()).step_by(step) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            fs::write(path, &flipped).unwrap();
            let report = match super::fsck(world.path(), &[key(1).public().clone()].into_iter().collect(), None) {
                Ok(report) => report,
                Err(error @ ChainError::DamagedFile { .. }) => {
                    assert!(error.to_string().contains(&name.display().to_string()), "{name:?} {at}: {error}");
                    continue;
                }
                Err(error) => panic!("{name:?} {at}: {error}"),
            };
            flips += 1;
            let named = report.findings.iter().any(|finding| finding.file == name);
            let named = named || (name == Path::new("segment") && at < offsets[0] && !report.is_sound());
            assert!(named, "{name:?} {at}: {report:?}");
            if name == Path::new("segment") && at >= offsets[0] {
                let entry = offsets.iter().rposition(|offset| *offset <= at).unwrap() as u64;
                assert!(report.findings.iter().any(|finding| finding.entry == Some(entry)), "{at}: {report:?}");
            }
        }
        fs::write(path, bytes).unwrap();
    }
    assert!(flips > 500, "{flips}");
    restore(world.path(), &whole);
    assert!(check(world.path()).is_sound());
}

/// What others have signed can be had again: whatever is damaged in it keeps nothing from starting.
#[tokio::test]
async fn damaged_cosignatures_are_removed_at_the_next_start_and_sound_ones_stay() {
    let world = World::closed(20).await;
    let log = world.open();
    let newest = log.checkpoint().unwrap();
    let cosign = |log: &Log, name: &str, byte: u8| {
        let private = SigningKey::from_bytes(&[byte; 32]);
        let key = VerifierKey::of(name, KeyUse::Cosignature, &private).unwrap();
        let request = AddCheckpoint { old: 0, proof: Vec::new(), checkpoint: (*newest).clone() };
        let state = WitnessState::new(ORIGIN, KeyRing::from_iter([log.key().public().clone()]));
        (state.consider(&request, 1).unwrap().stored().cosign(&key, &private).unwrap(), key)
    };
    for (name, byte) in [("tacitly/shop/witness", 7), ("tacitly/fund/witness", 9)] {
        let (line, key) = cosign(&log, name, byte);
        log.add_cosignature(&newest, line, &key).unwrap();
    }
    let (line, key) = cosign(&log, "tacitly/shop/mirror", 8);
    log.add_kept(&newest, line, &key).unwrap();
    drop(log);
    let whole = files(world.path());
    let mut removed = 0;
    for (path, bytes) in &whole {
        let name = path.strip_prefix(world.path()).unwrap().to_string_lossy().into_owned();
        if !name.starts_with("cosigned/") && !name.starts_with("kept/") {
            continue;
        }
        for at in 0..=bytes.len() {
            restore(world.path(), &whole);
            let mut damaged = bytes.clone();
            match damaged.get_mut(at) {
                Some(byte) => *byte ^= 1 << (at % 8),
                None => damaged = vec![b'x'; 2 << 20],
            }
            fs::write(path, &damaged).unwrap();
            let log = world.open();
            let (cosigned, mirrors) = (log.cosigned(), log.mirror_cosignatures());
            let witnesses = cosigned.newest().len();
            for checkpoint in cosigned.checkpoints() {
                assert!(checkpoint.is_of(log.key().public()), "{name} {at}");
                let known = checkpoint.verify(cosigned.keys()).unwrap().len();
                assert_eq!(known + 1, checkpoint.signatures().len(), "{name} {at}: a line of nobody is left");
            }
            assert!(witnesses <= 2 && mirrors.newest().len() <= 1);
            removed += u32::from(witnesses < 2 || mirrors.newest().is_empty());
            drop(log);
            assert!(check(world.path()).is_sound(), "{name} {at}");
        }
    }
    assert!(removed > 300, "{removed}");
    // And witnesses cosign again.
    let log = world.open();
    for (name, byte) in [("tacitly/shop/witness", 7), ("tacitly/fund/witness", 9)] {
        let (line, key) = cosign(&log, name, byte);
        log.add_cosignature(&newest, line, &key).unwrap();
    }
    assert_eq!(log.cosigned().newest().len(), 2);
}

#[tokio::test]
async fn a_tail_torn_at_any_byte_goes_and_nothing_acknowledged_before_it() {
    let world = World::closed(5).await;
    let whole = files(world.path());
    let log = world.open();
    World::fill(&log, 5, 8).await;
    drop(log);
    let grown = fs::read(world.file("segment")).unwrap();
    let offsets = offsets(8);
    assert_eq!(grown.len(), offsets[8]);
    for end in offsets[5]..=grown.len() {
        restore(world.path(), &whole);
        fs::write(world.file("segment"), &grown[..end]).unwrap();
        let report = check(world.path());
        assert!(report.is_sound(), "{report:?}");
        let kept = offsets.iter().rposition(|offset| *offset <= end).unwrap() as u64;
        assert_eq!((report.entries, report.unfinished_bytes), (kept, (end - offsets[kept as usize]) as u64));
        let log = world.open();
        assert_eq!(log.head().size, kept, "cut at {end}");
        assert_eq!(log.append(b"next".to_vec()).await.unwrap().index, kept);
        drop(log);
        assert!(check(world.path()).is_sound());
    }
    // What is signed is no tail.
    for end in [offsets[5] - 1, offsets[4], offsets[0] + 1, offsets[0]] {
        restore(world.path(), &whole);
        fs::write(world.file("segment"), &grown[..end]).unwrap();
        let entry = offsets.iter().rposition(|offset| *offset <= end).unwrap() as u64;
        let refused = open(world.path()).err().unwrap();
        assert!(matches!(refused, ChainError::Damaged { entry: found, .. } if found == entry), "{end}: {refused}");
        assert!(check(world.path()).findings.iter().any(|finding| finding.entry == Some(entry)), "{end}");
    }
}

#[tokio::test]
async fn a_flaw_in_an_unsigned_entry_is_damage_and_no_torn_tail_when_a_later_write_is_there() {
    let world = World::new();
    let log = world.open();
    for number in 0..4 {
        log.append(entry(number)).await.unwrap();
    }
    drop(log);
    // As if the process had been killed before it signed anything.
    fs::remove_file(world.file("checkpoint")).unwrap();
    let whole = fs::read(world.file("segment")).unwrap();
    let offsets = offsets(4);
    for number in 0..4 {
        for at in [0, 1, 5, 12, HEADER, HEADER + 3] {
            let mut flipped = whole.clone();
            flipped[offsets[number] + at] ^= 0x10;
            fs::write(world.file("segment"), &flipped).unwrap();
            if number < 3 {
                let refused = open(world.path()).err().unwrap();
                assert!(
                    matches!(refused, ChainError::Damaged { entry, .. } if entry == number as u64),
                    "{number} {at}: {refused}"
                );
            } else {
                assert_eq!(open(world.path()).unwrap().head().size, 3);
                let cut = world.file(&format!("cut-{}", offsets[3]));
                assert_eq!(fs::read(&cut).unwrap(), flipped[offsets[3]..], "what was cut off is kept");
            }
            let _ = fs::remove_file(world.file("checkpoint"));
        }
    }
}

#[tokio::test]
async fn a_bit_that_flips_between_acknowledgement_and_signature_is_not_signed() {
    let world = World::closed(3).await;
    let log = world.open();
    let before = log.checkpoint().unwrap();
    let leaf = log.append(entry(3)).await.unwrap();
    let (segment, offsets) = (world.file("segment"), offsets(4));
    let mut bytes = fs::read(&segment).unwrap();
    bytes[offsets[3] + HEADER + 1] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    let refused = log.signed(4).await.unwrap_err();
    assert!(matches!(refused, ChainError::Damaged { entry: 3, .. }), "{refused}");
    assert_eq!(leaf.index, 3);
    assert_eq!(log.checkpoint().unwrap(), before);
    assert!(matches!(log.append(entry(4)).await, Err(ChainError::Damaged { entry: 3, .. })));
}

#[tokio::test]
async fn a_segment_that_is_lost_or_of_another_version_is_not_begun_anew() {
    let world = World::closed(3).await;
    let segment = world.file("segment");
    let whole = fs::read(&segment).unwrap();
    fs::remove_file(&segment).unwrap();
    let refused = open(world.path()).err().unwrap();
    assert!(matches!(refused, ChainError::Damaged { entry: 0, .. }), "{refused}");
    assert!(!segment.exists());
    let mut newer = whole.clone();
    newer[first_line("").len() - 3] = b'2';
    fs::write(&segment, &newer).unwrap();
    let refused = open(world.path()).err().unwrap();
    assert!(matches!(refused, ChainError::OtherVersion { version: 2, .. }), "{refused}");
    fs::write(&segment, &whole).unwrap();
    assert_eq!(world.open().head().size, 3);
}

#[tokio::test]
async fn a_segment_taken_away_under_the_log_is_noticed_before_anything_is_appended() {
    for replaced in [false, true] {
        let world = World::closed(3).await;
        let log = world.open();
        assert!(log.refusal().is_none());
        fs::rename(world.file("segment"), world.file("aside")).unwrap();
        if replaced {
            fs::copy(world.file("aside"), world.file("segment")).unwrap();
        }
        assert!(matches!(log.refusal(), Some(ChainError::Moved { .. })));
        assert!(matches!(log.append(entry(3)).await, Err(ChainError::Moved { .. })));
    }
}

#[tokio::test]
async fn proofs_are_not_handed_out_from_altered_tiles_and_the_next_start_mends_them() {
    let world = World::closed(600).await;
    let log = world.open();
    let tile = world.file("tile/0/001");
    let mut bytes = fs::read(&tile).unwrap();
    bytes[40] ^= 1;
    fs::write(&tile, &bytes).unwrap();
    assert!(matches!(log.inclusion(300, 600), Err(ChainError::DamagedFile { .. })));
    assert!(matches!(log.consistency(300, 600), Err(ChainError::DamagedFile { .. })));
    drop(log);
    assert!(world.open().inclusion(300, 600).is_ok());
    assert!(check(world.path()).is_sound());
}
