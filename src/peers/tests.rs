//! Asking peers that do not answer as they should, and a party for the tests of the rooms above.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tacitly_core::PartyId;

use super::*;
use crate::codes;
use crate::session::Network;
use crate::store::{FileSigner, Sealer, SealingKey, Signer, Store};
use crate::transport::{self, Entry, Grpc, MemoryHub, PeerDirectory, Pending, Roster, Settings, TlsIdentity};

/// A daemon that answers its questions with these bytes, one after the other.
struct Scripted(Mutex<VecDeque<Bytes>>);

impl transport::Inbox for Scripted {
    fn request(&self, _: PartyId, _: Bytes) -> Pending<'_, Bytes> {
        Box::pin(async { self.0.lock().unwrap().pop_front().expect("no question more than the script has") })
    }
}

pub(crate) fn id(name: &str) -> PartyId {
    name.parse().unwrap()
}

fn network(hub: &MemoryHub, me: &str, peer: &str, script: Vec<Bytes>) -> Network {
    let roster = Roster::new();
    roster.set(id(peer), Entry::default());
    let inbox = Scripted(Mutex::new(script.into()));
    Network::start(Arc::new(hub.join(id(me))), Arc::new(roster), Arc::new(inbox), Settings::default()).unwrap()
}

/// A bank that knows a shop on a network in this process. Nothing of it stands in its store yet.
pub(crate) struct Bank {
    pub(crate) peers: Arc<Peers>,
    pub(crate) store: Arc<Store>,
    pub(crate) signer: Arc<dyn Signer>,
}

impl Bank {
    /// Its files stand in `folder`; it waits so long for a link.
    pub(crate) async fn open(hub: &MemoryHub, folder: &Path, window: Duration) -> Self {
        let me = id("bank");
        let sealer = Sealer::new(SealingKey::from_bytes([1; 32]));
        let store = Arc::new(Store::open(&folder.join("party.db"), sealer).await.unwrap());
        let signer: Arc<dyn Signer> = Arc::new(FileSigner::create(&folder.join("bank.key")).unwrap());
        let directory = Arc::new(Directory::new(me, store.clone(), signer.clone()).await.unwrap());
        let identity = TlsIdentity::generate(me, Timestamp::UNIX_EPOCH, Timestamp::now()).unwrap();
        let known: Arc<dyn PeerDirectory> = directory.clone();
        let transport = Grpc::new(identity, known, None, Settings::default());
        let network = network(hub, "bank", "shop", Vec::new());
        let peers = Peers::new(store.clone(), network, transport, directory, signer.clone(), None, window);
        Self { peers: Arc::new(peers), store, signer }
    }
}

#[tokio::test]
async fn a_busy_service_and_one_that_cannot_be_understood_are_named_and_asked_again() {
    let (hub, folder) = (MemoryHub::new(), tempfile::tempdir().unwrap());
    let Bank { peers, .. } = Bank::open(&hub, folder.path(), Duration::from_secs(60)).await;
    let (busy, nonsense) = (message::encode_reply(None), Bytes::from_static(&[0xff; 9]));
    let yes = message::encode_reply(Some("yes".into()));
    let script = [&busy, &nonsense, &yes, &nonsense, &busy, &yes, &busy, &nonsense, &yes].map(Clone::clone);
    let _shop = network(&hub, "shop", "bank", script.into());
    let shop = id("shop");
    for what in ["cannot answer at the moment", "gave an answer that cannot be read"] {
        let failed = peers.ask(shop, "jobs", "may I?".into()).await.unwrap_err();
        assert_eq!((failed.code, failed.who), (codes::PEER_FAILED, Some(shop)));
        assert!(failed.text.contains(what), "{failed}");
    }
    assert_eq!(peers.ask(shop, "jobs", "may I?".into()).await, Ok("yes".into()));
    assert_eq!(peers.ask_once(shop, "jobs", "may I?".into()).await, None);
    assert_eq!(peers.ask_within_window(shop, "jobs", "may I?".into()).await, Ok("yes".into()));
    assert_eq!(peers.ask_until_answered(shop, "jobs", "may I?".into()).await, Bytes::from("yes"));
}

#[tokio::test]
async fn a_peer_that_never_comes_is_given_up_after_the_window_and_a_stranger_at_once() {
    let (hub, folder) = (MemoryHub::new(), tempfile::tempdir().unwrap());
    let Bank { peers, signer, .. } = Bank::open(&hub, folder.path(), Duration::from_millis(50)).await;
    let lost = peers.ask_within_window(id("shop"), "jobs", "may I?".into()).await.unwrap_err();
    assert_eq!((lost.code, lost.who), (codes::PEER_LOST, Some(id("shop"))));
    assert_eq!(peers.ask(id("nobody"), "jobs", Bytes::new()).await.unwrap_err().code, codes::PEER_UNKNOWN);
    assert_eq!(peers.key_of(id("nobody")).await.unwrap_err().code, codes::PEER_UNKNOWN);
    assert_eq!(peers.key_of(id("bank")).await, Ok(signer.public_key()));
}
