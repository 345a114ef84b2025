//! Kinds of job that the software does not know, between two to forty parties: by themselves in memory, and on real
//! daemons of which any is killed. Through the engine in memory they run in `src/jobs/tests`.

mod consortium;
mod echo;
mod http;
mod kills;
mod kinds;
mod services;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::RngExt as _;
use serde_json::json;
use tacitly::core::simulate::Network;
use tacitly::core::{PartyId, Seed, SessionTag, Terms};
use tacitly::jobs::{Input, JobKind as _, Task, TaskSeed};
use tacitly::session::SessionLimits;
use tacitly::test_bed::{Party, Setup, connect};

use self::consortium::{Consortium, Done, patient};
use crate::support::setup;

/// Where this program finds the folder of the party that it is to serve.
const SERVED: &str = "TOYS_SERVE_HOME";

/// What a sum and a toss tell, as a person reads it.
const SUM: &str = "the sum of everybody's numbers";
const COIN: &str = "which way the coin fell";

/// Not a test but the daemon of those below: this program, started again with a folder to serve.
#[test]
fn this_program_serves_a_party_that_knows_the_toys() {
    if let Some(home) = std::env::var_os(SERVED) {
        let kinds = [kinds::toys(), vec![Arc::new(echo::Echo)]].concat();
        tacitly::daemon::serve_with(Path::new(&home), kinds).unwrap();
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
    parties[1..].iter().for_each(|other| connect(&parties[0], other).unwrap());
    parties
}

/// A program that is `tacitly`, but for `serve`, which knows the toys.
pub(crate) fn program(folder: &Path) -> PathBuf {
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
        Task {
            phase: "sum".into(),
            part,
            me,
            peers,
            terms: terms.clone(),
            seed: TaskSeed::Fresh,
            limits: SessionLimits::default(),
        }
        .to_bytes()
        .unwrap()
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
    let consortium = Consortium::of(3, &patient());
    let id = consortium.submit("add", "amounts", &json!({ "parts": 4 })).unwrap();
    let result = consortium.all_sums(4);
    let summary = json!({ "sum": result.iter().sum::<i64>(), "parties": 3 });
    let done = Done { kind: "add", dataset: "amounts", learned: SUM, result, summary, left_out: None };
    consortium.is_everywhere(&id, &consortium.parties.iter().collect::<Vec<_>>(), &done);
    // An old rule allows no new kind: these were written before anybody knew of it.
    consortium.parties[1].tacitly(&["dataset", "allow", "amounts", "party-0", "--kinds", "intersect"]).unwrap();
    let refused = consortium.submit("add", "amounts", &json!({})).unwrap();
    consortium.await_state(&consortium.parties[0], &refused, "refused");
}

#[test]
fn a_job_without_data_is_decided_by_a_person_everywhere() {
    let consortium = Consortium::of(3, &patient());
    let id = consortium.submit("toss", "", &json!({})).unwrap();
    for member in &consortium.parties[1..] {
        consortium.await_state(member, &id, "proposed");
        member.tacitly(&["approve", &id]).unwrap();
    }
    consortium.await_done(&id, &consortium.parties);
    // Nobody knows beforehand which way it falls, and then all know the same.
    let result = consortium.result(&consortium.parties[0], &id);
    assert_eq!(result.len(), 1);
    let summary = json!({ "coin": result[0], "parties": 3 });
    let done = Done { kind: "toss", dataset: "", learned: COIN, result, summary, left_out: None };
    consortium.is_everywhere(&id, &consortium.parties.iter().collect::<Vec<_>>(), &done);
    let data = consortium.submit("toss", "amounts", &json!({})).unwrap_err();
    assert_eq!(data.code(), "bad-request");
}
