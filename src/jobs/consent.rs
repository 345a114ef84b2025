//! Signatures about a job: consents, receipts and words. Each is bound to the job's number, so that a party that says two
//! things of one job can be shown to have.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use tacitly_core::{PartyId, TermsHash};

use super::core::{Core, about_job, state_of};
use super::machine::{self, Decided, Ledger, Member, Quorum, Standing, Task};
use super::message::{self, generated as pb};
use super::state::State;
use super::word::Word;
use crate::attest::random;
use crate::codes::{self, Error};
use crate::store::{Consent, Decision, Job, JobId, JobParty, PublicKey, Signature};

/// What a signature under job terms is a signature for.
pub const CONSENT_CONTEXT: &str = "tacitly job consent 2";
/// What the signature of a receiver is for whose result is stored.
pub const RECEIPT_CONTEXT: &str = "tacitly job receipt 1";
/// What a signature under a word is for.
pub const WORD_CONTEXT: &str = "tacitly job word 1";

/// What a consent signs: the job, the hash of its terms, and the digest of what its party adds to them.
#[must_use]
pub fn consented(job: JobId, terms: TermsHash, contribution: &[u8]) -> Vec<u8> {
    [&job.to_bytes()[..], &terms.0, &Sha256::digest(contribution)].concat()
}

/// What a word signs: the job, what the word is about, and its digest.
#[must_use]
pub fn said(job: JobId, label: &str, digest: &[u8; 32]) -> Vec<u8> {
    [&job.to_bytes()[..], &Sha256::digest(label), digest].concat()
}

/// Bytes of salt before a contribution and an offer.
pub(super) const SALT: usize = 16;

/// What a party's kind has added to the terms.
pub(super) fn contributed(consent: &Consent) -> &[u8] {
    consent.contribution.get(SALT..).unwrap_or_default()
}

/// A job as its machine sees it: of a kind that needs so many parties, and that serves or not.
pub(super) fn ledger(row: &Job, me: PartyId, (quorum, serves): (Quorum, bool)) -> Result<Ledger, Error> {
    let member = |party: &JobParty| {
        let decision = match &party.decision {
            Decision::Open => machine::Decision::Open,
            Decision::Signed(consent) => machine::Decision::Signed(consent.clone()),
            Decision::Refused => machine::Decision::Refused,
        };
        let (receives, left_out, receipt) = (party.receives || serves, party.left_out, party.receipt);
        (party.party, Member { receives, decision, left_out, receipt })
    };
    let parties: BTreeMap<PartyId, Member> = row.parties.iter().map(member).collect();
    if !parties.contains_key(&me) || !parties.contains_key(&row.leader) {
        return Err(Error::damaged("the ledger holds a job without its leader or without us"));
    }
    Ok(Ledger {
        me,
        leader: row.leader,
        quorum,
        serves,
        state: state_of(row)?,
        attempt: row.attempt,
        parties,
        failure: row.failure.as_ref().map(Error::from),
    })
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

/// Signs in our name and reads what others have signed.
pub(super) struct Signatures<'a>(pub(super) &'a Core);

impl Signatures<'_> {
    fn sign(&self, context: &str, bytes: &[u8]) -> Result<Signature, Error> {
        self.0.signer.sign(context, bytes).map_err(|error| Error::internal(error.to_string()))
    }

    /// The key of a party of a job.
    pub(super) async fn key_of(&self, party: PartyId) -> Result<PublicKey, Error> {
        self.0.peers.key_of(party).await
    }

    /// Our consent to terms, with what we add to them. Salt comes before it: its digest stands in logs, where nobody is to
    /// guess at it.
    pub(super) fn consent(&self, job: JobId, terms: TermsHash, contribution: Vec<u8>) -> Result<Consent, Error> {
        let contribution = match contribution.as_slice() {
            [] => contribution,
            words => [&random::<SALT>()?[..], words].concat(),
        };
        let signature = self.sign(CONSENT_CONTEXT, &consented(job, terms, &contribution))?;
        Ok(Consent { contribution, signature })
    }

    /// Our word that our result is stored.
    pub(super) fn receipt(&self, terms: TermsHash) -> Result<Signature, Error> {
        self.sign(RECEIPT_CONTEXT, &terms.0)
    }

    /// Our word about something.
    pub(super) fn word(&self, job: JobId, label: &str, bytes: Vec<u8>) -> Result<Word, Error> {
        let signature = self.sign(WORD_CONTEXT, &said(job, label, &Sha256::digest(&bytes).into()))?;
        Ok(Word { bytes: bytes.into(), signature })
    }

    /// Whether a party has said this.
    pub(super) async fn has_said(
        &self,
        party: PartyId,
        job: JobId,
        label: &str,
        digest: &[u8; 32],
        signature: &Signature,
    ) -> Result<bool, Error> {
        Ok(self.key_of(party).await?.verify(WORD_CONTEXT, &said(job, label, digest), signature).is_ok())
    }

    /// A party's consent as it came over the link.
    pub(super) async fn read_consent(
        &self,
        job: JobId,
        terms: TermsHash,
        of: PartyId,
        consent: &pb::Consent,
    ) -> Result<Consent, Error> {
        let wrong = || {
            Error::new(codes::PROTOCOL_VIOLATION, format!("the signature under the terms is not the one of {of}"))
                .with(of)
        };
        let signature: Signature = consent.signature.parse().map_err(|_| wrong())?;
        let contribution = consent.contribution.to_vec();
        let key = self.key_of(of).await?;
        key.verify(CONSENT_CONTEXT, &consented(job, terms, &contribution), &signature).map_err(|_| wrong())?;
        Ok(Consent { contribution, signature })
    }

    /// A party's decision as it came over the link.
    pub(super) async fn read_decision(
        &self,
        row: &Job,
        from: PartyId,
        decided: &pb::Decided,
    ) -> Result<Decided, Error> {
        match &decided.consent {
            Some(consent) => {
                Ok(Decided::Signed(Box::new(self.read_consent(row.id, row.terms_hash, from, consent).await?)))
            }
            None => Ok(Decided::Refused(message::error(from, decided.refused.as_ref()))),
        }
    }

    /// How a job stands at another party, as it came over the link. Every receipt is its receiver's own.
    pub(super) async fn read_standing(
        &self,
        row: &Job,
        from: PartyId,
        standing: &pb::Standing,
    ) -> Result<Standing, Error> {
        let lie = |text: &str| Error::new(codes::PROTOCOL_VIOLATION, text).with(from);
        let mut receipts = BTreeMap::new();
        for receipt in &standing.receipts {
            let party: PartyId = receipt.party.parse().map_err(|_| lie("a receipt names no party"))?;
            if row.party(party).is_none() {
                return Err(lie("a receipt is of nobody who takes part"));
            }
            let signature: Signature = receipt.signature.parse().map_err(|_| lie("a receipt cannot be read"))?;
            let key = self.key_of(party).await?;
            key.verify(RECEIPT_CONTEXT, &row.terms_hash.0, &signature)
                .map_err(|_| lie("a receipt is not signed by its receiver"))?;
            receipts.insert(party, signature);
        }
        // Of two, neither has a result before both have agreed on what they bring.
        let of_two = row.parties.len() == 2 && !receipts.is_empty();
        if of_two && self.0.recorder.known(&about_job(row.id), "agreement").await?.is_none() {
            return Err(lie("it says that a result is stored before anything was agreed"));
        }
        let left_out = standing.left_out.iter().map(|party| party.parse());
        let state = standing.state.parse().map_err(|_| lie("the job is in a state that there is not"))?;
        let failure = |reason: &pb::Reason| match state {
            State::Suspended => match reason.who.parse::<PartyId>() {
                Ok(who) if who != self.0.me() => {
                    Error::new(codes::PEER_LOST, format!("{from} has lost the link to {who}")).with(who)
                }
                _ => Error::new(codes::PEER_LOST, format!("{from} had lost the link to us")).with(from),
            },
            State::Cancelled => Error::new(codes::CANCELLED, format!("cancelled by {from}")).with(from),
            State::Revoked => Error::new(codes::REVOKED, format!("revoked by {from}")).with(from),
            State::Expired => Error::new(codes::TERMS_EXPIRED, codes::TERMS_EXPIRED.cause),
            _ => message::error(from, Some(reason)),
        };
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
            failure: standing.reason.as_ref().map(failure),
        })
    }
}
