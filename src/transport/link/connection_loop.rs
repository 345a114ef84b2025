//! One task per connection in use: reads both streams, has questions answered, listens for silence, and hangs up.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tacitly_core::Frame;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

use super::answering::Asked;
use super::greeting::close_reason;
use super::link::Link;
use super::outbound::Outbound;
use super::state::Received;
use crate::transport::connection::{Connection, broken_off};
use crate::transport::envelope::{CloseReason, Envelope};
use crate::transport::error::LinkError;
use crate::transport::streams::{Incoming, Which};

/// The code of a request whose handler gave no answer that can be sent.
const NO_ANSWER: &str = "no-answer";

/// How long a connection that takes or brings nothing more may take to say why.
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
        let (sessions, mut all_sent) = Outbound::new(self.link.clone(), self.generation, Which::Sessions);
        let (requests, _) = Outbound::new(self.link.clone(), self.generation, Which::Requests);
        outgoing.sessions.send_all(sessions).await;
        outgoing.requests.send_all(requests).await;
        // While we do not read, the peer's silence is ours.
        let mut reading_since = Instant::now();
        let mut silence = pin!(sleep(patience));
        // Why no more requests come, and until when the stream of sessions may give a better reason.
        let mut requests_over: Option<(LinkError, Instant)> = None;
        loop {
            let (held, requests_held, next) = {
                let (state, now) = (self.link.locked(), Instant::now());
                (state.read_again_at(now), state.answering.read_again_at(now), state.answering.next_at(now))
            };
            let until = requests_over.as_ref().map(|(_, until)| *until);
            let alarm = [held, requests_held, next, until].into_iter().flatten().min();
            let reads_requests = requests_held.is_none() && requests_over.is_none();
            tokio::select! {
                biased;
                // Either the connection does not take anything more, or there is nothing more to give it.
                _ = &mut all_sent => {
                    if let Some(over) = self.has_ended() {
                        return over;
                    }
                    return Over::Down(match timeout(LAST_WORD, incoming.next(true, false)).await {
                        Ok((_, Some(Err(error)))) => error,
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
                () = sleep_until(alarm.unwrap_or_else(Instant::now)), if alarm.is_some() => {
                    if held.is_some() {
                        reading_since = Instant::now();
                    }
                    if let Some((why, _)) = requests_over.take_if(|(_, until)| *until <= Instant::now()) {
                        return Over::Down(why);
                    }
                    self.begin_answers();
                }
                item = incoming.next(held.is_none(), reads_requests) => match item {
                    (which, Some(Ok(envelope))) => {
                        if let Err(over) = self.heard(which, envelope) {
                            if reads_requests {
                                self.hear_out(&over, incoming).await;
                            }
                            return over;
                        }
                    }
                    (Which::Sessions, Some(Err(error))) => return Over::Down(error),
                    (Which::Sessions, None) => return Over::Down(broken_off(peer)),
                    (Which::Requests, Some(Err(error @ LinkError::Violation { .. }))) => return Over::Down(error),
                    (Which::Requests, ended) => {
                        let why = ended.and_then(Result::err).unwrap_or_else(|| broken_off(peer));
                        requests_over = Some((why, Instant::now() + LAST_WORD));
                    }
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

    fn heard(&self, which: Which, envelope: Envelope) -> Result<(), Over> {
        let peer = self.link.peer;
        let received = {
            let mut state = self.link.locked();
            if !state.is_current(self.generation) {
                return Err(Over::Superseded);
            }
            if Which::of(&envelope) == which {
                state.receive(envelope, &self.link.common.settings, Instant::now())
            } else {
                Err("request-stream")
            }
        };
        match received {
            Ok(Received::Nothing) => Ok(()),
            Ok(Received::Request(asked)) => self.asked(asked),
            Ok(Received::Bye(why)) => Err(Over::Down(LinkError::Closed { peer, why })),
            Err(rule) => Err(self.broken(rule)),
        }
    }

    /// The peer asks one of our services.
    fn asked(&self, asked: Asked) -> Result<(), Over> {
        let pace = self.link.common.inbox.pace(&asked.service);
        let mut state = self.link.locked();
        // Its numbers mean nothing on another connection.
        if !state.is_current(self.generation) {
            return Err(Over::Superseded);
        }
        let closing = state.closing;
        let taken = state.answering.ask(asked, pace, closing, &self.link.common.settings, Instant::now());
        // It may have been declined.
        state.wake_asker();
        drop(state);
        taken.map_err(|rule| self.broken(rule))?;
        self.begin_answers();
        Ok(())
    }

    /// Has answered what may be answered now.
    fn begin_answers(&self) {
        let mut state = self.link.locked();
        let now = Instant::now();
        while state.is_current(self.generation)
            && let Some(asked) = state.answering.next(now)
        {
            tokio::spawn(answer(self.link.clone(), self.generation, asked));
        }
    }

    fn broken(&self, rule: &'static str) -> Over {
        let (me, peer) = (self.link.me, self.link.peer);
        tracing::error!(%me, %peer, rule, "the peer broke the rules of the stream");
        Over::Down(LinkError::Violation { peer, rule })
    }

    /// A peer that stops has said what it owes us before it hung up, on the other stream.
    async fn hear_out(&self, over: &Over, incoming: &mut Incoming) {
        let Over::Down(LinkError::Closed { why: CloseReason::ShuttingDown, .. }) = over else { return };
        let rest = async {
            while let (_, Some(Ok(envelope))) = incoming.next(false, true).await {
                if matches!(envelope, Envelope::Response { .. }) && self.heard(Which::Requests, envelope).is_err() {
                    return;
                }
            }
        };
        // One that does not hang up there either is not waited for.
        let _ = timeout(LAST_WORD, rest).await;
    }
}

/// Has a question of the peer answered.
async fn answer(link: Arc<Link>, generation: u64, asked: Asked) {
    let Asked { id, service, body } = asked;
    let (inbox, peer, name) = (link.common.inbox.clone(), link.peer, service.clone());
    // In a task of its own, so that a handler that panics is an answer too.
    let answer = tokio::spawn(async move { inbox.request(peer, &name, body).await }).await;
    let outcome = match answer {
        Ok(body) if body.len() <= Frame::MAX_BODY => Ok(body),
        _ => {
            tracing::error!(me = %link.me, %peer, "the handler of a request gave no answer that can be sent");
            Err(NO_ANSWER.to_owned())
        }
    };
    let mut state = link.locked();
    let current = state.is_current(generation);
    state.answering.finish(&service, current.then_some(Envelope::Response { id, outcome }));
    state.wake_asker();
}
