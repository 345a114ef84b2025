//! What is known about one session with the peer.

use std::sync::Arc;

use tacitly_core::{Frame, SessionTag};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::doorbell::Doorbell;
use super::link_state::Departure;
use super::window::{Incoming, Outgoing};
use crate::transport::envelope::{Envelope, Window};

/// What the peer has said when it opened a session.
#[derive(Clone, Copy)]
pub(super) struct Opened {
    /// Its number for it.
    pub(super) channel: u64,
    /// How much of it it holds unconsumed.
    pub(super) window: Window,
}

/// One session with the peer.
pub(super) struct Session {
    pub(super) tag: SessionTag,
    /// How much of it we hold unconsumed, and send ahead.
    pub(super) window: Window,
    /// The peer's end, once it has opened it too.
    pub(super) theirs: Option<Opened>,
    pub(super) outgoing: Outgoing,
    pub(super) incoming: Incoming,
    pub(super) over: Option<Departure>,
    /// The peer's process that took part in it is gone, and the one that runs now must not hear of it.
    pub(super) forgotten: bool,
    /// Rings for whoever computes when there is something to look at.
    pub(super) doorbell: Arc<Doorbell>,
    /// Tells that the link came up or went down.
    pub(super) link_changed: Arc<Notify>,
    pub(super) opened: Instant,
    /// When the peer last opened it, sent something new, or took something in.
    pub(super) moved: Instant,
}

impl Session {
    pub(super) fn new(tag: SessionTag, window: Window, theirs: Option<Opened>, now: Instant) -> Self {
        Self {
            tag,
            window,
            theirs,
            outgoing: Outgoing::default(),
            incoming: Incoming::default(),
            over: None,
            forgotten: false,
            doorbell: Arc::default(),
            link_changed: Arc::default(),
            opened: now,
            moved: now,
        }
    }

    /// The peer has opened it too.
    pub(super) fn opened_there(&mut self, theirs: Opened, now: Instant) {
        (self.theirs, self.moved) = (Some(theirs), now);
        self.doorbell.ring();
    }

    /// The peer's protocol has consumed so many frames. Returns whether that makes room where there was none, or settles
    /// everything.
    pub(super) fn acknowledged(&mut self, consumed: u64, now: Instant) -> Result<bool, &'static str> {
        if consumed > self.outgoing.acknowledged() {
            self.moved = now;
        }
        self.outgoing.acknowledge(consumed, self.window)
    }

    /// A frame has come.
    pub(super) fn received(&mut self, frame: Frame, now: Instant) -> Result<(), &'static str> {
        if self.incoming.accept(frame, self.window)? {
            self.moved = now;
        }
        Ok(())
    }

    pub(super) fn end(&mut self, departure: Departure) {
        if self.over.is_none() {
            if departure.is_complete() {
                self.outgoing.waive();
            }
            self.over = Some(departure);
            self.doorbell.ring();
        }
    }

    pub(super) fn is_live(&self) -> bool {
        self.over.is_none()
    }

    /// The peer's end, while both take part.
    pub(super) fn open(&self) -> Option<Opened> {
        self.theirs.filter(|_| self.is_live())
    }

    /// The moment at which an acknowledgement should go out by itself.
    pub(super) fn acknowledgement_due(&self, now: Instant) -> Option<Instant> {
        // Whoever sends with a small window of its own waits for us sooner than our window tells.
        self.incoming.due(self.window.smaller(self.open()?.window), now)
    }

    pub(super) fn opening(&self, channel: u64) -> Envelope {
        Envelope::SessionOpen { session: self.tag, channel, window: self.window }
    }
}
