//! Asking peers that do not answer as they should, and a party for the tests of the rooms above.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tacitly_core::PartyId;

use super::*;
use crate::codes::{self, Error};
use crate::session::Network;
use crate::store::{FileSigner, NewPeer, Sealer, SealingKey, Signer, Store};
use crate::transport::{self, Entry, Grpc, MemoryHub, Pace, PeerDirectory, Pending, Roster, Settings, TlsIdentity};

/// A daemon that answers its questions with these bytes, one after the other.
struct Scripted(Mutex<VecDeque<Bytes>>);

impl transport::Inbox for Scripted {
    fn pace(&self, _: &str) -> Option<Pace> {
        Some(Pace::Usual)
    }

    fn request(&self, _: PartyId, _: &str, _: Bytes) -> Pending<'_, Bytes> {
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
    assert_eq!(peers.ask(id("stranger"), "jobs", Bytes::new()).await.unwrap_err().code, codes::PEER_UNKNOWN);
    assert_eq!(peers.key_of(id("stranger")).await.unwrap_err().code, codes::PEER_UNKNOWN);
    assert_eq!(peers.key_of(id("bank")).await, Ok(signer.public_key()));
}

/// A party without a network, and its consortia.
struct Alone {
    name: PartyId,
    store: Arc<Store>,
    signer: Arc<dyn Signer>,
    rosters: Rosters,
}

impl Alone {
    async fn open(folder: &Path, name: &str) -> Self {
        let sealer = Sealer::new(SealingKey::from_bytes([1; 32]));
        let store = Arc::new(Store::open(&folder.join(format!("{name}.db")), sealer).await.unwrap());
        let signer: Arc<dyn Signer> = Arc::new(FileSigner::create(&folder.join(format!("{name}.key"))).unwrap());
        let rosters = Rosters::new(id(name), store.clone(), signer.clone());
        Self { name: id(name), store, signer, rosters }
    }

    async fn knows(&self, peer: &Self) {
        let (signing_key, pins) = (peer.signer.public_key(), Vec::new());
        let peer = NewPeer { id: peer.name, address: None, signing_key, pins };
        self.store.peers().add(peer, "operator").await.unwrap();
    }

    async fn init(&self, members: &[&str]) -> Result<RosterView, Error> {
        let members: Vec<String> = members.iter().map(|member| (*member).to_owned()).collect();
        self.rosters.init("east", &members, "operator").await
    }
}

#[tokio::test]
async fn members_of_a_consortium_know_each_others_keys_and_are_no_peers_by_it() {
    let (hub, folder) = (MemoryHub::new(), tempfile::tempdir().unwrap());
    let Bank { peers, store, signer } = Bank::open(&hub, folder.path(), Duration::from_secs(60)).await;
    let bank = Rosters::new(id("bank"), store.clone(), signer.clone());
    let (clinic, lab) = (Alone::open(folder.path(), "clinic").await, Alone::open(folder.path(), "lab").await);
    let key = signer.public_key();
    let known = NewPeer { id: id("bank"), address: None, signing_key: key, pins: Vec::new() };
    clinic.store.peers().add(known, "operator").await.unwrap();
    clinic.knows(&lab).await;
    let founded = clinic.init(&["lab", "bank", "clinic", "lab"]).await.unwrap();
    let names: Vec<String> = founded.members.iter().map(|member| member.party.to_string()).collect();
    assert_eq!((names, founded.version), (vec!["bank".to_owned(), "clinic".into(), "lab".into()], 1));

    assert_eq!(peers.key_of(id("lab")).await.unwrap_err().code, codes::PEER_UNKNOWN);
    let joined = bank.join(founded.roster.as_bytes(), &founded.fingerprint, "operator").await.unwrap();
    assert_eq!((joined.roster, joined.founder.as_str()), (founded.roster.clone(), "clinic"));
    assert_eq!(peers.key_of(id("lab")).await, Ok(lab.signer.public_key()));
    let refused = peers.require_peer(id("lab")).await.unwrap_err();
    assert_eq!((refused.code, refused.who), (codes::PEER_UNKNOWN, Some(id("lab"))));
    assert_eq!(peers.ask(id("lab"), "jobs", Bytes::new()).await.unwrap_err().code, codes::PEER_UNKNOWN);
    assert_eq!(peers.list().await.unwrap(), [], "nobody is dialled");
    bank.leave("east", "operator").await.unwrap();
    assert_eq!(peers.key_of(id("lab")).await.unwrap_err().code, codes::PEER_UNKNOWN);
    assert_eq!(bank.leave("east", "operator").await.unwrap_err().code, codes::CONSORTIUM_UNKNOWN);
}

#[tokio::test]
async fn a_founder_names_its_peers_and_each_change_is_the_next_version() {
    let folder = tempfile::tempdir().unwrap();
    let (bank, shop) = (Alone::open(folder.path(), "bank").await, Alone::open(folder.path(), "shop").await);
    let lab = Alone::open(folder.path(), "lab").await;
    bank.knows(&shop).await;
    bank.knows(&lab).await;
    for (members, code) in [
        (&["stranger"][..], codes::PEER_UNKNOWN),
        (&["No name"], codes::BAD_REQUEST),
        (&["bank"], codes::BAD_REQUEST),
        (&[], codes::BAD_REQUEST),
    ] {
        assert_eq!(bank.init(members).await.unwrap_err().code, code, "{members:?}");
    }
    for name in ["", "East", "east/banks", "a-name-that-is-longer-than-thirty-two"] {
        let refused = bank.rosters.init(name, &["shop".to_owned()], "operator").await.unwrap_err();
        assert_eq!(refused.code, codes::BAD_REQUEST, "{name}");
    }
    assert_eq!(bank.rosters.list().await.unwrap(), []);
    let first = bank.init(&["shop"]).await.unwrap();
    assert_eq!(bank.init(&["bank", "shop"]).await.unwrap(), first, "the same members are the same roster");
    let second = bank.init(&["shop", "lab"]).await.unwrap();
    assert_eq!((first.version, second.version), (1, 2));
    assert_eq!(bank.rosters.list().await.unwrap(), std::slice::from_ref(&second));

    // A member may pass the roster on, and cannot write the next one.
    shop.rosters.join(second.roster.as_bytes(), &second.fingerprint, "operator").await.unwrap();
    shop.knows(&bank).await;
    let refused = shop.init(&["bank"]).await.unwrap_err();
    assert_eq!(refused.code, codes::ROSTER);
    assert!(refused.text.contains("founded by bank"), "{refused}");
}

#[tokio::test]
async fn only_the_roster_that_was_compared_and_names_us_by_our_key_is_joined() {
    let folder = tempfile::tempdir().unwrap();
    let (bank, shop) = (Alone::open(folder.path(), "bank").await, Alone::open(folder.path(), "shop").await);
    let lab = Alone::open(folder.path(), "lab").await;
    let old = Alone { name: id("shop"), ..Alone::open(folder.path(), "old-shop").await };
    bank.knows(&lab).await;
    let without = bank.init(&["lab"]).await.unwrap();
    bank.knows(&old).await;
    let other_key = bank.init(&["lab", "shop"]).await.unwrap();
    bank.rosters.leave("east", "operator").await.unwrap();
    bank.store.peers().remove(id("shop"), "operator").await.unwrap();
    bank.knows(&shop).await;
    let right = bank.init(&["lab", "shop"]).await.unwrap();
    let mut changed = right.roster.clone().into_bytes();
    changed[40] ^= 1;
    for (roster, fingerprint, code, says) in [
        (without.roster.as_bytes(), &*without.fingerprint, codes::ROSTER, "does not name shop"),
        (other_key.roster.as_bytes(), &other_key.fingerprint, codes::ROSTER, "another key than ours"),
        (right.roster.as_bytes(), &without.fingerprint, codes::ROSTER, "was compared"),
        (right.roster.as_bytes(), "", codes::BAD_REQUEST, "eight groups"),
        (&changed, &right.fingerprint, codes::ROSTER, ""),
        (b"", &right.fingerprint, codes::ROSTER, ""),
    ] {
        let refused = shop.rosters.join(roster, fingerprint, "operator").await.unwrap_err();
        assert_eq!(refused.code, code, "{refused}");
        assert!(refused.text.contains(says), "{refused}");
        assert_eq!(shop.rosters.list().await.unwrap(), []);
    }
    let typed = right.fingerprint.to_lowercase().replace('-', " ");
    shop.rosters.join(right.roster.as_bytes(), &typed, "operator").await.unwrap();
    assert_eq!(shop.store.parties().key_of(id("lab")).await.unwrap(), lab.signer.public_key());
}
