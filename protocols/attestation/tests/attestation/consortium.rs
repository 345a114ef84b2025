//! Jobs of many parties: one agreement in every log, and certificates that carry what the others put on record.

use std::collections::BTreeSet;

use tacitly_attestation::certificate::{CreateFault, Draft, Gap, RefusalCode, Verdict, create, verify};
use tacitly_attestation::entry::{
    AgreementEntry, Attendance, Body, Count, DatasetEntry, Digest, Entry, EntryFault, Header, Kind, LeafHash,
    MAX_PARTIES, MAX_TEXT_BYTES, MalformedEntry, Origin, Participant, PartyEntry, PartyKey, PeerTranscript,
    ResultEntry, SignedEntry, Software, Time,
};
use tacitly_attestation::hash::Hash;
use tacitly_attestation::note::{KeyRing, NoteSignature};
use tacitly_attestation::policy::Policy;
use tacitly_attestation::proof::LogProof;
use tacitly_attestation::tree::{MAX_ENTRY_BYTES, MemoryTree};

use super::support::{
    NOW_MS, body, checkpoint, code, header, id, log_key, origin, party, signed, signer, witness_key, witnesses,
};

/// Names of members, in order.
fn names(count: usize) -> Vec<String> {
    (0..count).map(|at| format!("bank-{at:03}")).collect()
}

/// Names as long as names can be.
fn longest(count: usize) -> Vec<String> {
    (0..count).map(|at| format!("the-longest-names-of-members-{at:03}")).collect()
}

fn leaf(label: &str) -> LeafHash {
    LeafHash(Hash::of(label.as_bytes()))
}

fn digest(label: &str) -> Digest {
    Digest(Hash::of(label.as_bytes()))
}

/// One party of a job, with all that an agreement can say of it.
fn participant(name: &str, dataset: Option<LeafHash>) -> Participant {
    Participant {
        party: party(name),
        role: code("member"),
        dataset,
        contribution: Some(digest(&format!("contribution {name}"))),
        offer: Some(digest(&format!("offer {name}"))),
        learns: vec![code("sum"), code("who-takes-part")],
        attendance: Attendance::Signs,
    }
}

fn agreement_of(parties: Vec<Participant>) -> AgreementEntry {
    AgreementEntry {
        job: id("job"),
        protocol: code("tacitly.sum"),
        version: Count::new(1).unwrap(),
        terms: digest("terms"),
        purpose: code("fraud-research"),
        parties,
        limits: vec![],
        expires: None,
        price: None,
    }
}

/// The agreement of these parties, led by the first.
fn of_all(names: &[String]) -> Entry {
    let parties = names.iter().map(|name| participant(name, Some(leaf(name)))).collect();
    Entry::new(header(&names[0], "agreement", vec![]), agreement_of(parties)).unwrap()
}

fn ring(names: &[String]) -> KeyRing {
    names.iter().map(|name| signer(name).public).collect()
}

fn signed_by(entry: Entry, names: &[String]) -> SignedEntry {
    signed(entry, &names.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn an_agreement_of_128_parties_with_the_longest_names_and_128_signatures_fits_a_log() {
    let names = longest(128);
    let parties = names.iter().map(|name| Participant {
        role: code(&"r".repeat(32)),
        learns: vec![code(&"s".repeat(32)), code(&"t".repeat(32))],
        ..participant(name, Some(leaf(name)))
    });
    let entry = Entry::new(header(&names[0], "agreement", vec![]), agreement_of(parties.collect())).unwrap();
    let signed = signed_by(entry.clone(), &names);
    let bytes = signed.encode();
    println!("{} bytes of text, {} with signatures", entry.text().len(), bytes.len());
    assert!(entry.text().len() <= MAX_TEXT_BYTES && bytes.len() <= MAX_ENTRY_BYTES);
    let read = SignedEntry::parse(&bytes).unwrap();
    assert_eq!((&read, read.encode()), (&signed, bytes));
    assert_eq!(read.verify(&ring(&names)).unwrap().len(), 128);
}

#[test]
fn the_longest_text_with_the_longest_signatures_of_128_parties_fits_a_log() {
    let longest_line = signed_by(of_all(&longest(2)), &longest(2)).signatures()[0].to_string().len() + 1;
    assert_eq!(longest_line, 130);
    assert!(MAX_TEXT_BYTES + 1 + MAX_PARTIES * longest_line <= MAX_ENTRY_BYTES);
}

#[test]
fn an_agreement_of_128_parties_comes_after_128_entries() {
    let names = names(128);
    let rel: Vec<LeafHash> = names.iter().map(|name| leaf(&format!("party {name}"))).collect();
    let parties = names.iter().map(|name| participant(name, Some(leaf(name)))).collect();
    let entry = Entry::new(header(&names[0], "agreement", rel), agreement_of(parties)).unwrap();
    assert_eq!(entry.references().len(), 256);
    let signed = signed_by(entry, &names);
    assert_eq!(SignedEntry::parse(&signed.encode()).unwrap(), signed);
}

#[test]
fn an_entry_whose_text_outgrows_a_log_is_refused_whatever_made_it_long() {
    let names = longest(128);
    let long = names.iter().map(|name| Participant {
        learns: (0..4).map(|at| code(&format!("{}{at}", "s".repeat(31)))).collect(),
        ..participant(name, Some(leaf(name)))
    });
    let refused = Entry::new(header(&names[0], "agreement", vec![]), agreement_of(long.collect()));
    assert!(matches!(refused, Err(MalformedEntry::TooLong(_))), "{refused:?}");
}

#[test]
fn a_129th_signature_is_refused_whoever_made_it() {
    let names = names(129);
    let full = signed_by(of_all(&names[..128]), &names[..128]);
    let stranger = signer(&names[128]);
    let more = NoteSignature::sign(full.entry().text(), &stranger.public, &stranger.private).unwrap();
    assert_eq!(full.clone().with(more.clone()), Err(MalformedEntry::TooManySignatures));
    let bytes = [full.encode(), format!("{more}\n").into_bytes()].concat();
    assert_eq!(SignedEntry::parse(&bytes), Err(MalformedEntry::TooManySignatures));
}

#[test]
fn an_agreement_bears_the_signatures_of_those_who_sign_it_and_no_others() {
    let all = names(4);
    let ring = ring(&all);
    let entry = of_all(&all[..3]);
    let of = |who: &[usize]| {
        let names: Vec<String> = who.iter().map(|at| all[*at].clone()).collect();
        signed_by(entry.clone(), &names).verify(&ring)
    };
    assert_eq!(of(&[0, 1, 2]).unwrap(), all[..3].iter().map(|name| party(name)).collect());
    // Missing, the leader's own among them.
    for (who, missing) in [(&[0, 1][..], "bank-002"), (&[1, 2], "bank-000"), (&[1], "bank-000, bank-002")] {
        assert_eq!(of(who), Err(EntryFault::Unsigned { missing: missing.to_owned() }));
    }
    // Of a stranger, whether its key is trusted or not.
    assert_eq!(of(&[0, 1, 2, 3]), Err(EntryFault::Stray { line: 4 }));
    assert_eq!(of(&[3, 0, 1, 2]), Err(EntryFault::Stray { line: 1 }));
    let strange = signed_by(entry.clone(), &[&all[..3], &["stranger".to_owned()]].concat());
    assert_eq!(strange.verify(&ring), Err(EntryFault::Stray { line: 4 }));
    // Twice: the same line, and another key under the same name.
    let whole = signed_by(entry.clone(), &all[..3]);
    let again = format!("{}\n", whole.signatures()[1]);
    let doubled = SignedEntry::parse(&[whole.encode(), again.into_bytes()].concat()).unwrap();
    assert_eq!(doubled.verify(&ring), Err(EntryFault::Stray { line: 4 }));
    // Made for another text.
    let other = signed_by(of_all(&all), &all);
    let mut swapped = signed_by(entry, &all[..2]);
    swapped = swapped.with(other.signatures()[2].clone()).unwrap();
    assert!(matches!(swapped.verify(&ring), Err(EntryFault::BadSignature(_))));
}

#[test]
fn who_is_absent_is_named_and_does_not_sign() {
    let all = names(7);
    let parties = all.iter().map(|name| Participant {
        attendance: if name == "bank-003" { Attendance::Absent } else { Attendance::Signs },
        ..participant(name, None)
    });
    let entry = Entry::new(header("bank-000", "agreement", vec![]), agreement_of(parties.collect())).unwrap();
    assert!(entry.text().contains(r#"{"attendance":"absent","#));
    let Body::Agreement(agreement) = entry.body() else { panic!() };
    assert_eq!(agreement.absent().collect::<Vec<_>>(), [party("bank-003")]);
    let present: Vec<String> = all.iter().filter(|name| *name != "bank-003").cloned().collect();
    assert_eq!(signed_by(entry.clone(), &present).verify(&ring(&all)).unwrap().len(), 6);
    assert_eq!(signed_by(entry.clone(), &all).verify(&ring(&all)), Err(EntryFault::Stray { line: 4 }));
    assert!(!entry.belongs_in("bank-003.example/log", party("bank-003")), "the absent has nothing to record");
}

#[test]
fn one_agreement_belongs_into_the_log_of_everyone_who_signs_it_and_no_other_entry_does() {
    let all = names(3);
    let entry = of_all(&all);
    let belongs = |entry: &Entry, who: &str| entry.belongs_in(origin(who).as_str(), party(who));
    assert!(all.iter().all(|name| belongs(&entry, name)));
    assert!(!belongs(&entry, "bank-003"));
    // The leader's own copy in another log of the leader, a member's whose log bears the leader's name.
    assert!(!entry.belongs_in("elsewhere.example/log", party("bank-000")));
    assert!(!entry.belongs_in(origin("bank-000").as_str(), party("bank-001")));
    for kind in Kind::ALL.iter().filter(|kind| **kind != Kind::Agreement) {
        let entry = Entry::new(header("bank-a", kind.as_str(), vec![]), body(*kind)).unwrap();
        assert!(belongs(&entry, "bank-a"));
        assert!(!belongs(&entry, "shop-b"), "{kind}");
    }
}

/// What a member of a job has in hand when it is over.
struct Evidence {
    names: Vec<String>,
    agreement: SignedEntry,
    datasets: Vec<SignedEntry>,
    parties: Vec<SignedEntry>,
    result: SignedEntry,
    policy: Policy,
}

fn entry_of(by: &str, label: &str, rel: Vec<LeafHash>, body: impl Into<Body>) -> SignedEntry {
    signed(Entry::new(header(by, &format!("{label} {by}"), rel), body).unwrap(), &[by])
}

fn dataset_of(name: &str) -> SignedEntry {
    let Body::Dataset(dataset) = body(Kind::Dataset) else { panic!() };
    entry_of(name, "data set", vec![], DatasetEntry { dataset: id(name), supersedes: None, ..dataset })
}

fn party_of(name: &str) -> SignedEntry {
    let Body::Party(statement) = body(Kind::Party) else { panic!() };
    let from = Time::new(NOW_MS).unwrap();
    let keys = [signer(name).public, log_key(name).public, witness_key(name).public];
    let keys = keys.map(|key| PartyKey { key, from, until: None }).to_vec();
    entry_of(name, "party", vec![], PartyEntry { keys, ..statement })
}

fn result_of(by: &str, peers: &[String], agreement: LeafHash) -> ResultEntry {
    let Body::Result(result) = body(Kind::Result) else { panic!() };
    let peers = peers.iter().filter(|peer| *peer != by);
    let peers = peers.map(|peer| PeerTranscript { peer: party(peer), ..result.peers[0].clone() }).collect();
    ResultEntry { agreement, peers, ..result }
}

/// A finished job of these parties, as the last of them can prove it.
fn evidence(names: Vec<String>) -> Evidence {
    let datasets: Vec<SignedEntry> = names.iter().map(|name| dataset_of(name)).collect();
    let parties: Vec<SignedEntry> = names.iter().map(|name| party_of(name)).collect();
    let rel = parties.iter().map(SignedEntry::leaf).collect();
    let participants = names.iter().zip(&datasets).map(|(name, dataset)| participant(name, Some(dataset.leaf())));
    let agreement = Entry::new(header(&names[0], "agreement", rel), agreement_of(participants.collect())).unwrap();
    let agreement = signed_by(agreement, &names);
    let me = names.last().unwrap();
    let result = entry_of(me, "result", vec![], result_of(me, &names, agreement.leaf()));
    let signers: Vec<_> = names.iter().map(|name| signer(name).public).collect();
    let watching: Vec<&str> = names.iter().map(String::as_str).collect();
    let needed = watching.len();
    let policy = Policy::consortium(&signers, &[log_key(me).public], &witnesses(&watching), needed).unwrap();
    Evidence { names, agreement, datasets, parties, result, policy }
}

impl Evidence {
    fn related(&self) -> Vec<SignedEntry> {
        [std::slice::from_ref(&self.agreement), &self.datasets, &self.parties].concat()
    }

    fn issue(
        &self,
        entry: &SignedEntry,
        related: &[SignedEntry],
        proof: Option<&LogProof>,
    ) -> Result<(Vec<u8>, Verdict), RefusalCode> {
        let tool = Software::parse("tacitly 0.1.0").unwrap();
        let me = self.names.last().unwrap();
        let draft = Draft {
            id: id("certificate"),
            issued: Time::new(NOW_MS + 5000).unwrap(),
            issuer: party(me),
            tool: &tool,
            entry,
            related,
            proof,
            anchor: None,
            policy: &self.policy,
        };
        let key = signer(me);
        create(&draft, &key.public, &key.private).map_err(|fault| match fault {
            CreateFault::Refused(refusal) => refusal.code,
            other => panic!("{other}"),
        })
    }
}

/// Where an entry stands in the log of `name`, which nobody has cosigned.
fn proof_in(name: &str, entry: &SignedEntry) -> LogProof {
    let mut log = MemoryTree::new();
    log.push(leaf("something earlier").0);
    log.push(entry.leaf().0);
    LogProof::prove(&mut &log, 1, checkpoint(name, 2, log.root())).unwrap()
}

#[test]
fn a_certificate_of_many_parties_carries_what_each_of_them_signed() {
    for count in [2, 3, 7, 128] {
        let evidence = evidence(names(count));
        let me = evidence.names.last().unwrap();
        let proof = proof_in(me, &evidence.result);
        let (bytes, verdict) = evidence.issue(&evidence.result, &evidence.related(), Some(&proof)).unwrap();
        println!("{count} parties: {} bytes", bytes.len());
        assert_eq!(verify(&bytes, None).unwrap(), verdict);
        assert_eq!(verdict.entries.len(), 2 + 2 * count);
        let parties: BTreeSet<_> = evidence.names.iter().map(|name| party(name)).collect();
        assert_eq!(verdict.entries[1].signed, parties, "all signed the agreement");
        assert_eq!(verdict.agreement().unwrap().parties.len(), count);
        let Body::Result(result) = verdict.entries[0].entry.body() else { panic!() };
        assert_eq!(result.peers.len(), count - 1);
        assert_eq!(verdict.persons().iter().filter(|(_, statement)| statement.is_some()).count(), count);
        assert_eq!(verdict.gaps(), []);
    }
}

#[test]
fn a_member_proves_the_agreement_from_its_own_log_though_it_names_the_leaders() {
    let evidence = evidence(names(3));
    let me = evidence.names.last().unwrap();
    let (_, verdict) = evidence.issue(&evidence.agreement, &[], Some(&proof_in(me, &evidence.agreement))).unwrap();
    assert_eq!(verdict.place().unwrap().log, origin(me));
    assert_eq!(verdict.entries[0].entry.header().log, origin("bank-000"));
    // A log that the policy does not know shows nothing.
    let foreign = proof_in("stranger", &evidence.agreement);
    assert_eq!(evidence.issue(&evidence.agreement, &[], Some(&foreign)).unwrap_err(), RefusalCode::LogUnknown);
    // Any other kind stands in the log that it names.
    let theirs = &evidence.datasets[0];
    assert_eq!(evidence.issue(theirs, &[], Some(&proof_in(me, theirs))).unwrap_err(), RefusalCode::Proof);
}

#[test]
fn what_is_named_and_not_attached_is_told() {
    let evidence = evidence(names(3));
    let gaps = |related: &[SignedEntry]| evidence.issue(&evidence.result, related, None).unwrap().1.gaps();
    assert_eq!(gaps(&[]), [Gap::Agreement(evidence.agreement.leaf())]);
    let own = [evidence.agreement.clone(), evidence.datasets[2].clone()];
    let missing = |at: usize| Gap::Dataset { party: party(&evidence.names[at]), leaf: evidence.datasets[at].leaf() };
    assert_eq!(gaps(&own), [missing(0), missing(1)]);
    assert_eq!(gaps(&evidence.related()), []);
}

#[test]
fn a_certificate_without_a_signature_that_the_agreement_demands_is_refused() {
    let evidence = evidence(names(5));
    let me = evidence.names.last().unwrap();
    for missing in 0..5 {
        let some: Vec<String> =
            evidence.names.iter().enumerate().filter(|(at, _)| *at != missing).map(|(_, name)| name.clone()).collect();
        let agreement = signed_by(evidence.agreement.entry().clone(), &some);
        let result = entry_of(me, "result", vec![], result_of(me, &evidence.names, agreement.leaf()));
        let refused = evidence.issue(&result, &[agreement], None).unwrap_err();
        assert_eq!(refused, RefusalCode::RelatedSignature, "without {}", evidence.names[missing]);
    }
    // A data set whose owner has not signed.
    let unsigned = signed(evidence.datasets[0].entry().clone(), &["bank-001"]);
    let participants = evidence.names.iter().map(|name| participant(name, Some(unsigned.leaf()))).collect();
    let agreement = Entry::new(header("bank-000", "agreement", vec![]), agreement_of(participants)).unwrap();
    let agreement = signed_by(agreement, &evidence.names);
    assert_eq!(evidence.issue(&agreement, &[unsigned], None).unwrap_err(), RefusalCode::RelatedSignature);
}

#[test]
fn entries_that_cannot_mean_each_other_make_no_certificate() {
    let evidence = evidence(names(4));
    let me = evidence.names.last().unwrap().as_str();
    let refused = |entry: &SignedEntry, related: &[SignedEntry], why: &str| {
        assert_eq!(evidence.issue(entry, related, None).map(|_| ()), Err(RefusalCode::Related), "{why}");
    };
    let agreed = |entry: AgreementEntry, names: &[String]| {
        signed_by(Entry::new(header(&names[0], "agreement", vec![]), entry).unwrap(), names)
    };
    let all = || evidence.names.iter().map(|name| participant(name, None)).collect::<Vec<_>>();
    let result =
        |agreement: &SignedEntry| entry_of(me, "result", vec![], result_of(me, &evidence.names, agreement.leaf()));
    let of_other_job = agreed(AgreementEntry { job: id("another job"), ..agreement_of(all()) }, &evidence.names);
    refused(&result(&of_other_job), &[of_other_job], "another job's agreement");
    let of_others = agreed(agreement_of(all()[..3].to_vec()), &evidence.names[..3]);
    refused(&result(&of_others), &[of_others], "an agreement of others");
    let mut absent = all();
    absent[3].attendance = Attendance::Absent;
    let without_me = agreed(agreement_of(absent), &evidence.names[..3]);
    refused(&result(&without_me), &[without_me], "an agreement that was made without the result's author");
    let with_stranger = agreed(agreement_of(all()), &evidence.names);
    let peers = [evidence.names.clone(), vec!["stranger".to_owned()]].concat();
    let stranger = entry_of(me, "result", vec![], result_of(me, &peers, with_stranger.leaf()));
    refused(&stranger, &[with_stranger], "a link with somebody who is no party");
    refused(&result(&evidence.datasets[0]), &[evidence.datasets[0].clone()], "no agreement at all");

    let mut swapped = all();
    swapped[1].dataset = Some(evidence.datasets[0].leaf());
    let swapped = agreed(agreement_of(swapped), &evidence.names);
    refused(&swapped, &[evidence.datasets[0].clone()], "another party's data set");
    let mut wrong = all();
    wrong[0].dataset = Some(evidence.parties[0].leaf());
    let wrong = agreed(agreement_of(wrong), &evidence.names);
    refused(&wrong, &[evidence.parties[0].clone()], "a data set that is none");

    let Body::Dataset(dataset) = body(Kind::Dataset) else { panic!() };
    let theirs = DatasetEntry { supersedes: Some(evidence.datasets[0].leaf()), ..dataset };
    let theirs = entry_of(me, "data set", vec![], theirs);
    refused(&theirs, &[evidence.datasets[0].clone()], "a data set that replaces another party's");
}

#[test]
fn an_agreement_that_names_a_log_of_a_party_that_does_not_lead_is_refused() {
    let evidence = evidence(names(3));
    let in_log = |log: Origin| {
        let header = Header { log, ..header("bank-000", "agreement", vec![evidence.parties[0].leaf()]) };
        let parties = evidence.names.iter().map(|name| participant(name, None)).collect();
        let agreement = signed_by(Entry::new(header, agreement_of(parties)).unwrap(), &evidence.names);
        evidence.issue(&agreement, &[evidence.parties[0].clone()], None).map(|_| ())
    };
    assert_eq!(in_log(origin("bank-000")), Ok(()));
    for log in [origin("bank-001"), origin("stranger")] {
        assert_eq!(in_log(log), Err(RefusalCode::Related));
    }
    // A leader that is no party makes no entry at all.
    let parties = evidence.names.iter().map(|name| participant(name, None)).collect();
    let refused = Entry::new(header("stranger", "agreement", vec![]), agreement_of(parties)).unwrap_err();
    assert!(refused.to_string().contains("the leader"), "{refused}");
}

#[test]
fn a_certificate_has_room_for_257_attached_entries_and_no_more() {
    let evidence = evidence(names(2));
    let parties: Vec<SignedEntry> = (0..258)
        .map(|at| {
            let entry = Entry::new(header("bank-001", &format!("tick {at}"), vec![]), body(Kind::Tick)).unwrap();
            signed(entry, &["bank-001"])
        })
        .collect();
    // Two entries name them: no list has room for all.
    let leaves: Vec<LeafHash> = parties.iter().map(SignedEntry::leaf).collect();
    let second = Entry::new(header("bank-001", "second", leaves[127..254].to_vec()), body(Kind::Tick)).unwrap();
    let second = signed(second, &["bank-001"]);
    let third = Entry::new(header("bank-001", "third", leaves[254..].to_vec()), body(Kind::Tick)).unwrap();
    let third = signed(third, &["bank-001"]);
    let rel = [&leaves[..126], &[second.leaf(), third.leaf()]].concat();
    let first = signed(Entry::new(header("bank-001", "first", rel), body(Kind::Tick)).unwrap(), &["bank-001"]);
    let attached: Vec<SignedEntry> = [&[second, third][..], &parties[..126], &parties[127..]].concat();
    assert_eq!(attached.len(), 259);
    assert!(evidence.issue(&first, &attached[..257], None).is_ok());
    assert_eq!(evidence.issue(&first, &attached[..258], None).unwrap_err(), RefusalCode::Related);
}
