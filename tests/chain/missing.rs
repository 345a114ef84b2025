//! What a daemon was killed over is put on record at its next start.

use serde_json::Value;
use tacitly::trial::{Party, await_link, until};
use tacitly_attestation::entry::{Body, ResultStatus, SignedEntry};

use crate::support::{Pair, mobiles};
use crate::world::{json, ledger, tick};

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
        let sql = "INSERT INTO entries (subject, kind, note) VALUES ('job:another', 'result', $1)";
        sqlx::query(sql).bind(note).execute(&mut ledger).await.unwrap();
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
