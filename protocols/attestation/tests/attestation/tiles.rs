//! A log as files: names, widths, and the same proofs from tiles as from memory.

use std::cell::Cell;
use std::collections::BTreeMap;

use tacitly_attestation::tree::{
    HashSource, MAX_ENTRY_BYTES, MalformedBundle, MemoryTree, Node, Tile, TileHashes, TileKind, TileReadError,
    TileSource, decode_bundle, encode_bundle, prove_consistency, prove_inclusion, root_at,
};

use super::support::levels;

/// Files in memory, and how often one was read.
struct Files {
    files: BTreeMap<String, Vec<u8>>,
    reads: Cell<usize>,
}

impl TileSource for &Files {
    type Error = String;

    fn read(&mut self, tile: Tile) -> Result<Vec<u8>, String> {
        self.reads.set(self.reads.get() + 1);
        self.files.get(&tile.to_string()).cloned().ok_or_else(|| format!("no {tile}"))
    }
}

/// Writes the hash tiles of a log as it grows from one size to the next.
fn write(files: &mut BTreeMap<String, Vec<u8>>, log: &MemoryTree, old: u64, new: u64) {
    for tile in Tile::changed(old, new) {
        let TileKind::Hashes { level } = tile.kind else { continue };
        let first = tile.index * 256;
        let hashes = (first..first + u64::from(tile.width))
            .map(|index| HashSource::hash(&mut &*log, Node { level: level * 8, index }).unwrap());
        files.insert(tile.to_string(), hashes.flat_map(|hash| hash.0).collect());
    }
}

#[test]
fn proofs_from_tiles_are_those_from_memory() {
    for size in [1, 2, 255, 256, 257, 511, 512, 1000, 65_536, 70_000] {
        let log = levels(size);
        let mut files = BTreeMap::new();
        write(&mut files, &log, 0, size);
        let files = Files { files, reads: Cell::new(0) };
        let mut tiles = TileHashes::new(&files, size);
        assert_eq!(root_at(&mut tiles, size).unwrap(), log.root(), "{size}");
        for index in [0, size / 3, size / 2, size - 1] {
            let expected = prove_inclusion(&mut &log, index, size).unwrap();
            assert_eq!(prove_inclusion(&mut tiles, index, size).unwrap(), expected, "{index} of {size}");
            let expected = prove_consistency(&mut &log, index, size).unwrap();
            assert_eq!(prove_consistency(&mut tiles, index, size).unwrap(), expected, "{index} to {size}");
        }
    }
}

#[test]
fn one_inclusion_proof_in_200_000_entries_reads_five_files() {
    let size = 200_000;
    let log = levels(size);
    let mut files = BTreeMap::new();
    write(&mut files, &log, 0, size);
    let files = Files { files, reads: Cell::new(0) };
    let proof = prove_inclusion(&mut TileHashes::new(&files, size), 123_456, size).unwrap();
    assert_eq!((proof.len(), files.reads.get()), (18, 5));
}

#[test]
fn a_grown_file_serves_an_older_tree_and_a_short_or_odd_one_does_not() {
    let log = levels(300);
    let mut files = BTreeMap::new();
    write(&mut files, &log, 0, 300);
    // The file of the older, narrower tile is gone; the full one has the same beginning.
    files.insert("tile/0/000.p/200".to_owned(), files["tile/0/000"].clone());
    let grown = Files { files: files.clone(), reads: Cell::new(0) };
    assert_eq!(root_at(&mut TileHashes::new(&grown, 200), 200).unwrap(), root_at(&mut &log, 200).unwrap());

    for length in [0, 31, 33, 199 * 32, 257 * 32] {
        files.insert("tile/0/000.p/200".to_owned(), vec![0; length]);
        let files = Files { files: files.clone(), reads: Cell::new(0) };
        let read = TileHashes::new(&files, 200).hash(Node { level: 0, index: 0 });
        let tile = Tile::in_tree(TileKind::Hashes { level: 0 }, 0, 200).unwrap();
        assert_eq!(read, Err(TileReadError::WrongLength(tile, length)));
    }
    let files = Files { files: BTreeMap::new(), reads: Cell::new(0) };
    let outside = Node { level: 0, index: 200 };
    assert_eq!(TileHashes::new(&grown, 200).hash(outside), Err(TileReadError::NoSuchNode(outside)));
    let absurd = Node { level: 255, index: u64::MAX };
    assert_eq!(TileHashes::new(&files, u64::MAX).hash(absurd), Err(TileReadError::NoSuchNode(absurd)));
}

#[test]
fn growing_step_by_step_writes_every_file_of_the_final_tree() {
    let log = levels(70_000);
    let mut at_once = BTreeMap::new();
    write(&mut at_once, &log, 0, 70_000);
    let mut stepwise = BTreeMap::new();
    let mut size = 0;
    for step in (1..).map(|step| step * 97) {
        let next = (size + step).min(70_000);
        write(&mut stepwise, &log, size, next);
        size = next;
        if size == 70_000 {
            break;
        }
    }
    for (path, bytes) in &at_once {
        assert_eq!(stepwise.get(path), Some(bytes), "{path}");
    }
    assert_eq!(Tile::changed(70_000, 70_000).count(), 0);
    assert_eq!(Tile::changed(70_000, 69_000).count(), 0);
}

#[test]
fn the_tree_of_70_000_leaves_has_the_files_that_the_specification_lists() {
    let tiles: Vec<Tile> = Tile::changed(0, 70_000).collect();
    let of = |kind| tiles.iter().filter(move |tile| tile.kind == kind).copied().collect::<Vec<_>>();
    let leaves = of(TileKind::Hashes { level: 0 });
    assert_eq!(leaves.iter().filter(|tile| tile.is_full()).count(), 273);
    assert_eq!(leaves.last().map(Tile::to_string).unwrap(), "tile/0/273.p/112");
    let names: Vec<String> = of(TileKind::Hashes { level: 1 }).iter().map(Tile::to_string).collect();
    assert_eq!(names, ["tile/1/000", "tile/1/001.p/17"]);
    let names: Vec<String> = of(TileKind::Hashes { level: 2 }).iter().map(Tile::to_string).collect();
    assert_eq!(names, ["tile/2/000.p/1"]);
    assert_eq!(of(TileKind::Entries).len(), 274);
}

#[test]
fn a_path_has_one_spelling() {
    for path in [
        "tile/0/000",
        "tile/0/x001/x234/067",
        "tile/0/x001/x234/067.p/1",
        "tile/63/999.p/255",
        "tile/entries/x018/x446/x744/x073/x709/x551/615",
    ] {
        assert_eq!(Tile::parse(path).unwrap().to_string(), path);
    }
    for path in [
        "",
        "tile",
        "tile/0",
        "tile/0/",
        "tile/0/0",
        "tile/0/1234",
        "tile/0/x000/001",
        "tile/0/001/234",
        "tile/0/x001/x234",
        "tile/0/x001/234/",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        ".p/0",
        "tile/0/.p/5",
        "tile/0/+01",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
        "/tile/0/000",
        "tile/data/000",
    ] {
        assert!(Tile::parse(path).is_err(), "{path}");
    }
}

#[test]
fn a_bundle_reads_back_and_a_cut_one_names_the_entry() {
    let entries: Vec<&[u8]> = vec![b"", b"one", &[0; 1000]];
    let bundle = encode_bundle(entries.iter().copied()).unwrap();
    assert_eq!(decode_bundle(&bundle).unwrap(), entries);
    assert_eq!(decode_bundle(b"").unwrap(), Vec::<&[u8]>::new());
    assert_eq!(decode_bundle(&bundle[..6]), Err(MalformedBundle::Truncated(1)));
    assert_eq!(decode_bundle(&bundle[..bundle.len() - 1]), Err(MalformedBundle::Truncated(2)));
    assert_eq!(decode_bundle(&[0]), Err(MalformedBundle::Truncated(0)));
    assert_eq!(decode_bundle(&[0; 2 * 257]), Err(MalformedBundle::TooMany));
    assert_eq!(encode_bundle([&[][..]; 257]), Err(MalformedBundle::TooMany));
    let long = vec![0; MAX_ENTRY_BYTES + 1];
    assert_eq!(encode_bundle([&long[..]]), Err(MalformedBundle::EntryTooLong(0)));
    assert_eq!(encode_bundle([&long[1..]]).unwrap().len(), MAX_ENTRY_BYTES + 2);
}
