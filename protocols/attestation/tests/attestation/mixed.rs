//! Certificates that are put together from entries of two jobs.

use proptest::prelude::*;
use tacitly_attestation::certificate::{CreateFault, Draft, RefusalCode, create};
use tacitly_attestation::entry::{Body, Entry, Kind, SignedEntry, Software, StatementSubject, Time};

use super::support::{NOW_MS, body, header, id, party, policy, signed, signer};

const JOBS: [&str; 2] = ["job one", "job two"];

fn agreement(job: usize) -> SignedEntry {
    let Body::Agreement(mut agreement) = body(Kind::Agreement) else { panic!() };
    agreement.job = id(JOBS[job]);
    agreement.parties.iter_mut().for_each(|participant| participant.dataset = None);
    signed(Entry::new(header("bank-a", JOBS[job], vec![]), agreement).unwrap(), &["bank-a", "shop-b"])
}

fn statement(job: usize) -> SignedEntry {
    let Body::Statement(mut statement) = body(Kind::Statement) else { panic!() };
    statement.subject = StatementSubject::Job(id(JOBS[job]));
    signed(Entry::new(header("bank-a", &format!("statement {job}"), vec![]), statement).unwrap(), &["bank-a", "shop-b"])
}

fn issue(entry: &SignedEntry, related: &[SignedEntry]) -> Result<(), RefusalCode> {
    let (tool, policy) = (Software::parse("tacitly 0.1.0").unwrap(), policy(&[]));
    let draft = Draft {
        id: id("certificate"),
        issued: Time::new(NOW_MS + 5000).unwrap(),
        issuer: party("bank-a"),
        tool: &tool,
        entry,
        related,
        proof: None,
        anchor: None,
        policy: &policy,
    };
    let key = signer("bank-a");
    match create(&draft, &key.public, &key.private) {
        Ok(_) => Ok(()),
        Err(CreateFault::Refused(refusal)) => Err(refusal.code),
        Err(other) => panic!("{other}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// A result of one job, with the agreement that it names and with what stands beside it, each of either job.
    #[test]
    fn entries_of_two_jobs_make_no_certificate_and_entries_of_one_do(
        of in 0..2usize,
        named in 0..2usize,
        beside in prop::collection::btree_set(0..2usize, 0..3),
        agreement_beside in prop::option::of(0..2usize),
    ) {
        let mut related: Vec<SignedEntry> = beside.iter().map(|job| statement(*job)).collect();
        let other = agreement_beside.filter(|job| *job != named);
        related.extend(other.map(agreement));
        let rel = related.iter().map(SignedEntry::leaf).collect();
        let Body::Result(mut result) = body(Kind::Result) else { panic!() };
        let agreed = agreement(named);
        (result.job, result.agreement) = (id(JOBS[of]), agreed.leaf());
        let result = signed(Entry::new(header("bank-a", "result", rel), result).unwrap(), &["bank-a"]);
        related.push(agreed);
        let one_job = named == of && beside.iter().chain(&other).all(|job| *job == of);
        prop_assert_eq!(issue(&result, &related), if one_job { Ok(()) } else { Err(RefusalCode::Related) });
    }
}
