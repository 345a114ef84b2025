//! Kinds of job that the software does not know, between two to forty parties: in memory, and on real daemons of which any
//! is killed.

mod kinds;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tacitly::attestation::certificate::verify;
use tacitly::attestation::entry::{Body, Code, Count, Kind, LeafHash, StatementValue};
use tacitly::core::simulate::Network;
use tacitly::core::{PartyId, Seed, SessionTag, Terms};
use tacitly::jobs::{Input, JobKind as _, Task, TaskSeed};
use tacitly::trial::{Party, Setup, TrialError, introduce, until, until_within};
use tempfile::TempDir;

use crate::support::setup;

/// Where this program finds the folder of the party that it is to serve.
const SERVED: &str = "TOYS_SERVE_HOME";

/// Not a test but the daemon of those below: this program, started again with a folder to serve.
#[test]
fn this_program_serves_a_party_that_knows_the_toys() {
    if let Some(home) = std::env::var_os(SERVED) {
        tacitly::daemon::serve_with(Path::new(&home), kinds::toys()).unwrap();
    }
}

/// Daemons that know the toys; the others have met the first one only.
pub(crate) fn introduced_by_the_first<const N: usize>(folder: &Path, names: [&str; N]) -> [Party; N] {
    set_up_and_introduced_by_the_first(folder, names, setup())
}

/// The same, set up in some way.
pub(crate) fn set_up_and_introduced_by_the_first<const N: usize>(
    folder: &Path,
    names: [&str; N],
    setup: Setup,
) -> [Party; N] {
    let setup = Setup { executable: program(folder), ..setup };
    let parties = names.map(|name| Party::start(folder, name, setup.clone()).unwrap());
    parties[1..].iter().for_each(|other| introduce(&parties[0], other).unwrap());
    parties
}

/// A program that is `tacitly`, but for `serve`, which knows the toys.
fn program(folder: &Path) -> PathBuf {
    let path = folder.join("tacitly-with-toys");
    let test = "toys::this_program_serves_a_party_that_knows_the_toys";
    let text = format!(
        "#!/bin/sh\nif [ \"$1\" = serve ]; then\n  export {SERVED}=\"$3\"\n  exec {this:?} --exact {test} --nocapture\nfi\n\
         exec {tacitly:?} \"$@\"\n",
        this = std::env::current_exe().unwrap(),
        tacitly = env!("CARGO_BIN_EXE_tacitly"),
    );
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Daemons that know each other and the toys, each with a column of its own that the others may add up.
struct Consortium {
    parties: Vec<Party>,
    sums: Vec<i64>,
    folder: TempDir,
}

impl Consortium {
    fn of(count: usize, setup: &Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let setup = Setup { executable: program(folder.path()), ..setup.clone() };
        let name = |at| format!("party-{at}");
        let mut parties: Vec<Party> = Vec::new();
        for at in 0..count {
            parties.push(Party::start(folder.path(), &name(at), setup.clone()).unwrap());
            let (joiner, before) = parties.split_last().unwrap();
            before.iter().for_each(|inviter| introduce(inviter, joiner).unwrap());
        }
        let mut rng = ChaCha8Rng::seed_from_u64(20_261_130);
        let mut sums = Vec::new();
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
            sums.push(amounts.iter().sum());
        }
        Self { parties, sums, folder }
    }

    /// Submits a job of all parties at the first one; everybody receives. Returns its number.
    fn submit(&self, kind: &str, dataset: &str, params: &Value) -> Result<String, TrialError> {
        let (mut words, params) = (vec!["job", "submit", "--kind", kind, "--purpose", "test"], params.to_string());
        let named: Vec<String> = self.parties.iter().map(|party| format!("{}{dataset}", party.name)).collect();
        named.iter().for_each(|party| words.extend(["--party", party]));
        self.parties.iter().for_each(|party| words.extend(["--receive", &party.name]));
        words.extend(["--params", &params]);
        let job = self.parties[0].tacitly(&words)?;
        Ok(job["id"].as_str().unwrap().to_owned())
    }

    fn state(party: &Party, id: &str) -> Option<String> {
        let job = party.tacitly(&["job", "show", id]).ok()?;
        Some(job["state"].as_str()?.to_owned())
    }

    /// Waits until the job is done at these parties.
    fn await_done<'a>(&self, id: &str, at: impl IntoIterator<Item = &'a Party>) {
        for party in at {
            let done = until_within(Duration::from_mins(3), || {
                let state = Self::state(party, id)?;
                assert!(!["failed", "refused", "cancelled"].contains(&state.as_str()), "{}", self.told(party, id));
                (state == "done").then_some(())
            });
            assert!(done.is_some(), "{}", self.told(party, id));
        }
    }

    fn told(&self, party: &Party, id: &str) -> String {
        let shown = |party: &Party| format!("{}: {:?}", party.name, party.tacitly(&["job", "show", id]));
        let all: Vec<String> = self.parties.iter().map(shown).collect();
        let log = party.log();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains("tacitly::")).collect();
        format!("{}\n{}", all.join("\n"), lines[lines.len().saturating_sub(60)..].join("\n"))
    }

    fn result(&self, party: &Party, id: &str) -> Vec<i64> {
        let out = self.folder.path().join(format!("{}-{id}", party.name));
        party.tacitly(&["job", "result", id, "--out", &out.display().to_string()]).unwrap();
        std::fs::read_to_string(out).unwrap().lines().map(|line| line.parse().unwrap()).collect()
    }
}

fn brisk() -> Setup {
    // As long as it takes to start again.
    setup().set("TACITLY_NETWORK__RECONNECT_WINDOW_SECONDS", 20).set("TACITLY_LOG__LEVEL", "info")
}

#[test]
fn two_three_seven_and_forty_parties_add_their_numbers_in_memory() {
    for count in [2, 3, 7, 40] {
        let ids: Vec<PartyId> = (0..count).map(|at| format!("party-{at}").parse().unwrap()).collect();
        let session = SessionTag::of(&Terms::new().with("protocol", "sum").hash(), "sum 0");
        let mut parties: Vec<(PartyId, Box<dyn tacitly::core::Party<Output = i64>>)> = Vec::new();
        for (at, me) in ids.iter().enumerate() {
            let others: BTreeSet<PartyId> = ids.iter().copied().filter(|id| id != me).collect();
            let mut rng = Seed::from_bytes([at as u8 + 1; 32]).into_rng();
            let script = kinds::adder(session, *me, others, 100 * at as i64 + 1, move || rng.random());
            parties.push((*me, Box::new(script)));
        }
        let expected: i64 = (0..count).map(|at| 100 * at + 1).sum();
        let report = Network::new(parties).run(Seed::from_bytes([9; 32]));
        let answers: BTreeMap<PartyId, i64> = report.answers().map(|(id, sum)| (id, *sum)).collect();
        assert_eq!(answers, ids.iter().map(|id| (*id, expected)).collect());
    }
}

#[test]
fn parts_of_a_sum_are_made_from_their_serialised_tasks_by_another_object_out_of_order() {
    let ids: Vec<PartyId> = ["bank", "lender", "shop"].map(|name| name.parse().unwrap()).into();
    let terms = Terms::new().with("protocol", "sum").with("receivers", vec!["bank", "lender", "shop"]);
    let task = |me: PartyId, part: u32| {
        let peers = ids.iter().copied().filter(|id| *id != me).collect();
        Task { phase: "sum".into(), part, me, peers, terms: terms.clone(), seed: TaskSeed::Fresh }.to_bytes().unwrap()
    };
    let tasks: BTreeMap<u32, Vec<Vec<u8>>> =
        (0..4).map(|part| (part, ids.iter().map(|me| task(*me, part)).collect())).collect();
    let number = |me: PartyId, part: u32| i64::from(part) * 1_000 - me.as_str().len() as i64;
    for part in [2, 0, 3, 1] {
        let party = |task: &Vec<u8>| {
            let task = Task::of_bytes(task).unwrap();
            let seed = Seed::from_bytes([task.me.as_str().len() as u8; 32]).fresh(&task.label(), 1, 0);
            let input = Input::of(number(task.me, task.part));
            (task.me, kinds::Add.party(&task, input, seed, Vec::new()).unwrap())
        };
        let report = Network::new(tasks[&part].iter().map(party).collect()).run(Seed::from_bytes([9; 32]));
        let sums: Vec<i64> = report.answers().map(|(_, output)| output.items.cast_signed()).collect();
        assert_eq!(sums, [ids.iter().map(|me| number(*me, part)).sum::<i64>(); 3]);
    }
}

#[test]
fn three_daemons_add_a_column_from_proposal_to_evidence() {
    let consortium = Consortium::of(3, &brisk());
    let id = consortium.submit("add", "/amounts", &json!({ "parts": 4 })).unwrap();
    consortium.await_done(&id, &consortium.parties);
    let (sum, mut notes): (i64, BTreeSet<LeafHash>) = (consortium.sums.iter().sum(), BTreeSet::new());
    for party in &consortium.parties {
        let job = party.tacitly(&["job", "show", &id]).unwrap();
        assert_eq!((job["kind"].as_str(), job["leader"].as_str()), (Some("add"), Some("party-0")));
        assert_eq!(job["parties"].as_array().unwrap().len(), 3);
        assert_eq!(job["summary"], json!({ "sum": sum, "parties": 3 }));
        assert_eq!(job["result_items"], 4);
        let parts = consortium.result(party, &id);
        assert_eq!((parts.len(), parts.iter().sum::<i64>()), (4, sum));
        let explained = party.tacitly(&["job", "explain", &id]).unwrap().to_string();
        assert!(explained.contains("the sum of everybody's numbers"), "{explained}");
        let listed = party.tacitly(&["job", "list"]).unwrap().to_string();
        assert!(listed.contains("add") && listed.contains("party-2"), "{listed}");
        // One note, byte for byte the same in everybody's log and signed by all; and everybody's data on record.
        let file = consortium.folder.path().join(format!("{}.evidence", party.name));
        party.tacitly(&["evidence", &id, "--out", &file.display().to_string()]).unwrap();
        let verdict = verify(&std::fs::read(file).unwrap(), None).unwrap();
        let agreed = verdict.entries.iter().find(|entry| entry.entry.kind() == Kind::Agreement).unwrap();
        assert_eq!((agreed.signed.len(), verdict.gaps().len()), (3, 0));
        let data = verdict.entries.iter().filter(|entry| entry.entry.kind() == Kind::Dataset);
        assert_eq!(data.count(), 3);
        // And what this kind of job states in words of its own.
        let stated = verdict.entries.iter().find(|entry| entry.entry.kind() == Kind::Statement).unwrap();
        let Body::Statement(stated) = stated.entry.body() else { panic!("{stated:?}") };
        let said = |name: &str| stated.fields.get(&Code::parse(name).unwrap());
        let sign = Code::parse(if sum < 0 { "negative" } else { "positive" }).unwrap();
        assert_eq!(said("sign"), Some(&StatementValue::Code(sign)));
        assert_eq!(said("magnitude"), Some(&StatementValue::Count(Count::new(sum.unsigned_abs()).unwrap())));
        notes.insert(agreed.leaf);
    }
    assert_eq!(notes.len(), 1, "the same note for all");
    // An old rule allows no new kind: these were written before anybody knew of it.
    consortium.parties[1].tacitly(&["dataset", "allow", "amounts", "party-0", "--kinds", "intersect"]).unwrap();
    let refused = consortium.submit("add", "/amounts", &json!({})).unwrap();
    let ended = until(|| Consortium::state(&consortium.parties[0], &refused).filter(|state| state == "refused"));
    assert!(ended.is_some(), "{}", consortium.told(&consortium.parties[0], &refused));
}

#[test]
fn a_job_without_data_is_decided_by_a_person_everywhere() {
    let consortium = Consortium::of(3, &brisk());
    let id = consortium.submit("toss", "", &json!({})).unwrap();
    for member in &consortium.parties[1..] {
        let waits = until(|| Consortium::state(member, &id).filter(|state| state == "proposed"));
        assert!(waits.is_some(), "{}", consortium.told(member, &id));
        member.tacitly(&["approve", &id]).unwrap();
    }
    consortium.await_done(&id, &consortium.parties);
    let coins: BTreeSet<Vec<i64>> = consortium.parties.iter().map(|party| consortium.result(party, &id)).collect();
    assert_eq!(coins.len(), 1, "the same coin for all");
    let data = consortium.submit("toss", "/amounts", &json!({})).unwrap_err();
    assert_eq!(data.code(), "bad-request");
}

#[test]
fn whichever_of_seven_daemons_is_killed_the_sum_is_exact() {
    let mut consortium = Consortium::of(7, &brisk());
    let sum: i64 = consortium.sums.iter().sum();
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    for victim in [0, 3, 6] {
        let id = consortium.submit("add", "/amounts", &json!({ "parts": 12 })).unwrap();
        std::thread::sleep(Duration::from_millis(rng.random_range(0..400)));
        consortium.parties[victim].kill();
        consortium.parties[victim].serve().unwrap();
        consortium.await_done(&id, &consortium.parties);
        for party in &consortium.parties {
            let parts = consortium.result(party, &id);
            assert_eq!((parts.len(), parts.iter().sum::<i64>()), (12, sum), "{} killed", victim);
        }
    }
}

#[test]
fn a_job_that_needs_six_of_seven_ends_without_the_one_that_never_returns() {
    let setup = setup().set("TACITLY_NETWORK__RECONNECT_WINDOW_SECONDS", 2).set("TACITLY_LOG__LEVEL", "info");
    let mut consortium = Consortium::of(7, &setup);
    consortium.parties[4].kill();
    let id = consortium.submit("add", "/amounts", &json!({ "needed": 6 })).unwrap();
    let there: Vec<&Party> =
        consortium.parties.iter().enumerate().filter(|(at, _)| *at != 4).map(|(_, party)| party).collect();
    consortium.await_done(&id, there.iter().copied());
    let sum = consortium.sums.iter().sum::<i64>() - consortium.sums[4];
    for party in there {
        assert_eq!(consortium.result(party, &id), [sum]);
        let job = party.tacitly(&["job", "show", &id]).unwrap();
        assert_eq!(job["summary"], json!({ "sum": sum, "parties": 6 }));
    }
}
