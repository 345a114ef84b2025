//! Proposals and decisions: how the daemons of all parties come to the same signed terms.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tacitly_core::{PartyId, Terms, TermsHash, Value};

use super::machine::{self, Decided, Event, Ledger, Member, Quorum, Standing, Task};
use super::message::{self, Answer, generated as pb};
use super::office::Jobs;
use super::rules::no_rule;
use super::state::State;
use super::terms::JobTerms;
use crate::codes::{self, Trouble};
use crate::policy::Decision as Verdict;
use crate::store::{Consent, Created, Decision, Job, JobId, JobParty, NewJob, Signature};

/// What a signature under job terms is a signature for.
pub const CONSENT_CONTEXT: &str = "tacitly job consent 1";
/// What the signature of a receiver is for whose result is stored.
pub const RECEIPT_CONTEXT: &str = "tacitly job receipt 1";

/// What a consent signs: the hash of the terms, and the digest of what its party adds to them.
#[must_use]
pub fn consented(terms: TermsHash, contribution: &[u8]) -> Vec<u8> {
    let digest = Sha256::digest(contribution);
    terms.0.iter().copied().chain(digest).collect()
}

/// A job as its machine sees it.
pub(super) fn ledger(row: &Job, me: PartyId) -> Result<Ledger, Trouble> {
    let member = |party: &JobParty| {
        let decision = match &party.decision {
            Decision::Open => machine::Decision::Open,
            Decision::Signed(consent) => machine::Decision::Signed(consent.clone()),
            Decision::Refused => machine::Decision::Refused,
        };
        let (receives, left_out, receipt) = (party.receives, party.left_out, party.receipt);
        (party.party, Member { receives, decision, left_out, receipt })
    };
    let parties: BTreeMap<PartyId, Member> = row.parties.iter().map(member).collect();
    if !parties.contains_key(&me) || !parties.contains_key(&row.leader) {
        return Err(Trouble::internal("the ledger holds a job without its leader or without us"));
    }
    Ok(Ledger {
        me,
        leader: row.leader,
        quorum: Quorum::All,
        state: row.state.parse().map_err(|_| Trouble::internal("the ledger holds an unknown state"))?,
        attempt: row.attempt,
        parties,
        failure: row.failure.as_ref().map(Trouble::from),
    })
}

/// The parties of a job as they stand before anybody but `signed` has decided.
pub(super) fn parties(terms: &JobTerms, signed: &[(PartyId, &Consent)]) -> Vec<JobParty> {
    let party = |party: PartyId| JobParty {
        party,
        dataset: Some(terms.dataset_of(party).to_owned()),
        receives: terms.receives(party),
        decision: signed
            .iter()
            .find(|(signer, _)| *signer == party)
            .map_or(Decision::Open, |(_, consent)| Decision::Signed(Box::new((*consent).clone()))),
        left_out: false,
        receipt: None,
    };
    [terms.proposer, terms.approver].map(party).to_vec()
}

/// A consent, as a peer reads it.
pub(super) fn write_consent(consent: &Consent) -> pb::Consent {
    pb::Consent { signature: consent.signature.to_string(), contribution: consent.contribution.clone().into() }
}

/// How a job stands here, as a peer may hear it.
pub(super) fn write_standing(job: JobId, standing: &Standing) -> pb::Standing {
    let task = match standing.task {
        Task::None => pb::Task::None,
        Task::Computing => pb::Task::Computing,
        Task::Computed => pb::Task::Computed,
    };
    let receipt = |(party, signature): (&PartyId, &Signature)| pb::Receipt {
        party: party.to_string(),
        signature: signature.to_string(),
    };
    pb::Standing {
        job: job.to_string(),
        state: standing.state.name().to_owned(),
        attempt: standing.attempt,
        task: task.into(),
        free: standing.free,
        receipts: standing.receipts.iter().map(receipt).collect(),
        left_out: standing.left_out.iter().map(ToString::to_string).collect(),
        reason: standing.failure.as_ref().map(message::reason),
    }
}

impl Jobs {
    /// Our consent to terms, with what we add to them.
    pub(super) fn consent(&self, terms: TermsHash, contribution: Vec<u8>) -> Result<Consent, Trouble> {
        let signature = self.signer.sign(CONSENT_CONTEXT, &consented(terms, &contribution));
        let signature = signature.map_err(|error| Trouble::internal(error.to_string()))?;
        Ok(Consent { contribution, signature })
    }

    /// A party's consent as it came over the link.
    async fn read_consent(&self, terms: TermsHash, of: PartyId, consent: &pb::Consent) -> Result<Consent, Trouble> {
        let wrong = || {
            Trouble::new(codes::PROTOCOL_VIOLATION, format!("the signature under the terms is not the one of {of}"))
                .with(of)
        };
        let signature: Signature = consent.signature.parse().map_err(|_| wrong())?;
        let contribution = consent.contribution.to_vec();
        let key = self.peers.key_of(of).await?;
        key.verify(CONSENT_CONTEXT, &consented(terms, &contribution), &signature).map_err(|_| wrong())?;
        Ok(Consent { contribution, signature })
    }

    /// A party's decision as it came over the link.
    pub(super) async fn read_decision(
        &self,
        row: &Job,
        from: PartyId,
        decided: &pb::Decided,
    ) -> Result<Decided, Trouble> {
        match &decided.consent {
            Some(consent) => Ok(Decided::Signed(Box::new(self.read_consent(row.terms_hash, from, consent).await?))),
            None => Ok(Decided::Refused(message::trouble(from, decided.refused.as_ref()))),
        }
    }

    /// How a job stands at another party, as it came over the link. Every receipt is its receiver's own.
    pub(super) async fn read_standing(
        &self,
        row: &Job,
        from: PartyId,
        standing: &pb::Standing,
    ) -> Result<Standing, Trouble> {
        let lie = |text: &str| Trouble::new(codes::PROTOCOL_VIOLATION, text).with(from);
        let mut receipts = BTreeMap::new();
        for receipt in &standing.receipts {
            let party: PartyId = receipt.party.parse().map_err(|_| lie("a receipt names no party"))?;
            if row.party(party).is_none_or(|party| !party.receives) {
                return Err(lie("a receipt is of nobody who receives"));
            }
            let signature: Signature = receipt.signature.parse().map_err(|_| lie("a receipt cannot be read"))?;
            let key = self.peers.key_of(party).await?;
            key.verify(RECEIPT_CONTEXT, &row.terms_hash.0, &signature)
                .map_err(|_| lie("a receipt is not signed by its receiver"))?;
            receipts.insert(party, signature);
        }
        let left_out = standing.left_out.iter().map(|party| party.parse());
        let state = standing.state.parse().map_err(|_| lie("the job is in a state that there is not"))?;
        Ok(Standing {
            state,
            attempt: standing.attempt,
            task: match standing.task() {
                pb::Task::None => Task::None,
                pb::Task::Computing => Task::Computing,
                pb::Task::Computed => Task::Computed,
            },
            free: standing.free,
            receipts,
            left_out: left_out.collect::<Result<_, _>>().map_err(|_| lie("no party is named so"))?,
            failure: standing.reason.as_ref().map(|reason| match state {
                State::Suspended => match reason.who.parse::<PartyId>() {
                    Ok(who) if who != self.settings.me => {
                        Trouble::new(codes::PEER_LOST, format!("{from} has lost the link to {who}")).with(who)
                    }
                    _ => Trouble::new(codes::PEER_LOST, format!("{from} had lost the link to us")).with(from),
                },
                State::Cancelled => Trouble::new(codes::CANCELLED, format!("cancelled by {from}")).with(from),
                _ => message::trouble(from, Some(reason)),
            }),
        })
    }

    /// As approver: judges a proposal. The same proposal gets the same answer.
    pub(super) async fn take_proposal(self: &Arc<Self>, from: PartyId, proposal: pb::Propose) -> Answer {
        match self.judge(from, &proposal).await {
            Ok(answer) => answer,
            Err(trouble) => {
                tracing::info!(peer = %from, code = trouble.code.name, "a proposal was refused");
                let refused = Some(message::reason(&trouble));
                Answer::Decided(pb::Decided { job: proposal.job, consent: None, refused })
            }
        }
    }

    async fn judge(self: &Arc<Self>, from: PartyId, proposal: &pb::Propose) -> Result<Answer, Trouble> {
        let me = self.settings.me;
        let malformed = |text: String| Trouble::new(codes::BAD_REQUEST, text);
        let canonical = Terms::parse(&proposal.terms).map_err(|error| malformed(error.to_string()))?;
        let terms = JobTerms::from_terms(&canonical).map_err(|error| malformed(error.to_string()))?;
        let id = Self::parse_id(&proposal.job)?;
        if terms.job != proposal.job || terms.proposer != from || terms.approver != me {
            return Err(malformed("the terms name other parties or another job than the proposal".to_owned()));
        }
        let theirs = proposal.consent.as_ref().ok_or_else(|| malformed("the proposal is not signed".to_owned()))?;
        let theirs = self.read_consent(canonical.hash(), from, theirs).await;
        let theirs = theirs.map_err(|error| malformed(error.to_string()))?;
        if let Ok(known) = self.store.job(id).await {
            return if known.leader == from && known.terms == canonical {
                self.decision_on(&known)
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
            None => Err(no_rule(me, from, &terms.approver_dataset)),
            Some(dataset) => match self.decide(&terms, &dataset.name).await {
                Ok(decision) => {
                    let ours: Vec<String> = dataset.keys.iter().map(|key| key.profile.clone()).collect();
                    let key = same_key(&terms, ours);
                    key.and_then(|()| self.check_frame(from, &terms, dataset)).map(|()| decision)
                }
                Err(trouble) => Err(trouble),
            },
        };
        // The proposal and our rule's verdict are one row, and one step.
        let ours = match verdict {
            Ok(Verdict::Approve) => Some(self.consent(canonical.hash(), Vec::new())?),
            Ok(Verdict::AskAPerson) | Err(_) => None,
        };
        let signed: Vec<(PartyId, &Consent)> =
            [(from, &theirs)].into_iter().chain(ours.as_ref().map(|ours| (me, ours))).collect();
        let mut parties = parties(&terms, &signed);
        let (state, failure) = match &verdict {
            Ok(Verdict::Approve) => (State::Approved, None),
            Ok(Verdict::AskAPerson) => (State::Proposed, None),
            Err(refusal) => {
                parties.iter_mut().filter(|party| party.party == me).for_each(|us| us.decision = Decision::Refused);
                (State::Refused, Some(refusal.into()))
            }
        };
        let new = NewJob {
            id,
            kind: terms.kind.name().to_owned(),
            leader: from,
            parties,
            dataset: dataset.map(|dataset| dataset.name),
            state: state.name().to_owned(),
            terms: canonical,
            failure,
            request_key: None,
            by: from.to_string(),
        };
        let created = self.store.create_job(new).await.map_err(Trouble::from);
        let job = match created.inspect_err(|why| self.refuse_meeting(from, &terms, why))? {
            Created::New(job) => job,
            Created::Existing(job) => return self.decision_on(&job),
        };
        tracing::info!(job = %job.id, peer = %from, state = job.state, "proposed to us");
        if state.is_over() {
            self.running.bump();
        } else {
            self.happen_at_last(job.id, Event::Noted);
        }
        self.decision_on(&job)
    }

    /// What the ledger says to a proposal.
    fn decision_on(&self, job: &Job) -> Result<Answer, Trouble> {
        let answer = |consent: Option<pb::Consent>, refused: Option<pb::Reason>| {
            Answer::Decided(pb::Decided { job: job.id.to_string(), consent, refused })
        };
        let state: State = job.state.parse().map_err(|_| Trouble::internal("the ledger holds an unknown state"))?;
        let ours = job.party(self.settings.me).map(|us| &us.decision);
        Ok(match (state, ours) {
            (State::Refused, _) => {
                answer(None, job.failure.as_ref().map(|failure| message::reason(&Trouble::from(failure))))
            }
            (state, _) if state.is_over() => self.standing_of(job)?,
            (_, Some(Decision::Signed(consent))) => answer(Some(write_consent(consent)), None),
            _ => Answer::Pending(pb::Pending {}),
        })
    }

    /// How a job stands by the ledger alone.
    pub(super) fn standing_of(&self, job: &Job) -> Result<Answer, Trouble> {
        let machine = machine::Job::of(ledger(job, self.settings.me)?);
        Ok(Answer::Standing(write_standing(job.id, &machine.standing(false))))
    }

    /// What a peer hears if the job is over here.
    pub(super) fn over_here(&self, job: &Job) -> Result<Option<Answer>, Trouble> {
        let state: State = job.state.parse().map_err(|_| Trouble::internal("the ledger holds an unknown state"))?;
        if state.is_over() { self.standing_of(job).map(Some) } else { Ok(None) }
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
