//! Certificates: what they prove, and that no byte of them can change.

use tacitly_attestation::certificate::{
    AnchorVerifier, Anchoring, CreateFault, Draft, Finality, Level, RefusalCode, Trust, Verdict, create, verify,
    verify_with_anchor,
};
use tacitly_attestation::checkpoint::Checkpoint;
use tacitly_attestation::entry::{AnchorEntry, Body, Entry, Kind, SignedEntry, Software, Time};
use tacitly_attestation::note::{KeyUse, VerifierKey};
use tacitly_attestation::policy::{Policy, Quorum};
use tacitly_attestation::proof::LogProof;

use super::support::{
    Job, NOW, NOW_MS, body, cosign, header, id, job, log_key, origin, party, policy, signed, signer, witness_key,
    witnesses,
};

const WATCHING: &[&str] = &["shop-b", "regulator"];

fn issue(
    entry: &SignedEntry,
    related: &[SignedEntry],
    proof: Option<&LogProof>,
    anchor: Option<&str>,
    policy: &Policy,
) -> Result<(Vec<u8>, Verdict), CreateFault<std::convert::Infallible>> {
    let tool = Software::parse("tacitly 0.1.0").unwrap();
    let issued = Time::new(NOW_MS + 5000).unwrap();
    let draft = Draft {
        id: id("certificate"),
        issued,
        issuer: party("bank-a"),
        tool: &tool,
        entry,
        related,
        proof,
        anchor,
        policy,
    };
    let key = signer("bank-a");
    create(&draft, &key.public, &key.private)
}

fn of_job(job: &Job, related: &[SignedEntry]) -> Vec<u8> {
    issue(&job.result, related, Some(&job.proof), None, &policy(WATCHING)).unwrap().0
}

fn refused(result: Result<(Vec<u8>, Verdict), CreateFault<std::convert::Infallible>>) -> RefusalCode {
    match result {
        Err(CreateFault::Refused(refusal)) => refusal.code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_finished_job_is_proven_up_to_its_witnesses() {
    let job = job(1000, WATCHING);
    let related = [job.agreement.clone(), job.dataset.clone(), job.party.clone()];
    let bytes = of_job(&job, &related);
    for (given, trust) in [(None, Trust::Snapshot), (Some(policy(WATCHING)), Trust::Given)] {
        let verdict = verify(&bytes, given.as_ref()).unwrap();
        assert_eq!((verdict.trust, verdict.policy.digest()), (trust, policy(WATCHING).digest()));
        let line = "signed by bank-a; included at 600 of 1000; witnessed 2 of 2; not anchored";
        assert_eq!(verdict.levels.to_string(), line);
        assert!(verdict.levels.is_witnessed());

        let (recorded, cosigned, issued) = verdict.time();
        assert_eq!((recorded.unwrap().get(), issued.get()), (NOW_MS, NOW_MS + 5000));
        assert_eq!(cosigned, [("shop-b".to_owned(), NOW), ("regulator".to_owned(), NOW)]);
        assert_eq!(verdict.place().unwrap().log, origin("bank-a"));
        let persons = verdict.persons();
        assert_eq!(persons[0].0, party("bank-a"));
        assert_eq!(persons[0].1.unwrap().name.as_str(), "示例银行股份有限公司");
        assert_eq!((persons[1].0, persons[1].1), (party("shop-b"), None));
        let before: Vec<Kind> = verdict.before().map(|proven| proven.entry.kind()).collect();
        assert_eq!(before, [Kind::Agreement, Kind::Dataset, Kind::Party]);
        assert_eq!(verdict.during().count(), 0);
        let after: Vec<&Body> = verdict.after().map(|proven| proven.entry.body()).collect();
        assert!(matches!(after[..], [Body::Result(_)]));
    }
}

#[test]
fn every_single_changed_byte_is_refused_with_a_reason() {
    let job = job(1000, WATCHING);
    let bytes = of_job(&job, std::slice::from_ref(&job.agreement));
    let given = policy(WATCHING);
    let mut codes = std::collections::BTreeMap::<RefusalCode, usize>::new();
    for at in 0..bytes.len() {
        for mask in [0x01, 0x20, 0x80] {
            let mut changed = bytes.clone();
            changed[at] ^= mask;
            for policy in [None, Some(&given)] {
                let refusal = verify(&changed, policy).expect_err(&format!("byte {at} ^ {mask:#04x}"));
                assert!(!refusal.code.as_str().is_empty() && !refusal.detail.is_empty());
                *codes.entry(refusal.code).or_default() += 1;
            }
        }
    }
    println!("{} bytes, refused by {codes:?}", bytes.len());
    assert!(codes.len() >= 8, "a change is told apart by where it was made: {codes:?}");
}

#[test]
fn a_byte_more_a_byte_less_and_a_cut_anywhere_are_refused() {
    let job = job(50, WATCHING);
    let bytes = of_job(&job, &[]);
    for at in 0..bytes.len() {
        assert!(verify(&bytes[..at], None).is_err(), "cut at {at}");
        let without = [&bytes[..at], &bytes[at + 1..]].concat();
        assert!(verify(&without, None).is_err(), "without byte {at}");
        let with = [&bytes[..at], b"\n", &bytes[at..]].concat();
        assert!(verify(&with, None).is_err(), "a line feed before byte {at}");
    }
    assert!(verify(&[&bytes[..], b"\n"].concat(), None).is_err());
}

#[test]
fn a_certificate_of_a_typical_intersection_is_small() {
    let job = job(200_000, WATCHING);
    let bytes = of_job(&job, &[]);
    let with_agreement = of_job(&job, std::slice::from_ref(&job.agreement));
    let given = policy(WATCHING);
    assert!(verify(&bytes, Some(&given)).is_ok());
    assert!(with_agreement.len() <= 4096, "{} bytes", with_agreement.len());
}

#[test]
fn a_certificate_says_what_it_does_not_reach() {
    let job = job(50, &["shop-b"]);
    let (bytes, verdict) = issue(&job.result, &[], None, None, &policy(WATCHING)).unwrap();
    assert_eq!(verdict.levels.to_string(), "signed by bank-a; stated, not included; not witnessed; not anchored");
    assert_eq!(verdict.levels.reached(), Level::Stated);
    // Leaving the proof out is no way around witnesses that are missing; where none is asked, none is needed.
    assert_eq!(verify(&bytes, Some(&policy(WATCHING))).unwrap_err().code, RefusalCode::Quorum);
    assert_eq!(verify(&bytes, Some(&policy(&[]))).unwrap().levels, verdict.levels);

    let (bytes, verdict) = issue(&job.result, &[], Some(&job.proof), None, &policy(WATCHING)).unwrap();
    assert!(verdict.levels.to_string().contains("witnessed 1 of 2 (too few)"));
    assert!(!verdict.levels.is_witnessed());
    // Whoever brings a policy along gets what it asks for, or a refusal.
    assert_eq!(verify(&bytes, Some(&policy(WATCHING))).unwrap_err().code, RefusalCode::Quorum);
    assert!(verify(&bytes, Some(&policy(&["shop-b"]))).unwrap().levels.is_witnessed());

    let (_, verdict) = issue(&job.result, &[], Some(&job.proof), None, &policy(&[])).unwrap();
    assert_eq!(verdict.levels.witnessed.as_ref().unwrap().quorum, Quorum::NotAsked);
    assert!(verdict.levels.to_string().contains("witnessed 0 of 0 (none asked)"));
}

#[test]
fn keys_count_only_if_the_given_policy_names_them() {
    let job = job(50, WATCHING);
    let bytes = of_job(&job, &[]);
    let signers = [signer("bank-a").public, signer("shop-b").public];
    let logs = [log_key("bank-a").public];
    let of = |signers: &[_], logs: &[_]| Policy::consortium(signers, logs, &witnesses(WATCHING), 2).unwrap();
    let code = |policy: &Policy| verify(&bytes, Some(policy)).map(|_| ()).map_err(|refusal| refusal.code);
    assert_eq!(code(&of(&signers, &logs)), Ok(()));
    assert_eq!(code(&of(&signers[1..], &logs)), Err(RefusalCode::EntrySignature));
    assert_eq!(code(&of(&signers, &[log_key("shop-b").public])), Err(RefusalCode::LogUnknown));
    // Keys of the same names that are not the same keys.
    let stranger = VerifierKey::new("bank-a", KeyUse::Text, signer("stranger").public.public());
    assert_eq!(code(&of(&[stranger.unwrap()], &logs)), Err(RefusalCode::EntrySignature));
}

#[test]
fn parts_that_do_not_belong_together_are_refused_by_their_code() {
    let good = job(50, WATCHING);
    let other = job(60, WATCHING);
    let policy = policy(WATCHING);

    // An entry that nothing names, a repeated one, and one whose counterparty has not signed.
    let stray = signed(Entry::new(header("bank-a", "stray", vec![]), body(Kind::Tick)).unwrap(), &["bank-a"]);
    let attach = |related: &[SignedEntry]| refused(issue(&good.result, related, Some(&good.proof), None, &policy));
    assert_eq!(attach(&[stray]), RefusalCode::Related);
    assert_eq!(attach(&[good.dataset.clone(), good.agreement.clone()]), RefusalCode::Related);
    assert_eq!(attach(&[good.agreement.clone(), good.agreement.clone()]), RefusalCode::Related);
    let one_sided = signed(good.agreement.entry().clone(), &["bank-a"]);
    let result = Entry::new(header("bank-a", "result", vec![one_sided.leaf()]), good.result.entry().body().clone());
    let result = signed(result.unwrap(), &["bank-a"]);
    let half = issue(&result, &[one_sided], None, None, &policy);
    assert_eq!(refused(half), RefusalCode::RelatedSignature);

    // Another place, another tree, another log.
    let moved = LogProof { index: good.proof.index + 1, ..good.proof.clone() };
    assert_eq!(refused(issue(&good.result, &[], Some(&moved), None, &policy)), RefusalCode::Inclusion);
    let swapped = LogProof { checkpoint: other.proof.checkpoint.clone(), ..good.proof.clone() };
    assert_eq!(refused(issue(&good.result, &[], Some(&swapped), None, &policy)), RefusalCode::Inclusion);
    let tick = signed(Entry::new(header("shop-b", "tick", vec![]), body(Kind::Tick)).unwrap(), &["shop-b"]);
    assert_eq!(refused(issue(&tick, &[], Some(&good.proof), None, &policy)), RefusalCode::Proof);

    // Nobody signed the entry; the issuer is not the one whose key signs.
    let unsigned = SignedEntry::new(good.result.entry().clone());
    let unsigned = signed(unsigned.entry().clone(), &["shop-b"]);
    assert_eq!(refused(issue(&unsigned, &[], None, None, &policy)), RefusalCode::EntrySignature);
    let tool = Software::parse("tacitly 0.1.0").unwrap();
    let draft = Draft {
        id: id("certificate"),
        issued: Time::new(NOW_MS).unwrap(),
        issuer: party("shop-b"),
        tool: &tool,
        entry: &good.result,
        related: &[],
        proof: None,
        anchor: None,
        policy: &policy,
    };
    let key = signer("bank-a");
    assert_eq!(refused(create(&draft, &key.public, &key.private)), RefusalCode::Issuer);
}

#[test]
fn a_false_cosignature_spoils_the_certificate_and_a_strangers_does_not() {
    let good = job(50, &["shop-b"]);
    let policy = policy(WATCHING);
    let mut proof = good.proof.clone();
    cosign(&mut proof.checkpoint, "stranger");
    assert!(issue(&good.result, &[], Some(&proof), None, &policy).is_ok());

    // The regulator's line from the checkpoint of another tree.
    let mut other = job(60, &[]).proof.checkpoint;
    cosign(&mut other, "regulator");
    proof.checkpoint.add(other.signatures()[1].clone());
    assert_eq!(refused(issue(&good.result, &[], Some(&proof), None, &policy)), RefusalCode::Cosignature);
}

struct Chain(Result<Finality, String>);

impl AnchorVerifier for Chain {
    fn verify(&self, checkpoint: &Checkpoint, proof: &str) -> Result<(AnchorEntry, Finality), String> {
        assert_eq!((checkpoint.size, proof), (50, "block 12345\n"));
        let Body::Anchor(anchor) = body(Kind::Anchor) else { panic!() };
        self.0.clone().map(|finality| (anchor, finality))
    }
}

#[test]
fn an_anchor_is_handed_to_the_verifier_of_its_chain_or_reported_as_not_checked() {
    let job = job(50, WATCHING);
    let policy = policy(WATCHING);
    let (bytes, verdict) = issue(&job.result, &[], Some(&job.proof), Some("block 12345\n"), &policy).unwrap();
    assert_eq!(verdict.levels.anchored, Anchoring::NotChecked);
    assert!(verdict.levels.to_string().ends_with("anchor not checked"));
    for (finality, line) in [(Finality::Proven, "; anchored"), (Finality::NotProven, "finality not proven")] {
        let verdict = verify_with_anchor(&bytes, Some(&policy), &Chain(Ok(finality))).unwrap();
        assert!(verdict.levels.to_string().ends_with(line));
    }
    let refusal = verify_with_anchor(&bytes, None, &Chain(Err("the receipt is of another block".to_owned())));
    assert_eq!(refusal.unwrap_err().code, RefusalCode::Anchor);
    let without_proof = issue(&job.result, &[], None, Some("block 12345\n"), &policy);
    assert_eq!(refused(without_proof), RefusalCode::Malformed);
}

#[test]
fn what_a_revoked_key_signs_counts_only_where_witnesses_show_that_it_is_older() {
    let job = job(50, WATCHING);
    let related = [job.agreement.clone(), job.dataset.clone()];
    let bytes = of_job(&job, &related);
    let after = |name: &str, seconds: u64| policy(WATCHING).with_revoked(&[(signer(name).public, seconds)]).unwrap();
    let code = |bytes: &[u8], policy: &Policy| verify(bytes, Some(policy)).map(drop).map_err(|refusal| refusal.code);
    // Cosigned at NOW, issued five seconds later. The agreement is signed by shop-b as well.
    for name in ["bank-a", "shop-b"] {
        assert_eq!(code(&bytes, &after(name, NOW + 60)), Ok(()), "{name}");
        assert_eq!(code(&bytes, &after(name, NOW)), Err(RefusalCode::Revoked), "{name}");
        assert_eq!(code(&bytes, &after(name, NOW - 60)), Err(RefusalCode::Revoked), "{name}");
    }
    // Issued after: what it holds is older, and the issuer's own word is not.
    assert_eq!(code(&bytes, &after("bank-a", NOW + 3)), Err(RefusalCode::Revoked));
    assert_eq!(code(&bytes, &after("shop-b", NOW + 3)), Ok(()));
    // Without witnesses nothing shows how old a signature is.
    let (bytes, _) = issue(&job.result, &related, None, None, &policy(&[])).unwrap();
    let unwitnessed = policy(&[]).with_revoked(&[(signer("shop-b").public, NOW + 60)]).unwrap();
    assert_eq!(code(&bytes, &unwitnessed), Err(RefusalCode::Revoked));
    assert_eq!(code(&bytes, &policy(&[])), Ok(()));
}

#[test]
fn a_witness_whose_key_is_revoked_counts_for_nothing_whatever_time_it_states() {
    let job = job(50, WATCHING);
    let bytes = of_job(&job, &[]);
    // A witness signs with the public key of its party's entries.
    let text = |since: u64| {
        let [shop, regulator] = ["shop-b", "regulator"].map(|name| witness_key(name).public);
        let named = VerifierKey::new("shop-b", KeyUse::Text, shop.public()).unwrap();
        let bank = (signer("bank-a").public, log_key("bank-a").public);
        let lines = format!("signer {}\nlog {}\nwitness s {shop}\nwitness r {regulator}\n", bank.0, bank.1);
        Policy::parse(&format!("{lines}group g 2 s r\nquorum g\nrevoked {named} {since}\n")).unwrap()
    };
    for since in [NOW - 60, NOW, NOW + 60] {
        assert_eq!(verify(&bytes, Some(&text(since))).unwrap_err().code, RefusalCode::Quorum);
    }
}
