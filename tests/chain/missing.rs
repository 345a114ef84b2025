//! What a daemon was killed over is put on record at its next start, and what its log has lost is put into it again.

use std::fs;

use serde_json::Value;
use tacitly::test_bed::{Party, await_link, until};
use tacitly_attestation::entry::{Body, ResultStatus, SignedEntry};

use crate::support::{Pair, mobiles, setup};
use crate::world::{head, json, ledger, tick};

fn entries(party: &Party) -> Vec<SignedEntry> {
    let view = tacitly::chain::View::open(&party.home.join("log")).unwrap();
    let mut entries = Vec::new();
    view.each_from(0, |_, bytes| entries.push(SignedEntry::parse(bytes).unwrap())).unwrap();
    entries
}

fn results(party: &Party) -> Vec<ResultStatus> {
    let status = |entry: &SignedEntry| match entry.entry().body() {
        Body::Result(result) => Some(result.status),
        _ => None,
    };
    entries(party).iter().filter_map(status).collect()
}

#[tokio::test]
async fn a_daemon_killed_between_the_end_of_a_job_and_its_entry_records_it_at_the_next_start() {
    let mut pair = Pair::start();
    pair.datasets(&mobiles(0..40), &mobiles(20..60));
    let (job, _) = pair.intersect().unwrap();
    assert_eq!(results(&pair.bank), [ResultStatus::Done]);
    // The result is on record before it is released; had somebody cancelled the job then, and a kill come before the
    // entry about that, the ledger would look like this.
    pair.bank.kill();
    let mut ledger = ledger(&pair.bank).await;
    let id = job["id"].as_str().unwrap().to_owned();
    sqlx::query("UPDATE jobs SET state = 'cancelled' WHERE id = $1").bind(&id).execute(&mut ledger).await.unwrap();
    // And an entry about a job that did not get as far as the log, beside one that another log of ours did not take any
    // more.
    let [left_out, elsewhere] = ["bank", "bank-before"].map(|log| tick(&pair.bank.home, log, 1));
    for note in [&left_out, &elsewhere] {
        let sql = "INSERT INTO entries (log, subject, kind, note) VALUES ($1, 'job:another', 'result', $2)";
        let log = SignedEntry::parse(note).unwrap().entry().header().log.to_string();
        sqlx::query(sql).bind(log).bind(note).execute(&mut ledger).await.unwrap();
    }
    drop(ledger);

    for _ in 0..2 {
        pair.bank.serve().unwrap();
        await_link(&pair.bank, &pair.shop).unwrap();
        let recorded = until(|| (results(&pair.bank) == [ResultStatus::Done, ResultStatus::Cancelled]).then_some(()));
        assert!(recorded.is_some(), "{:?}", results(&pair.bank));
        let copies = |note: &[u8]| entries(&pair.bank).iter().filter(|entry| entry.encode() == note).count();
        assert_eq!((copies(&left_out), copies(&elsewhere)), (1, 0), "the entry stands once in its log");
        pair.bank.stop();
    }
    assert_eq!(results(&pair.bank), [ResultStatus::Done, ResultStatus::Cancelled], "once, however often it starts");
    let (report, sound): (Value, bool) = json(&pair.bank.home, &["log", "fsck", "--signatures"]);
    assert!(sound, "{report}");
}

#[tokio::test]
async fn a_log_of_ten_thousand_entries_that_is_lost_is_the_same_tree_again_and_with_one_unknown_it_is_refused() {
    const ENTRIES: u64 = 10_000;
    let folder = tempfile::tempdir().unwrap();
    let mut bank = Party::start(folder.path(), "bank", setup()).unwrap();
    let signed = |bank: &Party, least: u64| {
        until(|| Some(head(bank)).filter(|head| head["signed_size"].as_u64().is_some_and(|size| size >= least)))
            .unwrap_or_else(|| panic!("{}\n{}", head(bank), bank.log()))
    };
    let own = signed(&bank, 2)["size"].as_u64().unwrap();
    bank.kill();
    let mut entries = ledger(&bank).await;
    let mut all = sqlx::Connection::begin(&mut entries).await.unwrap();
    for number in 0..ENTRIES {
        let sql = "INSERT INTO entries (log, subject, kind, note) VALUES ('tacitly/bank', 'many', 'tick', $1)";
        sqlx::query(sql).bind(tick(&bank.home, "bank", number)).execute(&mut *all).await.unwrap();
    }
    all.commit().await.unwrap();
    drop(entries);
    bank.serve().unwrap();
    let known = signed(&bank, own + ENTRIES);

    bank.kill();
    fs::remove_dir_all(bank.home.join("log")).unwrap();
    bank.serve().unwrap();
    let again = signed(&bank, own + ENTRIES);
    assert_eq!((&again["size"], &again["root"]), (&known["size"], &known["root"]));
    assert!(json(&bank.home, &["log", "fsck", "--signatures"]).1);

    bank.kill();
    fs::remove_dir_all(bank.home.join("log")).unwrap();
    let mut entries = ledger(&bank).await;
    let forgotten = sqlx::query("DELETE FROM entries WHERE log_index = 5000").execute(&mut entries).await.unwrap();
    assert_eq!(forgotten.rows_affected(), 1);
    drop(entries);
    bank.serve().unwrap();
    let refused = bank.tacitly(&["status"]).unwrap()["warnings"].to_string();
    assert!(refused.contains(&format!("this log had {} entries, 0 are here", own + ENTRIES)), "{refused}");
    assert_eq!(head(&bank)["size"], 0, "nothing was signed");
}
