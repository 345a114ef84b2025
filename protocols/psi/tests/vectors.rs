//! The crate against vectors that another implementation wrote (`vectors/make.py`), from the seed to the last byte on
//! the wire, and against messages that must fail in the round they name.

#![allow(clippy::disallowed_methods)] // The folder is listed, so that no vector is ever forgotten.

mod common;

use common::{boxed, drain, peer_of, shop};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tacitly_core::simulate::{Ending, Network};
use tacitly_core::{Fault, Frame, Party, PartyId, Seed, SessionTag, Violation};
use tacitly_psi::{Flow, Items, Member, PsiAnswer, PsiOutcome, PsiParty, PsiTerms, Session};

/// All vectors by name.
fn vectors(wanted: impl Fn(&Value) -> bool) -> Vec<(String, Value)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let vector = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            found.push((path.file_stem().unwrap().to_str().unwrap().to_owned(), vector));
        }
    }
    found.retain(|(_, vector)| wanted(vector));
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    found
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

fn unhex(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2));
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn members(vector: &Value) -> Vec<(PartyId, &Value)> {
    vector["parties"].as_object().unwrap().iter().map(|(id, party)| (id.parse().unwrap(), party)).collect()
}

fn terms(vector: &Value) -> PsiTerms {
    let flow = Flow::ALL.into_iter().find(|flow| flow.name() == vector["flow"].as_str().unwrap()).unwrap();
    let member = |(id, party): (PartyId, &Value)| Member {
        id,
        items: party["items"].as_array().unwrap().len() as u64,
        padded: party["padded"].as_u64(),
    };
    let members: Vec<Member> = members(vector).into_iter().map(member).collect();
    let receivers: Vec<PartyId> = texts(&vector["receivers"]).into_iter().map(|id| id.parse().unwrap()).collect();
    let members = members.try_into().unwrap();
    PsiTerms::new(flow, members, &receivers, &texts(&vector["key"]), vector["job"].as_str().unwrap())
        .unwrap()
        .with_chunk(vector["chunk"].as_u64().unwrap())
        .unwrap()
}

fn party(vector: &Value, id: PartyId) -> PsiParty {
    let party = &vector["parties"][id.as_str()];
    let items: Items = texts(&party["items"]).into_iter().collect();
    let seed = Seed::from_bytes(unhex(party["seed"].as_str().unwrap()).try_into().unwrap());
    PsiParty::new(terms(vector), id, vector["label"].as_str().unwrap(), items, seed, None).unwrap()
}

fn answer(outcome: &Value) -> PsiAnswer {
    let indices = |list: &Value| list.as_array().unwrap().iter().map(|index| index.as_u64().unwrap() as u32).collect();
    match outcome.as_object().unwrap().iter().next().unwrap() {
        (kind, list) if kind == "matched" => PsiAnswer::Matched(indices(list)),
        (kind, list) if kind == "aligned" => PsiAnswer::Aligned(indices(list)),
        (kind, size) if kind == "size" => PsiAnswer::Size(size.as_u64().unwrap()),
        (kind, _) if kind == "served" => PsiAnswer::Served,
        (kind, _) => panic!("no such answer: {kind}"),
    }
}

fn session_of(vector: &Value, id: PartyId) -> SessionTag {
    Session::new(terms(vector), id, vector["label"].as_str().unwrap()).unwrap().tag()
}

#[test]
fn terms_frames_and_outcomes_are_those_of_the_other_implementation() {
    let known = vectors(|vector| !vector["frames"].is_null());
    assert!(known.len() >= 8);
    for (name, vector) in known {
        let agreed = terms(&vector).to_terms();
        assert_eq!(String::from_utf8(agreed.canonical()).unwrap(), vector["terms"].as_str().unwrap(), "{name}");
        assert_eq!(agreed.hash().to_string(), vector["terms_hash"], "{name}");
        assert_eq!(hex(&session_of(&vector, shop()).0), vector["session"], "{name}");
        let ids: Vec<PartyId> = members(&vector).into_iter().map(|(id, _)| id).collect();
        let parties = ids.iter().map(|id| boxed(*id, party(&vector, *id))).collect();
        let report = Network::<PsiOutcome>::new(parties).run(Seed::from_bytes([0; 32]));
        for id in ids {
            let sent = report.sent.iter().filter(|sent| sent.from == id);
            let bodies: Vec<String> = sent.map(|sent| hex(&sent.frame.body)).collect();
            assert_eq!(bodies, texts(&vector["frames"][id.as_str()]), "{name}, {id}");
            let Ending::Answer(outcome) = report.ending(id) else { panic!("{name}: {:?}", report.ending(id)) };
            assert_eq!(outcome.answer, answer(&vector["outcomes"][id.as_str()]), "{name}, {id}");
        }
    }
}

#[test]
fn scripted_messages_fail_in_their_round_by_their_code_and_place_or_end_well() {
    let scripts = vectors(|vector| !vector["frames_in"].is_null());
    assert!(scripts.iter().filter(|(name, _)| name.starts_with("bad_")).count() >= 30);
    for (name, vector) in scripts {
        let me: PartyId = vector["party"].as_str().unwrap().parse().unwrap();
        let peer = peer_of(me);
        let mut party = party(&vector, me);
        let session = session_of(&vector, me);
        let bodies = texts(&vector["frames_in"]);
        for (sequence, body) in bodies.iter().enumerate() {
            drain(&mut party, peer);
            if party.poll_checkpoint().is_some() {
                party.stored();
                drain(&mut party, peer);
            }
            let taken = party.receive(peer, Frame { session, sequence: sequence as u64, body: unhex(body).into() });
            let fails = &vector["fails"];
            if fails.is_null() || sequence + 1 < bodies.len() {
                taken.unwrap_or_else(|fault| panic!("{name}, frame {sequence}: {fault}"));
                continue;
            }
            let Err(Fault::Peer { who, violation }) = taken else { panic!("{name}: {taken:?}") };
            let Violation { code, round, index } = violation;
            assert_eq!(who, peer, "{name}");
            assert_eq!(
                (code, Some(u64::from(round))),
                (fails["code"].as_str().unwrap(), fails["round"].as_u64()),
                "{name}"
            );
            assert_eq!(index, fails["index"].as_u64(), "{name}");
        }
        drain(&mut party, peer);
        let expected = vector["outcome"].as_object().map(|_| answer(&vector["outcome"]));
        assert_eq!(party.output().map(|outcome| outcome.answer), expected, "{name}");
    }
}

/// The transcript of each flow with larger sets, pinned: whoever changes a byte on the wire changes the version.
#[test]
fn transcripts_are_pinned() {
    for (flow, receivers, pinned) in [
        (Flow::Intersect, &["bank"][..], "a4ac254829fd8b4f21a5422ef9bda1b882417f15e276c4ba2fc7bae79ad4bc96"),
        (Flow::Intersect, &["bank", "shop"], "836e2b5b6b8cc2f6f1e07dfdaadbf40334d15cfcf7493df148c00e14e15d15e9"),
        (Flow::Align, &["bank", "shop"], "859e9d59a1215073ca281e7bd85e9e2c47a5d44593491011328782bb89fd50a9"),
        (Flow::Cardinality, &["bank"], "b147385d6c7c0bb835d7958fe716602d376990a723d95282d2c2ddaef500eb23"),
    ] {
        let receivers: Vec<PartyId> = receivers.iter().map(|id| id.parse().unwrap()).collect();
        let numbers: Vec<u32> = (0..600).collect();
        let job =
            common::Job { chunk: 128, ..common::Job::new(flow, &receivers) }.sets(&numbers[..400], &numbers[300..]);
        let report = job.network().run(job.schedule());
        common::assert_ideal(&job, &report, "pinned");
        let mut digest = Sha256::new();
        for id in [common::bank(), shop()] {
            for sent in report.sent.iter().filter(|sent| sent.from == id) {
                digest.update(sent.frame.session.0);
                digest.update(sent.frame.sequence.to_be_bytes());
                digest.update((sent.frame.body.len() as u64).to_be_bytes());
                digest.update(&sent.frame.body);
            }
        }
        assert_eq!(hex(&digest.finalize()), pinned, "{flow} {receivers:?}");
    }
}
