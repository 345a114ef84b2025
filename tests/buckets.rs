//! Sets larger than the memory allowed, worked off in buckets on real daemons: exact in every flow, whatever is killed,
//! and nothing that is over is sent again.

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use support::{Pair, mobiles, numbers, semi_join, setup};
use tacitly::trial::{Party, Setup, until};

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
    party.tacitly(&["job", "result", job, "--out", &out.display().to_string()]).unwrap();
    numbers(&out)
}

/// How many buckets a job had, by its log.
fn was_in_buckets(party: &Party) -> bool {
    party.log().contains("in buckets")
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
        assert_eq!((&job["our_items"], &job["peer_items"]), (&10_000.into(), &7_000.into()));
        let (job, ..) = run(&pair, "cardinality", receiver);
        assert_eq!(job["result_items"], if receiver == "peer" { 0 } else { 4_000 }, "{receiver}");
    }
    let (job, our_rows, their_rows) = run(&pair, "align", "both");
    assert_eq!(job["result_items"], 4_000);
    let people = |rows: &[u64], ids: &[String]| rows.iter().map(|row| ids[*row as usize].clone()).collect::<Vec<_>>();
    assert_eq!(people(&our_rows, &ours), people(&their_rows, &theirs), "the same people in the same order");
    assert_eq!(our_rows.iter().copied().collect::<BTreeSet<_>>(), here.iter().copied().collect());
    assert_ne!(our_rows, here, "the order is not that of the file");
    assert!(was_in_buckets(&pair.bank) && was_in_buckets(&pair.shop));
}
