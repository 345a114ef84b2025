//! A leader that shows two daemons different things: each of them names it, before anything runs or goes on record.

use tacitly::attestation::certificate::verify;
use tacitly::attestation::entry::{Kind, LeafHash};
use tacitly::jobs::JobTerms;
use tacitly::test_bed::{Party, Setup, connect, until, until_within};
use tacitly_core::PartyId;
use tempfile::TempDir;

use crate::support::leader::{Face, Leader};
use crate::support::liar::NAME;
use crate::support::{COMMAND_LIMIT, setup};
use crate::toys::program;

/// Two daemons that know each other, and the leader of their jobs, which the test plays.
struct Stage {
    members: [Party; 2],
    leader: Leader,
    folder: TempDir,
}

impl Stage {
    fn set() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let setup =
            Setup { executable: program(folder.path()), ..setup() }.set("TACITLY_NETWORK__HEARTBEAT_SECONDS", 5);
        let members = ["bank", "shop"].map(|name| Party::start(folder.path(), name, setup.clone()).unwrap());
        connect(&members[0], &members[1]).unwrap();
        let leader = Leader::of(&[&members[0], &members[1]], folder.path());
        Self { members, leader, folder }
    }

    /// Begins a job of all three that each member sees by this face of the leader, and runs on until it is so at both.
    fn until(&self, face: impl Fn(&JobTerms, PartyId) -> Face, is_so: impl Fn(&Party, &str) -> bool) -> String {
        let terms = self.leader.terms("gather", None);
        let id = terms.job.to_string();
        let led = self.leader.leads(|member| face(&terms, member), Box::new(|_| None));
        assert_eq!(led.propose(), [false, false], "a person decides");
        self.members.iter().for_each(|member| drop(member.tacitly(&["approve", &id]).unwrap()));
        led.start();
        for member in &self.members {
            let came = until_within(COMMAND_LIMIT, || is_so(member, &id).then_some(()));
            assert!(came.is_some(), "{}: {:?}", member.name, member.tacitly(&["job", "show", &id]));
        }
        id
    }

    /// Both members end the job, with the leader's name and what it has done, and have nothing of it.
    fn names_the_leader(&self, face: impl Fn(&JobTerms, PartyId) -> Face, done: fn(other: &str) -> String) {
        let is_over = |member: &Party, id: &str| {
            member
                .tacitly(&["job", "show", id])
                .is_ok_and(|job| job["failure"]["code"].as_str().is_some_and(|code| !code.is_empty()))
        };
        let id = self.until(face, is_over);
        for (member, other) in self.members.iter().zip(["shop", "bank"]) {
            let job = member.tacitly(&["job", "show", &id]).unwrap();
            assert_eq!(
                (&job["state"], &job["failure"]["code"]),
                (&"failed".into(), &"protocol-violation".into()),
                "{job}"
            );
            assert_eq!(job["failure"]["who"], NAME, "{job}");
            let text = job["failure"]["text"].as_str().unwrap();
            assert!(text.contains(&done(other)), "{:?} is not in {text:?}", done(other));
            assert!(job["result_items"].is_null(), "{job}");
        }
    }

    /// The agreement in the evidence of a job, which so many have signed.
    fn agreement(&self, member: &Party, id: &str) -> Option<(LeafHash, usize)> {
        let file = self.folder.path().join(format!("{}.evidence", member.name));
        member.tacitly(&["evidence", id, "--out", &file.display().to_string(), "--force"]).ok()?;
        let verdict = verify(&std::fs::read(file).unwrap(), None).unwrap();
        let agreed = verdict.entries.iter().find(|entry| entry.entry.kind() == Kind::Agreement)?;
        Some((agreed.leaf, agreed.signed.len()))
    }
}

#[test]
fn a_leader_that_shows_two_daemons_different_terms_offers_or_notes_is_named_by_both() {
    let stage = Stage::set();
    let is = |member: PartyId, name: &str| member.as_str() == name;

    // With one face all three sign one note.
    let id = stage.until(|terms, _| Face::of(terms, b""), |member, id| stage.agreement(member, id).is_some());
    let [bank, shop] = [0, 1].map(|at| stage.agreement(&stage.members[at], &id).unwrap());
    assert_eq!((bank, bank.1), (shop, 3));
    // It goes no further: the leader does not play its part in what follows.
    stage.members.iter().for_each(|member| drop(member.tacitly(&["job", "cancel", &id])));

    let terms = |terms: &JobTerms, member| {
        let purpose = if is(member, "bank") { "for-the-bank" } else { "for-the-shop" };
        Face::of(&JobTerms { purpose: purpose.to_owned(), ..terms.clone() }, b"")
    };
    stage.names_the_leader(terms, |other| format!("it has shown {other} other terms of the job than us"));
    let offers = |terms: &JobTerms, member| Face::of(terms, if is(member, "bank") { b"ten" } else { b"two" });
    stage.names_the_leader(offers, |other| format!("it has shown {other} another offer than us"));
    let notes = |terms: &JobTerms, member| {
        let purpose = Some(if is(member, "bank") { "for-the-bank" } else { "for-the-shop" });
        Face { purpose, ..Face::of(terms, b"") }
    };
    stage.names_the_leader(notes, |_| {
        "the signature under the agreement is not its own, or is under another one".to_owned()
    });

    // Nothing but the honest job is agreed on anywhere.
    for member in &stage.members {
        let agreed = until(|| member.tacitly(&["log", "tail", "--kind", "agreement"]).ok()).unwrap();
        assert_eq!(agreed.as_array().unwrap().len(), 1, "{agreed}");
    }
}
