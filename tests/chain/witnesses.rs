//! Three daemons that witness each other's logs.

use std::fs;

use tacitly::test_bed::{await_link, until};
use tacitly_attestation::note::KeyRing;
use tacitly_attestation::witness::ForkEvidence;

use crate::support::setup;
use crate::world::{Consortium, append, await_cosignatures, forks, head, json, log_key, run};

#[tokio::test]
async fn every_peer_cosigns_what_is_recorded_also_after_it_was_away() {
    let mut three = Consortium::start(setup);
    three.append(0, 3).await;
    three.bank.serve().unwrap();
    let first = await_cosignatures(&three.bank, &["regulator", "shop"]);
    let age = first["cosigned"][0]["age_seconds"].as_i64().unwrap();
    assert!((0..60).contains(&age), "{first}");
    let words = String::from_utf8(run(&three.bank.home, &["log", "head"]).stdout).unwrap();
    assert!(words.contains("tacitly/shop/witness") && words.contains("s ago"), "{words}");

    three.regulator.kill();
    three.append(3, 4).await;
    three.bank.serve().unwrap();
    await_cosignatures(&three.bank, &["shop"]);
    three.regulator.serve().unwrap();
    await_cosignatures(&three.bank, &["regulator", "shop"]);
    assert!(json(&three.bank.home, &["log", "fsck"]).1);
    assert!(forks(&three.shop).is_empty() && forks(&three.regulator).is_empty());
}

#[tokio::test]
async fn a_restored_old_copy_of_the_log_takes_no_entries_and_says_why() {
    let mut three = Consortium::start(setup);
    three.append(0, 4).await;
    let old = three.copy_of_log("old");
    append(&three.bank.home, "bank", 4, 3).await;
    let newest = three.copy_of_log("newest");
    three.bank.serve().unwrap();
    let size = await_cosignatures(&three.bank, &["regulator", "shop"])["size"].as_u64().unwrap();

    three.bank.kill();
    three.put_log(&old);
    three.bank.serve().unwrap();
    let said = || fs::read_to_string(three.bank.log_path()).unwrap();
    let refused = until(|| said().contains("it was taken back from an old copy").then_some(true));
    assert_eq!(refused, Some(true), "{}", said());
    let status = three.bank.tacitly(&["status"]).unwrap();
    let warnings = status["warnings"].to_string();
    assert!(warnings.contains("old copy"), "an operator sees it: {status}");
    assert!(head(&three.bank)["size"].as_u64().unwrap() < size);

    // With the newest copy in its place all is well again.
    three.bank.kill();
    three.put_log(&newest);
    three.bank.serve().unwrap();
    await_link(&three.bank, &three.shop).unwrap();
    await_cosignatures(&three.bank, &["regulator", "shop"]);
    assert!(forks(&three.shop).is_empty());
}

#[tokio::test]
async fn a_log_that_tells_two_histories_is_caught_by_its_witnesses_and_the_file_convicts_it() {
    let mut three = Consortium::start(setup);
    let _stopped = three.bank.stop();
    let empty = three.copy_of_log("empty");
    let size = crate::world::open_log(&three.bank.home, "bank").head().size;
    // One history for the shop, while the regulator is away.
    append(&three.bank.home, "bank", 0, 5).await;
    three.regulator.kill();
    three.bank.serve().unwrap();
    await_cosignatures(&three.bank, &["shop"]);
    three.bank.kill();
    // Another one of the same length for the regulator, while the shop is away.
    three.shop.kill();
    three.put_log(&empty);
    append(&three.bank.home, "bank", 100, 5).await;
    three.regulator.serve().unwrap();
    three.bank.serve().unwrap();
    await_cosignatures(&three.bank, &["regulator"]);
    three.bank.kill();
    assert!(forks(&three.shop).is_empty() && forks(&three.regulator).is_empty());

    // The two witnesses meet.
    three.shop.serve().unwrap();
    await_link(&three.shop, &three.regulator).unwrap();
    let caught = until(|| (!forks(&three.shop).is_empty() && !forks(&three.regulator).is_empty()).then_some(true));
    assert_eq!(caught, Some(true), "{}", fs::read_to_string(three.shop.log_path()).unwrap());
    for witness in [&three.shop, &three.regulator] {
        let file = forks(witness).pop().unwrap();
        let evidence = ForkEvidence::parse(&fs::read(&file).unwrap()).unwrap();
        assert!(evidence.size() >= size + 5);
        let key = log_key(&three.bank.home, "bank").public().clone();
        evidence.verify(&KeyRing::from_iter([key.clone()])).unwrap();
        // Whoever witnessed the log has its key; anybody else names it.
        let file = file.display().to_string();
        let (verdict, convicts) = json(&witness.home, &["log", "verify-fork", &file]);
        assert!(convicts && verdict["convicts"] == "tacitly/bank", "{verdict}");
        let nobody = three.folder.path().join("nobody");
        assert!(!run(&nobody, &["log", "verify-fork", &file]).status.success(), "no key to judge by");
        assert!(run(&nobody, &["log", "verify-fork", &file, "--key", &key.to_string()]).status.success());
        // One byte changed, and it convicts nobody.
        let text = fs::read_to_string(&file).unwrap();
        let altered = three.folder.path().join("altered.txt");
        fs::write(&altered, text.replacen("tacitly/bank\n", "tacitly/bunk\n", 1)).unwrap();
        assert!(!run(&witness.home, &["log", "verify-fork", &altered.display().to_string()]).status.success());
    }

    // The bank itself learns that somebody has signed another history with its key, and records nothing more.
    three.bank.serve().unwrap();
    let said = || fs::read_to_string(three.bank.log_path()).unwrap();
    let refused = until(|| said().contains("two logs have signed as one").then_some(true));
    assert_eq!(refused, Some(true), "{}", said());
}
