//! Daemons that know each other and the toys, and what a job of theirs is to look like wherever somebody looks.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tacitly::attestation::certificate::verify;
use tacitly::attestation::entry::{Kind, LeafHash};
use tacitly::test_bed::{Party, Setup, TestBedError, connect, until, until_within};
use tempfile::TempDir;

use super::program;
use crate::support::{run, setup};

/// Daemons that know each other and the toys, each with a column of its own that the others may add up.
pub(super) struct Consortium {
    pub(super) parties: Vec<Party>,
    amounts: Vec<Vec<i64>>,
    folder: TempDir,
}

/// What a job that is done is to look like.
pub(super) struct Done<'a> {
    pub(super) kind: &'a str,
    /// The dataset that each party brings; empty: none does.
    pub(super) dataset: &'a str,
    /// What a person who is to approve it reads.
    pub(super) learned: &'a str,
    /// Its result, part by part.
    pub(super) result: Vec<i64>,
    pub(super) summary: Value,
    /// The one that the job went on without, and whether it was there when all signed.
    pub(super) left_out: Option<(&'a str, Signed)>,
}

/// Whether the one that the job went on without has signed the agreement.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Signed {
    Yes,
    No,
}

/// A setup in which a link is waited for as long as it takes to start again.
pub(super) fn patient() -> Setup {
    setup().set("TACITLY_NETWORK__RECONNECT_WINDOW_SECONDS", 20).set("TACITLY_LOG__LEVEL", "info")
}

/// A setup in which a daemon counts as lost soon.
pub(super) fn impatient() -> Setup {
    setup().set("TACITLY_NETWORK__RECONNECT_WINDOW_SECONDS", 2).set("TACITLY_LOG__LEVEL", "info")
}

impl Consortium {
    pub(super) fn of(count: usize, setup: &Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let setup = Setup { executable: program(folder.path()), ..setup.clone() };
        let name = |at| format!("party-{at}");
        let mut parties: Vec<Party> = Vec::new();
        for at in 0..count {
            parties.push(Party::start(folder.path(), &name(at), setup.clone()).unwrap());
            let (joiner, before) = parties.split_last().unwrap();
            before.iter().for_each(|inviter| connect(inviter, joiner).unwrap());
        }
        let mut rng = ChaCha8Rng::seed_from_u64(20_261_130);
        let mut all = Vec::new();
        for (at, party) in parties.iter().enumerate() {
            let amounts: Vec<i64> = (0..100).map(|_| rng.random_range(-1_000..1_000)).collect();
            let rows: String = amounts.iter().enumerate().map(|(row, amount)| format!("id-{row},{amount}\n")).collect();
            let file = folder.path().join(format!("amounts-{at}.csv"));
            std::fs::write(&file, "id,amount\n".to_owned() + &rows).unwrap();
            let mut words = vec!["dataset", "add", "amounts"];
            let path = file.display().to_string();
            words.extend([path.as_str(), "--key", "id=raw"]);
            let others: Vec<String> = (0..count).filter(|other| *other != at).map(name).collect();
            others.iter().for_each(|other| words.extend(["--allow", other]));
            party.tacitly(&words).unwrap();
            all.push(amounts);
        }
        Self { parties, amounts: all, folder }
    }

    /// All of them, but for one.
    pub(super) fn without(&self, away: usize) -> Vec<&Party> {
        self.parties.iter().enumerate().filter(|(at, _)| *at != away).map(|(_, party)| party).collect()
    }

    /// What these bring altogether, in each of so many parts.
    pub(super) fn sums(&self, of: impl IntoIterator<Item = usize> + Clone, parts: usize) -> Vec<i64> {
        let part = |at: usize, part| self.amounts[at].iter().skip(part).step_by(parts).sum::<i64>();
        (0..parts).map(|number| of.clone().into_iter().map(|at| part(at, number)).sum()).collect()
    }

    /// What all bring altogether, in each of so many parts.
    pub(super) fn all_sums(&self, parts: usize) -> Vec<i64> {
        self.sums(0..self.parties.len(), parts)
    }

    /// Submits a job of all parties at the first one; everybody receives. Returns its number.
    pub(super) fn submit(&self, kind: &str, dataset: &str, params: &Value) -> Result<String, TestBedError> {
        let (mut words, params) = (vec!["job", "submit", "--kind", kind, "--purpose", "test"], params.to_string());
        let named: Vec<String> = self.parties.iter().map(|party| named(party, dataset)).collect();
        named.iter().for_each(|party| words.extend(["--party", party]));
        self.parties.iter().for_each(|party| words.extend(["--receive", &party.name]));
        words.extend(["--params", &params]);
        let job = self.parties[0].tacitly(&words)?;
        Ok(job["id"].as_str().unwrap().to_owned())
    }

    pub(super) fn state(party: &Party, id: &str) -> Option<String> {
        let job = party.tacitly(&["job", "show", id]).ok()?;
        Some(job["state"].as_str()?.to_owned())
    }

    /// Waits until the job is in this state at a party.
    pub(super) fn await_state(&self, party: &Party, id: &str, state: &str) {
        let reached = until(|| Self::state(party, id).filter(|found| found == state));
        assert!(reached.is_some(), "it is not {state}: {}", self.told(party, id));
    }

    /// Waits until the job is done at these parties.
    pub(super) fn await_done<'a>(&self, id: &str, at: impl IntoIterator<Item = &'a Party>) {
        for party in at {
            let done = until_within(Duration::from_mins(3), || {
                let state = Self::state(party, id)?;
                assert!(!["failed", "refused", "cancelled"].contains(&state.as_str()), "{}", self.told(party, id));
                (state == "done").then_some(())
            });
            assert!(done.is_some(), "{}", self.told(party, id));
        }
    }

    pub(super) fn told(&self, party: &Party, id: &str) -> String {
        let shown = |party: &Party| format!("{}: {:?}", party.name, party.tacitly(&["job", "show", id]));
        let all: Vec<String> = self.parties.iter().map(shown).collect();
        let log = party.log();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains("tacitly::")).collect();
        format!("{}\n{}", all.join("\n"), lines[lines.len().saturating_sub(60)..].join("\n"))
    }

    /// The result of a job, part by part.
    pub(super) fn result(&self, party: &Party, id: &str) -> Vec<i64> {
        let out = self.folder.path().join(format!("{}-{id}", party.name));
        party.tacitly(&["job", "result", id, "--out", &out.display().to_string(), "--force"]).unwrap();
        std::fs::read_to_string(out).unwrap().lines().map(|line| line.parse().unwrap()).collect()
    }

    /// The job is done at these parties, and each shows it as it is to every command; all have one agreement on record.
    pub(super) fn is_everywhere(&self, id: &str, at: &[&Party], done: &Done<'_>) {
        self.await_done(id, at.iter().copied());
        let notes: BTreeSet<LeafHash> = at.iter().map(|party| self.judged(party, id, done)).collect();
        assert_eq!(notes.len(), 1, "the same note for all");
    }

    /// Looks at the job with every command that shows one. Returns the agreement that stands in the evidence.
    fn judged(&self, party: &Party, id: &str, done: &Done<'_>) -> LeafHash {
        let (me, leader) = (party.name.as_str(), self.parties[0].name.as_str());
        let job = party.tacitly(&["job", "show", id]).unwrap();
        assert_eq!((job["kind"].as_str(), job["leader"].as_str()), (Some(done.kind), Some(leader)), "{me}: {job}");
        assert_eq!((job["purpose"].as_str(), job["state"].as_str()), (Some("test"), Some("done")), "{me}: {job}");
        assert_eq!(job["summary"], done.summary, "{me}: {job}");
        assert_eq!(job["result_items"], done.result.len(), "{me}: {job}");
        let parties = job["parties"].as_array().unwrap();
        assert_eq!(parties.len(), self.parties.len(), "{me}: {job}");
        for shown in parties {
            let is_left_out = done.left_out.is_some_and(|(name, _)| shown["party"] == name);
            assert_eq!((&shown["left_out"], &shown["receives"]), (&json!(is_left_out), &json!(true)), "{me}: {shown}");
            assert_eq!(shown["dataset"], done.dataset, "{me}: {shown}");
        }
        let listed = party.tacitly(&["job", "list"]).unwrap();
        let listed = listed.as_array().unwrap().iter().find(|job| job["id"] == id).unwrap();
        for field in ["kind", "leader", "state", "summary", "result_items", "parties", "attempt"] {
            assert_eq!(listed[field], job[field], "{me}: {field} in the list");
        }
        assert_eq!(self.result(party, id), done.result, "{me}");
        self.reads_well(party, id, done);
        self.proves(party, id, done)
    }

    /// What a person reads of the job: a line in the list, all of it, and what was to be approved.
    fn reads_well(&self, party: &Party, id: &str, done: &Done<'_>) {
        let read = |words: &[&str]| {
            let output = run(&party.home, words);
            assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        let holds = |text: &str, words: &str| assert!(text.contains(words), "{words:?} is missing in:\n{text}");
        let (me, leader) = (party.name.as_str(), &self.parties[0]);
        let list = read(&["job", "list"]);
        let line = list.lines().find(|line| line.starts_with(id)).unwrap_or_else(|| panic!("{id} is not in {list}"));
        let others = match self.parties.len() {
            3 => self.parties.iter().map(|party| named(party, done.dataset)).collect::<Vec<_>>().join(", "),
            count => format!("{} and {} others", named(leader, done.dataset), count - 1),
        };
        for words in [done.kind, "done", &others, &format!("{} items", done.result.len())] {
            holds(line, words);
        }
        let shown = read(&["job", "show", id]);
        holds(&shown, &format!("{id} · {} · done", done.kind));
        holds(&shown, &format!("{me} (us)"));
        holds(&shown, &format!(", by {}", if me == leader.name { "us" } else { &leader.name }));
        for (name, value) in done.summary.as_object().unwrap() {
            holds(&shown, &format!("{name:<9}{value}"));
        }
        let left_out: Vec<&str> = shown.lines().filter(|line| line.contains("left out")).collect();
        assert_eq!(left_out.len(), usize::from(done.left_out.is_some()), "{shown}");
        done.left_out.iter().for_each(|(name, _)| holds(left_out[0], name));
        let explained = read(&["job", "explain", id]);
        holds(&explained, &format!("{id} · {} · proposed by {}", done.kind, leader.name));
        for other in &self.parties {
            let name = if other.name == me { "we" } else { &other.name };
            let brings =
                if done.dataset.is_empty() { "no data".to_owned() } else { format!("the dataset {}", done.dataset) };
            holds(&explained, &format!("{name}: party, with {brings}; receives a result"));
            holds(&explained, &format!("{name}: {}", done.learned));
        }
    }

    /// The evidence of the job holds, and nothing that it names is missing in it. Returns its agreement.
    fn proves(&self, party: &Party, id: &str, done: &Done<'_>) -> LeafHash {
        let file = self.folder.path().join(format!("{}-{id}.evidence", party.name));
        let path = file.display().to_string();
        party.tacitly(&["evidence", id, "--out", &path, "--force"]).unwrap();
        let told = party.tacitly(&["evidence", "verify", &path]).unwrap();
        let absent: Vec<&str> =
            done.left_out.iter().filter(|(_, signed)| *signed == Signed::No).map(|(name, _)| *name).collect();
        assert_eq!((&told["holds"], &told["about"]["job"]), (&json!(true), &json!(id)), "{told}");
        assert_eq!((&told["not_attached"], &told["absent"]), (&json!([]), &json!(absent)), "{told}");
        let read = String::from_utf8(run(&party.home, &["evidence", "verify", &path]).stdout).unwrap();
        assert!(read.contains(&format!("job {id} of {} and", self.parties[0].name)), "{read}");
        for name in &absent {
            assert!(read.contains(&format!("absent, did not sign: {name}")), "{read}");
        }
        let verdict = verify(&std::fs::read(file).unwrap(), None).unwrap();
        let agreed = verdict.entries.iter().find(|entry| entry.entry.kind() == Kind::Agreement).unwrap();
        let present = self.parties.len() - absent.len();
        assert_eq!((agreed.signed.len(), verdict.gaps().len()), (present, 0));
        let data = verdict.entries.iter().filter(|entry| entry.entry.kind() == Kind::Dataset);
        assert_eq!(data.count(), if done.dataset.is_empty() { 0 } else { present });
        // And what this kind of job states in words of its own.
        let stated = verdict.entries.iter().filter(|entry| entry.entry.kind() == Kind::Statement);
        assert_eq!(stated.count(), usize::from(done.kind == "add"));
        agreed.leaf
    }
}

/// A party with the dataset that it brings, as a job names it.
fn named(party: &Party, dataset: &str) -> String {
    if dataset.is_empty() { party.name.clone() } else { format!("{}/{dataset}", party.name) }
}
