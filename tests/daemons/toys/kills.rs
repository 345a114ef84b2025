//! SIGKILL of whichever daemon, at any moment of a job of many: exact after it has come back, and an end without it if it
//! never does.

use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use tacitly::test_bed::{Party, until_within};

use super::SUM;
use super::consortium::{Consortium, Done, Signed, impatient, patient};

/// The parts of a job that somebody is killed in.
const PARTS: usize = 12;

/// A sum of so many parts, as all show it who were there.
fn added<'a>(result: Vec<i64>, parties: usize, left_out: Option<(&'a str, Signed)>) -> Done<'a> {
    let summary = json!({ "sum": result.iter().sum::<i64>(), "parties": parties });
    Done { kind: "add", dataset: "amounts", learned: SUM, result, summary, left_out }
}

/// Kills every one of them so many times, each in a job of its own, and starts it again.
fn whoever_is_killed_the_sum_is_exact(count: usize, times: usize, seed: u64) {
    let mut consortium = Consortium::of(count, &patient());
    let (sums, mut rng) = (consortium.all_sums(PARTS), ChaCha8Rng::seed_from_u64(seed));
    let (mut killed_at_work, mut last) = (0, String::new());
    for victim in (0..times).flat_map(|_| 0..count) {
        last = consortium.submit("add", "amounts", &json!({ "parts": PARTS })).unwrap();
        std::thread::sleep(Duration::from_millis(rng.random_range(0..600)));
        let state = Consortium::state(&consortium.parties[victim], &last);
        killed_at_work += usize::from(state.is_some_and(|state| state == "running"));
        consortium.parties[victim].kill();
        consortium.parties[victim].serve().unwrap();
        consortium.await_done(&last, &consortium.parties);
        for party in &consortium.parties {
            assert_eq!(consortium.result(party, &last), sums, "party-{victim} was killed, and {} reads", party.name);
        }
    }
    assert!(killed_at_work > 0, "no kill met a job at work");
    let all: Vec<&Party> = consortium.parties.iter().collect();
    consortium.is_everywhere(&last, &all, &added(sums, count, None));
}

#[test]
fn whichever_of_seven_daemons_is_killed_the_sum_is_exact() {
    whoever_is_killed_the_sum_is_exact(7, 1, 7);
}

#[test]
fn whichever_of_three_daemons_is_killed_at_whatever_moment_the_sum_is_exact() {
    whoever_is_killed_the_sum_is_exact(3, 3, 3);
}

#[test]
fn a_job_that_needs_six_of_seven_ends_without_the_one_that_is_never_there() {
    let mut consortium = Consortium::of(7, &impatient());
    consortium.parties[4].kill();
    let id = consortium.submit("add", "amounts", &json!({ "needed": 6 })).unwrap();
    let sums = consortium.sums([0, 1, 2, 3, 5, 6], 1);
    consortium.is_everywhere(&id, &consortium.without(4), &added(sums, 6, Some(("party-4", Signed::No))));
}

#[test]
fn a_job_that_needs_six_of_seven_ends_without_the_one_that_is_killed_while_it_runs_and_never_returns() {
    const MANY: usize = 60;
    let mut consortium = Consortium::of(7, &impatient());
    let id = consortium.submit("add", "amounts", &json!({ "needed": 6, "parts": MANY })).unwrap();
    let shown = || consortium.parties[4].tacitly(&["job", "show", &id]).ok();
    let met = until_within(Duration::from_mins(1), || shown().filter(|job| job["stage"] == "sharing"));
    assert!(met.is_some(), "{}", consortium.told(&consortium.parties[4], &id));
    // Some of its parts are over by now, and most are not.
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(shown().unwrap()["state"], "running", "it was over before anybody was killed");
    consortium.parties[4].kill();
    let there = consortium.without(4);
    consortium.await_done(&id, there.iter().copied());
    // What was over before counts the one that is gone, and what came after does not; all six have the same.
    let (with, without) = (consortium.all_sums(MANY), consortium.sums([0, 1, 2, 3, 5, 6], MANY));
    let result = consortium.result(there[0], &id);
    assert_eq!(result.len(), MANY);
    for (part, (with, without)) in result.iter().zip(with.iter().zip(&without)) {
        assert!(part == with || part == without, "{part} is neither {with} nor {without}");
    }
    assert_ne!(result, with, "nothing came after");
    consortium.is_everywhere(&id, &there, &added(result, 6, Some(("party-4", Signed::Yes))));
}
