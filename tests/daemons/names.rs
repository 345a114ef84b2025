//! Names and keys: nobody is known by a name that means somebody or something else, and a party that moves stays itself.

use serde_json::json;
use tacitly::peers::{ReadInvitation, read_invitation};
use tacitly::test_bed::{await_link, until};

use crate::support::heard::fresh_identity;
use crate::support::stage::Stage;
use crate::support::{Pair, mobiles, semi_join};

/// The review's first finding, and the one about invitations that are bound to no name.
#[test]
fn an_invitation_lets_nobody_in_under_our_name_or_another_one() {
    let stage = Stage::set();
    let ReadInvitation { inviter, token, .. } = read_invitation(&stage.bank.invite("lab").unwrap()).unwrap();
    for name in ["bank", "regulator"] {
        let identity = fresh_identity(name.parse().unwrap());
        let application = stage.liar.application(identity.party(), token.clone(), identity.pin());
        let refused = stage.liar.runtime.block_on(stage.liar.transport(identity).enrol(&inviter, application));
        assert!(refused.unwrap_err().to_string().contains("invitation"), "{name}");
    }
    let peers = stage.bank.tacitly(&["peer", "list"]).unwrap();
    assert_eq!(peers.as_array().unwrap().len(), 1, "{peers}");
    stage.goes_on();
}

#[test]
fn nobody_is_invited_under_our_name_or_by_a_word_that_means_something_else() {
    let stage = Stage::set();
    for (name, why) in
        [("bank", "what this party itself is called"), ("none", "stand for"), ("consortium", "stand for")]
    {
        let refused = stage.bank.tacitly(&["peer", "invite", name]).unwrap_err();
        assert_eq!(refused.code(), "bad-request", "{name}");
        assert!(refused.to_string().contains(why), "{refused}");
    }
}

#[test]
fn a_party_that_moves_keeps_its_rules_its_keys_and_its_jobs() {
    let mut pair = Pair::start();
    let (ours, theirs) = (mobiles(0..200), mobiles(100..300));
    pair.datasets(&ours, &theirs);
    let (job, rows) = pair.intersect().unwrap();
    assert_eq!(rows, semi_join(&ours, &theirs));
    let address = |party: &str| {
        let peers = pair.shop.tacitly(&["peer", "list"]).unwrap();
        peers.as_array().unwrap().iter().find(|peer| peer["party"] == party).unwrap()["address"].clone()
    };
    let listens = address("bank");
    let refused = pair.shop.tacitly(&["peer", "set-address", "bank", "nowhere"]).unwrap_err();
    assert_eq!(refused.code(), "bad-request");
    let moved = pair.shop.tacitly(&["peer", "set-address", "bank", "127.0.0.1:9"]).unwrap();
    assert_eq!((&moved["address"], &address("bank")), (&"127.0.0.1:9".into(), &"127.0.0.1:9".into()));
    // Joining again brings the address along.
    pair.shop.tacitly(&["peer", "join", &pair.bank.invite("shop").unwrap()]).unwrap();
    assert_eq!(address("bank"), listens);
    await_link(&pair.bank, &pair.shop).unwrap();
    assert_eq!(pair.intersect().unwrap().1, rows, "no rule was lost");
    let id = job["id"].as_str().unwrap();
    assert_eq!(pair.shop.tacitly(&["job", "show", id]).unwrap()["state"], "done");
}

/// Somebody has got at the bank's signing key.
#[test]
fn a_revoked_key_agrees_to_nothing_and_what_it_has_signed_counts_only_where_others_show_its_age() {
    let mut pair = Pair::start();
    pair.datasets(&mobiles(0..200), &mobiles(100..300));
    let (job, _) = pair.intersect().unwrap();
    let id = job["id"].as_str().unwrap();
    until(|| (pair.shop.tacitly(&["job", "show", id]).ok()?["state"] == "done").then_some(()))
        .expect("the shop is done");
    for (party, witness) in [(&pair.bank, "shop"), (&pair.shop, "bank")] {
        let cosigned = until(|| {
            let head = party.tacitly(&["log", "head"]).ok()?;
            head["cosigned"].as_array()?.iter().any(|line| line["size"] == head["size"]).then_some(())
        });
        cosigned.unwrap_or_else(|| panic!("{witness} cosigns"));
    }
    let folder = pair.folder.path().to_owned();
    let file = |name: &str| folder.join(name).display().to_string();
    let (before, policy) = (file("before.evidence"), file("before.policy"));
    pair.shop.tacitly(&["evidence", id, "--out", &before]).unwrap();
    pair.shop.tacitly(&["evidence", "policy", &before, "-o", &policy]).unwrap();

    assert!(pair.bank.tacitly(&["identity", "revoke"]).is_err(), "not without --yes");
    let ahead = pair.bank.tacitly(&["identity", "revoke", "--yes", "--since", "2999-01-01T00:00:00Z"]).unwrap_err();
    assert_eq!(ahead.code(), "bad-request");
    let revoked = pair.bank.tacitly(&["identity", "revoke", "--yes"]).unwrap();
    assert_eq!((&revoked["told"], &revoked["untold"]), (&json!(["shop"]), &json!([])));
    assert_eq!(pair.bank.tacitly(&["identity", "revoke", "--yes"]).unwrap()["leaf"], revoked["leaf"], "once");
    let tail = pair.bank.tacitly(&["log", "tail", "--kind", "revocation"]).unwrap();
    assert_eq!(tail.as_array().unwrap().len(), 1, "{tail}");

    // Nobody agrees to anything with it, from either side, also after a restart.
    for _ in 0..2 {
        for (party, with) in [(&pair.bank, "shop/ids"), (&pair.shop, "bank/ids")] {
            let refused = party.tacitly(&["psi", "--dataset", "ids", "--with", with]).unwrap_err();
            assert_eq!(refused.code(), "key-revoked", "{}: {refused}", party.name);
        }
        let warnings = pair.bank.tacitly(&["status"]).unwrap()["warnings"].to_string();
        assert!(warnings.contains("was revoked"), "{warnings}");
        pair.bank.stop();
        pair.shop.stop();
        pair.bank.serve().unwrap();
        pair.shop.serve().unwrap();
        await_link(&pair.bank, &pair.shop).unwrap();
    }
    // Nor does it join anybody anew.
    let again = pair.bank.tacitly(&["peer", "join", &pair.shop.invite("bank").unwrap()]).unwrap_err();
    assert_eq!(again.code(), "invitation", "{again}");

    // Nobody but the bank itself was the shop's witness: that is no word about the age of what the bank has signed.
    let refused = pair.shop.tacitly(&["evidence", id, "--out", &file("after.evidence")]).unwrap_err();
    assert!(refused.code() == "evidence" && refused.to_string().contains("revoked"), "{refused}");
    // What was written before holds under the policy of before, and not under one that knows.
    let verify = ["evidence", "verify", &before, "--policy", &policy];
    assert_eq!(pair.shop.tacitly(&verify).unwrap()["levels"]["reached"], "witnessed");
    let text = std::fs::read_to_string(&policy).unwrap();
    let key = text.lines().find_map(|line| line.strip_prefix("signer bank+")).unwrap();
    std::fs::write(&policy, format!("{text}revoked bank+{key} 1700000000\n")).unwrap();
    assert_eq!(pair.shop.tacitly(&verify).unwrap_err().code(), "evidence");
}
