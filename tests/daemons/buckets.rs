//! Sets larger than the memory allowed, worked off in buckets on real daemons: exact in every flow, whatever is killed,
//! and nothing that is over is sent again.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tacitly::test_bed::{PATIENCE, Party, Setup, until, until_within};

use crate::support::{Pair, mobiles, numbers, semi_join, setup, tacitly};

/// Ten buckets for ten thousand keys.
fn small() -> Setup {
    setup().set("TACITLY_LIMITS__BUCKET_KEYS", 1_000)
}

/// Runs a job for the bank and returns it with the rows that each side wrote.
fn run(pair: &Pair, kind: &str, receiver: &str) -> (Value, Vec<u64>, Vec<u64>) {
    let words = ["psi", "--kind", kind, "--receiver", receiver, "--dataset", "ids", "--with", "shop/ids"];
    let job = pair.bank.tacitly(&words).unwrap_or_else(|error| panic!("{kind} {receiver}: {error}"));
    Pair::await_state(&pair.shop, &["done"]);
    let rows = |party: &Party, receives: bool| {
        if receives && kind != "cardinality" { result(pair, party, job["id"].as_str().unwrap()) } else { Vec::new() }
    };
    let (ours, theirs) = (rows(&pair.bank, receiver != "peer"), rows(&pair.shop, receiver != "us"));
    (job, ours, theirs)
}

fn result(pair: &Pair, party: &Party, job: &str) -> Vec<u64> {
    let out = pair.file(&format!("{}-out.csv", party.name));
    party.tacitly(&["job", "result", job, "--out", &out.display().to_string(), "--force"]).unwrap();
    numbers(&out)
}

#[test]
fn every_flow_and_receiver_in_buckets_is_exactly_the_join_in_the_clear() {
    let mut pair = Pair::with(small(), small());
    let (ours, theirs) = (mobiles(0..10_000), mobiles(6_000..13_000));
    pair.datasets(&ours, &theirs);
    let (here, there) = (semi_join(&ours, &theirs), semi_join(&theirs, &ours));
    for receiver in ["us", "peer", "both"] {
        let (job, our_rows, their_rows) = run(&pair, "intersect", receiver);
        assert_eq!(our_rows, if receiver == "peer" { vec![] } else { here.clone() }, "{receiver}");
        assert_eq!(their_rows, if receiver == "us" { vec![] } else { there.clone() }, "{receiver}");
        assert_eq!((&job["summary"]["our_items"], &job["summary"]["peer_items"]), (&10_000.into(), &7_000.into()));
        let (job, ..) = run(&pair, "cardinality", receiver);
        assert_eq!(job["result_items"].as_u64(), (receiver != "peer").then_some(4_000), "{receiver}");
    }
    let (job, our_rows, their_rows) = run(&pair, "align", "both");
    assert_eq!(job["result_items"], 4_000);
    let people = |rows: &[u64], ids: &[String]| rows.iter().map(|row| ids[*row as usize].clone()).collect::<Vec<_>>();
    assert_eq!(people(&our_rows, &ours), people(&their_rows, &theirs), "the same people in the same order");
    assert_eq!(our_rows.iter().copied().collect::<BTreeSet<_>>(), here.iter().copied().collect());
    assert_ne!(our_rows, here, "the order is not that of the file");
}

/// The column `n` of the rows under a policy for repeated keys.
fn join(ours: &[String], theirs: &[String], duplicates: &str) -> Vec<u64> {
    let mut seen = BTreeSet::new();
    let rows = semi_join(ours, theirs);
    rows.into_iter().filter(|row| duplicates == "all" || seen.insert(&ours[*row as usize])).collect()
}

#[test]
fn sets_of_unequal_size_and_repeated_rows_in_buckets_are_exactly_the_join_in_the_clear() {
    let mut pair = Pair::with(small(), small());
    let add = |pair: &Pair, party: &Party, column: &str, peer: &str, duplicates: &str| {
        let path = pair.file(&format!("{}.csv", party.name)).display().to_string();
        let key = format!("{column}=cn-mobile");
        let words = ["dataset", "add", "ids", &path, "--key", &key, "--allow", peer, "--replace"];
        party.tacitly(&[&words[..], &["--duplicates", duplicates]].concat())
    };
    for (ours, theirs) in [(mobiles(0..12_000), mobiles(11_990..12_010)), (vec![], mobiles(0..3_000))] {
        pair.datasets(&ours, &theirs);
        for kind in ["intersect", "align"] {
            let (job, mut here, mut there) = run(&pair, kind, "both");
            here.sort_unstable();
            there.sort_unstable();
            assert_eq!((here, there), (semi_join(&ours, &theirs), semi_join(&theirs, &ours)), "{kind}");
            assert_eq!(job["summary"]["buckets"], ours.len().max(theirs.len()).div_ceil(1_000), "{kind}");
        }
    }
    let (ours, theirs) = (mobiles(0..6_000), mobiles(3_000..9_000));
    let twice = |ids: &[String]| ids.iter().chain(ids.iter().rev().skip(1)).cloned().collect::<Vec<_>>();
    let (ours, theirs) = (twice(&ours), twice(&theirs));
    pair.datasets(&ours[..6_000], &theirs[..6_000]);
    for (file, column, ids) in [("bank", "mobile", &ours), ("shop", "phone", &theirs)] {
        let rows = (0..).zip(ids).map(|(row, id): (u64, _)| format!("{id},{row}\n")).collect::<String>();
        std::fs::write(pair.file(&format!("{file}.csv")), format!("{column},n\n{rows}")).unwrap();
    }
    for duplicates in ["first", "all"] {
        add(&pair, &pair.bank, "mobile", "shop", duplicates).unwrap();
        add(&pair, &pair.shop, "phone", "bank", duplicates).unwrap();
        let (job, here, there) = run(&pair, "intersect", "both");
        assert_eq!((&job["summary"]["our_items"], &job["summary"]["buckets"]), (&6_000.into(), &6.into()));
        assert_eq!(here, join(&ours, &theirs, duplicates), "{duplicates}");
        assert_eq!(there, join(&theirs, &ours, duplicates), "{duplicates}");
    }
    let refused = add(&pair, &pair.bank, "mobile", "shop", "error").unwrap_err();
    assert_eq!(refused.code(), "dataset-input");
    assert!(refused.to_string().contains("line 6002"), "{refused}");
}

#[test]
fn the_side_with_less_memory_decides_and_both_come_to_the_same_buckets() {
    // One party holds its set in memory, the other lays it aside: the same buckets, and the same bytes again.
    let mut pair = Pair::with(setup().set("TACITLY_LIMITS__BUCKET_KEYS", 8_000), small());
    let (ours, theirs) = (mobiles(0..5_000), mobiles(2_000..7_000));
    pair.datasets(&ours, &theirs);
    let (job, here, there) = run(&pair, "intersect", "both");
    assert_eq!((here, there), (semi_join(&ours, &theirs), semi_join(&theirs, &ours)));
    assert_eq!(job["summary"]["buckets"], 5);
    assert_eq!(Pair::await_state(&pair.shop, &["done"])["summary"]["buckets"], 5);
    // Buckets that are far smaller than ours would tell more than we agreed to.
    let mut pair = Pair::with(setup().set("TACITLY_LIMITS__BUCKET_KEYS", 20_000), small());
    pair.datasets(&ours, &theirs);
    let refused = pair.bank.tacitly(&["psi", "--dataset", "ids", "--with", "shop/ids"]).unwrap_err();
    assert_eq!(refused.code(), "limit");
    assert!(refused.to_string().contains("shop wants buckets of 1000 keys, ours hold 20000"), "{refused}");
}

#[test]
fn a_minimum_is_checked_over_all_buckets_before_anything_is_released() {
    let mut pair = Pair::with(small(), small());
    pair.datasets(&mobiles(0..4_000), &mobiles(3_900..8_000));
    pair.shop.tacitly(&["dataset", "allow", "ids", "bank", "--limit", "min_intersection=101"]).unwrap();
    let psi = ["psi", "--dataset", "ids", "--with", "shop/ids"];
    assert_eq!(pair.bank.tacitly(&psi).unwrap_err().code(), "below-minimum");
    assert_eq!(Pair::await_state(&pair.shop, &["failed"])["failure"]["code"], "below-minimum");
    pair.shop.tacitly(&["dataset", "allow", "ids", "bank", "--limit", "min_intersection=100"]).unwrap();
    let job = pair.bank.tacitly(&psi).unwrap();
    assert_eq!((&job["result_items"], &job["summary"]["buckets"]), (&100.into(), &5.into()));
}

#[test]
fn two_large_sets_that_meet_in_nothing_get_a_hint_and_every_bucket_its_progress() {
    let mut pair = Pair::with(small(), small());
    pair.datasets(&mobiles(0..40_000), &mobiles(50_000..90_000));
    let mut submit = submit(&pair);
    let mut stages = BTreeSet::new();
    let job = until_within(4 * PATIENCE, || {
        let job = pair.bank.tacitly(&["job", "list"]).ok()?.as_array()?.last()?.clone();
        stages.extend(job["stage"].as_str().map(str::to_owned));
        assert!(job["done"].as_u64() <= job["total"].as_u64(), "{job}");
        (job["state"] == "done").then_some(job)
    });
    submit.wait().unwrap();
    assert!(job.unwrap()["summary"]["hint"].as_str().unwrap().contains("11"), "the length of a mobile number");
    assert!(stages.iter().any(|stage| stage.starts_with("bucket ") && stage.contains(" of 40: ")), "{stages:?}");
}

/// Submits an intersection for the bank in a process of its own.
fn submit(pair: &Pair) -> Child {
    let mut submit = tacitly();
    submit.args(["psi", "--json", "--dataset", "ids", "--with", "shop/ids", "--receiver", "both", "--home"]);
    submit.arg(&pair.bank.home).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// The number of the bank's last job, once there are so many.
fn job_number(pair: &Pair, jobs: usize) -> String {
    let id = until(|| {
        let list = pair.bank.tacitly(&["job", "list"]).ok()?;
        let list = list.as_array()?;
        (list.len() == jobs).then(|| list[jobs - 1]["id"].as_str().unwrap().to_owned())
    });
    id.expect("the job was not taken")
}

/// Waits until a job is done on both sides, whoever was killed.
fn await_done(pair: &Pair, id: &str) -> Value {
    // A job of forty sessions on a machine that other tests keep busy: as long as a hang takes to be certain.
    const PATIENCE: usize = 6;
    let done = |party: &Party| {
        let look = || {
            let job = party.tacitly(&["job", "show", id]).ok()?;
            match job["state"].as_str()? {
                "done" => Some(Ok(job)),
                "suspended" => {
                    let _another_side_may_have_resumed = party.tacitly(&["job", "resume", id]);
                    None
                }
                "running" | "approved" | "proposed" => None,
                _ => Some(Err(job)),
            }
        };
        let done = (0..PATIENCE).find_map(|_| until(look));
        done.unwrap_or_else(|| {
            panic!("{} did not end it:\n{}\n=====\n{}", party.name, pair.bank.log(), pair.shop.log())
        })
        .unwrap_or_else(|job| panic!("{}: {job}", party.name))
    };
    done(&pair.shop);
    done(&pair.bank)
}

#[test]
fn kills_at_random_moments_leave_a_job_in_buckets_exact_and_nothing_that_is_over_is_sent_again() {
    const KILLS: u32 = 4;
    let mut rng = ChaCha8Rng::seed_from_u64(20_261_122);
    let (mut pair, cable) = Pair::with_cable(small(), small());
    let (ours, theirs) = (mobiles(0..40_000), mobiles(20_000..60_000));
    pair.datasets(&ours, &theirs);
    let expected = (semi_join(&ours, &theirs), semi_join(&theirs, &ours));
    let (_, here, there) = run(&pair, "intersect", "both");
    assert_eq!((here, there), expected);
    let at_work = |party: &Party, id: &str| {
        party.tacitly(&["job", "show", id]).is_ok_and(|job| job["stage"].as_str().unwrap().starts_with("bucket "))
    };
    let is_done = |party: &Party, id: &str| party.tacitly(&["job", "show", id]).is_ok_and(|job| job["state"] == "done");
    let mut killed_at_work = 0;
    for round in 0..3 {
        let before = cable.carried();
        let mut submitted = submit(&pair);
        let id = job_number(&pair, round + 2);
        for _ in 0..KILLS {
            until(|| (at_work(&pair.bank, &id) || is_done(&pair.bank, &id)).then_some(()));
            std::thread::sleep(Duration::from_millis(rng.random_range(0..400)));
            let victim = if rng.random() { &mut pair.bank } else { &mut pair.shop };
            killed_at_work += u32::from(at_work(victim, &id));
            victim.kill();
            victim.serve().unwrap();
        }
        submitted.wait().unwrap();
        let job = await_done(&pair, &id);
        assert_eq!((result(&pair, &pair.bank, &id), result(&pair, &pair.shop, &id)), expected, "round {round}");
        // What the ledger counts is every bucket once. Beyond that: a bucket for each attempt that was cut off, and the
        // words around it, frames, TLS and heartbeats.
        let counted = job["bytes_out"].as_u64().unwrap() + job["bytes_in"].as_u64().unwrap();
        let carried = cable.carried() - before;
        let attempts = job["attempt"].as_u64().unwrap();
        let most = counted + attempts * (2 * counted / 40) + counted / 4;
        assert!(carried <= most, "{carried} bytes went over the cable in {attempts} attempts, {counted} are counted");
    }
    assert!(killed_at_work >= KILLS, "only {killed_at_work} kills met a job at work");
}

#[test]
fn what_was_settled_stands_whatever_the_settings_say_now() {
    let mut pair = Pair::with(small(), small());
    let (ours, theirs) = (mobiles(0..40_000), mobiles(20_000..60_000));
    pair.datasets(&ours, &theirs);
    let mut submitted = submit(&pair);
    let id = job_number(&pair, 1);
    let shown = |pair: &Pair| pair.bank.tacitly(&["job", "show", &id]).unwrap();
    let is_at_work = || {
        let job = shown(&pair);
        assert_ne!(job["state"], "done", "it was over before anybody was restarted");
        // Some buckets are over, and most are not.
        (3..20)
            .any(|bucket| job["stage"].as_str().unwrap().starts_with(&format!("bucket {bucket} of 40")))
            .then_some(())
    };
    assert!(until(is_at_work).is_some(), "{}", shown(&pair));
    // All of it would fit into the memory of one now, and the other would take buckets of another size.
    pair.bank.kill();
    pair.shop.kill();
    pair.bank.set("TACITLY_LIMITS__BUCKET_KEYS", 1_000_000);
    pair.shop.set("TACITLY_LIMITS__BUCKET_KEYS", 7_000);
    pair.bank.serve().unwrap();
    pair.shop.serve().unwrap();
    submitted.wait().unwrap();
    let job = await_done(&pair, &id);
    let there = pair.shop.tacitly(&["job", "show", &id]).unwrap();
    for job in [&job, &there] {
        assert_eq!(job["summary"]["buckets"], 40, "{job}");
        assert!(job["attempt"].as_u64() > Some(1), "{job}");
    }
    let rows = (result(&pair, &pair.bank, &id), result(&pair, &pair.shop, &id));
    assert_eq!(rows, (semi_join(&ours, &theirs), semi_join(&theirs, &ours)));
    // A job that begins now is cut as the settings say now: buckets of 7,000 keys are too small for the bank.
    let refused = pair.bank.tacitly(&["psi", "--dataset", "ids", "--with", "shop/ids"]).unwrap_err();
    assert_eq!(refused.code(), "limit");
    assert!(refused.to_string().contains("shop wants buckets of 7000 keys"), "{refused}");
}

/// Everything on disk that a party can reach: its folder, and what its daemon holds open without a name.
fn everything_on_disk(party: &Party) -> Vec<(String, Vec<u8>)> {
    let pid = std::fs::read_to_string(party.home.join("tacitly.db.lock")).unwrap();
    let open = format!("/proc/{}/fd", pid.trim());
    let mut files = Vec::new();
    for folder in [party.home.as_path(), Path::new(&open)] {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let target = std::fs::read_link(entry.path()).unwrap_or_default().display().to_string();
            let is_nameless_file = target.ends_with(" (deleted)");
            if (folder == party.home || is_nameless_file)
                && std::fs::metadata(entry.path()).is_ok_and(|found| found.is_file())
                && let Ok(bytes) = std::fs::read(entry.path())
            {
                files.push((format!("{} {target}", entry.path().display()), bytes));
            }
        }
    }
    files
}

#[test]
fn no_key_lies_bare_in_any_file_of_a_party_while_it_works_nor_afterwards() {
    let mut pair = Pair::with(small(), small());
    let (ours, theirs) = (mobiles(0..30_000), mobiles(15_000..45_000));
    pair.datasets(&ours, &theirs);
    let mut submitted = submit(&pair);
    let keys: HashSet<&[u8]> = ours.iter().chain(&theirs).map(|key| key.as_bytes()).collect();
    let (mut spilled, mut looked) = (0, 0);
    let mut look = |pair: &Pair| {
        for party in [&pair.bank, &pair.shop] {
            for (name, bytes) in everything_on_disk(party) {
                spilled += u64::from(name.contains("(deleted)") && bytes.len() > 100_000);
                looked += 1;
                let bare = bytes.windows(11).any(|window| window.starts_with(b"138") && keys.contains(window));
                assert!(!bare, "{name} holds a key");
            }
        }
    };
    let over = |pair: &Pair| {
        let jobs = pair.bank.tacitly(&["job", "list"]).unwrap();
        let Some(job) = jobs.as_array().unwrap().last() else { return false };
        assert!(["proposed", "approved", "running", "done"].contains(&job["state"].as_str().unwrap()), "{job}");
        job["state"] == "done"
    };
    let begun = Instant::now();
    while !over(&pair) {
        assert!(begun.elapsed() < 4 * PATIENCE, "the job does not end:\n{}", pair.bank.log());
        look(&pair);
    }
    submitted.wait().unwrap();
    look(&pair);
    assert!(spilled > 0 && looked > 0, "keys were laid aside while somebody looked: {spilled} of {looked} files");
    let left = everything_on_disk(&pair.bank)
        .into_iter()
        .filter(|(name, bytes)| name.contains("(deleted)") && bytes.len() > 100_000);
    assert_eq!(left.count(), 0, "what was laid aside is gone with the job");
}

#[test]
fn a_disk_that_fills_while_keys_are_laid_aside_ends_the_job_and_not_the_daemon() {
    let mut pair = Pair::with(small(), small());
    let (ours, theirs) = (mobiles(0..60_000), mobiles(0..10));
    pair.datasets(&ours, &theirs);
    let pid = std::fs::read_to_string(pair.bank.home.join("tacitly.db.lock")).unwrap();
    let limit = |soft: &str| {
        let fsize = format!("--fsize={soft}:unlimited");
        assert!(Command::new("prlimit").args(["--pid", pid.trim(), &fsize]).status().unwrap().success());
    };
    // Room for the ledger, and not for sixty thousand keys.
    limit("1200000");
    let error = pair.intersect().unwrap_err();
    assert_eq!(error.code(), "disk-full", "{error}");
    assert!(error.to_string().contains("laid aside"), "{error}");
    assert_eq!(Pair::await_state(&pair.shop, &["failed"])["failure"]["code"], "peer-failed");
    limit("unlimited");
    assert_eq!(pair.intersect().unwrap().1, semi_join(&ours, &theirs));
}
