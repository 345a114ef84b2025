//! Our end of one session with one peer.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tacitly_core::{Frame, PartyId, SessionTag};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::doorbell::Doorbell;
use super::link::Link;
use super::link_state::Departure;
use super::session::Session;
use crate::transport::envelope::{Notice, Window};
use crate::transport::error::LinkError;

/// Our end of one session with one peer: frames in both directions, whatever becomes of the connections below.
///
/// What is sent counts as under way until the peer's protocol has consumed it, and there is a bound on that: send only
/// while there is credit. Dropped without [`finish`](Self::finish), it tells the peer that the session was abandoned.
pub struct SessionLink {
    link: Arc<Link>,
    channel: u64,
    session: SessionTag,
    patience: Option<Duration>,
}

/// What one session may take. What is not said here is as the settings of its links say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionLimits {
    /// How much of it we hold unconsumed, and send ahead: a coordinator of many links has small ones.
    pub window: Option<Window>,
    /// How long a peer whose link is up may move nothing while we wait for it.
    pub patience: Option<Duration>,
}

/// Our own protocol made a frame that does not belong here; no peer's doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnfitFrame {
    /// Of another session.
    #[error("our protocol made a frame of another session")]
    Session,
    /// Out of order.
    #[error("our protocol made frame {found} where {expected} was next")]
    Sequence {
        /// Its number.
        found: u64,
        /// The number that was next.
        expected: u64,
    },
    /// Too large.
    #[error("our protocol made a frame of {found} bytes, at most {} are sent", Frame::MAX_BODY)]
    Size {
        /// Its size.
        found: usize,
    },
}

impl SessionLink {
    /// Opens a session on a link.
    pub(crate) fn open(link: &Arc<Link>, tag: SessionTag, limits: SessionLimits) -> Result<Self, LinkError> {
        let settings = &link.common.settings;
        let (window, patience) = (limits.window.unwrap_or(settings.window), limits.patience.or(settings.patience));
        let channel = link.locked().open(tag, window, settings.max_sessions, Instant::now())?;
        link.reset_timers();
        link.want();
        Ok(Self { link: link.clone(), channel, session: tag, patience })
    }

    /// Our own name.
    #[must_use]
    pub fn me(&self) -> PartyId {
        self.link.me
    }

    /// The other end.
    #[must_use]
    pub fn peer(&self) -> PartyId {
        self.link.peer
    }

    /// The session.
    #[must_use]
    pub fn session(&self) -> SessionTag {
        self.session
    }

    /// How long the peer may move nothing while we wait for it.
    #[must_use]
    pub fn patience(&self) -> Option<Duration> {
        self.patience
    }

    /// When the peer last moved something here; `None` while the link is down or the session not open at both ends,
    /// which have limits of their own.
    #[must_use]
    pub fn last_moved(&self) -> Option<Instant> {
        self.link.locked().last_moved(self.channel)
    }

    /// Whether the link below is up.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.link.is_up()
    }

    /// Rings `doorbell` from now on, and once at once, whenever a frame, credit that was missing, or an end may have come;
    /// tells `link_changed` when the link comes up or goes down.
    pub fn ring(&self, doorbell: Arc<Doorbell>, link_changed: Arc<Notify>) {
        self.with(|session| {
            session.doorbell = doorbell.clone();
            session.link_changed = link_changed;
        });
        doorbell.ring();
    }

    /// Whether a frame may be sent.
    #[must_use]
    pub fn has_credit(&self) -> bool {
        self.with(|session| session.outgoing.has_room(session.window)).unwrap_or(false)
    }

    /// Sends a frame; never waits. Whoever sends without credit fills memory.
    ///
    /// # Errors
    /// [`UnfitFrame`] if it is not the next frame of this session.
    pub fn send(&self, frame: Frame) -> Result<(), UnfitFrame> {
        if frame.session != self.session {
            return Err(UnfitFrame::Session);
        }
        if frame.body.len() > Frame::MAX_BODY {
            return Err(UnfitFrame::Size { found: frame.body.len() });
        }
        let mut state = self.link.locked();
        if let Some(session) = state.sessions.get_mut(&self.channel) {
            let expected = session.outgoing.next_sequence();
            if frame.sequence != expected {
                return Err(UnfitFrame::Sequence { found: frame.sequence, expected });
            }
            session.outgoing.push(frame);
            state.wake_sender();
        }
        Ok(())
    }

    /// The next frame, if one has come.
    #[must_use]
    pub fn take(&self) -> Option<Frame> {
        self.with(|session| session.incoming.take()).flatten()
    }

    /// The oldest frame that was taken has been consumed, and need not come again. The peer hears of it with our next
    /// frame, or soon.
    pub fn consumed(&self) {
        self.link.locked().consumed(self.channel, Instant::now());
    }

    /// From now on the peer hears at once of what is consumed: it may wait for nothing else.
    pub fn acknowledge_at_once(&self) {
        let mut state = self.link.locked();
        if let Some(session) = state.sessions.get_mut(&self.channel) {
            session.incoming.acknowledge_at_once();
            state.wake_sender();
        }
    }

    /// Whether the peer's protocol has consumed everything that was sent, or needs none of it.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.with(|session| session.outgoing.is_settled()).unwrap_or(true)
    }

    /// Why nothing more will come, once everything that came has been taken.
    #[must_use]
    pub fn departure(&self) -> Option<Departure> {
        self.with(|session| session.over.clone().filter(|_| session.incoming.is_empty())).flatten()
    }

    /// Ends our part and tells the peer why. Only the first call counts.
    pub fn finish(&self, notice: Notice) {
        self.link.locked().finish(self.channel, notice);
    }

    fn with<T>(&self, of: impl FnOnce(&mut Session) -> T) -> Option<T> {
        self.link.locked().sessions.get_mut(&self.channel).map(of)
    }
}

impl Drop for SessionLink {
    fn drop(&mut self) {
        self.finish(Notice::new(Notice::ABANDONED, ""));
    }
}
