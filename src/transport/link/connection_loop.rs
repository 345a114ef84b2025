//! One task per connection in use: reads, listens for silence, and hangs up.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tacitly_core::Frame;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};
use tokio_stream::StreamExt;

use super::greeting::close_reason;
use super::link::Link;
use super::outbound::Outbound;
use super::state::Received;
use crate::transport::connection::{Connection, broken_off};
use crate::transport::envelope::{CloseReason, Envelope};
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

/// A connection in use.
pub(super) struct ConnectionLoop {
    link: Arc<Link>,
    generation: u64,
}

impl ConnectionLoop {
    pub(super) fn new(link: Arc<Link>, generation: u64) -> Self {
        Self { link, generation }
    }

    /// Uses the connection until it ends.
    pub(super) async fn run(self, mut connection: Connection) {
        let last_word = match self.talk(&mut connection).await {
            Over::Superseded => Some(CloseReason::Superseded),
            Over::Down(reason) => {
                let last_word = close_reason(&reason);
                let mut state = self.link.locked();
                if state.hung_up(self.generation, reason, Instant::now()) {
                    self.link.publish(&state);
                }
                last_word
            }
        };
        connection.part(last_word).await;
    }

    async fn talk(&self, connection: &mut Connection) -> Over {
        let (peer, common) = (self.link.peer, &self.link.common);
        let patience = 2 * common.settings.heartbeat;
        let mut beat = interval(common.settings.heartbeat);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let Connection { outgoing, incoming, last_seen, pin, .. } = connection;
        let (outbound, mut all_sent) = Outbound::new(self.link.clone(), self.generation);
        outgoing.send_all(outbound).await;
        // While we do not read, the peer's silence is ours.
        let mut reading_since = Instant::now();
        let mut silence = pin!(sleep(patience));
        loop {
            let held = self.link.locked().read_again_at(Instant::now());
            tokio::select! {
                biased;
                // Either the connection does not take anything more, or there is nothing more to give it.
                _ = &mut all_sent => {
                    if let Some(over) = self.has_ended() {
                        return over;
                    }
                    return Over::Down(match timeout(LAST_WORD, incoming.next()).await {
                        Ok(Some(Err(error))) => error,
                        _ => broken_off(peer),
                    });
                }
                _ = beat.tick() => {
                    if !common.transport.still_admits(peer, *pin) {
                        return Over::Down(LinkError::Withdrawn { peer });
                    }
                    let mut state = self.link.locked();
                    state.heartbeat_due = true;
                    state.wake_sender();
                }
                () = silence.as_mut(), if held.is_none() => {
                    let heard = last_seen.last().max(reading_since);
                    if heard.elapsed() >= patience {
                        return Over::Down(LinkError::Silent { peer, silence: heard.elapsed() });
                    }
                    silence.as_mut().reset(heard + patience);
                }
                () = sleep_until(held.unwrap_or_else(Instant::now)), if held.is_some() => reading_since = Instant::now(),
                item = incoming.next(), if held.is_none() => match item {
                    Some(Ok(envelope)) => {
                        if let Err(over) = self.heard(envelope) {
                            return over;
                        }
                    }
                    Some(Err(error)) => return Over::Down(error),
                    None => return Over::Down(broken_off(peer)),
                },
            }
        }
    }

    /// Why nothing more is to be said, unless it is the connection that takes no more.
    fn has_ended(&self) -> Option<Over> {
        let (current, withdrawn) = {
            let state = self.link.locked();
            (state.is_current(self.generation), state.withdrawn)
        };
        if !current {
            return Some(Over::Superseded);
        }
        self.link.closing.is_cancelled().then(|| {
            let peer = self.link.peer;
            Over::Down(if withdrawn { LinkError::Withdrawn { peer } } else { LinkError::ShuttingDown })
        })
    }

    fn heard(&self, envelope: Envelope) -> Result<(), Over> {
        let (me, peer) = (self.link.me, self.link.peer);
        let received = {
            let mut state = self.link.locked();
            if !state.is_current(self.generation) {
                return Err(Over::Superseded);
            }
            state.receive(envelope, &self.link.common.settings, Instant::now())
        };
        match received {
            Ok(Received::Nothing) => Ok(()),
            Ok(Received::Request { id, body }) => {
                tokio::spawn(answer(self.link.clone(), self.generation, id, body));
                Ok(())
            }
            Ok(Received::Bye(why)) => Err(Over::Down(LinkError::Closed { peer, why })),
            Err(rule) => {
                tracing::error!(%me, %peer, rule, "the peer broke the rules of the stream");
                Err(Over::Down(LinkError::Violation { peer, rule }))
            }
        }
    }
}

/// Has a question of the peer answered.
async fn answer(link: Arc<Link>, generation: u64, id: u64, body: Bytes) {
    let (inbox, peer) = (link.common.inbox.clone(), link.peer);
    // In a task of its own, so that a handler that panics is an answer too.
    let answer = tokio::spawn(async move { inbox.request(peer, body).await }).await;
    let outcome = match answer {
        Ok(body) if body.len() <= Frame::MAX_BODY => Ok(body),
        _ => {
            tracing::error!(me = %link.me, %peer, "the handler of a request gave no answer that can be sent");
            Err(NO_ANSWER.to_owned())
        }
    };
    let mut state = link.locked();
    let current = state.is_current(generation);
    state.pending.end_answer(current.then_some(Envelope::Response { id, outcome }));
    state.wake_sender();
}
