//! Honest parties get the right answer, whatever the flow, the receivers and the sets; and nothing leaves too early.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::{Job, SHAPES, assert_ideal, bank, boxed, drain, shop};
use tacitly_core::simulate::{Ending, Network};
use tacitly_core::{Fault, Misuse, Party, PartyId, Seed};
use tacitly_psi::{Answered, Answerer, Asker, Blinded, Flow, MAX_ROWS, Member, PsiAnswer, PsiParty, PsiTerms, Session};

#[test]
fn every_flow_gives_every_receiver_the_ideal_answer_for_every_shape_of_sets() {
    for job in Job::all_flows_and_receivers() {
        for (name, banks, shops) in SHAPES {
            let job = job.clone().sets(banks, shops);
            assert_ideal(&job, &job.network().run(job.schedule()), name);
        }
    }
}

#[test]
fn with_padding_the_lengths_on_the_wire_are_the_same_for_all_sets_and_the_answers_right() {
    for job in Job::all_flows_and_receivers() {
        let mut seen = BTreeSet::new();
        for (name, banks, shops) in SHAPES {
            let padded = Job { padded: Some(10), ..job.clone().sets(banks, shops) };
            let report = padded.network().run(padded.schedule());
            assert_ideal(&padded, &report, name);
            seen.insert([bank(), shop()].map(|id| {
                let frames = report.sent.iter().filter(|sent| sent.from == id && sent.frame.sequence > 0);
                frames.map(|sent| sent.frame.body.len()).collect::<Vec<_>>()
            }));
        }
        assert_eq!(seen.len(), 1);
        // Field and length, then ten points in frames of three, then their digest.
        assert!(seen.iter().flatten().all(|lengths| lengths.starts_with(&[98, 98, 98, 34, 34])), "{seen:?}");
    }
}

#[test]
fn a_job_in_buckets_runs_one_party_per_label_under_the_same_terms() {
    let whole =
        Job { padded: Some(6), ..Job::new(Flow::Intersect, &[bank()]) }.sets(&[1, 2, 3, 4, 5, 6], &[2, 4, 6, 8]);
    let terms = whole.terms();
    let mut found = Vec::new();
    for bucket in 0..2 {
        let party = |id: PartyId| {
            let numbers = if id == bank() { &whole.banks } else { &whole.shops };
            let items = numbers.iter().filter(|n| *n / 4 == bucket).map(|n| format!("person-{n}")).collect();
            let seed = Seed::from_bytes([9; 32]).derive(id.as_str());
            boxed(id, PsiParty::new(terms.clone(), id, &format!("bucket-{bucket}"), items, seed, None).unwrap())
        };
        let report = Network::new(vec![party(bank()), party(shop())]).run(whole.schedule());
        let Ending::Answer(outcome) = report.ending(bank()) else { panic!("{:?}", report.endings) };
        found.push((outcome.answer.clone(), report.sent[2].frame.clone()));
    }
    assert_eq!(found[0].0, PsiAnswer::Matched(vec![1]), "of 1, 2, 3 the shop has 2");
    assert_eq!(found[1].0, PsiAnswer::Matched(vec![0, 2]), "of 4, 5, 6 the shop has 4 and 6");
    assert_ne!(found[0].1.session, found[1].1.session);
}

#[test]
fn the_frames_depend_on_seed_and_input_and_not_on_the_schedule() {
    for job in Job::all_flows_and_receivers() {
        let frames = |schedule: u8, job: &Job| {
            let report = job.network().run(Seed::from_bytes([schedule; 32]));
            [bank(), shop()].map(|id| {
                report.sent.iter().filter(|sent| sent.from == id).map(|sent| sent.frame.clone()).collect::<Vec<_>>()
            })
        };
        let first = frames(0, &job);
        for schedule in 1..5 {
            assert_eq!(frames(schedule, &job), first);
        }
        let other_seed = frames(0, &Job { seed: 2, ..job.clone() });
        assert_ne!(other_seed[0][1], first[0][1], "another scalar");
    }
}

#[test]
fn one_seed_used_for_two_jobs_by_mistake_still_gives_two_scalars_and_orders() {
    let job = Job::new(Flow::Intersect, &[bank()]);
    let first_points =
        |job: &Job| job.network().run(job.schedule()).sent.iter().map(|s| s.frame.clone()).nth(2).unwrap();
    let other_job = Job { name: "job-2".to_owned(), ..job.clone() };
    let other_label = Job { label: "bucket-1".to_owned(), ..job.clone() };
    let bodies = BTreeSet::from([job, other_job, other_label].map(|job| first_points(&job).body));
    assert_eq!(bodies.len(), 3);
}

#[test]
fn no_point_leaves_before_the_peer_has_shown_the_same_terms() {
    let job = Job::new(Flow::Intersect, &[bank(), shop()]);
    let mut party = job.party(bank());
    assert_eq!(drain(&mut party, shop()).len(), 1, "the opening only");
    let opening = drain(&mut job.party(shop()), bank()).remove(0);
    party.receive(shop(), opening).unwrap();
    assert_eq!(drain(&mut party, shop()).len(), 4, "three frames of points and their digest");
}

#[test]
fn no_answer_leaves_before_the_peers_whole_set_is_in_and_its_digest_stored() {
    for job in Job::all_flows_and_receivers().into_iter().filter(|job| job.receivers.contains(&bank())) {
        let (mut asks, mut answers) = (job.party(bank()), job.party(shop()));
        asks.receive(shop(), drain(&mut answers, bank()).remove(0)).unwrap();
        let set = drain(&mut asks, shop());
        let (digest, points) = set.split_last().unwrap();
        for frame in points {
            answers.receive(bank(), frame.clone()).unwrap();
        }
        let own_set = drain(&mut answers, bank());
        assert_eq!(own_set.len(), 4, "its own set, whatever the peer does");
        assert_eq!((answers.poll_checkpoint(), answers.poll_send(bank())), (None, None));
        answers.receive(bank(), digest.clone()).unwrap();
        assert_eq!(answers.poll_send(bank()), None, "not before the checkpoint is durable");
        answers.stored();
        assert_eq!(answers.poll_send(bank()), None, "a checkpoint that was not handed out is not durable");
        assert!(answers.poll_checkpoint().is_some());
        assert_eq!(answers.poll_send(bank()), None);
        answers.stored();
        assert!(answers.poll_send(bank()).is_some());
    }
}

#[test]
fn a_party_that_only_serves_has_its_ending_when_everything_is_sent() {
    let job = Job::new(Flow::Intersect, &[bank()]);
    let (mut asks, mut serves) = (job.party(bank()), job.party(shop()));
    let mut to_bank = drain(&mut serves, bank());
    to_bank.drain(..).for_each(|frame| asks.receive(shop(), frame).unwrap());
    for frame in drain(&mut asks, shop()) {
        serves.receive(bank(), frame).unwrap();
    }
    serves.poll_checkpoint().unwrap();
    serves.stored();
    let mut last = None;
    while let Some(frame) = serves.poll_send(bank()) {
        assert_eq!(last, None, "no ending while frames are left");
        asks.receive(shop(), frame).unwrap();
        last = serves.output();
    }
    assert_eq!(last, Some(job.ideal(shop())));
    assert_eq!(asks.output(), Some(job.ideal(bank())));
    assert_eq!(asks.output(), None, "an answer comes once");
}

/// Plays both roles by hand and returns, for each answer in turn, the place of its point in the asker's list.
fn answer_places(flow: Flow) -> Vec<usize> {
    let numbers: Vec<u32> = (0..100).collect();
    let receivers = if flow == Flow::Align { vec![bank(), shop()] } else { vec![bank()] };
    let job = Job::new(flow, &receivers).sets(&numbers, &[]);
    let session = |id| Arc::new(Session::new(job.terms(), id, "all").unwrap());
    let secrets = |id: PartyId| Session::draw(&session(id).bind(&Seed::from_bytes([3; 32]).derive(id.as_str())));
    let mut asker = Asker::new(session(bank()), job.items(bank()), secrets(bank()).0).unwrap();
    let mut answerer = Answerer::new(session(shop()), secrets(shop()).1);
    let digest = loop {
        match asker.blind() {
            Blinded::Chunk(points, rest) => {
                answerer.absorb(&points).unwrap();
                asker = rest;
            }
            Blinded::All(digest, _) => break digest,
        }
    };
    let complete = answerer.finish(digest).unwrap();
    let tags = complete.tags();
    let mut answering = complete.stored();
    let mut places = Vec::new();
    while let Answered::Chunk(chunk, rest) = answering.answer() {
        places.extend(chunk.iter().map(|tag| tags.iter().position(|other| other == tag).unwrap()));
        answering = rest;
    }
    places
}

#[test]
fn answers_follow_the_askers_order_except_where_only_their_number_may_be_learned() {
    let in_order: Vec<usize> = (0..100).collect();
    assert_eq!(answer_places(Flow::Intersect), in_order);
    assert_eq!(answer_places(Flow::Align), in_order);
    let mut shuffled = answer_places(Flow::Cardinality);
    assert_ne!(shuffled, in_order);
    shuffled.sort_unstable();
    assert_eq!(shuffled, in_order);
}

#[test]
fn terms_that_differ_are_caught_before_any_point_leaves_and_name_the_field() {
    let ours = Job::new(Flow::Intersect, &[bank()]);
    let theirs = Job { banks: vec![1, 2], ..ours.clone() };
    let report =
        Network::new(vec![boxed(bank(), ours.party(bank())), boxed(shop(), theirs.party(shop()))]).run(ours.schedule());
    let Ending::Fault(fault) = report.ending(bank()) else { panic!("{:?}", report.endings) };
    assert_eq!(fault.to_string(), "the terms differ in parties.bank.items: ours 7, theirs 2");
    assert_eq!(fault.culprit(), None);
    assert!(report.sent.len() <= 2, "the openings only");
}

#[test]
fn our_callers_mistakes_are_misuse_before_anything_is_sent() {
    let job = Job::new(Flow::Intersect, &[bank()]);
    let misuse = |result: Result<PsiParty, Fault>| match result {
        Err(Fault::Misuse(misuse)) => misuse,
        other => panic!("{:?}", other.err()),
    };
    let seed = || Seed::from_bytes([1; 32]);
    let stranger = "stranger".parse().unwrap();
    let unnamed = PsiParty::new(job.terms(), stranger, "all", job.items(bank()), seed(), None);
    assert!(misuse(unnamed).to_string().contains("name this party"));
    let wrong_count = PsiParty::new(job.terms(), bank(), "all", job.items(shop()), seed(), None);
    assert!(misuse(wrong_count).to_string().contains("more or fewer items"));
    let padded = Job { padded: Some(2), ..job.clone() };
    assert!(misuse(padded.try_party(bank(), None)).to_string().contains("more or fewer items"));
    for (banks, shops) in [(MAX_ROWS + 1, 1), (1, MAX_ROWS + 1)] {
        let members = [Member::new(bank(), banks), Member::new(shop(), shops)];
        let terms = PsiTerms::new(Flow::Intersect, members, &[bank()], &["raw"], "j").unwrap();
        let party = PsiParty::new(terms, bank(), "all", job.items(bank()), seed(), None);
        assert_eq!(misuse(party), Misuse::TooManyRows { found: MAX_ROWS + 1, limit: MAX_ROWS });
    }
}

#[test]
fn equal_items_of_a_receiver_are_its_callers_mistake() {
    for flow in [Flow::Intersect, Flow::Cardinality] {
        let job = Job::new(flow, &[bank()]).sets(&[1, 2, 3, 1], &[1, 2]);
        let report = job.network().run(job.schedule());
        let Ending::Fault(Fault::Misuse(misuse)) = report.ending(bank()) else { panic!("{:?}", report.endings) };
        assert_eq!(*misuse, Misuse::Input("two items are equal"));
    }
}

#[test]
fn progress_names_each_stage_and_ends_at_done() {
    let job = Job::new(Flow::Align, &[bank(), shop()]);
    let (mut us, mut them) = (job.party(bank()), job.party(shop()));
    let mut stages = vec![us.progress()];
    for _ in 0..20 {
        if let Some(frame) = us.poll_send(shop()) {
            them.receive(bank(), frame).unwrap();
        }
        stages.push(us.progress());
        if let Some(frame) = them.poll_send(bank()) {
            us.receive(shop(), frame).unwrap();
        }
        stages.push(us.progress());
        for party in [&mut us, &mut them] {
            if party.poll_checkpoint().is_some() {
                party.stored();
            }
        }
        stages.push(us.progress());
        assert!(stages.iter().all(|progress| progress.done <= progress.total));
    }
    stages.dedup_by_key(|progress| progress.stage);
    assert_eq!(
        stages.iter().map(|progress| progress.stage).collect::<Vec<_>>(),
        [
            "agreeing on the terms",
            "blinding our items",
            "multiplying the peer's items",
            "storing the digest of the peer's set",
            "answering the peer",
            "awaiting answers",
            "comparing the order",
            "done",
        ]
    );
}
