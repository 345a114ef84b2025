//! Secrets at rest: never in the clear, never in another place, gone when the job ends.

use sqlx::{Connection, Executor, Row};
use tacitly::store::{JobChange, JobId, JobResult, NewBasis, NewFingerprint, SealFault, Store, StoreError};
use tacitly_core::Seed;
use zeroize::Zeroizing;

use crate::world::{World, a_job, contains, fingerprint, new_dataset, sealer};

const SEED: [u8; 32] = *b"the seed of the job, 32 bytes it";
const SALT: [u8; 32] = *b"the salt of a lawful basis, 32 b";
const CHECKPOINT: &[u8] = b"what bucket seventeen has come to so far";
const RESULT: &[u8] = b"the rows that both sides have";

/// A job that runs, with a seed and two checkpoints.
async fn running(store: &Store) -> JobId {
    let job = a_job(store).await.id;
    let change = JobChange {
        seed: Some(Seed::from_bytes(SEED)),
        checkpoint: Some(("bucket-17".to_owned(), Zeroizing::new(CHECKPOINT.to_vec()))),
        ..JobChange::by("daemon")
    };
    store.jobs().advance(job, &["proposed"], "running", change).await.unwrap();
    store.secrets().put_checkpoint(job, "bucket-18", b"more").await.unwrap();
    job
}

async fn finished(store: &Store) -> JobId {
    let job = running(store).await;
    store.secrets().put_result_part(job, 0, RESULT).await.unwrap();
    let result = JobResult::Parts { parts: 1, items: 3 };
    store.jobs().finish(job, &["running"], "done", JobChange::by("daemon"), result).await.unwrap();
    job
}

async fn sealed_blobs(world: &World) -> Vec<Vec<u8>> {
    let mut raw = world.raw().await;
    let rows = raw.fetch_all("SELECT blob FROM sealed").await.unwrap();
    raw.close().await.unwrap();
    rows.iter().map(|row| row.get("blob")).collect()
}

#[tokio::test]
async fn checkpoints_come_back_by_their_labels() {
    let world = World::new();
    let store = world.furnished().await;
    let job = running(&store).await;
    assert_eq!(store.secrets().checkpoint_labels(job).await.unwrap(), ["bucket-17", "bucket-18"]);
    assert_eq!(**store.secrets().checkpoint(job, "bucket-17").await.unwrap().unwrap(), *CHECKPOINT);
    assert!(store.secrets().checkpoint(job, "bucket-19").await.unwrap().is_none());
    store.secrets().put_checkpoint(job, "bucket-17", b"further").await.unwrap();
    assert_eq!(**store.secrets().checkpoint(job, "bucket-17").await.unwrap().unwrap(), *b"further");
    store.secrets().put_checkpoint(job, "empty", b"").await.unwrap();
    assert_eq!(**store.secrets().checkpoint(job, "empty").await.unwrap().unwrap(), *b"");
}

#[tokio::test]
async fn values_larger_than_one_piece_come_back_whole() {
    let world = World::new();
    let store = world.furnished().await;
    let job = running(&store).await;
    let large: Vec<u8> = (0..(3 << 20) + 5_u32).map(|at| (at % 251) as u8).collect();
    store.secrets().put_checkpoint(job, "large", &large).await.unwrap();
    assert_eq!(**store.secrets().checkpoint(job, "large").await.unwrap().unwrap(), large);
    store.secrets().put_checkpoint(job, "large", &large[..1 << 20]).await.unwrap();
    assert_eq!(**store.secrets().checkpoint(job, "large").await.unwrap().unwrap(), large[..1 << 20]);
    store.secrets().put_result_part(job, 0, &large).await.unwrap();
    let result = JobResult::Parts { parts: 1, items: 3 };
    store.jobs().finish(job, &["running"], "done", JobChange::by("daemon"), result).await.unwrap();
    assert_eq!(**store.secrets().result(job).await.unwrap().unwrap(), large);
}

#[tokio::test]
async fn secrets_are_never_in_the_files_in_the_clear() {
    let world = World::new();
    let store = world.furnished().await;
    let job = running(&store).await;
    let while_running = world.bytes();
    store.secrets().put_result_part(job, 0, RESULT).await.unwrap();
    let result = JobResult::Parts { parts: 1, items: 3 };
    store.jobs().finish(job, &["running"], "done", JobChange::by("daemon"), result).await.unwrap();
    let after = world.bytes();
    store.close().await;
    for (when, bytes) in [("running", while_running), ("after", after), ("closed", world.bytes())] {
        assert!(contains(&bytes, b"intersect"), "the files are read at all");
        for secret in [&SEED[..], CHECKPOINT, RESULT] {
            assert!(!contains(&bytes, secret), "{when}");
        }
    }
}

#[tokio::test]
async fn sealed_seeds_and_checkpoints_are_gone_from_the_files_when_the_job_ends() {
    let world = World::new();
    let store = world.furnished().await;
    let job = running(&store).await;
    let blobs = sealed_blobs(&world).await;
    assert_eq!(blobs.len(), 3);
    assert!(blobs.iter().all(|blob| contains(&world.bytes(), blob)));
    store.jobs().finish(job, &["running"], "failed", JobChange::by("daemon"), JobResult::Nothing).await.unwrap();
    assert!(store.secrets().checkpoint_labels(job).await.unwrap().is_empty());
    let bytes = world.bytes();
    assert!(blobs.iter().all(|blob| !contains(&bytes, blob)));
}

#[tokio::test]
async fn a_purged_result_is_gone_from_the_files() {
    let world = World::new();
    let store = world.furnished().await;
    let job = finished(&store).await;
    let blobs = sealed_blobs(&world).await;
    assert!(blobs.iter().all(|blob| contains(&world.bytes(), blob)));
    store.jobs().purge(job, "operator", Vec::new()).await.unwrap();
    let bytes = world.bytes();
    assert!(blobs.iter().all(|blob| !contains(&bytes, blob)));
}

#[tokio::test]
async fn a_result_is_sealed_once_and_released_as_it_is() {
    let world = World::new();
    let store = world.furnished().await;
    let job = running(&store).await;
    let before = sealed_blobs(&world).await;
    store.secrets().put_result_part(job, 0, RESULT).await.unwrap();
    store.secrets().put_result_part(job, 1, RESULT).await.unwrap();
    let parts: Vec<Vec<u8>> = sealed_blobs(&world).await.into_iter().filter(|blob| !before.contains(blob)).collect();
    assert_eq!(parts.len(), 2);
    let result = JobResult::Parts { parts: 2, items: 6 };
    store.jobs().finish(job, &["running"], "done", JobChange::by("daemon"), result).await.unwrap();
    let after = sealed_blobs(&world).await;
    assert!(parts.iter().all(|part| after.contains(part)), "a part was sealed again when it was released");
    assert_eq!(after.len(), 3, "beside the parts there is their number only");
}

#[tokio::test]
async fn parts_of_a_result_go_when_the_job_ends_without_one() {
    let world = World::new();
    let store = world.furnished().await;
    let job = running(&store).await;
    store.secrets().put_result_part(job, 0, RESULT).await.unwrap();
    store.jobs().finish(job, &["running"], "cancelled", JobChange::by("operator"), JobResult::Nothing).await.unwrap();
    assert!(store.secrets().result(job).await.unwrap().is_none());
    assert!(sealed_blobs(&world).await.is_empty());
}

#[tokio::test]
async fn a_tampered_moved_or_shortened_secret_is_called_broken() {
    for (damage, expected) in [
        (
            "UPDATE sealed SET blob = CAST(substr(blob, 1, length(blob) - 16) || zeroblob(16) AS BLOB) WHERE purpose = 'seed'",
            SealFault::NotAuthentic,
        ),
        ("UPDATE sealed SET blob = substr(blob, 1, 40) WHERE purpose = 'seed'", SealFault::Truncated),
        ("UPDATE sealed SET blob = x'' WHERE purpose = 'seed'", SealFault::Truncated),
        (
            "UPDATE sealed SET blob = CAST(x'02' || substr(blob, 2) AS BLOB) WHERE purpose = 'seed'",
            SealFault::UnknownAlgorithm(2),
        ),
        (
            "UPDATE sealed SET blob = (SELECT blob FROM sealed WHERE label = 'bucket-17') WHERE purpose = 'seed'",
            SealFault::NotAuthentic,
        ),
        ("UPDATE sealed SET pieces = 2 WHERE purpose = 'seed'", SealFault::Truncated),
    ] {
        let world = World::new();
        let store = world.furnished().await;
        let job = running(&store).await;
        world.raw().await.execute(damage).await.unwrap();
        let error = store.secrets().seed(job).await.err().unwrap();
        let StoreError::SealBroken { what, fault } = &error else { panic!("{damage}: {error}") };
        assert_eq!(*fault, expected, "{damage}");
        assert_eq!(*what, format!("seed of job {job}"));
    }
}

#[tokio::test]
async fn a_secret_of_one_job_or_label_does_not_open_in_another() {
    let world = World::new();
    let store = world.furnished().await;
    let (first, second) = (running(&store).await, running(&store).await);
    let mut raw = world.raw().await;
    let other = |job: JobId| {
        sqlx::query("UPDATE sealed SET blob = (SELECT blob FROM sealed WHERE job = $1 AND purpose = 'seed') WHERE job = $2 AND purpose = 'seed'").bind(first.to_string()).bind(job.to_string())
    };
    raw.execute(other(second)).await.unwrap();
    raw.execute("UPDATE sealed SET label = 'bucket-0' WHERE label = 'bucket-18'").await.unwrap();
    for error in [
        store.secrets().seed(second).await.err().unwrap(),
        store.secrets().checkpoint(first, "bucket-0").await.err().unwrap(),
    ] {
        assert!(matches!(error, StoreError::SealBroken { fault: SealFault::NotAuthentic, .. }), "{error}");
    }
    assert!(store.secrets().seed(first).await.unwrap().is_some());
}

#[tokio::test]
async fn a_result_that_lost_a_piece_or_a_part_is_called_broken() {
    let world = World::new();
    let store = world.furnished().await;
    let job = running(&store).await;
    for part in 0..3 {
        store.secrets().put_result_part(job, part, &vec![part as u8; (1 << 20) + 1]).await.unwrap();
    }
    let result = JobResult::Parts { parts: 3, items: 3 };
    store.jobs().finish(job, &["running"], "done", JobChange::by("daemon"), result).await.unwrap();
    for damage in [
        "DELETE FROM sealed WHERE purpose = 'result-part' AND label = '0000000001' AND piece = 1",
        "DELETE FROM sealed WHERE purpose = 'result-part' AND label = '0000000001'",
    ] {
        world.raw().await.execute(damage).await.unwrap();
        let error = store.secrets().result(job).await.err().unwrap();
        assert!(matches!(error, StoreError::SealBroken { fault: SealFault::Truncated, .. }), "{error}");
    }
}

#[tokio::test]
async fn after_a_rekey_everything_opens_with_the_new_key_only() {
    let world = World::new();
    let store = world.furnished().await;
    let (open, done) = (running(&store).await, finished(&store).await);
    let old_blobs = sealed_blobs(&world).await;
    store.rekey(sealer(2), "operator").await.unwrap();
    let check = async |store: &Store| {
        assert_eq!(store.secrets().seed(open).await.unwrap().unwrap().expose(), &SEED);
        assert_eq!(**store.secrets().checkpoint(open, "bucket-17").await.unwrap().unwrap(), *CHECKPOINT);
        assert_eq!(**store.secrets().result(done).await.unwrap().unwrap(), *RESULT);
    };
    check(&store).await;
    assert!(old_blobs.iter().all(|blob| !contains(&world.bytes(), blob)));
    store.secrets().put_checkpoint(open, "bucket-20", b"after").await.unwrap();
    store.close().await;
    assert!(matches!(world.try_open(1).await, Err(StoreError::WrongKey { .. })));
    let store = world.try_open(2).await.unwrap();
    check(&store).await;
    assert_eq!(**store.secrets().checkpoint(open, "bucket-20").await.unwrap().unwrap(), *b"after");
}

#[tokio::test]
async fn a_dataset_keeps_the_seed_of_every_version_sealed_and_bound_until_it_is_removed() {
    let world = World::new();
    let store = world.furnished().await;
    let first = store.fingerprints().get("customers", None).await.unwrap().unwrap();
    let basis = NewBasis { commitment: "salted-sha256:00".to_owned(), salt: Zeroizing::new(SALT) };
    let period = Some("2026-01-01/2026-03-31".to_owned());
    let new = NewFingerprint { seed: Zeroizing::new(SEED), basis: Some(basis), period, ..fingerprint() };
    store.datasets().add(new_dataset("customers"), &new, true, "operator").await.unwrap();
    let second = store.fingerprints().get("customers", None).await.unwrap().unwrap();
    assert_eq!((&second.fingerprint, &second.id), (&new.fingerprint, &first.id), "the name for entries stays");
    assert_eq!(store.fingerprints().get("customers", Some(&first.fingerprint)).await.unwrap().unwrap(), first);
    assert!(store.fingerprints().get("customers", Some("another")).await.unwrap().is_none());
    assert_eq!(store.fingerprints().all("customers").await.unwrap(), [second.clone(), first.clone()]);
    assert_eq!((&second.period, second.basis.as_deref()), (&new.period, Some("salted-sha256:00")));
    assert_eq!((&first.period, &first.basis), (&None, &None));
    for secret in [SEED, SALT] {
        assert!(!contains(&world.bytes(), &secret), "a seed or a salt is on the disk in the clear");
    }

    store.rekey(sealer(2), "operator").await.unwrap();
    assert_eq!(*store.fingerprints().seed("customers", &second.fingerprint).await.unwrap(), SEED);
    assert_ne!(*store.fingerprints().seed("customers", &first.fingerprint).await.unwrap(), SEED);
    assert_eq!(*store.fingerprints().basis_salt("customers", &second.fingerprint).await.unwrap(), SALT);
    let none = store.fingerprints().basis_salt("customers", &first.fingerprint).await.unwrap_err();
    assert!(matches!(none, StoreError::NotFound { .. }), "{none}");

    let moved = "UPDATE fingerprints SET seed = (SELECT seed FROM fingerprints WHERE fingerprint = $1)";
    world.raw().await.execute(sqlx::query(moved).bind(second.fingerprint.clone())).await.unwrap();
    let refused = store.fingerprints().seed("customers", &first.fingerprint).await.unwrap_err();
    assert!(matches!(refused, StoreError::SealBroken { fault: SealFault::NotAuthentic, .. }), "{refused}");
    // What seals a seed does not open as a salt.
    world.raw().await.execute("UPDATE fingerprints SET basis_salt = seed").await.unwrap();
    let refused = store.fingerprints().basis_salt("customers", &second.fingerprint).await.unwrap_err();
    assert!(matches!(refused, StoreError::SealBroken { fault: SealFault::NotAuthentic, .. }), "{refused}");

    store.datasets().remove("customers", "operator", Vec::new()).await.unwrap();
    let rows = world.raw().await.fetch_all("SELECT number FROM fingerprints").await.unwrap();
    assert!(rows.is_empty(), "a forgotten dataset keeps no seed");
}

#[tokio::test]
async fn a_rekey_that_meets_a_broken_secret_changes_nothing() {
    let world = World::new();
    let store = world.furnished().await;
    let (first, second) = (running(&store).await, running(&store).await);
    let damage = "UPDATE sealed SET blob = x'0102' WHERE purpose = 'seed' AND job = $1";
    world.raw().await.execute(sqlx::query(damage).bind(second.to_string())).await.unwrap();
    let refused = store.rekey(sealer(2), "operator").await.unwrap_err();
    assert!(matches!(refused, StoreError::SealBroken { .. }), "{refused}");
    assert_eq!(store.secrets().seed(first).await.unwrap().unwrap().expose(), &SEED);
    store.close().await;
    let store = world.open().await;
    assert_eq!(store.secrets().seed(first).await.unwrap().unwrap().expose(), &SEED);
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_and_writers_of_secrets_never_meet_a_half_done_rekey() {
    let world = World::new();
    let store = std::sync::Arc::new(world.furnished().await);
    let job = running(&store).await;
    let work = tokio::spawn({
        let store = store.clone();
        async move {
            for round in 0..60_u32 {
                store.secrets().put_checkpoint(job, "round", &round.to_be_bytes()).await.unwrap();
                let found = store.secrets().checkpoint(job, "round").await.unwrap().unwrap();
                assert_eq!(**found, round.to_be_bytes());
                assert_eq!(store.secrets().seed(job).await.unwrap().unwrap().expose(), &SEED);
            }
        }
    });
    for byte in 2..12 {
        store.rekey(sealer(byte), "operator").await.unwrap();
    }
    work.await.unwrap();
}
