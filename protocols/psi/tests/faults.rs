//! The adversary first: whatever happens to a frame, a party or a peer's mind, a session ends with the right answer, a
//! named culprit or a typed stall.

mod common;

use common::{Job, assert_ideal, bank, boxed, drain, peer_of, shop};
use tacitly_core::simulate::{Ending, Network, Report, Sent, Tamper};
use tacitly_core::{Checkpoint, Fault, Frame, Misuse, Party, PartyId, SessionTag, Stall, code};
use tacitly_psi::{Flow, PsiOutcome, ideal, violation};

/// An ending that an honest party may have while its peer, or the link, does as it likes: the right answer, a stall
/// that names the peer, or a fault that names `culprit`.
fn assert_legal(job: &Job, id: PartyId, ending: &Ending<PsiOutcome>, culprit: Option<PartyId>, case: &str) {
    match ending {
        Ending::Answer(found) => assert!(ideal::same_answer(found, &job.ideal(id)), "{case}: {id} got {found:?}"),
        Ending::Stalled(stall) => assert!([id, peer_of(id)].contains(&stall.who), "{case}: {id} {stall}"),
        Ending::Fault(fault) => {
            assert!(culprit.is_some() && fault.culprit() == culprit, "{case}: {id} says {fault}");
        }
        Ending::Crashed | Ending::Stuck(_) => panic!("{case}: {id} {ending:?}"),
    }
}

/// Every entry of the fault table, applied to every frame of every flow.
fn whole_table(check: impl Fn(&Job, Tamper, &Sent, &Report<PsiOutcome>, &str)) {
    for job in Job::all_flows_and_receivers() {
        let honest = job.network().run(job.schedule());
        let elsewhere = Job { label: "elsewhere".to_owned(), ..job.clone() };
        let foreign = elsewhere.network().run(job.schedule());
        for (at, sent) in honest.sent.iter().enumerate() {
            for tamper in Tamper::TABLE {
                let case = format!("{} {:?}, {tamper:?} of frame {at} from {}", job.flow, job.receivers, sent.from);
                let other = foreign.sent[at].clone();
                assert_eq!((other.from, other.to), (sent.from, sent.to));
                let report = job.network().tampered(tamper, at, Some(other.frame)).run(job.schedule());
                check(&job, tamper, sent, &report, &case);
            }
        }
    }
}

#[test]
fn every_fault_at_every_frame_ends_legally_and_the_untouched_side_blames_nobody() {
    whole_table(|job, tamper, sent, report, case| {
        let stranger = "stranger".parse().unwrap();
        let culprit = if tamper == Tamper::WrongSender { stranger } else { sent.from };
        assert_legal(job, sent.to, report.ending(sent.to), Some(culprit), case);
        assert_legal(job, sent.from, report.ending(sent.from), None, case);
    });
}

#[test]
fn whoever_gets_a_frame_that_is_not_the_one_sent_names_the_sender_and_the_rule() {
    whole_table(|_, tamper, sent, report, case| {
        let ending = report.ending(sent.to);
        let codes: &[&str] = match tamper {
            Tamper::Duplicate | Tamper::Early | Tamper::Late => &[code::FRAME_ORDER],
            Tamper::Replay => &[code::FRAME_SESSION],
            Tamper::WrongSender => &[code::NOT_A_PARTY],
            Tamper::Truncate => &[code::MALFORMED],
            // Some flips make other points, tags or digests; those are found out by the digest of the list.
            Tamper::Flip { .. } => &[
                code::MALFORMED,
                code::UNEXPECTED,
                violation::POINT_ENCODING,
                violation::LOW_ORDER_POINT,
                violation::SET_DIGEST,
                violation::TAGS_DIGEST,
                violation::ORDER_DIGEST,
            ],
            // The last frame of a direction has no successor: its absence is a stall.
            Tamper::Drop | Tamper::Reorder if matches!(ending, Ending::Stalled(_)) => return,
            Tamper::Drop | Tamper::Reorder => &[code::FRAME_ORDER],
        };
        assert!(ending.code().is_some_and(|code| codes.contains(&code)), "{case}: {ending:?}");
    });
}

#[test]
fn an_opening_recorded_under_other_terms_is_a_disagreement_and_names_the_field() {
    let job = Job::new(Flow::Intersect, &[bank()]);
    let other_job = Job { name: "job-2".to_owned(), ..job.clone() };
    let foreign = other_job.network().run(job.schedule()).sent;
    let honest = job.network().run(job.schedule()).sent;
    for (at, sent) in honest.iter().enumerate() {
        let report = job.network().tampered(Tamper::Replay, at, Some(foreign[at].frame.clone())).run(job.schedule());
        match report.ending(sent.to) {
            Ending::Fault(Fault::Terms { who, mismatch }) if sent.frame.sequence == 0 => {
                assert_eq!((*who, mismatch.field.as_str()), (sent.from, "job"));
            }
            ending => {
                assert_ne!(sent.frame.sequence, 0, "{ending:?}");
                assert_eq!(ending.code(), Some(code::FRAME_SESSION));
            }
        }
    }
}

#[test]
fn an_opening_with_other_terms_under_a_tag_that_is_not_theirs_is_the_peers_breach() {
    let job = Job::new(Flow::Intersect, &[bank()]);
    let other_job = Job { name: "job-2".to_owned(), ..job.clone() };
    let opening = drain(&mut other_job.party(shop()), bank()).remove(0);
    let ours = drain(&mut job.party(shop()), bank()).remove(0);
    for (session, code) in [(SessionTag([9; 16]), code::FRAME_SESSION), (ours.session, code::MALFORMED)] {
        match job.party(bank()).receive(shop(), Frame { session, ..opening.clone() }) {
            Err(Fault::Peer { who, violation }) => assert_eq!((who, violation.code), (shop(), code)),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_crash_at_any_frame_gives_the_other_side_its_right_answer_or_a_stall_that_names_the_lost_one() {
    for job in Job::all_flows_and_receivers() {
        let frames = job.network().run(job.schedule()).sent.len();
        for who in [bank(), shop()] {
            let mut stalls = 0;
            for at in 0..=frames {
                let report = job.network().crashing(who, at).run(job.schedule());
                let other = peer_of(who);
                let case = format!("{} {:?}, {who} crashed after {at} frames", job.flow, job.receivers);
                assert_legal(&job, other, report.ending(other), None, &case);
                if let Ending::Stalled(stall) = report.ending(other) {
                    assert_eq!(stall.who, who, "{case}");
                    stalls += 1;
                }
            }
            assert!(stalls > frames / 2, "{} {:?}: {stalls} of {frames}", job.flow, job.receivers);
        }
    }
}

/// The frames of one sender.
fn frames_of(report: &Report<PsiOutcome>, id: PartyId) -> Vec<Frame> {
    report.sent.iter().filter(|sent| sent.from == id).map(|sent| sent.frame.clone()).collect()
}

#[test]
fn after_a_crash_at_any_frame_both_resume_send_the_same_bytes_again_and_get_the_right_answer() {
    for job in Job::all_flows_and_receivers() {
        let frames = job.network().run(job.schedule()).sent.len();
        for at in 0..=frames {
            let before = job.network().crashing(bank(), at).run(job.schedule());
            let party = |id| boxed(id, job.try_party(id, before.kept(id).first().cloned()).unwrap());
            let after = Network::new(vec![party(bank()), party(shop())]).run(job.schedule());
            assert_ideal(&job, &after, &format!("resumed after {at} frames"));
            for id in [bank(), shop()] {
                let (earlier, later) = (frames_of(&before, id), frames_of(&after, id));
                assert_eq!(earlier, later[..earlier.len()], "{id} after {at} frames");
                assert!(after.kept(id).is_empty() || before.kept(id).is_empty());
            }
        }
    }
}

#[test]
fn after_a_resumption_another_set_is_refused_before_any_answer_leaves() {
    for job in Job::all_flows_and_receivers().into_iter().filter(|job| job.receivers.contains(&bank())) {
        let before = job.network().run(job.schedule());
        let checkpoint = before.kept(shop())[0].clone();
        let mut changed = job.clone();
        changed.banks[0] = 1000;
        let bank_again = boxed(bank(), changed.party(bank()));
        let shop_again = boxed(shop(), job.try_party(shop(), Some(checkpoint)).unwrap());
        let after = Network::new(vec![bank_again, shop_again]).run(job.schedule());
        assert_eq!(after.ending(shop()).culprit(), Some(bank()));
        assert_eq!(after.ending(shop()).code(), Some(violation::SET_CHANGED));
        // Opening, three frames of points, digest: not one answer.
        assert!(frames_of(&after, shop()).len() <= 5);
        let Ending::Stalled(Stall { who, .. }) = after.ending(bank()) else { panic!("{:?}", after.endings) };
        assert_eq!(*who, shop());
    }
}

#[test]
fn a_checkpoint_is_refused_with_other_items_another_seed_another_session_or_other_bytes() {
    let job = Job::new(Flow::Intersect, &[bank()]);
    let checkpoint = job.network().run(job.schedule()).kept(shop())[0].clone();
    let refusal = |job: &Job, id, checkpoint: &Checkpoint| match job.try_party(id, Some(checkpoint.clone())) {
        Err(Fault::Misuse(Misuse::Input(why))) => why,
        other => panic!("{:?}", other.err()),
    };
    let mut other_items = job.clone();
    other_items.shops[0] = 1000;
    assert!(refusal(&other_items, shop(), &checkpoint).contains("other items or seed"));
    assert!(refusal(&Job { seed: 2, ..job.clone() }, shop(), &checkpoint).contains("other items or seed"));
    assert!(refusal(&Job { name: "job-2".to_owned(), ..job.clone() }, shop(), &checkpoint).contains("another session"));
    assert!(refusal(&Job { label: "b".to_owned(), ..job.clone() }, shop(), &checkpoint).contains("another session"));
    assert!(refusal(&job, bank(), &checkpoint).contains("answers nothing"));
    let (slot, bytes) = (&checkpoint.slot, &checkpoint.bytes);
    for length in 0..bytes.len() {
        assert!(job.try_party(shop(), Some(Checkpoint::new(slot, &bytes[..length]))).is_err());
    }
    let longer = Checkpoint::new(slot, [&bytes[..], &[0]].concat());
    assert!(refusal(&job, shop(), &longer).contains("not a checkpoint"));
    let elsewhere = Checkpoint::new("other", bytes.clone());
    assert!(refusal(&job, shop(), &elsewhere).contains("not a checkpoint"));
    assert!(job.try_party(shop(), Some(checkpoint)).is_ok());
}

#[test]
fn after_its_ending_a_party_sends_nothing_and_takes_nothing() {
    let job = Job::new(Flow::Intersect, &[bank(), shop()]);
    let opening = drain(&mut job.party(shop()), bank()).remove(0);
    let (mut faulted, mut stalled) = (job.party(bank()), job.party(bank()));
    assert!(faulted.receive("stranger".parse().unwrap(), opening.clone()).is_err());
    assert_eq!(stalled.lost(shop()).unwrap_err().stage, "agreeing on the terms");
    for mut party in [faulted, stalled] {
        assert_eq!((party.poll_send(shop()), party.poll_checkpoint(), party.output()), (None, None, None));
        assert_eq!(party.receive(shop(), opening.clone()), Err(Misuse::Over.into()));
        assert_eq!(party.progress().stage, "over");
        assert_eq!(party.lost(shop()), Ok(()));
    }
}

#[test]
fn a_frame_after_the_last_one_is_the_peers_breach_even_when_the_answer_is_out() {
    for job in Job::all_flows_and_receivers() {
        let report = job.network().run(job.schedule());
        for id in [bank(), shop()] {
            let theirs = frames_of(&report, peer_of(id));
            let last = theirs.last().unwrap().clone();
            let extra = Frame { sequence: last.sequence + 1, ..last };
            let network = job.network().tapped(move |_, sent| {
                let is_last = sent.to == id && sent.frame.sequence + 1 == extra.sequence;
                let more = is_last.then(|| Sent { frame: extra.clone(), ..sent.clone() });
                std::iter::once(sent).chain(more).collect()
            });
            let report = network.run(job.schedule());
            assert_eq!(report.ending(id).code(), Some(code::UNEXPECTED), "{} {id}", job.flow);
            assert_eq!(report.ending(id).culprit(), Some(peer_of(id)));
        }
    }
}

#[test]
fn losing_a_party_that_is_not_in_the_session_or_no_longer_needed_ends_nothing() {
    let job = Job::new(Flow::Intersect, &[bank()]);
    let (mut asks, mut serves) = (job.party(bank()), job.party(shop()));
    assert_eq!(asks.lost("stranger".parse().unwrap()), Ok(()));
    for _ in 0..20 {
        drain(&mut asks, shop()).into_iter().for_each(|frame| serves.receive(bank(), frame).unwrap());
        drain(&mut serves, bank()).into_iter().for_each(|frame| asks.receive(shop(), frame).unwrap());
        if serves.poll_checkpoint().is_some() {
            serves.stored();
        }
    }
    assert_eq!((asks.lost(shop()), serves.lost(bank())), (Ok(()), Ok(())));
    assert_eq!(asks.output(), Some(job.ideal(bank())));
    assert_eq!(serves.output(), Some(job.ideal(shop())));
}

/// Feeds the bank what the shop sends in an honest run and returns where and how it was refused. The bank sends its set
/// if `sends_set`, and no answers.
fn refused_at(job: &Job, sends_set: bool) -> (u64, &'static str, u32) {
    let mut party = job.party(bank());
    for frame in frames_of(&job.network().run(job.schedule()), shop()) {
        if sends_set {
            drain(&mut party, shop());
        }
        let sequence = frame.sequence;
        if let Err(fault) = party.receive(shop(), frame) {
            let Fault::Peer { who, violation } = fault else { panic!("{fault}") };
            assert_eq!(who, shop());
            return (sequence, violation.code, violation.round);
        }
    }
    panic!("nothing was refused");
}

#[test]
fn answers_to_a_list_that_is_not_out_and_an_order_without_our_answers_are_unexpected() {
    let job = Job::new(Flow::Align, &[bank(), shop()]);
    // The shop sends its opening, three frames of points, their digest, three frames of tags, their digest, the order.
    assert_eq!(refused_at(&job, false), (5, code::UNEXPECTED, 2));
    assert_eq!(refused_at(&job, true), (9, code::UNEXPECTED, 3));
}

#[test]
fn an_item_twice_in_a_set_of_a_peer_that_only_serves_is_its_breach() {
    // The shop's caller forgot to remove a repeat; the shop receives nothing and cannot notice, the bank does.
    let job = Job::new(Flow::Intersect, &[bank()]).sets(&[1, 2, 3], &[5, 6, 5]);
    let report = job.network().run(job.schedule());
    assert_eq!(report.ending(bank()).code(), Some(violation::REPEATED_POINT));
    assert_eq!(report.ending(bank()).culprit(), Some(shop()));
}
