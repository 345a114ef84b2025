//! The simulator, shown by a sum of any number of parties: what it does to a protocol, and what it finds in a wrong one.

mod toy;

use std::collections::BTreeSet;

use rand::RngExt;
use tacitly_core::simulate::{Ending, Event, Incident, Network, Stuck, Tamper, incidents};
use tacitly_core::{Fault, Halt, Mailbox, Misuse, Party, PartyId, Roles, Script, Seed, SessionTag, code};
use toy::{CHANGED, FORMS, Form, Job, Mistake, Sum, id, number, write_number};

fn seed(number: u64) -> Seed {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    Seed::from_bytes(bytes)
}

fn event(at: usize, what: Incident) -> Event {
    Event { at, what }
}

#[test]
fn any_number_of_parties_get_the_sum_of_all_in_any_order() {
    for form in FORMS {
        for (parties, tolerant) in [2, 3, 7, 40].into_iter().flat_map(|parties| [(parties, true), (parties, false)]) {
            let job = Job::new(form, parties, tolerant);
            for schedule in 0..3 {
                let report = job.network().run(seed(schedule));
                assert_eq!(job.complaint(&report), None, "{form:?} {parties}");
                let sums: Vec<&Sum> = report.answers().map(|(_, sum)| sum).collect();
                assert_eq!((sums.len() as u64, sums[0].of.len() as u64), (parties, parties), "{:?}", report.endings);
                assert_eq!((report.sent.len() as u64, report.told.len()), (2 * (parties - 1), 0));
                assert_eq!(report.kept(id(0)).len() as u64, parties, "a slot for every member and one for the sum");
            }
        }
    }
}

#[test]
fn both_forms_send_the_same_bytes_and_the_same_seed_gives_the_same_run() {
    for schedule in 0..20 {
        let run = |form, schedule| Job::new(form, 5, true).network().run(seed(schedule)).sent;
        let of = |sent: Vec<tacitly_core::simulate::Sent>, who| -> Vec<_> {
            let frames = sent.into_iter().filter(|sent| sent.from == who);
            let mut frames: Vec<_> = frames.map(|sent| (sent.to, sent.frame.body)).collect();
            frames.sort();
            frames
        };
        for who in (0..5).map(id) {
            assert_eq!(of(run(Form::ByHand, schedule), who), of(run(Form::Script, schedule + 1), who));
        }
        assert_eq!(run(Form::Script, schedule), run(Form::Script, schedule));
    }
}

#[test]
fn every_fault_at_every_frame_ends_legally() {
    for (form, tolerant) in [(Form::ByHand, true), (Form::ByHand, false), (Form::Script, true), (Form::Script, false)] {
        let job = Job::new(form, 4, tolerant);
        let honest = job.network().run(seed(1)).sent;
        let foreign = Job { label: "elsewhere", ..job.clone() }.network().run(seed(1)).sent;
        for (at, tamper) in (0..honest.len()).flat_map(|at| Tamper::TABLE.map(|tamper| (at, tamper))) {
            let report = job.network().tampered(tamper, at, Some(foreign[at].frame.clone())).run(seed(1));
            let case = format!("{job:?} {tamper:?} of frame {at}: {:?}", report.endings);
            assert_eq!(job.complaint(&report), None, "{case}");
            let codes: &[&str] = match tamper {
                // Its successor is a frame of the next attempt.
                Tamper::Reorder => &[code::FRAME_SESSION],
                Tamper::Drop => &[],
                Tamper::Duplicate | Tamper::Early | Tamper::Late => &[code::FRAME_ORDER],
                Tamper::Truncate | Tamper::Flip { .. } => &[code::MALFORMED],
                Tamper::Replay => &[code::FRAME_SESSION],
                Tamper::WrongSender => &[code::NOT_A_PARTY],
            };
            let code = report.ending(honest[at].to).code();
            assert!(code.is_some() || matches!(tamper, Tamper::Drop | Tamper::Reorder), "{case}");
            assert!(code.is_none_or(|code| codes.contains(&code)), "{case}");
        }
    }
}

#[test]
fn three_legal_endings_hold_under_ten_thousand_lists_of_crashes_restarts_cuts_and_faults() {
    for form in FORMS {
        // How often each kind of run was seen: nothing may hold only because nothing happened.
        let (mut whole, mut partial, mut stalled, mut blamed, mut resumed, mut healed) = (0, 0, 0, 0, 0, 0);
        for case in 0..10_000 {
            let mut rng = seed(case).derive("shape").into_rng();
            let parties = [2, 3, 5, 7][rng.random_range(0..4_usize)];
            let job = Job::new(form, parties, rng.random_range(0..2) == 0);
            let frames = 2 * (parties as usize - 1);
            let events = incidents(&job.ids(), 2 * frames, seed(case).derive("incidents"));
            let mut network = job.network().suffering(events.iter().copied());
            if rng.random_range(0..4) == 0 {
                let tamper = Tamper::TABLE[rng.random_range(0..Tamper::TABLE.len())];
                network = network.tampered(tamper, rng.random_range(0..frames), None);
            }
            let report = network.run(seed(case));
            let told = || {
                let events: Vec<String> = events.iter().map(Event::to_string).collect();
                format!("{form:?} case {case}: {job:?} {events:?}\n{:?}\n{:?}", report.earlier, report.endings)
            };
            assert_eq!(job.complaint(&report), None, "{}", told());
            let sizes: BTreeSet<u64> = report.answers().map(|(_, sum)| sum.of.len() as u64).collect();
            whole += u64::from(sizes.contains(&parties));
            partial += u64::from(sizes.iter().any(|size| *size < parties));
            stalled += u64::from(report.endings.values().any(|ending| matches!(ending, Ending::Stalled(_))));
            blamed += u64::from(report.endings.values().any(|ending| matches!(ending, Ending::Fault(_))));
            let back = report.happened.iter().any(|event| matches!(event.what, Incident::Restart(_)));
            let all = report.endings.values().all(|ending| matches!(ending, Ending::Answer(_)));
            resumed += u64::from(back && all && !report.earlier.is_empty());
            let cut = report.happened.iter().any(|event| matches!(event.what, Incident::Cut { .. }));
            healed += u64::from(cut && all);
        }
        let seen = [whole, partial, stalled, blamed, resumed, healed];
        assert!(seen.iter().all(|count| *count > 300), "{form:?}: {seen:?}");
    }
}

#[test]
fn whoever_crashes_is_built_again_from_what_it_kept_and_the_result_is_the_same() {
    for form in FORMS {
        let mut resumed_with_the_sum = 0;
        for (at, schedule) in (0..9).flat_map(|at| (0..20).map(move |schedule| (at, schedule))) {
            let job = Job::new(form, 5, true);
            let crash = [event(at, Incident::Crash(id(0))), event(at + 1, Incident::Restart(id(0)))];
            let second = [event(at + 2, Incident::Crash(id(3))), event(at + 9, Incident::Restart(id(3)))];
            let report = job.network().suffering(crash.into_iter().chain(second)).run(seed(schedule));
            assert_eq!(job.complaint(&report), None, "{form:?} {at} {schedule}: {:?}", report.endings);
            let early = report.earlier.iter().any(|endings| endings.values().any(|ending| ending.answer().is_some()));
            resumed_with_the_sum += u64::from(early);
        }
        assert!(resumed_with_the_sum > 10, "{resumed_with_the_sum}");
    }
}

#[test]
fn a_restarted_hub_refuses_a_member_that_sends_another_number_than_before() {
    for form in FORMS {
        let job = Job::new(form, 3, false);
        let seen = (0..50).filter(|schedule| {
            // One member is cut off, so the hub stalls or crashes with the number of the other; in the next attempt both
            // send other numbers.
            let mut first = BTreeSet::new();
            let cut = [
                event(0, Incident::Cut { from: id(2), to: id(0) }),
                event(9, Incident::Heal { from: id(2), to: id(0) }),
            ];
            let crash = [event(9, Incident::Crash(id(0))), event(9, Incident::Restart(id(0)))];
            let report = job
                .network()
                .suffering(cut.into_iter().chain(crash))
                .tapped(move |_, mut sent| {
                    if sent.to == id(0) && !first.insert(sent.from) {
                        sent.frame.body = write_number(number(sent.from) + 1).into();
                    }
                    vec![sent]
                })
                .run(seed(*schedule));
            let ending = report.ending(id(0));
            let before = report
                .kept(id(0))
                .iter()
                .any(|checkpoint| Some(checkpoint.slot.as_str()) == ending.culprit().as_ref().map(PartyId::as_str));
            assert_eq!(ending.code() == Some(CHANGED), ending.code().is_some(), "{ending:?}");
            ending.code().is_some() && before
        });
        assert!(seen.count() > 5, "{form:?}");
    }
}

#[test]
fn a_cut_is_noticed_by_its_two_ends_and_by_nobody_else() {
    for form in FORMS {
        let mut partial = 0;
        for schedule in 0..200 {
            let job = Job::new(form, 5, true);
            let cut = event(0, Incident::Cut { from: id(1), to: id(0) });
            let report = job.network().suffering([cut]).run(seed(schedule));
            assert_eq!(job.complaint(&report), None, "{form:?} {schedule}");
            let ends = BTreeSet::from([(id(0), id(1)), (id(1), id(0))]);
            assert!(report.told.is_subset(&ends), "{:?}", report.told);
            for member in [0, 2, 3, 4].map(id) {
                assert_eq!(report.ending(member).answer().unwrap().of.len(), 4);
            }
            assert!(matches!(report.ending(id(1)), Ending::Stalled(stall) if stall.who == id(0)));
            partial += 1;
            // Two members do not talk, so a cut between them is noticed by nobody.
            let apart = [
                event(0, Incident::Cut { from: id(1), to: id(2) }),
                event(0, Incident::Cut { from: id(2), to: id(1) }),
            ];
            let report = job.network().suffering(apart).run(seed(schedule));
            assert_eq!((report.told.len(), report.answers().count()), (0, 5));
        }
        assert_eq!(partial, 200);
    }
}

#[test]
fn a_cut_that_heals_in_time_costs_nothing() {
    let job = Job::new(Form::Script, 3, false);
    let blip =
        [event(0, Incident::Cut { from: id(1), to: id(0) }), event(2, Incident::Heal { from: id(1), to: id(0) })];
    let runs = (0..100).map(|schedule| job.network().suffering(blip).run(seed(schedule)));
    let (calm, noticed): (Vec<_>, Vec<_>) = runs.partition(|report| report.told.is_empty());
    assert!(calm.len() > 10 && noticed.len() > 5, "{} {}", calm.len(), noticed.len());
    assert!(calm.iter().all(|report| report.answers().count() == 3 && report.earlier.is_empty()));
    // Where patience was over first, the next attempt comes to the sum.
    assert!(noticed.iter().all(|report| report.endings.values().all(|ending| ending.answer().is_some())));
}

/// Three parties of which each tells each its name, and learns whom it has heard.
fn mesh() -> Network<BTreeSet<PartyId>> {
    let ids = [0, 1, 2].map(id);
    Network::built(ids, 1, move |birth| {
        let party = Script::new(Roles::new(SessionTag([1; 16]), birth.who, ids), async move |mailbox: Mailbox| {
            mailbox.broadcast(birth.who.as_str().as_bytes().to_vec());
            let gathered = mailbox.gather(&mailbox.peers()).await;
            Ok(gathered.into_iter().filter_map(|(peer, body)| body.is_ok().then_some(peer)).collect())
        });
        Ok(Box::new(party) as Box<dyn Party<Output = _>>)
    })
}

#[test]
fn one_cannot_reach_another_while_both_reach_the_third() {
    let (mut heard_back, mut gave_up) = (0, 0);
    for schedule in 0..200 {
        let report = mesh().suffering([event(0, Incident::Cut { from: id(0), to: id(1) })]).run(seed(schedule));
        let heard = |party| report.ending(id(party)).answer().unwrap().clone();
        assert_eq!((heard(1), heard(2)), (BTreeSet::from([id(2)]), BTreeSet::from([id(0), id(1)])));
        assert!(report.told.is_subset(&BTreeSet::from([(id(0), id(1)), (id(1), id(0))])), "{:?}", report.told);
        match heard(0).len() {
            2 => heard_back += 1,
            _ => gave_up += 1,
        }
    }
    assert!(heard_back > 10 && gave_up > 10, "the way back is open until either end gives up: {heard_back} {gave_up}");
}

#[test]
fn every_mistake_of_a_wrong_toy_is_found() {
    for (mistake, tolerant, word) in [
        (Mistake::CountsTheLostAsZero, true, "answer is wrong"),
        (Mistake::ReleasesBeforeItIsDurable, true, "two results"),
        (Mistake::WaitsForTheLost, true, "deadlock while gathering"),
        (Mistake::BlamesTheLost, true, "broke the protocol"),
        (Mistake::StallsForTheWrongOne, false, "was told of no such loss"),
    ] {
        let complaints = |mistake| -> Vec<String> {
            let job = Job { mistake, ..Job::new(Form::Script, 5, tolerant) };
            let run = |case| job.network().suffering(incidents(&job.ids(), 16, seed(case).derive("x"))).run(seed(case));
            (0..300).filter_map(|case| job.complaint(&run(case))).collect()
        };
        let found = complaints(mistake);
        assert!(found.iter().any(|complaint| complaint.contains(word)), "{mistake:?}: {found:?}");
        assert_eq!(complaints(Mistake::Nothing), Vec::<String>::new());
    }
}

/// Two parties that both run the same script.
fn two<F, Fut>(script: F) -> Network<()>
where
    F: Fn(Mailbox, PartyId) -> Fut + 'static,
    Fut: Future<Output = Result<(), Halt>> + Send + 'static,
{
    Network::built([0, 1].map(id), 2, move |birth| {
        let peer = if birth.who == id(0) { id(1) } else { id(0) };
        let roles = Roles::new(SessionTag([1; 16]), birth.who, [peer]);
        Ok(Box::new(Script::new(roles, |mailbox| script(mailbox, peer))) as Box<dyn Party<Output = ()>>)
    })
}

#[test]
fn a_deadlock_and_a_livelock_are_reported_as_such_and_are_not_legal() {
    let polite = two(async |mailbox: Mailbox, peer| {
        mailbox.progress("after you", 0, 0);
        mailbox.receive(peer).await?;
        mailbox.send(peer, vec![1]);
        Ok(())
    });
    let report = polite.run(seed(1));
    for party in [0, 1].map(id) {
        assert!(matches!(report.ending(party), Ending::Stuck(Stuck::Deadlock { stage: "after you" })));
    }
    assert_eq!(report.check(|_, ()| true).unwrap_err().why, "deadlock while after you");
    let endless = two(async |mailbox: Mailbox, peer| {
        mailbox.progress("ping and pong", 0, 0);
        loop {
            mailbox.send(peer, vec![1]);
            mailbox.receive(peer).await?;
        }
    });
    let report = endless.bounded(1000).run(seed(1));
    assert_eq!(report.check(|_, ()| true).unwrap_err().why, "livelock while ping and pong");
    let hoarder = two(async |mailbox: Mailbox, _| {
        loop {
            mailbox.checkpoint("more", vec![1]).await;
        }
    });
    assert!(hoarder.bounded(1000).run(seed(1)).check(|_, ()| true).unwrap_err().why.starts_with("livelock"));
}

#[test]
fn a_dispute_and_a_birth_that_fails_are_legal_only_where_something_was_touched() {
    let quarrel = || {
        two(async |mailbox: Mailbox, peer| {
            mailbox.send(peer, vec![1]);
            let body = mailbox.receive(peer).await?;
            let dispute = Fault::Dispute { a: id(0), b: id(1), code: "share-digest" };
            if body[..] == [1] { Ok(()) } else { Err(dispute.into()) }
        })
    };
    assert_eq!(quarrel().run(seed(1)).check(|_, ()| true), Ok(()));
    let report = quarrel().tampered(Tamper::Flip { byte: 0 }, 0, None).run(seed(1));
    assert!(report.endings.values().any(|ending| matches!(ending, Ending::Fault(Fault::Dispute { .. }))));
    assert_eq!(report.check(|_, ()| true), Ok(()));
    assert!(report.endings.values().all(|ending| ending.culprit().is_none() && ending.code().is_none()));
    let stillborn: Network<()> = Network::built([id(0)], 1, |_| Err(Misuse::Input("too wide").into()));
    assert!(stillborn.run(seed(1)).check(|_, ()| true).unwrap_err().why.contains("too wide"));
}
