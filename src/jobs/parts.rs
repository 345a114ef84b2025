//! The parts of a phase, one after the other: each is one protocol session, kept when it is over. While one runs the next
//! one is prepared.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tacitly_core::{Checkpoint, Fault, Misuse, PartyId, Seed, SessionTag};
use tokio::task::spawn_blocking;

use super::asking;
use super::collect;
use super::core::Core;
use super::message::{Answer, Ask, generated as pb};
use super::meter::Metered;
use super::part::{Inputs, Over, PartOutput, PartParty, PartsOver, Shown, Stop, Task, TaskSeed};
use super::running::{Course, RunningJob};
use super::scope::Scope;
use crate::codes::{self, Error};
use crate::counters::COUNTERS;
use crate::session::{
    self, Absence, AttemptTag, CheckpointSink, Completed, Ended, LocalFailure, Options, PeerTranscripts, SessionLimits,
    Settle,
};
use crate::store::{Job, StoreError};
use crate::transport::{Notice, SessionLink};

/// How the label of a checkpoint begins that says that a part is over.
const OVER: &str = "over ";
/// How the labels of a part's own checkpoints begin.
const PART: &str = "part ";
/// The pause before a party that was busy a moment ago is asked again.
const SOON: Duration = Duration::from_millis(200);

/// The label under which the links know one attempt at the session that the protocol knows as `part`.
#[must_use]
pub fn attempt_label(part: &str, attempt: u32) -> String {
    format!("{part}, attempt {attempt}")
}

/// The parts of one phase in one attempt.
pub(super) struct Parts<'a> {
    pub(super) scope: &'a Scope,
    pub(super) shown: Shown,
    pub(super) inputs: Inputs,
}

/// What is kept of each part that is not over, by its label.
type KeptParts = BTreeMap<String, Vec<Checkpoint>>;

impl Parts<'_> {
    pub(super) async fn run(&self, tasks: Vec<Task>) -> Result<Vec<u64>, Stop> {
        let (core, job) = (&self.scope.core, &self.scope.job);
        let (over, mut kept) = (over(core, job).await?, kept(core, job).await?);
        let mut items: Vec<Option<u64>> =
            tasks.iter().map(|task| over.get(&(task.phase.clone(), task.part)).map(|over| over.items)).collect();
        // A part that is over here and not there is run again, for those who lack it.
        let is_due =
            |at: &usize| items[*at].is_none() || tasks[*at].peers.iter().any(|peer| self.lacks(*peer, &tasks[*at]));
        let due: Vec<usize> = (0..tasks.len()).filter(is_due).collect();
        let mut course = Course { shown: self.shown, done: self.shown.before, ..Course::default() };
        let mut prepared = None;
        for (turn, at) in due.iter().enumerate() {
            if core.closing.is_cancelled() {
                return Err(Stop::Stopped);
            }
            let task = &tasks[*at];
            if !self.shown.part.is_empty() {
                course.words = format!("{} {} of {}", self.shown.part, task.part + 1, tasks.len());
            }
            course.done = self.shown.before + (tasks.len() - due.len() + turn) as u64 * self.shown.units;
            self.scope.work.show_course(course.clone());
            let party = match prepared.take() {
                Some(party) => party,
                None => self.prepare(task, kept.remove(&task.label())).await?,
            };
            let next = async {
                match due.get(turn + 1) {
                    Some(following) => {
                        let task = &tasks[*following];
                        self.prepare(task, kept.remove(&task.label())).await.map(Some)
                    }
                    None => Ok(None),
                }
            };
            let (completed, next) = tokio::join!(self.drive(task, party), next);
            let over = completed?;
            core.store.secrets().put_checkpoint(job.id, &format!("{OVER}{}", task.label()), &write(&over)?).await?;
            for exchanged in over.peers.values() {
                course.bytes_out += exchanged.sent.bytes;
                course.bytes_in += exchanged.received.bytes;
            }
            items[*at] = Some(over.items);
            prepared = next?;
        }
        Ok(items.into_iter().map(Option::unwrap_or_default).collect())
    }

    fn lacks(&self, peer: PartyId, task: &Task) -> bool {
        let over_there: Option<&PartsOver> = self.scope.over_there.get(&peer);
        self.scope.with.contains(&peer)
            && over_there.and_then(|over| over.get(&task.phase)).is_none_or(|parts| !parts.contains(&task.part))
    }

    /// Makes the party of a part, where its checkpoints stand.
    async fn prepare(&self, task: &Task, kept: Option<Vec<Checkpoint>>) -> Result<PartParty, Stop> {
        let _computes = self.scope.work.meter.compute();
        let (inputs, make, task) = (self.inputs.clone(), self.scope.make_party.clone(), task.clone());
        let seed = self.seed(&task);
        let made = spawn_blocking(move || {
            let party = make(&task, inputs(&task)?, seed, kept.unwrap_or_default());
            party.map_err(|fault| Stop::Failed(of_fault(&fault, "preparing a part")))
        });
        made.await.map_err(|_| Error::internal("preparing a part ended unexpectedly"))?
    }

    fn seed(&self, task: &Task) -> Seed {
        match task.seed {
            TaskSeed::Same => self.scope.seed.same(&task.label()),
            TaskSeed::Fresh => self.scope.seed_fresh(&task.label()),
        }
    }

    /// Runs one part to its end.
    async fn drive(&self, task: &Task, party: PartParty) -> Result<Over, Stop> {
        let (core, id, label) = (&self.scope.core, self.scope.job.id, task.label());
        let inside = SessionTag::of(&task.terms_hash(), &label);
        // On the links the attempt's number is in the label, so that no frame of an earlier attempt is taken for one of
        // this.
        let outside = SessionTag::of(&task.terms_hash(), &attempt_label(&label, self.scope.attempt));
        let mut links = Vec::new();
        for peer in task.peers.iter().filter(|peer| self.scope.with.contains(peer)) {
            links.push(self.link(*peer, outside, task.limits)?);
        }
        let store = core.store.clone();
        let checkpoint: CheckpointSink = Box::new(move |checkpoint: Checkpoint| {
            let (store, label) = (store.clone(), format!("{PART}{label}, {}", checkpoint.slot));
            Box::pin(async move { store.secrets().put_checkpoint(id, &label, &checkpoint.bytes).await.map_err(local) })
        });
        // The result is durable before the frame that completed it is acknowledged, and so is what went over by then: a
        // sole receiver's answer is the last of its session.
        let (store, part) = (core.store.clone(), task.part);
        let items = Arc::new(AtomicU64::new(0));
        let (told, over_label) = (items.clone(), format!("{OVER}{}", task.label()));
        let settle: Settle<PartOutput> =
            Box::new(move |output: PartOutput, transcripts: BTreeMap<PartyId, PeerTranscripts>| {
                Box::pin(async move {
                    told.store(output.items, Ordering::Relaxed);
                    if let Some(result) = &output.result {
                        store.secrets().put_result_part(id, part, result).await.map_err(local)?;
                    }
                    if output.is_last_word {
                        let failed = |why: Error| LocalFailure { code: why.code.name, detail: why.text };
                        let over = write(&Over::of(output.items, &transcripts)).map_err(failed)?;
                        store.secrets().put_checkpoint(id, &over_label, &over).await.map_err(local)?;
                    }
                    Ok(output)
                })
            });
        let options = Options {
            deadline: Some(self.scope.work.until),
            status: Some(self.scope.work.show_session()),
            checkpoint: Some(checkpoint),
            settle: Some(settle),
            ..Options::default()
        };
        let _counted_however_it_ends = Counted(&self.scope.work);
        let meter = &self.scope.work.meter;
        let _waiting = meter.wait_for(links.iter().map(SessionLink::peer).collect());
        let party = AttemptTag::new(Metered::new(party, meter.clone()), inside, outside);
        let driven = session::drive(Box::new(party), links, options);
        let ended = tokio::select! {
            biased;
            ended = driven => ended,
            () = self.somebody_is_elsewhere(task) => return Err(Stop::Restarted),
        };
        COUNTERS.ending(ended.as_ref().map_or_else(Ended::code, |_| "done"));
        let Completed { transcripts, .. } = ended.map_err(|ended| self.of_ended(ended))?;
        Ok(Over::of(items.load(Ordering::Relaxed), &transcripts))
    }

    /// Our link with a party of this attempt: the one that we have as its peer, or one through the leader.
    fn link(&self, peer: PartyId, session: SessionTag, limits: SessionLimits) -> Result<SessionLink, Error> {
        if limits.window.is_some_and(|window| !window.has_room(0, 0)) {
            return Err(Error::internal("the part has a window into which no frame fits"));
        }
        if self.is_behind_leader(peer) {
            return self.scope.membership.open(peer, session, limits);
        }
        let link = self.scope.core.peers.network().open_with(peer, session, limits);
        link.map_err(|error| Error::new(codes::LINK_DOWN, error.to_string()).with(peer))
    }

    /// Whether a party is none of our peers, so that we reach it through the leader only.
    fn is_behind_leader(&self, peer: PartyId) -> bool {
        let leader = self.scope.job.leader;
        peer != leader && self.scope.core.me() != leader && !self.scope.core.peers.has_link(peer)
    }

    /// A session's ending as an attempt's. Whoever brings us nothing of a party behind it is named in its place: whether
    /// that party is away is the leader's word only.
    fn of_ended(&self, ended: Ended) -> Stop {
        let behind = match &ended {
            Ended::Stalled { who, cause: Absence::PeerLost, .. } if self.is_behind_leader(*who) => Some(*who),
            _ => None,
        };
        match (behind, of_ended(ended)) {
            (Some(peer), Stop::Lost(why)) => {
                let leader = self.scope.job.leader;
                let text = format!("{}; {leader} brings us nothing from {peer}, or {peer} is away", why.text);
                Stop::Lost(Error { text, ..why }.with(leader))
            }
            (_, stop) => stop,
        }
    }

    /// Returns if a party is not at this attempt. The link notices a process that ends from the moment on at which our
    /// session is open; one that ended between its last word to us and that moment would never open its own.
    async fn somebody_is_elsewhere(&self, task: &Task) {
        let (core, job) = (&self.scope.core, &self.scope.job);
        let can_be_asked = |peer: &&PartyId| self.scope.with.contains(peer) && !self.is_behind_leader(**peer);
        for peer in task.peers.iter().filter(can_be_asked) {
            let ask = Ask::Present(pb::Present { job: job.id.to_string(), attempt: self.scope.attempt });
            loop {
                match asking::within_window(&core.peers, *peer, ask.clone()).await {
                    Ok(Answer::Pending(_)) => return,
                    Ok(Answer::Busy(_)) => tokio::time::sleep(SOON).await,
                    Ok(answer @ (Answer::Standing(_) | Answer::Unknown(_))) if *peer == job.leader => {
                        // Whatever this does to the job ends our work, too.
                        let _over = collect::hear(core, job, *peer, answer).await;
                        break;
                    }
                    _ => break,
                }
            }
        }
        std::future::pending().await
    }
}

/// Adds a session's bytes to the tally when it is over, also if its attempt was stopped.
struct Counted<'a>(&'a RunningJob);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let progress = self.0.session();
        COUNTERS.bytes(progress.bytes_out, progress.bytes_in);
    }
}

/// Everything that is over here, by phase and part.
pub(super) async fn over(core: &Core, job: &Job) -> Result<BTreeMap<(String, u32), Over>, Error> {
    let mut all = BTreeMap::new();
    for label in core.store.secrets().checkpoint_labels(job.id).await? {
        let Some(name) = label.strip_prefix(OVER) else { continue };
        let Some((phase, part)) = name.rsplit_once(' ') else { continue };
        let Ok(part) = part.parse() else { continue };
        let Some(bytes) = core.store.secrets().checkpoint(job.id, &label).await? else { continue };
        let over = serde_json::from_slice(&bytes);
        let over = over.map_err(|error| Error::damaged(format!("a checkpoint cannot be read: {error}")))?;
        all.insert((phase.to_owned(), part), over);
    }
    Ok(all)
}

/// The checkpoints of the parts that an earlier attempt has begun here.
async fn kept(core: &Core, job: &Job) -> Result<KeptParts, Error> {
    let mut all = KeptParts::new();
    for stored in core.store.secrets().checkpoint_labels(job.id).await? {
        let Some((label, slot)) = stored.strip_prefix(PART).and_then(|name| name.split_once(", ")) else { continue };
        if let Some(bytes) = core.store.secrets().checkpoint(job.id, &stored).await? {
            all.entry(label.to_owned()).or_default().push(Checkpoint::new(slot, bytes.to_vec()));
        }
    }
    Ok(all)
}

fn write(over: &Over) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(over).map_err(|error| Error::internal(error.to_string()))
}

/// A store's refusal as a session's: the peer hears the code only.
fn local(error: StoreError) -> LocalFailure {
    let error = Error::from(error);
    LocalFailure { code: error.code.name, detail: error.text }
}

/// A session's ending as an attempt's.
pub(super) fn of_ended(ended: Ended) -> Stop {
    let resumable = ended.is_resumable();
    let text = ended.to_string();
    match ended {
        Ended::Stalled { who, cause: Absence::PeerLost, stage } => {
            Stop::Lost(Error::new(codes::PEER_LOST, text).with(who).during(stage))
        }
        Ended::Local { code: Notice::SHUTDOWN, .. } => Stop::Stopped,
        // Somebody was away and is back: the next attempt finds out.
        _ if resumable => Stop::Restarted,
        Ended::Stalled { who, stage, .. } => Stop::Lost(Error::new(codes::PEER_LOST, text).with(who).during(stage)),
        Ended::Fault(fault) => Stop::Failed(of_fault(&fault, "")),
        Ended::PeerFailed { who, stage, .. } => {
            Stop::Failed(Error::new(codes::PEER_FAILED, text).with(who).during(stage))
        }
        Ended::Cancelled { by, stage } => Stop::Failed(Error::new(codes::CANCELLED, text).with(by).during(stage)),
        Ended::Deadline { stage } => Stop::Failed(Error::new(codes::DEADLINE, text).during(stage)),
        Ended::Local { code, detail, stage } => {
            let code = codes::by_name(code).unwrap_or(codes::INTERNAL);
            Stop::Failed(Error::new(code, detail).during(stage))
        }
    }
}

/// A protocol's fault as an error of the job.
pub(super) fn of_fault(fault: &Fault, stage: &str) -> Error {
    let error = match fault {
        Fault::Peer { who, .. } => Error::new(codes::PROTOCOL_VIOLATION, fault.to_string()).with(*who),
        Fault::Dispute { .. } => Error::new(codes::PROTOCOL_DISPUTE, fault.to_string()),
        // Both sides derive the terms of a session from what both have signed.
        Fault::Terms { who, mismatch } => {
            Error::lie(*who, &format!("it opened with other terms than it signed: {mismatch}"))
        }
        Fault::Misuse(Misuse::TooManyRows { .. }) => Error::new(codes::TOO_MANY_ROWS, fault.to_string()),
        Fault::Misuse(_) => Error::internal(fault.to_string()),
    };
    error.during(stage)
}

#[cfg(test)]
mod tests {
    use tacitly_core::Terms;

    use super::*;

    #[test]
    fn a_peer_that_opens_with_other_terms_than_it_has_signed_is_named_for_it() {
        let who = "shop".parse().unwrap();
        let ours = Terms::new().with("rows", 7);
        let mismatch = ours.agree_with(&ours.clone().with("\x1b[2J", 1)).unwrap_err();
        let error = of_fault(&Fault::Terms { who, mismatch }, "opening");
        assert_eq!((error.code, error.who), (codes::PROTOCOL_VIOLATION, Some(who)));
        assert!(error.text.contains("other terms than it signed") && !error.text.contains('\x1b'), "{}", error.text);
    }
}
