//! Two parties with real stores and logs ask and answer, honestly and otherwise.

mod crash;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use tacitly_attestation::entry::{Bucket, Code, Kind, Origin, QueryEntry, ServeStatus};
use tacitly_attestation::hash::Hash;
use tacitly_attestation::note::KeyUse;
use tacitly_core::PartyId;
use tempfile::TempDir;

use super::*;
use crate::attest::message::{self, Questions, Served};
use crate::chain::{Log, NoteKey};
use crate::store::{Charge, FileSigner, JobId, NoteSigner, PublicKey, Sealer, SealingKey, Signer};

/// The world's clock beside the system's, in milliseconds.
type Shift = Arc<AtomicI64>;

/// One party, open.
pub(in crate::attest) struct Party {
    pub(in crate::attest) store: Arc<Store>,
    pub(in crate::attest) log: Log,
    pub(in crate::attest) recorder: Arc<Recorder>,
    pub(in crate::attest) queries: Queries,
    signer: Arc<dyn Signer>,
}

impl Party {
    /// The party whose files stand in `folder`, as its daemon opens it.
    pub(in crate::attest) async fn open(folder: &Path, name: &str) -> Self {
        Self::open_at(folder, name, Shift::default()).await
    }

    async fn open_at(folder: &Path, name: &str, shift: Shift) -> Self {
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let key = folder.join("identity.key");
        let signer = if key.exists() { FileSigner::load(&key) } else { FileSigner::create(&key) };
        let signer: Arc<dyn Signer> = Arc::new(signer.unwrap());
        let clock = Arc::new(move || Timestamp::now() + SignedDuration::from_millis(shift.load(Ordering::SeqCst)));
        let sealer = Sealer::new(SealingKey::from_bytes([1; 32]));
        let store = Arc::new(Store::open_with_clock(&folder.join("party.db"), sealer, clock).await.unwrap());
        let origin = format!("tacitly/{name}");
        let public = *signer.public_key().as_bytes();
        let key = NoteKey::new(&origin, KeyUse::Text, &public, NoteSigner(signer.clone())).unwrap();
        let log = Log::open(&folder.join("log"), key).unwrap();
        let recorder = Arc::new(Recorder::new(party(name), signer.clone(), store.clone(), log.clone()));
        recorder.repair().await.unwrap();
        let queries = Queries::new(store.clone(), recorder.clone());
        Self { store, log, recorder, queries, signer }
    }

    pub(in crate::attest) fn key(&self) -> PublicKey {
        self.signer.public_key()
    }

    /// The entries of this kind in the log.
    pub(in crate::attest) fn logged(&self, kind: Kind) -> Vec<SignedEntry> {
        let entries =
            (0..self.log.head().size).map(|index| SignedEntry::parse(&self.log.entry(index).unwrap()).unwrap());
        entries.filter(|entry| entry.entry().kind() == kind).collect()
    }
}

/// The bank asks the shop.
pub(in crate::attest) struct Pair {
    pub(in crate::attest) folder: PathBuf,
    pub(in crate::attest) bank: Party,
    pub(in crate::attest) shop: Party,
    _folder: Option<TempDir>,
}

impl Pair {
    async fn new() -> Self {
        Self::new_at(Shift::default()).await
    }

    /// The shop's clock is shifted.
    async fn new_at(shift: Shift) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (bank, shop) =
            (Party::open(folder.path(), "bank").await, Party::open_at(folder.path(), "shop", shift).await);
        Self { folder: folder.path().to_owned(), bank, shop, _folder: Some(folder) }
    }

    pub(in crate::attest) async fn open(folder: &Path) -> Self {
        let (bank, shop) = (Party::open(folder, "bank").await, Party::open(folder, "shop").await);
        Self { folder: folder.to_owned(), bank, shop, _folder: None }
    }

    async fn ask(&self, question: Question) -> Box<Begun> {
        match self.bank.queries.asker.begin(&under(), question).await.unwrap() {
            Begin::Ask(begun) => begun,
            Begin::Answered(answer, _) => panic!("{answer:?}"),
        }
    }

    async fn hear(&self, request: Bytes) -> Result<Checked, Error> {
        self.shop.queries.responder.check(party("bank"), &self.bank.key(), &under(), request).await
    }

    /// What the shop releases for a question that it decides so.
    async fn decide(&self, request: Bytes, decision: Decision) -> Bytes {
        match self.hear(request).await.unwrap() {
            Checked::New(checked) => self.shop.queries.responder.serve(*checked, decision).await.unwrap().reply,
            Checked::Decided(served) => served,
        }
    }

    pub(in crate::attest) async fn finish(&self, begun: Begun, served: Bytes) -> Result<Answer, Error> {
        self.bank.queries.asker.finish(begun, &self.shop.key(), served).await
    }
}

pub(in crate::attest) fn party(name: &str) -> PartyId {
    name.parse().unwrap()
}

pub(in crate::attest) fn under() -> Under {
    Under {
        job: JobId::from_bytes([7; 16]),
        agreement: LeafHash(Hash::of(b"agreement")),
        unit: Code::parse("answer").unwrap(),
    }
}

pub(in crate::attest) fn question(key: &str, questions: &[&str]) -> Question {
    Question {
        responder: party("shop"),
        key: key.to_owned(),
        purpose: Code::parse("credit-review").unwrap(),
        questions: questions.iter().map(|question| Bytes::copy_from_slice(question.as_bytes())).collect(),
        authorisation: None,
        kept: Vec::new().into(),
        charges: Vec::new(),
    }
}

/// So many questions may be answered.
pub(in crate::attest) fn budget(most: u32) -> Charge {
    Charge { limit: "questions".to_owned(), key: [3; 32], units: 1, most, window: None }
}

fn answer(answers: &[&str], charges: Vec<Charge>) -> Decision {
    let answers = answers.iter().map(|answer| Bytes::copy_from_slice(answer.as_bytes())).collect();
    Decision::Answer { answers, units: 1, charges }
}

fn answered(answers: &[&str]) -> Outcome {
    Outcome::Answered {
        answers: answers.iter().map(|answer| Bytes::copy_from_slice(answer.as_bytes())).collect(),
        units: 1,
    }
}

#[tokio::test]
async fn a_question_and_its_answer_are_on_record_on_both_sides_when_the_answer_is_released() {
    let pair = Pair::new().await;
    let begun = pair.ask(question("k", &["who?"])).await;
    let served = pair.decide(begun.request(), answer(&["me"], vec![budget(9)])).await;
    let serves = pair.shop.logged(Kind::Serve);
    let said = pair.finish(*begun, served).await.unwrap();
    assert_eq!(said.outcome, answered(&["me"]));
    let queries = pair.bank.logged(Kind::Query);
    assert_eq!((queries.len(), serves.len()), (1, 1));
    let Body::Serve(serve) = serves[0].entry().body() else { panic!() };
    assert_eq!((serve.query, serve.status, serve.units.get()), (queries[0].leaf(), ServeStatus::Served, 1));
    assert_eq!((said.leaf, pair.shop.store.charges().used(&budget(9)).await.unwrap()), (queries[0].leaf(), 1));
    // Either side has what a certificate of it holds.
    let (main, related) = pair.bank.queries.on_record(&said.query.to_string()).await.unwrap();
    assert_eq!((main.entry.leaf(), related[0].leaf()), (queries[0].leaf(), serves[0].leaf()));
    let (main, related) = pair.shop.queries.on_record(&said.query.to_string()).await.unwrap();
    assert_eq!((main.entry.leaf(), related[0].leaf()), (serves[0].leaf(), queries[0].leaf()));
    let none = pair.shop.queries.on_record("00").await.unwrap_err();
    assert_eq!(none.code, codes::EVIDENCE_NONE);
}

#[tokio::test]
async fn a_key_is_one_question_with_one_entry_and_one_answer_for_ever() {
    let pair = Pair::new().await;
    let first = pair.ask(question("k", &["who?"])).await;
    let again = pair.ask(question("k", &["who?"])).await;
    assert_eq!(first.request(), again.request(), "the same bytes are sent");
    let open = pair.bank.queries.asker.unanswered(&under(), "").await.unwrap();
    assert_eq!(open.iter().map(Begun::request).collect::<Vec<_>>(), [first.request()]);
    for other in [question("k", &["where?"]), question("k", &["who?", "who?"])] {
        let refused = pair.bank.queries.asker.begin(&under(), other).await.err().unwrap();
        assert_eq!(refused.code, codes::REQUEST_KEY);
    }
    let mut for_another_purpose = question("k", &["who?"]);
    for_another_purpose.purpose = Code::parse("marketing").unwrap();
    let refused = pair.bank.queries.asker.begin(&under(), for_another_purpose).await.err().unwrap();
    assert_eq!(refused.code, codes::REQUEST_KEY);
    let served = pair.decide(again.request(), answer(&["me"], vec![budget(9)])).await;
    let said = pair.finish(*again, served.clone()).await.unwrap();
    let Begin::Answered(repeated, _) = pair.bank.queries.asker.begin(&under(), question("k", &["who?"])).await.unwrap()
    else {
        panic!("the answer is there")
    };
    assert_eq!(repeated, said);
    // Another computation of the same answer changes nothing.
    assert_eq!(pair.decide(first.request(), answer(&["you"], vec![budget(9)])).await, served);
    assert_eq!(pair.finish(*first, served).await.unwrap(), said);
    assert_eq!((pair.bank.logged(Kind::Query).len(), pair.shop.logged(Kind::Serve).len()), (1, 1));
    assert_eq!(pair.shop.store.charges().used(&budget(9)).await.unwrap(), 1);
    assert!(pair.bank.queries.asker.unanswered(&under(), "").await.unwrap().is_empty());
}

#[tokio::test]
async fn of_two_who_decide_one_question_at_once_the_first_has_decided_it() {
    let pair = Pair::new().await;
    let begun = pair.ask(question("k", &["who?"])).await;
    let (a, b) = tokio::join!(pair.hear(begun.request()), pair.hear(begun.request()));
    let (Checked::New(a), Checked::New(b)) = (a.unwrap(), b.unwrap()) else { panic!("neither is decided") };
    let responder = &pair.shop.queries.responder;
    let (a, b) = tokio::join!(
        responder.serve(*a, answer(&["a"], vec![budget(9)])),
        responder.serve(*b, answer(&["b"], vec![budget(9)]))
    );
    assert_eq!(a.unwrap().reply, b.unwrap().reply);
    assert_eq!(
        (pair.shop.logged(Kind::Serve).len(), pair.shop.store.charges().used(&budget(9)).await.unwrap()),
        (1, 1)
    );
}

#[tokio::test]
async fn a_batch_is_one_entry_on_either_side() {
    let pair = Pair::new().await;
    let many: Vec<String> = (0..100).map(|at| format!("question {at}")).collect();
    let texts: Vec<&str> = many.iter().map(String::as_str).collect();
    let begun = pair.ask(question("k", &texts)).await;
    let Checked::New(checked) = pair.hear(begun.request()).await.unwrap() else { panic!() };
    assert_eq!(checked.questions().len(), 100);
    let few = pair.shop.queries.responder.serve(*checked, answer(&["one"], vec![])).await.err().unwrap();
    assert_eq!(few.code, codes::INTERNAL, "a service of ours that does not answer every question");
    let served = pair.decide(begun.request(), answer(&texts, vec![])).await;
    assert_eq!(pair.finish(*begun, served).await.unwrap().outcome, answered(&texts));
    let (queries, serves) = (pair.bank.logged(Kind::Query), pair.shop.logged(Kind::Serve));
    let Body::Query(query) = queries[0].entry().body() else { panic!() };
    assert_eq!((queries.len(), serves.len(), query.batch), (1, 1, Bucket::of(100)));
}

#[tokio::test]
async fn over_its_budget_a_question_is_refused_on_record_and_nothing_is_charged() {
    let pair = Pair::new().await;
    let other = |most| Charge { limit: "bits".to_owned(), units: 3, ..budget(most) };
    let refused = Outcome::Refused(Code::parse(OVER_QUOTA).unwrap());
    let begun = pair.ask(question("none", &["who?"])).await;
    let served = pair.decide(begun.request(), answer(&["me"], vec![budget(9), other(2)])).await;
    assert_eq!(pair.finish(*begun, served.clone()).await.unwrap().outcome, refused);
    assert_eq!(pair.shop.store.charges().used(&budget(9)).await.unwrap(), 0, "all charges or none");
    let begun = pair.ask(question("some", &["who?"])).await;
    assert_ne!(pair.decide(begun.request(), answer(&["me"], vec![other(5)])).await, served);
    // Many at once share what is left.
    let pair = &pair;
    let asked = (0..20).map(|at| async move {
        let begun = pair.ask(question(&format!("{at}"), &["who?"])).await;
        let served = pair.decide(begun.request(), answer(&["me"], vec![budget(5)])).await;
        pair.finish(*begun, served).await.unwrap().outcome
    });
    let outcomes = at_once(asked.collect()).await;
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == answered(&["me"])).count(), 5);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == refused).count(), 15);
    assert_eq!(pair.shop.store.charges().used(&budget(5)).await.unwrap(), 5);
    assert_eq!(pair.shop.logged(Kind::Serve).len(), 22, "what was refused is on record, too");
}

/// All of these, at once.
async fn at_once<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut results = Vec::new();
    let mut pinned: Vec<_> = futures.into_iter().map(Box::pin).collect();
    std::future::poll_fn(|context| {
        pinned.retain_mut(|future| match future.as_mut().poll(context) {
            std::task::Poll::Ready(result) => {
                results.push(result);
                false
            }
            std::task::Poll::Pending => true,
        });
        if pinned.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    results
}

#[tokio::test]
async fn a_budget_of_a_window_is_whole_again_in_the_next_one() {
    let shift = Shift::default();
    let pair = Pair::new_at(shift.clone()).await;
    let window = 60_000;
    let once = || Charge { window: Some(window), ..budget(1) };
    let mut outcomes = Vec::new();
    for (key, shifted) in [("a", 0), ("b", 60_000), ("c", 60_000), ("d", 120_000)] {
        // From the beginning of a window on, so that no other one begins meanwhile.
        let into = Timestamp::now().as_millisecond() % i64::try_from(window).unwrap();
        shift.store(shifted - into, Ordering::SeqCst);
        let begun = pair.ask(question(key, &["who?"])).await;
        let served = pair.decide(begun.request(), answer(&["me"], vec![once()])).await;
        outcomes.push(matches!(pair.finish(*begun, served).await.unwrap().outcome, Outcome::Answered { .. }));
    }
    assert_eq!(outcomes, [true, true, false, true]);
    assert_eq!(pair.shop.store.charges().used(&once()).await.unwrap(), 1);
}

#[tokio::test]
async fn a_question_from_another_time_is_refused_on_record_unless_it_was_answered_before() {
    let shift = Shift::default();
    let pair = Pair::new_at(shift.clone()).await;
    let old = pair.ask(question("answered", &["who?"])).await;
    let served = pair.decide(old.request(), answer(&["me"], vec![])).await;
    let late = pair.ask(question("late", &["who?"])).await;
    let skew = i64::try_from(SKEW.as_millis()).unwrap();
    for shifted in [skew + 5_000, -skew - 5_000] {
        shift.store(shifted, Ordering::SeqCst);
        assert_eq!(pair.decide(old.request(), answer(&["you"], vec![])).await, served, "from the record");
        let Checked::Decided(refused) = pair.hear(late.request()).await.unwrap() else { panic!("it is stale") };
        let said = message::decode_served(refused).unwrap();
        let entry = SignedEntry::parse(&said.entry).unwrap();
        let Body::Serve(serve) = entry.entry().body() else { panic!() };
        assert_eq!((serve.status, serve.reason.as_ref().unwrap().as_str()), (ServeStatus::Refused, STALE));
    }
    assert_eq!(pair.shop.logged(Kind::Serve).len(), 2);
}

/// The question in a request with another entry, signed by these.
fn forged(pair: &Pair, begun: &Begun, by: &[&str], change: impl FnOnce(&mut QueryEntry)) -> Bytes {
    let mut request = message::decode_questions(begun.request()).unwrap();
    let entry = SignedEntry::parse(&request.entry).unwrap();
    let Body::Query(query) = entry.entry().body() else { panic!() };
    let mut query = query.clone();
    change(&mut query);
    let recorder = |name: &str| if name == "bank" { &pair.bank.recorder } else { &pair.shop.recorder };
    let mut header = entry.entry().header().clone();
    header.log = Origin::parse("tacitly/bank").unwrap();
    header.by = party(by[0]);
    let entry = tacitly_attestation::entry::Entry::new(header, query).unwrap();
    let signed = by.iter().fold(SignedEntry::new(entry), |note, name| recorder(name).sign_note(note).unwrap());
    request.entry = signed.encode().into();
    message::encode_questions(&request)
}

#[tokio::test]
async fn a_question_that_is_not_what_it_says_names_its_asker_and_leaves_nothing_on_record() {
    let pair = Pair::new().await;
    let begun = pair.ask(question("k", &["who?", "where?"])).await;
    let mut cases = vec![
        ("cannot be read", Bytes::from_static(&[0xff; 40])),
        ("put to another party", forged(&pair, &begun, &["bank"], |query| query.responder = party("other"))),
        ("another job", forged(&pair, &begun, &["bank"], |query| query.job.0[0] ^= 1)),
        ("another job", forged(&pair, &begun, &["bank"], |query| query.agreement = LeafHash(Hash([9; 32])))),
        ("commits to", forged(&pair, &begun, &["bank"], |query| query.batch = Bucket::of(100))),
        ("signed by it alone", forged(&pair, &begun, &["bank", "shop"], |_| {})),
    ];
    let request = message::decode_questions(begun.request()).unwrap();
    let with = |change: &dyn Fn(&mut Questions)| {
        let mut changed = request.clone();
        change(&mut changed);
        message::encode_questions(&changed)
    };
    cases.push(("commits to", with(&|changed| changed.seed[0] ^= 1)));
    cases.push(("commits to", with(&|changed| changed.questions[1] = Bytes::from_static(b"when?"))));
    cases.push(("commits to", with(&|changed| changed.questions.swap(0, 1))));
    cases.push(("commits to", with(&|changed| drop(changed.questions.pop()))));
    cases.push(("entry about its question cannot be read", with(&|changed| changed.entry = Bytes::from_static(b"x"))));
    let serve = pair.decide(begun.request(), answer(&["me", "here"], vec![])).await;
    let serve = message::decode_served(serve).unwrap().entry;
    cases.push(("of another kind", with(&|changed| changed.entry = serve.clone())));
    let logged = pair.shop.log.head().size;
    for (why, bytes) in cases {
        let refused = pair.hear(bytes).await.err().unwrap_or_else(|| panic!("{why}"));
        assert_eq!((refused.code, refused.who), (codes::PROTOCOL_VIOLATION, Some(party("bank"))), "{refused}");
        assert!(refused.text.contains(why), "{why}: {refused}");
        assert!(!refused.text.contains("when?") && !refused.text.contains("who?"), "{refused}");
    }
    // Another peer that puts the bank's question, or a peer of another key.
    let responder = &pair.shop.queries.responder;
    for (from, key) in [("other", pair.bank.key()), ("bank", pair.shop.key())] {
        let refused = responder.check(party(from), &key, &under(), begun.request()).await.err().unwrap();
        assert_eq!((refused.code, refused.who), (codes::PROTOCOL_VIOLATION, Some(party(from))));
    }
    assert_eq!(pair.shop.log.head().size, logged);
}

#[tokio::test]
async fn an_answer_that_is_not_the_responders_word_on_the_question_is_not_released() {
    let pair = Pair::new().await;
    let other = pair.ask(question("other", &["where?"])).await;
    let to_other = pair.decide(other.request(), answer(&["here"], vec![])).await;
    let begun = pair.ask(question("k", &["who?"])).await;
    let served = pair.decide(begun.request(), answer(&["me"], vec![])).await;
    let good = message::decode_served(served.clone()).unwrap();
    let with = |change: &dyn Fn(&mut Served)| {
        let mut changed = good.clone();
        change(&mut changed);
        message::encode_served(&changed)
    };
    let by_both = pair.bank.recorder.sign_note(SignedEntry::parse(&good.entry).unwrap()).unwrap().encode();
    let cases = [
        ("cannot be read", Bytes::from_static(&[0xff; 9])),
        ("another question", to_other),
        ("commits to", with(&|changed| changed.answers.as_mut().unwrap().answers[0] = Bytes::from_static(b"you"))),
        ("commits to", with(&|changed| changed.answers.as_mut().unwrap().seed[0] ^= 1)),
        ("commits to", with(&|changed| changed.answers.as_mut().unwrap().answers.push(Bytes::from_static(b"me")))),
        ("commits to", with(&|changed| changed.answers = None)),
        ("signed by it alone", with(&|changed| changed.entry = by_both.clone().into())),
        (
            "of another kind",
            with(&|changed| {
                changed.entry = message::decode_questions(begun.request()).unwrap().entry;
            }),
        ),
    ];
    for (why, bytes) in cases {
        let again = pair.ask(question("k", &["who?"])).await;
        let refused = pair.finish(*again, bytes).await.unwrap_err();
        assert_eq!((refused.code, refused.who), (codes::PROTOCOL_VIOLATION, Some(party("shop"))), "{refused}");
        assert!(refused.text.contains(why), "{why}: {refused}");
        assert!(!refused.text.contains("me\""), "{refused}");
    }
    assert_eq!(pair.finish(*begun, served).await.unwrap().outcome, answered(&["me"]), "the true one still counts");
}

#[tokio::test]
async fn what_was_asked_and_answered_is_sealed_and_a_new_key_seals_it_anew() {
    let pair = Pair::new().await;
    let (secret, told) = ("13800138000 of question", "the answer is 42");
    let begun = pair.ask(question("k", &[secret])).await;
    let served = pair.decide(begun.request(), answer(&[told], vec![])).await;
    pair.finish(*begun, served.clone()).await.unwrap();
    for store in [&pair.bank.store, &pair.shop.store] {
        store.rekey(Sealer::new(SealingKey::from_bytes([2; 32])), "operator").await.unwrap();
    }
    let begun = pair.bank.queries.asker.begin(&under(), question("k", &[secret])).await.unwrap();
    assert!(matches!(begun, Begin::Answered(answer, _) if answer.outcome == answered(&[told])));
    let request = message::encode_questions(&Questions {
        entry: pair.bank.logged(Kind::Query)[0].encode().into(),
        ..message::decode_questions(request_of(&pair, secret).await).unwrap()
    });
    assert_eq!(pair.decide(request, answer(&["other"], vec![])).await, served);
    for file in walk(&pair.folder) {
        let bytes = std::fs::read(&file).unwrap();
        for value in [secret, told] {
            let found = memchr::memmem::find(&bytes, value.as_bytes());
            assert_eq!(found, None, "{} holds what was said", file.display());
        }
    }
}

/// What was sent for the question under the key `k`, from the ledger.
async fn request_of(pair: &Pair, secret: &str) -> Bytes {
    let stored = pair.bank.store.queries().get(under().job, "k").await.unwrap().unwrap();
    let asked = message::decode_asked(&stored.asked).unwrap();
    assert_eq!(asked.questions, [Bytes::copy_from_slice(secret.as_bytes())]);
    let entry = stored.entry.note.into();
    message::encode_questions(&Questions { entry, seed: asked.seed, questions: asked.questions })
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let items = std::fs::read_dir(folder).unwrap().map(|item| item.unwrap().path());
    items.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}
