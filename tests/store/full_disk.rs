//! A full disk is said to be one, loses nothing, and once there is room again the same store goes on.

use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tacitly::store::{JobId, Store, StoreError};

use crate::crash::{child, database, marked};
use crate::world::{World, a_job, fingerprint, new_dataset, sealer};

/// Writes checkpoints until the store has no room, and says which were acknowledged.
async fn fill(store: &Store, job: JobId) -> StoreError {
    for at in 0..500 {
        let label = format!("filling-{at}");
        match store.secrets().put_checkpoint(job, &label, &[at as u8; 100_000]).await {
            Ok(()) => println!("stored:{label}"),
            Err(error) => return error,
        }
    }
    panic!("50 MB were written");
}

/// That the store has what it acknowledged, nothing else, and goes on.
async fn check(store: &Store, job: JobId) {
    let labels = store.secrets().checkpoint_labels(job).await.unwrap();
    assert!(labels.len() > 5, "{labels:?}");
    for label in &labels {
        let at: usize = label.strip_prefix("filling-").unwrap().parse().unwrap();
        assert!(at < labels.len(), "the one that failed is not there");
        assert_eq!(**store.secrets().checkpoint(job, label).await.unwrap().unwrap(), [at as u8; 100_000]);
    }
}

fn full(error: &StoreError) {
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
    assert!(error.to_string().contains("free some space"), "{error}");
}

#[tokio::test]
#[ignore = "the child of the test below"]
async fn fills_up_to_a_limit() {
    let Some(database) = database() else { return };
    let store = Store::open(&database, sealer(1)).await.unwrap();
    let job = a_job(&store).await.id;
    let unlimited = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: Some(3 << 20), maximum: unlimited.maximum }).unwrap();
    full(&fill(&store, job).await);
    full(&store.secrets().put_checkpoint(job, "again", &[0; 4 << 20]).await.unwrap_err());
    setrlimit(Resource::Fsize, unlimited).unwrap();
    check(&store, job).await;
    store.secrets().put_checkpoint(job, "filling-0", &[0; 100_000]).await.unwrap();
    println!("job:{job}");
}

#[tokio::test]
async fn a_file_size_limit_is_a_full_disk_and_the_store_outlives_it() {
    let world = World::new();
    world.furnished().await.close().await;
    // The signal that comes with the limit is ignored, as the daemon does; a shell is what can say so here.
    let run = child(&world, "full_disk::fills_up_to_a_limit");
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"])
        .arg(run.get_program())
        .args(run.get_args())
        .envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let output = String::from_utf8(output.stdout).unwrap();
    let job = output.lines().find_map(|line| marked(line, "job:")).unwrap().parse().unwrap();
    let acknowledged = output.lines().filter(|line| line.contains("stored:")).count();
    let store = world.open().await;
    check(&store, job).await;
    assert_eq!(store.secrets().checkpoint_labels(job).await.unwrap().len(), acknowledged);
}

#[tokio::test]
#[ignore = "the child of the test below"]
async fn fills_a_small_disk() {
    let Some(database) = database() else { return };
    let ballast = database.with_file_name("ballast");
    std::fs::write(&ballast, vec![0; 2 << 20]).unwrap();
    let world = World::new();
    let store = Store::open(&database, sealer(1)).await.unwrap();
    store.peers().add(world.new_peer("shop"), "operator").await.unwrap();
    store.datasets().add(new_dataset("customers"), &fingerprint(), false, "operator").await.unwrap();
    let job = a_job(&store).await.id;
    full(&fill(&store, job).await);
    full(&store.backup(&database.with_file_name("backup.db")).await.unwrap_err());
    store.close().await;
    // Full as the disk is, what is there can be read.
    let store = Store::open(&database, sealer(1)).await.unwrap();
    check(&store, job).await;
    full(&fill(&store, job).await);
    std::fs::remove_file(&ballast).unwrap();
    store.secrets().put_checkpoint(job, "filling-0", &[0; 100_000]).await.unwrap();
    check(&store, job).await;
    println!("held");
}

#[tokio::test]
async fn a_disk_without_room_is_a_full_disk_and_the_store_outlives_it() {
    let world = World::new();
    // A disk of its own, in a mount namespace that goes with the child. It takes privileges.
    let mounted = ["unshare", "-m", "sh", "-c", "mount -t tmpfs -o size=8m none \"$0\" && exec \"$@\""];
    let trial = Command::new(mounted[0]).args(&mounted[1..]).arg(world.directory.path()).arg("true").output();
    if !trial.is_ok_and(|trial| trial.status.success()) {
        println!("SKIPPED: a_disk_without_room_is_a_full_disk_and_the_store_outlives_it (no right to mount a tmpfs)");
        return;
    }
    let run = child(&world, "full_disk::fills_a_small_disk");
    let output = Command::new(mounted[0])
        .args(&mounted[1..])
        .arg(world.directory.path())
        .arg(run.get_program())
        .args(run.get_args())
        .envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && printed.contains("held"),
        "{printed}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
