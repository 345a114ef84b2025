//! The part of a session that computes: one party, its seats at the table, and what to do next. It runs on the
//! compute pool and talks to the links directly, so that frames leave while the next one is being made.

use std::collections::BTreeMap;
use std::sync::Arc;

use tacitly_core::{Checkpoint, Fault, Halt, Party, PartyId, Stall, Violation};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::ended::{Absence, Ended};
use super::status::Status;
use super::transcript::{PeerTranscripts, Running};
use crate::transport::{Departure, Notice, SessionLink};

/// What has to happen before the party can go on.
pub(super) enum Next<T> {
    /// Something from outside: a frame, credit, an end.
    Idle,
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

/// One peer's place.
struct Seat {
    link: Arc<SessionLink>,
    sent: Running,
    received: Running,
    /// The party goes on without this peer.
    gone: bool,
    /// The peer has come to its answer and says nothing more.
    complete: bool,
}

pub(super) struct Table<P: Party + ?Sized> {
    party: Box<P>,
    seats: Vec<Seat>,
    status: watch::Sender<Status>,
    stop: CancellationToken,
    /// The answer is out.
    answered: bool,
    /// The seat whose last frame has been received and not yet reported consumed: it may have raised a checkpoint or
    /// the answer, and what is acknowledged must not be needed again.
    unconfirmed: Option<usize>,
    /// Where to look first, and for what, so that nobody is starved and both directions move.
    first: usize,
    send_first: bool,
}

/// Whether something was done.
type Moved = Result<bool, Ended>;

impl<P: Party + ?Sized> Table<P> {
    pub(super) fn new(
        party: Box<P>,
        links: &[Arc<SessionLink>],
        status: watch::Sender<Status>,
        stop: CancellationToken,
    ) -> Self {
        let seat = |link: &Arc<SessionLink>| Seat {
            sent: Running::new(link.session()),
            received: Running::new(link.session()),
            link: link.clone(),
            gone: false,
            complete: false,
        };
        Self {
            party,
            seats: links.iter().map(seat).collect(),
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

    /// Computes until something from outside is needed.
    pub(super) fn run(&mut self) -> Next<P::Output> {
        loop {
            if self.stop.is_cancelled() {
                return Next::Stopped;
            }
            self.report();
            if let Some(next) = self.raised() {
                return next;
            }
            if let Some(seat) = self.unconfirmed.take() {
                self.seats[seat].link.consumed();
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
        for offset in 0..self.seats.len() {
            let at = (self.first + offset) % self.seats.len();
            if self.seats[at].gone {
                continue;
            }
            let credit = self.seats[at].link.has_credit();
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
        let settled = |seat: &Seat| seat.gone || seat.link.is_settled();
        if self.answered && everyone_asked && self.seats.iter().all(settled) {
            return Ok(Some(Next::Complete));
        }
        if !self.answered && self.seats.iter().all(|seat| seat.gone || seat.complete) {
            return Err(self.waits_for_nobody());
        }
        Ok(Some(Next::Idle))
    }

    fn send(&mut self, at: usize) -> Moved {
        let seat = &mut self.seats[at];
        let Some(frame) = self.party.poll_send(seat.link.peer()) else { return Ok(false) };
        seat.sent.add(&frame);
        let sent = seat.link.send(frame);
        sent.map_err(|error| self.local("unfit-frame", error.to_string()))?;
        Ok(true)
    }

    fn receive(&mut self, at: usize) -> Moved {
        let seat = &mut self.seats[at];
        let Some(frame) = seat.link.take() else {
            return match seat.link.departure() {
                Some(departure) => self.departed(at, departure),
                None => Ok(false),
            };
        };
        seat.received.add(&frame);
        self.party.receive(seat.link.peer(), frame)?;
        self.unconfirmed = Some(at);
        Ok(true)
    }

    /// A peer says or sends nothing more: the session goes on without it, or ends.
    fn departed(&mut self, at: usize, departure: Departure) -> Moved {
        let who = self.seats[at].link.peer();
        let notice = match &departure {
            Departure::Ended(notice) if notice.is_complete() => {
                self.seats[at].complete = true;
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
        };
        match self.party.lost(who) {
            Ok(()) => {
                tracing::info!(peer = %who, ?departure, "the session goes on without a peer");
                self.seats[at].gone = true;
                self.seats[at].link.finish(notice);
                Ok(true)
            }
            Err(stall) => Err(ended_by(who, departure, stall)),
        }
    }

    /// The party has no answer, and nobody is left who could bring it nearer.
    fn waits_for_nobody(&self) -> Ended {
        let stage = self.stage();
        let last = |of: fn(&Seat) -> bool| self.seats.iter().rev().find(|seat| of(seat)).map(|seat| seat.link.peer());
        if let Some(who) = last(|seat| seat.complete) {
            Ended::PeerFailed { who, code: Ended::LEFT_EARLY.to_owned(), stage: stage.to_owned() }
        } else if let Some(who) = last(|seat| seat.gone) {
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
            for seat in &self.seats {
                let traffic = status.peers.entry(seat.link.peer()).or_default();
                (traffic.frames_out, traffic.bytes_out) = (seat.sent.frames, seat.sent.bytes);
                (traffic.frames_in, traffic.bytes_in) = (seat.received.frames, seat.received.bytes);
            }
        });
    }

    /// What went over the session so far.
    pub(super) fn transcripts(&self) -> BTreeMap<PartyId, PeerTranscripts> {
        let both = |seat: &Seat| PeerTranscripts { sent: seat.sent.so_far(), received: seat.received.so_far() };
        self.seats.iter().map(|seat| (seat.link.peer(), both(seat))).collect()
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
        Departure::Lost | Departure::Violation { .. } | Departure::ShuttingDown => Absence::PeerLost,
    };
    Ended::Stalled { who: stall.who, cause, stage: stall.stage }
}
