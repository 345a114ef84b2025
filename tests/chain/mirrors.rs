//! A consortium whose members keep copies of each other's logs.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sqlx::Connection as _;
use tacitly::test_bed::{Party, await_link, connect, until};

use crate::support::{Pair, mobiles, setup};
use crate::world::{Consortium, append, await_cosignatures, copy_folder, head, json, ledger, put_log, run};

/// The shop may mirror the bank's log. The regulator would like to, and is not entitled.
fn consortium() -> Consortium {
    let of_bank = || setup().set("TACITLY_ATTESTATION__MIRROR_OF", "[bank]");
    Consortium::start_each([setup().set("TACITLY_ATTESTATION__MIRRORS", "[shop]"), of_bank(), of_bank()])
}

/// Puts entries into the bank's log, and starts it.
async fn grow(three: &mut Consortium, first: u64, count: u64) {
    three.append(first, count).await;
    three.bank.serve().unwrap();
}

fn mirrors(party: &Party) -> Vec<Value> {
    json(&party.home, &["log", "mirrors"]).0.as_array().unwrap().clone()
}

/// Waits until the shop has said that it holds all that the bank has signed.
fn await_kept(three: &Consortium) -> u64 {
    let mut last = Value::Null;
    let kept = until(|| {
        last = head(&three.bank);
        let signed = last["signed_size"].as_u64()?;
        let lines = last["kept"].as_array()?;
        let by_shop = lines.iter().find(|line| line["witness"] == "tacitly/shop/mirror")?;
        (by_shop["size"] == signed).then_some(signed)
    });
    kept.unwrap_or_else(|| panic!("{last}\n{}\n{}", three.bank.log(), three.shop.log()))
}

fn folder_of(mirror: &Value) -> PathBuf {
    mirror["folder"].as_str().unwrap().into()
}

#[tokio::test]
async fn a_lost_log_is_taken_back_from_the_copy_of_an_entitled_member() {
    let mut three = consortium();
    grow(&mut three, 0, 600).await;
    let size = await_kept(&three);
    assert!(size >= 600);
    let words = String::from_utf8(run(&three.bank.home, &["log", "head"]).stdout).unwrap();
    assert!(words.contains(&format!("kept: the first {size} by tacitly/shop/mirror")), "{words}");
    // The copy follows the log, also over a kill of the mirror.
    three.shop.kill();
    grow(&mut three, 600, 40).await;
    three.shop.serve().unwrap();
    let size = await_kept(&three);
    assert!(size >= 640);
    let copies = mirrors(&three.shop);
    assert_eq!((copies.len(), &copies[0]["peer"], &copies[0]["log"]), (1, &"bank".into(), &"tacitly/bank".into()));
    assert_eq!(copies[0]["size"].as_u64(), Some(size));
    let copy = folder_of(&copies[0]);
    let folder = copy.display().to_string();
    let (report, sound) = json(&three.shop.home, &["log", "fsck", "--folder", &folder]);
    assert!(sound && report["signed_size"].as_u64() == Some(size), "{report}");

    // Who is not entitled has nothing but the log's name.
    for copy in mirrors(&three.regulator) {
        assert_eq!(copy["bytes"].as_u64(), Some("tacitly-log@v1 tacitly/bank\n".len() as u64), "{copy}");
    }
    let refused = until(|| three.regulator.log().contains("has not named us").then_some(()));
    assert!(refused.is_some(), "{}", three.regulator.log());

    // The bank's disk is gone.
    three.bank.kill();
    three.put_log(&copy);
    three.bank.serve().unwrap();
    assert_eq!(three.bank.tacitly(&["status"]).unwrap()["warnings"], serde_json::json!([]));
    assert!(json(&three.bank.home, &["log", "fsck"]).1);
    assert!(await_kept(&three) >= size, "the mirror says it again, though there is nothing new");
    grow(&mut three, 640, 3).await;
    assert!(await_kept(&three) >= size + 3, "it goes on as before");
}

#[tokio::test]
async fn a_copy_that_was_altered_is_named_and_not_vouched_for() {
    let mut three = consortium();
    grow(&mut three, 0, 10).await;
    let size = await_kept(&three);
    three.shop.kill();
    let copy = folder_of(&mirrors(&three.shop)[0]);
    let segment = copy.join("segment");
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let (report, sound) = json(&three.shop.home, &["log", "fsck", "--folder", &copy.display().to_string()]);
    assert!(!sound && report["findings"][0]["entry"].is_u64(), "{report}");
    three.shop.serve().unwrap();
    grow(&mut three, 10, 5).await;
    let said = until(|| three.shop.log().contains("is damaged").then_some(()));
    assert!(said.is_some(), "{}", three.shop.log());
    let kept = head(&three.bank)["kept"].as_array().unwrap().clone();
    assert!(kept.iter().all(|line| line["size"].as_u64() == Some(size)), "{kept:?}");
}

#[tokio::test]
async fn a_mirror_takes_no_more_of_its_disk_than_it_was_given() {
    const MIB: u64 = 1 << 20;
    let folder = tempfile::tempdir().unwrap();
    let bank = setup().set("TACITLY_ATTESTATION__MIRRORS", "[shop]");
    let mut bank = Party::start(folder.path(), "bank", bank).unwrap();
    let of_bank = setup().set("TACITLY_ATTESTATION__MIRROR_OF", "[bank]").set("TACITLY_LIMITS__MIRROR_MIB", 1);
    let shop = Party::start(folder.path(), "shop", of_bank).unwrap();
    let _stopped = bank.stop();
    append(&bank.home, "bank", 0, 3_000).await;
    bank.serve().unwrap();
    connect(&bank, &shop).unwrap();
    let said = until(|| shop.log().contains("limits.mirror_mib").then_some(()));
    assert!(said.is_some(), "{}", shop.log());
    let copy = mirrors(&shop).remove(0);
    let bytes = copy["bytes"].as_u64().unwrap();
    // It stops before the next piece.
    assert!((MIB / 2..MIB + MIB / 2).contains(&bytes) && copy["size"] == 0, "{copy}");
    assert!(head(&bank)["kept"].as_array().unwrap().is_empty());
}

fn count(party: &Party, kind: &str) -> usize {
    json(&party.home, &["log", "tail", "--kind", kind, "-n", "100"]).0.as_array().unwrap().len()
}

/// A job runs, and its evidence holds.
fn proves_a_job(pair: &Pair) -> String {
    let job = pair.bank.tacitly(&["psi", "--dataset", "ids", "--with", "shop/ids"]).unwrap();
    let id = job["id"].as_str().unwrap().to_owned();
    let file = pair.file("job.evidence").display().to_string();
    pair.bank.tacitly(&["evidence", &id, "--out", &file, "--force"]).unwrap();
    assert!(run(&pair.bank.home, &["evidence", "verify", &file]).status.success());
    id
}

#[test]
fn what_the_ledger_knows_beyond_the_copy_goes_into_the_log_again() {
    let mut pair = Pair::with(
        setup().set("TACITLY_ATTESTATION__MIRRORS", "[shop]"),
        setup().set("TACITLY_ATTESTATION__MIRROR_OF", "[bank]"),
    );
    pair.datasets(&mobiles(0..50), &mobiles(30..80));
    proves_a_job(&pair);
    let whole = || {
        let head = head(&pair.bank);
        (head["kept"][0]["size"] == head["size"]).then(|| head["size"].as_u64().unwrap())
    };
    let size = until(whole).unwrap();
    pair.shop.kill();
    // Nobody but the bank hears of these.
    for rows in 51..54 {
        pair.dataset_at("bank", "mobile", "cn-mobile", &mobiles(0..rows));
    }
    assert_eq!((count(&pair.bank, "dataset"), head(&pair.bank)["size"].as_u64()), (4, Some(size + 3)));
    let log = pair.bank.home.join("log");
    let put = |pair: &mut Pair, copy: &Path| {
        pair.bank.kill();
        put_log(&pair.bank, copy);
    };
    let copy = folder_of(&mirrors(&pair.shop)[0]);
    put(&mut pair, &copy);
    assert_eq!(count(&pair.bank, "dataset"), 1);
    pair.bank.serve().unwrap();
    assert_eq!(count(&pair.bank, "dataset"), 4, "{}", pair.bank.log());

    // Another copy in its place, which holds more and at other places than the ledger notes.
    pair.bank.kill();
    let later = pair.file("later");
    copy_folder(&log, &later);
    put(&mut pair, &copy);
    pair.bank.serve().unwrap();
    pair.dataset_at("bank", "mobile", "cn-mobile", &mobiles(0..60));
    put(&mut pair, &later);
    pair.bank.serve().unwrap();
    assert_eq!(count(&pair.bank, "dataset"), 5, "{}", pair.bank.log());

    pair.shop.serve().unwrap();
    await_link(&pair.bank, &pair.shop).unwrap();
    proves_a_job(&pair);
    assert_eq!(count(&pair.bank, "dataset"), 5, "each stands there once");
    assert!(json(&pair.bank.home, &["log", "fsck", "--signatures"]).1);
}

#[tokio::test]
async fn a_lost_log_that_the_ledger_knows_whole_is_the_same_tree_again_and_one_with_a_gap_takes_no_entries() {
    let mut pair = Pair::start();
    pair.datasets(&mobiles(0..50), &mobiles(30..80));
    proves_a_job(&pair);
    await_cosignatures(&pair.bank, &["shop"]);
    let known = head(&pair.bank);
    let lose = |pair: &mut Pair| {
        pair.bank.kill();
        fs::remove_dir_all(pair.bank.home.join("log")).unwrap();
    };
    lose(&mut pair);
    pair.bank.serve().unwrap();
    let again = until(|| Some(head(&pair.bank)).filter(|head| head["signed_size"] == known["size"]));
    let again = again.unwrap_or_else(|| panic!("{known}\n{}\n{}", head(&pair.bank), pair.bank.log()));
    assert_eq!(again["root"], known["root"]);
    await_link(&pair.bank, &pair.shop).unwrap();
    proves_a_job(&pair);

    // The ledger does not know one entry: what follows it would stand at another place than the shop has cosigned.
    lose(&mut pair);
    let mut ledger = ledger(&pair.bank).await;
    let sql = "DELETE FROM entries WHERE kind = 'agreement' AND log_index IS NOT NULL";
    assert_eq!(sqlx::query(sql).execute(&mut ledger).await.unwrap().rows_affected(), 2);
    ledger.close().await.unwrap();
    // Nobody there could say what it cosigned.
    pair.shop.kill();
    pair.bank.serve().unwrap();
    let path = pair.file("bank.csv").display().to_string();
    let add = ["dataset", "add", "more", &path, "--key", "mobile=cn-mobile"];
    let refused = pair.bank.tacitly(&add).unwrap_err();
    assert!(refused.code() == "log-old" && refused.to_string().contains("entries"), "{refused}");
    assert_eq!(head(&pair.bank)["size"], 0, "nothing was signed");
}

#[test]
fn a_log_that_follows_a_lost_one_says_who_we_are_and_takes_nothing_for_recorded() {
    let mut pair = Pair::start();
    pair.datasets(&mobiles(0..50), &mobiles(30..80));
    let before = proves_a_job(&pair);
    pair.bank.kill();
    fs::remove_dir_all(pair.bank.home.join("log")).unwrap();
    let file = pair.bank.home.join("party.toml");
    let config = fs::read_to_string(&file).unwrap();
    let config = match config.contains("[attestation]\n") {
        true => config.replace("[attestation]\n", "[attestation]\norigin = \"tacitly/bank/2\"\n"),
        false => format!("{config}\n[attestation]\norigin = \"tacitly/bank/2\"\n"),
    };
    fs::write(&file, config).unwrap();

    pair.bank.serve().unwrap();
    await_link(&pair.bank, &pair.shop).unwrap();
    let there = until(|| (count(&pair.bank, "party") == 1 && count(&pair.bank, "policy") >= 1).then_some(()));
    assert!(there.is_some(), "{}", pair.bank.log());
    assert_eq!(pair.bank.tacitly(&["evidence", &before]).unwrap_err().code(), "evidence-none");
    proves_a_job(&pair);
    assert_eq!((count(&pair.bank, "dataset"), count(&pair.bank, "result")), (1, 1));
    let (report, sound) = json(&pair.bank.home, &["log", "fsck", "--signatures"]);
    assert!(sound && report["log"] == "tacitly/bank/2", "{report}");
}
