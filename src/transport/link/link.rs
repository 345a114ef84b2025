//! The link with one peer: whichever connection carries it, whether it is up, and everything that outlives a
//! connection: sessions with their unacknowledged frames, and requests.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tacitly_core::{Frame, PartyId, SessionTag};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::answering::NO_SERVICE;
use super::common::Common;
use super::link_state::{Departure, LinkState};
use super::state::{State, ToWake};
use crate::transport::envelope::{Notice, is_code};
use crate::transport::error::LinkError;

/// The link with one peer.
pub(crate) struct Link {
    pub(super) me: PartyId,
    pub(super) peer: PartyId,
    pub(super) common: Arc<Common>,
    state: Mutex<State>,
    /// The moments at which sessions expire have changed.
    timers: Notify,
    /// Somebody wants the link up now.
    wanted: Notify,
    pub(super) changes: watch::Sender<LinkState>,
    /// How many more questions may be under way with each service.
    asking: Mutex<BTreeMap<String, Arc<Semaphore>>>,
    /// Ends the tasks of this link.
    pub(super) closing: CancellationToken,
}

impl Link {
    /// A link that is down.
    pub(super) fn new(peer: PartyId, common: Arc<Common>) -> Self {
        let me = common.transport.me();
        let state = State::new(me, peer, &common.settings, Instant::now());
        let changes = watch::Sender::new(state.phase.clone());
        common.states.send_modify(|states| {
            states.insert(peer, state.phase.clone());
        });
        Self {
            me,
            peer,
            state: Mutex::new(state),
            timers: Notify::new(),
            wanted: Notify::new(),
            changes,
            asking: Mutex::default(),
            closing: common.closing.child_token(),
            common,
        }
    }

    /// Tells the peer that a session will not take place.
    pub(crate) fn decline(&self, tag: SessionTag, notice: Notice) {
        self.locked().decline(tag, notice);
    }

    /// Asks a service of the peer and waits for its answer.
    pub(crate) async fn request(&self, service: &str, body: Bytes, patience: Duration) -> Result<Bytes, LinkError> {
        if !is_code(service) {
            return Err(LinkError::Declined { peer: self.peer, code: NO_SERVICE.to_owned() });
        }
        if body.len() > Frame::MAX_BODY {
            return Err(LinkError::TooLarge { found: body.len(), limit: Frame::MAX_BODY });
        }
        self.wanted.notify_one();
        let asked = async {
            let _place = self.places(service).acquire_owned().await.map_err(|_| LinkError::ShuttingDown)?;
            let (question, answer) = {
                let mut state = self.locked();
                if state.closing {
                    return Err(LinkError::ShuttingDown);
                }
                let (id, answer) = state.pending.ask(service, body);
                state.wake_asker();
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

    /// Places for questions to a service: those to another one have their own.
    fn places(&self, service: &str) -> Arc<Semaphore> {
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        match asking.get(service) {
            Some(places) => places.clone(),
            None => {
                let places = Arc::new(Semaphore::new(self.common.settings.max_requests));
                asking.entry(service.to_owned()).or_insert(places).clone()
            }
        }
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

    /// Somebody wants the link up, since the last who waited for that heard of it.
    pub(super) async fn is_wanted(&self) {
        self.wanted.notified().await;
    }

    /// An attempt to connect has failed; shown as the reason if the link is down.
    pub(crate) fn failed(&self, error: LinkError) {
        let mut state = self.locked();
        if state.still_down(error) {
            self.publish(&state);
        }
    }

    /// Whether the link is up.
    pub(crate) fn is_up(&self) -> bool {
        self.changes.borrow().is_up()
    }

    /// Ends the link with a party that is no longer a peer, and takes it off the list.
    pub(crate) fn withdraw(&self) {
        let mut state = self.locked();
        state.close();
        state.withdrawn = true;
        state.end_all(&Departure::Lost, &LinkError::Withdrawn { peer: self.peer });
        self.common.states.send_modify(|states| {
            states.remove(&self.peer);
        });
        self.closing.cancel();
    }

    /// The moments at which sessions expire have changed.
    pub(super) fn reset_timers(&self) {
        self.timers.notify_one();
    }

    pub(super) fn locked(&self) -> Locked<'_> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Locked { state, to_wake: ToWake::default() }
    }

    /// Shows the state of the link to everyone who watches; called with the lock held, so that the last word is the
    /// latest.
    pub(super) fn publish(&self, state: &State) {
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
            self.common.states.send_modify(|states| {
                states.insert(self.peer, state.phase.clone());
            });
        }
        self.timers.notify_one();
    }

    /// Ends sessions whose time is over.
    pub(super) async fn keep_time(self: Arc<Self>) {
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
    pub(super) async fn tell_changes(self: Arc<Self>) {
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
        self.link.locked().pending.forget(self.id);
    }
}

/// The state of a link, for one holder at a time. Those whom the holder wants woken are woken once it has let go.
pub(super) struct Locked<'a> {
    state: MutexGuard<'a, State>,
    // Dropped after the lock, since it stands below it.
    to_wake: ToWake,
}

impl Deref for Locked<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.to_wake = self.state.take_to_wake();
    }
}
