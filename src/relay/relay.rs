//! The service: our memberships in attempts at jobs, and what other parties bring for them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tacitly_core::{PartyId, SessionTag};
use tokio::runtime::Handle;
use tokio::time::sleep;

use super::circle::{Broken, Circle, Finding};
use super::leader::Leader;
use super::member::Member;
use super::message::{self, Outcome, Piece};
use super::post::Post;
use super::transport::RelayTransport;
use crate::codes::{self, Error};
use crate::peers::Handler;
use crate::session::{Network, SessionLimits};
use crate::store::{JobId, Signer};
use crate::transport::{Entry, Inbox, Pace, Pending, SessionLink, Settings};

/// How long sessions that end with the attempt may take to say so.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long a leader hands on the last words of members when its own attempt has ended.
const LINGER: Duration = Duration::from_secs(5);
/// The pauses between dials: a member opens its sessions a moment before or after another.
const REDIAL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Sessions through leaders: ours with other members, and other members' through us.
pub struct Relay {
    me: PartyId,
    signer: Arc<dyn Signer>,
    post: Arc<dyn Post>,
    settings: Settings,
    memberships: Mutex<BTreeMap<(JobId, u32), Part>>,
}

/// What we are in an attempt.
#[derive(Clone)]
enum Part {
    Leader(Arc<Leader>),
    Member(Arc<Member>),
}

impl Part {
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Leader(one), Self::Leader(other)) => Arc::ptr_eq(one, other),
            (Self::Member(one), Self::Member(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl Relay {
    /// The relay of this party, which proves itself with the key of `signer` and reaches leaders and members by `post`.
    /// Links through a leader behave as `settings` say; signs of life on them are rarer, since all of them pass through
    /// one party.
    #[must_use]
    pub fn new(me: PartyId, signer: Arc<dyn Signer>, post: Arc<dyn Post>, settings: Settings) -> Self {
        let (redial_first, redial_most) = REDIAL;
        let settings = Settings { heartbeat: 2 * settings.heartbeat, redial_first, redial_most, ..settings };
        Self { me, signer, post, settings, memberships: Mutex::default() }
    }

    /// Takes our membership in an attempt at a job: from now on pieces of it are handed on, or taken, until it is left.
    #[must_use]
    pub fn join(self: &Arc<Self>, circle: Circle) -> Membership {
        let place = (circle.job, circle.attempt);
        let finding = Arc::new(Finding::new());
        let part = if circle.leader == self.me {
            Part::Leader(Arc::new(Leader::new(circle, self.post.clone(), finding.clone())))
        } else {
            let (signer, post) = (self.signer.clone(), self.post.clone());
            Part::Member(Arc::new(Member::new(self.me, circle, signer, post, finding.clone())))
        };
        self.memberships().insert(place, part.clone());
        Membership { relay: self.clone(), place, part, finding, network: Mutex::default() }
    }

    fn leave(&self, place: (JobId, u32), part: &Part) {
        let mut memberships = self.memberships();
        if memberships.get(&place).is_some_and(|known| known.is(part)) {
            memberships.remove(&place);
        }
    }

    fn memberships(&self) -> MutexGuard<'_, BTreeMap<(JobId, u32), Part>> {
        self.memberships.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn hear(&self, from: PartyId, piece: Piece, bytes: Bytes) -> Outcome {
        let part = self.memberships().get(&(piece.place.job, piece.place.attempt)).cloned();
        match part {
            Some(Part::Leader(leader)) => leader.forward(from, piece, bytes).await,
            Some(Part::Member(member)) if from == member.leader() => member.receive(piece),
            // Somebody who does not lead this job: there is nothing that it could have for us.
            Some(Part::Member(_)) => Outcome::Gone,
            // A line may open a moment before we join.
            None if piece.place.opens => Outcome::Later,
            None => Outcome::Gone,
        }
    }
}

impl Handler for Relay {
    fn service(&self) -> &'static str {
        message::SERVICE
    }

    fn answer(self: Arc<Self>, from: PartyId, body: Bytes) -> Pending<'static, Option<Bytes>> {
        Box::pin(async move {
            let piece = Piece::decode(body.clone())?;
            Some(message::encode_outcome(self.hear(from, piece, body).await))
        })
    }
}

/// Our membership in one attempt at a job. Dropped, it is left: sessions that are still open are told so.
pub struct Membership {
    relay: Arc<Relay>,
    place: (JobId, u32),
    part: Part,
    finding: Arc<Finding>,
    /// Our links through the leader, once we have opened one.
    network: Mutex<Option<Network>>,
}

impl Membership {
    /// Opens a session with another member through the leader. The other one opens it too, in its membership.
    ///
    /// # Errors
    /// [`codes::LINK_DOWN`] naming the member, if it is none, or if no session with it can be opened now;
    /// [`codes::INTERNAL`] off a Tokio runtime.
    pub fn open(&self, peer: PartyId, tag: SessionTag, limits: SessionLimits) -> Result<SessionLink, Error> {
        let member = match &self.part {
            Part::Member(member) if member.is_fellow(peer) => member,
            _ => return Err(Error::new(codes::LINK_DOWN, format!("no leader brings us to {peer}")).with(peer)),
        };
        member.expected().set(peer, Entry::default());
        let network = self.network(member)?;
        network.open_with(peer, tag, limits).map_err(|error| Error::new(codes::LINK_DOWN, error.to_string()).with(peer))
    }

    /// Returns once a party of the attempt is found to have broken the rules of the relay.
    pub async fn broken(&self) -> Broken {
        self.finding.found().await
    }

    fn network(&self, member: &Arc<Member>) -> Result<Network, Error> {
        let mut network = self.network.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(network) = &*network {
            return Ok(network.clone());
        }
        let transport = Arc::new(RelayTransport(member.clone()));
        let started =
            Network::start(transport, member.expected().clone(), Arc::new(Silent), self.relay.settings.clone());
        let started = started.map_err(|error| Error::internal(error.to_string()))?;
        Ok(network.insert(started).clone())
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let (relay, place, part) = (self.relay.clone(), self.place, self.part.clone());
        let network = self.network.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let Ok(runtime) = Handle::try_current() else { return relay.leave(place, &part) };
        runtime.spawn(async move {
            match (network, &part) {
                (Some(network), _) => network.shutdown(LAST_WORDS).await,
                (None, Part::Leader(_)) => sleep(LINGER).await,
                (None, Part::Member(_)) => {}
            }
            relay.leave(place, &part);
        });
    }
}

/// Members ask each other nothing on these links.
struct Silent;

impl Inbox for Silent {
    fn pace(&self, _: &str) -> Option<Pace> {
        None
    }

    fn request(&self, _: PartyId, _: &str, _: Bytes) -> Pending<'_, Bytes> {
        Box::pin(async { Bytes::new() })
    }
}
