//! Consortia: parties that have not met are in one job by the roster that both have pinned.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use tacitly::attestation::entry::{Code, Count};
use tacitly::attestation::roster::{Roster, SignedRoster};
use tacitly::core::PartyId;
use tacitly::store::{FileSigner, NoteSigner, Signer as _};
use tacitly::test_bed::{Party, connect, until};

use crate::support::{run, setup};
use crate::toys::introduced_by_the_first;

fn join(party: &Party, file: &Path, fingerprint: &str) -> Result<Value, String> {
    let file = file.display().to_string();
    let joined = party.tacitly(&["consortium", "join", &file, "--fingerprint", fingerprint]);
    joined.map_err(|error| format!("{}: {error}", error.code()))
}

fn rules(party: &Party) -> Vec<String> {
    let listed = party.tacitly(&["dataset", "list"]).unwrap();
    let rules = listed[0]["rules"].as_array().unwrap();
    rules.iter().map(|rule| rule["peer"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn parties_that_have_not_met_are_in_one_job_by_a_roster() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let [bank, shop, lab] = introduced_by_the_first(folder.path(), ["bank", "shop", "lab"]);
    fs::write(at("ids.csv"), "id\na\n").unwrap();
    for party in [&bank, &shop, &lab] {
        party.tacitly(&["dataset", "add", "ids", &at("ids.csv"), "--key", "id=raw"]).unwrap();
    }
    let allow = |party: &Party, other: &str| party.tacitly(&["dataset", "allow", "ids", other]);
    assert_eq!(allow(&shop, "lab").unwrap_err().code(), "peer-unknown");

    let out = at("east.roster");
    let founded =
        bank.tacitly(&["consortium", "init", "east", "--member", "shop", "--member", "lab", "--out", &out]).unwrap();
    let fingerprint = founded["fingerprint"].as_str().unwrap();
    assert_eq!(fs::read_to_string(&out).unwrap(), founded["roster"].as_str().unwrap());
    join(&shop, Path::new(&out), fingerprint).unwrap();
    join(&lab, Path::new(&out), &fingerprint.to_lowercase().replace('-', " ")).unwrap();
    let listed = shop.tacitly(&["consortium", "list"]).unwrap();
    let members = json!([["bank", true], ["lab", false], ["shop", false]]);
    let shown: Vec<Value> = listed[0]["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|member| json!([member["party"], member["is_peer"]]))
        .collect();
    assert_eq!((json!(shown), &listed[0]["version"]), (members, &json!(1)));
    for (party, others) in [(&bank, ["lab", "shop"]), (&shop, ["bank", "lab"]), (&lab, ["bank", "shop"])] {
        others.iter().for_each(|other| drop(allow(party, other).unwrap()));
    }

    let submit = |party: &Party| {
        let parties = ["--party", "bank/ids", "--party", "shop/ids", "--party", "lab/ids"];
        let receive = ["--receive", "bank", "--receive", "shop", "--receive", "lab", "--purpose", "test"];
        party.tacitly(&[&["job", "submit", "--kind", "gather"], &parties[..], &receive[..]].concat())
    };
    // Whoever leads reaches all others itself.
    let refused = submit(&shop).unwrap_err();
    assert_eq!(refused.code(), "peer-unknown");
    assert!(refused.to_string().contains("lab is a member of a consortium and no peer"), "{refused}");
    assert_eq!(shop.tacitly(&["job", "list"]).unwrap(), json!([]));

    let job = submit(&bank).unwrap();
    let id = job["id"].as_str().unwrap();
    for party in [&bank, &shop, &lab] {
        let done = until(|| (party.tacitly(&["job", "show", id]).ok()?["state"] == "done").then_some(()));
        assert!(done.is_some(), "{:?}\n{}", party.tacitly(&["job", "show", id]), party.log());
        let out = at(&format!("{}.sum", party.name));
        party.tacitly(&["job", "result", id, "--out", &out]).unwrap();
        assert_eq!(fs::read_to_string(out).unwrap(), "11\n", "four, four and three letters");
        // The certificate of a party knows by its policy whose the third signature is.
        let (evidence, policy) = (at(&format!("{}.evidence", party.name)), at(&format!("{}.policy", party.name)));
        let certify = || {
            party.tacitly(&["evidence", id, "--out", &evidence, "--force"])?;
            party.tacitly(&["evidence", "policy", &evidence, "--out", &policy, "--force"])?;
            party.tacitly(&["evidence", "verify", &evidence, "--policy", &policy])
        };
        // Its peers witness the log in a moment.
        let verified = until(|| certify().ok());
        let verified = verified.unwrap_or_else(|| certify().unwrap()).to_string();
        for name in ["bank", "shop", "lab"] {
            assert!(verified.contains(name), "{verified}");
        }
        let policy = fs::read_to_string(&policy).unwrap();
        assert_eq!(policy.lines().filter(|line| line.starts_with("signer ")).count(), 3, "{policy}");
    }

    // Whoever leaves knows its peers, and nobody else.
    shop.tacitly(&["consortium", "leave", "east"]).unwrap();
    assert_eq!(rules(&shop), ["bank"]);
    assert_eq!(shop.tacitly(&["consortium", "leave", "east"]).unwrap_err().code(), "consortium-unknown");
    lab.tacitly(&["peer", "remove", "bank"]).unwrap();
    assert_eq!(rules(&lab), ["bank", "shop"], "a member that is no peer any more");
}

/// Rosters by a founder that the test plays.
struct Founder(FileSigner);

impl Founder {
    fn sign(self: &Arc<Self>, version: u64, members: &[(&str, &FileSigner)]) -> SignedRoster {
        let key = |(name, signer): &(&str, &FileSigner)| {
            signer.public_key().of_notes(name.parse::<PartyId>().unwrap()).unwrap()
        };
        let roster = Roster {
            name: Code::parse("east").unwrap(),
            version: Count::new(version).unwrap(),
            founder: key(&("notary", &self.0)),
            members: members.iter().map(key).collect(),
        };
        SignedRoster::sign(&roster, &NoteSigner(Arc::new(Pass(self.clone())))).unwrap()
    }
}

/// The founder's key, which stays the founder's.
struct Pass(Arc<Founder>);

impl tacitly::store::Signer for Pass {
    fn public_key(&self) -> tacitly::store::PublicKey {
        self.0.0.public_key()
    }

    fn sign(&self, context: &str, bytes: &[u8]) -> Result<tacitly::store::Signature, tacitly::store::SigningFailed> {
        self.0.0.sign(context, bytes)
    }

    fn sign_note(&self, text: &[u8]) -> Result<tacitly::store::Signature, tacitly::store::SigningFailed> {
        self.0.0.sign_note(text)
    }
}

#[test]
fn a_roster_that_is_not_the_one_compared_or_gives_a_party_another_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let [bank, shop] = ["bank", "shop"].map(|name| Party::start(folder.path(), name, setup()).unwrap());
    connect(&bank, &shop).unwrap();
    let fresh = |name: &str| FileSigner::create(&folder.path().join(name)).unwrap();
    let of = |party: &Party| FileSigner::load(&party.home.join("identity.key")).unwrap();
    let (lab, thief, notary) = (fresh("lab.key"), fresh("thief.key"), Arc::new(Founder(fresh("notary.key"))));
    let (banks, shops) = (of(&bank), of(&shop));
    let write = |name: &str, bytes: &[u8]| -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };

    let second = notary.sign(2, &[("bank", &banks), ("lab", &lab), ("shop", &shops)]);
    let first = notary.sign(1, &[("bank", &banks), ("shop", &shops)]);
    let file = write("second.roster", &second.encode());
    let wrong = join(&shop, &file, &first.fingerprint().to_string()).unwrap_err();
    assert!(wrong.starts_with("roster: ") && wrong.contains("was compared"), "{wrong}");
    assert_eq!(shop.tacitly(&["consortium", "list"]).unwrap(), json!([]));
    // Nobody is there to compare it.
    let alone = shop.tacitly(&["consortium", "join", &file.display().to_string()]).unwrap_err().to_string();
    assert!(alone.contains("nobody is here to compare"), "{alone}");
    let mistyped = run(&shop.home, &["consortium", "join", &file.display().to_string(), "--fingerprint", "ABC"]);
    assert_eq!(mistyped.status.code(), Some(2));

    // Any byte that is changed, wherever it is.
    for at in (0..second.encode().len()).step_by(97) {
        let mut changed = second.encode();
        changed[at] ^= 1;
        let refused = join(&shop, &write("changed.roster", &changed), &second.fingerprint().to_string()).unwrap_err();
        assert!(refused.contains("changed.roster is no roster"), "byte {at}: {refused}");
    }

    let refusals = |says: [&str; 4]| {
        let others = [
            notary.sign(9, &[("bank", &thief), ("shop", &shops)]),
            notary.sign(9, &[("bank", &banks), ("shop", &thief)]),
            notary.sign(9, &[("bank", &banks), ("lab", &lab)]),
            notary.sign(9, &[("shop", &shops), ("thief", &banks)]),
        ];
        for (other, says) in others.iter().zip(says) {
            let refused = join(&shop, &write("other.roster", &other.encode()), &other.fingerprint().to_string());
            let refused = refused.unwrap_err();
            assert!(refused.starts_with("roster: ") && refused.contains(says), "{refused}");
        }
    };
    let says = [
        "bank is known here by another key",
        "names shop by another key",
        "does not name shop",
        "known here as that of bank",
    ];
    refusals(says);
    join(&shop, &file, &second.fingerprint().to_string()).unwrap();
    refusals(says);
    let older = join(&shop, &write("first.roster", &first.encode()), &first.fingerprint().to_string()).unwrap_err();
    assert!(older.contains("version 2") && older.contains("version 1 is older"), "{older}");
    let listed = shop.tacitly(&["consortium", "list"]).unwrap();
    assert_eq!((&listed[0]["version"], listed[0]["founder"].as_str()), (&json!(2), Some("notary")));
    let events = shop.tacitly(&["events"]).unwrap().to_string();
    assert_eq!(events.matches("roster-pinned").count(), 1, "{events}");
    assert!(events.contains(&second.fingerprint().to_string()), "{events}");
}
