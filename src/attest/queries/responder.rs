//! The responder's half: a question is checked, answered once, and whatever asks again gets the same bytes.

use std::sync::Arc;

use bytes::Bytes;
use tacitly_attestation::commitment::Subject;
use tacitly_attestation::entry::{
    Body, Bucket, Code, Count, LeafHash, QueryEntry, ServeEntry, ServeStatus, SignedEntry,
};
use tacitly_core::PartyId;
use zeroize::Zeroizing;

use super::super::message::{self, Answers, Questions, Served};
use super::super::recorder::{Recorder, entry_key, random, unfit};
use super::question::{Decision, OVER_QUOTA, SKEW, STALE, Under, code, committed, subject};
use crate::codes::Error;
use crate::store::{Change, Changed, NewServe, PublicKey, Store, StoredServe};

/// Answers, in the name of one party.
pub struct Responder {
    store: Arc<Store>,
    recorder: Arc<Recorder>,
}

/// What is to be done about a question.
pub enum Checked {
    /// It is to be answered.
    New(Box<CheckedQuery>),
    /// It was decided before, or has been now: these bytes are released.
    Decided(Bytes),
}

/// A question that is what it says, and was not decided before.
pub struct CheckedQuery {
    from: PartyId,
    under: Under,
    note: Bytes,
    leaf: LeafHash,
    query: QueryEntry,
    questions: Vec<Bytes>,
}

/// A question that is decided.
pub struct Released {
    /// What is released.
    pub reply: Bytes,
    /// Whether it has answers; otherwise it says why there are none.
    pub answered: bool,
}

impl CheckedQuery {
    /// The questions.
    #[must_use]
    pub fn questions(&self) -> &[Bytes] {
        &self.questions
    }

    /// For which purpose they are asked.
    #[must_use]
    pub fn purpose(&self) -> &Code {
        &self.query.purpose
    }

    /// Whether the asker has committed to an authorisation.
    #[must_use]
    pub fn is_authorised(&self) -> bool {
        self.query.authorisation.is_some()
    }
}

impl Responder {
    pub(super) fn new(store: Arc<Store>, recorder: Arc<Recorder>) -> Self {
        Self { store, recorder }
    }

    /// Checks a question of a party whose key is pinned: signed by it alone, put to us under this job and agreement,
    /// committing to exactly these bytes, in time. One that was decided before is answered from the record.
    ///
    /// # Errors
    /// [`PROTOCOL_VIOLATION`](crate::codes::PROTOCOL_VIOLATION) naming the asker; an error of the store or the log.
    pub async fn check(&self, from: PartyId, key: &PublicKey, under: &Under, request: Bytes) -> Result<Checked, Error> {
        let lie = |what: &str| Error::lie(from, what);
        let Questions { entry: note, seed, questions } =
            message::decode_questions(request).ok_or_else(|| lie("its question cannot be read"))?;
        let entry = SignedEntry::parse(&note).map_err(|_| lie("the entry about its question cannot be read"))?;
        let (header, Body::Query(query)) = (entry.entry().header(), entry.entry().body()) else {
            return Err(lie("the entry about its question is of another kind"));
        };
        if header.by != from || entry.signatures().len() != 1 || !entry.is_signed_by(&entry_key(from, key)?) {
            return Err(lie("the entry about its question is not signed by it alone"));
        }
        if query.responder != self.recorder.me() {
            return Err(lie("its question is put to another party"));
        }
        if (query.job, query.agreement) != (under.id(), under.agreement) {
            return Err(lie("its question belongs to another job"));
        }
        let opens = committed(Subject::Query, &seed, &questions)? == query.commitment;
        if !opens || query.batch != Bucket::of(questions.len() as u64) {
            return Err(lie("its question is not the one that its entry commits to"));
        }
        let leaf = entry.leaf();
        if let Some(stored) = self.store.serves().get(&leaf.0.0).await? {
            return Ok(Checked::Decided(self.repeat(stored).await?.reply));
        }
        let (asked, query) = (header.t.get(), query.clone());
        let checked = CheckedQuery { from, under: under.clone(), note, leaf, query, questions };
        let now = u64::try_from(self.store.now().as_millisecond()).unwrap_or_default();
        if u128::from(now.abs_diff(asked)) > SKEW.as_millis() {
            return Ok(Checked::Decided(self.serve(checked, Decision::Refuse(code(STALE)?)).await?.reply));
        }
        Ok(Checked::New(Box::new(checked)))
    }

    /// Decides a question. The bytes are released when this returns: what they say is in our log by then, and charged, or
    /// refused as [`OVER_QUOTA`] and charged nothing. Of two who decide one question, the first has decided it.
    ///
    /// # Errors
    /// [`Error`] for answers that are not one for each question; of the store or the log, and then nothing is released. The
    /// asker may ask again.
    pub async fn serve(&self, checked: CheckedQuery, decision: Decision) -> Result<Released, Error> {
        match self.try_to_serve(&checked, decision).await? {
            Some(served) => Ok(served),
            None => {
                let refused = self.try_to_serve(&checked, Decision::Refuse(code(OVER_QUOTA)?)).await?;
                refused.ok_or_else(|| Error::internal("a refusal that is charged nothing was over a limit"))
            }
        }
    }

    /// `None` if a limit has no room for it.
    async fn try_to_serve(&self, checked: &CheckedQuery, decision: Decision) -> Result<Option<Released>, Error> {
        let (status, reason, answers, units, charges) = match decision {
            Decision::Answer { answers, units, charges } => {
                if answers.len() != checked.questions.len() {
                    return Err(Error::internal("a service gave another number of answers than there are questions"));
                }
                let answers = Answers { seed: Zeroizing::new(random()?), answers };
                (ServeStatus::Served, None, Some(answers), units, charges)
            }
            Decision::Refuse(reason) => (ServeStatus::Refused, Some(reason), None, 0, Vec::new()),
            Decision::Fail(reason) => (ServeStatus::Failed, Some(reason), None, 0, Vec::new()),
        };
        let commitment = answers.as_ref().map(|answers| committed(Subject::Answer, &answers.seed, &answers.answers));
        let CheckedQuery { from, under, note, leaf, query, .. } = checked;
        let body = ServeEntry {
            job: query.job,
            query: *leaf,
            asker: *from,
            commitment: query.commitment,
            batch: query.batch,
            purpose: query.purpose.clone(),
            status,
            reason,
            answer: commitment.transpose()?,
            unit: under.unit.clone(),
            units: Count::new(u64::from(units)).map_err(unfit)?,
            hits: None,
            hits_commitment: None,
        };
        let entry = self.recorder.sign_entry(self.recorder.header(Vec::new())?, body)?;
        let new = NewServe {
            query: leaf.0.0,
            id: query.query.to_string(),
            job: under.job,
            asker: *from,
            note: note.to_vec(),
            entry: self.recorder.new_entry(&subject(under.job), &entry),
            answer: message::encode_answers(answers.as_ref()),
            charges,
        };
        let (changed, entering) = self.recorder.put(Change::Serve(Box::new(new))).await?;
        match changed {
            Changed::Done(_) => {
                entering.entered().await?;
                Ok(Some(released(entry.encode().into(), answers)))
            }
            Changed::Before => {
                let stored = self.store.serves().get(&leaf.0.0).await?;
                let stored = stored.ok_or_else(|| Error::damaged("an answer that was put down is not there"))?;
                Ok(Some(self.repeat(stored).await?))
            }
            Changed::OverQuota(_) => Ok(None),
        }
    }

    /// The bytes that were released before, or were about to be. Their entry is in our log when this returns.
    async fn repeat(&self, stored: StoredServe) -> Result<Released, Error> {
        let StoredServe { entry, answer, .. } = stored;
        let answers = message::decode_answers(&answer);
        let answers = answers.ok_or_else(|| Error::damaged("an answer in the ledger cannot be read"))?;
        let note = Bytes::from(entry.note.clone());
        self.recorder.logged(entry).await?;
        Ok(released(note, answers))
    }
}

fn released(entry: Bytes, answers: Option<Answers>) -> Released {
    Released { answered: answers.is_some(), reply: message::encode_served(&Served { entry, answers }) }
}
