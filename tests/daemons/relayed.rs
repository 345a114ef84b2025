//! Real daemons that have never met, in one session through their leader.

use std::fs;
use std::time::Duration;

use serde_json::json;
use tacitly::trial::until_within;

use crate::toys::introduced_by_the_first;

#[test]
fn two_daemons_that_have_never_met_add_their_numbers_through_the_leader_of_the_job() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let [bank, shop, lab] = introduced_by_the_first(folder.path(), ["bank", "shop", "lab"]);
    let roster = at("east.roster");
    let founded =
        bank.tacitly(&["consortium", "init", "east", "--member", "shop", "--member", "lab", "--out", &roster]).unwrap();
    let fingerprint = founded["fingerprint"].as_str().unwrap();
    for (party, amounts) in [(&bank, [1, 2, 3]), (&shop, [10, 20, 30]), (&lab, [-400, 0, 100])] {
        if party.name != "bank" {
            party.tacitly(&["consortium", "join", &roster, "--fingerprint", fingerprint]).unwrap();
        }
        let rows: Vec<String> = (0..).zip(amounts).map(|(row, amount)| format!("id-{row},{amount}\n")).collect();
        let file = at(&format!("{}.csv", party.name));
        fs::write(&file, "id,amount\n".to_owned() + &rows.concat()).unwrap();
        party.tacitly(&["dataset", "add", "amounts", &file, "--key", "id=raw"]).unwrap();
        for other in ["bank", "shop", "lab"].into_iter().filter(|other| *other != party.name) {
            party.tacitly(&["dataset", "allow", "amounts", other]).unwrap();
        }
    }
    for member in [&shop, &lab] {
        let peers = member.tacitly(&["peer", "list"]).unwrap();
        assert_eq!(peers.as_array().unwrap().len(), 1, "{} has met the leader only: {peers}", member.name);
    }

    // In one part, and in three, of which each is a session of its own.
    for parts in [1, 3] {
        let params = json!({ "parts": parts }).to_string();
        let mut words = vec!["job", "submit", "--kind", "add", "--purpose", "test", "--params", &params];
        for party in ["bank", "shop", "lab"] {
            words.extend(["--receive", party]);
        }
        words.extend(["--party", "bank/amounts", "--party", "shop/amounts", "--party", "lab/amounts"]);
        let job = bank.tacitly(&words).unwrap();
        let id = job["id"].as_str().unwrap();
        for party in [&bank, &shop, &lab] {
            let done = until_within(Duration::from_mins(2), || {
                (party.tacitly(&["job", "show", id]).ok()?["state"] == "done").then_some(())
            });
            assert!(done.is_some(), "{:?}\n{}", party.tacitly(&["job", "show", id]), party.log());
            let shown = party.tacitly(&["job", "show", id]).unwrap();
            assert_eq!(shown["summary"], json!({ "sum": -234, "parties": 3 }), "{}", party.name);
        }
    }
}
