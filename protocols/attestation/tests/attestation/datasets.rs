//! Data sets: one record shown, the others hidden.

use tacitly_attestation::dataset::{DatasetSeed, Fingerprinter, Opener, OpenerFault, Opening};
use tacitly_attestation::entry::Fingerprint;
use tacitly_attestation::hash::leaf_hash;

fn record(row: u64) -> Vec<u8> {
    format!("id-{row:018}|name of the customer").into_bytes()
}

fn seed() -> DatasetSeed {
    DatasetSeed::new([42; 32])
}

fn whole(seed: &DatasetSeed, rows: u64) -> Fingerprint {
    let mut fingerprinter = Fingerprinter::new(seed);
    (0..rows).for_each(|row| fingerprinter.push(&record(row)));
    assert_eq!(fingerprinter.rows(), rows);
    fingerprinter.fingerprint()
}

fn open(index: u64, rows: u64) -> (Opening, Fingerprint) {
    let mut opener = Opener::new(&seed(), index, rows).unwrap();
    (0..rows).for_each(|row| opener.push(&record(row)));
    opener.finish().unwrap()
}

#[test]
fn every_record_of_a_data_set_opens_and_belongs_to_no_other() {
    for rows in [1, 2, 3, 7, 8, 33, 100] {
        let fingerprint = whole(&seed(), rows);
        for index in 0..rows {
            let (opening, found) = open(index, rows);
            assert_eq!(found, fingerprint);
            let read = Opening::parse(&opening.encode().unwrap()).unwrap();
            assert_eq!((read.index(), read.rows()), (index, rows));
            assert_eq!(read.verify(&fingerprint).unwrap(), record(index));
            assert!(read.verify(&whole(&seed(), rows + 1)).is_err());
        }
    }
}

#[test]
fn another_seed_or_one_changed_record_gives_another_fingerprint() {
    let fingerprint = whole(&seed(), 10);
    assert_ne!(whole(&DatasetSeed::new([43; 32]), 10), fingerprint);
    assert_ne!(whole(&seed(), 9), fingerprint);
    let mut changed = Fingerprinter::new(&seed());
    (0..10).for_each(|row| changed.push(&record(if row == 5 { 999 } else { row })));
    assert_ne!(changed.fingerprint(), fingerprint);
    assert_ne!(Fingerprinter::new(&seed()).fingerprint(), fingerprint);
}

#[test]
fn leaves_made_elsewhere_and_in_any_order_give_the_same_fingerprint() {
    let mut fingerprinter = Fingerprinter::new(&seed());
    let leaves = fingerprinter.leaves();
    let mut made: Vec<_> = (0..37).rev().map(|row| leaves.leaf(row, &record(row))).collect();
    assert_ne!(leaves.leaf(1, &record(0)), leaves.leaf(0, &record(0)), "a leaf belongs to its place");
    made.reverse();
    made.into_iter().for_each(|leaf| fingerprinter.push_leaf(leaf));
    assert_eq!((fingerprinter.rows(), fingerprinter.fingerprint()), (37, whole(&seed(), 37)));
}

#[test]
fn equal_records_have_different_leaves_so_that_guesses_cannot_be_tested() {
    let mut first = Opener::new(&seed(), 0, 4).unwrap();
    let mut second = Opener::new(&seed(), 1, 4).unwrap();
    (0..4).for_each(|_| {
        first.push(b"same");
        second.push(b"same");
    });
    // The first hash of a path is the neighbour's leaf: the neighbours are each other's.
    let leaves = [first.finish().unwrap().0, second.finish().unwrap().0].map(|opening| {
        let text = String::from_utf8(opening.encode().unwrap()).unwrap();
        let json: serde_json::Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
        json["path"][0].as_str().unwrap().to_owned()
    });
    assert_ne!(leaves[0], leaves[1]);
    assert!(!leaves.contains(&leaf_hash(b"same").to_string()));
}

#[test]
fn any_changed_byte_of_an_opening_is_refused() {
    let (opening, fingerprint) = open(11, 20);
    let bytes = opening.encode().unwrap();
    for at in 0..bytes.len() {
        for mask in [1, 0x20, 0x80] {
            let mut changed = bytes.clone();
            changed[at] ^= mask;
            let holds = Opening::parse(&changed).is_ok_and(|opening| opening.verify(&fingerprint).is_ok());
            assert!(!holds, "byte {at} ^ {mask:#04x}");
        }
    }
}

#[test]
fn what_is_not_an_opening_is_refused() {
    let (opening, _) = open(1, 3);
    let text = String::from_utf8(opening.encode().unwrap()).unwrap();
    for bad in [
        String::new(),
        text.replace("@v1", "@v2"),
        text.replace("\"rows\":3", "\"rows\":\"3\""),
        text.replace("\"rows\":3", "\"more\":1,\"rows\":3"),
        text.replace("\"index\":1,", ""),
        text.trim_end().to_owned(),
    ] {
        assert!(Opening::parse(bad.as_bytes()).is_err(), "{bad}");
    }
    let mut long = Opener::new(&seed(), 0, 1).unwrap();
    long.push(&vec![0; Opening::MAX_RECORD + 1]);
    assert!(long.finish().unwrap().0.encode().is_err());
}

#[test]
fn an_opener_that_saw_other_rows_says_so() {
    assert_eq!(Opener::new(&seed(), 3, 3).err(), Some(OpenerFault::NoSuchRecord { index: 3, rows: 3 }));
    for found in [0, 2, 4] {
        let mut opener = Opener::new(&seed(), 1, 3).unwrap();
        (0..found).for_each(|row| opener.push(&record(row)));
        assert_eq!(opener.finish().err(), Some(OpenerFault::OtherRows { found, rows: 3 }));
    }
}
