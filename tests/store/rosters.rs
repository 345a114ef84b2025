//! Rosters: which takes the place of which, by which key a party is known, and what goes with one.

use std::sync::Arc;

use serde_json::json;
use tacitly::store::{
    EventFilter, JobChange, JobResult, MAX_ROSTER_MEMBERS, NewPeer, NoteSigner, RosterRefusal, Signer as _, Store,
    StoreError,
};
use tacitly_attestation::entry::{Code, Count};
use tacitly_attestation::note::{KeyUse, VerifierKey};
use tacitly_attestation::roster::{Roster, SignedRoster};

use crate::world::{World, a_job, party};

/// A roster of these members by the key of this founder.
fn roster(world: &World, name: &str, founder: &str, version: u64, members: &[&str]) -> SignedRoster {
    let named: Vec<(&str, &str)> = members.iter().map(|member| (*member, *member)).collect();
    with_keys(world, name, founder, version, &named)
}

/// The same of members with the keys of others.
fn with_keys(world: &World, name: &str, founder: &str, version: u64, members: &[(&str, &str)]) -> SignedRoster {
    let key = |(member, owner): &(&str, &str)| world.signer(owner).public_key().of_notes(party(member)).unwrap();
    let roster = Roster {
        name: Code::parse(name).unwrap(),
        version: Count::new(version).unwrap(),
        founder: key(&(founder, founder)),
        members: members.iter().map(key).collect(),
    };
    SignedRoster::sign(&roster, &NoteSigner(Arc::new(world.signer(founder)))).unwrap()
}

async fn pin(store: &Store, roster: &SignedRoster) -> Result<(), StoreError> {
    store.rosters().pin(roster, party("bank"), "operator").await.map(drop)
}

fn refusal(outcome: Result<(), StoreError>) -> RosterRefusal {
    match outcome.unwrap_err() {
        StoreError::Roster(refusal) => refusal,
        other => panic!("{other}"),
    }
}

async fn events(store: &Store, kind: &str) -> Vec<serde_json::Value> {
    let events = store.events().list(&EventFilter::default()).await.unwrap();
    events.into_iter().filter(|event| event.kind == kind).map(|event| event.detail).collect()
}

#[tokio::test]
async fn a_pinned_roster_makes_its_members_keys_known_and_tells_the_audit_trail() {
    let world = World::new();
    let store = world.furnished().await;
    let first = roster(&world, "east", "clinic", 1, &["bank", "clinic", "shop"]);
    let pinned = store.rosters().pin(&first, party("bank"), "operator").await.unwrap();
    assert_eq!(store.rosters().get("east").await.unwrap(), Some(pinned.clone()));
    assert_eq!((store.rosters().all().await.unwrap(), &pinned.signed), (vec![pinned.clone()], &first));
    for name in ["clinic", "shop"] {
        assert_eq!(store.parties().key_of(party(name)).await.unwrap(), world.signer(name).public_key());
    }
    assert_eq!(store.parties().all().await.unwrap().keys().copied().collect::<Vec<_>>(), ["clinic", "shop"].map(party));
    for nobody in ["bank", "stranger"] {
        let unknown = store.parties().key_of(party(nobody)).await.unwrap_err();
        assert!(matches!(unknown, StoreError::NotFound { .. }), "{nobody} is no other party: {unknown}");
    }
    let told = events(&store, "roster-pinned").await;
    assert_eq!(told[0]["fingerprint"], first.fingerprint().to_string());
    assert_eq!(told[0]["members"]["clinic"], world.signer("clinic").public_key().to_string());

    // Pinned again it is the same, and nothing happened.
    assert_eq!(store.rosters().pin(&first, party("bank"), "operator").await.unwrap(), pinned);
    assert_eq!(events(&store, "roster-pinned").await.len(), 1);
    // What is read back is verified: a byte that changes on disk is damage.
    let mut raw = world.raw().await;
    let changed = "UPDATE rosters SET note = CAST(replace(CAST(note AS TEXT), 'clinic', 'clinix') AS BLOB)";
    sqlx::query(changed).execute(&mut raw).await.unwrap();
    assert!(matches!(store.rosters().get("east").await, Err(StoreError::Corrupt { .. })));
}

#[tokio::test]
async fn only_a_newer_roster_by_the_same_founder_takes_a_rosters_place() {
    let world = World::new();
    let store = world.furnished().await;
    let second = roster(&world, "east", "clinic", 2, &["bank", "clinic", "lab"]);
    pin(&store, &second).await.unwrap();
    let cases = [
        (roster(&world, "east", "clinic", 1, &["bank", "clinic", "lab"]), "version 2"),
        (roster(&world, "east", "clinic", 2, &["bank", "clinic"]), "the same version, 2"),
        (roster(&world, "east", "shop", 3, &["bank", "clinic", "lab"]), "another founder, clinic"),
        (with_keys(&world, "east", "lab", 3, &[("bank", "bank"), ("lab", "lab")]), "another founder, clinic"),
    ];
    for (other, says) in cases {
        let refused = refusal(pin(&store, &other).await).to_string();
        assert!(refused.contains(says), "{refused}");
        assert_eq!(
            store.rosters().get("east").await.unwrap().unwrap().signed,
            second,
            "a refused roster changes nothing"
        );
        assert!(store.parties().key_of(party("lab")).await.is_ok());
    }
    let third = roster(&world, "east", "clinic", 3, &["bank", "clinic", "notary"]);
    pin(&store, &third).await.unwrap();
    assert!(
        store.parties().key_of(party("lab")).await.is_err() && store.parties().key_of(party("notary")).await.is_ok()
    );
    assert_eq!(events(&store, "roster-pinned").await[1]["replaced"], 2);
    // Whoever is left may be founded anew by anybody.
    store.rosters().remove("east", "operator").await.unwrap();
    pin(&store, &roster(&world, "east", "shop", 1, &["bank", "shop"])).await.unwrap();
    assert!(matches!(store.rosters().remove("west", "x").await, Err(StoreError::NotFound { what: "consortium", .. })));
}

#[tokio::test]
async fn a_party_has_one_key_and_a_key_one_party_wherever_they_come_from() {
    let world = World::new();
    let store = world.furnished().await;
    pin(&store, &roster(&world, "east", "clinic", 1, &["bank", "clinic", "lab", "shop"])).await.unwrap();
    let other_key = |name: &str| RosterRefusal::OtherKey(party(name));
    let key_of = |name: &str, owner: &str| RosterRefusal::KeyOf { party: party(name), owner: party(owner) };
    let cases = [
        ([("bank", "bank"), ("shop", "thief")], other_key("shop")),
        ([("bank", "bank"), ("lab", "thief")], other_key("lab")),
        ([("bank", "bank"), ("thief", "shop")], key_of("thief", "shop")),
        ([("bank", "bank"), ("thief", "lab")], key_of("thief", "lab")),
    ];
    for (members, expected) in cases {
        let west = with_keys(&world, "west", "notary", 1, &members);
        assert_eq!(refusal(pin(&store, &west).await), expected);
        assert_eq!(store.rosters().get("west").await.unwrap(), None, "a refused roster leaves nothing behind");
    }
    // The same holds when a member becomes a peer.
    let thief = NewPeer { signing_key: world.signer("thief").public_key(), ..world.new_peer("lab") };
    assert_eq!(refusal(store.peers().add(thief, "x").await.map(drop)), other_key("lab"));
    let namesake = NewPeer { signing_key: world.signer("lab").public_key(), ..world.new_peer("thief") };
    assert_eq!(refusal(store.peers().add(namesake, "x").await.map(drop)), key_of("thief", "lab"));
    store.peers().add(world.new_peer("lab"), "operator").await.unwrap();
    // A founder may give a member a new key, or two members each other's, but not one that is a peer of ours, too.
    let swapped = [("bank", "bank"), ("clinic", "lab"), ("lab", "clinic")];
    let refused = refusal(pin(&store, &with_keys(&world, "east", "notary", 2, &swapped)).await);
    assert!(matches!(refused, RosterRefusal::OtherFounder { .. }), "{refused}");
    let renewed = with_keys(&world, "east", "clinic", 2, &[("bank", "bank"), ("lab", "new"), ("shop", "shop")]);
    assert_eq!(refusal(pin(&store, &renewed).await), other_key("lab"));
    store.peers().remove(party("lab"), "operator").await.unwrap();
    pin(&store, &renewed).await.unwrap();
    assert_eq!(store.parties().key_of(party("lab")).await.unwrap(), world.signer("new").public_key());
}

#[tokio::test]
async fn rules_stay_while_their_party_is_known_one_way_or_the_other() {
    let world = World::new();
    let store = world.furnished().await;
    let members = ["bank", "clinic", "lab", "shop"];
    pin(&store, &roster(&world, "east", "clinic", 1, &members)).await.unwrap();
    pin(&store, &roster(&world, "west", "clinic", 1, &["bank", "lab"])).await.unwrap();
    for member in ["clinic", "lab", "shop"] {
        store.rules().set("customers", party(member), json!({ "minimum": 100 }), None, "operator").await.unwrap();
    }
    let stranger = store.rules().set("customers", party("notary"), json!({}), None, "x").await.unwrap_err();
    assert!(matches!(stranger, StoreError::NotFound { .. }), "{stranger}");
    let ruled = async || store.rules().all(None).await.unwrap().iter().map(|rule| rule.peer).collect::<Vec<_>>();
    let expect = |names: &[&str]| names.iter().map(|name| party(name)).collect::<Vec<_>>();
    // A peer that is a member as well loses nothing when it is no peer any more.
    store.peers().remove(party("shop"), "operator").await.unwrap();
    assert_eq!(ruled().await, expect(&["clinic", "lab", "shop"]));
    store.peers().add(world.new_peer("shop"), "operator").await.unwrap();
    store.rosters().remove("east", "operator").await.unwrap();
    assert_eq!(ruled().await, expect(&["lab", "shop"]));
    let told = events(&store, "roster-removed").await;
    assert_eq!(told[0]["rules_removed"], json!([{ "dataset": "customers", "party": "clinic" }]));
    // A member that the next version leaves out is a stranger, too.
    pin(&store, &roster(&world, "west", "clinic", 2, &["bank", "clinic"])).await.unwrap();
    assert_eq!(ruled().await, expect(&["shop"]));
    store.peers().remove(party("shop"), "operator").await.unwrap();
    assert!(ruled().await.is_empty());
    let told = events(&store, "peer-removed").await;
    assert_eq!(told[1]["rules_removed"], json!([{ "dataset": "customers", "party": "shop" }]));
}

#[tokio::test]
async fn a_consortium_is_not_left_while_a_job_with_a_member_is_unfinished() {
    let world = World::new();
    let store = world.furnished().await;
    store.peers().remove(party("shop"), "operator").await.unwrap();
    pin(&store, &roster(&world, "east", "clinic", 1, &["bank", "clinic", "shop"])).await.unwrap();
    let job = a_job(&store).await.id;
    let without = roster(&world, "east", "clinic", 2, &["bank", "clinic"]);
    let renewed = with_keys(&world, "east", "clinic", 2, &[("bank", "bank"), ("shop", "new")]);
    let refused =
        [store.rosters().remove("east", "operator").await, pin(&store, &without).await, pin(&store, &renewed).await];
    for refused in refused {
        let refused = refused.unwrap_err();
        assert!(matches!(&refused, StoreError::InUse { jobs, .. } if *jobs == [job]), "{refused}");
    }
    // What keeps the member and its key is no harm to the job.
    pin(&store, &roster(&world, "east", "clinic", 2, &["bank", "shop"])).await.unwrap();
    store.jobs().finish(job, &["proposed"], "refused", JobChange::by("policy"), JobResult::Nothing).await.unwrap();
    store.rosters().remove("east", "operator").await.unwrap();
    assert!(store.parties().all().await.unwrap().is_empty());
}

#[tokio::test]
async fn consortia_have_a_limit_together() {
    let world = World::new();
    let store = world.furnished().await;
    // Keys of nobody, since it takes long to draw hundreds of them into files.
    let roster = |name: &str, from: u64, count: u64| {
        let member = |at: u64| {
            let mut seed = [0; 32];
            seed[..8].copy_from_slice(&at.to_be_bytes());
            let key = ed25519_dalek::SigningKey::from_bytes(&seed);
            VerifierKey::of(&format!("member-{at:04}"), KeyUse::Text, &key).unwrap()
        };
        let founder = world.signer("clinic");
        let roster = Roster {
            name: Code::parse(name).unwrap(),
            version: Count::new(1).unwrap(),
            founder: founder.public_key().of_notes(party("clinic")).unwrap(),
            members: (from..from + count).map(member).collect(),
        };
        SignedRoster::sign(&roster, &NoteSigner(Arc::new(founder))).unwrap()
    };
    for at in 0..MAX_ROSTER_MEMBERS / 128 {
        pin(&store, &roster(&format!("c-{at}"), 128 * at, 128)).await.unwrap();
    }
    assert_eq!(
        refusal(pin(&store, &roster("more", 5_000, 2)).await),
        RosterRefusal::TooManyMembers { most: MAX_ROSTER_MEMBERS }
    );
    pin(&store, &roster("again", 0, 128)).await.unwrap();
}
