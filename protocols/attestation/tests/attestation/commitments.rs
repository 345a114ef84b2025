//! Commitments: bound to their subject, salt and bytes; alone or in a batch.

use std::collections::{BTreeMap, BTreeSet};

use tacitly_attestation::commitment::{Batch, Salt, SaltSeed, Subject, commit, commit_all, opens, verify_in_batch};
use tacitly_attestation::entry::Commitment;
use tacitly_attestation::transcript::Transcript;

use super::support::{party, shares};

#[test]
fn a_commitment_opens_to_its_own_value_under_its_own_salt_and_subject() {
    let salt = Salt::new([7; 32]);
    let committed = commit(Subject::Query, &salt, b"value");
    assert!(opens(&committed, Subject::Query, &salt, b"value"));
    assert!(!opens(&committed, Subject::Query, &salt, b"valuf"));
    assert!(!opens(&committed, Subject::Query, &Salt::new([8; 32]), b"value"));
    assert!(!opens(&committed, Subject::Output, &salt, b"value"));
    let subjects = [
        Subject::Query,
        Subject::Answer,
        Subject::Output,
        Subject::Authorisation,
        Subject::Basis,
        Subject::Hits,
        Subject::Metric,
        Subject::Evidence,
    ];
    let all: BTreeSet<Commitment> = subjects.into_iter().map(|subject| commit(subject, &salt, b"value")).collect();
    assert_eq!(all.len(), subjects.len());
}

#[test]
fn a_joint_salt_depends_on_every_share_and_on_who_gave_it() {
    let salt = Salt::joint(&shares());
    let swapped = BTreeMap::from([(party("bank-a"), [2; 32]), (party("shop-b"), [1; 32])]);
    let renamed = BTreeMap::from([(party("bank-a"), [1; 32]), (party("shop-c"), [2; 32])]);
    for other in [swapped, renamed, BTreeMap::from([(party("bank-a"), [1; 32])])] {
        assert_ne!(Salt::joint(&other).expose(), salt.expose());
    }
    assert_eq!(Salt::joint(&shares()).expose(), salt.expose());
}

#[test]
fn one_of_a_batch_opens_alone_and_the_number_is_bound() {
    let commitments: Vec<Commitment> =
        (0..100u8).map(|at| commit(Subject::Query, &Salt::new([at; 32]), &[at])).collect();
    let batch = Batch::of(&commitments);
    let whole = batch.commitment();
    for (at, commitment) in commitments.iter().enumerate() {
        let proof = batch.prove(at as u64).unwrap();
        assert_eq!(verify_in_batch(&whole, commitment, at as u64, 100, &proof), Ok(()));
        assert!(verify_in_batch(&whole, commitment, at as u64, 101, &proof).is_err());
        assert!(verify_in_batch(&whole, &commitments[(at + 1) % 100], at as u64, 100, &proof).is_err());
    }
    assert_eq!(batch.prove(100), None);
    // The path of the first of 3 leads to the root of 3 and of 4 leaves alike; the size is hashed in for that reason.
    let three = Batch::of(&commitments[..3]);
    let proof = three.prove(0).unwrap();
    assert!(verify_in_batch(&three.commitment(), &commitments[0], 0, 3, &proof).is_ok());
    assert!(verify_in_batch(&three.commitment(), &commitments[0], 0, 4, &proof).is_err());
}

#[test]
fn both_ends_of_a_link_have_the_same_transcript_unless_a_message_differs() {
    let of = |messages: &[&[u8]]| {
        let mut transcript = Transcript::new();
        messages.iter().for_each(|message| transcript.absorb(message));
        (transcript.digest(), transcript.bytes())
    };
    assert_eq!(of(&[b"one", b"two"]), of(&[b"one", b"two"]));
    assert_eq!(of(&[b"one", b"two"]).1, 6);
    for other in [&[&b"two"[..], b"one"][..], &[b"onetwo"], &[b"one", b"two", b""], &[b"one"], &[]] {
        assert_ne!(of(other).0, of(&[b"one", b"two"]).0);
    }
}

#[test]
fn a_list_is_committed_to_under_one_seed_and_each_of_its_values_opens_alone() {
    let (seed, other) = (SaltSeed::new([7; 32]), SaltSeed::new([8; 32]));
    let values: [&[u8]; 3] = [b"a", b"b", b"b"];
    let of = |seed: &SaltSeed, values: &[&[u8]]| commit_all(Subject::Answer, seed, values.iter().copied());
    assert_eq!(of(&seed, &[]), None);
    let one = of(&seed, &values[..1]).unwrap();
    assert!(opens(&one, Subject::Answer, &seed.salt(0), b"a"), "a list of one is a commitment like any other");
    let all = of(&seed, &values).unwrap();
    let each: Vec<Commitment> =
        (0..).zip(values).map(|(at, value)| commit(Subject::Answer, &seed.salt(at), value)).collect();
    assert_ne!(each[1], each[2], "equal values have salts of their own");
    assert_eq!(Batch::of(&each).commitment(), all);
    assert_eq!(verify_in_batch(&all, &each[2], 2, 3, &Batch::of(&each).prove(2).unwrap()), Ok(()));
    for changed in [of(&other, &values), of(&seed, &values[..2]), of(&seed, &[b"b", b"a", b"b"])] {
        assert_ne!(changed, Some(all));
    }
}
