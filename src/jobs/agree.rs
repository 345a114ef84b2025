//! Proposals and decisions: how two daemons come to the same signed terms.

use std::sync::Arc;
use std::time::Duration;

use tacitly_core::{PartyId, Terms, Value};

use super::message::{self, Answer, Ask, generated as pb};
use super::office::Jobs;
use super::rules::no_rule;
use super::run::Gone;
use super::state::State;
use super::terms::JobTerms;
use super::trouble::internal;
use crate::codes::{self, Trouble};
use crate::policy::Decision;
use crate::store::{Created, Job, JobChange, NewJob, Role, Signature, StoreError};

/// How long a peer that is starting or stopping is left alone.
const BUSY_PAUSE: Duration = Duration::from_millis(500);

impl Jobs {
    /// As proposer: brings the proposal to the peer, however long it is away, and notes its decision if it has one.
    /// Returns once the job is no longer ours to move: decided, or waiting for a person over there.
    pub(super) async fn propose(self: &Arc<Self>, job: &Job) -> Result<(), Gone> {
        let work = self.desk.begin(job.id, 0, self.deadline());
        work.show("waiting for the peer to be reached");
        let signature = job.our_signature.as_ref().map(ToString::to_string).unwrap_or_default();
        let ask = Ask::Propose(pb::Propose { job: job.id.to_string(), terms: job.terms.canonical().into(), signature });
        let answer = loop {
            match self.ask_patiently(job.peer, ask.clone(), &work).await? {
                // Its daemon is starting or stopping: the same proposal comes again.
                Answer::Busy(_) => tokio::time::sleep(BUSY_PAUSE).await,
                answer => break answer,
            }
        };
        match answer {
            Answer::Decided(decided) => self.note_decision(job.peer, &decided).await.map_err(Gone::Trouble),
            Answer::Pending(_) => {
                work.show("waiting for a person there to approve");
                Ok(())
            }
            Answer::Ended(ended) => {
                self.note_ended(job.peer, &ended).await;
                Ok(())
            }
            _ => Err(Gone::Trouble(
                Trouble::new(codes::PEER_FAILED, "the peer did not answer the proposal").with(job.peer),
            )),
        }
    }

    /// As approver: judges a proposal. The same proposal gets the same answer.
    pub(super) async fn take_proposal(self: &Arc<Self>, from: PartyId, proposal: pb::Propose) -> Answer {
        match self.judge(from, &proposal).await {
            Ok(answer) => answer,
            Err(trouble) => {
                tracing::info!(peer = %from, code = trouble.code.name, "a proposal was refused");
                Answer::Decided(pb::Decided {
                    job: proposal.job,
                    signature: String::new(),
                    refused: Some(message::reason(&trouble)),
                })
            }
        }
    }

    async fn judge(self: &Arc<Self>, from: PartyId, proposal: &pb::Propose) -> Result<Answer, Trouble> {
        let malformed = |text: String| Trouble::new(codes::BAD_REQUEST, text);
        let canonical = Terms::parse(&proposal.terms).map_err(|error| malformed(error.to_string()))?;
        let terms = JobTerms::from_terms(&canonical).map_err(|error| malformed(error.to_string()))?;
        let id = Self::parse_id(&proposal.job)?;
        if terms.job != proposal.job || terms.proposer != from || terms.approver != self.settings.me {
            return Err(malformed("the terms name other parties or another job than the proposal".to_owned()));
        }
        let signature: Signature =
            proposal.signature.parse().map_err(|_| malformed("the signature cannot be read".to_owned()))?;
        let key = self.store.peer(from).await?.signing_key;
        key.verify(super::TERMS_CONTEXT, &canonical.hash().0, &signature)
            .map_err(|error| malformed(error.to_string()))?;
        if let Ok(known) = self.store.job(id).await {
            return if known.peer == from && known.terms == canonical {
                Ok(decision_on(&known))
            } else {
                Err(malformed("another job has this number".to_owned()))
            };
        }
        let _one_at_a_time = self.admitting.lock().await;
        if let Err(why) = self.admit_proposal(from).await {
            self.refuse_meeting(from, &terms, &why);
            return Err(why);
        }
        let dataset = self.store.dataset(&terms.approver_dataset).await.ok();
        let verdict = match &dataset {
            None => Err(no_rule(self.settings.me, from, &terms.approver_dataset)),
            Some(dataset) => match self.decide(&terms, &dataset.name).await {
                Ok(decision) => {
                    let ours: Vec<String> = dataset.keys.iter().map(|key| key.profile.clone()).collect();
                    let key = same_key(&terms, ours);
                    key.and_then(|()| self.check_frame(from, &terms, dataset)).map(|()| decision)
                }
                Err(trouble) => Err(trouble),
            },
        };
        let new = NewJob {
            id,
            kind: terms.kind.name().to_owned(),
            role: Role::Approver,
            peer: from,
            dataset: dataset.map(|dataset| dataset.name),
            peer_dataset: Some(terms.proposer_dataset.clone()),
            state: State::Proposed.name().to_owned(),
            terms: canonical,
            our_signature: None,
            their_signature: Some(signature),
            request_key: None,
            our_items: None,
            their_items: None,
            by: from.to_string(),
        };
        let created = self.store.create_job(new).await.map_err(Trouble::from);
        let job = match created.inspect_err(|why| self.refuse_meeting(from, &terms, why))? {
            Created::New(job) => job,
            Created::Existing(job) => return Ok(decision_on(&job)),
        };
        let job = match verdict {
            Ok(Decision::Approve) => self.approve_as_approver(&job, "rule").await?,
            Ok(Decision::AskAPerson) => {
                tracing::info!(job = %job.id, peer = %from, "waits for a person: tacitly approve");
                job
            }
            Err(refusal) => self.end(&job, State::Refused, &refusal, "rule").await?,
        };
        self.desk.bump();
        Ok(decision_on(&job))
    }

    /// As approver: signs.
    pub(super) async fn approve_as_approver(&self, job: &Job, by: &str) -> Result<Job, Trouble> {
        let signature =
            self.signer.sign(super::TERMS_CONTEXT, &job.terms_hash.0).map_err(|error| internal(&error.to_string()))?;
        let change = JobChange { our_signature: Some(signature), ..JobChange::by(by) };
        let approved = self.store.advance(job.id, &[State::Proposed.name()], State::Approved.name(), change).await?;
        tracing::info!(job = %job.id, by, "approved");
        self.desk.bump();
        Ok(approved)
    }

    /// As proposer: the approver has decided.
    pub(super) async fn note_decision(self: &Arc<Self>, from: PartyId, decided: &pb::Decided) -> Result<(), Trouble> {
        let job = self.find(&decided.job).await?;
        if job.peer != from || job.role != Role::Proposer || job.state != State::Proposed.name() {
            return Ok(());
        }
        if let Some(reason) = &decided.refused {
            self.end(&job, State::Refused, &message::trouble(from, Some(reason)), from.as_str()).await?;
            self.desk.stop(job.id);
            return Ok(());
        }
        let wrong =
            || Trouble::new(codes::PROTOCOL_VIOLATION, "the signature under the terms is not the peer's").with(from);
        let signature: Signature = decided.signature.parse().map_err(|_| wrong())?;
        let key = self.store.peer(from).await?.signing_key;
        key.verify(super::TERMS_CONTEXT, &job.terms_hash.0, &signature).map_err(|_| wrong())?;
        let change = JobChange { their_signature: Some(signature), ..JobChange::by(from.as_str()) };
        match self.store.advance(job.id, &[State::Proposed.name()], State::Approved.name(), change).await {
            // The peer's own word and its answer to our proposal may come at the same moment, and say the same.
            Ok(_) | Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        self.desk.bump();
        Ok(())
    }

    /// As approver: a person has decided; the proposer hears of it now, or when it asks again.
    pub(super) fn tell_decision(self: &Arc<Self>, job: &Job) {
        if let Answer::Decided(decided) = decision_on(job) {
            self.tell(job.peer, Ask::Decided(decided));
        }
    }
}

/// What the ledger says to a proposal.
fn decision_on(job: &Job) -> Answer {
    let decided = |signature: String, refused: Option<pb::Reason>| {
        Answer::Decided(pb::Decided { job: job.id.to_string(), signature, refused })
    };
    let why = || job.failure.as_ref().map(|failure| message::reason(&super::trouble::of(failure)));
    match job.state.parse() {
        Ok(State::Proposed) => Answer::Pending(pb::Pending {}),
        Ok(State::Refused) => decided(String::new(), why()),
        Ok(state @ (State::Cancelled | State::Failed)) => Answer::Ended(message::ended(job.id, state, why())),
        _ => decided(job.our_signature.as_ref().map(ToString::to_string).unwrap_or_default(), None),
    }
}

/// Both sides must normalise their keys in the same way.
fn same_key(terms: &JobTerms, ours: Vec<String>) -> Result<(), Trouble> {
    if terms.key == ours {
        return Ok(());
    }
    let [theirs, ours] = [Value::from(terms.key.clone()), Value::from(ours)];
    let text = format!("the sides differ in key: {} has {theirs}, {} has {ours}", terms.proposer, terms.approver);
    Err(Trouble::new(codes::TERMS_DIFFER, text))
}
