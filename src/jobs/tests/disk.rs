//! A disk that is full at the worst moment.

use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::super::core::about_job;
use super::super::state::State;
use super::office::{Town, Toy, id};
use crate::codes;

/// Set where the child of the test below runs.
const CHILD: &str = "TACITLY_TEST_FULL_DISK";

/// Not a test of its own: a file-size limit holds for a whole process.
#[tokio::test]
async fn fills_up_between_a_result_and_its_receipt() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let town = Town::of(&[id("bank"), id("shop")]);
    let bank = town.open(id("bank"), Toy::reading()).await;
    let terms = town.terms(id("bank"), &[id("bank")].into());
    let job = bank.note(&terms, State::Approved, &town.all_signed(&terms)).await.id;
    bank.begin(job, id("shop")).await;
    bank.agree(&terms).await;
    bank.keep(job, b"the result").await;
    let unlimited = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: Some(1 << 10), maximum: unlimited.maximum }).unwrap();

    let finished = bank.finished(job).await;
    for _ in 0..3 {
        let refused = bank.shell.happen(job, finished.clone()).await.unwrap_err();
        assert_eq!(refused.code, codes::DISK_FULL, "{refused}");
    }
    // Nothing has changed, here and in the ledger.
    assert_eq!(bank.state(job).await, State::Running);
    assert_eq!(bank.core.store.secrets().result(job).await.unwrap(), None);
    assert_eq!(bank.core.places.held(), 1);
    bank.core.happen_at_last(job, finished);
    setrlimit(Resource::Fsize, unlimited).unwrap();

    bank.reaches(job, State::Done).await;
    assert_eq!(bank.core.store.secrets().result(job).await.unwrap().unwrap()[..], b"the result"[..]);
    assert_eq!(bank.core.places.held(), 0);
    let known = bank.core.recorder.all_known(&about_job(job), "result").await.unwrap();
    assert_eq!(known.len(), 1, "the result is on record once");
    assert!(bank.core.running.find(job).is_none(), "the attempt still computes");
    println!("held");
}

#[test]
fn a_full_disk_between_a_result_and_its_receipt_changes_nothing_once_there_is_room_again() {
    // The signal that comes with the limit is ignored, as the daemon does; a shell is what can say so here.
    let child = "jobs::tests::disk::fills_up_between_a_result_and_its_receipt";
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", child, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("held"), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
}
