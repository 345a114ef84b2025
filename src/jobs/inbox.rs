//! What the peer's daemon says about jobs, and what it hears back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tacitly_attestation::entry::LeafHash;
use tacitly_attestation::hash::Hash;
use tacitly_core::PartyId;

use super::agree;
use super::asking::SERVICE;
use super::machine::Event;
use super::message::{self, Answer, Ask, generated as pb};
use super::office::Jobs;
use super::plan::Wish;
use super::running::PeerReady;
use super::state::State;
use crate::codes::{self, Trouble};
use crate::peers::Handler;
use crate::store::Job;
use crate::transport::Pending;

/// How long a member that has begun an attempt a moment before us is kept waiting for our answer.
const BEGINS: Duration = Duration::from_secs(2);

impl Handler for Jobs {
    fn service(&self) -> &'static str {
        SERVICE
    }

    fn answer(self: Arc<Self>, from: PartyId, body: Bytes) -> Pending<'static, Option<Bytes>> {
        Box::pin(async move {
            let ask = message::decode_ask(&body)?;
            Some(message::encode_answer(self.follow(from, ask).await))
        })
    }

    fn link_changed(self: Arc<Self>, _: PartyId, _: bool) {
        self.running.bump();
    }
}

impl Jobs {
    /// Answers what a peer says.
    async fn follow(self: &Arc<Self>, from: PartyId, ask: Ask) -> Answer {
        let (job, answered) = match ask {
            Ask::Propose(proposal) => return self.take_proposal(from, proposal).await,
            Ask::Meet(offer) => return self.take_offer(from, offer),
            Ask::Decided(decided) => {
                let answer = self.take_decision(from, &decided).await;
                (decided.job, answer)
            }
            Ask::Begin(begin) => {
                let answer = self.take_word_of_leader(from, &begin.job, Event::Begin { attempt: begin.attempt }).await;
                (begin.job, answer)
            }
            Ask::Start(start) => {
                let with = start.with.iter().filter_map(|party| party.parse().ok()).collect();
                let event = Event::Start { attempt: start.attempt, with, place: false };
                let answer = self.take_word_of_leader(from, &start.job, event).await;
                (start.job, answer)
            }
            Ask::Stop(stop) => {
                let answer = self.take_word_of_leader(from, &stop.job, Event::Stop { attempt: stop.attempt }).await;
                (stop.job, answer)
            }
            Ask::Standing(standing) => {
                let answer = self.take_standing(from, &standing).await;
                (standing.job, answer)
            }
            Ask::Countersign(asked) => {
                let answer = self.take_countersign(from, &asked).await;
                (asked.job, answer)
            }
            Ask::Ready(ready) => {
                let noted = self.take_ready(from, &ready).await;
                (ready.job, noted)
            }
        };
        match answered {
            Ok(answer) => answer,
            Err(trouble) => self.answer_to_trouble(from, job, &trouble).await,
        }
    }

    /// A member says what it has decided.
    async fn take_decision(self: &Arc<Self>, from: PartyId, decided: &pb::Decided) -> Result<Answer, Trouble> {
        let job = self.find_with(&decided.job, from).await?;
        let decision = self.read_decision(&job, from, decided).await?;
        self.answer_with_step(&job, Event::Decided { from, decision }).await
    }

    /// The leader of a job moves an attempt.
    async fn take_word_of_leader(self: &Arc<Self>, from: PartyId, job: &str, event: Event) -> Result<Answer, Trouble> {
        let job = self.find_with(job, from).await?;
        if job.leader != from {
            return Err(Trouble::new(codes::PROTOCOL_VIOLATION, "only the leader begins attempts").with(from));
        }
        self.answer_with_step(&job, event).await
    }

    /// Another party says how the job stands there.
    async fn take_standing(self: &Arc<Self>, from: PartyId, standing: &pb::Standing) -> Result<Answer, Trouble> {
        let job = self.find_with(&standing.job, from).await?;
        let standing = self.read_standing(&job, from, standing).await?;
        self.answer_with_step(&job, Event::Standing { from, standing, answers: None }).await
    }

    /// Makes a step, and answers with how the job stands by then.
    async fn answer_with_step(self: &Arc<Self>, job: &Job, event: Event) -> Result<Answer, Trouble> {
        if let Some(over) = self.over_here(job)? {
            return Ok(over);
        }
        if self.closing.is_cancelled() {
            return Ok(Answer::Busy(pb::Busy {}));
        }
        let standing = self.happen(job.id, event).await?;
        Ok(Answer::Standing(agree::write_standing(job.id, &standing)))
    }

    /// The job of this number, if `party` takes part in it; other parties' jobs do not exist for it.
    pub(super) async fn find_with(&self, id: &str, party: PartyId) -> Result<Job, Trouble> {
        let job = self.find(id).await?;
        if job.party(party).is_some() && party != self.settings.me {
            Ok(job)
        } else {
            Err(Trouble::new(codes::JOB_UNKNOWN, "there is no such job with this peer"))
        }
    }

    /// What a peer hears whose message about a job was not followed.
    async fn answer_to_trouble(self: &Arc<Self>, from: PartyId, job: String, trouble: &Trouble) -> Answer {
        tracing::warn!(peer = %from, code = trouble.code.name, "a message about a job was not followed");
        // A job we do not know cannot go on over there, and one that the peer has lied about must not go on here.
        // Anything else may pass when it is said again.
        if trouble.code == codes::JOB_UNKNOWN {
            return Answer::Unknown(pb::Unknown {});
        }
        if trouble.code == codes::PROTOCOL_VIOLATION
            && let Ok(known) = self.find_with(&job, from).await
        {
            let why = trouble.clone();
            let ended =
                self.happen(known.id, Event::Ended { state: State::Failed, why, by: "daemon".to_owned() }).await;
            if let Ok(standing) = ended {
                return Answer::Standing(agree::write_standing(known.id, &standing));
            }
        }
        Answer::Busy(pb::Busy {})
    }

    async fn take_ready(&self, from: PartyId, ready: &pb::Ready) -> Result<Answer, Trouble> {
        let job = self.find_with(&ready.job, from).await?;
        if let Some(over) = self.over_here(&job)? {
            return Ok(over);
        }
        // Another set than before, under the same scalar, would be a second question for the price of one.
        if job.their_items.is_some_and(|items| items != ready.items) {
            return Err(Trouble::new(codes::PROTOCOL_VIOLATION, "the size of the peer's set changed").with(from));
        }
        let dataset = match ready.dataset.as_ref() {
            [] => None,
            leaf => {
                let leaf = leaf.try_into().map_err(|_| {
                    Trouble::new(codes::PROTOCOL_VIOLATION, "the name of an entry has 32 bytes").with(from)
                })?;
                Some(LeafHash(Hash(leaf)))
            }
        };
        let noted = PeerReady {
            attempt: ready.attempt,
            items: ready.items,
            wants_size: ready.wants_size,
            dataset,
            wish: Wish { whole: ready.whole, bucket: ready.bucket, settled: ready.settled },
            draw: ready.draw,
            sized: ready.sized,
            finished: ready.finished,
        };
        let mut changes = self.running.changes();
        let mut at_it = self.running.note_ready(job.id, noted);
        if !at_it && job.leader == self.settings.me && ready.attempt == job.attempt {
            // Everybody has been told to begin, and we do so ourselves once all have said that they have.
            let begun = async {
                while !self.running.note_ready(job.id, noted) {
                    if changes.changed().await.is_err() {
                        break;
                    }
                }
            };
            at_it = tokio::time::timeout(BEGINS, begun).await.is_ok();
        }
        Ok(if at_it { message::ack() } else { Answer::Pending(pb::Pending {}) })
    }
}
