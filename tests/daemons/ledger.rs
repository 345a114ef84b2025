//! A ledger that has grown: its lists come whole, however many parties its jobs have.

use std::collections::BTreeMap;

use tacitly::core::{PartyId, Terms};
use tacitly::jobs::{JobTerms, MAX_PARTIES, PartyTerms};
use tacitly::store::{
    Decision, Failure, FileSigner, JobId, JobParty, NewJob, PublicKey, Sealer, SealingKey, Signer as _, Store,
};
use tacitly::test_bed::Party;

use crate::support::setup;

/// More jobs of so many parties than one message of the control API holds, with or without their terms.
const JOBS: usize = 300;

/// A job of as many parties as there may be, refused as it came.
fn refused(key: PublicKey) -> NewJob {
    let names = (1..MAX_PARTIES).map(|number| format!("institution-{number:03}")).chain(["bank".to_owned()]);
    let names: Vec<PartyId> = names.map(|name| name.parse().unwrap()).collect();
    let party = |name: &PartyId| {
        let (role, dataset) = ("contributor".to_owned(), Some("customers-of-the-year".to_owned()));
        (*name, PartyTerms { role, key, dataset, receives: true })
    };
    let (job, leader) = (JobId::fresh(), "institution-001".parse().unwrap());
    let parties: BTreeMap<PartyId, PartyTerms> = names.iter().map(party).collect();
    let kind = "intersect".to_owned();
    let params = Terms::new();
    let terms = JobTerms {
        job,
        kind: kind.clone(),
        leader,
        parties,
        params,
        purpose: "pilot".to_owned(),
        nonce: [1; 16],
        expires: None,
    };
    let party = |party: &PartyId| JobParty {
        party: *party,
        dataset: Some("customers-of-the-year".to_owned()),
        receives: true,
        decision: Decision::Open,
        left_out: false,
        receipt: None,
        entry: None,
    };
    NewJob {
        id: job,
        kind,
        leader,
        parties: names.iter().map(party).collect(),
        dataset: None,
        state: "refused".to_owned(),
        terms: terms.to_terms(),
        failure: Some(Failure {
            code: "refused-no-rule".to_owned(),
            who: None,
            stage: String::new(),
            text: "there is no rule".to_owned(),
        }),
        request_key: None,
        by: "institution-001".to_owned(),
    }
}

#[test]
fn three_hundred_jobs_of_128_parties_are_listed_whole_and_without_their_terms() {
    let folder = tempfile::tempdir().unwrap();
    let mut bank = Party::start(folder.path(), "bank", setup()).unwrap();
    bank.stop();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let made: Vec<String> = runtime.block_on(async {
        let key = SealingKey::read_file(&bank.home.join("party.key")).unwrap();
        let store = Store::open(&bank.home.join("tacitly.db"), Sealer::new(key)).await.unwrap();
        let signer = FileSigner::create(&folder.path().join("spare.pem")).unwrap();
        let mut ids = Vec::new();
        for _ in 0..JOBS {
            ids.push(store.jobs().create(refused(signer.public_key())).await.unwrap().into_job().id.to_string());
        }
        store.close().await;
        ids
    });
    bank.serve().unwrap();
    let mut ids = made.clone();
    ids.sort();

    let listed = bank.tacitly(&["job", "list"]).unwrap();
    let listed: Vec<&str> = listed.as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap()).collect();
    assert_eq!(listed, ids);
    let some = bank.tacitly(&["job", "list", "--limit", "120", "--before", &ids[250]]).unwrap();
    let some = some.as_array().unwrap();
    assert_eq!(
        (some.len(), some[0]["id"].as_str(), some[119]["id"].as_str()),
        (120, Some(&*ids[130]), Some(&*ids[249]))
    );
    assert_eq!((&some[0]["terms"], some[0]["parties"].as_array().unwrap().len()), (&"".into(), MAX_PARTIES));
    let shown = bank.tacitly(&["job", "show", &ids[0]]).unwrap();
    assert_eq!(shown["terms"]["parties"].as_object().unwrap().len(), MAX_PARTIES);

    let events = bank.tacitly(&["events"]).unwrap();
    let created = events.as_array().unwrap().iter().filter(|event| event["kind"] == "job-created");
    let created: Vec<&str> = created.map(|event| event["job"].as_str().unwrap()).collect();
    assert_eq!(created, made);
}
