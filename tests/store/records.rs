//! Peers, invitations, datasets, rules and the audit trail.

use std::sync::Arc;

use serde_json::{Value, json};
use sqlx::Executor;
use tacitly::store::{
    EventFilter, InviteRefusal, InviteToken, JobChange, JobResult, NewDataset, NewEvent, NewPeer, Ourselves,
    RosterRefusal, Signer as _, StoreError, check_store,
};

use crate::world::{World, a_job, contains, fingerprint, new_dataset, party, sealer};

#[tokio::test]
async fn a_peer_comes_back_as_it_was_added() {
    let world = World::new();
    let store = world.open().await;
    let added = store.peers().add(world.new_peer("shop"), "operator").await.unwrap();
    assert_eq!(store.peers().get(party("shop")).await.unwrap(), added);
    let silent = NewPeer { address: None, pins: Vec::new(), ..world.new_peer("bank") };
    let silent = store.peers().add(silent, "operator").await.unwrap();
    assert_eq!(store.peers().all().await.unwrap(), [silent, added]);
    let again = store.peers().add(world.new_peer("shop"), "operator").await.unwrap_err();
    assert!(matches!(again, StoreError::AlreadyExists { what: "peer", .. }), "{again}");
    assert!(matches!(store.peers().get(party("stranger")).await, Err(StoreError::NotFound { what: "peer", .. })));
    let nameless = NewPeer { address: Some(String::new()), ..world.new_peer("third") };
    assert!(matches!(store.peers().add(nameless, "operator").await, Err(StoreError::Invalid { .. })));
    assert_eq!(store.peers().all().await.unwrap().len(), 2, "a refused peer leaves nothing behind");
}

#[tokio::test]
async fn a_peer_changes_its_pins_over_without_a_gap() {
    let world = World::new();
    let store = world.furnished().await;
    let shop = party("shop");
    store.peers().add_pin(shop, "sha256:pin-two", "operator").await.unwrap();
    let again = store.peers().add_pin(shop, "sha256:pin-two", "operator").await.unwrap_err();
    assert!(matches!(again, StoreError::AlreadyExists { .. }), "{again}");
    let now = store.now();
    let end = now + jiff::SignedDuration::from_hours(24);
    store.peers().end_pin(shop, "sha256:pin-one", end, "operator").await.unwrap();
    let peer = store.peers().get(shop).await.unwrap();
    assert!(peer.accepts("sha256:pin-one", now) && peer.accepts("sha256:pin-two", now));
    assert!(!peer.accepts("sha256:pin-one", end) && peer.accepts("sha256:pin-two", end));
    assert!(!peer.accepts("sha256:pin-two", peer.added_at), "it did not hold before it was added");
    assert!(!peer.accepts("sha256:pin-three", now));
    assert!(matches!(
        store.peers().end_pin(shop, "sha256:pin-three", end, "x").await,
        Err(StoreError::NotFound { .. })
    ));
    assert!(matches!(store.peers().add_pin(party("stranger"), "a", "x").await, Err(StoreError::NotFound { .. })));
}

#[tokio::test]
async fn a_new_address_holds() {
    let world = World::new();
    let store = world.furnished().await;
    let shop = party("shop");
    store.peers().set_address(shop, None, "operator").await.unwrap();
    assert_eq!(store.peers().get(shop).await.unwrap().address, None);
    assert!(matches!(store.peers().set_address(party("no"), None, "x").await, Err(StoreError::NotFound { .. })));
}

#[tokio::test]
async fn a_peer_or_dataset_of_an_unfinished_job_stays_and_goes_after_it_with_its_rules() {
    let world = World::new();
    let store = world.furnished().await;
    let shop = party("shop");
    store.rules().set("customers", shop, json!({ "kinds": ["intersect"] }), None, "operator").await.unwrap();
    let job = a_job(&store).await.id;
    for refused in [
        store.peers().remove(shop, "operator").await,
        store.datasets().remove("customers", "operator", Vec::new()).await.map(drop),
        store.datasets().add(new_dataset("customers"), &fingerprint(), true, "operator").await.map(drop),
    ] {
        let refused = refused.unwrap_err();
        assert!(matches!(&refused, StoreError::InUse { jobs, .. } if *jobs == [job]), "{refused}");
    }
    store.jobs().finish(job, &["proposed"], "refused", JobChange::by("policy"), JobResult::Nothing).await.unwrap();
    store.datasets().remove("customers", "operator", Vec::new()).await.unwrap();
    assert!(store.rules().all(None).await.unwrap().is_empty(), "a later dataset of this name starts with no rule");
    store.peers().remove(shop, "operator").await.unwrap();
    assert!(store.peers().all().await.unwrap().is_empty());
    let line = store.jobs().get(job).await.unwrap();
    assert_eq!(
        (line.party(shop).is_some(), line.dataset.as_deref()),
        (true, Some("customers")),
        "the ledger remembers"
    );
    assert!(matches!(store.peers().remove(shop, "operator").await, Err(StoreError::NotFound { .. })));
    assert!(matches!(
        store.datasets().remove("customers", "operator", Vec::new()).await,
        Err(StoreError::NotFound { .. })
    ));
}

#[tokio::test]
async fn a_dataset_comes_back_as_it_was_added_and_is_replaced_only_on_request() {
    let world = World::new();
    let store = world.open().await;
    let first = store.datasets().add(new_dataset("customers"), &fingerprint(), false, "operator").await.unwrap();
    assert_eq!(store.datasets().get("customers").await.unwrap(), first);
    let next = || NewDataset { rows: 2000, ..new_dataset("customers") };
    let refused = store.datasets().add(next(), &fingerprint(), false, "operator").await.unwrap_err();
    assert!(matches!(refused, StoreError::AlreadyExists { what: "dataset", .. }), "{refused}");
    assert_eq!(store.datasets().get("customers").await.unwrap(), first);
    let replaced = store.datasets().add(next(), &fingerprint(), true, "operator").await.unwrap();
    assert_eq!((replaced.rows, replaced.added_at), (2000, first.added_at));
    assert!(replaced.replaced_at > Some(first.added_at));
    assert_eq!(store.datasets().all().await.unwrap(), [replaced]);
    assert!(matches!(store.datasets().get("nothing").await, Err(StoreError::NotFound { .. })));
}

#[tokio::test]
async fn names_and_digests_that_cannot_be_any_are_refused() {
    let world = World::new();
    let store = world.open().await;
    for name in ["", "Customers", "a b", "a/b", "客户", &"x".repeat(65)] {
        let refused = store.datasets().add(new_dataset(name), &fingerprint(), false, "operator").await.unwrap_err();
        assert!(matches!(refused, StoreError::Invalid { what: "the name of a dataset", .. }), "{name}: {refused}");
    }
    for digest in ["", "5e5e", "sha256:", "sha256:xyz", ":5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e"] {
        let dataset = NewDataset { digest: digest.to_owned(), ..new_dataset("customers") };
        assert!(
            matches!(store.datasets().add(dataset, &fingerprint(), false, "x").await, Err(StoreError::Invalid { .. })),
            "{digest}"
        );
    }
    for name in ["a", "a.b_c-9", &"x".repeat(64)] {
        store.datasets().add(new_dataset(name), &fingerprint(), false, "operator").await.unwrap();
    }
}

#[tokio::test]
async fn a_rule_is_for_one_dataset_and_one_peer() {
    let world = World::new();
    let store = world.furnished().await;
    store.peers().add(world.new_peer("bank"), "operator").await.unwrap();
    let (shop, bank) = (party("shop"), party("bank"));
    assert_eq!(store.rules().get("customers", shop).await.unwrap(), None);
    let rule = store.rules().set("customers", shop, json!({ "minimum": 100 }), Some(store.now()), "x").await.unwrap();
    assert_eq!(store.rules().get("customers", shop).await.unwrap(), Some(rule));
    assert_eq!(store.rules().get("customers", bank).await.unwrap(), None);
    let newer = store.rules().set("customers", shop, json!({ "minimum": 200 }), None, "x").await.unwrap();
    assert_eq!(store.rules().all(Some("customers")).await.unwrap(), [newer]);
    assert!(store.rules().all(Some("others")).await.unwrap().is_empty());
    for (dataset, peer) in [("nothing", shop), ("customers", party("stranger"))] {
        let refused = store.rules().set(dataset, peer, Value::Null, None, "x").await.unwrap_err();
        assert!(matches!(refused, StoreError::NotFound { .. }), "{refused}");
    }
    store.rules().remove("customers", shop, "operator").await.unwrap();
    assert_eq!(store.rules().get("customers", shop).await.unwrap(), None);
    assert!(matches!(store.rules().remove("customers", shop, "operator").await, Err(StoreError::NotFound { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_lets_exactly_one_in() {
    let world = World::new();
    let store = Arc::new(world.open().await);
    let token = InviteToken::from_bytes([5; 16]);
    let tomorrow = store.now() + jiff::SignedDuration::from_hours(24);
    store.invites().create(&token, party("bank"), tomorrow, "operator").await.unwrap();
    let again = store.invites().create(&token, party("bank"), tomorrow, "operator").await.unwrap_err();
    assert!(matches!(again, StoreError::AlreadyExists { .. }), "{again}");
    assert!(!contains(&world.bytes(), &[5; 16]), "the store keeps only a hash");
    let tries: Vec<_> = (0..8)
        .map(|at| {
            let store = store.clone();
            let by = party(if at % 2 == 0 { "bank" } else { "other" });
            let token = InviteToken::from_bytes([5; 16]);
            tokio::spawn(async move { (by, store.invites().consume(&token, by).await) })
        })
        .collect();
    let mut winners = Vec::new();
    for outcome in tries {
        match outcome.await.unwrap() {
            (by, Ok(())) => winners.push(by),
            (_, Err(StoreError::Invite(InviteRefusal::Used))) => {}
            (by, Err(refused)) => {
                let of_another = InviteRefusal::OfAnother { invited: party("bank") };
                assert!(matches!(&refused, StoreError::Invite(refusal) if *refusal == of_another), "{refused}");
                assert_eq!(by, party("other"));
            }
        }
    }
    assert_eq!(winners, [party("bank")]);
    let invites = store.invites().all().await.unwrap();
    assert_eq!((invites[0].party, invites[0].used.is_some()), (party("bank"), true));
}

#[tokio::test]
async fn unknown_and_expired_invitations_let_nobody_in() {
    let world = World::new();
    let store = world.open().await;
    let token = InviteToken::fresh().unwrap();
    let unknown = store.invites().consume(&token, party("bank")).await.unwrap_err();
    assert!(matches!(unknown, StoreError::Invite(InviteRefusal::Unknown)), "{unknown}");
    store.invites().create(&token, party("bank"), store.now(), "operator").await.unwrap();
    let expired = store.invites().consume(&token, party("bank")).await.unwrap_err();
    assert!(matches!(expired, StoreError::Invite(InviteRefusal::Expired)), "{expired}");
}

#[tokio::test]
async fn an_invitation_is_used_up_only_if_the_peer_is_added() {
    let world = World::new();
    let store = world.furnished().await;
    let token = InviteToken::fresh().unwrap();
    let tomorrow = store.now() + jiff::SignedDuration::from_hours(24);
    let for_shop = InviteToken::fresh().unwrap();
    store.invites().create(&for_shop, party("shop"), tomorrow, "operator").await.unwrap();
    store.invites().create(&token, party("bank"), tomorrow, "operator").await.unwrap();
    for _ in 0..2 {
        let taken = store.invites().admit(&for_shop, world.new_peer("shop")).await.unwrap_err();
        assert!(matches!(taken, StoreError::AlreadyExists { .. }), "{taken}");
    }
    let other = store.invites().admit(&token, world.new_peer("other")).await.unwrap_err();
    assert!(matches!(other, StoreError::Invite(InviteRefusal::OfAnother { .. })), "{other}");
    let admitted = store.invites().admit(&token, world.new_peer("bank")).await.unwrap();
    assert_eq!(store.peers().get(party("bank")).await.unwrap(), admitted);
    let again = store.invites().admit(&token, world.new_peer("bank")).await.unwrap_err();
    assert!(matches!(again, StoreError::Invite(InviteRefusal::Used)), "{again}");
    assert!(store.peers().get(party("other")).await.is_err());
}

#[tokio::test]
async fn nobody_else_is_pinned_by_our_own_name_or_key() {
    let world = World::new();
    let store = world.furnished().await;
    let (bank, shop) = (world.signer("bank").public_key(), world.signer("shop").public_key());
    let refused = |outcome: Result<(), StoreError>| match outcome.unwrap_err() {
        StoreError::Roster(refusal) => refusal,
        other => panic!("{other}"),
    };
    // A store that already holds such a peer is refused.
    let taken = store.belongs_to(Ourselves { party: party("shop"), key: bank }).await;
    assert_eq!(refused(taken), RosterRefusal::OurName(party("shop")));
    let taken = store.belongs_to(Ourselves { party: party("bank"), key: shop }).await;
    assert_eq!(refused(taken), RosterRefusal::OurKey(party("shop")));

    let us = Ourselves { party: party("bank"), key: bank };
    store.belongs_to(us).await.unwrap();
    for (ours, wrong) in
        [(us, false), (Ourselves { party: party("shop"), ..us }, true), (Ourselves { key: shop, ..us }, true)]
    {
        let checked = check_store(&world.database(), &sealer(1), Some(ours)).await;
        assert_eq!(matches!(checked, Err(StoreError::Roster(_))), wrong, "{checked:?}");
    }
    let namesake = NewPeer { signing_key: world.signer("mallory").public_key(), ..world.new_peer("bank") };
    let added = store.peers().add(namesake, "operator").await.map(drop);
    assert_eq!(refused(added), RosterRefusal::OurName(party("bank")));
    let double = NewPeer { signing_key: bank, ..world.new_peer("mallory") };
    let added = store.peers().add(double, "operator").await.map(drop);
    assert_eq!(refused(added), RosterRefusal::OurKey(party("mallory")));
    assert_eq!(store.peers().all().await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_audit_trail_can_be_read_on_from_a_place_and_never_changed() {
    let world = World::new();
    let store = world.furnished().await;
    let decision = NewEvent {
        job: None,
        actor: "policy".to_owned(),
        kind: "query-refused".to_owned(),
        detail: json!({ "peer": "shop", "why": "no rule" }),
    };
    store.events().append(decision.clone()).await.unwrap();
    let all = store.events().list(&EventFilter::default()).await.unwrap();
    assert_eq!(
        all.iter().map(|event| event.kind.as_str()).collect::<Vec<_>>(),
        ["peer-added", "dataset-added", "query-refused"]
    );
    assert!(all.is_sorted_by(|a, b| a.seq < b.seq && a.at < b.at));
    assert_eq!((&all[2].actor, &all[2].detail), (&decision.actor, &decision.detail));
    let rest =
        store.events().list(&EventFilter { after: Some(all[0].seq), limit: Some(1), ..Default::default() }).await;
    assert_eq!(rest.unwrap(), all[1..2]);
    let mut raw = world.raw().await;
    for attempt in ["UPDATE events SET actor = 'nobody'", "DELETE FROM events"] {
        let refused = raw.execute(attempt).await.unwrap_err();
        assert!(refused.to_string().contains("append-only"), "{refused}");
    }
    assert_eq!(store.events().list(&EventFilter::default()).await.unwrap(), all);
}
