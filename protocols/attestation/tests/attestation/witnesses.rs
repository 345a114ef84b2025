//! A witness: one history, whoever asks, in whatever order.

use tacitly_attestation::checkpoint::SignedCheckpoint;
use tacitly_attestation::hash::{Hash, empty_root, leaf_hash};
use tacitly_attestation::note::KeyRing;
use tacitly_attestation::tree::MemoryTree;
use tacitly_attestation::witness::{
    AddCheckpoint, ForkEvidence, ForkFault, Head, MalformedRequest, WitnessRefusal, WitnessState,
};

use super::support::{NOW, checkpoint, levels, log_key, origin, request, witness_key};

fn keys() -> KeyRing {
    [log_key("bank-a").public].into_iter().collect()
}

fn fresh() -> WitnessState {
    WitnessState::new(origin("bank-a").as_str(), keys())
}

/// A witness that has cosigned the first `size` leaves of the common tree.
fn at(size: u64) -> WitnessState {
    let mut state = fresh();
    let advance = state.consider(&request(&levels(size), 0, size), NOW).unwrap();
    state.apply(&advance).unwrap();
    state
}

#[test]
fn a_log_that_grows_is_cosigned_step_by_step() {
    let log = levels(300);
    let mut state = fresh();
    let mut old = 0;
    for new in [0, 1, 1, 2, 7, 8, 100, 256, 300, 300] {
        let request = AddCheckpoint::parse(&request(&log, old, new).encode()).unwrap();
        let advance = state.consider(&request, NOW + new).unwrap();
        state.apply(&advance).unwrap();
        let mut cosigned = request.checkpoint.clone();
        let key = witness_key("shop-b");
        cosigned.add(advance.stored().cosign(&key.public, &key.private).unwrap());
        let ring = [key.public].into_iter().collect();
        assert_eq!(cosigned.verify(&ring).unwrap()[0].time, Some(NOW + new));
        assert_eq!(state.size(), new);
        old = new;
    }
}

#[test]
fn an_old_size_conflicts_and_the_answer_names_the_known_one() {
    let log = levels(20);
    let state = at(10);
    for old in [0, 5, 9, 11, 20] {
        let refusal = state.consider(&request(&log, old, 20), NOW).unwrap_err();
        assert_eq!((refusal.http_status(), refusal), (409, WitnessRefusal::Conflict { known: 10 }), "{old}");
    }
    let refusal = state.consider(&request(&log, 0, 5), NOW).unwrap_err();
    assert_eq!(refusal, WitnessRefusal::Conflict { known: 10 });
    assert_eq!(state.consider(&request(&log, 10, 20), NOW).unwrap().before().map(|head| head.time), Some(NOW));
}

#[test]
fn the_same_size_with_another_root_is_a_fork_and_the_evidence_convicts_the_log() {
    let state = at(10);
    let other = checkpoint("bank-a", 10, Hash::of(b"another history"));
    for old in [0, 3, 10] {
        let request = AddCheckpoint { old, proof: vec![], checkpoint: other.clone() };
        let refusal = state.consider(&request, NOW).unwrap_err();
        assert_eq!(refusal.http_status(), 409);
        let WitnessRefusal::Fork(evidence) = refusal else { panic!("{refusal}") };
        assert_eq!(evidence.size(), 10);
        let read = ForkEvidence::parse(&evidence.encode()).unwrap();
        assert_eq!(read, *evidence);
        assert_eq!(read.verify(&keys()), Ok(()));
        assert_eq!(read.verify(&[log_key("shop-b").public].into_iter().collect()), Err(ForkFault::NotSigned));
    }
    let head = state.head().unwrap().checkpoint.clone();
    let harmless = ForkEvidence { known: head.clone(), offered: head.clone(), proof: vec![] };
    assert_eq!(harmless.verify(&keys()), Err(ForkFault::NoContradiction));
    let unsigned = SignedCheckpoint::new(other.checkpoint()).unwrap();
    let unsigned = ForkEvidence { known: head, offered: unsigned, proof: vec![] };
    assert_eq!(unsigned.verify(&keys()), Err(ForkFault::NotSigned));
}

#[test]
fn a_proof_of_another_history_or_a_stale_one_is_refused() {
    let log = levels(20);
    let state = at(10);
    let good = request(&log, 10, 20);
    let stale = AddCheckpoint { proof: request(&log, 8, 20).proof, ..good.clone() };
    let none = AddCheckpoint { proof: vec![], ..good.clone() };
    let forked = AddCheckpoint { checkpoint: checkpoint("bank-a", 20, Hash::of(b"another history")), ..good.clone() };
    let spare = AddCheckpoint { proof: [&good.proof[..], &[Hash::of(b"spare")]].concat(), ..good };
    for bad in [stale, none, forked, spare] {
        let refusal = state.consider(&bad, NOW).unwrap_err();
        assert_eq!((refusal.http_status(), refusal), (422, WitnessRefusal::Inconsistent));
    }
    let first = AddCheckpoint { proof: vec![Hash::of(b"x")], ..request(&log, 0, 20) };
    assert_eq!(fresh().consider(&first, NOW), Err(WitnessRefusal::Inconsistent));
    let void = AddCheckpoint { old: 0, proof: vec![], checkpoint: checkpoint("bank-a", 0, Hash::of(b"not empty")) };
    assert_eq!(fresh().consider(&void, NOW), Err(WitnessRefusal::Inconsistent));
    let void = AddCheckpoint { checkpoint: checkpoint("bank-a", 0, empty_root()), ..void };
    assert!(fresh().consider(&void, NOW).is_ok());
}

#[test]
fn a_log_that_proves_another_history_of_a_larger_size_convicts_itself() {
    let mut other = MemoryTree::new();
    (0..30_u64).for_each(|index| other.push(leaf_hash(&(index + u64::from(index > 2) * 99).to_be_bytes())));
    for known in 4..20 {
        let state = at(known);
        for new in known + 1..30 {
            let refusal = state.consider(&request(&other, known, new), NOW).unwrap_err();
            assert_eq!(refusal.http_status(), 422);
            // The proof from a power of two begins with the root that it should show.
            if known.is_power_of_two() {
                assert_eq!(refusal, WitnessRefusal::Inconsistent);
                continue;
            }
            let WitnessRefusal::Fork(evidence) = refusal else { panic!("{known} {new}: {refusal}") };
            let read = ForkEvidence::parse(&evidence.encode()).unwrap();
            assert_eq!((read.verify(&keys()), &read), (Ok(()), &*evidence));
            // A proof that is another, and an honest one, convict nobody.
            for at in 0..read.proof.len() {
                let mut altered = read.clone();
                altered.proof[at].0[7] ^= 1;
                assert_eq!(altered.verify(&keys()), Err(ForkFault::NoContradiction), "{known} {new} {at}");
            }
            let honest = request(&levels(30), known, new);
            let honest = ForkEvidence { known: read.known, offered: honest.checkpoint, proof: honest.proof };
            assert_eq!(honest.verify(&keys()), Err(ForkFault::NoContradiction), "{known} {new}");
        }
    }
}

/// The race of the specification: both requests are right when they arrive, and the smaller is stored last.
#[test]
fn of_two_requests_that_cross_only_the_first_to_be_stored_is_cosigned() {
    let log = levels(30);
    let mut state = at(10);
    let small = state.consider(&request(&log, 10, 20), NOW).unwrap();
    let large = state.consider(&request(&log, 10, 30), NOW).unwrap();
    state.apply(&large).unwrap();
    assert_eq!(state.apply(&small), Err(WitnessRefusal::Conflict { known: 30 }));
    assert_eq!(state.size(), 30);
}

/// Two requests that cross, of one size and with different roots: the second meets the head that the first left.
#[test]
fn of_two_histories_that_cross_the_second_becomes_evidence() {
    let mut state = fresh();
    let ours = request(&levels(5), 0, 5);
    let theirs = AddCheckpoint { old: 0, proof: vec![], checkpoint: checkpoint("bank-a", 5, Hash::of(b"other")) };
    let (first, second) = (state.consider(&ours, NOW).unwrap(), state.consider(&theirs, NOW).unwrap());
    state.apply(&first).unwrap();
    assert_eq!(state.apply(&second), Err(WitnessRefusal::Conflict { known: 5 }));
    assert!(matches!(state.consider(&theirs, NOW), Err(WitnessRefusal::Fork(_))));
}

#[test]
fn a_log_unknown_unsigned_or_wrongly_signed_is_refused_before_anything_else() {
    let state = fresh();
    let of = |checkpoint| AddCheckpoint { old: 0, proof: vec![], checkpoint };
    let refusal = state.consider(&of(checkpoint("shop-b", 5, Hash::of(b"root"))), NOW).unwrap_err();
    assert_eq!((refusal.http_status(), refusal), (404, WitnessRefusal::UnknownLog));

    let text = checkpoint("bank-a", 5, Hash::of(b"root")).checkpoint().clone();
    let mut foreign = SignedCheckpoint::new(&text).unwrap();
    let stranger = log_key("shop-b");
    foreign.sign(&stranger.public, &stranger.private).unwrap();
    let mut wrong = SignedCheckpoint::new(&text).unwrap();
    wrong.sign(&log_key("bank-a").public, &stranger.private).unwrap();
    for bad in [SignedCheckpoint::new(&text).unwrap(), foreign, wrong] {
        let refusal = state.consider(&of(bad), NOW).unwrap_err();
        assert_eq!((refusal.http_status(), refusal), (403, WitnessRefusal::NotSigned));
    }
    let backwards = AddCheckpoint { old: 6, ..of(checkpoint("bank-a", 5, Hash::of(b"root"))) };
    let refusal = state.consider(&backwards, NOW).unwrap_err();
    assert_eq!((refusal.http_status(), refusal), (400, WitnessRefusal::OldAboveNew));
}

#[test]
fn a_witness_goes_on_from_its_store_and_never_back_in_time() {
    let log = levels(20);
    let state = at(10);
    let Head { checkpoint, time } = state.head().unwrap().clone();
    let stored = SignedCheckpoint::parse(&checkpoint.encode()).unwrap();
    let resumed = WitnessState::resume(Head { checkpoint: stored, time }, keys());
    assert_eq!(resumed, state);
    // The clock was set back by a day; the cosignature is not.
    let advance = resumed.consider(&request(&log, 10, 20), NOW - 86_400).unwrap();
    assert_eq!(advance.after().time, NOW);
}

#[test]
fn the_record_keeps_no_lines_of_strangers() {
    let log = levels(5);
    let mut request = request(&log, 0, 5);
    let stranger = log_key("shop-b");
    request.checkpoint.sign(&stranger.public, &stranger.private).unwrap();
    let advance = fresh().consider(&request, NOW).unwrap();
    assert_eq!(advance.after().checkpoint.signatures().len(), 1);
}

#[test]
fn what_is_not_a_request_is_refused_with_its_reason() {
    let good = request(&levels(20), 10, 20).to_string();
    let hash = Hash::of(b"x").to_string() + "\n";
    for (text, why) in [
        (String::new(), MalformedRequest::NoCheckpoint),
        (good.replacen("old 10", "old 010", 1), MalformedRequest::Old),
        (good.replacen("old 10", "old", 1), MalformedRequest::Old),
        (good.replacen("old 10", "new 10", 1), MalformedRequest::Old),
        (good.replacen("old 10\n", "old 10\nAAAA\n", 1), MalformedRequest::Proof(1)),
        (good.replacen("old 10\n", &("old 10\n".to_owned() + &hash.repeat(64)), 1), MalformedRequest::Proof(64)),
        (" ".repeat(AddCheckpoint::MAX_BYTES + 1), MalformedRequest::TooLong(AddCheckpoint::MAX_BYTES + 1)),
    ] {
        assert_eq!(AddCheckpoint::parse(text.as_bytes()), Err(why), "{text}");
    }
    let cut = &good.as_bytes()[..good.len() - 1];
    assert!(matches!(AddCheckpoint::parse(cut), Err(MalformedRequest::Checkpoint(_))));
}
