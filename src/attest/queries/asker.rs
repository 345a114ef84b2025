//! The asker's half: a question is signed and kept before it is sent, and asked again with the same bytes until it is
//! answered.

use std::sync::Arc;

use bytes::Bytes;
use tacitly_attestation::commitment::{Salt, Subject, commit};
use tacitly_attestation::entry::{Body, Bucket, Id, LeafHash, QueryEntry, ServeEntry, ServeStatus, SignedEntry};
use tacitly_core::PartyId;
use zeroize::Zeroizing;

use super::super::message::{self, Answers, Asked, MAX_QUESTIONS, Questions, Served};
use super::super::outbox::Entering;
use super::super::recorder::{Recorder, entry_key, random};
use super::question::{Answer, Outcome, Question, Under, commits, committed, subject};
use crate::codes::{self, Error};
use crate::store::{Change, Changed, JobId, NewAnswer, NewQuery, PublicKey, Store, StoredAnswer, StoredQuery};

/// The longest key that a caller may ask under.
const MAX_KEY: usize = 128;

/// Questions that one look finds.
const AT_ONCE: u32 = 256;

/// Asks, in the name of one party.
pub struct Asker {
    store: Arc<Store>,
    recorder: Arc<Recorder>,
}

/// A question that may be asked, or an answer that is there.
pub enum Begin {
    /// To be sent, and [finished](Asker::finish) with what comes back.
    Ask(Box<Begun>),
    /// It was answered before, under the same key; with what was kept of it.
    Answered(Answer, Zeroizing<Vec<u8>>),
}

/// A question that is durable in our ledger, with its place in our log, and on its way into that.
pub struct Begun {
    job: JobId,
    key: String,
    responder: PartyId,
    entry: SignedEntry,
    leaf: LeafHash,
    request: Bytes,
    questions: usize,
    kept: Zeroizing<Vec<u8>>,
    entering: Entering,
}

impl Begun {
    /// What is sent to the responder, however often.
    #[must_use]
    pub fn request(&self) -> Bytes {
        self.request.clone()
    }

    /// The key that its caller chose.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Who is asked.
    #[must_use]
    pub fn responder(&self) -> PartyId {
        self.responder
    }

    /// What is kept of it to read the answers.
    #[must_use]
    pub fn kept(&self) -> &Zeroizing<Vec<u8>> {
        &self.kept
    }

    fn query(&self) -> Result<&QueryEntry, Error> {
        match self.entry.entry().body() {
            Body::Query(query) => Ok(query),
            _ => Err(Error::damaged("a question of ours is another kind of entry")),
        }
    }
}

impl Asker {
    pub(super) fn new(store: Arc<Store>, recorder: Arc<Recorder>) -> Self {
        Self { store, recorder }
    }

    /// Signs a question and puts it into the ledger, from where it goes into the log while it may already be sent. A key
    /// that was used before gives the same question, or its answer.
    ///
    /// # Errors
    /// [`codes::BAD_REQUEST`] for a question that cannot be asked; [`codes::REQUEST_KEY`] if another one was asked under
    /// this key; an error of the store, or why the log takes nothing: then nothing was asked.
    pub async fn begin(&self, under: &Under, question: Question) -> Result<Begin, Error> {
        let Question { responder, key, purpose, questions, authorisation, kept, charges } = question;
        let bad = |text: &str| Err(Error::new(codes::BAD_REQUEST, text));
        if !(1..=MAX_QUESTIONS).contains(&questions.len()) {
            return bad("a batch has 1 to 4096 questions");
        }
        if !(1..=MAX_KEY).contains(&key.len()) {
            return bad("the key of a question has 1 to 128 bytes");
        }
        let seed = Zeroizing::new(random()?);
        let authorisation_salt = authorisation.as_ref().map(|_| random().map(Zeroizing::new)).transpose()?;
        let authorised = authorisation.zip(authorisation_salt.as_ref());
        let authorised =
            authorised.map(|(document, salt)| commit(Subject::Authorisation, &Salt::new(**salt), &document));
        let query = Id(random()?);
        let body = QueryEntry {
            job: under.id(),
            agreement: under.agreement,
            query,
            commitment: committed(Subject::Query, &seed, &questions)?,
            batch: Bucket::of(questions.len() as u64),
            responder,
            authorisation: authorised,
            purpose: purpose.clone(),
        };
        let entry = self.recorder.sign_entry(self.recorder.header(Vec::new())?, body)?;
        let asked = Asked { seed, questions, authorisation_salt, kept };
        let new = NewQuery {
            job: under.job,
            request_key: key.clone(),
            id: query.to_string(),
            responder,
            entry: self.recorder.new_entry(&subject(under.job), &entry),
            asked: message::encode_asked(&asked),
            charges,
        };
        let (changed, entering) = self.recorder.put(Change::Query(Box::new(new))).await?;
        match changed {
            Changed::Done(_) => Ok(Begin::Ask(Box::new(begun(under.job, key, responder, entry, asked, entering)))),
            Changed::OverQuota(limit) => {
                let text = format!("our own limit {limit} has no room for this question");
                Err(Error::new(codes::OVER_QUOTA, text))
            }
            Changed::Before => self.known(under, &key, |known| known.same(&asked, responder, &purpose)).await,
        }
    }

    /// The question that was asked under a key before, or its answer.
    ///
    /// # Errors
    /// An error of the store or the log.
    pub async fn again(&self, under: &Under, key: &str) -> Result<Option<Begin>, Error> {
        match self.store.queries().get(under.job, key).await? {
            Some(_) => self.known(under, key, |_| true).await.map(Some),
            None => Ok(None),
        }
    }

    /// The questions under a job that were sent, or were about to be, and have no answer yet, at most so many from behind
    /// the key `after`: after a restart they are asked again with the same bytes.
    ///
    /// # Errors
    /// An error of the store or the log.
    pub async fn unanswered(&self, under: &Under, after: &str) -> Result<Vec<Begun>, Error> {
        let mut open = Vec::new();
        for key in self.store.queries().unanswered(under.job, after, AT_ONCE).await? {
            if let Begin::Ask(begun) = self.known(under, &key, |_| true).await? {
                open.push(*begun);
            }
        }
        Ok(open)
    }

    /// Takes what came back to a question. It is kept, and our own entry is in our log, when this returns.
    ///
    /// # Errors
    /// [`codes::PROTOCOL_VIOLATION`] if it is not the responder's signed word on exactly this question, with the answers
    /// that it commits to; an error of the store or the log, and then it is to be asked again.
    pub async fn finish(&self, begun: Begun, key: &PublicKey, reply: Bytes) -> Result<Answer, Error> {
        let peer = begun.responder;
        let served = message::decode_served(reply).ok_or_else(|| Error::lie(peer, "its answer cannot be read"))?;
        let outcome = self.check(&begun, key, &served)?;
        let answer =
            StoredAnswer { serve: served.entry.to_vec(), answer: message::encode_answers(served.answers.as_ref()) };
        let change = Change::Answer(NewAnswer { job: begun.job, request_key: begun.key.clone(), answer });
        let query = begun.query()?.query;
        let (kept, entered) = tokio::join!(self.recorder.put(change), begun.entering.entered());
        kept?;
        entered?;
        Ok(Answer { query, leaf: begun.leaf, outcome })
    }

    /// Checks what came back.
    fn check(&self, begun: &Begun, key: &PublicKey, served: &Served) -> Result<Outcome, Error> {
        let peer = begun.responder;
        let lie = |what: &str| Error::lie(peer, what);
        let entry = SignedEntry::parse(&served.entry).map_err(|_| lie("the entry about its answer cannot be read"))?;
        let (header, Body::Serve(serve)) = (entry.entry().header(), entry.entry().body()) else {
            return Err(lie("the entry about its answer is of another kind"));
        };
        if header.by != peer || entry.signatures().len() != 1 || !entry.is_signed_by(&entry_key(peer, key)?) {
            return Err(lie("the entry about its answer is not signed by it alone"));
        }
        let query = begun.query()?;
        let asked = (&begun.leaf, &query.job, &query.commitment, &query.batch, &query.purpose);
        let answered = (&serve.query, &serve.job, &serve.commitment, &serve.batch, &serve.purpose);
        if asked != answered || serve.asker != self.recorder.me() {
            return Err(lie("it answers another question than was asked"));
        }
        let outcome = outcome(serve, served.answers.as_ref())?;
        let right = match (&outcome, &served.answers, &serve.answer) {
            (Outcome::Answered { .. }, Some(answers), Some(commitment)) => {
                answers.answers.len() == begun.questions && commits(commitment, answers)
            }
            (Outcome::Answered { .. }, ..) => false,
            (_, answers, _) => answers.is_none(),
        };
        if right { Ok(outcome) } else { Err(lie("its answers are not those that its entry commits to")) }
    }

    /// The question that was asked under a key before, if it is the one that is `meant`.
    async fn known(&self, under: &Under, key: &str, meant: impl FnOnce(&Known) -> bool) -> Result<Begin, Error> {
        let stored = self.store.queries().get(under.job, key).await?;
        let stored = stored.ok_or_else(|| Error::damaged("a question that was put down is not there"))?;
        let StoredQuery { responder, entry: stored_entry, asked, answer, .. } = stored;
        let entry = SignedEntry::parse(&stored_entry.note).map_err(Error::damaged)?;
        let asked = message::decode_asked(&asked).ok_or_else(unreadable)?;
        let known = Known { entry, asked, responder };
        if !meant(&known) {
            return Err(Error::new(codes::REQUEST_KEY, "another question was asked under this key"));
        }
        let Known { entry, asked, .. } = known;
        let entering = self.recorder.entering(&stored_entry);
        let Some(StoredAnswer { serve, answer }) = answer else {
            let begun = begun(under.job, key.to_owned(), responder, entry, asked, entering);
            return Ok(Begin::Ask(Box::new(begun)));
        };
        entering.entered().await?;
        let (serve, answers) = (
            SignedEntry::parse(&serve).map_err(Error::damaged)?,
            message::decode_answers(&answer).ok_or_else(unreadable)?,
        );
        let (Body::Query(query), Body::Serve(serve)) = (entry.entry().body(), serve.entry().body()) else {
            return Err(unreadable());
        };
        let outcome = outcome(serve, answers.as_ref())?;
        Ok(Begin::Answered(Answer { query: query.query, leaf: entry.leaf(), outcome }, asked.kept))
    }
}

/// A question as it was asked before.
struct Known {
    entry: SignedEntry,
    asked: Asked,
    responder: PartyId,
}

impl Known {
    fn same(&self, asked: &Asked, responder: PartyId, purpose: &tacitly_attestation::entry::Code) -> bool {
        let Body::Query(query) = self.entry.entry().body() else { return false };
        self.asked.questions == asked.questions && self.responder == responder && query.purpose == *purpose
    }
}

fn begun(job: JobId, key: String, responder: PartyId, entry: SignedEntry, asked: Asked, entering: Entering) -> Begun {
    let Asked { seed, questions, kept, .. } = asked;
    let number = questions.len();
    let request = message::encode_questions(&Questions { entry: entry.encode().into(), seed, questions });
    Begun { job, key, responder, leaf: entry.leaf(), entry, request, questions: number, kept, entering }
}

/// What an entry says came of a question, with the answers that came along.
fn outcome(serve: &ServeEntry, answers: Option<&Answers>) -> Result<Outcome, Error> {
    let reason = || serve.reason.clone().ok_or_else(|| Error::internal("an entry was read without its reason"));
    Ok(match serve.status {
        ServeStatus::Served => Outcome::Answered {
            answers: answers.map(|answers| answers.answers.clone()).unwrap_or_default(),
            units: serve.units.get(),
        },
        ServeStatus::Refused => Outcome::Refused(reason()?),
        ServeStatus::Failed => Outcome::Failed(reason()?),
    })
}

fn unreadable() -> Error {
    Error::damaged("a question in the ledger cannot be read")
}
