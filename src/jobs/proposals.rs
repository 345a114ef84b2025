//! Proposals and decisions: how a job comes into being, ours and others'.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use tacitly_core::{PartyId, Terms};

use super::allowed::{local, still_allow};
use super::consent::{Signatures, contributed, ledger, write_consent, write_standing};
use super::core::{Core, others, parse_id, state_of, terms_of};
use super::kind::{Asked, JobKind, Kinds, Local};
use super::machine::{self, Event, Quorum};
use super::message::{self, Answer, generated as pb};
use super::rules::{Rules, no_rule};
use super::state::State;
use super::terms::{JobTerms, MAX_PARTIES, PartyTerms};
use super::waiters::Waiters;
use crate::codes::{self, Error};
use crate::datasets::Frames;
use crate::policy::Decision as Verdict;
use crate::store::{Consent, Created, Dataset, Decision, Job, JobId, JobParty, NewJob};

/// What an operator submits.
#[derive(Clone, Debug, Default)]
pub struct Submission {
    /// The name of a kind of job.
    pub kind: String,
    /// Who takes part, we among them, and what the kind asks.
    pub asked: Asked,
    /// Why.
    pub purpose: String,
    /// From when on no attempt begins any more, as a moment such as `2027-01-01T00:00:00Z`; empty: it never ends.
    pub expires: String,
    /// The same key submits once; empty for none.
    pub request_key: String,
}

/// Brings jobs into the ledger.
#[derive(Clone)]
pub(super) struct Proposals {
    core: Arc<Core>,
    kinds: Kinds,
    waiters: Waiters,
    /// Held from the check of a limit to the line in the ledger that counts against it.
    admitting: Arc<tokio::sync::Mutex<()>>,
}

impl Proposals {
    pub(super) fn new(core: Arc<Core>, kinds: Kinds, waiters: Waiters) -> Self {
        Self { core, kinds, waiters, admitting: Arc::default() }
    }

    /// What we know by ourselves about a job that stands in the ledger.
    pub(super) async fn local_of(&self, job: &Job) -> Result<Local, Error> {
        let mut local = local(&self.core, &terms_of(job)?).await?;
        for party in &job.parties {
            if let Decision::Signed(consent) = &party.decision {
                local.contributions.insert(party.party, contributed(consent).to_vec());
            }
        }
        Ok(local)
    }

    /// Completes what an operator asks, as terms of a job of this number.
    pub(super) async fn terms(&self, id: JobId, kind: &dyn JobKind, submission: Submission) -> Result<JobTerms, Error> {
        let me = self.core.me();
        let bad = |text: &str| Error::new(codes::BAD_REQUEST, text);
        let Submission { asked, purpose, expires, .. } = submission;
        let expires = expiry_of(&expires)?;
        let dataset = match asked.parties.get(&me) {
            None => return Err(bad("we are none of the parties of the job")),
            Some(ours) => match &ours.dataset {
                Some(name) => Some(self.core.store.datasets().get(name).await?),
                None => None,
            },
        };
        if !(2..=MAX_PARTIES).contains(&asked.parties.len()) {
            return Err(bad("a job has 2 to 128 parties"));
        }
        let local = Local { dataset, ..Local::of(me) };
        let Asked { parties: completed, params } = kind.complete(asked, me, &local)?;
        let mut parties = BTreeMap::new();
        for (party, asked) in completed {
            let key = Signatures(&self.core).key_of(party).await?;
            let role = asked.role_in_terms().to_owned();
            parties.insert(party, PartyTerms { role, key, dataset: asked.dataset, receives: asked.receives });
        }
        let nonce = crate::attest::random()?;
        let kind_name = kind.name().to_owned();
        let terms = JobTerms { job: id, kind: kind_name, leader: me, parties, params, purpose, nonce, expires };
        terms.check().map_err(|error| {
            bad(&match error {
                tacitly_core::MalformedTerms::Field("purpose") => {
                    "a purpose is one line of at most 200 bytes".to_owned()
                }
                tacitly_core::MalformedTerms::Field("receivers") => "somebody receives the result of a job".to_owned(),
                error => error.to_string(),
            })
        })?;
        kind.check(&terms)?;
        Ok(terms)
    }

    /// Proposes a job; `by` asks, for the audit trail. The same request key with the same request gives the same job.
    pub(super) async fn submit(&self, submission: Submission, by: &str) -> Result<Job, Error> {
        let (core, me) = (&self.core, self.core.me());
        let kind = self.kinds.find(&submission.kind)?.clone();
        let request_key = Some(submission.request_key.clone()).filter(|key| !key.is_empty());
        let _one_at_a_time = self.admitting.lock().await;
        let earlier = match &request_key {
            Some(key) => core.store.jobs().by_request_key(key).await?,
            None => None,
        };
        let id = earlier.as_ref().map_or_else(JobId::fresh, |job| job.id);
        let mut terms = self.terms(id, &*kind, submission).await?;
        if let Some(earlier) = &earlier {
            // Drawn once; all else has to be the same.
            terms.nonce = terms_of(earlier)?.nonce;
        }
        let local = local(core, &terms).await?;
        if earlier.is_none() {
            terms.check_expiry(core.store.now())?;
            self.check_keys(&terms).await?;
            for party in terms.others(me) {
                // Who leads tells every party itself.
                core.peers.require_peer(party).await?;
                Rules(core).admit(party).await?;
            }
            // Who may receive and why binds all owners: our own rules are asked as the others' are.
            Rules(core).decide(&terms).await?;
            if let Some(dataset) = terms.dataset_of(me) {
                core.datasets.require_confirmed(dataset, &terms.others(me).collect()).await?;
            }
        }
        let bytes = terms.to_terms();
        let contribution = kind.review(&terms, &local)?;
        let consent = Signatures(core).consent(id, bytes.hash(), contribution)?;
        let new = NewJob {
            id,
            kind: terms.kind.clone(),
            leader: me,
            parties: parties(&terms, &[(me, &consent)]),
            dataset: terms.dataset_of(me).map(str::to_owned),
            state: State::Proposed.name().to_owned(),
            terms: bytes,
            failure: None,
            request_key,
            by: by.to_owned(),
        };
        Ok(match core.store.jobs().create(new).await? {
            Created::New(job) => {
                let parties = others(&job, me).iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                tracing::info!(job = %job.id, kind = job.kind, parties, "proposed");
                core.happen_at_last(job.id, Event::Started);
                job
            }
            Created::Existing(job) => job,
        })
    }

    /// Judges a leader's proposal. The same proposal gets the same answer.
    pub(super) async fn answer(&self, from: PartyId, proposal: pb::Propose) -> Answer {
        match self.judge(from, &proposal).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::info!(peer = %from, code = error.code.name, "a proposal was refused");
                let refused = Some(message::reason(&error));
                Answer::Decided(pb::Decided { job: proposal.job, consent: None, refused })
            }
        }
    }

    async fn judge(&self, from: PartyId, proposal: &pb::Propose) -> Result<Answer, Error> {
        let (core, me) = (&self.core, self.core.me());
        let malformed = |text: String| Error::new(codes::BAD_REQUEST, text);
        let canonical = Terms::parse(&proposal.terms).map_err(|error| malformed(error.to_string()))?;
        let terms = JobTerms::from_terms(&canonical).map_err(|error| malformed(error.to_string()))?;
        let id = parse_id(&proposal.job)?;
        if terms.job != id || terms.leader != from || !terms.parties.contains_key(&me) {
            return Err(malformed("the terms name other parties or another job than the proposal".to_owned()));
        }
        let theirs = proposal.consent.as_ref().ok_or_else(|| malformed("the proposal is not signed".to_owned()))?;
        let theirs = Signatures(core).read_consent(id, canonical.hash(), from, theirs).await;
        let theirs = theirs.map_err(|error| malformed(error.to_string()))?;
        if let Ok(known) = core.store.jobs().get(id).await {
            return if known.leader == from && known.terms == canonical {
                self.decision_on(&known)
            } else {
                Err(malformed("another job has this number".to_owned()))
            };
        }
        let _one_at_a_time = self.admitting.lock().await;
        let kind = match Rules(core).admit_proposal(from).await.and_then(|()| self.kinds.find(&terms.kind).cloned()) {
            Ok(kind) => kind,
            Err(why) => {
                self.waiters.refuse(from, &terms, &why);
                return Err(why);
            }
        };
        let dataset = match terms.dataset_of(me) {
            Some(name) => core.store.datasets().get(name).await.ok(),
            None => None,
        };
        let verdict = self.verdict(from, &terms, &*kind, dataset.as_ref()).await;
        // The proposal and our rules' verdict are one row, and one step.
        let ours = match &verdict {
            Ok((Verdict::Approve, contribution)) => {
                Some(Signatures(core).consent(id, canonical.hash(), contribution.clone())?)
            }
            Ok((Verdict::AskAPerson, _)) | Err(_) => None,
        };
        let signed: Vec<(PartyId, &Consent)> =
            [(from, &theirs)].into_iter().chain(ours.as_ref().map(|ours| (me, ours))).collect();
        let mut parties = parties(&terms, &signed);
        let (state, failure) = match &verdict {
            Ok((Verdict::Approve, _)) => (State::Approved, None),
            Ok((Verdict::AskAPerson, _)) => (State::Proposed, None),
            Err(refusal) => {
                parties.iter_mut().filter(|party| party.party == me).for_each(|us| us.decision = Decision::Refused);
                (State::Refused, Some(refusal.into()))
            }
        };
        let new = NewJob {
            id,
            kind: terms.kind.clone(),
            leader: from,
            parties,
            dataset: dataset.map(|dataset| dataset.name),
            state: state.name().to_owned(),
            terms: canonical,
            failure,
            request_key: None,
            by: from.to_string(),
        };
        let created = core.store.jobs().create(new).await.map_err(Error::from);
        let job = match created.inspect_err(|why| self.waiters.refuse(from, &terms, why))? {
            Created::New(job) => job,
            Created::Existing(job) => return self.decision_on(&job),
        };
        tracing::info!(job = %job.id, peer = %from, state = job.state, "proposed to us");
        if state.is_over() {
            core.running.notify();
        } else {
            core.happen_at_last(job.id, Event::Noted);
        }
        self.decision_on(&job)
    }

    /// What our rules and our data say to a proposal, and what we add to its terms.
    async fn verdict(
        &self,
        from: PartyId,
        terms: &JobTerms,
        kind: &dyn JobKind,
        dataset: Option<&Dataset>,
    ) -> Result<(Verdict, Vec<u8>), Error> {
        let (core, me) = (&self.core, self.core.me());
        if let (Some(name), None) = (terms.dataset_of(me), dataset) {
            return Err(no_rule(me, from, name));
        }
        self.check_keys(terms).await?;
        terms.check_expiry(core.store.now())?;
        let verdict = Rules(core).decide(terms).await?;
        kind.check(terms)?;
        let contribution = kind.review(terms, &local(core, terms).await?)?;
        if let Some(dataset) = dataset {
            self.waiters.check_frame(Frames::is_frame(dataset), from, terms)?;
        }
        Ok((verdict, contribution))
    }

    /// Everybody signs with the key that we know it by.
    async fn check_keys(&self, terms: &JobTerms) -> Result<(), Error> {
        for (party, said) in &terms.parties {
            let known = Signatures(&self.core).key_of(*party).await.map_err(|error| {
                if error.code == codes::KEY_REVOKED {
                    return error;
                }
                let text = format!("{} does not know {party}: it is no peer, and on no roster", self.core.me());
                Error::new(codes::REFUSED_BY_RULE, text)
            })?;
            if known != said.key {
                let text = format!("{} knows {party} by another key than the terms name", self.core.me());
                return Err(Error::new(codes::TERMS_DIFFER, text));
            }
        }
        Ok(())
    }

    /// A person approves: our consent, with what we add to the terms. What the rules refuse, nobody approves.
    pub(super) async fn approve(&self, job: &Job) -> Result<Consent, Error> {
        let terms = terms_of(job)?;
        self.check_keys(&terms).await?;
        terms.check_expiry(self.core.store.now())?;
        let kind = self.kinds.find(&terms.kind)?;
        let contribution = still_allow(&self.core, &terms, &**kind).await?;
        Signatures(&self.core).consent(job.id, job.terms_hash, contribution)
    }

    /// What the ledger says to a proposal.
    fn decision_on(&self, job: &Job) -> Result<Answer, Error> {
        let answer = |consent: Option<pb::Consent>, refused: Option<pb::Reason>| {
            Answer::Decided(pb::Decided { job: job.id.to_string(), consent, refused })
        };
        let ours = job.party(self.core.me()).map(|us| &us.decision);
        Ok(match (state_of(job)?, ours) {
            (State::Refused, _) => {
                answer(None, job.failure.as_ref().map(|failure| message::reason(&Error::from(failure))))
            }
            (state, _) if state.is_over() => standing_of(&self.core, job)?,
            (_, Some(Decision::Signed(consent))) => answer(Some(write_consent(consent)), None),
            _ => Answer::Pending(pb::Pending {}),
        })
    }
}

/// The moment that an operator names, in milliseconds since 1970.
fn expiry_of(text: &str) -> Result<Option<u64>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    // A leap second would be taken for the second before it.
    let read = text.parse::<Timestamp>().ok().filter(|_| !text.contains(":60"));
    let moment = read.and_then(|moment| u64::try_from(moment.as_millisecond()).ok());
    let wrong = || Error::new(codes::BAD_REQUEST, "the end of the terms is a moment such as 2027-01-01T00:00:00Z");
    moment.map(Some).ok_or_else(wrong)
}

/// How a job stands by the ledger alone.
pub(super) fn standing_of(core: &Core, job: &Job) -> Result<Answer, Error> {
    let machine = machine::Job::of(ledger(job, core.me(), (Quorum::All, false))?);
    Ok(Answer::Standing(write_standing(job.id, &machine.standing(false))))
}

/// The parties of a job as they stand before anybody but `signed` has decided.
fn parties(terms: &JobTerms, signed: &[(PartyId, &Consent)]) -> Vec<JobParty> {
    let party = |(party, said): (&PartyId, &PartyTerms)| JobParty {
        party: *party,
        dataset: said.dataset.clone(),
        receives: said.receives,
        decision: signed
            .iter()
            .find(|(signer, _)| signer == party)
            .map_or(Decision::Open, |(_, consent)| Decision::Signed(Box::new((*consent).clone()))),
        left_out: false,
        receipt: None,
        entry: None,
    };
    terms.parties.iter().map(party).collect()
}
