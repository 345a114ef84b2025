//! Real daemons that have never met, in one session through their leader: an honest one, and one that does as it likes
//! with what passes through its hands.

use std::fs;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tacitly::attestation::entry::{Code, Count};
use tacitly::attestation::roster::{Roster, SignedRoster};
use tacitly::relay::wire::{Outcome, Piece};
use tacitly::store::NoteSigner;
use tacitly::test_bed::{Party, Setup, until_within};

use crate::support::leader::{Face, Leader, Trick};
use crate::support::liar::NAME;
use crate::support::setup;
use crate::toys::{introduced_by_the_first, program};

#[test]
fn two_daemons_that_have_never_met_add_their_numbers_through_the_leader_of_the_job() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let [bank, shop, lab] = introduced_by_the_first(folder.path(), ["bank", "shop", "lab"]);
    let roster = at("east.roster");
    let founded =
        bank.tacitly(&["consortium", "init", "east", "--member", "shop", "--member", "lab", "--out", &roster]).unwrap();
    let fingerprint = founded["fingerprint"].as_str().unwrap();
    for (party, amounts) in [(&bank, [1, 2, 3]), (&shop, [10, 20, 30]), (&lab, [-400, 0, 100])] {
        if party.name != "bank" {
            party.tacitly(&["consortium", "join", &roster, "--fingerprint", fingerprint]).unwrap();
        }
        let rows: Vec<String> = (0..).zip(amounts).map(|(row, amount)| format!("id-{row},{amount}\n")).collect();
        let file = at(&format!("{}.csv", party.name));
        fs::write(&file, "id,amount\n".to_owned() + &rows.concat()).unwrap();
        party.tacitly(&["dataset", "add", "amounts", &file, "--key", "id=raw"]).unwrap();
        for other in ["bank", "shop", "lab"].into_iter().filter(|other| *other != party.name) {
            party.tacitly(&["dataset", "allow", "amounts", other]).unwrap();
        }
    }
    for member in [&shop, &lab] {
        let peers = member.tacitly(&["peer", "list"]).unwrap();
        assert_eq!(peers.as_array().unwrap().len(), 1, "{} has met the leader only: {peers}", member.name);
    }

    // In one part, and in three, of which each is a session of its own.
    for parts in [1, 3] {
        let params = json!({ "parts": parts }).to_string();
        let mut words = vec!["job", "submit", "--kind", "add", "--purpose", "test", "--params", &params];
        for party in ["bank", "shop", "lab"] {
            words.extend(["--receive", party]);
        }
        words.extend(["--party", "bank/amounts", "--party", "shop/amounts", "--party", "lab/amounts"]);
        let job = bank.tacitly(&words).unwrap();
        let id = job["id"].as_str().unwrap();
        for party in [&bank, &shop, &lab] {
            let done = until_within(Duration::from_mins(2), || {
                (party.tacitly(&["job", "show", id]).ok()?["state"] == "done").then_some(())
            });
            assert!(done.is_some(), "{:?}\n{}", party.tacitly(&["job", "show", id]), party.log());
            let shown = party.tacitly(&["job", "show", id]).unwrap();
            assert_eq!(shown["summary"], json!({ "sum": -234, "parties": 3 }), "{}", party.name);
        }
    }
}

/// A number for each party, that the others may add up.
fn brings(party: &Party, file: &str, amounts: &[i64], others: [&str; 2]) {
    let rows: Vec<String> = (0..).zip(amounts).map(|(row, amount)| format!("id-{row},{amount}\n")).collect();
    fs::write(file, "id,amount\n".to_owned() + &rows.concat()).unwrap();
    party.tacitly(&["dataset", "add", "amounts", file, "--key", "id=raw"]).unwrap();
    for other in others {
        party.tacitly(&["dataset", "allow", "amounts", other]).unwrap();
    }
}

/// Somewhere in the middle of every piece a bit is another one.
fn changes() -> Trick {
    Box::new(|pieces| {
        for piece in pieces {
            let mut body = piece.body.to_vec();
            let middle = body.len() / 2;
            body[middle..].iter_mut().take(1).for_each(|byte| *byte ^= 1);
            piece.body = body.into();
        }
        None
    })
}

/// The second piece of every line is gone, or comes after the third, although it is said to be there.
fn loses_the_second(and_brings_it_later: bool) -> Trick {
    let mut held: Vec<Piece> = Vec::new();
    Box::new(move |pieces| {
        let piece = pieces[0].clone();
        if piece.number == 1 {
            held.push(piece);
            pieces.clear();
            return Some(Outcome::Taken);
        }
        let is_before = |held: &Piece| (&held.line, &held.from) == (&piece.line, &piece.from);
        if and_brings_it_later && piece.number == 2 {
            pieces.extend(held.iter().filter(|held| is_before(held)).cloned());
        }
        None
    })
}

/// Nothing comes through, although it is said to be there.
fn withholds() -> Trick {
    Box::new(|pieces| {
        pieces.clear();
        Some(Outcome::Taken)
    })
}

#[test]
fn a_leader_that_changes_drops_swaps_or_withholds_what_members_say_is_named_and_nothing_comes_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let setup = Setup { executable: program(folder.path()), ..setup() }.set("TACITLY_NETWORK__HEARTBEAT_SECONDS", 5);
    // The one gives up first and says so: the other sees by that piece that one before it is missing.
    let members = [("bank", 4), ("shop", 12)].map(|(name, window)| {
        let setup = setup.clone().set("TACITLY_NETWORK__RECONNECT_WINDOW_SECONDS", window);
        Party::start(folder.path(), name, setup).unwrap()
    });
    let leader = Leader::of(&[&members[0], &members[1]], folder.path());
    // They know each other by its roster only.
    let roster = Roster {
        name: Code::parse("east").unwrap(),
        version: Count::new(1).unwrap(),
        founder: leader.keys()[&leader.any().me].of_notes(leader.any().me).unwrap(),
        members: leader.keys().iter().map(|(member, key)| key.of_notes(*member).unwrap()).collect(),
    };
    let roster = SignedRoster::sign(&roster, &NoteSigner(leader.any().signer.clone())).unwrap();
    fs::write(at("east.roster"), roster.encode()).unwrap();
    for (member, other) in members.iter().zip(["shop", "bank"]) {
        let fingerprint = roster.fingerprint().to_string();
        member.tacitly(&["consortium", "join", &at("east.roster"), "--fingerprint", &fingerprint]).unwrap();
        brings(member, &at(&format!("{}.csv", member.name)), &[1, 20, 300], [other, NAME]);
        assert_eq!(member.tacitly(&["peer", "list"]).unwrap().as_array().unwrap().len(), 1, "the leader only");
    }

    let one_part = Bytes::copy_from_slice(&1u64.to_be_bytes());
    type Case = (&'static str, fn() -> Trick, Option<&'static str>);
    let cases: [Case; 4] = [
        ("changes", changes, Some("relay-signature")),
        ("drops", || loses_the_second(false), Some("relay-order")),
        ("swaps", || loses_the_second(true), Some("relay-order")),
        ("withholds", withholds, None),
    ];
    for (case, trick, rule) in cases {
        let terms = leader.terms("add", Some("amounts"));
        let id = terms.job.to_string();
        let led = leader.leads(|_| Face::of(&terms, &one_part), trick());
        assert_eq!(led.propose(), [true, true], "their rules allow it");
        led.start();
        let mut found = 0;
        for member in &members {
            let ended = until_within(Duration::from_mins(2), || {
                let job = member.tacitly(&["job", "show", &id]).ok()?;
                assert_ne!(job["state"], "done", "{case}: {job}");
                (!job["failure"].is_null()).then_some(job)
            });
            let job = ended.unwrap_or_else(|| panic!("{case}: {:?}", member.tacitly(&["job", "show", &id])));
            assert!(job["result_items"].is_null() && job["summary"]["sum"].is_null(), "{case}: {job}");
            // Who has found nothing waits in vain for what the leader should bring, and names it for that.
            let (state, failure) = (&job["state"], &job["failure"]);
            assert_eq!(failure["who"], NAME, "{case}: {job}");
            match failure["code"].as_str().unwrap() {
                "protocol-violation" => {
                    assert_eq!(state, "failed", "{case}: {job}");
                    assert!(failure["text"].as_str().unwrap().contains(rule.unwrap_or("nothing")), "{case}: {job}");
                    found += 1;
                }
                "peer-lost" => assert_eq!(state, "suspended", "{case}: {job}"),
                _ => panic!("{case}: {job}"),
            }
        }
        assert_eq!(found > 0, rule.is_some(), "{case}: {found} have found what the leader did");
        drop(led);
        for member in &members {
            let _over_already = member.tacitly(&["job", "cancel", &id]);
            let nothing = member.tacitly(&["job", "result", &id, "--out", &at(&format!("{case}-{}", member.name))]);
            assert_eq!(nothing.unwrap_err().code(), "result-none", "{case}");
        }
    }
}
