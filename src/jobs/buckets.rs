//! A job larger than memory: one protocol session per bucket, one after the other, each kept when it is over.
//!
//! | label in the ledger | holds |
//! |---|---|
//! | `plan` | what all attempts do: keys of a bucket, draw of the hash |
//! | `bucket 17`, `size of bucket 17` | the protocol's own checkpoint: which list of the peer was answered |
//! | the same with `, done` | that the session is over: how many keys it shared, what went over it |
//!
//! Both sides go through the buckets in the same order and tell each other how many they have behind them, so an attempt
//! begins where the one that is less far stands. That is at most one bucket before the other: a session is over on one
//! side only when the other has consumed all of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use tacitly_core::PartyId;
use tacitly_psi::{Buckets, Flow, MAX_DRAW, PsiOutcome};
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use super::asking::Gone;
use super::attempt::{Piece, ReadyParty, Session, flow_of, local, result_of};
use super::message::generated as pb;
use super::office::Jobs;
use super::outcome::Outcome;
use super::plan::{self, Plan, Room};
use super::running::Course;
use super::sets::{Laid, Rows, Set};
use super::terms::Kind;
use crate::codes::{self, Trouble};
use crate::datasets::Progress;
use crate::policy::Rule;
use crate::session::{Completed, Settle, Transcript};
use crate::store::Job;

const PLAN: &str = "plan";
const DONE: &str = ", done";

/// What the sessions of a job in buckets are for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Learning the size before anything else is released.
    Size,
    /// The job itself.
    Main,
}

impl Phase {
    fn label(self, bucket: u32) -> String {
        match self {
            Self::Size => format!("size of bucket {bucket}"),
            Self::Main => format!("bucket {bucket}"),
        }
    }

    fn done_label(self, bucket: u32) -> String {
        self.label(bucket) + DONE
    }
}

/// What is kept of a session that is over.
#[derive(Serialize, Deserialize)]
struct Done {
    /// Keys that it shared, as far as we learned it.
    items: u64,
    sent: Side,
    received: Side,
}

#[derive(Default, Serialize, Deserialize)]
struct Side {
    frames: u64,
    bytes: u64,
    digest: String,
}

impl From<&Transcript> for Side {
    fn from(transcript: &Transcript) -> Self {
        let digest = data_encoding::HEXLOWER.encode(&transcript.digest);
        Self { frames: transcript.frames, bytes: transcript.bytes, digest }
    }
}

impl Jobs {
    /// What an earlier attempt has settled on.
    pub(super) async fn settled(&self, job: &Job) -> Result<Option<Plan>, Trouble> {
        match self.store.get_checkpoint(job.id, PLAN).await? {
            Some(bytes) => read(&bytes).map(Some),
            None => Ok(None),
        }
    }

    /// Settles on a way for this and all later attempts.
    pub(super) async fn settle(&self, job: &Job, plan: &Plan) -> Result<(), Trouble> {
        Ok(self.store.put_checkpoint(job.id, PLAN, &write(plan)?).await?)
    }

    /// How many buckets are over in both phases, from the first on.
    pub(super) async fn buckets_done(&self, job: &Job) -> Result<(u32, u32), Trouble> {
        let labels = self.store.checkpoint_labels(job.id).await?;
        let behind_us = |phase: Phase| {
            (0..).take_while(|bucket| labels.binary_search(&phase.done_label(*bucket)).is_ok()).count() as u32
        };
        Ok((behind_us(Phase::Size), behind_us(Phase::Main)))
    }

    /// The job, bucket by bucket.
    pub(super) async fn attempt_in_buckets(
        self: &Arc<Self>,
        session: &Session<'_>,
        set: Set,
        each: u64,
        settled: Option<Plan>,
        learners: &[PartyId],
        rule: &Rule,
    ) -> Result<(), Gone> {
        let Session { job, terms, work, ready, .. } = *session;
        let ours = (ready.sized, ready.finished);
        let (laid, buckets, theirs) = self.agree_on_draw(session, set, each, settled.as_ref()).await?;
        let ready = pb::Ready { draw: Some(buckets.draw()), ..ready.clone() };
        let session = &Session { ready: &ready, ..*session };
        if settled.is_none() {
            self.settle(job, &Plan { bucket: each, draw: buckets.draw() }).await?;
        }
        tracing::info!(job = %job.id, buckets = buckets.count(), keys = each, draw = buckets.draw(), "in buckets");
        let laid = Arc::new(laid);
        let phases = if learners.is_empty() { 1 } else { 2 };
        let run = InBuckets { session, laid: laid.clone(), buckets, phases };
        if !learners.is_empty() {
            run.phase(Phase::Size, ours.0.min(theirs.0), Flow::Cardinality, learners).await?;
            if learners.contains(&self.settings.me) {
                self.check_minimum(rule, self.all_done(job, Phase::Size, &buckets).await?.items)?;
            }
        }
        run.phase(Phase::Main, ours.1.min(theirs.1), flow_of(terms.kind), &terms.receivers).await?;

        let all = self.all_done(job, Phase::Main, &buckets).await?;
        let receives = terms.receives(self.settings.me);
        let hint = if receives && all.items == 0 {
            work.show("looking at our own column");
            let hint = spawn_blocking(move || laid.hint()).await;
            hint.map_err(|_| Trouble::internal("reading ended unexpectedly"))?
        } else {
            None
        };
        let side = |side: &Side| json!({ "frames": side.frames, "bytes": side.bytes, "digest": side.digest });
        let report = json!({
            "sent": side(&all.sent), "received": side(&all.received), "hint": hint, "buckets": buckets.count()
        });
        // The peer's receipt may end the job from the moment on at which our outcome is there: the report comes first.
        self.note_report(job, &report, work).await?;
        if receives {
            let outcome = match terms.kind {
                Kind::Cardinality => Outcome::Size(all.items),
                Kind::Intersect | Kind::Align => Outcome::Parts { parts: buckets.count(), items: all.items },
            };
            self.store.put_checkpoint(job.id, Self::OUTCOME, &outcome.encode()).await?;
        }
        self.put_on_record(job, &report, work).await
    }

    /// Finds the first draw under which both sets fit, and tells the peer which one that is for ours until both say the
    /// same. Returns how many buckets the peer has behind it, too.
    async fn agree_on_draw(
        self: &Arc<Self>,
        session: &Session<'_>,
        set: Set,
        each: u64,
        settled: Option<&Plan>,
    ) -> Result<(Laid, Buckets, (u32, u32)), Gone> {
        let Session { job, terms, work, .. } = *session;
        let (hash, largest) = (job.terms_hash, session.ours.max(session.theirs));
        let dataset = self.store.dataset(terms.dataset_of(self.settings.me)).await?;
        let input = self.datasets.input(&dataset)?;
        let mut draw = settled.map_or(0, |plan| plan.draw);
        let mut set = Some(set);
        loop {
            let Some(buckets) = plan::buckets(largest, each, draw) else {
                let text = format!("no draw up to {MAX_DRAW} cuts both sets into buckets that fit");
                return Err(Trouble::internal(text).into());
            };
            let (progress, _given_up) = Progress::of("sorting our data into buckets", work.show_session());
            let (input, room, taken) = (input.clone(), Room::of(&self.settings), set.take());
            let sorted = spawn_blocking(move || match taken {
                Some(Set::Whole(keys)) => Ok(Some(Laid::of(keys, &hash, draw))),
                Some(Set::Laid(laid)) => laid.again(&input, &room, &hash, draw, &progress).map(Some),
                None => Ok(None),
            });
            let laid = sorted.await.map_err(|_| Trouble::internal("sorting ended unexpectedly"))??;
            let laid = laid.ok_or_else(|| Trouble::internal("a set is sorted from what it was before"))?;
            if !laid.fits(&buckets) {
                if settled.is_some() {
                    return Err(Trouble::internal(
                        "our set no longer fits the buckets that an earlier attempt settled on",
                    )
                    .into());
                }
                tracing::info!(job = %job.id, draw, "a bucket overflows; the next draw is tried");
                draw += 1;
                set = Some(Set::Laid(laid));
                continue;
            }
            let ours = pb::Ready { draw: Some(draw), ..session.ready.clone() };
            let theirs = self.meet(job, session.peer, ours, work, |theirs| theirs.draw >= Some(draw)).await?;
            match theirs.draw {
                Some(later) if later > MAX_DRAW => {
                    let text = "the peer has found no way to sort its set within the draws there are";
                    return Err(Trouble::new(codes::PROTOCOL_VIOLATION, text).with(session.peer).into());
                }
                Some(later) if later > draw && settled.is_some() => {
                    let text = "the peer wants to leave the buckets that an earlier attempt settled on";
                    return Err(Trouble::new(codes::PROTOCOL_VIOLATION, text).with(session.peer).into());
                }
                Some(later) if later > draw => {
                    draw = later;
                    set = Some(Set::Laid(laid));
                }
                _ => return Ok((laid, buckets, (theirs.sized, theirs.finished))),
            }
        }
    }

    /// All sessions of a phase as one: frames and bytes added up, and a digest of their digests in order.
    async fn all_done(&self, job: &Job, phase: Phase, buckets: &Buckets) -> Result<Done, Trouble> {
        let mut all = Done { items: 0, sent: Side::default(), received: Side::default() };
        let start = Sha256::new().chain_update(b"tacitly-transcripts-of-buckets-1\n");
        let mut digests = [start.clone(), start];
        for bucket in 0..buckets.count() {
            let bytes = self.store.get_checkpoint(job.id, &phase.done_label(bucket)).await?;
            let done: Done = read(&bytes.ok_or_else(|| Trouble::internal("a bucket that is over has its line"))?)?;
            all.items += done.items;
            let sides = [(&mut all.sent, done.sent), (&mut all.received, done.received)];
            for ((sum, side), digest) in sides.into_iter().zip(&mut digests) {
                sum.frames += side.frames;
                sum.bytes += side.bytes;
                digest.update(side.digest);
            }
        }
        let [sent, received] =
            digests.map(|digest| format!("sha256:{}", data_encoding::HEXLOWER.encode(&digest.finalize())));
        (all.sent.digest, all.received.digest) = (sent, received);
        Ok(all)
    }
}

/// One attempt at all buckets.
struct InBuckets<'a> {
    session: &'a Session<'a>,
    laid: Arc<Laid>,
    buckets: Buckets,
    phases: u64,
}

impl InBuckets<'_> {
    /// Runs the sessions of a phase, from the bucket `from` on. While one runs the next one's keys are read.
    async fn phase(&self, phase: Phase, from: u32, flow: Flow, receivers: &[PartyId]) -> Result<(), Gone> {
        let Session { jobs, job, peer, work, .. } = *self.session;
        let count = self.buckets.count();
        let list = self.buckets.list(self.session.ours);
        let mut course = Course { total: self.phases * u64::from(count) * list, ..Course::default() };
        let before = if phase == Phase::Main { (self.phases - 1) * u64::from(count) * list } else { 0 };
        let mut next = None;
        for bucket in from..count {
            if jobs.closing.is_cancelled() {
                return Err(Gone::Stopped);
            }
            let what = if phase == Phase::Size { "size of bucket" } else { "bucket" };
            course.words = format!("{what} {} of {count}", bucket + 1);
            course.done = before + u64::from(bucket) * list;
            work.show_course(course.clone());
            let (party, rows) = match next.take() {
                Some(ready) => ready,
                None => self.ready(phase, bucket, flow, receivers).await?,
            };
            let (settle, items) = self.settle(phase, bucket, rows);
            let coming = async {
                match bucket + 1 {
                    following if following < count => self.ready(phase, following, flow, receivers).await.map(Some),
                    _ => Ok(None),
                }
            };
            let (completed, coming) = tokio::join!(self.session.drive(party, Some(settle)), coming);
            let done = done(peer, &completed?, items.load(Ordering::Relaxed));
            jobs.store.put_checkpoint(job.id, &phase.done_label(bucket), &write(&done)?).await?;
            course.bytes_out += done.sent.bytes;
            course.bytes_in += done.received.bytes;
            next = coming?;
        }
        Ok(())
    }

    /// Reads the keys of a bucket and makes a party of them.
    async fn ready(
        &self,
        phase: Phase,
        bucket: u32,
        flow: Flow,
        receivers: &[PartyId],
    ) -> Result<(ReadyParty, Rows), Gone> {
        let (laid, buckets) = (self.laid.clone(), self.buckets);
        let read = spawn_blocking(move || laid.bucket(&buckets, bucket)).await;
        let (items, rows) = read.map_err(|_| Trouble::internal("reading a bucket ended unexpectedly"))??.into_parts();
        let (purpose, receivers) = (phase.label(bucket), receivers.to_vec());
        let piece = Piece { purpose, flow, receivers, buckets: Some(buckets), items };
        Ok((self.session.party(piece).await?, rows))
    }

    /// Stores what a bucket gave, before the frame that completed it is acknowledged, and tells how much that is.
    fn settle(&self, phase: Phase, bucket: u32, rows: Rows) -> (Settle<PsiOutcome>, Arc<AtomicU64>) {
        let (store, id) = (self.session.jobs.store.clone(), self.session.job.id);
        let keeps_rows = phase == Phase::Main && self.session.terms.kind != Kind::Cardinality;
        let items = Arc::new(AtomicU64::new(0));
        let told = items.clone();
        let settle: Settle<PsiOutcome> = Box::new(move |outcome: PsiOutcome, _| {
            Box::pin(async move {
                if let Some(result) = result_of(&outcome.answer, &rows) {
                    told.store(result.items(), Ordering::Relaxed);
                    if keeps_rows {
                        let bytes = Zeroizing::new(result.encode());
                        store.put_result_part(id, bucket, &bytes).await.map_err(local)?;
                    }
                }
                Ok(outcome)
            })
        });
        (settle, items)
    }
}

/// What is kept of a session that is over and gave so much.
fn done(peer: PartyId, completed: &Completed<PsiOutcome>, items: u64) -> Done {
    let (sent, received) = completed.transcripts.get(&peer).map_or_else(Default::default, |transcripts| {
        (Side::from(&transcripts.sent), Side::from(&transcripts.received))
    });
    Done { items, sent, received }
}

fn read<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, Trouble> {
    serde_json::from_slice(bytes).map_err(|error| Trouble::internal(format!("a checkpoint cannot be read: {error}")))
}

fn write(value: &impl Serialize) -> Result<Vec<u8>, Trouble> {
    serde_json::to_vec(value).map_err(|error| Trouble::internal(error.to_string()))
}
