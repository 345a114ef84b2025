//! One task per connection in use: reads, writes, listens for silence.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tacitly_core::Frame;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_stream::StreamExt;

use super::Link;
use super::greeting::{Adopted, farewell};
use super::state::Received;
use crate::transport::connection::{Connection, broken_off};
use crate::transport::envelope::{Envelope, Farewell};
use crate::transport::error::LinkError;

/// The code of a request whose handler gave no answer that can be sent.
const NO_ANSWER: &str = "no-answer";

/// How long a connection that takes nothing more may take to say why.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Why a conversation is over.
enum Over {
    /// For a reason that takes the link down.
    Down(LinkError),
    /// Another connection is used instead.
    Superseded,
}

impl Link {
    /// Takes a call of the peer.
    pub(crate) async fn welcome(self: Arc<Self>, connection: Connection) {
        match self.greet(connection).await {
            Ok(Some(adopted)) => self.converse(adopted).await,
            Ok(None) => {}
            Err(error) => self.failed(error),
        }
    }

    /// An attempt to connect has failed; shown as the reason if the link is down.
    pub(crate) fn failed(&self, error: LinkError) {
        let mut state = self.locked();
        if state.still_down(error) {
            self.publish(&state);
        }
    }

    /// Uses a connection until it ends.
    pub(super) async fn converse(self: Arc<Self>, adopted: Adopted) {
        let Adopted { mut connection, generation, bell } = adopted;
        let over = self.talk(&mut connection, generation, &bell).await;
        let last_word = match over {
            Over::Superseded => Some(Farewell::Superseded),
            Over::Down(reason) => {
                let last_word = farewell(&reason);
                let mut state = self.locked();
                if state.hung_up(generation, reason, Instant::now()) {
                    self.publish(&state);
                }
                last_word
            }
        };
        connection.part(last_word).await;
    }

    async fn talk(self: &Arc<Self>, connection: &mut Connection, generation: u64, bell: &Notify) -> Over {
        let (peer, settings) = (self.peer, &self.common.settings);
        let patience = 2 * settings.heartbeat;
        let mut beat = interval(settings.heartbeat);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let Connection { outgoing, incoming, pulse, pin, .. } = connection;
        // While we do not read, the peer's silence is ours.
        let mut reading_since = Instant::now();
        loop {
            let held = self.locked().read_again_at(Instant::now());
            let write = async {
                let place = outgoing.reserve().await.ok()?;
                place.send(self.next(generation, bell).await?);
                Some(())
            };
            tokio::select! {
                () = sleep_until(held.unwrap_or_else(Instant::now)), if held.is_some() => reading_since = Instant::now(),
                item = incoming.next(), if held.is_none() => match item {
                    Some(Ok(envelope)) => {
                        if let Err(over) = self.heard(envelope, generation) {
                            return over;
                        }
                    }
                    Some(Err(error)) => return Over::Down(error),
                    None => return Over::Down(broken_off(peer)),
                },
                written = write => if written.is_none() {
                    // Either the connection does not take anything more, or there is nothing more to give it.
                    let (current, withdrawn) = {
                        let state = self.locked();
                        (state.is_current(generation), state.withdrawn)
                    };
                    if !current {
                        return Over::Superseded;
                    }
                    if self.closing.is_cancelled() {
                        let ours = LinkError::ShuttingDown;
                        return Over::Down(if withdrawn { LinkError::Withdrawn { peer } } else { ours });
                    }
                    return Over::Down(match timeout(LAST_WORD, incoming.next()).await {
                        Ok(Some(Err(error))) => error,
                        _ => broken_off(peer),
                    });
                },
                _ = beat.tick() => {
                    if !self.common.transport.still_admits(peer, *pin) {
                        return Over::Down(LinkError::Withdrawn { peer });
                    }
                    self.locked().heartbeat_due = true;
                    bell.notify_one();
                }
                () = sleep_until(pulse.last().max(reading_since) + patience), if held.is_none() => {
                    let silence = pulse.last().max(reading_since).elapsed();
                    if silence >= patience {
                        return Over::Down(LinkError::Silent { peer, silence });
                    }
                }
            }
        }
    }

    /// The next envelope to send; `None` when another connection has taken over, or when we are closing and
    /// everything has been said.
    async fn next(&self, generation: u64, bell: &Notify) -> Option<Envelope> {
        loop {
            let again = {
                let (mut state, now) = (self.locked(), Instant::now());
                if !state.is_current(generation) {
                    return None;
                }
                if let Some(envelope) = state.outbound(now) {
                    return Some(envelope);
                }
                state.send_again_at(now)
            };
            if self.closing.is_cancelled() {
                return None;
            }
            tokio::select! {
                () = bell.notified() => {}
                () = sleep_until(again.unwrap_or_else(Instant::now)), if again.is_some() => {}
                () = self.closing.cancelled() => {}
            }
        }
    }

    fn heard(self: &Arc<Self>, envelope: Envelope, generation: u64) -> Result<(), Over> {
        let received = {
            let mut state = self.locked();
            if !state.is_current(generation) {
                return Err(Over::Superseded);
            }
            state.receive(envelope, &self.common.settings, Instant::now())
        };
        match received {
            Ok(Received::Nothing) => Ok(()),
            Ok(Received::Request { id, body }) => {
                let link = self.clone();
                tokio::spawn(async move { link.answer(id, body, generation).await });
                Ok(())
            }
            Ok(Received::Bye(why)) => Err(Over::Down(LinkError::Closed { peer: self.peer, why })),
            Err(rule) => {
                tracing::error!(me = %self.me, peer = %self.peer, rule, "the peer broke the rules of the stream");
                Err(Over::Down(LinkError::Violation { peer: self.peer, rule }))
            }
        }
    }

    /// Has a question of the peer answered.
    async fn answer(self: Arc<Self>, id: u64, body: Bytes, generation: u64) {
        let inbox = self.common.inbox.clone();
        let peer = self.peer;
        // In a task of its own, so that a handler that panics is an answer too.
        let answer = tokio::spawn(async move { inbox.request(peer, body).await }).await;
        let outcome = match answer {
            Ok(body) if body.len() <= Frame::MAX_BODY => Ok(body),
            _ => {
                tracing::error!(me = %self.me, %peer, "the handler of a request gave no answer that can be sent");
                Err(NO_ANSWER.to_owned())
            }
        };
        let mut state = self.locked();
        let current = state.is_current(generation);
        state.questions.end_answer(current.then_some(Envelope::Response { id, outcome }));
        state.ring();
    }
}
