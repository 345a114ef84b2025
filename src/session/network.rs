//! The links of one party with all its peers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rand::TryRng;
use rand::rngs::SysRng;
use tacitly_core::{PartyId, SessionTag};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::transport::{
    BootId, CloseReason, Common, Connection, Inbox, Link, LinkError, LinkState, Notice, PeerDirectory, Refusal,
    SessionLimits, SessionLink, Settings, Transport, UnfitSettings, keep, welcome,
};

/// How often a shutdown looks whether everything has been said.
const GLANCE: Duration = Duration::from_millis(20);

/// How long sessions and links that are told to end may take to say so.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The links of one party with all its peers. A clone is the same network.
///
/// Every peer of the directory that has an address is dialled while its link is down, and whoever calls is heard.
/// It lives until [`shutdown`](Self::shutdown); dropping the last clone ends nothing.
#[derive(Clone)]
pub struct Network {
    inner: Arc<Inner>,
}

struct Inner {
    common: Arc<Common>,
    directory: Arc<dyn PeerDirectory>,
    links: Mutex<BTreeMap<PartyId, Arc<Link>>>,
}

/// Why there is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// No link can be kept under the settings.
    #[error(transparent)]
    Settings(#[from] UnfitSettings),
    /// The caller is not on a Tokio runtime.
    #[error("a network runs on a Tokio runtime, and there is none here")]
    NoRuntime,
    /// The system gives no randomness.
    #[error("the system gives no randomness: {0}")]
    NoRandomness(String),
}

impl Network {
    /// Starts to keep links with the peers of `directory` over `transport`, on the Tokio runtime it is called on.
    ///
    /// # Errors
    /// [`StartError`]
    pub fn start(
        transport: Arc<dyn Transport>,
        directory: Arc<dyn PeerDirectory>,
        inbox: Arc<dyn Inbox>,
        settings: Settings,
    ) -> Result<Self, StartError> {
        settings.check()?;
        let runtime = Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        let mut boot = BootId([0; 16]);
        SysRng.try_fill_bytes(&mut boot.0).map_err(|error| StartError::NoRandomness(error.to_string()))?;
        let common = Arc::new(Common::new(transport, inbox, settings, boot, runtime.clone()));
        let closing = common.closing.clone();
        let network = Self { inner: Arc::new(Inner { common, directory, links: Mutex::default() }) };
        runtime.spawn(closing.clone().run_until_cancelled_owned(network.clone().take_calls()));
        runtime.spawn(closing.run_until_cancelled_owned(network.clone().follow_directory()));
        Ok(network)
    }

    /// Whose network it is.
    #[must_use]
    pub fn me(&self) -> PartyId {
        self.inner.common.transport.me()
    }

    /// The state of the link with every peer, now and whenever one changes.
    #[must_use]
    pub fn links(&self) -> watch::Receiver<BTreeMap<PartyId, LinkState>> {
        self.inner.common.states.subscribe()
    }

    /// Asks a service of `peer` and waits for its [`Inbox`]'s answer, for at most `patience`, through a link that may have to come
    /// up first. After an error other than [`LinkError::Declined`] the request may or may not have been carried out.
    ///
    /// # Errors
    /// The [`LinkError`] that says why there is no answer.
    pub async fn request(
        &self,
        peer: PartyId,
        service: &str,
        body: Bytes,
        patience: Duration,
    ) -> Result<Bytes, LinkError> {
        self.link(peer)?.request(service, body, patience).await
    }

    /// Opens a session with `peer`. The peer opens it too, a little before or after; frames wait until it has.
    ///
    /// A tag names one attempt: a job that resumes opens a new session under another label.
    ///
    /// # Errors
    /// [`LinkError::UnknownPeer`], [`LinkError::TooManySessions`], [`LinkError::AlreadyOpen`],
    /// [`LinkError::ShuttingDown`].
    pub fn open(&self, peer: PartyId, tag: SessionTag) -> Result<SessionLink, LinkError> {
        self.open_with(peer, tag, SessionLimits::default())
    }

    /// The same with limits of its own.
    ///
    /// # Errors
    /// As [`Network::open`].
    pub fn open_with(&self, peer: PartyId, tag: SessionTag, limits: SessionLimits) -> Result<SessionLink, LinkError> {
        SessionLink::open(&self.link(peer)?, tag, limits)
    }

    /// Tells `peer` that a session which it may have opened will not take place here, and under which stable code.
    ///
    /// # Errors
    /// [`LinkError::UnknownPeer`]
    pub fn decline(&self, peer: PartyId, tag: SessionTag, code: &str, stage: &str) -> Result<(), LinkError> {
        self.link(peer)?.decline(tag, Notice::new(code, stage));
        Ok(())
    }

    /// Dials `peer` at once if its link is down.
    ///
    /// # Errors
    /// [`LinkError::UnknownPeer`]
    pub fn dial(&self, peer: PartyId) -> Result<(), LinkError> {
        self.link(peer)?.want();
        Ok(())
    }

    /// Reads the directory again: new peers are dialled, peers that are gone are cut. It happens by itself at every
    /// heartbeat.
    pub fn refresh(&self) {
        let peers = self.inner.directory.peers();
        let mut links = self.locked();
        links.retain(|peer, link| {
            let stays = peers.contains(peer);
            if !stays {
                link.withdraw();
            }
            stays
        });
        for peer in peers.into_iter().filter(|peer| *peer != self.me()) {
            links.entry(peer).or_insert_with(|| keep(peer, self.inner.common.clone()));
        }
    }

    /// Ends the network: takes nothing new, lets sessions and answers under way come to their end for at most
    /// `drain`, tells the peers, and closes the transport.
    pub async fn shutdown(&self, drain: Duration) {
        let links: Vec<Arc<Link>> = self.locked().values().cloned().collect();
        links.iter().for_each(|link| link.close());
        wait_while(drain, || links.iter().any(|link| link.is_busy())).await;
        links.iter().for_each(|link| link.end_all());
        // Whoever drives a session learns of it now, and tells its peers.
        wait_while(LAST_WORDS, || links.iter().any(|link| link.is_busy())).await;
        self.inner.common.closing.cancel();
        wait_while(LAST_WORDS, || links.iter().any(|link| link.is_up())).await;
        // The last words are on their way, but not yet at the other end.
        sleep(GLANCE).await;
        self.inner.common.transport.close();
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<PartyId, Arc<Link>>> {
        self.inner.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn link(&self, peer: PartyId) -> Result<Arc<Link>, LinkError> {
        if let Some(link) = self.locked().get(&peer) {
            return Ok(link.clone());
        }
        if self.inner.common.closing.is_cancelled() {
            return Err(LinkError::ShuttingDown);
        }
        // The directory may have learned of the peer a moment ago.
        self.refresh();
        self.locked().get(&peer).cloned().ok_or(LinkError::UnknownPeer { peer })
    }

    async fn follow_directory(self) {
        loop {
            self.refresh();
            sleep(self.inner.common.settings.heartbeat).await;
        }
    }

    async fn take_calls(self) {
        while let Some(arrival) = self.inner.common.transport.accept().await {
            match arrival {
                Ok(connection) => self.take_call(connection),
                Err(error) => self.refuse_call(error),
            }
        }
    }

    fn take_call(&self, connection: Connection) {
        match self.link(connection.peer()) {
            Ok(link) => drop(tokio::spawn(welcome(link, connection))),
            Err(_) => drop(tokio::spawn(connection.part(Some(CloseReason::NoLongerAPeer)))),
        }
    }

    fn refuse_call(&self, error: LinkError) {
        self.inner.common.inbox.call_refused(&error);
        let party = match &error {
            LinkError::Refused(Refusal::Expired { party, .. } | Refusal::NotYetValid { party, .. }) => *party,
            LinkError::Refused(Refusal::WrongName { expected, .. }) => *expected,
            // Anybody can claim a name with a key that nobody has pinned.
            _ => return,
        };
        // It may have become a peer a moment ago.
        if let Ok(link) = self.link(party) {
            link.failed(error);
        }
    }
}

async fn wait_while(patience: Duration, condition: impl Fn() -> bool) {
    let end = Instant::now() + patience;
    while condition() && Instant::now() < end {
        sleep(GLANCE).await;
    }
}
