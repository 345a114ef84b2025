//! What the session tests share: small protocols, and parties that run them.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tacitly::session::{Completed, Ended, Inbox, LinkState, Network, Options, Settings, drive};
use tacitly::transport::{Entry, MemoryHub, Pace, Pending, Roster, Window};
use tacitly_core::{
    Channel, Checkpoint, Fault, Frame, Party, PartyId, Progress, SessionTag, Stall, Terms, Violation, code,
};
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub(crate) fn id(name: &str) -> PartyId {
    name.parse().unwrap()
}

pub(crate) fn tag(label: &str) -> SessionTag {
    SessionTag::of(&Terms::new().hash(), label)
}

/// Counts what a party has done, for whoever watches it from outside.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) sent: AtomicU64,
    pub(crate) received: AtomicU64,
}

/// Lets the others work until a counter has come so far. The clock of these tests stands still meanwhile; the real one
/// does not.
pub(crate) async fn reaches(counter: &AtomicU64, count: u64) {
    let begun = std::time::Instant::now();
    while counter.load(Ordering::SeqCst) < count {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never came to {count}");
        tokio::task::yield_now().await;
    }
}

/// Both sides send a number of frames and end with the digest of those that they received.
pub(crate) struct Bulk {
    pub(crate) peer: PartyId,
    channel: Channel,
    to_send: u64,
    to_receive: u64,
    sent: u64,
    received: u64,
    size: usize,
    digest: Sha256,
    answered: bool,
    pub(crate) counters: Arc<Counters>,
    /// Called with the number of each frame before it is received.
    pub(crate) before_receive: Option<Box<dyn FnMut(u64) + Send>>,
    /// Called with the number of each frame before it is sent.
    pub(crate) before_send: Option<Box<dyn FnMut(u64) + Send>>,
    /// Sends at most this many frames more than it has received.
    pub(crate) lead: Option<u64>,
    /// Blames the peer at this frame.
    pub(crate) fault_at: Option<u64>,
    /// Raises a checkpoint after receiving this frame.
    pub(crate) checkpoint_at: Option<u64>,
    checkpoint: Option<Checkpoint>,
    waits_for_storage: bool,
}

impl Bulk {
    pub(crate) fn new(peer: PartyId, session: SessionTag, to_send: u64, to_receive: u64, size: usize) -> Self {
        Self {
            peer,
            channel: Channel::new(session),
            to_send,
            to_receive,
            sent: 0,
            received: 0,
            size,
            digest: Sha256::new(),
            answered: false,
            counters: Arc::default(),
            before_receive: None,
            before_send: None,
            lead: None,
            fault_at: None,
            checkpoint_at: None,
            checkpoint: None,
            waits_for_storage: false,
        }
    }

    /// The body of a frame: all alike would hide a swap.
    fn body(&self) -> Vec<u8> {
        let mut body = vec![(self.sent % 251) as u8; self.size];
        let number = self.sent.to_be_bytes();
        let shared = number.len().min(body.len());
        body[..shared].copy_from_slice(&number[..shared]);
        body
    }

    /// The answer of whoever receives `frames` frames of `size` bytes.
    pub(crate) fn answer(frames: u64, size: usize) -> Vec<u8> {
        let mut sender = Self::new(id("x"), tag("x"), frames, 0, size);
        let mut digest = Sha256::new();
        while sender.sent < frames {
            digest.update(sender.body());
            sender.sent += 1;
        }
        digest.finalize().to_vec()
    }
}

impl Party for Bulk {
    type Output = Vec<u8>;

    fn poll_send(&mut self, to: PartyId) -> Option<Frame> {
        assert_eq!(to, self.peer);
        let ahead = self.lead.is_some_and(|lead| self.sent >= self.received + lead);
        if self.sent == self.to_send || self.waits_for_storage || ahead {
            return None;
        }
        if let Some(before) = &mut self.before_send {
            before(self.sent);
        }
        let body = self.body();
        self.sent += 1;
        self.counters.sent.store(self.sent, Ordering::SeqCst);
        Some(self.channel.pack(body))
    }

    fn receive(&mut self, from: PartyId, frame: Frame) -> Result<(), Fault> {
        assert!(!self.waits_for_storage, "nothing is received while a checkpoint is being stored");
        let body = self.channel.unpack(frame, 1).map_err(Fault::of(from))?;
        if let Some(before) = &mut self.before_receive {
            before(self.received);
        }
        if self.fault_at == Some(self.received) {
            let violation = Violation { code: code::MALFORMED, round: 1, index: Some(self.received) };
            return Err(Fault::Peer { who: from, violation });
        }
        if self.checkpoint_at == Some(self.received) {
            self.checkpoint = Some(Checkpoint::new("received", self.received.to_be_bytes()));
            self.waits_for_storage = true;
        }
        self.digest.update(&body);
        self.received += 1;
        self.counters.received.store(self.received, Ordering::SeqCst);
        Ok(())
    }

    fn lost(&mut self, who: PartyId) -> Result<(), Stall> {
        if self.answered { Ok(()) } else { Err(Stall { who, stage: "exchanging" }) }
    }

    fn poll_checkpoint(&mut self) -> Option<Checkpoint> {
        self.checkpoint.take()
    }

    fn stored(&mut self) {
        self.waits_for_storage = false;
    }

    fn progress(&self) -> Progress {
        Progress { stage: "exchanging", done: self.sent + self.received, total: self.to_send + self.to_receive }
    }

    fn output(&mut self) -> Option<Vec<u8>> {
        let ready = !self.answered && self.received == self.to_receive;
        self.answered |= ready;
        ready.then(|| self.digest.clone().finalize().to_vec())
    }
}

/// Answers requests to `echo`: `panic` panics, `slow` takes a minute, `large` answers with too much; all else comes back.
/// So does what is asked of `rare`, two times a second and not more.
#[derive(Default)]
pub(crate) struct Echo {
    /// How many requests each service was given.
    pub(crate) asked: std::sync::Mutex<BTreeMap<String, usize>>,
    pub(crate) refused: std::sync::Mutex<Vec<String>>,
}

impl Inbox for Echo {
    fn pace(&self, service: &str) -> Option<Pace> {
        match service {
            "echo" => Some(Pace::Usual),
            "rare" => Some(Pace::Own { per_second: const { NonZeroU64::new(2).unwrap() }, at_once: 2 }),
            _ => None,
        }
    }

    fn request(&self, from: PartyId, service: &str, body: Bytes) -> Pending<'_, Bytes> {
        *self.asked.lock().unwrap().entry(service.to_owned()).or_default() += 1;
        Box::pin(async move {
            match &body[..] {
                b"panic" => panic!("asked to"),
                b"slow" => {
                    tokio::time::sleep(Duration::from_secs(60)).await;
                    body
                }
                b"large" => vec![0; Frame::MAX_BODY + 1].into(),
                _ => [from.as_str().as_bytes(), b": ", &body].concat().into(),
            }
        })
    }

    fn call_refused(&self, error: &tacitly::session::LinkError) {
        self.refused.lock().unwrap().push(error.to_string());
    }
}

/// A small window, so that tests reach it.
pub(crate) fn tight() -> Settings {
    Settings { window: Window { frames: 4, bytes: 1 << 20 }, ..Settings::default() }
}

pub(crate) fn roster(peers: &[&str]) -> Arc<Roster> {
    let roster = Roster::new();
    for peer in peers {
        roster.set(id(peer), Entry::default());
    }
    Arc::new(roster)
}

/// A party in a hub that knows the others.
pub(crate) fn join(hub: &MemoryHub, name: &str, others: &[&str], settings: Settings) -> Network {
    let transport = Arc::new(hub.join(id(name)));
    Network::start(transport, roster(others), Arc::new(Echo::default()), settings).unwrap()
}

/// Two parties, `a` and `b`, with their links up.
pub(crate) async fn pair(settings: Settings) -> (MemoryHub, Network, Network) {
    let hub = MemoryHub::new();
    let a = join(&hub, "a", &["b"], settings.clone());
    let b = join(&hub, "b", &["a"], settings);
    up(&a, "b").await;
    up(&b, "a").await;
    (hub, a, b)
}

/// Waits until the state of the link with `peer` is as wanted.
pub(crate) async fn link_is(network: &Network, peer: &str, wanted: impl Fn(&LinkState) -> bool) -> LinkState {
    let peer = id(peer);
    let mut links = network.links();
    let states = timeout(Duration::from_secs(300), links.wait_for(|links| links.get(&peer).is_some_and(&wanted)));
    states.await.expect("the link never got there").unwrap()[&peer].clone()
}

pub(crate) async fn up(network: &Network, peer: &str) {
    link_is(network, peer, LinkState::is_up).await;
}

pub(crate) async fn down(network: &Network, peer: &str) -> LinkState {
    link_is(network, peer, |state| !state.is_up()).await
}

pub(crate) type Outcome = Result<Completed<Vec<u8>>, Ended>;

/// Opens the session and drives the party at `network`, in a task.
pub(crate) fn run(network: &Network, party: Bulk, session: &str, options: Options<Vec<u8>>) -> JoinHandle<Outcome> {
    let link = network.open(party.peer, tag(session)).unwrap();
    tokio::spawn(drive(Box::new(party), vec![link], options))
}

/// Both ends of an exchange of `frames` frames each way.
pub(crate) fn bulk(session: &str, frames: u64, size: usize) -> (Bulk, Bulk) {
    let party = |peer| Bulk::new(id(peer), tag(session), frames, frames, size);
    (party("b"), party("a"))
}

pub(crate) fn start(a: &Network, b: &Network, frames: u64) -> (JoinHandle<Outcome>, JoinHandle<Outcome>) {
    let (at_a, at_b) = bulk("s", frames, 1000);
    (run(a, at_a, "s", Options::default()), run(b, at_b, "s", Options::default()))
}
