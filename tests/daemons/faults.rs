//! What a network does to two honest daemons: every fault ends in the exact answer or in a stall that can be resumed.

use std::time::Duration;

use tacitly::test_bed::{PATIENCE, Party, Setup, connect, until, until_within};

use crate::support::{Pair, SUBMIT, brisk, mobiles, numbers, semi_join, setup, tacitly};

fn patient(setup: Setup) -> Setup {
    setup.set("TACITLY_NETWORK__RECONNECT_WINDOW_SECONDS", 60)
}

#[test]
fn a_cut_of_ten_seconds_inside_the_window_goes_on_in_the_same_attempt() {
    let (mut pair, cable) = Pair::with_cable(patient(setup()), patient(setup()));
    let (ours, theirs) = (mobiles(0..30_000), mobiles(15_000..45_000));
    pair.datasets(&ours, &theirs);
    cable.cut_after(300_000);
    std::thread::scope(|scope| {
        let job = scope.spawn(|| pair.intersect().unwrap());
        until(|| cable.is_cut().then_some(())).expect("the job did not get as far as the cut");
        std::thread::sleep(Duration::from_secs(10));
        cable.mend();
        let (job, rows) = job.join().unwrap();
        assert_eq!(rows, semi_join(&ours, &theirs));
        assert_eq!(job["attempt"], 1);
    });
}

#[test]
fn a_cut_past_the_window_suspends_both_sides_and_either_resumes_to_the_exact_answer() {
    let (mut pair, cable) = Pair::with_cable(brisk(), brisk());
    let (ours, theirs) = (mobiles(0..30_000), mobiles(15_000..45_000));
    pair.datasets(&ours, &theirs);
    for resumer in ["bank", "shop"] {
        cable.cut_after(300_000);
        let error = pair.intersect().map(|(job, _)| job).unwrap_err();
        assert_eq!(error.code(), "peer-lost");
        let job = Pair::await_state(&pair.bank, &["suspended"]);
        Pair::await_state(&pair.shop, &["suspended"]);
        cable.mend();
        tacitly::test_bed::await_link(&pair.bank, &pair.shop).unwrap();
        let id = job["id"].as_str().unwrap();
        let party = if resumer == "bank" { &pair.bank } else { &pair.shop };
        party.tacitly(&["job", "resume", id]).unwrap();
        for party in [&pair.bank, &pair.shop] {
            Pair::await_state(party, &["done"]);
        }
        let out = pair.file("out.csv").display().to_string();
        pair.bank.tacitly(&["job", "result", id, "--out", &out, "--force"]).unwrap();
        assert_eq!(numbers(&pair.file("out.csv")), semi_join(&ours, &theirs), "resumed by {resumer}");
    }
}

#[test]
fn a_link_that_lives_for_five_kilobytes_at_a_time_ends_in_a_typed_stall_and_the_job_in_its_exact_answer() {
    let hasty = || setup().set("TACITLY_LIMITS__IDLE_MINUTES", 0.2);
    let (mut pair, cable) = Pair::with_cable(hasty(), hasty());
    let (ours, theirs) = (mobiles(0..30_000), mobiles(15_000..45_000));
    pair.datasets(&ours, &theirs);
    let stalled = std::sync::atomic::AtomicBool::new(false);
    let job = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stalled.load(std::sync::atomic::Ordering::Relaxed) {
                cable.cut_after(5_000);
                until_within(Duration::from_secs(1), || cable.is_cut().then_some(()));
                cable.mend();
            }
        });
        let id = pair.bank.tacitly(&SUBMIT).unwrap()["id"].as_str().unwrap().to_owned();
        let stall = until(|| {
            let job = pair.bank.tacitly(&["job", "show", &id]).ok()?;
            (job["state"] == "suspended").then_some(job)
        });
        stalled.store(true, std::sync::atomic::Ordering::Relaxed);
        stall
    });
    let job = job.unwrap_or_else(|| panic!("the job neither moves nor stalls:\n{}", pair.bank.log()));
    assert_eq!(job["failure"]["code"], "peer-lost", "{job}");
    cable.mend();
    tacitly::test_bed::await_link(&pair.bank, &pair.shop).unwrap();
    let _the_other_side_may_go_on_by_itself = pair.bank.tacitly(&["job", "resume", job["id"].as_str().unwrap()]);
    assert_eq!(Pair::await_state(&pair.bank, &["done"])["result_items"], 15_000);
}

#[test]
fn delayed_cut_off_doubled_and_half_closed_bytes_never_change_the_answer() {
    let (mut pair, cable) = Pair::with_cable(patient(setup()), patient(setup()));
    let (ours, theirs) = (mobiles(0..3_000), mobiles(1_500..4_500));
    pair.datasets(&ours, &theirs);
    let expected = semi_join(&ours, &theirs);
    cable.delay(Duration::from_millis(20));
    assert_eq!(pair.intersect().unwrap().1, expected, "delayed");
    cable.delay(Duration::ZERO);
    for (name, fault) in [("cut off", 1), ("doubled", 2), ("half closed", 3)] {
        cable.spoil_after(30_000, fault);
        assert_eq!(pair.intersect().unwrap().1, expected, "{name}");
    }
}

#[test]
fn fifty_jobs_between_three_daemons_at_once_are_exact_and_the_next_is_refused_with_its_reason() {
    let many = |setup: Setup| setup.set("TACITLY_LIMITS__JOBS_PER_PEER", 25).set("TACITLY_LOG__LEVEL", "info");
    let mut pair = Pair::with(many(setup()), many(setup()));
    pair.datasets(&mobiles(0..200), &mobiles(100..300));
    let lender = Party::start(pair.folder.path(), "lender", many(setup())).unwrap();
    connect(&pair.bank, &lender).unwrap();
    let path = pair.file("bank.csv").display().to_string();
    lender.tacitly(&["dataset", "add", "ids", &path, "--key", "mobile=cn-mobile", "--allow", "bank"]).unwrap();
    pair.bank.tacitly(&["dataset", "allow", "ids", "lender"]).unwrap();
    // A rule that waits for a person holds the jobs open until all are there.
    for (party, peer) in [(&pair.shop, "bank"), (&lender, "bank")] {
        party.tacitly(&["dataset", "allow", "ids", peer, "--manual"]).unwrap();
    }
    let submit = |with: &'static str| {
        let mut command = tacitly();
        command.args(["psi", "--json", "--dataset", "ids", "--with", with, "--home"]).arg(&pair.bank.home);
        command.stdout(std::process::Stdio::piped()).spawn().unwrap()
    };
    let running: Vec<_> = (0..50).map(|at| submit(if at % 2 == 0 { "shop/ids" } else { "lender/ids" })).collect();
    let all_there = until_within(4 * PATIENCE, || {
        let jobs = |party: &Party| party.tacitly(&["job", "list"]).ok()?.as_array().map(Vec::len);
        (jobs(&pair.shop)? == 25 && jobs(&lender)? == 25).then_some(())
    });
    all_there.expect("fifty jobs were not proposed");
    let refused = pair.bank.tacitly(&["psi", "--dataset", "ids", "--with", "shop/ids"]).unwrap_err();
    assert_eq!(refused.code(), "limit");
    assert!(refused.to_string().contains("25 jobs"), "{refused}");
    for party in [&pair.shop, &lender] {
        for job in party.tacitly(&["job", "list"]).unwrap().as_array().unwrap() {
            party.tacitly(&["approve", job["id"].as_str().unwrap()]).unwrap();
        }
    }
    for (at, job) in running.into_iter().enumerate() {
        let output = job.wait_with_output().unwrap();
        let job: serde_json::Value = serde_json::from_slice(&output.stdout).expect("the job did not end well");
        assert_eq!(job["result_items"], if at % 2 == 0 { 100 } else { 200 });
    }
}
