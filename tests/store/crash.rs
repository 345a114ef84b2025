//! A process that is killed in the middle of its writes loses nothing that it was told is stored.
//!
//! The child is this test binary, started anew on one ignored test. It prints a line after each acknowledged write.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rand::RngExt;
use tacitly::store::{EventFilter, JobChange, JobId, JobResult, Store, StoreError};
use tacitly_core::Seed;

use crate::world::{World, a_job, sealer};

const DIRECTORY: &str = "TACITLY_TEST_STORE";

/// This binary, set to run one of its ignored tests on the store of `world`.
pub(crate) fn child(world: &World, test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--ignored", "--nocapture"]).env(DIRECTORY, world.directory.path());
    command.stdout(Stdio::piped());
    command
}

/// The database that the parent names; none when nobody's child runs (and the test has nothing to do).
pub(crate) fn database() -> Option<PathBuf> {
    Some(Path::new(&std::env::var_os(DIRECTORY)?).join("party.db"))
}

/// What stands behind `mark` in the lines that a child prints.
pub(crate) fn marked(line: &str, mark: &str) -> Option<String> {
    line.split_once(mark).map(|(_, rest)| rest.trim().to_owned())
}

#[tokio::test]
#[ignore = "the child of the test below"]
async fn writes_until_killed() {
    let Some(database) = database() else { return };
    let store = Store::open(&database, sealer(1)).await.unwrap();
    loop {
        let job = a_job(&store).await.id;
        println!("stored:{job} proposed");
        let change = JobChange { seed: Some(Seed::from_bytes([9; 32])), ..JobChange::by("child") };
        store.jobs().advance(job, &["proposed"], "running", change).await.unwrap();
        println!("stored:{job} running");
        store.secrets().put_checkpoint(job, "bucket-0", &[3; 5000]).await.unwrap();
        println!("stored:{job} checkpoint");
        let bytes = job.to_string();
        store.secrets().put_result_part(job, 0, bytes.as_bytes()).await.unwrap();
        let result = JobResult::Parts { parts: 1, items: 1 };
        store.jobs().finish(job, &["running"], "done", JobChange::by("child"), result).await.unwrap();
        println!("stored:{job} done");
    }
}

#[tokio::test]
async fn a_store_killed_at_any_moment_keeps_every_acknowledged_write() {
    let world = World::new();
    world.furnished().await.close().await;
    let mut acknowledged: Vec<(JobId, String)> = Vec::new();
    let place = |state: &str| ["proposed", "running", "done"].iter().position(|known| *known == state);
    for round in 0..6 {
        let mut process = child(&world, "crash::writes_until_killed").spawn().unwrap();
        // Read to the first write, so that every round kills a process that writes.
        let mut first = String::new();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        while marked(&first, "stored:").is_none() {
            first.clear();
            assert_ne!(output.read_line(&mut first).unwrap(), 0, "the child ended by itself");
        }
        let locked = world.try_open(1).await.err().unwrap();
        assert!(matches!(locked, StoreError::Locked { pid: Some(pid), .. } if pid == process.id()), "{locked}");
        // A random number of writes later, and somewhere in the next.
        let mut lines = output.lines().map_while(Result::ok);
        let mut before: Vec<String> = lines.by_ref().take(rand::rng().random_range(2..60)).collect();
        std::thread::sleep(Duration::from_micros(rand::rng().random_range(0..5_000)));
        process.kill().unwrap();
        before.extend(lines);
        for line in std::iter::once(first).chain(before) {
            let Some(told) = marked(&line, "stored:") else { continue };
            // The last line may be cut; what it began to tell cannot be checked.
            if let Some((job, state)) = told.split_once(' ')
                && let Ok(job) = job.parse()
            {
                acknowledged.push((job, state.to_owned()));
            }
        }
        process.wait().unwrap();

        let store = world.open().await;
        for (job, told) in &acknowledged {
            let found = store.jobs().get(*job).await.unwrap().state;
            match told.as_str() {
                "checkpoint" if found == "running" => {
                    assert_eq!(**store.secrets().checkpoint(*job, "bucket-0").await.unwrap().unwrap(), [3; 5000]);
                }
                "checkpoint" => assert_eq!(found, "done"),
                "proposed" | "running" | "done" => {
                    assert!(place(&found) >= place(told), "round {round}: {told} {found}")
                }
                _ => {}
            }
        }
        // Whatever was under way is there wholly or not at all.
        for job in store.jobs().list(&Default::default()).await.unwrap() {
            let events = store.events().list(&EventFilter { job: Some(job.id), ..Default::default() }).await.unwrap();
            let last = events.last().unwrap();
            assert_eq!(last.detail.get("to").or(last.detail.get("state")).unwrap(), job.state.as_str());
            assert_eq!(store.secrets().seed(job.id).await.unwrap().is_some(), job.state == "running");
            let result = store.secrets().result(job.id).await.unwrap().map(|bytes| bytes.to_vec());
            assert_eq!(result, (job.state == "done").then(|| job.id.to_string().into_bytes()));
        }
        store.close().await;
    }
    assert!(acknowledged.len() > 12, "the children got to write: {}", acknowledged.len());
}
