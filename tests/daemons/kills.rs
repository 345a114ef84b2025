//! SIGKILL of either daemon at any moment: the answer is exact after the restart, and nothing is released twice.

use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use tacitly::test_bed::{await_link, until};

use crate::support::{Pair, SUBMIT, mobiles, numbers, run, semi_join, tacitly};

/// Kills in one run of the test; every one is at another moment of a job.
const KILLS: u64 = 30;
/// Jobs over which they are spread.
const JOBS: u64 = 10;
/// Kills of an approver just after a submit; `benches/chaos` runs five times as many.
const APPROVER_KILLS: u32 = 60;
/// How long after the submit at most.
const DECIDING: Duration = Duration::from_millis(30);
/// Rows that a result command is killed while writing.
const RESULT_ROWS: u64 = 60_000;

#[test]
fn thirty_kills_at_random_moments_leave_every_job_exact() {
    let mut rng = ChaCha8Rng::seed_from_u64(20_261_122);
    let mut pair = Pair::start();
    let (ours, theirs) = (mobiles(0..50_000), mobiles(25_000..75_000));
    pair.datasets(&ours, &theirs);
    let expected = semi_join(&ours, &theirs);
    let mut killed_at_work = 0;
    for job_number in 0..JOBS {
        let receiver = if job_number % 3 == 2 { "both" } else { "us" };
        let mut submit = tacitly();
        submit.args(["psi", "--json", "--dataset", "ids", "--with", "shop/ids", "--receiver", receiver, "--home"]);
        let submitted =
            submit.arg(&pair.bank.home).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut submitted = submitted.spawn().unwrap();
        // The job is in the ledger before the first kill; a proposal that was never acknowledged may be lost.
        let id = until(|| {
            let jobs = pair.bank.tacitly(&["job", "list"]).ok()?;
            let jobs = jobs.as_array()?;
            (jobs.len() as u64 == job_number + 1).then(|| jobs[job_number as usize]["id"].as_str().unwrap().to_owned())
        });
        let id = id.expect("the job was not taken");
        for _ in 0..KILLS / JOBS {
            std::thread::sleep(Duration::from_millis(rng.random_range(0..700)));
            let victim = if rng.random() { &mut pair.bank } else { &mut pair.shop };
            let at_work = victim.tacitly(&["job", "show", &id]).is_ok_and(|job| job["state"] != "done");
            killed_at_work += u64::from(at_work);
            victim.kill();
            victim.serve().unwrap();
        }
        submitted.wait().unwrap();
        for party in [&pair.bank, &pair.shop] {
            let done = until(|| {
                let job = party.tacitly(&["job", "show", &id]).ok()?;
                match job["state"].as_str()? {
                    "done" => Some(Ok(job)),
                    "suspended" => {
                        let _another_side_may_have_resumed = party.tacitly(&["job", "resume", &id]);
                        None
                    }
                    "running" | "approved" | "proposed" => None,
                    _ => Some(Err(job)),
                }
            });
            match done {
                Some(Ok(_)) => {}
                other => panic!("job {job_number} of {}: {other:?}\n{}", party.name, party.log()),
            }
        }
        let out = pair.file("out.csv").display().to_string();
        pair.bank.tacitly(&["job", "result", &id, "--out", &out, "--force"]).unwrap();
        assert_eq!(numbers(&pair.file("out.csv")), expected, "job {job_number}");
    }
    assert!(killed_at_work >= KILLS / 3, "only {killed_at_work} kills met a job at work");
}

#[test]
fn sixty_kills_of_an_approver_that_decides_leave_no_job_without_a_decision() {
    let mut rng = ChaCha8Rng::seed_from_u64(20_261_130);
    let mut pair = Pair::start();
    pair.datasets(&mobiles(0..40), &mobiles(20..60));
    for _ in 0..APPROVER_KILLS {
        await_link(&pair.bank, &pair.shop).unwrap();
        pair.bank.tacitly(&SUBMIT).unwrap();
        std::thread::sleep(rng.random_range(Duration::ZERO..DECIDING));
        pair.shop.kill();
        pair.shop.serve().unwrap();
    }
    for party in [&pair.bank, &pair.shop] {
        let mut last = serde_json::Value::Null;
        let all_done = until(|| {
            last = party.tacitly(&["job", "list"]).ok()?;
            let jobs = last.as_array()?;
            let done = jobs.iter().filter(|job| job["state"] == "done" && job["failure"].is_null()).count();
            (done == jobs.len() && jobs.len() == APPROVER_KILLS as usize).then_some(())
        });
        assert!(all_done.is_some(), "{}: {last}\n{}", party.name, party.log());
    }
}

#[test]
fn a_killed_result_command_leaves_no_row_behind() {
    let mut rng = ChaCha8Rng::seed_from_u64(20_261_131);
    let mut pair = Pair::start();
    pair.datasets(&mobiles(0..RESULT_ROWS), &mobiles(0..RESULT_ROWS));
    let (job, rows) = pair.intersect().unwrap();
    let id = job["id"].as_str().unwrap();
    let folder = pair.file("results");
    std::fs::create_dir(&folder).unwrap();
    let out = folder.join("out.csv");
    let mut cut_short = 0;
    for _ in 0..20 {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tacitly"));
        command.args(["job", "result", id, "--force", "--out"]).arg(&out).arg("--home").arg(&pair.bank.home);
        let mut command =
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(rng.random_range(20..300)));
        command.kill().unwrap();
        cut_short += u32::from(!command.wait().unwrap().success());
        for file in std::fs::read_dir(&folder).unwrap() {
            let file = file.unwrap();
            assert_eq!(file.file_name(), "out.csv", "a leftover");
            assert_eq!(numbers(&file.path()), rows, "a file with less than all rows");
        }
    }
    assert!(cut_short > 0, "no command was killed at work");
}

#[test]
fn a_job_that_a_store_loses_is_noticed_against_the_log_and_the_peer() {
    let mut pair = Pair::start();
    pair.datasets(&mobiles(0..40), &mobiles(20..60));
    // Its files as they are without what comes now.
    pair.bank.stop();
    let files = ["tacitly.db", "tacitly.db-wal"].map(|name| (pair.bank.home.join(name), pair.file(name)));
    for (file, kept) in files.iter().filter(|(file, _)| file.exists()) {
        std::fs::copy(file, kept).unwrap();
    }
    pair.bank.serve().unwrap();
    await_link(&pair.bank, &pair.shop).unwrap();
    let (job, _) = pair.intersect().unwrap();
    pair.bank.kill();
    for (file, kept) in &files {
        let _lost = std::fs::remove_file(file);
        if kept.exists() {
            std::fs::copy(kept, file).unwrap();
        }
    }
    pair.bank.serve().unwrap();
    let noticed = until(|| {
        let events = pair.bank.tacitly(&["events"]).ok()?;
        events.as_array()?.iter().any(|event| event["kind"] == "store-behind").then_some(())
    });
    assert!(noticed.is_some(), "{}", pair.bank.log());
    assert!(pair.bank.log().contains("the store has lost its newest changes"), "{}", pair.bank.log());
    assert_eq!(pair.bank.tacitly(&["job", "show", job["id"].as_str().unwrap()]).unwrap_err().code(), "job-unknown");
    await_link(&pair.bank, &pair.shop).unwrap();
    let compared = run(&pair.bank.home, &["log", "reconcile", "shop", "--grace", "0", "--json"]);
    assert!(!compared.status.success(), "the peer has entries of the lost job: {compared:?}");
    assert_eq!(pair.intersect().unwrap().1.len(), 20, "the next job is a job like any other");
}
