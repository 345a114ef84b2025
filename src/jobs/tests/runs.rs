//! What a kind of job may touch of the world: randomness, words, rows of an earlier job, statements; and terms that end.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rand::Rng as _;
use sha2::{Digest as _, Sha256};
use tacitly_attestation::entry::{Body, Code, Id, Kind, StatementFields, StatementSubject, StatementValue};
use tacitly_core::{PartyId, Seed};

use super::super::collect;
use super::super::consent::{WORD_CONTEXT, said};
use super::super::ends::Ends;
use super::super::machine::{Event, Quorum};
use super::super::message::{Answer, generated as pb};
use super::super::part::Stop;
use super::super::rows::Rows;
use super::super::run::ChosenRows;
use super::super::state::State;
use super::super::terms::JobTerms;
use super::super::word::Word;
use super::office::{Office, Town, Toy, id};
use crate::codes;
use crate::datasets::NewDataset;
use crate::intake::{ColumnKind, ColumnSpec, Missing, Selection};
use crate::store::{Job, JobChange, JobResult};

fn three() -> [PartyId; 3] {
    [id("bank"), id("lender"), id("shop")]
}

fn code(text: &str) -> Code {
    Code::parse(text).unwrap()
}

/// The code with which a run is refused something.
fn refused<T>(outcome: Result<T, Stop>) -> &'static codes::Code {
    match outcome {
        Err(Stop::Failed(error)) => error.code,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was not refused"),
    }
}

#[tokio::test]
async fn two_attempts_draw_all_of_the_same_seed_and_no_byte_of_the_fresh_one() {
    let town = Town::of(&three());
    let bank = town.open(id("bank"), Toy::reading()).await;
    let terms = town.terms(id("bank"), &three().into());
    let job = bank.note(&terms, State::Running, &town.all_signed(&terms)).await;
    let [first, second] = [1, 2].map(|attempt| bank.run(&job, attempt));
    let drawn = |seed: Seed| {
        let mut bytes = vec![0; 1 << 14];
        seed.into_rng().fill_bytes(&mut bytes);
        bytes
    };
    assert_eq!(drawn(first.seed_same("masks")), drawn(second.seed_same("masks")));
    let (one, other) = (drawn(first.seed_fresh("masks")), drawn(second.seed_fresh("masks")));
    let of_one: BTreeSet<&[u8]> = one.windows(8).collect();
    assert!(other.windows(8).all(|piece| !of_one.contains(piece)), "a piece of randomness is used twice");
    assert_eq!(drawn(first.seed_fresh("masks")), one, "within an attempt a label has one seed");
}

#[tokio::test]
async fn a_barrier_may_lack_the_late_and_stands_in_the_next_attempt() {
    let town = Town::of(&three());
    let bank = town.open(id("bank"), Toy::reading()).await;
    let terms = town.terms(id("bank"), &three().into());
    let job = bank.note(&terms, State::Running, &town.all_signed(&terms)).await;
    let label = "of kind epoch 1";
    let says = async |party: PartyId| {
        let bytes = party.as_str().as_bytes().to_vec();
        let digest = Sha256::digest(&bytes).into();
        let signature = town.keys[&party].sign(WORD_CONTEXT, &said(job.id, label, &digest)).unwrap();
        let word = Some(Word { bytes: bytes.into(), signature }.write(party));
        let asked = pb::Collect { job: job.id.to_string(), attempt: 1, label: label.to_owned(), word };
        let work = bank.core.running.find(job.id).unwrap();
        collect::answer(&bank.core, &work, &job, party, &asked).await.unwrap()
    };
    let run = bank.run(&job, 1);
    let soon = Some(Duration::from_millis(50));
    let collected = run.collect("epoch 1", b"bank".to_vec(), Quorum::AtLeast(2), soon);
    let (words, lender) = tokio::join!(collected, says(id("lender")));
    let words = words.unwrap();
    let there: Vec<PartyId> = words.keys().copied().collect();
    assert_eq!(there, [id("bank"), id("lender")]);
    let heard = |answer: Answer| match answer {
        Answer::Words(words) => words.words.into_iter().map(|word| word.party).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(heard(lender), ["bank", "lender"]);
    assert_eq!(heard(says(id("shop")).await), ["bank", "lender"], "who is late hears what the others have heard");
    let again = bank.run(&job, 2).collect("epoch 1", b"bank".to_vec(), Quorum::AtLeast(2), soon).await.unwrap();
    assert_eq!(again, words);
    // Where all are needed nobody is late.
    let all = run.collect("epoch 2", b"bank".to_vec(), Quorum::All, soon);
    assert!(tokio::time::timeout(Duration::from_millis(300), all).await.is_err());
}

/// A dataset of the bank's with these amounts, in place of one that was there.
async fn amounts(town: &Town, bank: &Office, amounts: &[i64]) {
    let rows: String = amounts.iter().enumerate().map(|(row, amount)| format!("id-{row},{amount}\n")).collect();
    let path = town.folder.path().join("amounts.csv");
    std::fs::write(&path, format!("id,amount\n{rows}")).unwrap();
    let dataset = NewDataset {
        name: "amounts".into(),
        path,
        keys: vec![("id".into(), "raw".into())],
        replace: true,
        ..NewDataset::default()
    };
    bank.core.datasets.add(dataset, "operator").await.unwrap();
}

/// A job that takes the bank's amounts.
async fn job_on_amounts(town: &Town, bank: &Office) -> (JobTerms, Job) {
    let mut terms = town.terms(id("bank"), &[id("bank")].into());
    terms.parties.get_mut(&id("bank")).unwrap().dataset = Some("amounts".to_owned());
    let job = bank.note(&terms, State::Running, &town.all_signed(&terms)).await;
    (terms, job)
}

#[tokio::test]
async fn rows_that_an_earlier_job_aligned_are_spooled_in_their_order_and_read_in_twenty_epochs() {
    let town = Town::of(&[id("bank"), id("shop")]);
    let bank = town.open(id("bank"), Toy::reading()).await;
    amounts(&town, &bank, &[10, 11, 12, 13, 14, 15, 16]).await;
    let (terms, earlier) = job_on_amounts(&town, &bank).await;
    bank.agree(&terms).await;
    let order = vec![5, 0, 6, 2, 3];
    bank.core.store.secrets().put_result_part(earlier.id, 0, &Rows::InOrder(order.clone()).encode()).await.unwrap();
    let number = earlier.id.to_string();
    let (_, later) = job_on_amounts(&town, &bank).await;
    let run = bank.run(&later, 1);
    assert_eq!(refused(run.input(&number).await), codes::RESULT_NONE, "it is not over");
    let result = JobResult::Parts { parts: 1, items: 5 };
    bank.core.store.jobs().finish(earlier.id, &["running"], "done", JobChange::by("daemon"), result).await.unwrap();

    let Selection::Ordered(rows) = run.input(&number).await.unwrap() else { panic!("rows in their order") };
    assert_eq!(rows, order);
    let spec = || {
        let kind = ColumnKind::Decimal { places: 0 };
        vec![ColumnSpec { column: "amount".into(), kind, missing: Missing::Error }]
    };
    for chosen in [ChosenRows::ResultOf(number.clone()), ChosenRows::Here(Selection::Ordered(rows))] {
        let spool = run.spool(spec(), chosen, 2).await.unwrap();
        assert_eq!((spool.rows(), spool.blocks()), (5, 3));
        for _ in 0..20 {
            let epoch: Vec<i64> =
                spool.epoch().flat_map(|block| block.unwrap().columns()[0].decimals().unwrap().to_vec()).collect();
            assert_eq!(epoch, [15, 10, 16, 12, 13]);
        }
    }
    assert_eq!(refused(run.input(&later.id.to_string()).await), codes::RESULT_NONE);
    amounts(&town, &bank, &[10, 11, 12, 13, 14, 15, 17]).await;
    assert_eq!(refused(run.input(&number).await), codes::DATASET_CHANGED);
}

#[tokio::test]
async fn what_a_kind_states_is_on_record_once_and_goes_with_the_result() {
    let town = Town::of(&[id("bank"), id("shop")]);
    let bank = town.open(id("bank"), Toy::reading()).await;
    let terms = town.terms(id("bank"), &[id("bank")].into());
    let job = bank.note(&terms, State::Running, &town.all_signed(&terms)).await;
    bank.agree(&terms).await;
    let states = async |attempt: u32, answer: &str| {
        let subject = StatementSubject::Job(Id(job.id.to_bytes()));
        let fields = StatementFields::default().with(code("answer"), StatementValue::Code(code(answer)));
        bank.run(&job, attempt).state(code("question"), subject, fields).await.unwrap()
    };
    let first = states(1, "yes").await;
    assert_eq!(states(2, "yes").await, first, "the same is stated once");
    let second = states(2, "no").await;
    assert_ne!(second, first);
    bank.keep(job.id, b"the result").await;
    Ends(&bank.core).record_done(&job).await.unwrap();
    let (main, related) = Ends(&bank.core).on_record(&job.id.to_string()).await.unwrap();
    assert!(matches!(main.entry.entry().body(), Body::Result(_)));
    let stated: Vec<_> = related.iter().filter(|entry| entry.entry().kind() == Kind::Statement).collect();
    assert_eq!(stated.iter().map(|entry| entry.leaf()).collect::<Vec<_>>(), [first, second]);
}

#[tokio::test]
async fn a_job_whose_terms_are_over_begins_no_attempt_and_one_that_computes_goes_on() {
    let town = Town::of(&[id("bank"), id("shop")]);
    let bank = town.open(id("bank"), Toy::reading()).await;
    let until = |moment: SignedDuration| {
        let moment = (Timestamp::now() + moment).as_millisecond().cast_unsigned();
        JobTerms { expires: Some(moment), ..town.terms(id("bank"), &[id("bank")].into()) }
    };
    let over = until(SignedDuration::from_secs(-1));
    let job = bank.note(&over, State::Approved, &town.all_signed(&over)).await.id;
    assert_eq!(bank.shell.happen(job, Event::Started).await.unwrap().state, State::Failed);
    let ended = bank.core.store.jobs().get(job).await.unwrap();
    assert_eq!((ended.failure.unwrap().code, ended.attempt), (codes::TERMS_EXPIRED.name.to_owned(), 0));

    let soon = until(SignedDuration::from_secs(2));
    let (waits, computes) = (soon.clone(), JobTerms { job: crate::store::JobId::fresh(), ..soon });
    let [waits, computes] = [
        bank.note(&waits, State::Approved, &town.all_signed(&waits)).await.id,
        bank.note(&computes, State::Approved, &town.all_signed(&computes)).await.id,
    ];
    bank.begin(computes, id("shop")).await;
    bank.shell.happen(waits, Event::Started).await.unwrap();
    bank.reaches(waits, State::Failed).await;
    assert_eq!(bank.core.store.jobs().get(waits).await.unwrap().failure.unwrap().code, codes::TERMS_EXPIRED.name);
    assert_eq!(bank.state(computes).await, State::Running);
}
