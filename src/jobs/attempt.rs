//! One attempt at a job: read our data, compare sizes, run the protocol, store what we receive.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tacitly_core::{Checkpoint, Fault, Misuse, PartyId, Seed, SessionTag};
use tacitly_psi::{Buckets, Flow, Items, Member, PsiAnswer, PsiOutcome, PsiParty, PsiTerms};
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use super::asking::Gone;
use super::limits;
use super::message::{Answer, Ask, generated as pb};
use super::office::Jobs;
use super::outcome::Outcome;
use super::plan::{self, Plan, Room, Way};
use super::record::learners;
use super::running::{PeerReady, Work};
use super::sets::{self, Rows, Set};
use super::state::State;
use super::terms::{JobTerms, Kind};
use crate::codes::{self, Trouble};
use crate::datasets::Progress;
use crate::policy::{Receivers, Rule};
use crate::session::{
    self, Absence, CheckpointSink, Completed, Ended, LocalFailure, Options, PeerTranscripts, Retagged, Settle,
    Transcript,
};
use crate::store::{Job, JobChange, StoreError};
use crate::tally::TALLY;
use crate::transport::Notice;

/// The label of the session that runs the whole set at once.
pub const WHOLE: &str = "all";
/// The label of the session that learns the size before anything is released.
const SIZE: &str = "size";

/// How often a side that waits for the other says again where it stands. A restart can come between any two words.
const AGAIN: Duration = Duration::from_secs(5);
/// The pause before a peer that was busy a moment ago is asked again.
const SOON: Duration = Duration::from_millis(200);

/// The label under which the links know one attempt at the session that the protocol knows as `purpose`.
#[must_use]
pub fn attempt_label(purpose: &str, attempt: u32) -> String {
    format!("{purpose}, attempt {attempt}")
}

impl Jobs {
    /// The label of the checkpoint that holds our result until the peer has stored its own.
    pub(super) const OUTCOME: &str = "outcome";

    /// Runs one attempt to its end: our result is stored, the peer has said the same, and the ledger says `done`.
    pub(super) async fn attempt(self: &Arc<Self>, job: &Job, number: u32, work: &Work) -> Result<(), Gone> {
        let me = self.settings.me;
        let terms = Self::terms(job)?;
        let peer = terms.peer_of(me);
        if self.is_sole_receiver(&terms) && self.store.get_checkpoint(job.id, Self::OUTCOME).await?.is_some() {
            // The process ended between our result and its receipt: there is nothing left to compute.
            let report = self.store.job(job.id).await?.transcripts.unwrap_or_else(|| json!({}));
            return self.put_on_record(job, &report, work).await;
        }
        let rule = self.standing_rule(&terms).await?;
        let settled = self.settled(job).await?;
        let set = self.prepare(job, &terms, work).await?;
        let room = Room::of(&self.settings);
        let wish = settled.as_ref().map_or_else(|| set.wish(&room), Plan::wish);
        let (sized, finished) = self.buckets_done(job).await?;
        let ready = pb::Ready {
            job: job.id.to_string(),
            attempt: number,
            items: set.items(),
            wants_size: limits::minimum(&rule.limits).is_some(),
            whole: wish.whole,
            bucket: wish.bucket,
            settled: wish.settled,
            draw: None,
            sized,
            finished,
            dataset: self.dataset_leaf(&terms).await?.map_or_else(Default::default, |leaf| leaf.0.0.to_vec().into()),
        };
        let theirs = self.meet(job, peer, ready.clone(), work, |_| true).await?;
        // Reading may have taken long; the rule of this moment counts.
        let rule = self.standing_rule(&terms).await?;
        if limits::minimum(&rule.limits).is_some() != ready.wants_size {
            return Err(Gone::Restarted);
        }
        self.check_learner(&rule, &terms, peer, theirs.wants_size)?;
        limits::check_sizes(&rule.limits, set.items(), theirs.items)?;
        let way = plan::agree(peer, (set.items(), wish), (theirs.items, theirs.wish))?;
        self.note_sizes(job, set.items(), theirs.items).await?;
        work.show("putting the agreement on record");
        let learners = learners((me, ready.wants_size), (peer, theirs.wants_size));
        self.agree_on_record(job, &terms, theirs.dataset, &learners, &ready).await?;
        let (ours, theirs_items) = (set.items(), theirs.items);
        let session =
            Session { jobs: self, job, peer, terms: &terms, number, ours, theirs: theirs_items, ready: &ready, work };
        match way {
            Way::Whole => {
                if settled.is_none() {
                    self.settle(job, &Plan { bucket: 0, draw: 0 }).await?;
                }
                self.attempt_whole(&session, set, &learners, &rule).await
            }
            Way::Buckets(each) => self.attempt_in_buckets(&session, set, each, settled, &learners, &rule).await,
        }
    }

    fn is_sole_receiver(&self, terms: &JobTerms) -> bool {
        let me = self.settings.me;
        terms.receives(me) && !terms.receives(terms.peer_of(me))
    }

    /// Refuses to tell the size of the intersection to a peer that receives nothing, where our rule says that only we
    /// receive.
    fn check_learner(&self, rule: &Rule, terms: &JobTerms, peer: PartyId, wants_size: bool) -> Result<(), Trouble> {
        if wants_size && !terms.receives(peer) && rule.receivers == Receivers::Us {
            let text = format!(
                "the rule of {peer} demands a minimum, so that it would learn the size; the rule of {} keeps results to \
                 itself",
                self.settings.me
            );
            return Err(Trouble::new(codes::REFUSED_BY_RULE, text));
        }
        Ok(())
    }

    /// The job in one session over everything.
    async fn attempt_whole(
        self: &Arc<Self>,
        session: &Session<'_>,
        set: Set,
        learners: &[PartyId],
        rule: &Rule,
    ) -> Result<(), Gone> {
        let Session { job, terms, work, .. } = *session;
        let keys = match set {
            Set::Whole(keys) => keys,
            // An earlier attempt had more memory, and what it settled on stands.
            Set::Laid(_) => {
                let dataset = self.store.dataset(terms.dataset_of(self.settings.me)).await?;
                let input = self.datasets.input(&dataset)?;
                let (progress, _given_up) = Progress::of("reading our data", work.show_session());
                let read = spawn_blocking(move || input.keys_at_any_cost(&progress)).await;
                read.map_err(|_| Trouble::internal("reading ended unexpectedly"))??
            }
        };
        let items = || {
            let mut items = Items::with_capacity(keys.len(), keys.ids().map(<[u8]>::len).sum());
            keys.ids().for_each(|id| items.push(id));
            items
        };
        if !learners.is_empty() {
            let piece = Piece::new(SIZE, Flow::Cardinality, learners, items());
            let outcome = session.drive(session.party(piece).await?, None).await?;
            if let PsiAnswer::Size(size) = outcome.output.answer {
                self.check_minimum(rule, size)?;
            }
        }
        let piece = Piece::new(WHOLE, flow_of(terms.kind), &terms.receivers, items());
        // The result is durable before the frame that completed it is acknowledged.
        let (store, id, rows) = (self.store.clone(), job.id, Arc::new(Rows::OfFile(keys)));
        let (kept_rows, peer, sole_receiver) = (rows.clone(), session.peer, self.is_sole_receiver(terms));
        let settle: Settle<PsiOutcome> = Box::new(move |outcome: PsiOutcome, transcripts| {
            Box::pin(async move {
                if let Some(result) = result_of(&outcome.answer, &kept_rows) {
                    let bytes = Zeroizing::new(result.encode());
                    // A sole receiver's answer is the last of its session: what went over is whole by then, and kept
                    // with it. Whoever serves, too, has more to send.
                    let transcripts = sole_receiver.then(|| report(peer, &transcripts, None));
                    let checkpoint = Some((Self::OUTCOME.to_owned(), bytes));
                    let change = JobChange { checkpoint, transcripts, ..JobChange::by("daemon") };
                    let running = State::Running.name();
                    store.advance(id, &[running], running, change).await.map_err(local)?;
                }
                Ok(outcome)
            })
        });
        let completed = session.drive(session.party(piece).await?, Some(settle)).await?;
        let shared = result_of(&completed.output.answer, &rows).map(|result| result.items());
        let hint = if shared == Some(0) { rows.hint() } else { None };
        self.put_on_record(job, &report(peer, &completed.transcripts, hint), work).await
    }

    /// Refuses to go on if our rule demands that more keys are shared.
    pub(super) fn check_minimum(&self, rule: &Rule, size: u64) -> Result<(), Trouble> {
        if limits::minimum(&rule.limits).is_some_and(|minimum| size < minimum) {
            let text = format!("fewer keys are shared than the rule of {} demands", self.settings.me);
            return Err(Trouble::new(codes::BELOW_MINIMUM, text));
        }
        Ok(())
    }

    /// Reads our keys and makes sure that the job has its seed.
    async fn prepare(&self, job: &Job, terms: &JobTerms, work: &Work) -> Result<Set, Gone> {
        let (progress, _given_up) = Progress::of("reading our data", work.show_session());
        let dataset = self.store.dataset(terms.dataset_of(self.settings.me)).await?;
        let (input, room, hash) = (self.datasets.input(&dataset)?, Room::of(&self.settings), job.terms_hash);
        let read = spawn_blocking(move || sets::read(&input, &room, &hash, &progress)).await;
        let set = read.map_err(|_| Trouble::internal("reading a file ended unexpectedly"))??;
        let (items, most) = (set.items(), self.settings.items_per_job.min(tacitly_psi::MAX_ITEMS));
        if items > most {
            let text = format!("{} has {items} distinct keys, at most {most} fit into one job", dataset.name);
            return Err(Trouble::new(codes::TOO_MANY_ROWS, text).into());
        }
        if job.our_items.is_some_and(|items| items != set.items()) {
            return Err(Trouble::new(codes::DATASET_CHANGED, "our set is not the one this job began with").into());
        }
        if self.store.seed(job.id).await?.is_none() {
            let mut bytes = zeroize::Zeroizing::new([0; 32]);
            rand::TryRng::try_fill_bytes(&mut rand::rngs::SysRng, bytes.as_mut())
                .map_err(|_| Trouble::internal("the system gives no randomness"))?;
            let change = JobChange { seed: Some(Seed::from_bytes(*bytes)), ..JobChange::by("daemon") };
            let running = State::Running.name();
            self.store.advance(job.id, &[running], running, change).await?;
        }
        Ok(set)
    }

    /// Tells the peer where our set stands and waits until it has said the same and is `far_enough`.
    pub(super) async fn meet(
        self: &Arc<Self>,
        job: &Job,
        peer: PartyId,
        ours: pb::Ready,
        work: &Work,
        far_enough: impl Fn(&PeerReady) -> bool,
    ) -> Result<PeerReady, Gone> {
        work.show("waiting for the peer to read its data");
        let mut ready = work.peer_ready.subscribe();
        let number = ours.attempt;
        loop {
            let up_since = self.peers.link_up_since(peer);
            match self.ask_within_window(peer, Ask::Ready(ours.clone())).await? {
                answer @ (Answer::Standing(_) | Answer::Unknown(_)) => {
                    return Err(self.hear_in_attempt(job, peer, answer).await);
                }
                // Everybody was at this attempt before the leader began it: the peer's process is another one now.
                Answer::Pending(_) if job.leader == self.settings.me => return Err(Gone::Restarted),
                // The leader begins a moment after us, unless it gives the attempt up, and says so.
                Answer::Pending(_) => {
                    tokio::time::sleep(SOON).await;
                    continue;
                }
                _ => {}
            }
            let arrived =
                ready.wait_for(|ready| ready.is_some_and(|ready| ready.attempt == number && far_enough(&ready)));
            tokio::select! {
                arrived = arrived => return arrived.map_err(|_| Gone::Stopped)?.ok_or(Gone::Stopped),
                trouble = self.peers.link_given_up(peer) => return Err(Gone::Lost(trouble)),
                () = self.peers.link_restored(peer, up_since) => {}
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }

    async fn note_sizes(&self, job: &Job, ours: u64, theirs: u64) -> Result<(), Trouble> {
        let change = JobChange { our_items: Some(ours), their_items: Some(theirs), ..JobChange::by("daemon") };
        let running = State::Running.name();
        self.store.advance(job.id, &[running], running, change).await?;
        Ok(())
    }

    /// Our side of an attempt is done, and its result stored: what went over goes on record, before anybody hears of it.
    pub(super) async fn put_on_record(
        self: &Arc<Self>,
        job: &Job,
        report: &serde_json::Value,
        work: &Work,
    ) -> Result<(), Gone> {
        self.note_report(job, report, work).await?;
        self.record_done(job, Some(report)).await?;
        Ok(())
    }

    /// Notes in the ledger what went over in this attempt, once.
    pub(super) async fn note_report(
        &self,
        job: &Job,
        report: &serde_json::Value,
        work: &Work,
    ) -> Result<(), StoreError> {
        if !work.is_reported() {
            let change = JobChange { transcripts: Some(report.clone()), ..JobChange::by("daemon") };
            self.store.advance(job.id, &[State::Running.name()], State::Running.name(), change).await?;
            work.note_reported();
        }
        Ok(())
    }
}

/// What one attempt needs for each of its protocol sessions.
#[derive(Clone, Copy)]
pub(super) struct Session<'a> {
    pub(super) jobs: &'a Arc<Jobs>,
    pub(super) job: &'a Job,
    pub(super) peer: PartyId,
    pub(super) terms: &'a JobTerms,
    pub(super) number: u32,
    pub(super) ours: u64,
    pub(super) theirs: u64,
    /// What we have said last of our set.
    pub(super) ready: &'a pb::Ready,
    pub(super) work: &'a Work,
}

/// What one protocol session computes. `purpose` names it for the protocol: its secrets and its checkpoint, which
/// outlive the attempt.
pub(super) struct Piece {
    pub(super) purpose: String,
    pub(super) flow: Flow,
    pub(super) receivers: Vec<PartyId>,
    pub(super) buckets: Option<Buckets>,
    pub(super) items: Items,
}

impl Piece {
    fn new(purpose: &str, flow: Flow, receivers: &[PartyId], items: Items) -> Self {
        Self { purpose: purpose.to_owned(), flow, receivers: receivers.to_vec(), buckets: None, items }
    }
}

/// A party that is ready to be driven, and its tags inside and on the links.
pub(super) struct ReadyParty {
    party: PsiParty,
    purpose: String,
    inside: SessionTag,
    outside: SessionTag,
}

impl Session<'_> {
    /// Prepares one protocol session. On the links the attempt's number is in the label, so that no frame of an earlier
    /// attempt is taken for one of this.
    pub(super) async fn party(&self, piece: Piece) -> Result<ReadyParty, Gone> {
        let (jobs, me, peer) = (self.jobs, self.jobs.settings.me, self.peer);
        let Piece { purpose, flow, receivers, buckets, items } = piece;
        let members = [(me, self.ours), (peer, self.theirs)].map(|(id, items)| {
            let member = Member::new(id, items);
            buckets.map_or(member, |buckets| member.padded(buckets.list(items)))
        });
        let key: Vec<&str> = self.terms.key.iter().map(String::as_str).collect();
        let terms = PsiTerms::new(flow, members, &receivers, &key, &self.terms.job).and_then(|terms| match buckets {
            Some(buckets) => terms.with_buckets(buckets),
            None => Ok(terms),
        });
        let terms = terms.map_err(|error| Trouble::new(codes::BAD_REQUEST, error.to_string()))?;
        let seed = jobs.store.seed(self.job.id).await?.ok_or_else(|| Trouble::internal("a running job has a seed"))?;
        let resume = jobs.store.get_checkpoint(self.job.id, &purpose).await?;
        let resume = resume.map(|bytes| Checkpoint::new(PsiParty::CHECKPOINT_SLOT, bytes.to_vec()));
        let hash = terms.to_terms().hash();
        let inside = SessionTag::of(&hash, &purpose);
        let outside = SessionTag::of(&hash, &attempt_label(&purpose, self.number));
        let (label, seed) = (purpose.clone(), seed.same(&purpose));
        let party = spawn_blocking(move || PsiParty::new(terms, me, &label, items, seed, resume))
            .await
            .map_err(|_| Trouble::internal("preparing the set ended unexpectedly"))?
            .map_err(|fault| of_fault(&fault, "preparing the set"))?;
        Ok(ReadyParty { party, purpose, inside, outside })
    }

    /// Runs one protocol session to its end.
    pub(super) async fn drive(
        &self,
        ready: ReadyParty,
        settle: Option<Settle<PsiOutcome>>,
    ) -> Result<Completed<PsiOutcome>, Gone> {
        let (jobs, peer) = (self.jobs, self.peer);
        let ReadyParty { party, purpose, inside, outside } = ready;
        let link = jobs.peers.network().open(peer, outside);
        let link = link.map_err(|error| Trouble::new(codes::LINK_DOWN, error.to_string()).with(peer))?;
        let (store, id) = (jobs.store.clone(), self.job.id);
        let checkpoint: CheckpointSink = Box::new(move |checkpoint: Checkpoint| {
            let (store, purpose) = (store.clone(), purpose.clone());
            Box::pin(async move { store.put_checkpoint(id, &purpose, &checkpoint.bytes).await.map_err(local) })
        });
        let options = Options {
            deadline: Some(self.work.until),
            status: Some(self.work.show_session()),
            checkpoint: Some(checkpoint),
            settle,
            ..Options::default()
        };
        let _counted_however_it_ends = Counted(self.work);
        let driven = session::drive(Box::new(Retagged::new(party, inside, outside)), vec![link], options);
        let ended = tokio::select! {
            biased;
            ended = driven => ended,
            () = self.peer_is_elsewhere() => return Err(Gone::Restarted),
        };
        TALLY.ending(ended.as_ref().map_or_else(Ended::code, |_| "done"));
        ended.map_err(of_ended)
    }

    /// Returns if the peer is not at this attempt. The link notices a process that ends from the moment on at which our
    /// session is open; one that ended between its last word to us and that moment would never open its own.
    async fn peer_is_elsewhere(&self) {
        let peer = self.peer;
        loop {
            match self.jobs.ask_within_window(peer, Ask::Ready(self.ready.clone())).await {
                Ok(Answer::Pending(_)) => return,
                Ok(Answer::Busy(_)) => tokio::time::sleep(SOON).await,
                Ok(answer @ (Answer::Standing(_) | Answer::Unknown(_))) => {
                    // Whatever this does to the job ends our work, too.
                    let _over = self.jobs.hear_in_attempt(self.job, peer, answer).await;
                    break;
                }
                _ => break,
            }
        }
        std::future::pending().await
    }
}

/// What the protocol computes for a job of this kind.
pub(super) fn flow_of(kind: Kind) -> Flow {
    match kind {
        Kind::Intersect => Flow::Intersect,
        Kind::Align => Flow::Align,
        Kind::Cardinality => Flow::Cardinality,
    }
}

/// Adds a session's bytes to the tally when it is over, also if its attempt was stopped.
struct Counted<'a>(&'a Work);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let live = self.0.session();
        TALLY.bytes(live.bytes_out, live.bytes_in);
    }
}

/// What a receiver keeps of an answer; nothing if it only served.
pub(super) fn result_of(answer: &PsiAnswer, rows: &Rows) -> Option<Outcome> {
    match answer {
        PsiAnswer::Served => None,
        PsiAnswer::Matched(items) => Some(Outcome::Rows(rows.of_items(items))),
        PsiAnswer::Aligned(items) => Some(Outcome::Aligned(rows.in_order(items))),
        PsiAnswer::Size(size) => Some(Outcome::Size(*size)),
    }
}

/// What is kept of a session in the ledger, and a hint about our own column if nothing was shared.
fn report(peer: PartyId, transcripts: &BTreeMap<PartyId, PeerTranscripts>, hint: Option<String>) -> serde_json::Value {
    let side = |transcript: &Transcript| {
        let digest = data_encoding::HEXLOWER.encode(&transcript.digest);
        json!({ "frames": transcript.frames, "bytes": transcript.bytes, "digest": format!("sha256:{digest}") })
    };
    match transcripts.get(&peer) {
        Some(transcripts) => {
            json!({ "sent": side(&transcripts.sent), "received": side(&transcripts.received), "hint": hint })
        }
        None => json!({ "hint": hint }),
    }
}

/// A store's refusal as a session's: the peer hears the code only.
pub(super) fn local(error: StoreError) -> LocalFailure {
    let trouble = Trouble::from(error);
    LocalFailure { code: trouble.code.name, detail: trouble.text }
}

/// A session's ending as an attempt's.
fn of_ended(ended: Ended) -> Gone {
    let resumable = ended.is_resumable();
    let text = ended.to_string();
    match ended {
        Ended::Stalled { who, cause: Absence::PeerLost, stage } => {
            Gone::Lost(Trouble::new(codes::PEER_LOST, text).with(who).during(stage))
        }
        Ended::Local { code: Notice::SHUTDOWN, .. } => Gone::Stopped,
        // Somebody was away and is back: the next attempt finds out.
        _ if resumable => Gone::Restarted,
        Ended::Stalled { who, stage, .. } => Gone::Lost(Trouble::new(codes::PEER_LOST, text).with(who).during(stage)),
        Ended::Fault(fault) => Gone::Trouble(of_fault(&fault, "")),
        Ended::PeerFailed { who, stage, .. } => {
            Gone::Trouble(Trouble::new(codes::PEER_FAILED, text).with(who).during(stage))
        }
        Ended::Cancelled { by, stage } => Gone::Trouble(Trouble::new(codes::CANCELLED, text).with(by).during(stage)),
        Ended::Deadline { stage } => Gone::Trouble(Trouble::new(codes::DEADLINE, text).during(stage)),
        Ended::Local { code, detail, stage } => {
            let code = codes::by_name(code).unwrap_or(codes::INTERNAL);
            Gone::Trouble(Trouble::new(code, detail).during(stage))
        }
    }
}

fn of_fault(fault: &Fault, stage: &str) -> Trouble {
    let trouble = match fault {
        Fault::Peer { who, .. } => Trouble::new(codes::PROTOCOL_VIOLATION, fault.to_string()).with(*who),
        Fault::Dispute { .. } => Trouble::new(codes::PROTOCOL_DISPUTE, fault.to_string()),
        Fault::Terms(mismatch) => Trouble::new(codes::TERMS_DIFFER, mismatch.to_string()),
        Fault::Misuse(Misuse::TooManyRows { .. }) => Trouble::new(codes::TOO_MANY_ROWS, fault.to_string()),
        Fault::Misuse(_) => Trouble::internal(fault.to_string()),
    };
    trouble.during(stage)
}
