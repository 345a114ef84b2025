//! What operators ask of the daemon itself: how it stands, a copy of its store, who called.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;
use tacitly_core::PartyId;

use crate::attest::Attestation;
use crate::codes::{self, Error};
use crate::jobs::{Jobs, State};
use crate::peers::{PeerView, Peers};
use crate::store::{NewEvent, Store};

/// The daemon as its operators see it.
pub struct Admin {
    store: Arc<Store>,
    peers: Arc<Peers>,
    attestation: Arc<Attestation>,
    jobs: Arc<Jobs>,
    /// Where peers reach this party, if they can.
    listen: Option<SocketAddr>,
}

/// How the daemon stands.
#[derive(Clone, Debug)]
pub struct StatusView {
    /// This party.
    pub party: PartyId,
    /// Where peers reach it.
    pub listen: Option<SocketAddr>,
    /// Its peers.
    pub peers: Vec<PeerView>,
    /// Jobs at work.
    pub running_jobs: u32,
    /// The pin of the TLS key in use.
    pub pin: String,
    /// When its certificate expires.
    pub certificate_expires: String,
    /// What an operator should look at soon.
    pub warnings: Vec<String>,
}

/// How the daemon stands, in numbers.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Jobs in the ledger, by state; every state is there.
    pub jobs: Vec<(&'static str, u64)>,
    /// Jobs at work in this process.
    pub at_work: u64,
    /// Whether each peer's link is up.
    pub links: Vec<(PartyId, bool)>,
    /// Prepared material that is left, by job and stream.
    pub material: Vec<(String, u64)>,
    /// When our certificate expires, in seconds since 1970.
    pub certificate_expires: i64,
}

impl Admin {
    /// The daemon over these rooms; `listen` is where peers reach it.
    #[must_use]
    pub fn new(
        store: Arc<Store>,
        peers: Arc<Peers>,
        attestation: Arc<Attestation>,
        jobs: Arc<Jobs>,
        listen: Option<SocketAddr>,
    ) -> Self {
        Self { store, peers, attestation, jobs, listen }
    }

    /// How the daemon stands.
    ///
    /// # Errors
    /// An error of the store.
    pub async fn status(&self) -> Result<StatusView, Error> {
        let expires = self.peers.identity().not_after();
        let days = (expires.as_second() - Timestamp::now().as_second()) / 86_400;
        let certificate =
            (days < 30).then(|| format!("our certificate expires in {days} days: run `tacitly identity rotate`"));
        let store = self.store.probe().await.err().map(|error| error.to_string());
        let log = self.attestation.refusal();
        let revoked = self.peers.key_of(self.peers.me()).await.err().map(|error| error.text);
        Ok(StatusView {
            party: self.peers.me(),
            listen: self.listen,
            peers: self.peers.list().await?,
            running_jobs: u32::try_from(self.jobs.at_work()).unwrap_or(u32::MAX),
            pin: self.peers.identity().pin().to_string(),
            certificate_expires: expires.to_string(),
            warnings: certificate.into_iter().chain(store).chain(log).chain(revoked).collect(),
        })
    }

    /// Whether work can begin: the store and the log take writes and no drain has begun.
    pub async fn is_ready(&self) -> bool {
        !self.jobs.is_draining()
            && self.attestation.refusal().is_none()
            && self.store.probe().await.map_err(Error::from).is_ok()
    }

    /// How the daemon stands, in numbers.
    ///
    /// # Errors
    /// An error of the store.
    pub async fn figures(&self) -> Result<Figures, Error> {
        let counts = self.store.jobs().counts().await?;
        let count = |state: State| {
            let found = counts.iter().find(|(name, _)| name == state.name());
            (state.name(), found.map_or(0, |(_, jobs)| *jobs))
        };
        let links = self.peers.list().await?.into_iter().map(|peer| (peer.party, peer.link_up));
        Ok(Figures {
            jobs: State::ALL.into_iter().map(count).collect(),
            at_work: self.jobs.at_work(),
            links: links.collect(),
            material: self.jobs.services().material().await?,
            certificate_expires: self.peers.identity().not_after().as_second(),
        })
    }

    /// Notes in the audit trail that somebody with a token makes a call that changes something.
    ///
    /// # Errors
    /// An error of the store; the call should then not be made.
    pub async fn record_call(&self, actor: &str, role: &str, call: &str) -> Result<(), Error> {
        let detail = json!({ "role": role, "call": call });
        let event = NewEvent { job: None, actor: actor.to_owned(), kind: "control-call".to_owned(), detail };
        Ok(self.store.events().append(event).await?)
    }

    /// Writes a copy of the store, which stays in use, to a new private file on this machine; returns its size.
    ///
    /// # Errors
    /// [`codes::BAD_REQUEST`] for a path that is not absolute, or an error of the store: a file that is there already,
    /// a full disk.
    pub async fn backup(&self, to: &str) -> Result<u64, Error> {
        let path = Path::new(to);
        if !path.is_absolute() {
            return Err(Error::new(codes::BAD_REQUEST, "the path of a backup is absolute"));
        }
        self.store.backup(path).await?;
        let detail = json!({ "to": to });
        let event = NewEvent { job: None, actor: "operator".to_owned(), kind: "store-backup".to_owned(), detail };
        self.store.events().append(event).await?;
        Ok(tokio::fs::metadata(path).await.map_or(0, |found| found.len()))
    }
}
