//! Backups: whole, private, and a store again only after they were checked.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use sqlx::{ConnectOptions, Connection, Executor};
use tacitly::store::{EventFilter, JobChange, Store, StoreError, restore};
use tacitly_core::Seed;

use crate::world::{World, a_job, sealer};

#[tokio::test]
async fn a_backup_of_a_store_in_use_restores_to_the_same_store() {
    let world = World::new();
    let store = world.furnished().await;
    let job = a_job(&store).await.id;
    let change = JobChange { seed: Some(Seed::from_bytes([7; 32])), ..JobChange::by("daemon") };
    let running = store.jobs().advance(job, &["proposed"], "running", change).await.unwrap();
    let copy = world.path("backup.db");
    store.backup(&copy).await.unwrap();
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    store.jobs().advance(job, &["running"], "suspended", JobChange::by("daemon")).await.unwrap();
    let before = store.events().list(&EventFilter::default()).await.unwrap();

    let place = world.path("restored.db");
    restore(&copy, &place, "operator").await.unwrap();
    let restored = Store::open(&place, sealer(1)).await.unwrap();
    assert_eq!(restored.jobs().get(job).await.unwrap(), running, "as it was when the backup was made");
    assert_eq!(restored.secrets().seed(job).await.unwrap().unwrap().expose(), &[7; 32]);
    assert_eq!(restored.peers().all().await.unwrap(), store.peers().all().await.unwrap());
    let events = restored.events().list(&EventFilter::default()).await.unwrap();
    let (last, rest) = events.split_last().unwrap();
    assert_eq!(rest, &before[..before.len() - 1]);
    assert_eq!((last.kind.as_str(), last.actor.as_str()), ("store-restored", "operator"));
    restored.jobs().advance(job, &["running"], "suspended", JobChange::by("daemon")).await.unwrap();
}

#[tokio::test]
async fn a_backup_replaces_no_file_and_leaves_none_when_it_fails() {
    let world = World::new();
    let store = world.furnished().await;
    let copy = world.path("backup.db");
    fs::write(&copy, "precious").unwrap();
    assert!(matches!(store.backup(&copy).await, Err(StoreError::AlreadyExists { .. })));
    assert_eq!(fs::read_to_string(&copy).unwrap(), "precious");
    assert!(matches!(store.backup(&world.path("no/such/folder/backup.db")).await, Err(StoreError::Io { .. })));
    let names: Vec<_> = fs::read_dir(world.directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let is_left = |name: &str| name.starts_with(".tmp") || name.contains("unfinished");
    assert!(names.iter().all(|name| !is_left(&name.to_string_lossy())), "{names:?}");
}

#[tokio::test]
async fn what_a_killed_backup_left_goes_with_the_next_one_and_what_another_is_writing_stays() {
    let world = World::new();
    let store = world.furnished().await;
    let mut over = std::process::Command::new("true").spawn().unwrap();
    over.wait().unwrap();
    let left = |process: u32, end: &str| world.path(&format!(".backup.db.unfinished-{process}-Xy7{end}"));
    let gone = [left(over.id(), ""), left(over.id(), "-journal")];
    let stay = [left(std::process::id(), ""), world.path(".other.db.unfinished-1-Xy7")];
    gone.iter().chain(&stay).for_each(|file| fs::write(file, "rows").unwrap());
    store.backup(&world.path("backup.db")).await.unwrap();
    assert!(gone.iter().all(|file| !file.exists()) && stay.iter().all(|file| file.exists()));
}

#[tokio::test]
async fn a_restore_replaces_no_store_and_none_in_use() {
    let world = World::new();
    let store = world.furnished().await;
    let copy = world.path("backup.db");
    store.backup(&copy).await.unwrap();
    assert!(matches!(restore(&copy, &world.database(), "x").await, Err(StoreError::Locked { .. })));
    store.close().await;
    assert!(matches!(restore(&copy, &world.database(), "x").await, Err(StoreError::AlreadyExists { .. })));
    // A log left by the store that was there would be played into the restored one.
    fs::remove_file(world.database()).unwrap();
    fs::write(world.path("party.db-wal"), "left over").unwrap();
    assert!(matches!(restore(&copy, &world.database(), "x").await, Err(StoreError::AlreadyExists { .. })));
    fs::remove_file(world.path("party.db-wal")).unwrap();
    restore(&copy, &world.database(), "x").await.unwrap();
    world.open().await;
}

#[tokio::test]
async fn what_is_no_sound_backup_of_ours_is_refused_and_leaves_no_store() {
    let world = World::new();
    let store = world.furnished().await;
    let copy = world.path("backup.db");
    store.backup(&copy).await.unwrap();
    store.close().await;
    let sound = fs::read(&copy).unwrap();
    let raw = sqlx::sqlite::SqliteConnectOptions::new().filename(&copy);
    let place = world.path("restored.db");
    let refused = async || restore(&copy, &place, "operator").await.unwrap_err();

    fs::set_permissions(&copy, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(refused().await, StoreError::Permissions { .. }));
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).unwrap();

    fs::write(&copy, &sound[..sound.len() / 2]).unwrap();
    let error = refused().await;
    assert!(matches!(&error, StoreError::Corrupt { path, .. } if *path == copy), "{error}");
    fs::write(&copy, "no database at all").unwrap();
    assert!(matches!(refused().await, StoreError::Corrupt { .. }));
    fs::write(&copy, []).unwrap();
    assert!(matches!(refused().await, StoreError::NotAStore { .. }));

    fs::write(&copy, &sound).unwrap();
    let mut connection = raw.connect().await.unwrap();
    connection.execute("UPDATE _sqlx_migrations SET version = 9000").await.unwrap();
    connection.close().await.unwrap();
    assert!(matches!(refused().await, StoreError::SchemaNewer { found: 9000, .. }));
    assert!(!place.exists());
}
