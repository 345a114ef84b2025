//! What stands in the clear and decides whom this party trusts: changed by anything but the store, it is refused.

use serde_json::json;
use sqlx::{Connection, Executor};
use tacitly::store::{EventFilter, InviteToken, Store, StoreError, check_store};

use crate::world::{World, contains, party, sealer};

/// What somebody does who can write the file, as a backup operator can.
const FORGERIES: [&str; 16] = [
    "INSERT INTO peers (id, address, signing_key, added_at) SELECT 'mallory', NULL, 'ed25519:AA==', added_at FROM peers",
    "UPDATE peers SET address = 'elsewhere.example:7443'",
    "UPDATE peers SET signing_key = 'ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo='",
    "INSERT INTO peer_pins (peer, pin, since_at) SELECT peer, 'sha256:mine', since_at FROM peer_pins",
    "UPDATE peer_pins SET until_at = NULL",
    "DELETE FROM peer_pins",
    "UPDATE invites SET expires_at = '2999-01-01T00:00:00.000Z'",
    "UPDATE invites SET party = 'mallory'",
    "UPDATE datasets SET path = '/etc/passwd'",
    "UPDATE rules SET rule = '{\"kinds\":[\"align\"]}'",
    "UPDATE rules SET expires_at = NULL",
    "DELETE FROM rules",
    "DELETE FROM meta WHERE name = 'trusted-rows'",
    "DELETE FROM meta",
    "DROP TRIGGER events_are_never_deleted; DELETE FROM events; DELETE FROM sqlite_sequence; DELETE FROM meta;
     CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
BEGIN
    SELECT RAISE(ABORT, 'events are append-only');
END",
    "CREATE TRIGGER helper AFTER INSERT ON events BEGIN UPDATE rules SET expires_at = NULL; END",
];

/// A store with a peer that has a pin which has ended, an invitation, a dataset and a rule that will be over.
async fn furnished(world: &World) -> Store {
    let store = world.furnished().await;
    let (shop, soon) = (party("shop"), store.now() + jiff::SignedDuration::from_hours(1));
    store.peers().end_pin(shop, "sha256:pin-one", soon, "operator").await.unwrap();
    store.invites().create(&InviteToken::from_bytes([3; 16]), party("lab"), soon, "operator").await.unwrap();
    store.rules().set("customers", shop, json!({ "kinds": ["intersect"] }), Some(soon), "operator").await.unwrap();
    store
}

async fn forge(world: &World, sql: &'static str) {
    let mut raw = world.raw().await;
    raw.execute(sql).await.unwrap();
    raw.close().await.unwrap();
}

fn is_forged<T>(outcome: Result<T, StoreError>) -> bool {
    matches!(outcome, Err(StoreError::Forged { .. }))
}

#[tokio::test]
async fn a_row_that_decides_whom_we_trust_is_not_changed_behind_the_store() {
    for sql in FORGERIES {
        let world = World::new();
        furnished(&world).await.close().await;
        world.open().await.close().await;
        check_store(&world.database(), &sealer(1), None).await.unwrap();
        forge(&world, sql).await;
        assert!(is_forged(check_store(&world.database(), &sealer(1), None).await), "{sql}");
        let refused = world.try_open(1).await.map(drop).unwrap_err();
        assert!(matches!(refused, StoreError::Forged { .. }), "{sql}: {refused}");
        assert!(refused.to_string().contains("tacitly restore"), "{refused}");
    }
}

#[tokio::test]
async fn a_row_that_is_changed_under_a_running_daemon_decides_nothing_and_is_not_sealed() {
    let world = World::new();
    let store = furnished(&world).await;
    assert!(store.rules().get("customers", party("shop")).await.unwrap().is_some());
    forge(&world, "UPDATE rules SET rule = '{\"kinds\":[\"align\"]}'").await;
    assert!(is_forged(store.rules().get("customers", party("shop")).await));
    assert!(is_forged(store.rules().all(None).await));
    assert!(is_forged(store.peers().all().await));
    // Nothing that is changed now makes it sound again.
    assert!(is_forged(store.rules().remove("customers", party("shop"), "operator").await));
    assert!(is_forged(store.peers().add(world.new_peer("lab"), "operator").await));
    store.close().await;
    assert!(is_forged(world.try_open(1).await.map(drop)));
}

#[tokio::test]
async fn a_new_sealing_key_and_a_backup_keep_the_seals_sound() {
    let world = World::new();
    let store = furnished(&world).await;
    store.rekey(sealer(2), "operator").await.unwrap();
    let copy = world.path("copy.db");
    store.backup(&copy).await.unwrap();
    store.close().await;
    let store = world.try_open(2).await.unwrap();
    assert!(store.rules().get("customers", party("shop")).await.unwrap().is_some());
    assert!(store.events().list(&EventFilter::default()).await.unwrap().iter().all(|event| !event.is_altered));
    store.close().await;
    check_store(&copy, &sealer(2), None).await.unwrap();
    assert!(matches!(check_store(&copy, &sealer(1), None).await, Err(StoreError::WrongKey { .. })));
}

#[tokio::test]
async fn a_line_of_the_audit_trail_that_is_changed_or_taken_away_shows() {
    let changes: [(&str, &[usize]); 6] = [
        ("UPDATE events SET actor = 'somebody' WHERE seq = 2", &[2]),
        ("UPDATE events SET detail = '{}' WHERE seq = 3", &[3]),
        ("UPDATE events SET at = '2020-01-01T00:00:00.000Z' WHERE seq = 1", &[1]),
        // The line behind it stands in another place now.
        ("DELETE FROM events WHERE seq = 2", &[3]),
        ("UPDATE events SET seq = 99 WHERE seq = 2", &[3, 99]),
        ("UPDATE events SET seal = (SELECT seal FROM events WHERE seq = 1) WHERE seq = 2", &[2, 3]),
    ];
    for (sql, shown) in changes {
        let world = World::new();
        let store = furnished(&world).await;
        let all = store.events().list(&EventFilter::default()).await.unwrap();
        assert!(all.len() >= 5 && all.iter().all(|event| !event.is_altered));
        let mut raw = world.raw().await;
        for trigger in ["events_are_never_changed", "events_are_never_deleted"] {
            raw.execute(sqlx::AssertSqlSafe(format!("DROP TRIGGER {trigger}"))).await.unwrap();
        }
        raw.execute(sql).await.unwrap();
        raw.close().await.unwrap();
        let all = store.events().list(&EventFilter::default()).await.unwrap();
        let altered: Vec<usize> = all.iter().filter(|event| event.is_altered).map(|event| event.seq as usize).collect();
        assert_eq!(altered, shown, "{sql}");
        store.close().await;
        // Without its triggers the schema is another one, too.
        assert!(is_forged(world.try_open(1).await.map(drop)), "{sql}");
    }
}

#[tokio::test]
async fn the_key_of_the_seals_is_not_in_the_file_in_the_clear() {
    let world = World::new();
    furnished(&world).await.close().await;
    let mut raw = world.raw().await;
    let blob: Vec<u8> =
        sqlx::query_scalar("SELECT value FROM meta WHERE name = 'integrity-key'").fetch_one(&mut raw).await.unwrap();
    raw.close().await.unwrap();
    let key = sealer(1).open("integrity-key", &[], &blob).unwrap();
    assert_eq!(key.len(), 32);
    assert!(!contains(&world.bytes(), &key));
}
