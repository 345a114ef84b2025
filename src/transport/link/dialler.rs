//! Dials a peer while its link is down.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::ChaCha20Rng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::connection_loop::ConnectionLoop;
use super::greeting::Greeting;
use super::link::Link;
use super::link_state::LinkState;
use crate::transport::connection::Connection;
use crate::transport::error::LinkError;

/// The most dials at a time, while sessions wait for the link.
const MOST_AT_A_TIME: usize = 4;

/// Dials the peer of a link.
pub(super) struct Dialler(pub(super) Arc<Link>);

impl Dialler {
    /// Dials while the link is down, for as long as there is a link.
    pub(super) async fn run(self) {
        let link = &self.0;
        let settings = &link.common.settings;
        // Only to spread the dials of many parties over time, so any seed that differs between them does.
        let mut rng = ChaCha20Rng::seed_from_u64(link.common.number());
        let mut changes = link.changes.subscribe();
        let mut pause = settings.redial_first;
        // Both sides may start at once: one of them waits a moment, so that usually one connection is made and not two.
        if link.me > link.peer {
            self.wait(pause).await;
        }
        loop {
            if changes.wait_for(|state| !state.is_up()).await.is_err() {
                return;
            }
            match self.dial().await {
                Ok(()) => {
                    // A connection that does not hold is no reason to hurry.
                    let begun = Instant::now();
                    if changes.wait_for(|state| !state.is_up()).await.is_err() {
                        return;
                    }
                    if begun.elapsed() > 2 * settings.heartbeat {
                        pause = settings.redial_first;
                    }
                }
                Err(error) => link.failed(error),
            }
            let waits = link.locked().keeps_sessions_waiting();
            let most = if waits { settings.redial_for_sessions } else { settings.redial_most };
            if self.wait(pause.mul_f64(rng.random_range(0.5..1.5)).min(most)).await {
                pause = settings.redial_first;
            } else {
                pause = (2 * pause).min(settings.redial_most);
            }
        }
    }

    /// Waits for `pause`, or until somebody wants the link up; even then a moment, so that eager callers do not make
    /// us dial without end. Returns whether somebody does.
    async fn wait(&self, pause: Duration) -> bool {
        let moment = self.0.common.settings.redial_first.min(pause);
        sleep(moment).await;
        tokio::select! {
            () = sleep(pause - moment) => false,
            () = self.0.is_wanted() => true,
        }
    }

    /// Dials once and uses the connection, if one comes about.
    async fn dial(&self) -> Result<(), LinkError> {
        let link = &self.0;
        if !link.common.transport.can_dial(link.peer) {
            return match &*link.changes.borrow() {
                // The peer has called before and will call again; how that ended says more than that we cannot.
                LinkState::Down { reason, .. } if !matches!(reason, LinkError::NotYet { .. }) => Ok(()),
                _ => Err(LinkError::NoAddress { peer: link.peer }),
            };
        }
        let connection = self.connect().await?;
        if let Some((connection, generation)) = Greeting(link).greet(connection).await? {
            tokio::spawn(ConnectionLoop::new(link.clone(), generation).run(connection));
        }
        Ok(())
    }

    /// A connection. While sessions wait for it another dial begins every so often although the last has not ended: over
    /// a network that is just coming back, a dial from before may hear of that too late for them.
    async fn connect(&self) -> Result<Connection, LinkError> {
        let every = self.0.common.settings.redial_for_sessions;
        let lives = every * u32::try_from(MOST_AT_A_TIME).unwrap_or(u32::MAX);
        let mut dials = JoinSet::new();
        let mut hurries = self.0.locked().keeps_sessions_waiting();
        loop {
            if dials.is_empty() || hurries && dials.len() < MOST_AT_A_TIME {
                let (transport, peer) = (self.0.common.transport.clone(), self.0.peer);
                let late = move |_| LinkError::TimedOut { peer, after: lives };
                dials.spawn(async move {
                    let dial = transport.dial(peer);
                    if hurries { timeout(lives, dial).await.map_err(late)? } else { dial.await }
                });
            }
            tokio::select! {
                Some(dialled) = dials.join_next() => match dialled {
                    Ok(Err(_)) if !dials.is_empty() => {}
                    Ok(dialled) => return dialled,
                    Err(_) => return Err(LinkError::Unreachable {
                        peer: self.0.peer,
                        address: String::new(),
                        detail: "the dial failed".to_owned(),
                    }),
                },
                () = sleep(every) => hurries = self.0.locked().keeps_sessions_waiting(),
            }
        }
    }
}
