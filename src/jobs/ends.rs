//! What came of a job: on record before its result is released, and what is done with it afterwards. *Sign before serve.*
//!
//! | entry | when |
//! |---|---|
//! | `result` | before the result is released, or when a job ends without one |
//! | `statement` | when a service is over |
//! | `erasure` | in one step with a job's purge |
//! | `opening` | before the commitment to our output is opened to somebody |

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tacitly_attestation::commitment::{Salt, Subject, commit, opens};
use tacitly_attestation::entry::{
    Body, ByteCount, Code, Erased, Id, Kind, PeerTranscript, ResultEntry, ResultStatus, Sharing, SignedEntry,
    StatementEntry, StatementFields, StatementSubject, StatementValue, TranscriptDigest,
};
use tacitly_attestation::hash::Hash;
use tacitly_core::PartyId;
use zeroize::Zeroizing;

use super::core::{Core, about_job, state_of, without_result};
use super::part::{Exchanged, together};
use super::parts::over;
use super::run::Run;
use super::state::State;
use super::statements::stated;
use crate::attest::{Reader, Recorded, random, unfit};
use crate::codes::{self, Error};
use crate::store::{Job, JobFilter, JobResult, NewEvent};

/// The topic of the statement that a service is over.
const SERVICE_ENDED: &str = "service-ended";

/// Which output to open.
#[derive(Clone, Debug, Default)]
pub struct OpenOutput {
    /// The job.
    pub job: String,
    /// The party that it is opened to.
    pub to: String,
    /// A code for why; empty: `dispute`.
    pub purpose: String,
}

/// What opens the commitment to our output of a job. Neither `Clone` nor `Debug`.
pub struct OpenedOutput {
    /// The salt.
    pub salt: Zeroizing<[u8; 32]>,
    /// The SHA-256 of the output. This is what is committed to.
    pub digest: [u8; 32],
    /// The commitment, as it stands in the entry about the job's end.
    pub commitment: String,
    /// Our entry about this opening.
    pub entry: String,
}

/// Puts the ends of jobs on record.
pub(super) struct Ends<'a>(pub(super) &'a Core);

impl Ends<'_> {
    /// Puts a job's good end on record, if its agreement is.
    pub(super) async fn record_done(&self, job: &Job) -> Result<(), Error> {
        let core = self.0;
        let peers = together(over(core, job).await?.values());
        let peers =
            peers.iter().map(|(peer, exchanged)| transcript(*peer, exchanged)).collect::<Result<Vec<_>, _>>()?;
        let output = match Run::summary(core, job).await? {
            Some(summary) if summary.parts > 0 => {
                let mut digest = OutputDigest::new(summary.parts);
                for part in 0..summary.parts {
                    digest.add(&core.store.secrets().unreleased_part(job.id, part).await?);
                }
                Some(digest.finish())
            }
            _ => None,
        };
        self.record_result(job, ResultStatus::Done, output, peers).await
    }

    /// With what a job ends well: what `record_done` has put on record, released.
    pub(super) async fn result(&self, job: &Job) -> Result<(JobResult, Option<Value>, Value), Error> {
        let summary = Run::summary(self.0, job).await?;
        let traffic = together(over(self.0, job).await?.values());
        let traffic = traffic.iter().map(|(peer, exchanged)| (peer.to_string(), json!(exchanged))).collect();
        let result = match &summary {
            Some(summary) if summary.parts > 0 => JobResult::Parts { parts: summary.parts, items: summary.items },
            _ => JobResult::Nothing,
        };
        let figures = summary.map(|summary| summary.figures).filter(|figures| !figures.is_empty());
        Ok((result, figures.map(Value::Object), Value::Object(traffic)))
    }

    /// Puts the end of a job on record, if its agreement is. `output` is the digest of what we received.
    async fn record_result(
        &self,
        job: &Job,
        status: ResultStatus,
        output: Option<[u8; 32]>,
        peers: Vec<PeerTranscript>,
    ) -> Result<(), Error> {
        let core = self.0;
        let _one_at_a_time = core.closing_entries.lock().await;
        let state = state_of(&core.store.jobs().get(job.id).await?)?;
        if status == ResultStatus::Done && state.is_over() && state != State::Done {
            return Ok(());
        }
        let subject = about_job(job.id);
        let Some(agreement) = core.recorder.recorded(&subject, "agreement").await? else { return Ok(()) };
        let known = core.recorder.recorded(&subject, "result").await?;
        if let Some(Body::Result(known)) = known.as_ref().map(|known| known.entry.entry().body())
            && known.status == status
            && (peers.is_empty() || known.peers == peers)
        {
            return Ok(());
        }
        let committed = match output {
            Some(output) => {
                let salt = Zeroizing::new(random()?);
                core.store.secrets().put_salt(job.id, &salt).await?;
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
            peers,
            metric: None,
        };
        // Whoever shows the result shows with it what was stated on the way.
        let stated = stated(core, job.id).await?.iter().map(SignedEntry::leaf).collect();
        let entry = core.recorder.sign_entry(core.recorder.header(stated)?, body)?;
        core.recorder.record(&subject, entry).await?;
        Ok(())
    }

    /// What a certificate of a job is about: what came of it, or what was agreed; and the entries that it rests on, other
    /// parties' among them.
    pub(super) async fn on_record(&self, id: &str) -> Result<(Recorded, Vec<SignedEntry>), Error> {
        let recorder = &self.0.recorder;
        let job = self.0.find(id).await?;
        let subject = about_job(job.id);
        let none = || {
            let text = format!("nothing of this job is on record: it is {} and never came to an agreement", job.state);
            Error::new(codes::EVIDENCE_NONE, text)
        };
        let agreement = recorder.recorded(&subject, "agreement").await?.ok_or_else(none)?;
        let result = recorder.recorded(&subject, "result").await?;
        let mut related = Vec::new();
        let main = match result {
            Some(result) => {
                related.push(agreement.entry.clone());
                for leaf in &result.entry.entry().header().rel {
                    related.extend(recorder.entry_of(*leaf).await?);
                }
                result
            }
            None => agreement.clone(),
        };
        let shown = job.parties.iter().filter_map(|party| SignedEntry::parse(party.entry.as_ref()?).ok());
        let shown: Vec<SignedEntry> = shown.collect();
        for leaf in agreement.entry.entry().references() {
            let ours = recorder.entry_of(leaf).await?;
            related.extend(ours.or_else(|| shown.iter().find(|entry| entry.leaf() == leaf).cloned()));
        }
        Ok((main, related))
    }

    /// Puts on record that a job is over without a result. A log that takes nothing holds up no job that is over: the
    /// next start tries again.
    pub(super) async fn record_end(&self, job: &Job) {
        let status = match state_of(job) {
            Ok(State::Failed) => ResultStatus::Failed,
            Ok(State::Cancelled) => ResultStatus::Cancelled,
            Ok(state @ (State::Revoked | State::Expired)) => return self.record_end_of_service(job, state).await,
            _ => return,
        };
        if let Err(error) = self.record_result(job, status, None, Vec::new()).await {
            tracing::warn!(job = %job.id, %error, "the end of the job is not on record yet");
        }
    }

    /// Puts on record that a service is over, once.
    async fn record_end_of_service(&self, job: &Job, state: State) {
        let recorder = &self.0.recorder;
        let record = async {
            let _one_at_a_time = self.0.closing_entries.lock().await;
            let subject = about_job(job.id);
            let ended = |body: &Body| matches!(body, Body::Statement(said) if said.topic.as_str() == SERVICE_ENDED);
            if !recorder.leaves_about(&subject, Kind::Statement.as_str(), ended).await?.is_empty() {
                return Ok(());
            }
            let code = |text: &str| Code::parse(text).map_err(unfit);
            let fields = StatementFields::new().with(code("state")?, StatementValue::Code(code(state.name())?));
            let who = job.failure.as_ref().and_then(|failure| failure.who);
            let fields = match who {
                Some(who) => fields.with(code("who")?, StatementValue::Party(who)),
                None => fields,
            };
            let about = StatementSubject::Job(Id(job.id.to_bytes()));
            let body = StatementEntry { topic: code(SERVICE_ENDED)?, subject: about, signers: Vec::new(), fields };
            let entry = recorder.sign_entry(recorder.header(Vec::new())?, body)?;
            recorder.record(&subject, entry).await.map(drop)
        };
        let recorded: Result<(), Error> = record.await;
        if let Err(error) = recorded {
            tracing::warn!(job = %job.id, %error, "the end of the service is not on record yet");
        }
    }

    /// Puts on record what a daemon that was killed, or a log that took nothing, left out: the ends of jobs, also behind
    /// the result of a job that was ended before anybody received it.
    pub(super) async fn record_missing(&self) -> Result<(), Error> {
        let (store, log) = (&self.0.store, self.0.recorder.log().origin());
        self.0.recorder.enter_waiting().await?;
        for state in [State::Failed, State::Cancelled] {
            let said = format!("\"status\":\"{state}\"");
            for job in store.entries().jobs_whose_last_entry_lacks(log, state.name(), "result", said.as_bytes()).await?
            {
                self.record_end(&store.jobs().get(job).await?).await;
            }
        }
        for state in [State::Revoked, State::Expired] {
            let ended = JobFilter { state: Some(state.name().to_owned()), ..JobFilter::default() };
            for job in store.jobs().list(&ended).await? {
                self.record_end(&job).await;
            }
        }
        for subject in store.entries().without(log, "agreement", "result").await? {
            let Some(id) = subject.strip_prefix("job:") else { continue };
            self.record_end(&self.0.find(id).await?).await;
        }
        Ok(())
    }

    /// Wipes the result of a job that is over, and the salt under the commitment to it; the ledger keeps that it was, and
    /// that it was wiped is on record when this returns.
    pub(super) async fn purge(&self, id: &str, by: &str) -> Result<Job, Error> {
        let core = self.0;
        let (job, erased) = {
            // No result that the erasure would not name goes on record meanwhile, and two purges are one erasure.
            let _recording = core.closing_entries.lock().await;
            let job = core.find(id).await?;
            let subject = about_job(job.id);
            let has_output = |body: &Body| matches!(body, Body::Result(said) if said.output.is_some());
            let targets = match job.purged_at {
                Some(_) => Vec::new(),
                None => core.recorder.leaves_about(&subject, Kind::Result.as_str(), has_output).await?,
            };
            let entries = core.recorder.erasures(&subject, &targets, Erased::SaltsAndRecords)?;
            core.store.jobs().purge(job.id, by, entries).await?
        };
        core.recorder.enter(erased).await?;
        Ok(job)
    }

    /// Gives out what opens the commitment to our output of a job: its salt and the digest of the output, once it is on
    /// record that they are given out.
    pub(super) async fn open_output(&self, asked: OpenOutput, by: &str) -> Result<OpenedOutput, Error> {
        let core = self.0;
        let reader = Reader::of(&asked.to, &asked.purpose)?;
        // Nothing is purged while it is being opened.
        let _closing = core.closing_entries.lock().await;
        let job = core.find(&asked.job).await?;
        let subject = about_job(job.id);
        let salt = core.store.secrets().salt(job.id).await?;
        let recorded = core.recorder.recorded(&subject, Kind::Result.as_str()).await?;
        let said = recorded.as_ref().map(|recorded| (recorded.entry.leaf(), recorded.entry.entry().body()));
        let (Some(salt), Some((target, Body::Result(ResultEntry { output: Some(commitment), .. })))) = (salt, said)
        else {
            return Err(without_result(&job));
        };
        let parts = core.store.secrets().result_parts(job.id).await?.ok_or_else(|| without_result(&job))?;
        let mut digest = OutputDigest::new(parts);
        for part in 0..parts {
            digest.add(&core.store.secrets().result_part(job.id, part).await?);
        }
        let digest = digest.finish();
        if !opens(commitment, Subject::Output, &Salt::new(*salt), &digest) {
            return Err(Error::damaged("the stored result is not the one on record"));
        }
        let event =
            NewEvent { job: Some(job.id), actor: by.to_owned(), kind: "output-opened".to_owned(), detail: json!({}) };
        let entry = core.recorder.record_opening(&subject, target, reader, event).await?;
        Ok(OpenedOutput { salt, digest, commitment: commitment.to_string(), entry: entry.to_string() })
    }
}

/// The digest of an output: of the digests of its parts, in order.
struct OutputDigest(Sha256);

impl OutputDigest {
    fn new(parts: u32) -> Self {
        Self(Sha256::new_with_prefix(b"tacitly-output-1\n").chain_update(parts.to_be_bytes()))
    }

    fn add(&mut self, part: &[u8]) {
        self.0.update(Sha256::digest(part));
    }

    fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

fn transcript(peer: PartyId, exchanged: &Exchanged) -> Result<PeerTranscript, Error> {
    Ok(PeerTranscript {
        peer,
        sent: TranscriptDigest(Hash(exchanged.sent.digest)),
        sent_bytes: ByteCount::new(exchanged.sent.bytes).map_err(unfit)?,
        received: TranscriptDigest(Hash(exchanged.received.digest)),
        received_bytes: ByteCount::new(exchanged.received.bytes).map_err(unfit)?,
    })
}
