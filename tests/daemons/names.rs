//! Names and keys: nobody is known by a name that means somebody or something else, and a party that moves stays itself.

use tacitly::peers::{ReadInvitation, read_invitation};
use tacitly::test_bed::await_link;

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
