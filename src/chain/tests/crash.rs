//! A process that is killed at any moment loses nothing that it was told is stored.
//!
//! The child is this test binary, started anew on one ignored test. It prints a line after each acknowledged entry.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rand::RngExt;

use super::super::segment::HEADER;
use super::{World, check, entry, open};

const FOLDER: &str = "TACITLY_TEST_LOG";
const ACKNOWLEDGED: &str = "acknowledged:";

/// This binary, set to run one of its ignored tests on the log of `world`.
pub(super) fn child(world: &World, test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let name = format!("chain::tests::{test}");
    command.args([&name, "--exact", "--ignored", "--nocapture"]).env(FOLDER, world.path());
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// The folder that the parent names; none when nobody's child runs (and the test has nothing to do).
pub(super) fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

/// The entries that a child was told are stored, up to its end.
pub(super) fn acknowledged(child: &mut Child) -> Vec<u64> {
    acknowledgements(child).collect()
}

/// The same, as they come.
fn acknowledgements(child: &mut Child) -> impl Iterator<Item = u64> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    lines.filter_map(|line| line.split_once(ACKNOWLEDGED)?.1.trim().split_once(' ')?.0.parse().ok())
}

pub(super) fn say_acknowledged(number: u64) {
    // The word behind the number shows that the number was not cut off.
    println!("{ACKNOWLEDGED}{number} indeed");
}

/// That every entry in `told` is in the log at its place, and whatever else is there is whole.
fn holds(folder: &Path, told: &[u64], why: &str) {
    // What the crash left behind, before anything is mended: no damage, whatever else.
    let report = check(folder);
    let entries: Vec<_> = report.findings.iter().filter(|finding| finding.entry.is_some()).collect();
    assert!(entries.is_empty(), "{why}: {report:?}");
    let log = open(folder).unwrap_or_else(|error| panic!("{why}: {error}"));
    let size = log.head().size;
    assert!(told.iter().all(|number| *number < size), "{why}: {size} entries, acknowledged {told:?}");
    (0..size).for_each(|number| assert_eq!(log.entry(number).unwrap(), entry(number), "{why}"));
    drop(log);
    let report = check(folder);
    assert!(report.is_sound() && report.unfinished_bytes == 0 && report.entries == size, "{why}: {report:?}");
    assert_eq!(report.signed, (size > 0).then_some(size), "{why}");
}

#[tokio::test]
#[ignore = "the child of the tests below"]
async fn appends_until_killed() {
    let Some(folder) = folder() else { return };
    let log = open(&folder).unwrap();
    let begun = Instant::now();
    for number in log.head().size..u64::MAX {
        assert!(begun.elapsed() < Duration::from_secs(300), "nobody killed it");
        // One at a time, so that an entry's number is its index; now and then the checkpoint.
        assert_eq!(log.append(entry(number)).await.unwrap().index, number);
        say_acknowledged(number);
        if number % 3 == 2 {
            log.signed(number + 1).await.unwrap();
        }
        if number % 100 == 99 {
            tokio::time::sleep(Duration::from_millis(600)).await;
        }
    }
}

#[tokio::test]
async fn a_process_killed_at_any_write_point_loses_no_acknowledged_entry() {
    let points = [
        "commit: before the write",
        "commit: half written",
        "commit: written",
        "commit: synchronised",
        "commit: before the answer",
        "tile: before",
        "tile: written",
        "sign: before",
        "replace: written",
        "replace: synchronised",
        "replace: renamed",
    ];
    for point in points {
        // On a fresh log, on one with a few entries, and where a tile becomes full.
        for (size, times) in [(0, 1), (0, 4), (5, 2), (254, 1), (254, 2), (254, 3), (255, 4)] {
            let world = World::closed(size).await;
            let fatal = format!("{point}#{times}");
            let mut process =
                child(&world, "crash::appends_until_killed").env("TACITLY_TEST_FATAL_POINT", &fatal).spawn().unwrap();
            let told = acknowledged(&mut process);
            let ended = process.wait().unwrap();
            assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended), Some(9), "{fatal}: {ended}");
            holds(world.path(), &told, &format!("{fatal} on {size}"));
        }
    }
    // The index is written when nothing has come for a while.
    let world = World::closed(254).await;
    let mut process = child(&world, "crash::appends_until_killed")
        .env("TACITLY_TEST_FATAL_POINT", "index: before#1")
        .spawn()
        .unwrap();
    let told = acknowledged(&mut process);
    process.wait().unwrap();
    assert!(told.len() > 2);
    holds(world.path(), &told, "index: before");
}

#[tokio::test]
async fn a_process_killed_at_random_moments_loses_no_acknowledged_entry() {
    let world = World::new();
    let mut told = Vec::new();
    for round in 0..12 {
        let mut process = child(&world, "crash::appends_until_killed").spawn().unwrap();
        // After a random number of entries, and somewhere in the next.
        let mut lines = acknowledgements(&mut process);
        told.extend(lines.by_ref().take(rand::rng().random_range(2..40)));
        std::thread::sleep(Duration::from_micros(rand::rng().random_range(0..5_000)));
        process.kill().unwrap();
        told.extend(lines);
        process.wait().unwrap();
        holds(world.path(), &told, &format!("round {round}"));
    }
    assert!(told.len() > 12, "the children got to append: {}", told.len());
    assert!(std::fs::metadata(world.file("segment")).unwrap().len() > (told.len() * HEADER) as u64);
}
