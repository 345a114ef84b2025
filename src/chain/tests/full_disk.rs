//! A full disk is said to be one, loses nothing, and once there is room again the same log goes on.

use std::process::{Command, Stdio};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::super::Log;
use super::crash::{acknowledged, child, folder, say_acknowledged};
use super::{ChainError, World, check, entry, open};

/// Appends until the log has no room, and says which were acknowledged.
async fn fill(log: &Log) -> ChainError {
    for number in log.head().size..100_000 {
        let mut bytes = entry(number);
        bytes.resize(20_000, b'x');
        match log.append(bytes).await {
            Ok(leaf) => say_acknowledged(leaf.index),
            Err(error) => return error,
        }
    }
    panic!("2 GB were written");
}

pub(super) fn full(error: &ChainError) {
    assert!(error.is_disk_full(), "{error}");
    assert!(error.to_string().contains("free some space"), "{error}");
}

/// The same command, with the signal ignored that comes with a limit, as the daemon does; a shell is what can say so here.
pub(super) fn meets_limits(run: &Command) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]).arg(run.get_program()).args(run.get_args());
    command.envs(run.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdout(Stdio::piped());
    command
}

/// Does something while no file may have more bytes than this.
pub(super) async fn limited<T>(bytes: u64, what: impl AsyncFnOnce() -> T) -> T {
    let unlimited = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: Some(bytes), maximum: unlimited.maximum }).unwrap();
    let done = what().await;
    setrlimit(Resource::Fsize, unlimited).unwrap();
    done
}

#[tokio::test]
#[ignore = "the child of the test below"]
async fn fills_up_to_a_limit() {
    let Some(folder) = folder() else { return };
    let log = open(&folder).unwrap();
    limited(1 << 20, async || {
        full(&fill(&log).await);
        full(&fill(&log).await);
    })
    .await;
    let size = log.head().size;
    let leaf = log.append(entry(1)).await.unwrap();
    assert_eq!(leaf.index, size);
    say_acknowledged(leaf.index);
    log.signed(size + 1).await.unwrap();
}

#[tokio::test]
async fn a_file_size_limit_is_a_full_disk_and_the_log_outlives_it() {
    let world = World::new();
    let mut process = meets_limits(&child(&world, "full_disk::fills_up_to_a_limit")).spawn().unwrap();
    let told = acknowledged(&mut process);
    assert!(process.wait().unwrap().success());
    assert!(told.len() > 20, "{told:?}");
    let log = world.open();
    assert_eq!(log.head().size, told.len() as u64);
    drop(log);
    assert!(check(world.path()).is_sound());
}

#[tokio::test]
#[ignore = "the child of the test below"]
async fn fills_a_small_disk() {
    let Some(folder) = folder() else { return };
    let ballast = folder.join("ballast");
    std::fs::write(&ballast, vec![0; 6 << 20]).unwrap();
    let log = open(&folder.join("log")).unwrap();
    full(&fill(&log).await);
    let size = log.head().size;
    // What is on the full disk can be read, and goes on when there is room.
    assert!(log.entry(size - 1).is_ok());
    drop(log);
    std::fs::remove_file(&ballast).unwrap();
    let log = open(&folder.join("log")).unwrap();
    assert_eq!(log.head().size, size);
    log.signed(size).await.unwrap();
    let leaf = log.append(entry(1)).await.unwrap();
    log.signed(leaf.index + 1).await.unwrap();
    drop(log);
    let report = check(&folder.join("log"));
    assert!(report.is_sound() && report.entries == size + 1, "{report:?}");
    say_acknowledged(leaf.index);
}

#[tokio::test]
async fn a_disk_without_room_is_a_full_disk_and_the_log_outlives_it() {
    let world = World::new();
    // A disk of its own, in a mount namespace that goes with the child. It takes privileges.
    let mounted = ["unshare", "-m", "sh", "-c", "mount -t tmpfs -o size=8m none \"$0\" && exec \"$@\""];
    let trial = Command::new(mounted[0]).args(&mounted[1..]).arg(world.path()).arg("true").output();
    if !trial.is_ok_and(|trial| trial.status.success()) {
        println!("SKIPPED: a_disk_without_room_is_a_full_disk_and_the_log_outlives_it (no right to mount a tmpfs)");
        return;
    }
    let run = child(&world, "full_disk::fills_a_small_disk");
    let mut process = Command::new(mounted[0])
        .args(&mounted[1..])
        .arg(world.path())
        .arg(run.get_program())
        .args(run.get_args())
        .envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let told = acknowledged(&mut process);
    assert!(process.wait().unwrap().success(), "{told:?}");
    assert!(told.len() > 20, "{told:?}");
}
