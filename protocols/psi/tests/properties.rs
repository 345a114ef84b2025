//! Arbitrary sets, terms, schedules and faults.

mod common;

use std::collections::BTreeSet;

use common::{Job, assert_ideal, bank, peer_of, shop};
use proptest::prelude::*;
use tacitly_core::Seed;
use tacitly_core::simulate::{Ending, Tamper};
use tacitly_psi::{Flow, fuzzing, ideal};

fn job() -> impl Strategy<Value = Job> {
    let set = || prop::collection::btree_set(0..40_u32, 0..25);
    let both = prop_oneof![Just(vec![bank()]), Just(vec![shop()]), Just(vec![shop(), bank()])];
    (0..3_usize, both, set(), set(), prop::option::of(25..40_u64), 1..10_u64, any::<u8>()).prop_map(
        |(flow, receivers, banks, shops, padded, chunk, seed)| {
            let flow = Flow::ALL[flow];
            let receivers = if flow == Flow::Align { vec![bank(), shop()] } else { receivers };
            let list = |set: BTreeSet<u32>| set.into_iter().collect::<Vec<_>>();
            let job = Job { padded, chunk, seed, ..Job::new(flow, &receivers) };
            job.sets(&list(banks), &list(shops))
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_two_sets_under_any_terms_and_schedule_give_the_ideal_answer(job in job(), schedule in any::<u8>()) {
        assert_ideal(&job, &job.network().run(Seed::from_bytes([schedule; 32])), "any sets");
    }

    #[test]
    fn any_fault_at_any_frame_ends_legally(job in job(), tamper in 0..Tamper::TABLE.len(), at in 0..60_usize, byte in any::<usize>()) {
        let tamper = match Tamper::TABLE[tamper] {
            Tamper::Flip { .. } => Tamper::Flip { byte },
            other => other,
        };
        let report = job.network().tampered(tamper, at, None).run(job.schedule());
        for id in [bank(), shop()] {
            match report.ending(id) {
                Ending::Answer(found) => prop_assert!(ideal::same_answer(found, &job.ideal(id))),
                Ending::Stalled(stall) => prop_assert_eq!(stall.who, peer_of(id)),
                Ending::Fault(fault) => {
                    let sent = &report.sent[at];
                    prop_assert_eq!(id, sent.to, "only whoever got the frame may complain: {}", fault);
                    let stranger = (tamper == Tamper::WrongSender).then(|| "stranger".parse().unwrap());
                    prop_assert_eq!(fault.culprit(), Some(stranger.unwrap_or(sent.from)));
                }
                ending @ (Ending::Crashed | Ending::Stuck(_)) => prop_assert!(false, "{}: {:?}", id, ending),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_fuzz_targets_hold_on_arbitrary_bytes(data in prop::collection::vec(any::<u8>(), 0..60)) {
        fuzzing::wire(&data);
        fuzzing::receive(&data);
        fuzzing::ops(&data);
    }
}

#[test]
fn the_fuzz_targets_hold_on_inputs_worth_keeping() {
    // Real frames for `wire`: every message of an honest session, asked for as every kind.
    let job = Job::new(Flow::Align, &[bank(), shop()]);
    for sent in job.network().run(job.schedule()).sent {
        for (kind, count) in (0..6).flat_map(|kind| [(kind, 0), (kind, 1), (kind, 3)]) {
            fuzzing::wire(&[&[kind, count], &sent.frame.body[..]].concat());
        }
    }
    for job in [0_u8, 1, 2, 3, 4, 0x82, 0x83, 0x84] {
        for stage in 0..12 {
            for body in [&b""[..], &[0x0a, 0], &[0x12, 0], &[0x12, 32], &[0x1a, 1, 7], &[0x22, 0], &[0x32, 0]] {
                fuzzing::receive(&[&[job, stage], body].concat());
            }
        }
        // Nothing but deliveries; each other kind of operation after some of them, on both links.
        fuzzing::ops(&[job]);
        for (op, at) in (6..16_u8).flat_map(|op| (0..12).map(move |at| (op, at))) {
            let deliveries: Vec<u8> = [0, 1].repeat(at);
            fuzzing::ops(&[&[job], &deliveries[..], &[op, 3, 1]].concat());
        }
    }
}
