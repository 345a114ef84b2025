//! The link with one peer: whichever connection carries it, whether it is up, and everything that outlives a
//! connection: sessions with their unacknowledged frames, and questions.

mod converse;
mod dialler;
mod greeting;
mod link_state;
mod pace;
mod questions;
mod session_link;
mod state;
mod window;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tacitly_core::{Frame, PartyId, SessionTag};
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::connection::{Pending, Transport};
use super::envelope::{BootId, Notice};
use super::error::LinkError;
use super::settings::Settings;
pub use link_state::{Departure, LinkState};
pub use questions::BUSY;
pub use session_link::{SessionLink, UnfitFrame};
use state::State;
pub use window::{BEYOND_WINDOW, FALSE_ACKNOWLEDGEMENT};

/// Handles what peers ask outside any session, and hears of their links.
pub trait Inbox: Send + Sync + 'static {
    /// Answers a question of `from`, whose identity has been checked. Several run at a time.
    fn request(&self, from: PartyId, body: Bytes) -> Pending<'_, Bytes>;

    /// The link with `peer` has gone up or down, or is down for another reason. Changes that follow each other
    /// quickly may be told as one.
    fn link_changed(&self, peer: PartyId, state: &LinkState) {
        let _ = (peer, state);
    }

    /// A call was refused before it belonged to anybody's link.
    fn call_refused(&self, error: &LinkError) {
        let _ = error;
    }
}

/// The states of all links.
type Board = watch::Sender<BTreeMap<PartyId, LinkState>>;

/// What all links of one party share.
pub(crate) struct Common {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) inbox: Arc<dyn Inbox>,
    pub(crate) settings: Settings,
    pub(crate) boot: BootId,
    pub(crate) board: Board,
    /// Ends every task.
    pub(crate) closing: CancellationToken,
    /// Where the tasks run, whichever thread asks for them.
    pub(crate) runtime: Handle,
    connections: AtomicU64,
}

impl Common {
    pub(crate) fn new(
        transport: Arc<dyn Transport>,
        inbox: Arc<dyn Inbox>,
        settings: Settings,
        boot: BootId,
        runtime: Handle,
    ) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = boot.0;
        Self {
            transport,
            inbox,
            settings,
            boot,
            board: watch::Sender::new(BTreeMap::new()),
            closing: CancellationToken::new(),
            runtime,
            connections: AtomicU64::new(u64::from_be_bytes([a, b, c, d, e, f, g, h])),
        }
    }

    /// A number for a connection that we dial, unlike any that the peer has seen. Not 0.
    fn number(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed).max(1)
    }
}

/// The link with one peer.
pub(crate) struct Link {
    me: PartyId,
    peer: PartyId,
    common: Arc<Common>,
    state: Mutex<State>,
    /// The moments at which sessions expire have changed.
    timers: Notify,
    /// Somebody wants the link up now.
    wanted: Notify,
    changes: watch::Sender<LinkState>,
    asking: Semaphore,
    /// Ends the tasks of this link.
    closing: CancellationToken,
}

impl Link {
    /// A link that is down, with the tasks that keep it.
    pub(crate) fn start(peer: PartyId, common: Arc<Common>) -> Arc<Self> {
        let me = common.transport.me();
        let state = State::new(me, peer, &common.settings, Instant::now());
        let changes = watch::Sender::new(state.phase.clone());
        common.board.send_modify(|board| {
            board.insert(peer, state.phase.clone());
        });
        let link = Arc::new(Self {
            me,
            peer,
            state: Mutex::new(state),
            timers: Notify::new(),
            wanted: Notify::new(),
            changes,
            asking: Semaphore::new(common.settings.max_requests),
            closing: common.closing.child_token(),
            common,
        });
        let runtime = &link.common.runtime;
        runtime.spawn(link.closing.clone().run_until_cancelled_owned(link.clone().keep_time()));
        runtime.spawn(link.closing.clone().run_until_cancelled_owned(link.clone().keep_dialling()));
        runtime.spawn(link.closing.clone().run_until_cancelled_owned(link.clone().tell_changes()));
        link
    }

    /// Tells the peer that a session will not take place.
    pub(crate) fn decline(&self, tag: SessionTag, notice: Notice) {
        self.locked().decline(tag, notice);
    }

    /// Asks the peer and waits for its answer.
    pub(crate) async fn request(&self, body: Bytes, patience: Duration) -> Result<Bytes, LinkError> {
        if body.len() > Frame::MAX_BODY {
            return Err(LinkError::TooLarge { found: body.len(), limit: Frame::MAX_BODY });
        }
        self.wanted.notify_one();
        let asked = async {
            let _place = self.asking.acquire().await.map_err(|_| LinkError::ShuttingDown)?;
            let (question, answer) = {
                let mut state = self.locked();
                if state.closing {
                    return Err(LinkError::ShuttingDown);
                }
                let (id, answer) = state.questions.ask(body);
                state.ring();
                (Question { link: self, id }, answer)
            };
            let answer = answer.await.unwrap_or(Err(LinkError::ShuttingDown));
            drop(question);
            answer
        };
        timeout(patience, asked).await.unwrap_or_else(|_| {
            // A link that is down explains more than a clock.
            Err(match &*self.changes.borrow() {
                LinkState::Down { reason, .. } => reason.clone(),
                LinkState::Up { .. } => LinkError::TimedOut { peer: self.peer, after: patience },
            })
        })
    }

    /// Dials at once if the link is down.
    pub(crate) fn want(&self) {
        self.wanted.notify_one();
    }

    /// Takes no more sessions and questions.
    pub(crate) fn close(&self) {
        self.locked().close();
    }

    /// Ends the sessions and questions that are left because our process stops.
    pub(crate) fn end_all(&self) {
        self.locked().end_all(&Departure::ShuttingDown, &LinkError::ShuttingDown);
    }

    /// Whether sessions or answers are still under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.locked().is_busy()
    }

    /// Whether the link is up.
    pub(crate) fn is_up(&self) -> bool {
        self.changes.borrow().is_up()
    }

    /// Ends the link with a party that is no longer a peer, and takes it off the board.
    pub(crate) fn withdraw(&self) {
        let mut state = self.locked();
        state.close();
        state.withdrawn = true;
        state.end_all(&Departure::Lost, &LinkError::Withdrawn { peer: self.peer });
        self.common.board.send_modify(|board| {
            board.remove(&self.peer);
        });
        self.closing.cancel();
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows the state of the link to everyone who watches; called with the lock held, so that the last word is the
    /// latest.
    fn publish(&self, state: &State) {
        match &state.phase {
            LinkState::Up { wire, software, .. } => {
                tracing::info!(me = %self.me, peer = %self.peer, wire, software, "link up");
            }
            LinkState::Down { reason, .. } => {
                tracing::warn!(me = %self.me, peer = %self.peer, reason = %reason, "link down");
            }
        }
        self.changes.send_replace(state.phase.clone());
        if !state.withdrawn {
            self.common.board.send_modify(|board| {
                board.insert(self.peer, state.phase.clone());
            });
        }
        self.timers.notify_one();
    }

    /// Ends sessions whose time is over.
    async fn keep_time(self: Arc<Self>) {
        loop {
            let next = self.locked().expire(Instant::now(), &self.common.settings);
            match next {
                Some(next) => {
                    tokio::select! {
                        () = sleep_until(next) => {}
                        () = self.timers.notified() => {}
                    }
                }
                None => self.timers.notified().await,
            }
        }
    }

    /// Tells the inbox of every change.
    async fn tell_changes(self: Arc<Self>) {
        let mut changes = self.changes.subscribe();
        while changes.changed().await.is_ok() {
            let state = changes.borrow_and_update().clone();
            self.common.inbox.link_changed(self.peer, &state);
        }
    }
}

/// A question under way; forgotten when its asker is no longer interested.
struct Question<'a> {
    link: &'a Link,
    id: u64,
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        self.link.locked().questions.forget(self.id);
    }
}
