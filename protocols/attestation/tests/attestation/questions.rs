//! Certificates of a question: the asker's signed entry and the responder's, which no second signature stands under.

use tacitly_attestation::certificate::{CreateFault, Draft, Gap, RefusalCode, Verdict, create, verify};
use tacitly_attestation::commitment::{Salt, Subject, commit};
use tacitly_attestation::entry::{
    Attendance, Body, Code, Count, Digest, Entry, Kind, LeafHash, Participant, QueryEntry, ServeEntry, ServeStatus,
    SignedEntry, Software, Time,
};
use tacitly_attestation::hash::Hash;
use tacitly_attestation::proof::LogProof;
use tacitly_attestation::tree::MemoryTree;

use super::support::{NOW_MS, body, checkpoint, code, header, id, party, policy, signed, signer};

/// bank-a has asked shop-b under their agreement, and shop-b has answered.
struct Asked {
    agreement: SignedEntry,
    query: SignedEntry,
    serve: SignedEntry,
}

fn agreement(job: &str, parties: &[&str]) -> SignedEntry {
    let Body::Agreement(mut agreement) = body(Kind::Agreement) else { panic!() };
    agreement.job = id(job);
    agreement.parties = parties
        .iter()
        .map(|name| Participant {
            party: party(name),
            role: code("member"),
            dataset: None,
            contribution: None,
            offer: Some(Digest(Hash::of(name.as_bytes()))),
            learns: vec![],
            attendance: Attendance::Signs,
        })
        .collect();
    signed(Entry::new(header(parties[0], job, vec![]), agreement).unwrap(), parties)
}

fn query(change: impl FnOnce(&mut QueryEntry)) -> QueryEntry {
    let Body::Query(mut query) = body(Kind::Query) else { panic!() };
    change(&mut query);
    query
}

fn serve(query: &SignedEntry, change: impl FnOnce(&mut ServeEntry)) -> ServeEntry {
    let Body::Serve(mut serve) = body(Kind::Serve) else { panic!() };
    (serve.query, serve.asker) = (query.leaf(), party("bank-a"));
    change(&mut serve);
    serve
}

fn by(name: &str, body: impl Into<Body>) -> SignedEntry {
    signed(Entry::new(header(name, "question", vec![]), body).unwrap(), &[name])
}

fn asked() -> Asked {
    let agreement = agreement("job", &["bank-a", "shop-b"]);
    let query = by("bank-a", query(|query| query.agreement = agreement.leaf()));
    let serve = by("shop-b", serve(&query, |_| {}));
    Asked { agreement, query, serve }
}

fn issue(
    issuer: &str,
    entry: &SignedEntry,
    related: &[SignedEntry],
    proof: Option<&LogProof>,
) -> Result<(Vec<u8>, Verdict), RefusalCode> {
    let (tool, policy) = (Software::parse("tacitly 0.1.0").unwrap(), policy(&[]));
    let draft = Draft {
        id: id("certificate"),
        issued: Time::new(NOW_MS + 5000).unwrap(),
        issuer: party(issuer),
        tool: &tool,
        entry,
        related,
        proof,
        anchor: None,
        policy: &policy,
    };
    let key = signer(issuer);
    create(&draft, &key.public, &key.private).map_err(|fault| match fault {
        CreateFault::Refused(refusal) => refusal.code,
        other => panic!("{other}"),
    })
}

fn proof_in(name: &str, entry: &SignedEntry) -> LogProof {
    let mut log = MemoryTree::new();
    log.push(entry.leaf().0);
    LogProof::prove(&mut &log, 0, checkpoint(name, 1, log.root())).unwrap()
}

/// The asker's certificate of an answered question, with its place in the asker's log.
pub(super) fn certificate_of_asker() -> Vec<u8> {
    let Asked { agreement, query, serve } = asked();
    issue("bank-a", &query, &[serve, agreement], Some(&proof_in("bank-a", &query))).unwrap().0
}

#[test]
fn either_side_proves_a_question_and_its_answer_from_its_own_log() {
    let Asked { agreement, query, serve } = asked();
    let of_asker = [serve.clone(), agreement.clone()];
    let of_responder = [query.clone(), agreement.clone()];
    for (issuer, entry, related) in [("bank-a", &query, &of_asker), ("shop-b", &serve, &of_responder)] {
        let (bytes, verdict) = issue(issuer, entry, related, Some(&proof_in(issuer, entry))).unwrap();
        assert_eq!(verify(&bytes, Some(&policy(&[]))).unwrap().levels, verdict.levels);
        let question = verdict.question().unwrap();
        let ((asker, what), (responder, became)) = (question.query.unwrap(), question.serve.unwrap());
        assert_eq!((asker.by, responder.by), (party("bank-a"), party("shop-b")));
        assert_eq!((what.commitment, became.status), (became.commitment, ServeStatus::Served));
        assert_eq!(verdict.agreement().unwrap().job, id("job"));
        assert_eq!((verdict.gaps(), verdict.during().count()), (vec![], 2));
        println!("{} bytes", bytes.len());
    }
}

#[test]
fn what_of_a_question_is_not_shown_is_told() {
    let Asked { agreement, query, serve } = asked();
    let gaps = |entry: &SignedEntry, related: &[SignedEntry]| issue("bank-a", entry, related, None).unwrap().1.gaps();
    assert_eq!(gaps(&serve, &[]), [Gap::Query(query.leaf())]);
    assert_eq!(gaps(&serve, std::slice::from_ref(&query)), [Gap::Agreement(agreement.leaf())]);
    assert_eq!(gaps(&query, &[]), [Gap::Agreement(agreement.leaf())]);
    let (_, unanswered) = issue("bank-a", &query, std::slice::from_ref(&agreement), None).unwrap();
    assert!(unanswered.question().unwrap().serve.is_none() && unanswered.gaps().is_empty());
}

#[test]
fn the_responder_alone_signs_the_answer_and_nobody_in_its_name() {
    let Asked { query, serve, .. } = asked();
    assert_eq!(serve.signatures().len(), 1);
    let by_asker = signed(serve.entry().clone(), &["bank-a"]);
    assert_eq!(issue("bank-a", &query, &[by_asker], None).unwrap_err(), RefusalCode::RelatedSignature);
    // The leaf of a question covers its signature: an answer to the same words unsigned, or signed by another, is none to it.
    let unsigned = SignedEntry::new(query.entry().clone());
    let stranger = signed(query.entry().clone(), &["shop-b"]);
    for (other, code) in [(unsigned, RefusalCode::Related), (stranger, RefusalCode::RelatedSignature)] {
        assert_ne!(other.leaf(), query.leaf());
        assert_eq!(issue("shop-b", &serve, &[other], None).unwrap_err(), code);
    }
}

#[test]
fn an_answer_to_another_question_makes_no_certificate() {
    let Asked { agreement, query, serve: good } = asked();
    let other = commit(Subject::Query, &Salt::new([9; 32]), b"other");
    type Change = fn(&mut ServeEntry);
    let changes: [(&str, Change); 5] = [
        ("another job", |serve| serve.job = id("another job")),
        ("another asker", |serve| serve.asker = party("regulator")),
        ("another batch", |serve| serve.batch = tacitly_attestation::entry::Bucket::of(1000)),
        ("another purpose", |serve| serve.purpose = Code::parse("marketing").unwrap()),
        ("another entry than the question", |serve| serve.query = LeafHash(Hash::of(b"another question"))),
    ];
    for (why, change) in changes {
        let wrong = by("shop-b", serve(&query, change));
        let from_asker = issue("bank-a", &query, &[wrong.clone(), agreement.clone()], None);
        assert_eq!(from_asker.map(|_| ()), Err(RefusalCode::Related), "{why}");
        let from_responder = issue("shop-b", &wrong, &[query.clone(), agreement.clone()], None);
        assert_eq!(from_responder.map(|_| ()), Err(RefusalCode::Related), "{why}");
    }
    let refused = |entry: &SignedEntry, related: &[SignedEntry], why: &str| {
        assert_eq!(issue("shop-b", entry, related, None).map(|_| ()), Err(RefusalCode::Related), "{why}");
    };
    let wrong = by("shop-b", serve(&query, |serve| serve.commitment = other));
    refused(&wrong, std::slice::from_ref(&query), "another commitment");
    let by_another = by("regulator", serve(&query, |_| {}));
    let unknown = issue("bank-a", &query, &[by_another], None).unwrap_err();
    assert_eq!(unknown, RefusalCode::RelatedSignature, "who was not asked has no key here");
    let none = by("shop-b", serve(&query, |serve| serve.query = agreement.leaf()));
    refused(&none, std::slice::from_ref(&agreement), "a question that is none");
    refused(&query, &[good.clone(), good.clone()], "the answer twice");
    refused(&query, &[agreement.clone(), good], "the answer behind another entry");
}

#[test]
fn a_question_under_an_agreement_that_does_not_cover_it_makes_no_certificate() {
    let refused = |agreement: &SignedEntry, why: &str| {
        let query = by("bank-a", query(|query| query.agreement = agreement.leaf()));
        let issued = issue("bank-a", &query, std::slice::from_ref(agreement), None);
        assert_eq!(issued.map(|_| ()), Err(RefusalCode::Related), "{why}");
    };
    refused(&agreement("another job", &["bank-a", "shop-b"]), "another job's agreement");
    refused(&by("bank-a", body(Kind::Tick)), "no agreement at all");
    let between = agreement("job", &["bank-a", "shop-b"]);
    let asked = by("bank-a", query(|query| (query.agreement, query.responder) = (between.leaf(), party("regulator"))));
    let issued = issue("bank-a", &asked, &[between], None);
    assert_eq!(issued.map(|_| ()), Err(RefusalCode::Related), "the responder has not signed it");
}

#[test]
fn a_refusal_says_why_and_counts_nothing() {
    let Asked { query, .. } = asked();
    let refused = by(
        "shop-b",
        serve(&query, |serve| {
            (serve.status, serve.reason, serve.answer) = (ServeStatus::Refused, Some(code("over-quota")), None);
            (serve.units, serve.hits) = (Count::new(0).unwrap(), None);
        }),
    );
    let (_, verdict) = issue("bank-a", &query, &[refused], None).unwrap();
    let (_, became) = verdict.question().unwrap().serve.unwrap();
    assert_eq!((became.status, became.reason.clone()), (ServeStatus::Refused, Some(code("over-quota"))));
}
