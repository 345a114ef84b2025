//! The one driver: runs any party over any transport, with any number of peers.

use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, pending};
use std::pin::{Pin, pin};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use tacitly_core::{Checkpoint, Party, PartyId};
use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::ended::Ended;
use super::session_state::{Next, SessionState};
use super::status::Status;
use super::transcript::PeerTranscripts;
use crate::transport::{Doorbell, Notice, Pending, SessionLink};

/// Makes a checkpoint durable. Until it has, the party sends nothing more and acknowledges nothing more.
pub type CheckpointSink = Box<dyn FnMut(Checkpoint) -> Pending<'static, Result<(), LocalFailure>> + Send>;

/// Makes the answer durable and hands it back. Until it has, the frame that completed the answer is not acknowledged,
/// so the peer cannot take the session for complete. It is not interrupted; once it has succeeded the answer stands,
/// whatever becomes of the session. It also gets what went over the session by then: all of it, where the protocol sends
/// nothing after the answer.
pub type Settle<T> =
    Box<dyn FnOnce(T, BTreeMap<PartyId, PeerTranscripts>) -> Pending<'static, Result<T, LocalFailure>> + Send>;

/// Something went wrong on this machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail} (`{code}`)")]
pub struct LocalFailure {
    /// A stable code of `a-z`, `0-9` and `-`, such as `disk-full`. Peers are told.
    pub code: &'static str,
    /// What, where, how to mend it. Peers are not told.
    pub detail: String,
}

/// How a session is to be run.
pub struct Options<T> {
    /// When it must be over.
    pub deadline: Option<Instant>,
    /// Ends it, from our side, at once.
    pub cancel: CancellationToken,
    /// Shows where it stands.
    pub status: Option<watch::Sender<Status>>,
    /// Makes checkpoints durable; a party that raises one cannot be driven without it.
    pub checkpoint: Option<CheckpointSink>,
    /// Makes the answer durable, where a peer must not believe in it earlier.
    pub settle: Option<Settle<T>>,
}

impl<T> Default for Options<T> {
    fn default() -> Self {
        Self { deadline: None, cancel: CancellationToken::new(), status: None, checkpoint: None, settle: None }
    }
}

/// A session that came to its answer: everything we sent has been consumed by the peers that are still there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completed<T> {
    /// The answer.
    pub output: T,
    /// What went over the session, by peer.
    pub transcripts: BTreeMap<PartyId, PeerTranscripts>,
}

/// Runs `party` over one link per peer until it has its answer and its peers have theirs, or until it ends otherwise.
///
/// The party computes on Tokio's pool for blocking work, never on a worker, while frames come and go; one thread stays
/// with it as long as frames come quickly. Whatever the end, peers are told at once; if this future is dropped they are
/// told that the session was abandoned.
///
/// # Errors
/// [`Ended`]
pub async fn drive<P>(
    party: Box<P>,
    links: Vec<SessionLink>,
    options: Options<P::Output>,
) -> Result<Completed<P::Output>, Ended>
where
    P: Party + ?Sized + 'static,
    P::Output: 'static,
{
    let session = Session::begin(links, options.status)?;
    let interrupted = pin!(interruption(options.deadline, options.cancel));
    let ended = session.run(party, options.checkpoint, options.settle, interrupted).await;
    let stage = session.stage();
    let peers: Vec<PartyId> = session.links.iter().map(|link| link.peer()).collect();
    match &ended {
        Ok(_) => {
            tracing::info!(session = %session.tag, ?peers, "session complete");
            session.finish(&Notice::new(Notice::COMPLETE, ""));
        }
        Err(ended) => {
            tracing::warn!(session = %session.tag, ?peers, %ended, stage, "session ended");
            session.finish(&ended.notice(stage));
        }
    }
    ended
}

/// Why a session is ended from outside.
enum Interruption {
    Cancelled,
    Deadline,
}

async fn interruption(deadline: Option<Instant>, cancel: CancellationToken) -> Interruption {
    let overdue = async {
        match deadline {
            Some(deadline) => sleep_until(deadline).await,
            None => pending().await,
        }
    };
    tokio::select! {
        () = cancel.cancelled() => Interruption::Cancelled,
        () = overdue => Interruption::Deadline,
    }
}

/// The part of a session that waits.
struct Session {
    me: PartyId,
    tag: String,
    links: Vec<Arc<SessionLink>>,
    /// Rings for the part that computes.
    doorbell: Arc<Doorbell>,
    /// Tells that a link came up or went down.
    links_changed: Arc<Notify>,
    status: watch::Sender<Status>,
    /// Ends the part that computes.
    stop: CancellationToken,
}

impl Session {
    fn begin(links: Vec<SessionLink>, status: Option<watch::Sender<Status>>) -> Result<Self, Ended> {
        let peers: BTreeSet<PartyId> = links.iter().map(SessionLink::peer).collect();
        let first = links
            .first()
            .filter(|first| peers.len() == links.len() && links.iter().all(|link| link.session() == first.session()));
        let Some(first) = first else {
            return Err(Ended::Local {
                code: "unfit-links",
                detail: "a session needs one link per peer, all of one session".to_owned(),
                stage: "starting",
            });
        };
        let session = Self {
            me: first.me(),
            tag: HEXLOWER.encode(&first.session().0),
            doorbell: Arc::default(),
            links_changed: Arc::default(),
            status: status.unwrap_or_default(),
            stop: CancellationToken::new(),
            links: links.into_iter().map(Arc::new).collect(),
        };
        session.links.iter().for_each(|link| link.ring(session.doorbell.clone(), session.links_changed.clone()));
        session.refresh();
        Ok(session)
    }

    async fn run<P>(
        &self,
        party: Box<P>,
        mut sink: Option<CheckpointSink>,
        mut settle: Option<Settle<P::Output>>,
        mut interrupted: Pin<&mut impl Future<Output = Interruption>>,
    ) -> Result<Completed<P::Output>, Ended>
    where
        P: Party + ?Sized + 'static,
        P::Output: 'static,
    {
        let mut state = SessionState::new(party, &self.links, self.status.clone(), self.stop.clone());
        let mut answer = None;
        loop {
            let next;
            (state, next) = self.compute(state, interrupted.as_mut()).await?;
            match next {
                Next::Idle(until) => tokio::select! {
                    biased;
                    why = interrupted.as_mut() => return Err(self.interrupted(why)),
                    () = self.doorbell.rung() => {}
                    () = self.links_changed.notified() => self.refresh(),
                    () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {}
                },
                Next::Store(checkpoint) => {
                    let sink = sink.as_mut().ok_or_else(|| {
                        self.local("no-checkpoint-store", "the protocol needs a place for its checkpoints".to_owned())
                    })?;
                    tokio::select! {
                        biased;
                        why = interrupted.as_mut() => return Err(self.interrupted(why)),
                        stored = sink(checkpoint) => stored.map_err(|failure| self.failed(failure))?,
                    }
                    state.stored();
                }
                Next::Answer(output) => {
                    answer = Some(match settle.take() {
                        Some(settle) => {
                            settle(output, state.transcripts()).await.map_err(|failure| self.failed(failure))?
                        }
                        None => output,
                    });
                }
                Next::Complete => {
                    let output = answer.ok_or_else(|| self.local("no-answer", "the answer is missing".to_owned()))?;
                    return Ok(Completed { output, transcripts: state.transcripts() });
                }
                Next::Over(ended) => return Err(ended),
                Next::Stopped => return Err(self.local(Notice::ABANDONED, "the session was abandoned".to_owned())),
            }
        }
    }

    /// Lets a thread of the compute pool work on the session until it needs us, or has waited in vain for a while.
    async fn compute<P>(
        &self,
        mut state: SessionState<P>,
        mut interrupted: Pin<&mut impl Future<Output = Interruption>>,
    ) -> Result<(SessionState<P>, Next<P::Output>), Ended>
    where
        P: Party + ?Sized + 'static,
        P::Output: 'static,
    {
        let doorbell = self.doorbell.clone();
        let mut computing = spawn_blocking(move || {
            let next = state.run(&doorbell);
            (state, next)
        });
        loop {
            tokio::select! {
                biased;
                why = interrupted.as_mut() => return Err(self.interrupted(why)),
                computed = &mut computing => return computed.map_err(|_| {
                    self.local("panic", "the protocol panicked; this is a defect, its log says where".to_owned())
                }),
                () = self.links_changed.notified() => self.refresh(),
            }
        }
    }

    /// Shows which links are up.
    fn refresh(&self) {
        self.status.send_if_modified(|status| {
            let mut changed = false;
            for link in &self.links {
                let traffic = status.peers.entry(link.peer()).or_default();
                changed |= std::mem::replace(&mut traffic.up, link.is_up()) != traffic.up;
            }
            changed
        });
    }

    fn stage(&self) -> &'static str {
        self.status.borrow().stage
    }

    fn interrupted(&self, why: Interruption) -> Ended {
        match why {
            Interruption::Cancelled => Ended::Cancelled { by: self.me, stage: self.stage().to_owned() },
            Interruption::Deadline => Ended::Deadline { stage: self.stage() },
        }
    }

    fn failed(&self, LocalFailure { code, detail }: LocalFailure) -> Ended {
        self.local(code, detail)
    }

    fn local(&self, code: &'static str, detail: String) -> Ended {
        Ended::Local { code, detail, stage: self.stage() }
    }

    /// Ends the session here and tells the peers.
    fn finish(&self, notice: &Notice) {
        self.stop.cancel();
        self.doorbell.ring();
        self.links.iter().for_each(|link| link.finish(notice.clone()));
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // After an orderly end this says nothing more.
        self.finish(&Notice::new(Notice::ABANDONED, ""));
    }
}
