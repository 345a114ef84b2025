//! Every job leaves evidence that anybody can verify, and nothing is released before it is on record.

use std::fs;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use sqlx::ConnectOptions as _;
use tacitly::chain::View;
use tacitly::test_bed::{Party, until};
use tacitly_attestation::certificate::{Verdict, verify};
use tacitly_attestation::entry::{Body, Kind, PeerTranscript, ResultStatus, SignedEntry};
use tacitly_core::Frame;

use crate::support::liar::NAME;
use crate::support::script::{Script, Seen};
use crate::support::stage::Stage;
use crate::support::{Pair, SUBMIT, mobiles, semi_join, setup};

fn verdict(pair: &Pair, party: &Party, job: &str) -> (Verdict, Vec<u8>) {
    let file = pair.file(&format!("{}.evidence", party.name));
    party.tacitly(&["evidence", job, "--out", &file.display().to_string(), "--force"]).unwrap();
    let bytes = fs::read(file).unwrap();
    (verify(&bytes, None).unwrap(), bytes)
}

/// The entries in a party's log, oldest first.
fn entries(party: &Party) -> Vec<SignedEntry> {
    let mut entries = Vec::new();
    let view = View::open(&party.home.join("log")).unwrap();
    view.each_from(0, |_, bytes| entries.push(SignedEntry::parse(bytes).unwrap())).unwrap();
    entries
}

fn kinds(party: &Party) -> Vec<String> {
    entries(party).iter().map(|entry| entry.entry().kind().to_string()).collect()
}

fn transcript(verdict: &Verdict) -> PeerTranscript {
    match verdict.entries[0].entry.body() {
        Body::Result(result) => result.peers[0].clone(),
        other => panic!("{other:?}"),
    }
}

/// A flipped bit in the ledger is damage, and nobody is asked to report it.
#[tokio::test]
async fn an_entry_that_is_changed_in_the_store_is_told_as_damage() {
    let mut pair = Pair::start();
    let (ours, theirs) = (mobiles(0..20), mobiles(10..30));
    pair.datasets(&ours, &theirs);
    let job = pair.intersect().unwrap().0["id"].as_str().unwrap().to_owned();
    let evidence = || pair.bank.tacitly(&["evidence", &job, "--out", &pair.file("evidence").display().to_string()]);
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(pair.bank.home.join("tacitly.db"));
    let mut ledger = options.connect().await.unwrap();
    let notes: Vec<(i64, String, Vec<u8>)> =
        sqlx::query_as("SELECT number, kind, note FROM entries").fetch_all(&mut ledger).await.unwrap();
    let mut damaged = 0;
    for (number, kind, note) in notes {
        for at in (0..note.len()).step_by(note.len() / 7) {
            let mut flipped = note.clone();
            flipped[at] ^= 1;
            let put = sqlx::query("UPDATE entries SET note = $2 WHERE number = $1");
            put.bind(number).bind(flipped).execute(&mut ledger).await.unwrap();
            let Err(error) = evidence() else {
                std::fs::remove_file(pair.file("evidence")).unwrap();
                continue;
            };
            damaged += 1;
            assert_eq!(error.code(), "damaged", "{kind} {at}: {error}");
            assert!(!error.to_string().contains("Please report"), "{kind} {at}: {error}");
        }
        let put = sqlx::query("UPDATE entries SET note = $2 WHERE number = $1");
        put.bind(number).bind(note).execute(&mut ledger).await.unwrap();
    }
    assert!(damaged > 10, "{damaged}");
    evidence().unwrap();
}

#[test]
fn both_sides_of_a_job_prove_the_same_agreement_and_the_same_exchange() {
    let mut pair = Pair::start();
    let (ours, theirs) = (mobiles(0..200), mobiles(100..300));
    pair.datasets(&ours, &theirs);
    for kind in ["intersect", "align", "cardinality"] {
        let job = pair.bank.tacitly(&["psi", "--dataset", "ids", "--with", "shop/ids", "--kind", kind]).unwrap();
        let id = job["id"].as_str().unwrap();
        Pair::await_state(&pair.shop, &["done"]);
        let (bank, shop) = (verdict(&pair, &pair.bank, id).0, verdict(&pair, &pair.shop, id).0);
        let both = ["bank", "shop"].map(|name| name.parse().unwrap());
        for verdict in [&bank, &shop] {
            assert_eq!(verdict.manifest.kind, Kind::Result);
            assert!(verdict.levels.included.is_some());
            let agreement = verdict.before().find(|entry| entry.entry.kind() == Kind::Agreement).unwrap();
            assert!(both.iter().all(|party| agreement.signed.contains(party)), "{:?}", agreement.signed);
        }
        let (here, there) = (transcript(&bank), transcript(&shop));
        assert_eq!((here.sent, here.sent_bytes), (there.received, there.received_bytes), "{kind}");
        assert_eq!((here.received, here.received_bytes), (there.sent, there.sent_bytes), "{kind}");
    }
}

#[test]
fn a_certificate_names_no_identifier_and_fits_into_eight_kilobytes() {
    let mut pair = Pair::start();
    let (ours, theirs) = (mobiles(0..200), mobiles(100..300));
    pair.datasets(&ours, &theirs);
    let words = "ask 13800138000 about id 110101199003070011";
    let submit = ["psi", "--dataset", "ids", "--with", "shop/ids", "--purpose", words];
    let job = pair.bank.tacitly(&submit).unwrap();
    let (_, bytes) = verdict(&pair, &pair.bank, job["id"].as_str().unwrap());
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.len() < 8192, "{} bytes", text.len());
    let all = entries(&pair.bank).iter().map(ToString::to_string).collect::<String>() + &text;
    for secret in ours.iter().map(String::as_str).chain(["13800138000", "110101199003070011"]) {
        assert!(!all.contains(secret), "an identifier is on record");
    }
}

#[test]
fn a_reader_finds_the_job_of_a_certificate_and_of_an_entry_and_whose_keys_were_used() {
    let mut pair = Pair::start();
    pair.datasets(&mobiles(0..20), &mobiles(10..30));
    let (bank, shown) = (&pair.bank, |name: &str| pair.file(name).display().to_string());
    let submit = ["psi", "--dataset", "ids", "--with", "shop/ids", "--purpose", "joint-marketing"];
    let job = bank.tacitly(&submit).unwrap();
    let id = job["id"].as_str().unwrap();
    let certificate = shown("bank.evidence");
    let said = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_tacitly")).args(words).args(["--home"]).arg(&bank.home).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let cosigned = until(|| {
        let head = bank.tacitly(&["log", "head"]).ok()?;
        head["cosigned"].as_array()?.iter().any(|line| line["size"] == head["size"]).then_some(())
    });
    cosigned.expect("the shop cosigns");
    bank.tacitly(&["evidence", id, "--out", &certificate]).unwrap();
    let read = said(&["evidence", "verify", &certificate]);
    assert!(read.contains(&format!("job {id} of bank and shop")) && read.contains("joint-marketing"), "{read}");
    let page = shown("page.html");
    bank.tacitly(&["evidence", "html", &certificate, "-o", &page]).unwrap();
    assert!(fs::read_to_string(page).unwrap().contains(id));
    assert!(said(&["log", "tail", "--kind", "agreement"]).contains(id));
    // The number as it stands in the entry is the job's, too.
    let entry = bank.tacitly(&["log", "tail", "--kind", "agreement"]).unwrap();
    let in_entry = entry[0]["entry"]["job"].as_str().unwrap().to_owned();
    assert_eq!(bank.tacitly(&["job", "show", &in_entry]).unwrap()["id"], id);

    // An arbiter who has only the file hears that its keys are its own word, and with a policy that they are his.
    let (opening, policy) = (shown("row.opening"), shown("keys.policy"));
    bank.tacitly(&["dataset", "open", "ids", "--row", "2", "--to", "court", "-o", &opening]).unwrap();
    bank.tacitly(&["evidence", "policy", &certificate, "-o", &policy]).unwrap();
    let verify = ["evidence", "verify-opening", &opening, "--certificate", &certificate];
    assert!(said(&verify).contains("checked with the keys in the certificate itself"));
    let trusting = [&verify[..], &["--policy", &policy]].concat();
    assert!(said(&trusting).contains("checked with the keys of the policy given"));
    assert_eq!(bank.tacitly(&trusting).unwrap()["trust"], "given-policy");
}

#[test]
fn a_failed_and_a_cancelled_job_are_on_record_too_and_one_without_agreement_has_no_evidence() {
    let stage = Stage::set();
    let (failed, _) =
        stage.run(stage.honest().instead_of(1, |_| Vec::new()).body(0, |_| b"nonsense".as_slice().into()));
    assert_eq!(failed["state"], "failed");
    let found = until(|| kinds(&stage.bank).iter().any(|kind| kind == "result").then_some(()));
    assert!(found.is_some(), "{:?}", kinds(&stage.bank));
    let status = |entry: &SignedEntry| match entry.entry().body() {
        Body::Result(result) => Some(result.status),
        _ => None,
    };
    assert_eq!(entries(&stage.bank).iter().find_map(status), Some(ResultStatus::Failed));

    let file = stage.folder.path().join("none").display().to_string();
    let (refused, _) = stage.run(Script { context: "something else", ..stage.honest() });
    let error = stage.bank.tacitly(&["evidence", refused["id"].as_str().unwrap(), "--out", &file]).unwrap_err();
    assert_eq!(error.code(), "evidence-none");
    stage.goes_on();
}

#[test]
fn a_daemon_killed_with_the_result_in_hand_still_has_on_record_what_went_over_the_link() {
    let mut stage = Stage::set();
    let seen = Arc::<Mutex<Seen>>::default();
    let play = stage.liar.play(Script { never_ends: true, ..stage.honest() }, seen.clone());
    let with = format!("{NAME}/ids");
    let parties = ["--party", "bank/ids", "--party", &with, "--receive", "bank"];
    stage.bank.tacitly(&[&["job", "submit", "--kind", "intersect"][..], &parties].concat()).unwrap();
    let served = until(|| seen.lock().unwrap().outcome.is_some().then_some(()));
    assert!(served.is_some(), "the session did not get as far as its end");
    std::thread::sleep(Duration::from_secs(1));
    stage.bank.kill();
    play.abort();
    assert!(!kinds(&stage.bank).iter().any(|kind| kind == "result"));

    stage.bank.serve().unwrap();
    let play = stage.liar.play(stage.honest(), Arc::default());
    let done = until(|| stage.jobs().last().filter(|job| job["state"] == "done").cloned());
    assert!(done.is_some(), "{:?}", stage.jobs());
    play.abort();
    let result = |entry: &SignedEntry| match entry.entry().body() {
        Body::Result(result) => Some(result.clone()),
        _ => None,
    };
    let result = entries(&stage.bank).iter().find_map(result).unwrap();
    assert_eq!(result.status, ResultStatus::Done);
    let [transcript] = &result.peers[..] else { panic!("nothing of the session is on record: {result:?}") };
    let length = |frames: &[Frame]| frames.iter().map(|frame| frame.body.len() as u64).sum::<u64>();
    let seen = seen.lock().unwrap();
    assert_eq!(transcript.sent_bytes.get(), length(&seen.received[&1]));
    assert_eq!(transcript.received_bytes.get(), length(&seen.sent[&1]));
}

#[test]
fn a_peer_that_restarts_before_it_has_signed_the_agreement_is_met_again_in_another_attempt() {
    let stage = Stage::set();
    let (job, seen) = stage.run(Script { forgets: true, ..stage.honest() });
    assert!(job["state"] == "done" && job["attempt"] == 2, "{job}");
    stage.is_exact(&seen);
}

#[test]
fn a_peer_that_does_not_sign_the_agreement_gets_nothing_of_ours() {
    let stage = Stage::set();
    let seen =
        stage.accuses("another signature", Script { signs_agreements: false, ..stage.honest() }, "under the agreement");
    assert!(seen.received.is_empty(), "something of our set went out before the agreement was on record");
    assert!(!kinds(&stage.bank).iter().any(|kind| kind == "agreement"));
    stage.goes_on();
}

#[test]
fn a_peer_that_only_serves_learns_the_size_where_our_rule_lets_it_and_the_agreement_says_so() {
    let mut pair = Pair::start();
    let (ours, theirs) = (mobiles(0..200), mobiles(100..300));
    pair.datasets(&ours, &theirs);
    pair.shop.tacitly(&["dataset", "allow", "ids", "bank", "--limit", "min_intersection=5"]).unwrap();
    let (job, rows) = pair.intersect().unwrap();
    assert_eq!(rows, semi_join(&ours, &theirs));
    let (verdict, _) = verdict(&pair, &pair.bank, job["id"].as_str().unwrap());
    let agreement = verdict.before().find(|entry| entry.entry.kind() == Kind::Agreement).unwrap();
    let Body::Agreement(agreement) = agreement.entry.body() else { panic!("no agreement") };
    let learns = |name: &str| -> Vec<String> {
        let party = agreement.parties.iter().find(|party| party.party.as_str() == name).unwrap();
        party.learns.iter().map(ToString::to_string).collect()
    };
    assert_eq!(learns("shop"), ["set-sizes", "intersection-size"]);
    assert_eq!(learns("bank"), ["set-sizes", "own-shared-rows"]);

    pair.bank.tacitly(&["dataset", "allow", "ids", "shop", "--receivers", "us"]).unwrap();
    let refused = pair.intersect().map(|(job, _)| job).unwrap_err();
    assert_eq!(refused.code(), "refused-by-rule", "{refused}");
}

#[test]
fn who_a_party_is_and_whom_it_trusts_is_on_record_once_and_again_only_when_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let mut bank = Party::start(folder.path(), "bank", setup()).unwrap();
    let standing = |party: &Party, wanted: &[&str]| {
        let found = until(|| (kinds(party) == wanted).then_some(()));
        assert!(found.is_some(), "{:?}", kinds(party));
    };
    standing(&bank, &["party", "policy"]);
    bank.stop();
    bank.serve().unwrap();
    let shop = Party::start(folder.path(), "shop", setup()).unwrap();
    tacitly::test_bed::connect(&bank, &shop).unwrap();
    // The peer is a witness from now on.
    standing(&bank, &["party", "policy", "policy"]);
}

#[test]
fn a_daemon_killed_at_any_moment_has_an_agreement_and_a_result_for_every_job_that_is_done() {
    let mut pair = Pair::start();
    let (ours, theirs) = (mobiles(0..20_000), mobiles(10_000..30_000));
    pair.datasets(&ours, &theirs);
    for round in 0..6_u64 {
        let job = pair.bank.tacitly(&SUBMIT).unwrap();
        let id = job["id"].as_str().unwrap().to_owned();
        std::thread::sleep(std::time::Duration::from_millis(70 * round));
        let victim = if round % 2 == 0 { &mut pair.bank } else { &mut pair.shop };
        victim.kill();
        victim.serve().unwrap();
        for party in [&pair.bank, &pair.shop] {
            let done = until(|| {
                let job: Value = party.tacitly(&["job", "show", &id]).ok()?;
                if job["state"] == "suspended" {
                    let _another_side_may_have_resumed = party.tacitly(&["job", "resume", &id]);
                }
                (job["state"] == "done").then_some(())
            });
            assert!(done.is_some(), "round {round}: {}", party.tacitly(&["job", "show", &id]).unwrap());
            let (verdict, _) = verdict(&pair, party, &id);
            assert_eq!(verdict.manifest.kind, Kind::Result, "round {round}, {}", party.name);
        }
        let out = pair.file("out.csv").display().to_string();
        pair.bank.tacitly(&["job", "result", &id, "--out", &out, "--force"]).unwrap();
        assert_eq!(crate::support::numbers(&pair.file("out.csv")), semi_join(&ours, &theirs));
    }
    for party in [&pair.bank, &pair.shop] {
        party.tacitly(&["log", "fsck", "--signatures"]).unwrap();
    }
}
