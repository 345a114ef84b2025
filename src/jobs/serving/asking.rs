//! The asker's half: one caller's questions under a standing job, put to whom the kind chooses. A question is signed and
//! kept before it is sent, and whoever asks again under the same key gets the same answer.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use tacitly_core::PartyId;
use zeroize::Zeroizing;

use super::super::asking::QUESTIONS;
use super::super::state::State;
use super::message::{self, Answer, Ask, generated as pb};
use super::quota::Side;
use super::run::ServiceRun;
use super::services::RunningService;
use crate::attest::queries::{self, Begin, Begun, Code, Outcome};
use crate::codes::{self, Error};

/// One caller's questions: a batch that is asked, answered and charged as one.
pub struct Questions {
    service: Arc<RunningService>,
    questions: Vec<Bytes>,
    purpose: Code,
    /// What the caller's key is to us, and what it was used for.
    key: [u8; 32],
    digest: [u8; 32],
    turns: AtomicU32,
    entries: Mutex<Vec<AskedEntry>>,
}

/// What is put to one party.
#[derive(Default)]
pub struct Draft {
    /// The questions.
    pub questions: Vec<Bytes>,
    /// What the asker needs to read the answers, sealed until they are there.
    pub kept: Zeroizing<Vec<u8>>,
}

/// What came back from one party, on record on both sides.
pub struct Told {
    /// One answer for each question.
    pub answers: Vec<Bytes>,
    /// What the asker has kept.
    pub kept: Zeroizing<Vec<u8>>,
}

/// A question that is on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedEntry {
    /// Who was asked.
    pub responder: PartyId,
    /// The number of the question, for its evidence.
    pub query: String,
    /// The leaf of our entry about it.
    pub entry: String,
    /// How many units its answer counts as.
    pub units: u64,
}

impl Questions {
    pub(in crate::jobs) fn new(service: Arc<RunningService>, questions: Vec<Bytes>, purpose: Code, key: &str) -> Self {
        let mut digest = Sha256::new_with_prefix(b"tacitly-questions-1\n");
        for question in &questions {
            digest.update((question.len() as u64).to_be_bytes());
            digest.update(question);
        }
        let key = Sha256::new_with_prefix(b"tacitly-question-key-1\n").chain_update(key).finalize().into();
        let (digest, turns, entries) = (digest.finalize().into(), AtomicU32::new(0), Mutex::default());
        Self { service, questions, purpose, key, digest, turns, entries }
    }

    /// The caller's questions.
    #[must_use]
    pub fn all(&self) -> &[Bytes] {
        &self.questions
    }

    /// What they are asked for.
    #[must_use]
    pub fn purpose(&self) -> &str {
        self.purpose.as_str()
    }

    /// Puts questions to a party, one at a time from this caller. `draft` makes them, and is not asked where the same
    /// caller's questions were put before: those, and what was kept of them, count then.
    ///
    /// # Errors
    /// The refusal that the party has put on record; [`codes::NOT_SERVING`], [`codes::REVOKED`] if it does not answer;
    /// [`codes::PEER_LOST`]; [`codes::PROTOCOL_VIOLATION`] for an answer that is not what its entry commits to;
    /// [`codes::REQUEST_KEY`] if other questions were asked under this key; an error of `draft`, the store or the log.
    pub async fn put(&self, to: PartyId, draft: impl AsyncFnOnce() -> Result<Draft, Error>) -> Result<Told, Error> {
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        let name = Sha256::new().chain_update(self.key).chain_update(to.as_str()).chain_update(turn.to_be_bytes());
        let key = HEXLOWER.encode(&name.finalize());
        let (run, under) = (&self.service.run, &self.service.under);
        let asker = &run.core().queries.asker;
        let begin = match asker.again(under, &key).await? {
            Some(again) => again,
            None => {
                let Draft { questions, kept } = draft().await?;
                let kept = Zeroizing::new([&self.digest[..], &kept].concat());
                let (purpose, limits) = (
                    self.purpose.clone(),
                    self.service.quota.charges(run, to, self.purpose(), questions.len(), Side::Asks).await?,
                );
                let (responder, key, authorisation) = (to, key.clone(), None);
                let question =
                    queries::Question { responder, key, purpose, questions, authorisation, kept, charges: limits };
                asker.begin(under, question).await?
            }
        };
        let (answer, kept) = match begin {
            Begin::Answered(answer, kept) => (answer, kept),
            Begin::Ask(begun) => {
                let kept = begun.kept().clone();
                self.same(&kept)?;
                (send(run, *begun, to).await?, kept)
            }
        };
        self.same(&kept)?;
        let kept = Zeroizing::new(kept.get(self.digest.len()..).unwrap_or_default().to_vec());
        let (answers, units) = match answer.outcome {
            Outcome::Answered { answers, units } => (answers, units),
            Outcome::Refused(reason) | Outcome::Failed(reason) => return Err(message::refused(to, reason.as_str())),
        };
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).push(AskedEntry {
            responder: to,
            query: answer.query.to_string(),
            entry: answer.leaf.to_string(),
            units,
        });
        Ok(Told { answers, kept })
    }

    /// Whether what was kept under our key is of the same questions.
    fn same(&self, kept: &[u8]) -> Result<(), Error> {
        if kept.starts_with(&self.digest) {
            return Ok(());
        }
        Err(Error::new(codes::REQUEST_KEY, "other questions were asked under this key"))
    }

    /// What is on record of them by now.
    pub(in crate::jobs) fn entries(&self) -> Vec<AskedEntry> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Sends a question until there is an answer, and keeps that.
async fn send(run: &ServiceRun, begun: Begun, to: PartyId) -> Result<queries::Answer, Error> {
    let core = run.core();
    let ask = pb::Question { job: run.job().id.to_string(), request: begun.request() };
    let ask = message::encode_ask(Ask::Question(ask));
    let answer = core.peers.ask_within_window(to, QUESTIONS, ask).await?;
    match message::decode_answer(&answer) {
        Some(Answer::Served(served)) => {
            let key = &run.terms().parties.get(&to).ok_or_else(|| Error::internal("it is no party of the job"))?.key;
            core.peers.refuse_revoked(to, key)?;
            core.queries.asker.finish(begun, key, served.reply).await
        }
        Some(Answer::Refused(refused)) => {
            let why = message::refusal(to, refused.reason.as_ref());
            let state = match why.code {
                codes::REVOKED => State::Revoked,
                codes::TERMS_EXPIRED => State::Expired,
                _ => return Err(why),
            };
            core.over_elsewhere(run.job().id, to, state, why.clone());
            Err(why)
        }
        _ => Err(Error::lie(to, "its answer to a question cannot be read")),
    }
}

/// Asks again what was sent, or about to be, when this process was another one, so that both sides' logs say the same.
pub(in crate::jobs) async fn settle(service: &RunningService) -> Result<(), Error> {
    let (asker, mut after) = (&service.run.core().queries.asker, String::new());
    loop {
        let open = asker.unanswered(&service.under, &after).await?;
        let Some(last) = open.last() else { return Ok(()) };
        after = last.key().to_owned();
        for begun in open {
            let to = begun.responder();
            if let Err(why) = send(&service.run, begun, to).await {
                tracing::info!(peer = %to, code = why.code.name, "a question from before the start is still open");
            }
        }
    }
}
