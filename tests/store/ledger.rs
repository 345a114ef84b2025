//! Jobs: submitted once, moved on by one, ended for good.

use std::sync::Arc;

use serde_json::json;
use tacitly::store::{
    Consent, Created, Decision, EventFilter, Failure, JobChange, JobFilter, JobId, JobResult, NewJob, PartyChange,
    Sealer, SealingKey, Signer, Store, StoreError, restore,
};
use tacitly_core::Seed;
use zeroize::Zeroizing;

use crate::world::{World, a_job, a_party, new_job, party, terms};

#[tokio::test]
async fn a_submission_repeated_with_its_key_returns_the_first_job() {
    let world = World::new();
    let store = world.furnished().await;
    let request = || NewJob { request_key: Some("campaign-7".to_owned()), ..new_job() };
    let Created::New(first) = store.jobs().create(request()).await.unwrap() else { panic!() };
    let again = request();
    assert_ne!(again.id, first.id);
    assert_eq!(store.jobs().create(again).await.unwrap(), Created::Existing(first.clone()));
    assert_eq!(store.jobs().by_request_key("campaign-7").await.unwrap(), Some(first.clone()));
    assert_eq!(store.jobs().by_request_key("campaign-8").await.unwrap(), None);

    let other = NewJob { terms: terms("risk control"), ..request() };
    let refused = store.jobs().create(other).await.unwrap_err();
    assert!(matches!(refused, StoreError::RequestKeyReused { job } if job == first.id), "{refused}");
    assert_eq!(store.jobs().list(&JobFilter::default()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_proposal_repeated_with_its_id_returns_the_first_job() {
    let world = World::new();
    let store = world.furnished().await;
    let proposal = new_job();
    let first = store.jobs().create(proposal.clone()).await.unwrap().into_job();
    assert_eq!(store.jobs().create(proposal.clone()).await.unwrap(), Created::Existing(first));
    let other = NewJob { terms: terms("risk control"), ..proposal };
    assert!(matches!(store.jobs().create(other).await, Err(StoreError::AlreadyExists { what: "job", .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_submissions_that_race_with_one_key_one_makes_the_job() {
    let world = World::new();
    let store = Arc::new(world.furnished().await);
    let tries: Vec<_> = (0..8)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let request = NewJob { request_key: Some("campaign-7".to_owned()), ..new_job() };
                store.jobs().create(request).await.unwrap()
            })
        })
        .collect();
    let mut new = 0;
    let mut ids = Vec::new();
    for made in tries {
        let made = made.await.unwrap();
        new += usize::from(matches!(made, Created::New(_)));
        ids.push(made.into_job().id);
    }
    ids.dedup();
    assert_eq!((new, ids.len()), (1, 1));
}

#[tokio::test]
async fn a_job_needs_a_known_dataset() {
    let world = World::new();
    let store = world.furnished().await;
    let absent = NewJob { dataset: Some("nothing".to_owned()), ..new_job() };
    assert!(matches!(store.jobs().create(absent).await, Err(StoreError::NotFound { what: "dataset", .. })));
    assert_eq!(
        store.events().list(&EventFilter::default()).await.unwrap().len(),
        2,
        "the peer and the dataset, no more"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_changes_that_race_for_a_state_one_wins() {
    let world = World::new();
    let store = Arc::new(world.furnished().await);
    for _ in 0..20 {
        let job = a_job(&store).await.id;
        let start = Arc::new(tokio::sync::Barrier::new(2));
        let [approve, cancel] = ["approved", "cancelled"].map(|to| {
            let (store, start) = (store.clone(), start.clone());
            tokio::spawn(async move {
                start.wait().await;
                store.jobs().advance(job, &["proposed"], to, JobChange::by(to)).await
            })
        });
        let outcomes = [approve.await.unwrap(), cancel.await.unwrap()];
        let state = store.jobs().get(job).await.unwrap().state;
        let won: Vec<_> = outcomes.iter().flatten().map(|job| job.state.as_str()).collect();
        assert_eq!(won, [state.as_str()]);
        let lost = outcomes.iter().find_map(|outcome| outcome.as_ref().err()).unwrap();
        assert!(matches!(lost, StoreError::Conflict { found, .. } if *found == state), "{lost}");
        let events = store.events().list(&EventFilter { job: Some(job), ..Default::default() }).await.unwrap();
        assert_eq!(events.len(), 2, "the creation and one change, the loser left no trace");
        assert_eq!(events[1].actor, state);
    }
}

#[tokio::test]
async fn a_change_keeps_what_it_does_not_name_and_tells_the_audit_trail() {
    let world = World::new();
    let store = world.furnished().await;
    let job = a_job(&store).await;
    let signature = world.signer("shop").sign("terms", b"hash").unwrap();
    let consent = Decision::Signed(Box::new(Consent { contribution: b"a key".to_vec(), signature }));
    let signed = PartyChange { decision: Some(consent.clone()), ..PartyChange::of(party("shop")) };
    let received = PartyChange { receipt: Some(signature), ..PartyChange::of(party("bank")) };
    let shown = PartyChange { entry: Some(b"an entry about data".to_vec()), ..PartyChange::of(party("shop")) };
    let change = JobChange {
        parties: vec![signed, received, shown],
        summary: Some(json!({ "our_items": 1000, "peer_items": 500 })),
        ..JobChange::by("shop")
    };
    let approved = store.jobs().advance(job.id, &["proposed"], "approved", change).await.unwrap();
    let (bank, shop) = (approved.party(party("bank")).unwrap(), approved.party(party("shop")).unwrap());
    assert_eq!((&shop.decision, shop.receipt, shop.left_out), (&consent, None, false));
    assert_eq!((&bank.decision, bank.receipt, &bank.entry), (&Decision::Open, Some(signature), &None));
    assert_eq!(shop.entry.as_deref(), Some(&b"an entry about data"[..]));
    assert_eq!(store.jobs().get(job.id).await.unwrap(), approved);
    assert!(approved.updated_at > job.updated_at);

    let failure = Failure {
        code: "peer-lost".to_owned(),
        who: Some(party("shop")),
        stage: "exchange".to_owned(),
        text: "the link to shop did not return within 30 s".to_owned(),
    };
    let change = JobChange {
        attempt: Some(1),
        traffic: Some(json!({ "shop": { "sent": { "bytes": 7 } } })),
        failure: Some(failure.clone()),
        note: json!("during bucket 3"),
        ..JobChange::by("daemon")
    };
    let suspended = store.jobs().advance(job.id, &["approved", "running"], "suspended", change).await.unwrap();
    assert_eq!(suspended.failure, Some(failure.clone()));
    assert_eq!(store.jobs().get(job.id).await.unwrap(), suspended);

    let resumed = store.jobs().advance(job.id, &["suspended"], "running", JobChange::by("operator")).await.unwrap();
    assert_eq!((resumed.failure, resumed.attempt), (None, 1));
    assert_eq!(resumed.summary, Some(json!({ "our_items": 1000, "peer_items": 500 })));
    assert_eq!(resumed.traffic, Some(json!({ "shop": { "sent": { "bytes": 7 } } })));

    let events = store.events().list(&EventFilter { job: Some(job.id), ..Default::default() }).await.unwrap();
    let kinds: Vec<_> = events.iter().map(|event| (event.kind.as_str(), event.actor.as_str())).collect();
    let changes = [("job-state", "shop"), ("job-state", "daemon"), ("job-state", "operator")];
    assert_eq!(kinds[0], ("job-created", "operator"));
    assert_eq!(kinds[1..], changes);
    assert_eq!(events[2].detail["from"], "approved");
    assert_eq!(events[2].detail["to"], "suspended");
    assert_eq!(events[2].detail["note"], "during bucket 3");
    assert_eq!(events[2].detail["failure"]["who"], "shop");
}

#[tokio::test]
async fn a_change_that_fails_changes_nothing() {
    let world = World::new();
    let store = world.furnished().await;
    let job = a_job(&store).await;
    let seed = || Some(Seed::from_bytes([7; 32]));
    for change in [
        JobChange { parties: vec![PartyChange::of(party("stranger"))], seed: seed(), ..JobChange::by("daemon") },
        JobChange {
            checkpoint: Some((String::new(), Zeroizing::new(vec![1]))),
            seed: seed(),
            ..JobChange::by("daemon")
        },
    ] {
        store.jobs().advance(job.id, &["proposed"], "running", change).await.unwrap_err();
    }
    // The last row that is written is the one that cannot be.
    let left_out = PartyChange { left_out: true, ..PartyChange::of(party("shop")) };
    let change = JobChange { parties: vec![left_out], ..JobChange::by("daemon") };
    store.secrets().put_result_part(job.id, 0, b"rows").await.unwrap();
    let uncountable = JobResult::Parts { parts: 1, items: u64::MAX };
    store.jobs().finish(job.id, &["proposed"], "done", change, uncountable).await.unwrap_err();
    assert_eq!(store.jobs().get(job.id).await.unwrap(), job);
    assert!(store.secrets().seed(job.id).await.unwrap().is_none());
    assert_eq!(store.events().list(&EventFilter { job: Some(job.id), ..Default::default() }).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_job_has_one_seed_from_before_the_first_round_to_its_end() {
    let world = World::new();
    let store = world.furnished().await;
    let job = a_job(&store).await.id;
    let with_seed = |byte| JobChange { seed: Some(Seed::from_bytes([byte; 32])), ..JobChange::by("daemon") };
    store.jobs().advance(job, &["proposed"], "running", with_seed(7)).await.unwrap();
    let refused = store.jobs().advance(job, &["running"], "running", with_seed(8)).await.unwrap_err();
    assert!(matches!(refused, StoreError::SeedExists { .. }), "{refused}");
    assert_eq!(store.secrets().seed(job).await.unwrap().unwrap().expose(), &[7; 32]);
    store.close().await;
    let store = world.open().await;
    assert_eq!(store.secrets().seed(job).await.unwrap().unwrap().expose(), &[7; 32]);
    store.jobs().finish(job, &["running"], "done", JobChange::by("daemon"), JobResult::Nothing).await.unwrap();
    assert!(store.secrets().seed(job).await.unwrap().is_none());
}

#[tokio::test]
async fn an_ended_job_takes_no_change_no_checkpoint_and_no_result() {
    let world = World::new();
    let store = world.furnished().await;
    let job = a_job(&store).await.id;
    store.secrets().put_result_part(job, 0, b"rows").await.unwrap();
    let result = JobResult::Parts { parts: 1, items: 4 };
    let done = store.jobs().finish(job, &["proposed"], "done", JobChange::by("daemon"), result).await.unwrap();
    assert!(done.finished_at.is_some());
    let conflict = |error: StoreError| assert!(matches!(&error, StoreError::Conflict { found, .. } if found == "done"));
    conflict(store.jobs().advance(job, &["done"], "running", JobChange::by("daemon")).await.unwrap_err());
    conflict(
        store.jobs().finish(job, &["done"], "failed", JobChange::by("daemon"), JobResult::Nothing).await.unwrap_err(),
    );
    conflict(store.secrets().put_checkpoint(job, "late", b"secret").await.unwrap_err());
    conflict(store.secrets().put_result_part(job, 0, b"other rows").await.unwrap_err());
    assert_eq!(store.jobs().get(job).await.unwrap(), done);
    assert_eq!(**store.secrets().result(job).await.unwrap().unwrap(), *b"rows");
    assert!(matches!(store.jobs().get(JobId::fresh()).await, Err(StoreError::NotFound { .. })));
}

#[tokio::test]
async fn the_end_of_a_job_takes_no_seed_and_no_checkpoint() {
    let world = World::new();
    let store = world.furnished().await;
    let job = a_job(&store).await;
    let change = JobChange { seed: Some(Seed::from_bytes([7; 32])), ..JobChange::by("daemon") };
    let refused = store.jobs().finish(job.id, &["proposed"], "done", change, JobResult::Nothing).await.unwrap_err();
    assert!(matches!(refused, StoreError::Invalid { .. }), "{refused}");
    assert_eq!(store.jobs().get(job.id).await.unwrap(), job);
}

#[tokio::test]
async fn a_result_in_parts_is_released_whole_and_in_order_or_not_at_all() {
    let world = World::new();
    let store = world.furnished().await;
    let job = a_job(&store).await.id;
    for part in [11, 2, 0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 0] {
        store.secrets().put_result_part(job, part, &[part as u8; 3]).await.unwrap();
    }
    assert!(store.secrets().result(job).await.unwrap().is_none(), "nothing is released while the job runs");
    assert!(matches!(store.secrets().result_part(job, 0).await, Err(StoreError::NotFound { .. })));
    for parts in [11, 13] {
        let short = JobResult::Parts { parts, items: 36 };
        let refused =
            store.jobs().finish(job, &["proposed"], "done", JobChange::by("daemon"), short).await.unwrap_err();
        assert!(matches!(refused, StoreError::Invalid { .. }), "{refused}");
    }
    let all = JobResult::Parts { parts: 12, items: 36 };
    let done = store.jobs().finish(job, &["proposed"], "done", JobChange::by("daemon"), all).await.unwrap();
    assert_eq!(done.result_items, Some(36));
    assert_eq!(store.secrets().result_parts(job).await.unwrap(), Some(12));
    assert_eq!(**store.secrets().result_part(job, 11).await.unwrap(), [11; 3]);
    assert!(matches!(store.secrets().result_part(job, 12).await, Err(StoreError::NotFound { .. })));
    let expected: Vec<u8> = (0..12).flat_map(|part| [part; 3]).collect();
    assert_eq!(**store.secrets().result(job).await.unwrap().unwrap(), expected);
}

#[tokio::test]
async fn a_purge_erases_the_result_and_keeps_the_line() {
    let world = World::new();
    let store = world.furnished().await;
    let job = a_job(&store).await.id;
    assert!(
        matches!(store.jobs().purge(job, "operator", Vec::new()).await, Err(StoreError::Conflict { .. })),
        "not while it runs"
    );
    store.secrets().put_result_part(job, 0, b"rows").await.unwrap();
    let result = JobResult::Parts { parts: 1, items: 4 };
    store.jobs().finish(job, &["proposed"], "done", JobChange::by("daemon"), result).await.unwrap();
    let (purged, _) = store.jobs().purge(job, "operator", Vec::new()).await.unwrap();
    assert!(purged.purged_at.is_some());
    assert_eq!((purged.state.as_str(), purged.result_items), ("done", Some(4)));
    assert!(store.secrets().result(job).await.unwrap().is_none());
    assert_eq!(store.jobs().get(job).await.unwrap(), purged);
    let events = store.events().list(&EventFilter { job: Some(job), ..Default::default() }).await.unwrap();
    assert_eq!(events.last().unwrap().kind, "job-purged");
    assert_eq!(events.len(), 3);
}

#[tokio::test]
async fn lists_are_filtered_paged_and_newest_first() {
    let world = World::new();
    let store = world.furnished().await;
    let mut ids: Vec<JobId> = Vec::new();
    for at in 0..6 {
        let parties = ["bank", if at % 2 == 0 { "shop" } else { "lender" }].map(a_party).to_vec();
        let dataset = (at < 4).then(|| "customers".to_owned());
        ids.push(store.jobs().create(NewJob { parties, dataset, ..new_job() }).await.unwrap().into_job().id);
        // Names made within one millisecond are in no particular order.
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    store.jobs().finish(ids[0], &["proposed"], "refused", JobChange::by("policy"), JobResult::Nothing).await.unwrap();
    let listed = async |filter: JobFilter| -> Vec<usize> {
        let jobs = store.jobs().list(&filter).await.unwrap();
        jobs.iter().map(|job| ids.iter().position(|id| *id == job.id).unwrap()).collect()
    };
    assert_eq!(listed(JobFilter::default()).await, [5, 4, 3, 2, 1, 0]);
    assert_eq!(listed(JobFilter { peer: Some(party("lender")), ..Default::default() }).await, [5, 3, 1]);
    assert_eq!(listed(JobFilter { state: Some("refused".to_owned()), ..Default::default() }).await, [0]);
    assert_eq!(listed(JobFilter { dataset: Some("customers".to_owned()), ..Default::default() }).await, [3, 2, 1, 0]);
    assert_eq!(listed(JobFilter { before: Some(ids[3]), limit: Some(2), ..Default::default() }).await, [2, 1]);
    let open: Vec<_> = store.jobs().unfinished().await.unwrap().iter().map(|job| job.id).collect();
    assert_eq!(open, ids[1..]);
}

/// Compiles only if what the daemon spawns may move between threads.
#[allow(dead_code)]
fn every_operation_can_be_spawned(store: &Store, job: JobId, new: NewJob, sealer: Sealer) {
    fn spawnable(_: impl Future + Send) {}
    spawnable(Store::open(std::path::Path::new("a"), Sealer::new(SealingKey::from_bytes([0; 32]))));
    spawnable(store.jobs().create(new));
    spawnable(store.jobs().advance(job, &["a"], "b", JobChange::by("c")));
    spawnable(store.jobs().finish(job, &["a"], "b", JobChange::by("c"), JobResult::Nothing));
    spawnable(store.secrets().put_checkpoint(job, "a", b"b"));
    spawnable(store.secrets().result(job));
    spawnable(store.rekey(sealer, "a"));
    spawnable(store.backup(std::path::Path::new("a")));
    spawnable(restore(std::path::Path::new("a"), std::path::Path::new("b"), "c"));
}
