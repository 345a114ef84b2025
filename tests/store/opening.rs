//! Which files open, for whom, and what is said of the others.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use sqlx::{Connection, Executor};
use tacitly::store::{Store, StoreError};

use crate::world::{World, a_job, sealer};

fn mode(path: impl AsRef<std::path::Path>) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_new_store_can_be_read_by_its_owner_only() {
    let world = World::new();
    let store = world.furnished().await;
    for name in ["party.db", "party.db-wal", "party.db-shm", "party.db.lock"] {
        assert_eq!(mode(world.path(name)), 0o600, "{name}");
    }
    store.close().await;
}

#[tokio::test]
async fn what_was_stored_is_there_when_the_store_opens_again() {
    let world = World::new();
    let store = world.furnished().await;
    let job = a_job(&store).await;
    store.close().await;
    let store = world.open().await;
    assert_eq!(store.jobs().get(job.id).await.unwrap(), job);
    assert_eq!(store.peers().all().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_second_open_is_refused_with_the_number_of_the_holder_until_the_first_is_closed() {
    let world = World::new();
    let first = world.open().await;
    let refused = world.try_open(1).await.err().unwrap();
    assert!(matches!(refused, StoreError::Locked { pid: Some(pid), .. } if pid == std::process::id()), "{refused}");
    // Another spelling of the same path meets the same lock.
    let crooked = world.directory.path().join(".").join("party.db");
    assert!(matches!(Store::open(&crooked, sealer(1)).await, Err(StoreError::Locked { .. })));
    first.close().await;
    world.open().await;
}

#[tokio::test]
async fn a_store_taken_away_while_it_is_open_takes_no_more_writes() {
    for replaced in [false, true] {
        let world = World::new();
        let store = world.furnished().await;
        store.probe().await.unwrap();
        fs::rename(world.path("party.db"), world.path("aside")).unwrap();
        if replaced {
            fs::copy(world.path("aside"), world.path("party.db")).unwrap();
        }
        assert!(matches!(store.probe().await, Err(StoreError::Moved { .. })));
        fs::rename(world.path("aside"), world.path("party.db")).unwrap();
        store.probe().await.unwrap();
        store.close().await;
    }
}

#[tokio::test]
async fn a_database_that_others_may_reach_is_refused_with_the_command_that_mends_it() {
    let world = World::new();
    world.open().await.close().await;
    for loose in [0o644, 0o660, 0o602] {
        fs::set_permissions(world.database(), fs::Permissions::from_mode(loose)).unwrap();
        let refused = world.try_open(1).await.err().unwrap();
        assert!(matches!(refused, StoreError::Permissions { mode, .. } if mode == loose), "{refused}");
        assert!(refused.to_string().contains(&format!("chmod 0600 {}", world.database().display())), "{refused}");
    }
    fs::set_permissions(world.database(), fs::Permissions::from_mode(0o600)).unwrap();
    world.open().await;
}

#[tokio::test]
async fn a_wrong_key_is_refused_at_once_naming_both_keys() {
    let world = World::new();
    world.open().await.close().await;
    let refused = world.try_open(2).await.err().unwrap();
    let StoreError::WrongKey { sealed_with, given } = refused else { panic!("{refused}") };
    assert_eq!((sealed_with, given), (sealer(1).key_id(), sealer(2).key_id()));
    world.open().await;
}

#[tokio::test]
async fn a_newer_schema_is_refused_naming_both_versions_and_nothing_is_written() {
    let world = World::new();
    world.furnished().await.close().await;
    let mut raw = world.raw().await;
    raw.execute(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9000, 'from the future', TRUE, x'00', 0)",
    )
    .await
    .unwrap();
    raw.close().await.unwrap();
    let before = world.bytes();
    let refused = world.try_open(1).await.err().unwrap();
    let said = refused.to_string();
    let StoreError::SchemaNewer { found: 9000, known, .. } = refused else { panic!("{said}") };
    assert!(said.contains("version 9000") && said.contains(&format!("up to {known};")), "{said}");
    assert_eq!(world.bytes(), before);
}

#[tokio::test]
async fn a_store_of_an_earlier_schema_is_refused_with_the_way_out_and_nothing_is_written() {
    let world = World::new();
    world.furnished().await.close().await;
    let mut raw = world.raw().await;
    raw.execute("UPDATE _sqlx_migrations SET version = 12").await.unwrap();
    raw.close().await.unwrap();
    let before = world.bytes();
    let refused = world.try_open(1).await.err().unwrap();
    let said = refused.to_string();
    let StoreError::SchemaOlder { found: 12, .. } = refused else { panic!("{said}") };
    assert!(said.contains("version 12") && said.contains("begin a new one"), "{said}");
    assert_eq!(world.bytes(), before);
}

#[tokio::test]
async fn a_strangers_database_is_refused_and_left_alone() {
    let world = World::new();
    fs::write(world.database(), []).unwrap();
    fs::set_permissions(world.database(), fs::Permissions::from_mode(0o600)).unwrap();
    let mut raw = world.raw().await;
    raw.execute("CREATE TABLE recipes (name TEXT)").await.unwrap();
    raw.close().await.unwrap();
    let before = world.bytes();
    assert!(matches!(world.try_open(1).await, Err(StoreError::NotAStore { .. })));
    assert_eq!(world.bytes(), before);
}

#[tokio::test]
async fn a_damaged_file_is_called_damaged() {
    let world = World::new();
    fs::write(world.database(), b"not a database, though long enough to be taken for the head of one; ".repeat(9))
        .unwrap();
    fs::set_permissions(world.database(), fs::Permissions::from_mode(0o600)).unwrap();
    let refused = world.try_open(1).await.err().unwrap();
    assert!(matches!(refused, StoreError::Corrupt { .. }), "{refused}");

    let world = World::new();
    world.furnished().await.close().await;
    let whole = fs::read(world.database()).unwrap();
    fs::write(world.database(), &whole[..whole.len() / 3]).unwrap();
    let failed = match world.try_open(1).await {
        Ok(store) => store.peers().all().await.map(drop).and(store.events().list(&Default::default()).await.map(drop)),
        Err(error) => Err(error),
    };
    assert!(matches!(failed, Err(StoreError::Corrupt { .. })), "{failed:?}");
}

#[tokio::test]
async fn a_store_that_was_never_finished_is_made_anew() {
    let world = World::new();
    fs::write(world.database(), []).unwrap();
    fs::set_permissions(world.database(), fs::Permissions::from_mode(0o600)).unwrap();
    world.open().await.close().await;
    let missing = world.path("no/such/folder/party.db");
    assert!(matches!(Store::open(&missing, sealer(1)).await, Err(StoreError::Io { .. })));
}
