//! Two parties hold their logs against each other.

use std::ops::Range;
use std::path::Path;

use tacitly::chain::Log;
use tacitly::evidence::job_number;
use tacitly::store::NoteSigner;
use tacitly::test_bed::Party;
use tacitly_attestation::commitment::{Salt, Subject, commit};
use tacitly_attestation::entry::{
    AgreementEntry, Attendance, Body, Bucket, ByteCount, Code, Count, Digest, Entry, Header, Id, LeafHash, Nonce,
    Origin, Participant, PeerTranscript, QueryEntry, ResultEntry, ResultStatus, ServeEntry, ServeStatus, SignedEntry,
    Time,
};
use tacitly_attestation::hash::Hash;
use tacitly_attestation::note::{KeyUse, VerifierKey};
use tacitly_attestation::transcript::Transcript;

use crate::support::Pair;
use crate::world::{append, await_cosignatures, copy_folder, forks, json, open_log, run, signer, tick};

const LONG_AGO: u64 = 1_770_000_000_000;

fn half(text: &str) -> [u8; 16] {
    Hash::of(text.as_bytes()).0[..16].try_into().unwrap()
}

/// An entry in the log of `by`, signed by all in `signers`.
fn entry(
    homes: &[(&str, &Path)],
    by: &str,
    t: u64,
    name: &str,
    body: impl Into<Body>,
    signers: &[&str],
) -> SignedEntry {
    let header = Header {
        id: Id(half(name)),
        log: Origin::parse(&format!("tacitly/{by}")).unwrap(),
        by: by.parse().unwrap(),
        t: Time::new(t).unwrap(),
        nonce: Nonce(half(&format!("nonce {name} {by}"))),
        rel: vec![],
    };
    let mut entry = SignedEntry::new(Entry::new(header, body).unwrap());
    for party in signers {
        let home = homes.iter().find(|(name, _)| name == party).unwrap().1;
        let signer = signer(home);
        let key = VerifierKey::new(party, KeyUse::Text, signer.public_key().as_bytes()).unwrap();
        entry.sign(&key, &NoteSigner(signer)).unwrap();
    }
    entry
}

fn agreement(job: &str, purpose: &str) -> AgreementEntry {
    let participant = |party: &str, role: &str| Participant {
        party: party.parse().unwrap(),
        role: Code::parse(role).unwrap(),
        dataset: None,
        contribution: None,
        offer: None,
        learns: vec![],
        attendance: Attendance::Signs,
    };
    AgreementEntry {
        job: Id(half(job)),
        protocol: Code::parse("tacitly.psi").unwrap(),
        version: Count::new(1).unwrap(),
        terms: Digest(Hash::of(job.as_bytes())),
        purpose: Code::parse(purpose).unwrap(),
        parties: vec![participant("bank", "receiver"), participant("shop", "holder")],
        limits: vec![],
        expires: None,
        price: None,
    }
}

fn result(job: &str, peer: &str, sent: &[u8], received: &[u8]) -> ResultEntry {
    let digest = |bytes: &[u8]| {
        let mut transcript = Transcript::new();
        transcript.absorb(bytes);
        (transcript.digest(), ByteCount::new(bytes.len() as u64).unwrap())
    };
    let ((sent, sent_bytes), (received, received_bytes)) = (digest(sent), digest(received));
    ResultEntry {
        job: Id(half(job)),
        agreement: LeafHash(Hash::of(job.as_bytes())),
        status: ResultStatus::Done,
        output: None,
        sharing: None,
        peers: vec![PeerTranscript { peer: peer.parse().unwrap(), sent, sent_bytes, received, received_bytes }],
        metric: None,
    }
}

fn query(job: &str) -> QueryEntry {
    QueryEntry {
        job: Id(half(job)),
        agreement: LeafHash(Hash::of(job.as_bytes())),
        query: Id(half("query")),
        commitment: commit(Subject::Query, &Salt::new([7; 32]), job.as_bytes()),
        batch: Bucket::of(1),
        responder: "shop".parse().unwrap(),
        authorisation: None,
        purpose: Code::parse("credit-review").unwrap(),
    }
}

fn serve(job: &str, query: &SignedEntry) -> ServeEntry {
    ServeEntry {
        job: Id(half(job)),
        query: query.leaf(),
        asker: "bank".parse().unwrap(),
        commitment: commit(Subject::Query, &Salt::new([7; 32]), job.as_bytes()),
        batch: Bucket::of(1),
        purpose: Code::parse("credit-review").unwrap(),
        status: ServeStatus::Served,
        reason: None,
        answer: Some(commit(Subject::Answer, &Salt::new([8; 32]), job.as_bytes())),
        unit: Code::parse("answer").unwrap(),
        units: Count::new(1).unwrap(),
        hits: None,
        hits_commitment: None,
    }
}

async fn record(log: &Log, entries: &[SignedEntry]) {
    for entry in entries {
        log.append(entry.encode()).await.unwrap();
    }
    log.signed(log.head().size).await.unwrap();
}

fn stop(party: &mut Party) {
    let _code = party.stop();
}

#[tokio::test]
async fn what_one_side_left_out_or_wrote_otherwise_is_found_on_both_sides() {
    let mut pair = Pair::start();
    let (bank, shop) = (pair.bank.home.clone(), pair.shop.home.clone());
    let homes = [("bank", bank.as_path()), ("shop", shop.as_path())];
    stop(&mut pair.bank);
    stop(&mut pair.shop);
    let both = ["bank", "shop"];
    let of = |by: &str, name: &str, body: Body, signers: &[&str]| entry(&homes, by, LONG_AGO, name, body, signers);
    // One job as it should be, with a question and its answer.
    let asked = of("bank", "good query", query("good").into(), &["bank"]);
    let mut ours = vec![
        of("bank", "good agreement", agreement("good", "marketing").into(), &both),
        of("bank", "good result", result("good", "shop", b"out", b"in").into(), &["bank"]),
        asked.clone(),
    ];
    let mut theirs = vec![
        of("shop", "good agreement", agreement("good", "marketing").into(), &both),
        of("shop", "good result", result("good", "bank", b"in", b"out").into(), &["shop"]),
        of("shop", "good serve", serve("good", &asked).into(), &["shop"]),
    ];
    // One note that the bank led, in both logs.
    let joint = of("bank", "joint", agreement("joint", "marketing").into(), &both);
    ours.push(joint.clone());
    theirs.push(joint);
    record(&open_log(&bank, "bank"), &ours).await;
    record(&open_log(&shop, "shop"), &theirs).await;
    pair.bank.serve().unwrap();
    pair.shop.serve().unwrap();
    tacitly::test_bed::await_link(&pair.bank, &pair.shop).unwrap();
    await_cosignatures(&pair.shop, &["bank"]);
    let (found, agree) = json(&bank, &["log", "reconcile", "shop"]);
    assert!(agree && found["mismatches"].as_array().unwrap().is_empty(), "{found}");
    assert!(found["ours"].as_u64().unwrap() >= 3 && found["theirs"].as_u64().unwrap() >= 3, "{found}");

    // Everything that can be wrong, one job each.
    stop(&mut pair.bank);
    stop(&mut pair.shop);
    let unanswered = of("bank", "unanswered", query("unanswered").into(), &["bank"]);
    let twice = of("bank", "twice", query("twice").into(), &["bank"]);
    let other = of("bank", "other", QueryEntry { job: Id(half("other")), ..query("else") }.into(), &["bank"]);
    let never_asked = of("bank", "never recorded", query("invented").into(), &["bank"]);
    let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap();
    ours = vec![
        of("bank", "left out", agreement("left-out", "marketing").into(), &both),
        of("bank", "other purpose", agreement("purpose", "marketing").into(), &both),
        of("bank", "other bytes", result("bytes", "shop", b"out", b"in").into(), &["bank"]),
        unanswered,
        twice.clone(),
        other.clone(),
        of("bank", "one note", agreement("two-notes", "marketing").into(), &both),
        entry(&homes, "bank", now, "a moment ago", agreement("moment", "marketing"), &both),
    ];
    theirs = vec![
        of("shop", "other purpose", agreement("purpose", "scoring").into(), &both),
        of("shop", "other bytes", result("bytes", "bank", b"in", b"OUT").into(), &["shop"]),
        of("shop", "invented", serve("invented", &never_asked).into(), &["shop"]),
        of("shop", "twice", serve("twice", &twice).into(), &["shop"]),
        of("shop", "twice again", serve("twice", &twice).into(), &["shop"]),
        of("shop", "another question", serve("other", &other).into(), &["shop"]),
        of("shop", "secret", agreement("secret", "marketing").into(), &both),
        of("bank", "another note", agreement("two-notes", "marketing").into(), &both),
    ];
    record(&open_log(&bank, "bank"), &ours).await;
    record(&open_log(&shop, "shop"), &theirs).await;
    pair.bank.serve().unwrap();
    pair.shop.serve().unwrap();
    tacitly::test_bed::await_link(&pair.bank, &pair.shop).unwrap();
    await_cosignatures(&pair.bank, &["shop"]);
    let expected = [
        ("agreement", "left-out", "in our log and not in theirs"),
        ("agreement", "purpose", "purpose"),
        ("agreement", "two-notes", "sign another note"),
        ("result", "bytes", "what we sent is not what they received"),
        ("query", "unanswered", "recorded by the asker alone"),
        ("query", "twice", "answered 2 times"),
        ("query", "other", "another question than was asked"),
        ("serve", "invented", "has no such question"),
        ("agreement", "secret", "in their log and not in ours"),
    ];
    // What was recorded a moment ago is forgiven, however long this machine takes until here.
    let (found, agree) = json(&bank, &["log", "reconcile", "shop", "--grace", "3600"]);
    assert!(!agree);
    let mismatches = found["mismatches"].as_array().unwrap();
    for (kind, job, what) in expected {
        let job = job_number(Id(half(job)));
        let named = mismatches.iter().any(|mismatch| {
            mismatch["kind"] == kind && mismatch["job"] == *job && mismatch["what"].as_str().unwrap().contains(what)
        });
        assert!(named, "{kind} {what}: {found}");
    }
    assert_eq!(mismatches.len(), expected.len(), "{found}");
    // The other side sees the same from where it stands; nothing is forgiven without grace.
    let (mirrored, _) = json(&shop, &["log", "reconcile", "bank", "--grace", "3600"]);
    assert_eq!(mirrored["mismatches"].as_array().unwrap().len(), expected.len(), "{mirrored}");
    let (strict, _) = json(&bank, &["log", "reconcile", "shop", "--grace", "0"]);
    assert_eq!(strict["mismatches"].as_array().unwrap().len(), expected.len() + 1, "{strict}");
    let words = String::from_utf8(run(&bank, &["log", "reconcile", "shop"]).stdout).unwrap();
    assert!(words.contains("they do NOT agree") && words.contains("theirs -"), "{words}");
    assert!(!run(&bank, &["log", "reconcile", "nobody"]).status.success());
}

/// Appends more than one answer covers, in any order.
async fn append_at_once(home: &Path, name: &str, numbers: Range<u64>) {
    let (log, mut appends) = (open_log(home, name), tokio::task::JoinSet::new());
    for number in numbers {
        let (log, entry) = (log.clone(), tick(home, name, number));
        appends.spawn(async move { log.append(entry).await.unwrap() });
    }
    appends.join_all().await;
}

#[tokio::test]
async fn a_peer_that_is_busy_with_another_reconcile_is_asked_again() {
    let mut pair = Pair::start();
    stop(&mut pair.shop);
    append_at_once(&pair.shop.home, "shop", 0..12_000).await;
    pair.shop.serve().unwrap();
    tacitly::test_bed::await_link(&pair.bank, &pair.shop).unwrap();
    await_cosignatures(&pair.shop, &["bank"]);
    std::thread::scope(|scope| {
        let asked: Vec<_> =
            (0..6).map(|_| scope.spawn(|| run(&pair.bank.home, &["log", "reconcile", "shop"]))).collect();
        for asked in asked {
            let answered = asked.join().unwrap();
            assert!(answered.status.success(), "{answered:?}");
        }
    });
}

#[tokio::test]
async fn a_peer_that_shows_another_log_than_the_one_we_witnessed_is_named() {
    let mut pair = Pair::start();
    let (bank, shop) = (pair.bank.home.clone(), pair.shop.home.clone());
    stop(&mut pair.shop);
    let copy = |name: &str| pair.folder.path().join(name);
    let (before, witnessed) = (copy("before"), copy("witnessed"));
    copy_folder(&shop.join("log"), &before);
    // The proof from a tree whose size is a power of two does not show its root, and so convicts nobody. What the daemon
    // itself puts on record at its start counts, too.
    let mut size = 1;
    for round in 0.. {
        append(&shop, "shop", 5 * round, 5).await;
        pair.shop.serve().unwrap();
        await_cosignatures(&pair.shop, &["bank"]);
        pair.shop.kill();
        size = open_log(&shop, "shop").head().size;
        if !size.is_power_of_two() {
            break;
        }
    }
    copy_folder(&shop.join("log"), &witnessed);

    for (case, folder, first, until, words, convicts) in [
        ("another history of the same length", &before, 100, size, "does not go on", true),
        ("another history that is longer", &before, 100, size + 3, "does not go on", true),
        ("fewer entries", &before, 0, size - 2, "hides some, or has an old copy", false),
    ] {
        let _nothing_yet = std::fs::remove_dir_all(bank.join("evidence"));
        std::fs::remove_dir_all(shop.join("log")).unwrap();
        copy_folder(folder, &shop.join("log"));
        let begun = open_log(&shop, "shop").head().size;
        append(&shop, "shop", first, until - begun).await;
        pair.shop.serve().unwrap();
        tacitly::test_bed::await_link(&pair.bank, &pair.shop).unwrap();
        let refused = run(&bank, &["log", "reconcile", "shop"]);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(!refused.status.success(), "{case}");
        assert!(
            said.contains("protocol-violation") && said.contains("shop: ") && said.contains(words),
            "{case}: {said}"
        );
        assert_eq!(!forks(&pair.bank).is_empty(), convicts, "{case}: two histories are kept as evidence");
        pair.shop.kill();
    }

    // The one that was witnessed agrees again, also with more behind it than was witnessed and than one answer covers.
    std::fs::remove_dir_all(shop.join("log")).unwrap();
    copy_folder(&witnessed, &shop.join("log"));
    append_at_once(&shop, "shop", 200..4400).await;
    pair.shop.serve().unwrap();
    tacitly::test_bed::await_link(&pair.bank, &pair.shop).unwrap();
    let (found, agree) = json(&bank, &["log", "reconcile", "shop"]);
    assert!(agree, "{found}");
    for fork in forks(&pair.bank) {
        assert!(run(&bank, &["log", "verify-fork", &fork.display().to_string()]).status.success());
    }
}
