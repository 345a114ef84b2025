//! What other parties' daemons say about jobs, and what they hear back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tacitly_core::PartyId;

use super::asking;
use super::collect;
use super::consent::{Signatures, write_standing};
use super::core::{Core, state_of};
use super::machine::Event;
use super::message::{self, Answer, Ask, generated as pb};
use super::proposals::{Proposals, standing_of};
use super::shell::Shell;
use super::state::State;
use super::waiters::Waiters;
use crate::codes::{self, Error};
use crate::peers::Handler;
use crate::store::Job;
use crate::transport::Pending;

/// How long a member that has begun an attempt a moment before us is kept waiting for our answer.
const BEGINS: Duration = Duration::from_secs(2);

/// Answers what is about jobs.
pub(super) struct JobsHandler {
    pub(super) core: Arc<Core>,
    pub(super) shell: Shell,
    pub(super) proposals: Proposals,
    pub(super) waiters: Waiters,
}

impl Handler for JobsHandler {
    fn service(&self) -> &'static str {
        asking::SERVICE
    }

    fn answer(self: Arc<Self>, from: PartyId, body: Bytes) -> Pending<'static, Option<Bytes>> {
        Box::pin(async move {
            let ask = message::decode_ask(&body)?;
            Some(message::encode_answer(self.hear(from, ask).await))
        })
    }

    fn link_changed(self: Arc<Self>, _: PartyId, _: bool) {
        self.core.running.notify();
    }
}

impl JobsHandler {
    async fn hear(&self, from: PartyId, ask: Ask) -> Answer {
        let (job, answered) = match ask {
            Ask::Propose(proposal) => return self.proposals.answer(from, proposal).await,
            Ask::Meet(offer) => return self.waiters.answer(from, offer),
            Ask::Decided(decided) => {
                let answer = self.decided(from, &decided).await;
                (decided.job, answer)
            }
            Ask::Begin(begin) => {
                let answer = self.word_of_leader(from, &begin.job, Event::Begin { attempt: begin.attempt }).await;
                (begin.job, answer)
            }
            Ask::Start(start) => {
                let with = start.with.iter().filter_map(|party| party.parse().ok()).collect();
                let event = Event::Start { attempt: start.attempt, with, place: false };
                let answer = self.word_of_leader(from, &start.job, event).await;
                (start.job, answer)
            }
            Ask::Stop(stop) => {
                let answer = self.word_of_leader(from, &stop.job, Event::Stop { attempt: stop.attempt }).await;
                (stop.job, answer)
            }
            Ask::Standing(standing) => {
                let answer = self.standing(from, &standing).await;
                (standing.job, answer)
            }
            Ask::Collect(asked) => {
                let answer = self.collect(from, &asked).await;
                (asked.job, answer)
            }
            Ask::Present(asked) => {
                let answer = self.present(from, &asked).await;
                (asked.job, answer)
            }
        };
        match answered {
            Ok(answer) => answer,
            Err(error) => self.answer_to_error(from, job, &error).await,
        }
    }

    /// A member says what it has decided.
    async fn decided(&self, from: PartyId, decided: &pb::Decided) -> Result<Answer, Error> {
        let job = self.core.find_with(&decided.job, from).await?;
        let decision = Signatures(&self.core).read_decision(&job, from, decided).await?;
        self.answer_with_step(&job, Event::Decided { from, decision }).await
    }

    /// The leader of a job moves an attempt.
    async fn word_of_leader(&self, from: PartyId, job: &str, event: Event) -> Result<Answer, Error> {
        let job = self.core.find_with(job, from).await?;
        if job.leader != from {
            return Err(Error::new(codes::PROTOCOL_VIOLATION, "only the leader begins attempts").with(from));
        }
        self.answer_with_step(&job, event).await
    }

    /// Another party says how the job stands there.
    async fn standing(&self, from: PartyId, standing: &pb::Standing) -> Result<Answer, Error> {
        let job = self.core.find_with(&standing.job, from).await?;
        let standing = Signatures(&self.core).read_standing(&job, from, standing).await?;
        self.answer_with_step(&job, Event::Standing { from, standing, answers: None }).await
    }

    /// Makes a step, and answers with how the job stands by then.
    async fn answer_with_step(&self, job: &Job, event: Event) -> Result<Answer, Error> {
        if let Some(over) = self.over_here(job)? {
            return Ok(over);
        }
        if self.core.closing.is_cancelled() {
            return Ok(Answer::Busy(pb::Busy {}));
        }
        let standing = self.shell.happen(job.id, event).await?;
        Ok(Answer::Standing(write_standing(job.id, &standing)))
    }

    /// What a party hears if the job is over here.
    fn over_here(&self, job: &Job) -> Result<Option<Answer>, Error> {
        if state_of(job)?.is_over() { standing_of(&self.core, job).map(Some) } else { Ok(None) }
    }

    /// What a party hears whose message about a job was not followed.
    async fn answer_to_error(&self, from: PartyId, job: String, error: &Error) -> Answer {
        tracing::warn!(peer = %from, code = error.code.name, "a message about a job was not followed");
        // A job we do not know cannot go on over there, and one that the peer has lied about must not go on here.
        // Anything else may pass when it is said again.
        if error.code == codes::JOB_UNKNOWN {
            return Answer::Unknown(pb::Unknown {});
        }
        if error.code == codes::PROTOCOL_VIOLATION
            && let Ok(known) = self.core.find_with(&job, from).await
        {
            let why = error.clone();
            let ended = Event::Ended { state: State::Failed, why, by: "daemon".to_owned() };
            if let Ok(standing) = self.shell.happen(known.id, ended).await {
                return Answer::Standing(write_standing(known.id, &standing));
            }
        }
        Answer::Busy(pb::Busy {})
    }

    /// A member says its word, and hears everybody's once all are there.
    async fn collect(&self, from: PartyId, asked: &pb::Collect) -> Result<Answer, Error> {
        let job = self.core.find_with(&asked.job, from).await?;
        if let Some(over) = self.over_here(&job)? {
            return Ok(over);
        }
        if job.leader != self.core.me() {
            return Err(Error::new(codes::PROTOCOL_VIOLATION, "words go to the leader").with(from));
        }
        if job.party(from).is_some_and(|party| party.left_out) {
            return standing_of(&self.core, &job);
        }
        // Everybody has been told to begin, and we do so ourselves once all have said that they have.
        match tokio::time::timeout(BEGINS, self.core.running.at_attempt(job.id, asked.attempt)).await {
            Ok(Some(work)) => collect::answer(&self.core, &work, &job, from, asked).await,
            _ => Ok(Answer::Pending(pb::Pending {})),
        }
    }

    /// Another party asks whether we are at its attempt, and since when nothing has moved in it.
    async fn present(&self, from: PartyId, asked: &pb::Present) -> Result<Answer, Error> {
        let job = self.core.find_with(&asked.job, from).await?;
        if let Some(over) = self.over_here(&job)? {
            return Ok(over);
        }
        Ok(match self.core.running.find(job.id) {
            Some(work) if work.attempt == asked.attempt => {
                let still_ms = u64::try_from(work.meter.silent().as_millis()).unwrap_or(u64::MAX);
                Answer::AtWork(pb::AtWork { still_ms })
            }
            _ => Answer::Pending(pb::Pending {}),
        })
    }
}
