//! Dials a peer while its link is down.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::ChaCha20Rng;
use rand::{RngExt, SeedableRng};
use tokio::time::{Instant, sleep};

use super::{Link, LinkState};
use crate::transport::error::LinkError;

impl Link {
    pub(super) async fn keep_dialling(self: Arc<Self>) {
        let settings = &self.common.settings;
        // Only to spread the dials of many parties over time, so any seed that differs between them does.
        let mut rng = ChaCha20Rng::seed_from_u64(self.common.number());
        let mut changes = self.changes.subscribe();
        let mut pause = settings.redial_first;
        // Both sides may start at once: one of them waits a moment, so that usually one connection is made and not two.
        if self.me > self.peer {
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
                Err(error) => self.failed(error),
            }
            if self.wait(pause.mul_f64(rng.random_range(0.5..1.5))).await {
                pause = settings.redial_first;
            } else {
                pause = (2 * pause).min(settings.redial_most);
            }
        }
    }

    /// Waits for `pause`, or until somebody wants the link up; even then a moment, so that eager callers do not make
    /// us dial without end. Returns whether somebody does.
    async fn wait(&self, pause: Duration) -> bool {
        let moment = self.common.settings.redial_first.min(pause);
        sleep(moment).await;
        tokio::select! {
            () = sleep(pause - moment) => false,
            () = self.wanted.notified() => true,
        }
    }

    /// Dials once and uses the connection, if one comes about.
    async fn dial(self: &Arc<Self>) -> Result<(), LinkError> {
        if !self.common.transport.can_dial(self.peer) {
            return match &*self.changes.borrow() {
                // The peer has called before and will call again; how that ended says more than that we cannot.
                LinkState::Down { reason, .. } if !matches!(reason, LinkError::NotYet { .. }) => Ok(()),
                _ => Err(LinkError::NoAddress { peer: self.peer }),
            };
        }
        let connection = self.common.transport.dial(self.peer).await?;
        if let Some(adopted) = self.greet(connection).await? {
            tokio::spawn(self.clone().converse(adopted));
        }
        Ok(())
    }
}
