//! What one party knows about its link with one peer. No task, no lock, no connection: envelopes go in, envelopes
//! come out, and time is an argument.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;

use tacitly_core::{Frame, PartyId, SessionTag};
use tokio::time::Instant;

use super::answering::{Answering, Asked};
use super::doorbell::Doorbell;
use super::link_state::{Departure, LinkState};
use super::pending_requests::PendingRequests;
use super::rate_limiter::RateLimiter;
use super::session::{Opened, Session};
use crate::transport::envelope::{BootId, CloseReason, Envelope, Hello, Notice, Window};
use crate::transport::error::LinkError;
use crate::transport::settings::Settings;

/// How many ended sessions are remembered, for a peer that has not heard of the end.
const MAX_ENDINGS: usize = 256;

/// The most small envelopes that wait for a peer: one that makes us say more and does not read breaks the rules.
const MAX_CONTROL: usize = 1024;

/// A session that has ended on our side.
struct Ending {
    tag: SessionTag,
    /// Our number for it, 0 if we never opened it.
    ours: u64,
    theirs: Option<u64>,
    notice: Notice,
}

impl Ending {
    fn told(&self) -> Envelope {
        Envelope::SessionEnd { session: self.tag, channel: self.ours, notice: self.notice.clone() }
    }
}

/// The connection in use.
struct Current {
    id: u64,
    dialler: PartyId,
    /// Wakes whoever sends, when it waits for something to send or for another connection to take over.
    sender: Option<Waker>,
    /// The moment at which whoever sends looks again by itself.
    alarm: Option<Instant>,
    /// The same for whoever sends requests and answers.
    asker: Option<Waker>,
}

/// Those who have something to look at; they are woken when this is dropped.
#[derive(Default)]
pub(super) struct ToWake {
    sender: Option<Waker>,
    asker: Option<Waker>,
    computing: Option<Arc<Doorbell>>,
}

impl Drop for ToWake {
    fn drop(&mut self) {
        if let Some(computing) = self.computing.take() {
            computing.ring();
        }
        for sending in [self.sender.take(), self.asker.take()].into_iter().flatten() {
            sending.wake();
        }
    }
}

/// What an envelope asks the link's owner to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// Nothing more.
    Nothing,
    /// Have a question answered.
    Request(Asked),
    /// The peer hangs up.
    Bye(CloseReason),
}

pub(super) struct State {
    me: PartyId,
    peer: PartyId,
    pub(super) phase: LinkState,
    pub(super) closing: bool,
    /// The peer is no longer in the directory.
    pub(super) withdrawn: bool,
    current: Option<Current>,
    /// Counts connections.
    generation: u64,
    /// How many fresh connections are in their greeting.
    pub(super) greetings: usize,
    /// The last connection that we have lost.
    pub(super) lost: u64,
    /// The peer's process, as far as we have heard.
    boot: Option<BootId>,
    next_channel: u64,
    pub(super) sessions: BTreeMap<u64, Session>,
    /// The session whose frame went out last: the others come first.
    turn: u64,
    /// Sessions that the peer has opened and we have not.
    announced: BTreeMap<SessionTag, Opened>,
    endings: VecDeque<Ending>,
    pub(super) heartbeat_due: bool,
    control: VecDeque<Envelope>,
    /// What we ask, and what the peer asks.
    pub(super) pending: PendingRequests,
    pub(super) answering: Answering,
    /// Whether a question of ours goes out next, if there is an answer as well.
    asks_next: bool,
    /// Bytes of frames to the peer, bytes of frames from it, and the sessions that it announces and ends.
    sending: RateLimiter,
    taking: RateLimiter,
    announcing: RateLimiter,
    to_wake: ToWake,
}

impl State {
    pub(super) fn new(me: PartyId, peer: PartyId, settings: &Settings, now: Instant) -> Self {
        Self {
            me,
            peer,
            phase: LinkState::Down { since: now, reason: LinkError::NotYet { peer } },
            closing: false,
            withdrawn: false,
            current: None,
            generation: 0,
            greetings: 0,
            lost: 0,
            boot: None,
            next_channel: 1,
            sessions: BTreeMap::new(),
            turn: 0,
            announced: BTreeMap::new(),
            endings: VecDeque::new(),
            heartbeat_due: false,
            control: VecDeque::new(),
            pending: PendingRequests::new(),
            answering: Answering::new(settings, now),
            asks_next: false,
            sending: RateLimiter::new(settings.bytes_per_second, now),
            taking: RateLimiter::new(settings.bytes_per_second, now),
            announcing: RateLimiter::new(Some(settings.requests_per_second), now),
            to_wake: ToWake::default(),
        }
    }

    // Connections.

    /// Takes a greeted connection into use and returns its generation, or `None` if the one in use stays.
    pub(super) fn adopt(&mut self, dialler: PartyId, hello: &Hello, up: LinkState) -> Option<u64> {
        if self.closing || self.current.as_ref().is_some_and(|current| !self.replaces(current, dialler, hello)) {
            return None;
        }
        self.let_go();
        if self.boot.replace(hello.boot).is_some_and(|boot| boot != hello.boot) {
            // Also those that it had not opened yet: the new process knows nothing of them, and would never.
            for session in self.sessions.values_mut() {
                session.forgotten |= session.theirs.is_some();
                session.end(Departure::Restarted);
            }
            // The new process counts its channels from 1 again: old numbers would be taken for new ones.
            self.endings.retain(|ending| ending.theirs.is_none());
        }
        self.generation += 1;
        self.current = Some(Current { id: hello.connection, dialler, sender: None, alarm: None, asker: None });
        for (channel, session) in self.sessions.iter_mut().filter(|(_, session)| session.is_live()) {
            session.outgoing.rewind();
            session.incoming.rewind();
            self.control.push_back(session.opening(*channel));
        }
        self.enter(up);
        Some(self.generation)
    }

    /// Whether a new connection takes the place of the one in use. Both ends see the same two connections and decide
    /// alike, in whatever order they see them.
    fn replaces(&self, current: &Current, dialler: PartyId, hello: &Hello) -> bool {
        let useless = hello.lost == current.id || self.boot != Some(hello.boot);
        let newer = dialler == current.dialler;
        useless || newer || dialler == self.me.min(self.peer)
    }

    /// The connection of this generation has ended. Returns whether that takes the link down.
    pub(super) fn hung_up(&mut self, generation: u64, reason: LinkError, now: Instant) -> bool {
        if !self.is_current(generation) {
            return false;
        }
        self.lost = self.current.as_ref().map_or(self.lost, |current| current.id);
        self.let_go();
        self.enter(LinkState::Down { since: now, reason });
        true
    }

    /// Another attempt to connect has failed while the link is down. Returns whether that is news.
    pub(super) fn still_down(&mut self, news: LinkError) -> bool {
        match &mut self.phase {
            LinkState::Down { reason, .. } if *reason != news => {
                *reason = news;
                true
            }
            _ => false,
        }
    }

    /// Whether sessions wait for the link to come back.
    pub(super) fn keeps_sessions_waiting(&self) -> bool {
        !self.phase.is_up() && self.sessions.values().any(Session::is_live)
    }

    pub(super) fn is_current(&self, generation: u64) -> bool {
        self.generation == generation && self.current.is_some()
    }

    /// Wakes whoever sends on the current connection, once the lock on this state is gone.
    pub(super) fn wake_sender(&mut self) {
        if let Some(sender) = self.current.as_mut().and_then(|current| current.sender.take()) {
            self.to_wake.sender = Some(sender);
        }
    }

    /// The same for whoever sends requests and answers.
    pub(super) fn wake_asker(&mut self) {
        if let Some(asker) = self.current.as_mut().and_then(|current| current.asker.take()) {
            self.to_wake.asker = Some(asker);
        }
    }

    /// Who is to be woken, for whoever has let go of the lock: whoever wakes up would wait for it at once.
    pub(super) fn take_to_wake(&mut self) -> ToWake {
        std::mem::take(&mut self.to_wake)
    }

    /// Whoever sends has nothing to send at the moment, waits to be woken, and looks again by itself at the moment that
    /// is returned, if any.
    pub(super) fn sender_waits(&mut self, sender: &Waker, now: Instant) -> Option<Instant> {
        let next = self.send_again_at(now);
        let current = self.current.as_mut()?;
        current.sender = Some(sender.clone());
        // An alarm that comes too early does no harm, and one that stays need not be set again for every frame.
        let stays = current.alarm.filter(|alarm| *alarm > now && next.is_none_or(|next| *alarm <= next));
        current.alarm = stays.or(next);
        current.alarm
    }

    /// Whoever sends requests and answers has none at the moment, and waits to be woken.
    pub(super) fn asker_waits(&mut self, asker: &Waker) {
        if let Some(current) = &mut self.current {
            current.asker = Some(asker.clone());
        }
    }

    /// Our protocol has consumed the oldest frame that it took of this session.
    pub(super) fn consumed(&mut self, channel: u64, now: Instant) {
        let Some(session) = self.sessions.get_mut(&channel) else { return };
        session.incoming.consume(now);
        let Some(current) = &self.current else { return };
        if session.acknowledgement_due(now).is_some_and(|due| current.alarm.is_none_or(|alarm| due < alarm)) {
            self.wake_sender();
        }
    }

    /// Forgets the connection in use and all that is true of it only.
    fn let_go(&mut self) {
        self.wake_sender();
        self.wake_asker();
        self.current = None;
        self.announced.clear();
        self.control.clear();
        self.pending.interrupt(self.peer);
        self.answering.interrupt();
    }

    fn enter(&mut self, phase: LinkState) {
        self.phase = phase;
        self.sessions.values().for_each(|session| session.link_changed.notify_one());
    }

    // Sessions.

    /// Opens a session and returns our number for it.
    pub(super) fn open(
        &mut self,
        tag: SessionTag,
        window: Window,
        most: usize,
        now: Instant,
    ) -> Result<u64, LinkError> {
        let peer = self.peer;
        if self.closing {
            return Err(LinkError::ShuttingDown);
        }
        if self.sessions.values().any(|session| session.tag == tag) {
            return Err(LinkError::AlreadyOpen { peer });
        }
        if self.sessions.len() >= most {
            return Err(LinkError::TooManySessions { peer, limit: most });
        }
        let channel = self.next_channel;
        self.next_channel += 1;
        // An end that the peer has not heard of, of a session that it never opened, is no longer of interest.
        self.endings.retain(|ending| ending.tag != tag || ending.theirs.is_some());
        let session = Session::new(tag, window, self.announced.remove(&tag), now);
        if self.current.is_some() {
            self.control.push_back(session.opening(channel));
            self.wake_sender();
        }
        self.sessions.insert(channel, session);
        Ok(channel)
    }

    /// When the peer last moved something in a session; `None` while nobody can expect it to.
    pub(super) fn last_moved(&self, channel: u64) -> Option<Instant> {
        let session = self.sessions.get(&channel).filter(|session| self.phase.is_up() && session.open().is_some())?;
        Some(session.moved.max(self.phase.since()))
    }

    /// Ends our part in a session.
    pub(super) fn finish(&mut self, channel: u64, notice: Notice) {
        if let Some(session) = self.sessions.remove(&channel) {
            let theirs = session.theirs.map(|theirs| theirs.channel);
            if self.announced.get(&session.tag).map(|announced| announced.channel) == theirs {
                self.announced.remove(&session.tag);
            }
            if !session.forgotten {
                self.record(Ending { tag: session.tag, ours: channel, theirs, notice });
            }
        }
    }

    /// Tells the peer that a session which we never opened will not take place.
    pub(super) fn decline(&mut self, tag: SessionTag, notice: Notice) {
        let theirs = self.announced.remove(&tag).map(|announced| announced.channel);
        self.record(Ending { tag, ours: 0, theirs, notice });
    }

    fn record(&mut self, ending: Ending) {
        if self.current.is_some() {
            self.control.push_back(ending.told());
            self.wake_sender();
        }
        self.endings.push_back(ending);
        if self.endings.len() > MAX_ENDINGS {
            self.endings.pop_front();
        }
    }

    /// Ends the sessions whose time is over and returns when the next one's is. A session is not given up while a
    /// connection is in its greeting, unless that takes longer than a greeting may.
    pub(super) fn expire(&mut self, now: Instant, settings: &Settings) -> Option<Instant> {
        let (up, since) = (self.phase.is_up(), self.phase.since());
        let mut next = None;
        for session in self.sessions.values_mut().filter(|session| session.is_live()) {
            let (window, departure) = match (up, session.theirs) {
                (false, _) if self.greetings > 0 => {
                    (settings.reconnect_window + settings.greeting_window, Departure::Lost)
                }
                (false, _) => (settings.reconnect_window, Departure::Lost),
                (true, None) => (settings.opening_window, Departure::NeverOpened),
                (true, Some(_)) => continue,
            };
            let due = since.max(session.opened) + window;
            if due <= now {
                session.end(departure);
            } else {
                next = Some(next.map_or(due, |next: Instant| next.min(due)));
            }
        }
        next
    }

    /// Takes no more sessions and questions.
    pub(super) fn close(&mut self) {
        self.closing = true;
        self.answering.close();
        self.wake_asker();
    }

    /// Ends the sessions and questions that are left.
    pub(super) fn end_all(&mut self, departure: &Departure, error: &LinkError) {
        self.pending.end_all(error);
        self.sessions.values_mut().for_each(|session| session.end(departure.clone()));
    }

    /// Whether sessions or answers are still under way.
    pub(super) fn is_busy(&self) -> bool {
        !self.sessions.is_empty() || self.answering.owes()
    }

    // Envelopes.

    /// Takes what came in on the current connection.
    pub(super) fn receive(
        &mut self,
        envelope: Envelope,
        settings: &Settings,
        now: Instant,
    ) -> Result<Received, &'static str> {
        match envelope {
            Envelope::Heartbeat => {}
            Envelope::Hello(_) => return Err("second-hello"),
            Envelope::Bye(close_reason) => return Ok(Received::Bye(close_reason)),
            Envelope::SessionOpen { session, channel, window } => {
                self.announcing.charge(1, now);
                self.opened(session, Opened { channel, window }, settings.max_sessions, now);
            }
            Envelope::SessionEnd { session, channel, notice } => {
                self.announcing.charge(1, now);
                self.ended(session, channel, notice);
            }
            Envelope::SessionFrame { channel, frame, consumed } => {
                self.taking.charge(frame.body.len() as u64, now);
                self.acknowledged(channel, consumed, now)?;
                return self.frame(channel, frame, now);
            }
            Envelope::SessionAcknowledgement { channel, consumed } => self.acknowledged(channel, consumed, now)?,
            Envelope::Request { id, service, body } => return Ok(Received::Request(Asked { id, service, body })),
            Envelope::Response { id, outcome } => self.pending.answered(self.peer, id, outcome)?,
        }
        if !self.control.is_empty() {
            self.wake_sender();
        }
        if self.control.len() > MAX_CONTROL { Err("control-backlog") } else { Ok(Received::Nothing) }
    }

    /// The live session that the peer means by our number; `None` if it has ended.
    fn session(&mut self, channel: u64) -> Result<Option<&mut Session>, &'static str> {
        if !(1..self.next_channel).contains(&channel) {
            return Err("channel-number");
        }
        Ok(self.sessions.get_mut(&channel).filter(|session| session.is_live()))
    }

    /// The peer's protocol has consumed so many frames of a session.
    fn acknowledged(&mut self, channel: u64, consumed: u64, now: Instant) -> Result<(), &'static str> {
        let Some(session) = self.session(channel)? else { return Ok(()) };
        match session.acknowledged(consumed, now) {
            Ok(matters) => {
                let computing = matters.then(|| session.doorbell.clone());
                if session.outgoing.waits() {
                    self.wake_sender();
                }
                self.to_wake.computing = computing;
                Ok(())
            }
            Err(rule) => {
                session.end(Departure::Violation { rule, sequence: None });
                Err(rule)
            }
        }
    }

    fn frame(&mut self, channel: u64, frame: Frame, now: Instant) -> Result<Received, &'static str> {
        if let Some(session) = self.session(channel)? {
            let sequence = Some(frame.sequence);
            if let Err(rule) = session.received(frame, now) {
                session.end(Departure::Violation { rule, sequence });
                return Err(rule);
            }
            let computing = Some(session.doorbell.clone());
            if session.acknowledgement_due(now).is_some_and(|due| due <= now) {
                // It has come before, and the peer does not know.
                self.wake_sender();
            }
            self.to_wake.computing = computing;
        }
        Ok(Received::Nothing)
    }

    /// The peer has opened a session.
    fn opened(&mut self, tag: SessionTag, theirs: Opened, most: usize, now: Instant) {
        let channel = theirs.channel;
        if let Some(session) = self.sessions.values_mut().find(|session| session.tag == tag && session.is_live()) {
            match session.theirs {
                None => session.opened_there(theirs, now),
                Some(known) if known.channel == channel => {}
                // It has ended the session that we are in, and we have missed that.
                Some(_) => {
                    session.end(Departure::Ended(Notice::new(Notice::ABANDONED, "")));
                    self.announced.insert(tag, theirs);
                }
            }
            // Frames of ours may have waited for it.
            self.wake_sender();
            return;
        }
        let ended = |ending: &&mut Ending| ending.tag == tag && ending.theirs.is_none_or(|known| known == channel);
        if let Some(ending) = self.endings.iter_mut().rev().find(ended) {
            ending.theirs = Some(channel);
            self.control.push_back(ending.told());
            return;
        }
        let open = self.sessions.values().filter(|session| session.theirs.is_some()).count();
        if self.closing || self.announced.len() + open >= most {
            let code = if self.closing { Notice::SHUTDOWN } else { Notice::TOO_MANY_SESSIONS };
            let notice = Notice::new(code, "");
            self.control.push_back(Envelope::SessionEnd { session: tag, channel: 0, notice });
        } else {
            self.announced.insert(tag, theirs);
        }
    }

    /// The peer has ended a session.
    fn ended(&mut self, tag: SessionTag, channel: u64, notice: Notice) {
        if self.announced.get(&tag).is_some_and(|announced| announced.channel == channel) {
            self.announced.remove(&tag);
        }
        let stale = self.endings.iter().any(|ending| ending.tag == tag && ending.theirs == Some(channel));
        let meant = |session: &&mut Session| {
            session.tag == tag && session.is_live() && session.theirs.is_none_or(|known| known.channel == channel)
        };
        if let Some(session) = self.sessions.values_mut().find(meant).filter(|_| !stale) {
            session.end(Departure::Ended(notice));
        }
    }

    /// The moment before which no more of sessions is read from a peer that announces them faster than it may. Its own
    /// connection fills up meanwhile, and nobody else's.
    pub(super) fn read_again_at(&self, now: Instant) -> Option<Instant> {
        self.announcing.wait(now)
    }

    /// The moment at which frames or acknowledgements that wait, for their rate or for each other, may go out.
    pub(super) fn send_again_at(&self, now: Instant) -> Option<Instant> {
        let (sending, taking) = (self.sending.wait(now), self.taking.wait(now));
        let due = self.sessions.values().filter_map(|session| session.acknowledgement_due(now)).min();
        // Whoever may not take more yet does not say that it has.
        let due = due.map(|due| taking.map_or(due, |taking| taking.max(due)));
        [sending, due].into_iter().flatten().min()
    }

    /// What goes out next of sessions on the current connection: signs of life and small things first, then a frame of each
    /// session in turn, which takes the session's acknowledgement along. A peer that sends faster than it may has its
    /// acknowledgements late, and with them its window; signs of life never wait.
    pub(super) fn outbound(&mut self, now: Instant) -> Option<Envelope> {
        self.current.as_ref()?;
        if std::mem::take(&mut self.heartbeat_due) {
            return Some(Envelope::Heartbeat);
        }
        if let Some(envelope) = self.control.pop_front() {
            return Some(envelope);
        }
        let may_acknowledge = self.taking.wait(now).is_none();
        if may_acknowledge && let Some(envelope) = self.acknowledgement(now) {
            return Some(envelope);
        }
        if self.sending.wait(now).is_some() {
            return None;
        }
        let (after, before) = (self.sessions.range(self.turn + 1..), self.sessions.range(..=self.turn));
        let next = after.chain(before).find_map(|(ours, session)| {
            let theirs = session.open()?;
            session.outgoing.has_next(theirs.window).then_some((*ours, theirs))
        });
        let (ours, theirs) = next?;
        let session = self.sessions.get_mut(&ours)?;
        let frame = session.outgoing.next(theirs.window)?;
        let consumed = if may_acknowledge { session.incoming.acknowledgement() } else { session.incoming.told() };
        self.turn = ours;
        self.sending.charge(frame.body.len() as u64, now);
        Some(Envelope::SessionFrame { channel: theirs.channel, frame, consumed })
    }

    /// What goes out next of requests and answers.
    pub(super) fn outbound_requests(&mut self) -> Option<Envelope> {
        self.current.as_ref()?;
        self.asks_next = !self.asks_next;
        let (pending, answering) = (&mut self.pending, &mut self.answering);
        if self.asks_next {
            pending.outbound().or_else(|| answering.outbound())
        } else {
            answering.outbound().or_else(|| pending.outbound())
        }
    }

    /// An acknowledgement that goes by itself.
    fn acknowledgement(&mut self, now: Instant) -> Option<Envelope> {
        self.sessions.values_mut().find_map(|session| {
            let channel = session.open()?.channel;
            session.acknowledgement_due(now).filter(|due| *due <= now)?;
            Some(Envelope::SessionAcknowledgement { channel, consumed: session.incoming.acknowledgement() })
        })
    }
}

#[cfg(test)]
mod tests;
