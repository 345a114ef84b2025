//! What goes on record about jobs, and when.
//!
//! | entry | when | signed by |
//! |---|---|---|
//! | `party`, `policy` | at the start, if they changed | this party |
//! | `agreement` | before round 1 of a job | both parties; each has its own, in its own log |
//! | `result` | before the result is released, or when a job ends without one | this party |
//! | `erasure` | in one step with what is destroyed: a dataset removed, a job purged | this party |

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tacitly_attestation::commitment::{Salt, Subject, commit};
use tacitly_attestation::entry::{
    AgreementEntry, Attendance, Body, ByteCount, Code, Count, Digest, Id, LeafHash, Participant, PeerTranscript,
    ResultEntry, ResultStatus, Sharing, SignedEntry, TranscriptDigest,
};
use tacitly_attestation::hash::Hash;
use tacitly_attestation::note::{KeyRing, NoteSignature};
use tacitly_core::PartyId;
use zeroize::Zeroizing;

use super::asking::Gone;
use super::limits;
use super::message::{Answer, Ask, generated as pb};
use super::office::Jobs;
use super::outcome::Outcome;
use super::state::State;
use super::terms::{JobTerms, Kind};
use crate::attest::{entry_key, random, unfit};
use crate::codes::{self, Trouble};
use crate::store::Job;

/// The version of the intersection protocol that agreements name.
const PROTOCOL_VERSION: u64 = 1;
/// The pause before a peer that cannot sign yet is asked again.
const SOON: Duration = Duration::from_millis(200);

/// What was sent to a peer and received from it in the sessions of a job.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchanged {
    pub(super) sent: [u8; 32],
    pub(super) sent_bytes: u64,
    pub(super) received: [u8; 32],
    pub(super) received_bytes: u64,
}

/// What entries about a job stand under.
pub(super) fn about(job: &Job) -> String {
    format!("job:{}", job.id)
}

impl Jobs {
    /// The entry with the fingerprint of our data for a job, if it has one.
    pub(super) async fn dataset_leaf(&self, terms: &JobTerms) -> Result<Option<LeafHash>, Trouble> {
        let recorded = self.datasets.attest(terms.dataset_of(self.settings.me)).await?;
        Ok(recorded.map(|recorded| recorded.entry.leaf()))
    }

    /// Makes sure that the agreement on a job stands in our log with both signatures, before round 1. `theirs` is the
    /// entry of the peer's data; `learners` learn the size of the intersection before anything else; `ready` is what we
    /// have said last of our set.
    pub(super) async fn agree_on_record(
        self: &Arc<Self>,
        job: &Job,
        terms: &JobTerms,
        theirs: Option<LeafHash>,
        learners: &[PartyId],
        ready: &pb::Ready,
    ) -> Result<(), Gone> {
        let (me, ours) = (self.settings.me, self.dataset_leaf(terms).await?);
        let peer = terms.peer_of(me);
        let body = agreement(job, terms, learners, |party| if party == me { ours } else { theirs })?;
        let known = self.recorder.recorded(&about(job), "agreement").await?;
        if known.is_some_and(|known| matches!(known.entry.entry().body(), Body::Agreement(known) if *known == body)) {
            return Ok(());
        }
        let rel = self.recorder.recorded("party", "party").await?.map(|party| party.entry.leaf());
        let entry = self.recorder.sign_entry(self.recorder.header(rel.into_iter().collect())?, body)?;
        let ask = Ask::Countersign(pb::Countersign { job: job.id.to_string(), entry: entry.encode().into() });
        let line = loop {
            match self.ask_within_window(peer, ask.clone()).await? {
                Answer::Countersigned(signed) => break signed.signature,
                answer @ (Answer::Standing(_) | Answer::Unknown(_)) => {
                    return Err(self.hear_in_attempt(job, peer, answer).await);
                }
                _ => tokio::time::sleep(SOON).await,
            }
            // A process that began since knows nothing of this attempt, and would never sign.
            if let Answer::Pending(_) = self.ask_within_window(peer, Ask::Ready(ready.clone())).await? {
                return Err(Gone::Restarted);
            }
        };
        let wrong = || {
            Trouble::new(codes::PROTOCOL_VIOLATION, "the signature under the agreement is not the peer's").with(peer)
        };
        let signature = NoteSignature::parse(&line).map_err(|_| wrong())?;
        let entry = entry.with(signature).map_err(|_| wrong())?;
        entry.verify(&self.ring_with(peer).await?).map_err(|_| wrong())?;
        self.recorder.record(&about(job), entry).await?;
        Ok(())
    }

    /// The peer asks for our signature under the agreement in its log. It gets it if that is what we agreed.
    pub(super) async fn take_countersign(&self, from: PartyId, asked: &pb::Countersign) -> Result<Answer, Trouble> {
        let job = self.find_with(&asked.job, from).await?;
        if let Some(over) = self.over_here(&job)? {
            return Ok(over);
        }
        if job.state == State::Proposed.name() {
            return Ok(Answer::Busy(pb::Busy {}));
        }
        let wrong = |text: &str| Trouble::new(codes::PROTOCOL_VIOLATION, text).with(from);
        let note = SignedEntry::parse(&asked.entry).map_err(|_| wrong("the agreement to sign cannot be read"))?;
        let (header, Body::Agreement(body)) = (note.entry().header(), note.entry().body()) else {
            return Err(wrong("the entry to sign is no agreement"));
        };
        let terms = Self::terms(&job)?;
        let ours = self.dataset_leaf(&terms).await?;
        let claimed = body.parties.iter().find(|party| party.party == from).and_then(|party| party.dataset);
        // Who learns the size first follows from our rule and from what the peer has said of its own.
        let Some(theirs) = self.running.find(job.id).and_then(|work| *work.peer_ready.borrow()) else {
            return Ok(Answer::Busy(pb::Busy {}));
        };
        let wants_size = limits::minimum(&self.standing_rule(&terms).await?.limits).is_some();
        let learners = learners((self.settings.me, wants_size), (from, theirs.wants_size));
        let agreed = agreement(&job, &terms, &learners, |party| if party == from { claimed } else { ours })?;
        if header.by != from || *body != agreed {
            return Err(wrong("the agreement to sign is not the one we agreed"));
        }
        let signed = self.recorder.sign_note(note)?;
        signed
            .verify(&self.ring_with(from).await?)
            .map_err(|_| wrong("the agreement to sign is not signed by the peer"))?;
        let signature = signed.signatures().last().map(ToString::to_string);
        tracing::info!(job = %job.id, peer = %from, "countersigned the agreement");
        Ok(Answer::Countersigned(pb::Countersigned { signature: signature.unwrap_or_default() }))
    }

    /// Puts the end of a job on record, if its agreement is. `output` is the SHA-256 of what we received.
    pub(super) async fn record_result(
        &self,
        job: &Job,
        status: ResultStatus,
        output: Option<[u8; 32]>,
        exchanged: Option<Exchanged>,
    ) -> Result<(), Trouble> {
        let _one_at_a_time = self.closing_entries.lock().await;
        let state = self.store.job(job.id).await?.state;
        if status == ResultStatus::Done
            && state.parse().is_ok_and(|state: State| state.is_over() && state != State::Done)
        {
            return Ok(());
        }
        let Some(agreement) = self.recorder.recorded(&about(job), "agreement").await? else { return Ok(()) };
        let peer = Self::terms(job)?.peer_of(self.settings.me);
        let peers = exchanged.map(|exchanged| exchanged.with(peer)).transpose()?;
        let known = self.recorder.recorded(&about(job), "result").await?;
        if let Some(Body::Result(known)) = known.as_ref().map(|known| known.entry.entry().body())
            && known.status == status
            && (peers.is_none() || known.peers.first() == peers.as_ref())
        {
            return Ok(());
        }
        let committed = match output {
            Some(output) => {
                let salt = Zeroizing::new(random()?);
                self.store.put_salt(job.id, &salt).await?;
                Some(commit(Subject::Output, &Salt::new(*salt), &output))
            }
            None => None,
        };
        let body = ResultEntry {
            job: Id(job.id.to_bytes()),
            agreement: agreement.entry.leaf(),
            status,
            output: committed,
            sharing: committed.map(|_| Sharing::Own),
            peers: peers.into_iter().collect(),
            metric: None,
        };
        let entry = self.recorder.sign_entry(self.recorder.header(Vec::new())?, body)?;
        self.recorder.record(&about(job), entry).await?;
        Ok(())
    }

    /// Puts a job's good end on record, before its result is released. `report` says what went over the link, if this
    /// process saw it.
    pub(super) async fn record_done(&self, job: &Job, report: Option<&Value>) -> Result<(), Trouble> {
        // Another process, or another task of this one, may have seen the session and noted what went over.
        let noted = self.store.job(job.id).await?.transcripts;
        let exchanged = report.or(noted.as_ref()).and_then(Exchanged::of_report);
        if exchanged.is_none() && self.is_result_recorded(job).await? {
            return Ok(());
        }
        let output = match self.store.get_checkpoint(job.id, Self::OUTCOME).await? {
            Some(bytes) => {
                let outcome = Outcome::decode(&bytes).map_err(|error| Trouble::internal(error.to_string()))?;
                let mut digest = Sha256::new_with_prefix(&bytes);
                if let Outcome::Parts { parts, .. } = outcome {
                    for part in 0..parts {
                        digest.update(&self.store.unreleased_part(job.id, part).await?);
                    }
                }
                Some(digest.finalize().into())
            }
            None => None,
        };
        self.record_result(job, ResultStatus::Done, output, exchanged).await
    }

    /// Whether what came of a job is on record, or never will be.
    pub(super) async fn is_result_recorded(&self, job: &Job) -> Result<bool, Trouble> {
        let subject = about(job);
        Ok(self.recorder.known(&subject, "result").await?.is_some()
            || self.recorder.known(&subject, "agreement").await?.is_none())
    }

    /// Puts on record what a daemon that was killed, or a log that took nothing, left out: entries that did not get as far
    /// as the log, and the ends of jobs, also behind the result of a job that was ended before anybody received it.
    ///
    /// # Errors
    /// Trouble of the store or the log.
    pub async fn record_missing(&self) -> Result<(), Trouble> {
        let log = self.recorder.log().origin();
        self.recorder.enter_waiting().await?;
        for state in [State::Failed, State::Cancelled] {
            let said = format!("\"status\":\"{state}\"");
            for job in self.store.jobs_whose_last_entry_lacks(log, state.name(), "result", said.as_bytes()).await? {
                self.record_end(&self.store.job(job).await?).await;
            }
        }
        for subject in self.store.entries_without(log, "agreement", "result").await? {
            let Some(id) = subject.strip_prefix("job:") else { continue };
            self.record_end(&self.find(id).await?).await;
        }
        Ok(())
    }

    /// Puts on record that a job is over without a result. A log that takes nothing holds up no job that is over: the
    /// next start tries again.
    pub(super) async fn record_end(&self, job: &Job) {
        let status = match job.state.parse() {
            Ok(State::Failed) => ResultStatus::Failed,
            Ok(State::Cancelled) => ResultStatus::Cancelled,
            _ => return,
        };
        if let Err(error) = self.record_result(job, status, None, None).await {
            tracing::warn!(job = %job.id, %error, "the end of the job is not on record yet");
        }
    }

    /// Our key and a peer's.
    async fn ring_with(&self, peer: PartyId) -> Result<KeyRing, Trouble> {
        let mut ring = KeyRing::default();
        ring.add(entry_key(self.settings.me, &self.signer.public_key())?);
        ring.add(entry_key(peer, &self.store.peer(peer).await?.signing_key)?);
        Ok(ring)
    }
}

impl Exchanged {
    /// What the ledger's line about the sessions of a job says.
    fn of_report(report: &Value) -> Option<Self> {
        let side = |name: &str| {
            let digest = report[name]["digest"].as_str()?.strip_prefix("sha256:")?;
            let digest = data_encoding::HEXLOWER.decode(digest.as_bytes()).ok()?.try_into().ok()?;
            Some((digest, report[name]["bytes"].as_u64()?))
        };
        let ((sent, sent_bytes), (received, received_bytes)) = (side("sent")?, side("received")?);
        Some(Self { sent, sent_bytes, received, received_bytes })
    }

    fn with(self, peer: PartyId) -> Result<PeerTranscript, Trouble> {
        Ok(PeerTranscript {
            peer,
            sent: TranscriptDigest(Hash(self.sent)),
            sent_bytes: ByteCount::new(self.sent_bytes).map_err(unfit)?,
            received: TranscriptDigest(Hash(self.received)),
            received_bytes: ByteCount::new(self.received_bytes).map_err(unfit)?,
        })
    }
}

/// What the parties of a job agree, as it stands in the log of either.
fn agreement(
    job: &Job,
    terms: &JobTerms,
    learners: &[PartyId],
    dataset: impl Fn(PartyId) -> Option<LeafHash>,
) -> Result<AgreementEntry, Trouble> {
    let code = |text: &str| Code::parse(text).map_err(unfit);
    // The words themselves are under the hash of the terms; what is no code stays out of the log.
    let purpose = match terms.purpose.as_str() {
        "" => code("unstated"),
        words => code(words).or_else(|_| code("see-terms")),
    };
    let mut parties = Vec::new();
    for (party, role) in [(terms.proposer, "proposer"), (terms.approver, "approver")] {
        let mut learns = vec![code("set-sizes")?];
        if learners.contains(&party) && !(terms.receives(party) && terms.kind == Kind::Cardinality) {
            learns.push(code("intersection-size")?);
        }
        if terms.receives(party) {
            learns.push(code(match terms.kind {
                Kind::Intersect => "own-shared-rows",
                Kind::Align => "own-shared-rows-in-order",
                Kind::Cardinality => "intersection-size",
            })?);
        }
        parties.push(Participant {
            party,
            role: code(role)?,
            dataset: dataset(party),
            contribution: None,
            offer: None,
            learns,
            attendance: Attendance::Signs,
        });
    }
    parties.sort_unstable_by_key(|participant| participant.party);
    Ok(AgreementEntry {
        job: Id(job.id.to_bytes()),
        protocol: code("psi-ecdh")?,
        version: Count::new(PROTOCOL_VERSION).map_err(unfit)?,
        terms: Digest(Hash(job.terms_hash.0)),
        purpose: purpose?,
        parties,
        limits: Vec::new(),
        expires: None,
        price: None,
    })
}

/// Who learns the size of the intersection before anything else is released: each side whose rule sets a minimum.
pub(super) fn learners(ours: (PartyId, bool), theirs: (PartyId, bool)) -> Vec<PartyId> {
    let mut learners: Vec<PartyId> = [ours, theirs].iter().filter(|(_, wants)| *wants).map(|(id, _)| *id).collect();
    learners.sort_unstable();
    learners
}
