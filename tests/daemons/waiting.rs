//! Commands that wait for a job: whoever is impatient is told that it goes on, and how to follow or end it.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tacitly::test_bed::until;

use crate::support::{Pair, SUBMIT, mobiles, run};

/// A pair in which a person of the shop decides, and an intersection that waits for that.
fn undecided() -> (Pair, impl Fn(&Pair, &[&str]) -> Child) {
    let mut pair = Pair::start();
    pair.datasets(&mobiles(0..40), &mobiles(20..60));
    pair.shop.tacitly(&["dataset", "allow", "ids", "bank", "--manual"]).unwrap();
    let psi = |pair: &Pair, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tacitly"));
        command.args(["psi", "--dataset", "ids", "--with", "shop/ids"]).args(more).arg("--home").arg(&pair.bank.home);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    (pair, psi)
}

fn state(pair: &Pair, id: &str) -> String {
    pair.bank.tacitly(&["job", "show", id]).unwrap()["state"].as_str().unwrap().to_owned()
}

/// The newest job of a number of jobs, once there are so many.
fn newest(pair: &Pair, jobs: usize) -> String {
    let listed = || {
        let all = pair.bank.tacitly(&["job", "list"]).ok()?;
        let all = all.as_array()?;
        (all.len() == jobs).then(|| all[jobs - 1]["id"].as_str().unwrap().to_owned())
    };
    until(listed).expect("the job is submitted")
}

fn said(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn the_first_ctrl_c_leaves_the_job_alone_and_a_second_one_cancels_it() {
    let (pair, psi) = undecided();
    let waiting = psi(&pair, &[]);
    let id = newest(&pair, 1);
    // It listens once it has said how the job stands.
    std::thread::sleep(Duration::from_secs(1));
    kill_process(Pid::from_child(&waiting), Signal::INT).unwrap();
    let (code, told) = said(waiting);
    assert_eq!(code, Some(130), "{told}");
    assert!(told.contains(&format!("job {id}: ")), "without a terminal nothing is said of how it stands: {told}");
    assert!(told.contains(&format!("job {id} goes on: `tacitly job watch {id}` follows it")), "{told}");
    assert!(!["cancelled", "failed"].contains(&state(&pair, &id).as_str()), "the job is over");

    let mut watch = Command::new(env!("CARGO_BIN_EXE_tacitly"));
    watch.args(["job", "watch", &id, "--home"]).arg(&pair.bank.home).stdin(Stdio::null()).stderr(Stdio::piped());
    let watching = watch.stdout(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(1));
    for _ in 0..2 {
        kill_process(Pid::from_child(&watching), Signal::INT).unwrap();
        std::thread::sleep(Duration::from_millis(500));
    }
    let (code, told) = said(watching);
    assert_eq!(code, Some(130), "{told}");
    assert!(told.contains(&format!("job {id} is cancelled")), "{told}");
    assert_eq!(state(&pair, &id), "cancelled");
}

#[test]
fn who_waits_no_longer_than_a_time_or_not_at_all_is_told_the_number_of_the_job_that_goes_on() {
    let (pair, psi) = undecided();
    let begun = Instant::now();
    let (code, told) = said(psi(&pair, &["--timeout", "2"]));
    let id = newest(&pair, 1);
    assert_eq!(code, Some(124), "{told}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{told}");
    assert!(told.contains(&format!("job {id} is not over yet; it goes on")), "{told}");
    assert!(told.contains(&format!("`tacitly job cancel {id}` ends it")), "{told}");

    let waiting = psi(&pair, &["--json"]);
    let id = newest(&pair, 2);
    pair.shop.tacitly(&["approve", &id]).unwrap();
    let (code, told) = said(waiting);
    let first: serde_json::Value = serde_json::from_str(told.lines().next().unwrap()).unwrap();
    assert_eq!((code, &first["job"]), (Some(0), &id.as_str().into()), "{told}");

    let job = pair.bank.tacitly(&["psi", "--dataset", "ids", "--with", "shop/ids", "--detach"]).unwrap();
    assert_eq!(job["id"], newest(&pair, 3));
    let refused = run(&pair.bank.home, &["psi", "--dataset", "ids", "--with", "shop/ids", "--detach", "--out", "x"]);
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn a_job_is_called_by_a_part_of_its_number_or_last() {
    let (pair, _) = undecided();
    let submit = || pair.bank.tacitly(&SUBMIT).unwrap()["id"].as_str().unwrap().to_owned();
    let (first, last) = (submit(), submit());
    let shown = |name: &str| pair.bank.tacitly(&["job", "show", name]);
    assert_eq!(shown("last").unwrap()["id"], last);
    for (id, part) in [(&first, &first[20..]), (&last, &last[18..]), (&first, &first[..])] {
        assert_eq!(shown(part).unwrap()["id"], id.as_str());
        assert_eq!(shown(&part.to_lowercase()).unwrap()["id"], id.as_str());
    }
    for (name, told) in [(&first[..4], "several jobs"), ("zzzzz", "its beginning or its end"), ("abc", "26 letters")] {
        let error = shown(name).unwrap_err();
        assert_eq!(error.code(), "job-unknown", "{error}");
        assert!(error.to_string().contains(told), "{name}: {error}");
    }
    pair.bank.tacitly(&["job", "cancel", "last"]).unwrap();
    assert_eq!((state(&pair, &last), state(&pair, &first) == "cancelled"), ("cancelled".to_owned(), false));
}
