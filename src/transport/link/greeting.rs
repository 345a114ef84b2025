//! How two ends of a fresh connection connect themselves, and whether they understand each other.

use jiff::Timestamp;
use tokio::time::{Instant, timeout};

use super::link::Link;
use super::link_state::LinkState;
use crate::transport::connection::Connection;
use crate::transport::envelope::{CloseReason, Envelope, Hello, Lane};
use crate::transport::error::LinkError;

/// Both sides connect themselves on a fresh connection.
pub(super) struct Greeting<'a>(pub(super) &'a Link);

impl Greeting<'_> {
    /// Introduces both sides and takes the connection into use, with the generation that is its number; `None` if another
    /// one is used instead.
    ///
    /// The error says why they do not understand each other; the peer is told too.
    pub(super) async fn greet(&self, mut connection: Connection) -> Result<Option<(Connection, u64)>, LinkError> {
        let link = self.0;
        let window = link.common.settings.greeting_window;
        let _under_way = UnderWay::begin(link);
        let exchanged = timeout(window, self.exchange(&mut connection)).await;
        let exchanged = exchanged.unwrap_or(Err(LinkError::TimedOut { peer: link.peer, after: window }));
        let (hello, up) = match exchanged {
            Ok(exchanged) => exchanged,
            Err(error) => {
                tokio::spawn(connection.part(close_reason(&error)));
                return Err(error);
            }
        };
        let adopted = {
            let mut state = link.locked();
            let adopted = state.adopt(connection.dialler(), &hello, up);
            if adopted.is_some() {
                link.publish(&state);
            }
            adopted
        };
        match adopted {
            Some(generation) => Ok(Some((connection, generation))),
            None => {
                let closing = link.locked().closing;
                let why = if closing { CloseReason::ShuttingDown } else { CloseReason::Superseded };
                tokio::spawn(connection.part(Some(why)));
                Ok(None)
            }
        }
    }

    /// Sends and receives a greeting, the dialler first.
    async fn exchange(&self, connection: &mut Connection) -> Result<(Hello, LinkState), LinkError> {
        let (link, peer) = (self.0, self.0.peer);
        let violation = |rule| LinkError::Violation { peer, rule };
        let theirs = if connection.dialler() == link.me {
            let number = link.common.number();
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
        if theirs.lane != Lane::ONLY {
            return Err(LinkError::Lane { peer, lane: theirs.lane.number() });
        }
        let settings = &link.common.settings;
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
        let (link, settings) = (self.0, &self.0.common.settings);
        Hello {
            wire: settings.wire,
            features: settings.features.clone(),
            software: settings.software.clone(),
            party: link.me,
            boot: link.common.boot,
            connection,
            lost: link.locked().lost,
            lane: Lane::ONLY,
            clock: Some(Timestamp::now()),
        }
    }

    async fn hear(&self, connection: &mut Connection) -> Result<Hello, LinkError> {
        match connection.receive().await? {
            Envelope::Hello(hello) => Ok(hello),
            Envelope::Bye(why) => Err(LinkError::Closed { peer: self.0.peer, why }),
            _ => Err(LinkError::Violation { peer: self.0.peer, rule: "hello-first" }),
        }
    }
}

/// A greeting under way: sessions that wait for the link wait for its end.
struct UnderWay<'a>(&'a Link);

impl<'a> UnderWay<'a> {
    fn begin(link: &'a Link) -> Self {
        link.locked().greetings += 1;
        Self(link)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.locked().greetings -= 1;
        self.0.reset_timers();
    }
}

/// What the peer is told of the reason for hanging up.
pub(super) fn close_reason(error: &LinkError) -> Option<CloseReason> {
    match error {
        LinkError::Version { .. } => Some(CloseReason::Version),
        LinkError::WrongParty { .. } => Some(CloseReason::WrongParty),
        LinkError::Violation { .. } => Some(CloseReason::Violation),
        LinkError::Withdrawn { .. } => Some(CloseReason::NoLongerAPeer),
        LinkError::Lane { .. } => Some(CloseReason::Lane),
        LinkError::ShuttingDown => Some(CloseReason::ShuttingDown),
        _ => None,
    }
}
