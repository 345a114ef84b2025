//! Steps that a peer, the log or the store makes hard.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use tacitly_core::PartyId;

use super::super::machine::Event;
use super::super::state::State;
use super::office::{Town, Toy, id};
use crate::codes;

fn both() -> BTreeSet<PartyId> {
    [id("bank"), id("shop")].into()
}

#[tokio::test]
async fn a_leader_that_begins_without_asking_for_room_is_held_to_the_pace_of_attempts_in_vain() {
    let town = Town::of(&[id("bank"), id("shop")]);
    let shop = town.open(id("shop"), Toy::in_vain()).await;
    let terms = town.terms(id("bank"), &both());
    let job = shop.note(&terms, State::Approved, &town.all_signed(&terms)).await.id;
    // Whether the attempt of this number began when it was asked for.
    let begins = async |attempt| {
        let start = Event::Start { attempt, with: both(), place: false };
        let standing = shop.shell.happen(job, start).await.unwrap();
        tokio::task::yield_now().await;
        standing.attempt == attempt
    };
    let mut begun = 0;
    for attempt in 1..=400 {
        begun += u32::from(begins(attempt).await);
    }
    assert!((1..100).contains(&begun), "{begun} of 400 attempts began");
    // A leader that has patience is followed.
    let mut attempt = 401;
    while !begins(attempt).await {
        attempt += 1;
        assert!(attempt < 4_000, "no attempt begins any more");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(shop.core.places.held() <= 1);
}

#[tokio::test]
async fn an_end_that_can_never_be_noted_ends_the_job_and_gives_its_place_back() {
    let town = Town::of(&[id("bank"), id("shop")]);
    let bank = town.open(id("bank"), Toy::reading()).await;
    let terms = town.terms(id("bank"), &[id("bank")].into());
    let job = bank.note(&terms, State::Approved, &town.all_signed(&terms)).await.id;
    bank.begin(job, id("shop")).await;
    assert_eq!(bank.core.places.held(), 1);
    // What the result is made of cannot be read, today or ever.
    bank.core.store.secrets().put_checkpoint(job, "summary", b"no summary").await.unwrap();
    bank.core.happen_at_last(job, bank.finished(job).await);
    bank.reaches(job, State::Failed).await;
    let failure = bank.core.store.jobs().get(job).await.unwrap().failure.unwrap();
    assert_eq!(failure.code, codes::DAMAGED.name);
    assert!(failure.text.contains("summary"), "{}", failure.text);
    assert_eq!(bank.core.places.held(), 0);
    assert!(bank.core.running.find(job).is_none(), "the attempt still computes");
    assert_eq!(bank.core.store.secrets().result(job).await.unwrap(), None);
}

#[tokio::test]
async fn a_store_that_cannot_be_read_for_a_moment_keeps_one_machine_per_job() {
    let town = Town::of(&[id("bank"), id("shop")]);
    let shop = town.open(id("shop"), Toy::reading()).await;
    let terms = town.terms(id("bank"), &both());
    let job = shop.note(&terms, State::Approved, &town.all_signed(&terms)).await.id;
    let options = SqliteConnectOptions::new().filename(town.home(id("shop")).join("party.db"));
    let mut database = options.connect().await.unwrap();
    let mut rename = async |sql: &'static str| {
        sqlx::query(sql).execute(&mut database).await.unwrap();
    };

    // Somebody is about to make a step, and another one meets the store as it cannot be read.
    let waits = shop.core.running.of(job);
    rename("ALTER TABLE jobs RENAME TO jobs_away").await;
    let refused = shop.shell.happen(job, Event::Started).await.unwrap_err();
    assert_ne!(refused.code, codes::JOB_UNKNOWN, "{refused}");
    rename("ALTER TABLE jobs_away RENAME TO jobs").await;
    database.close().await.unwrap();
    assert!(Arc::ptr_eq(&waits, &shop.core.running.of(job)), "whoever waits has another job than who comes");

    let start = || shop.shell.happen(job, Event::Start { attempt: 1, with: both(), place: false });
    let (one, other) = tokio::join!(start(), start());
    assert_eq!((one.unwrap().attempt, other.unwrap().attempt), (1, 1));
    assert_eq!(shop.core.places.held(), 1);
    // A job that is not there is not kept in mind, either.
    let unknown = crate::store::JobId::fresh();
    assert_eq!(shop.shell.happen(unknown, Event::Started).await.unwrap_err().code, codes::JOB_UNKNOWN);
    assert!(!shop.core.running.all().contains(&unknown));
}
