//! `tacitly log head`, `tail` and `fsck`, without a daemon and beside one.

use std::fs;

use tacitly::store::{Sealer, SealingKey, Store};
use tacitly::test_bed::Party;

use crate::support::setup;
use crate::world::{append, init, json, run, tick};

#[tokio::test]
async fn a_daemon_begins_its_log_and_the_commands_read_it_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut bank = Party::start(folder.path(), "bank", setup()).unwrap();
    let home = bank.home.clone();
    let (head, _) = json(&home, &["log", "head"]);
    assert_eq!(head["log"], "tacitly/bank");
    let (report, sound) = json(&home, &["log", "fsck", "--signatures"]);
    assert!(sound && report["sound"] == true, "{report}");
    let before = head["size"].as_u64().unwrap();
    bank.stop().unwrap();
    append(&home, "bank", 0, 300).await;
    bank.serve().unwrap();
    let (head, _) = json(&home, &["log", "head"]);
    assert!(head["size"].as_u64().unwrap() >= before + 300, "{head}");
    let (report, sound) = json(&home, &["log", "fsck", "--signatures"]);
    assert!(sound && report["signatures"]["good"].as_u64().unwrap() >= 300, "{report}");
    let (report, _) = json(&home, &["log", "fsck"]);
    assert!(report["signatures"].is_null());
}

#[tokio::test]
async fn tail_shows_the_last_entries_of_a_kind() {
    let folder = tempfile::tempdir().unwrap();
    let home = init(folder.path(), "bank");
    let missing = run(&home, &["log", "head"]);
    assert!(!missing.status.success());
    assert!(String::from_utf8_lossy(&missing.stderr).contains("the daemon begins it at its first start"));

    append(&home, "bank", 0, 400).await;
    let (entries, _) = json(&home, &["log", "tail", "-n", "3"]);
    let indices: Vec<u64> = entries.as_array().unwrap().iter().map(|entry| entry["index"].as_u64().unwrap()).collect();
    assert_eq!(indices, [397, 398, 399]);
    assert_eq!(entries[2]["signed_by"][0], "bank");
    assert_eq!(entries[2]["entry"]["t"], 1_795_000_000_399_u64);
    let (ticks, _) = json(&home, &["log", "tail", "--kind", "tick", "-n", "350"]);
    assert_eq!(ticks.as_array().unwrap().len(), 350);
    let (none, _) = json(&home, &["log", "tail", "--kind", "result"]);
    assert_eq!(none.as_array().unwrap().len(), 0);
    assert!(!run(&home, &["log", "tail", "--kind", "gossip"]).status.success());
    let words = String::from_utf8(run(&home, &["log", "tail", "-n", "1"]).stdout).unwrap();
    assert!(words.contains("399") && words.contains("2026-"), "{words}");
}

#[tokio::test]
async fn fsck_names_the_entry_that_was_edited_by_hand_and_the_signature_that_does_not_hold() {
    let folder = tempfile::tempdir().unwrap();
    let home = init(folder.path(), "bank");
    append(&home, "bank", 0, 20).await;
    // A log without a store would be taken for one whose store was lost.
    let sealer = Sealer::new(SealingKey::read_file(&home.join("party.key")).unwrap());
    Store::open(&home.join("tacitly.db"), sealer).await.unwrap().close().await;
    let segment = home.join("log/segment");
    let whole = fs::read(&segment).unwrap();
    let place = |bytes: &[u8], needle: &[u8]| bytes.windows(needle.len()).position(|window| window == needle).unwrap();
    let entry = tick(&home, "bank", 7);
    let at = place(&whole, &entry);
    let mut edited = whole.clone();
    let digit = at + place(&entry, b"60000");
    edited[digit] = b'7';
    fs::write(&segment, &edited).unwrap();
    let (report, sound) = json(&home, &["log", "fsck"]);
    assert!(!sound && report["sound"] == false);
    assert_eq!(report["findings"][0]["entry"], 7, "{report}");
    let said = run(&home, &["log", "fsck"]);
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(!said.status.success() && text.contains("segment: entry 7 is damaged"), "{text}");
    // A daemon does not start on it, and says which entry.
    let refused = run(&home, &["serve"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("entry 7 is damaged"), "{refused:?}");
    fs::write(&segment, &whole).unwrap();
    assert!(json(&home, &["log", "fsck"]).1);

    // An entry that was changed before it was recorded: sound as a log, and its signature does not hold.
    let log = crate::world::open_log(&home, "bank");
    let mut forged = tick(&home, "bank", 20);
    let digit = place(&forged, b"60000");
    forged[digit] = b'7';
    log.append(forged).await.unwrap();
    log.signed(21).await.unwrap();
    drop(log);
    assert!(json(&home, &["log", "fsck"]).1);
    let (report, sound) = json(&home, &["log", "fsck", "--signatures"]);
    assert!(!sound);
    assert_eq!((&report["findings"][0]["entry"], &report["signatures"]["good"]), (&20.into(), &20.into()), "{report}");
}
