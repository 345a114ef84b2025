//! How two ends of a fresh connection introduce themselves, and whether they understand each other.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::{Link, LinkState};
use crate::transport::connection::Connection;
use crate::transport::envelope::{Envelope, Farewell, Hello};
use crate::transport::error::LinkError;

/// A connection that is taken into use.
pub(super) struct Adopted {
    pub(super) connection: Connection,
    pub(super) generation: u64,
    pub(super) bell: Arc<Notify>,
}

impl Link {
    /// Introduces both sides on a fresh connection and takes it into use; `None` if another one is used instead.
    ///
    /// The error says why they do not understand each other; the peer is told too.
    pub(super) async fn greet(&self, mut connection: Connection) -> Result<Option<Adopted>, LinkError> {
        let window = self.common.settings.greeting_window;
        let exchanged = timeout(window, self.exchange(&mut connection)).await;
        let exchanged = exchanged.unwrap_or(Err(LinkError::TimedOut { peer: self.peer, after: window }));
        let (hello, up) = match exchanged {
            Ok(exchanged) => exchanged,
            Err(error) => {
                tokio::spawn(connection.part(farewell(&error)));
                return Err(error);
            }
        };
        let adopted = {
            let mut state = self.locked();
            let adopted = state.adopt(connection.dialler(), &hello, up);
            if adopted.is_some() {
                self.publish(&state);
            }
            adopted
        };
        match adopted {
            Some((generation, bell)) => Ok(Some(Adopted { connection, generation, bell })),
            None => {
                let closing = self.locked().closing;
                let why = if closing { Farewell::ShuttingDown } else { Farewell::Superseded };
                tokio::spawn(connection.part(Some(why)));
                Ok(None)
            }
        }
    }

    /// Sends and receives a greeting, the dialler first.
    async fn exchange(&self, connection: &mut Connection) -> Result<(Hello, LinkState), LinkError> {
        let peer = self.peer;
        let violation = |rule| LinkError::Violation { peer, rule };
        let theirs = if connection.dialler() == self.me {
            let number = self.common.number();
            connection.send(Envelope::Hello(self.hello(number))).await?;
            let theirs = self.hear(connection).await?;
            if theirs.connection != number {
                return Err(violation("hello-connection"));
            }
            theirs
        } else {
            let theirs = self.hear(connection).await?;
            if theirs.connection == 0 {
                return Err(violation("hello-connection"));
            }
            connection.send(Envelope::Hello(self.hello(theirs.connection))).await?;
            theirs
        };
        if theirs.party != peer {
            return Err(LinkError::WrongParty { peer, claimed: theirs.party });
        }
        let settings = &self.common.settings;
        let wire = settings.wire.common(theirs.wire).ok_or_else(|| LinkError::Version {
            peer,
            ours: settings.wire,
            ours_software: settings.software.clone(),
            theirs: theirs.wire,
            theirs_software: theirs.software.clone(),
        })?;
        let up = LinkState::Up {
            since: Instant::now(),
            wire,
            features: settings.features.intersection(&theirs.features).cloned().collect(),
            software: theirs.software.clone(),
            clock_ahead: theirs.clock.map(|clock| clock.duration_since(Timestamp::now())),
        };
        Ok((theirs, up))
    }

    fn hello(&self, connection: u64) -> Hello {
        let settings = &self.common.settings;
        Hello {
            wire: settings.wire,
            features: settings.features.clone(),
            software: settings.software.clone(),
            party: self.me,
            boot: self.common.boot,
            connection,
            lost: self.locked().lost,
            window: settings.window,
            clock: Some(Timestamp::now()),
        }
    }

    async fn hear(&self, connection: &mut Connection) -> Result<Hello, LinkError> {
        match connection.receive().await? {
            Envelope::Hello(hello) => Ok(hello),
            Envelope::Bye(why) => Err(LinkError::Closed { peer: self.peer, why }),
            _ => Err(LinkError::Violation { peer: self.peer, rule: "hello-first" }),
        }
    }
}

/// What the peer is told of the reason for hanging up.
pub(super) fn farewell(error: &LinkError) -> Option<Farewell> {
    match error {
        LinkError::Version { .. } => Some(Farewell::Version),
        LinkError::WrongParty { .. } => Some(Farewell::WrongParty),
        LinkError::Violation { .. } => Some(Farewell::Violation),
        LinkError::Withdrawn { .. } => Some(Farewell::NoLongerAPeer),
        LinkError::ShuttingDown => Some(Farewell::ShuttingDown),
        _ => None,
    }
}
