//! Parties on loopback, with certificates, over real sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tacitly::session::{Ended, LinkError, LinkState, Network, Options, Settings, drive};
use tacitly::transport::{Enroller, Entry, Grpc, Pin, Roster, TlsIdentity};
use tacitly_core::PartyId;
use tokio::time::{sleep, timeout};

use crate::support::{Bulk, Echo, id, link_is, tag, up};

/// How long something may take that a machine with nothing else to do does at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Short times where these tests wait for them, because they run on a real clock; long ones where a slow machine must not
/// be taken for a peer that is gone.
pub(crate) fn brisk() -> Settings {
    Settings {
        heartbeat: Duration::from_secs(1),
        redial_first: Duration::from_millis(20),
        redial_most: Duration::from_millis(200),
        ..Settings::default()
    }
}

pub(crate) fn in_days(days: i64) -> Timestamp {
    Timestamp::now() + SignedDuration::from_hours(24 * days)
}

pub(crate) fn identity(name: &str) -> TlsIdentity {
    TlsIdentity::generate(id(name), in_days(-1), in_days(365)).unwrap()
}

/// One party's daemon, as far as these tests need one.
pub(crate) struct Site {
    pub(crate) roster: Arc<Roster>,
    pub(crate) grpc: Grpc,
    pub(crate) network: Network,
    pub(crate) inbox: Arc<Echo>,
    pub(crate) pin: Pin,
}

impl Site {
    pub(crate) fn new(identity: TlsIdentity, settings: Settings) -> Self {
        Self::with_enroller(identity, settings, None)
    }

    pub(crate) fn with_enroller(
        identity: TlsIdentity,
        settings: Settings,
        enroller: Option<Arc<dyn Enroller>>,
    ) -> Self {
        let pin = identity.pin();
        let (roster, inbox) = (Arc::new(Roster::new()), Arc::new(Echo::default()));
        let grpc = Grpc::new(identity, roster.clone(), enroller, settings.clone());
        let network = Network::start(Arc::new(grpc.clone()), roster.clone(), inbox.clone(), settings).unwrap();
        Self { roster, grpc, network, inbox, pin }
    }

    pub(crate) fn named(name: &str) -> Self {
        Self::new(identity(name), brisk())
    }

    pub(crate) async fn listen(&self) -> SocketAddr {
        self.grpc.listen("127.0.0.1:0".parse().unwrap()).await.unwrap()
    }

    pub(crate) fn knows(&self, peer: &str, pins: &[Pin], address: Option<SocketAddr>) {
        let address = address.map(|address| address.to_string());
        self.roster.set(id(peer), Entry { pins: pins.to_vec(), address, proxy: None });
        self.network.refresh();
    }

    /// Waits until a call has been refused with these words.
    pub(crate) async fn has_refused(&self, words: &str) {
        let refused = async {
            while !self.inbox.refused.lock().unwrap().iter().any(|refused| refused.contains(words)) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        if timeout(PATIENCE, refused).await.is_err() {
            panic!("{words:?} is not in {:?}", self.inbox.refused.lock().unwrap());
        }
    }

    pub(crate) async fn is_down(&self, peer: &str, reason: impl Fn(&LinkError) -> bool) {
        let wanted = |state: &LinkState| matches!(state, LinkState::Down { reason: found, .. } if reason(found));
        if timeout(PATIENCE, link_is(&self.network, peer, wanted)).await.is_err() {
            panic!("{:?}", self.network.links().borrow().get(&id(peer)));
        }
    }
}

/// `a`, which listens, and `b`, which dials it.
pub(crate) async fn pair() -> (Site, Site) {
    let (a, b) = (Site::named("a"), Site::named("b"));
    a.knows("b", &[b.pin], None);
    b.knows("a", &[a.pin], Some(a.listen().await));
    up(&a.network, "b").await;
    up(&b.network, "a").await;
    (a, b)
}

pub(crate) async fn exchange(
    a: &Network,
    b: &Network,
    session: &str,
    frames: u64,
    size: usize,
) -> [Result<Vec<u8>, Ended>; 2] {
    let at = |network: &Network, peer: PartyId| {
        let link = network.open(peer, tag(session)).unwrap();
        let party = Box::new(Bulk::new(peer, tag(session), frames, frames, size));
        tokio::spawn(drive(party, vec![link], Options::default()))
    };
    let (at_a, at_b) = (at(a, b.me()), at(b, a.me()));
    [at_a.await.unwrap().map(|done| done.output), at_b.await.unwrap().map(|done| done.output)]
}

pub(crate) async fn exchanges(a: &Network, b: &Network, session: &str) {
    for outcome in exchange(a, b, session, 50, 10_000).await {
        assert_eq!(outcome.unwrap(), Bulk::answer(50, 10_000));
    }
}
