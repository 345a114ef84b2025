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
use super::status::Status;
use super::transcript::PeerTranscripts;
use super::turn::{Next, Table};
use crate::transport::{Notice, Pending, SessionLink};

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
/// The party computes on Tokio's pool for blocking work, never on a worker, while frames come and go. Whatever the
/// end, peers are told at once; if this future is dropped they are told that the session was abandoned.
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
    doorbell: Arc<Notify>,
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
            doorbell: Arc::new(Notify::new()),
            status: status.unwrap_or_default(),
            stop: CancellationToken::new(),
            links: links.into_iter().map(Arc::new).collect(),
        };
        session.links.iter().for_each(|link| link.ring(session.doorbell.clone()));
        session.look();
        Ok(session)
    }

    async fn run<P>(
        &self,
        party: Box<P>,
        mut checkpoint: Option<CheckpointSink>,
        mut settle: Option<Settle<P::Output>>,
        mut interrupted: Pin<&mut impl Future<Output = Interruption>>,
    ) -> Result<Completed<P::Output>, Ended>
    where
        P: Party + ?Sized + 'static,
        P::Output: 'static,
    {
        let mut table = Table::new(party, &self.links, self.status.clone(), self.stop.clone());
        let mut answer = None;
        loop {
            let (next, rang);
            (table, next, rang) = self.compute(table, interrupted.as_mut()).await?;
            match next {
                Next::Idle if rang => {}
                Next::Idle => tokio::select! {
                    biased;
                    why = interrupted.as_mut() => return Err(self.interrupted(why)),
                    () = self.doorbell.notified() => self.look(),
                },
                Next::Store(state) => {
                    let sink = checkpoint.as_mut().ok_or_else(|| {
                        self.local("no-checkpoint-store", "the protocol needs a place for its checkpoints".to_owned())
                    })?;
                    tokio::select! {
                        biased;
                        why = interrupted.as_mut() => return Err(self.interrupted(why)),
                        stored = sink(state) => stored.map_err(|failure| self.failed(failure))?,
                    }
                    table.stored();
                }
                Next::Answer(output) => {
                    answer = Some(match settle.take() {
                        Some(settle) => {
                            settle(output, table.transcripts()).await.map_err(|failure| self.failed(failure))?
                        }
                        None => output,
                    });
                }
                Next::Complete => {
                    let output = answer.ok_or_else(|| self.local("no-answer", "the answer is missing".to_owned()))?;
                    return Ok(Completed { output, transcripts: table.transcripts() });
                }
                Next::Over(ended) => return Err(ended),
                Next::Stopped => return Err(self.local(Notice::ABANDONED, "the session was abandoned".to_owned())),
            }
        }
    }

    /// One turn on the compute pool. Also returns whether the doorbell rang meanwhile.
    async fn compute<P>(
        &self,
        mut table: Table<P>,
        mut interrupted: Pin<&mut impl Future<Output = Interruption>>,
    ) -> Result<(Table<P>, Next<P::Output>, bool), Ended>
    where
        P: Party + ?Sized + 'static,
        P::Output: 'static,
    {
        let mut turn = spawn_blocking(move || {
            let next = table.run();
            (table, next)
        });
        let mut rang = false;
        loop {
            tokio::select! {
                biased;
                why = interrupted.as_mut() => return Err(self.interrupted(why)),
                turned = &mut turn => {
                    let (table, next) = turned.map_err(|_| {
                        self.local("panic", "the protocol panicked; this is a defect, its log says where".to_owned())
                    })?;
                    return Ok((table, next, rang));
                }
                () = self.doorbell.notified() => {
                    rang = true;
                    self.look();
                }
            }
        }
    }

    /// Shows which links are up.
    fn look(&self) {
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
        self.links.iter().for_each(|link| link.finish(notice.clone()));
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // After an orderly end this says nothing more.
        self.finish(&Notice::new(Notice::ABANDONED, ""));
    }
}
