//! The part of a session that computes: one party, its peers, and what to do next. It runs on the compute pool and
//! talks to the links directly, so that frames leave while the next one is being made.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tacitly_core::{Checkpoint, Fault, Halt, Party, PartyId, Stall, Violation};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ended::{Absence, Ended};
use super::status::Status;
use super::transcript::{PeerTranscripts, Running};
use crate::transport::{Departure, Doorbell, Notice, SessionLink};

/// How long a thread stays with a session that has nothing to do. A round over a fast network is over before; a session
/// that waits for longer holds no thread, and what it costs to get one again is little beside the wait.
const LINGER: Duration = Duration::from_millis(10);

/// What has to happen before the party can go on.
pub(super) enum Next<T> {
    /// Something from outside: a frame, credit, an end; or this moment.
    Idle(Option<Instant>),
    /// This must be made durable.
    Store(Checkpoint),
    /// Here is the answer.
    Answer(T),
    /// Nothing: the session is complete.
    Complete,
    /// Nothing: the session has ended.
    Over(Ended),
    /// Nothing: whoever drives has gone.
    Stopped,
}

/// What a session knows of one peer.
struct PeerState {
    link: Arc<SessionLink>,
    sent: Running,
    received: Running,
    /// The party goes on without this peer.
    gone: bool,
    /// The peer has come to its answer and says nothing more.
    complete: bool,
    /// Since when we wait for it.
    awaited_since: Option<Instant>,
}

pub(super) struct SessionState<P: Party + ?Sized> {
    party: Box<P>,
    peers: Vec<PeerState>,
    status: watch::Sender<Status>,
    stop: CancellationToken,
    /// The answer is out.
    answered: bool,
    /// The peer whose last frame has been received and not yet reported consumed: it may have raised a checkpoint or
    /// the answer, and what is acknowledged must not be needed again.
    unconfirmed: Option<usize>,
    /// Where to look first, and for what, so that nobody is starved and both directions move.
    first: usize,
    send_first: bool,
}

/// Whether something was done.
type Moved = Result<bool, Ended>;

impl<P: Party + ?Sized> SessionState<P> {
    pub(super) fn new(
        party: Box<P>,
        links: &[Arc<SessionLink>],
        status: watch::Sender<Status>,
        stop: CancellationToken,
    ) -> Self {
        let peer = |link: &Arc<SessionLink>| PeerState {
            sent: Running::new(link.session()),
            received: Running::new(link.session()),
            link: link.clone(),
            gone: false,
            complete: false,
            awaited_since: None,
        };
        Self {
            party,
            peers: links.iter().map(peer).collect(),
            status,
            stop,
            answered: false,
            unconfirmed: None,
            first: 0,
            send_first: true,
        }
    }

    /// The checkpoint that was asked for is durable.
    pub(super) fn stored(&mut self) {
        self.party.stored();
    }

    /// Computes until the driver is needed, or nothing has come for a while.
    pub(super) fn run(&mut self, doorbell: &Doorbell) -> Next<P::Output> {
        if self.answered {
            // The peers may have nothing left but to hear that all was consumed.
            self.peers.iter().for_each(|peer| peer.link.acknowledge_at_once());
        }
        loop {
            match self.advance() {
                Next::Idle(_) if doorbell.wait(LINGER) => {}
                next => return next,
            }
        }
    }

    /// Computes until something from outside is needed.
    fn advance(&mut self) -> Next<P::Output> {
        loop {
            if self.stop.is_cancelled() {
                return Next::Stopped;
            }
            self.report();
            if let Some(next) = self.raised() {
                return next;
            }
            if let Some(peer) = self.unconfirmed.take() {
                self.peers[peer].link.consumed();
            }
            match self.step() {
                Ok(Some(next)) => return next,
                Ok(None) => {}
                Err(ended) => return Next::Over(ended),
            }
        }
    }

    /// The checkpoint, the answer or the end without one that the party has come to.
    fn raised(&mut self) -> Option<Next<P::Output>> {
        if let Some(halt) = self.party.poll_halt() {
            return Some(Next::Over(match halt {
                Halt::Fault(fault) => fault.into(),
                // Whom it needs now was lost before.
                Halt::Stalled(Stall { who, stage }) => Ended::Stalled { who, cause: Absence::PeerLost, stage },
            }));
        }
        if let Some(checkpoint) = self.party.poll_checkpoint() {
            return Some(Next::Store(checkpoint));
        }
        if self.answered {
            return None;
        }
        let answer = self.party.output()?;
        self.answered = true;
        Some(Next::Answer(answer))
    }

    /// Sends or receives one frame, or finds out that there is none.
    fn step(&mut self) -> Result<Option<Next<P::Output>>, Ended> {
        let mut everyone_asked = true;
        for offset in 0..self.peers.len() {
            let at = (self.first + offset) % self.peers.len();
            if self.peers[at].gone {
                continue;
            }
            let credit = self.peers[at].link.has_credit();
            everyone_asked &= credit;
            for send in [self.send_first, !self.send_first] {
                if if send { credit && self.send(at)? } else { self.receive(at)? } {
                    self.first = at + 1;
                    self.send_first = !send;
                    return Ok(None);
                }
            }
        }
        // Asking for a frame that is not there may have computed all the same.
        if let Some(next) = self.raised() {
            return Ok(Some(next));
        }
        let settled = |peer: &PeerState| peer.gone || peer.link.is_settled();
        if self.answered && everyone_asked && self.peers.iter().all(settled) {
            return Ok(Some(Next::Complete));
        }
        if !self.answered && self.peers.iter().all(|peer| peer.gone || peer.complete) {
            return Err(self.waits_for_nobody());
        }
        self.wait_patiently()
    }

    /// Waits for the peers, until patience with one of them is over.
    fn wait_patiently(&mut self) -> Result<Option<Next<P::Output>>, Ended> {
        let (now, mut until) = (Instant::now(), None);
        for at in 0..self.peers.len() {
            let awaited = self.awaits(&self.peers[at]);
            let peer = &mut self.peers[at];
            // A link that is down and a session that is not open yet have limits of their own.
            let expected = peer.link.patience().filter(|_| awaited).zip(peer.link.last_moved());
            let Some((patience, moved)) = expected else {
                peer.awaited_since = None;
                continue;
            };
            let over = moved.max(*peer.awaited_since.get_or_insert(now)) + patience;
            if over <= now {
                self.departed(at, Departure::Stuck)?;
                return Ok(None);
            }
            until = until.min(Some(over)).or(Some(over));
        }
        Ok(Some(Next::Idle(until)))
    }

    /// Whether it is this peer's turn.
    fn awaits(&self, peer: &PeerState) -> bool {
        let needed = !self.answered && self.party.waits_for(peer.link.peer());
        let unsettled = !peer.link.has_credit() || self.answered && !peer.link.is_settled();
        !peer.gone && !peer.complete && (needed || unsettled)
    }

    fn send(&mut self, at: usize) -> Moved {
        let peer = &mut self.peers[at];
        let Some(frame) = self.party.poll_send(peer.link.peer()) else { return Ok(false) };
        peer.sent.add(&frame);
        let sent = peer.link.send(frame);
        sent.map_err(|error| self.local("unfit-frame", error.to_string()))?;
        Ok(true)
    }

    fn receive(&mut self, at: usize) -> Moved {
        let peer = &mut self.peers[at];
        let Some(frame) = peer.link.take() else {
            return match peer.link.departure() {
                Some(departure) => self.departed(at, departure),
                None => Ok(false),
            };
        };
        peer.received.add(&frame);
        self.party.receive(peer.link.peer(), frame)?;
        self.unconfirmed = Some(at);
        Ok(true)
    }

    /// A peer says or sends nothing more: the session goes on without it, or ends.
    fn departed(&mut self, at: usize, departure: Departure) -> Moved {
        let who = self.peers[at].link.peer();
        let notice = match &departure {
            Departure::Ended(notice) if notice.is_complete() => {
                self.peers[at].complete = true;
                return Ok(false);
            }
            Departure::Violation { rule, sequence } => {
                let violation = Violation { code: rule, round: 0, index: *sequence };
                return Err(Fault::Peer { who, violation }.into());
            }
            Departure::ShuttingDown => {
                return Err(self.local(Notice::SHUTDOWN, "this party is shutting down".to_owned()));
            }
            Departure::Ended(notice) => Notice::new(Ended::PEER_FAILED, notice.stage()),
            Departure::Lost => Notice::new(Notice::PEER_LOST, self.stage()),
            Departure::Restarted => Notice::new(Notice::PEER_RESTARTED, self.stage()),
            Departure::NeverOpened => Notice::new(Notice::NEVER_OPENED, self.stage()),
            Departure::Stuck => Notice::new(Notice::NO_PROGRESS, self.stage()),
        };
        match self.party.lost(who) {
            Ok(()) => {
                tracing::info!(peer = %who, ?departure, "the session goes on without a peer");
                self.peers[at].gone = true;
                self.peers[at].link.finish(notice);
                Ok(true)
            }
            Err(stall) => Err(ended_by(who, departure, stall)),
        }
    }

    /// The party has no answer, and nobody is left who could bring it nearer.
    fn waits_for_nobody(&self) -> Ended {
        let stage = self.stage();
        let last =
            |of: fn(&PeerState) -> bool| self.peers.iter().rev().find(|peer| of(peer)).map(|peer| peer.link.peer());
        if let Some(who) = last(|peer| peer.complete) {
            Ended::PeerFailed { who, code: Ended::LEFT_EARLY.to_owned(), stage: stage.to_owned() }
        } else if let Some(who) = last(|peer| peer.gone) {
            Ended::Stalled { who, cause: Absence::PeerLost, stage }
        } else {
            self.local("no-peers", "the session has no peers and no answer".to_owned())
        }
    }

    fn local(&self, code: &'static str, detail: String) -> Ended {
        Ended::Local { code, detail, stage: self.stage() }
    }

    fn stage(&self) -> &'static str {
        self.party.progress().stage
    }

    fn report(&self) {
        let progress = self.party.progress();
        self.status.send_modify(|status| {
            (status.stage, status.done, status.total) = (progress.stage, progress.done, progress.total);
            for peer in &self.peers {
                let traffic = status.peers.entry(peer.link.peer()).or_default();
                (traffic.frames_out, traffic.bytes_out) = (peer.sent.frames, peer.sent.bytes);
                (traffic.frames_in, traffic.bytes_in) = (peer.received.frames, peer.received.bytes);
            }
        });
    }

    /// What went over the session so far.
    pub(super) fn transcripts(&self) -> BTreeMap<PartyId, PeerTranscripts> {
        let both = |peer: &PeerState| PeerTranscripts { sent: peer.sent.so_far(), received: peer.received.so_far() };
        self.peers.iter().map(|peer| (peer.link.peer(), both(peer))).collect()
    }
}

/// The end of a session that cannot do without `who`, or without somebody whom it lost before.
fn ended_by(who: PartyId, departure: Departure, stall: Stall) -> Ended {
    let cause = match departure {
        _ if stall.who != who => Absence::PeerLost,
        Departure::Ended(notice) if notice.code() == Notice::CANCELLED => {
            return Ended::Cancelled { by: who, stage: notice.stage().to_owned() };
        }
        Departure::Ended(notice) => {
            return Ended::PeerFailed { who, code: notice.code().to_owned(), stage: notice.stage().to_owned() };
        }
        Departure::Restarted => Absence::PeerRestarted,
        Departure::NeverOpened => Absence::NeverOpened,
        Departure::Stuck => Absence::NoProgress,
        Departure::Lost | Departure::Violation { .. } | Departure::ShuttingDown => Absence::PeerLost,
    };
    Ended::Stalled { who: stall.who, cause, stage: stall.stage }
}
