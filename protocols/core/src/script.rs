//! A party written as a script: an async function over a mailbox.
//!
//! A state machine by hand is the right form where a wrong order must not compile. Where a protocol has thousands of
//! rounds, or many peers of which some may go, its order is easier to read as a script:
//!
//! ```
//! use tacitly_core::{Roles, Script, SessionTag, Terms};
//!
//! # let [bank, shop] = ["bank", "shop"].map(|name| name.parse().unwrap());
//! let session = SessionTag::of(&Terms::new().with("protocol", "example").hash(), "all");
//! let party = Script::new(Roles::new(session, bank, [shop]), async move |mailbox| {
//!     mailbox.progress("telling our number", 0, 1);
//!     mailbox.send(shop, vec![7]);
//!     let theirs = mailbox.receive(shop).await?;
//!     mailbox.checkpoint("theirs", theirs.clone()).await;
//!     Ok(theirs)
//! });
//! # let _: Script<bytes::Bytes> = party;
//! ```
//!
//! There is no runtime. The driver's calls resume the script by hand, and it runs until it waits for something that the
//! mailbox does not have. So the same frames in the same order give the same frames, as with every [`Party`]. A script
//! waits for its mailbox only: nothing else would wake it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::{Future, poll_fn};
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use crate::{
    Channel, Checkpoint, Fault, Frame, Halt, Misuse, Party, PartyId, Progress, SessionTag, Stall, Violation, code,
};

/// Who takes part in a script, and in which session.
#[derive(Clone, Debug)]
pub struct Roles {
    session: SessionTag,
    me: PartyId,
    peers: Vec<PartyId>,
    backlog_bytes: usize,
}

impl Roles {
    /// What is held of one peer's messages ahead of their round, unless told otherwise: room for a few large frames.
    pub const BACKLOG_BYTES: usize = 4 << 20;

    /// What a message that waits counts for besides its body, so that empty ones fill no memory either.
    const MESSAGE_BYTES: usize = 64;

    /// The party `me` that talks to `peers`. A repeated peer counts once, and `me` is no peer of its own.
    pub fn new(session: SessionTag, me: PartyId, peers: impl IntoIterator<Item = PartyId>) -> Self {
        let mut peers: Vec<PartyId> = peers.into_iter().filter(|peer| *peer != me).collect();
        peers.sort_unstable();
        peers.dedup();
        Self { session, me, peers, backlog_bytes: Self::BACKLOG_BYTES }
    }

    /// The same roles with another bound on what one peer may send ahead. A peer above it has broken the protocol with
    /// [`code::BACKLOG`], so the bound must cover what an honest one may send before it hears from us.
    #[must_use]
    pub fn with_backlog(self, bytes: usize) -> Self {
        Self { backlog_bytes: bytes, ..self }
    }
}

type Running<T> = Pin<Box<dyn Future<Output = Result<T, Halt>> + Send>>;

/// A script as a [`Party`].
pub struct Script<T> {
    mailbox: Mailbox,
    running: Option<Running<T>>,
    output: Option<T>,
    halt: Option<Halt>,
    /// It has ended without an answer.
    over: bool,
}

/// What a script talks through. It is a handle: clones are the same mailbox.
///
/// A method that takes a party takes one of the peers in [`Roles`]; another one ends the script with [`Misuse::Input`].
#[derive(Clone)]
pub struct Mailbox {
    state: Arc<Mutex<State>>,
    me: PartyId,
}

struct State {
    peers: BTreeMap<PartyId, PeerState>,
    backlog_bytes: usize,
    round: u32,
    progress: Progress,
    to_store: VecDeque<Checkpoint>,
    /// A checkpoint was handed out and is not known to be durable.
    storing: bool,
    asked: u64,
    stored: u64,
    /// The parties whose message the script waits for.
    awaited: BTreeSet<PartyId>,
    /// Something that the script may wait for has happened.
    changed: bool,
    misuse: Option<&'static str>,
}

struct PeerState {
    channel: Channel,
    /// Bodies that leave.
    out: VecDeque<Bytes>,
    /// Bodies that came and were not asked for yet.
    arrived: VecDeque<Bytes>,
    arrived_bytes: usize,
    lost: bool,
}

impl<T> Script<T> {
    /// A party that runs `script`, an async function of its [`Mailbox`], up to its first wait.
    ///
    /// What the script returns is the answer; a [`Halt`] ends the session, and `?` makes one of a [`Stall`], a [`Fault`]
    /// or a [`Misuse`]. Messages that are still to be sent when the answer is there are sent.
    ///
    /// A script computes for long where it needs to: the driver calls it on a compute pool. It owns its secrets and
    /// drops them with its end, also when the session ends for another reason.
    pub fn new<F, S>(roles: Roles, script: S) -> Self
    where
        S: FnOnce(Mailbox) -> F,
        F: Future<Output = Result<T, Halt>> + Send + 'static,
    {
        let peer = |id: &PartyId| {
            let channel = Channel::new(roles.session);
            let state =
                PeerState { channel, out: VecDeque::new(), arrived: VecDeque::new(), arrived_bytes: 0, lost: false };
            (*id, state)
        };
        let state = State {
            peers: roles.peers.iter().map(peer).collect(),
            backlog_bytes: roles.backlog_bytes,
            round: 0,
            progress: Progress { stage: "starting", done: 0, total: 0 },
            to_store: VecDeque::new(),
            storing: false,
            asked: 0,
            stored: 0,
            awaited: BTreeSet::new(),
            changed: true,
            misuse: None,
        };
        let mailbox = Mailbox { state: Arc::new(Mutex::new(state)), me: roles.me };
        let running = Box::pin(script(mailbox.clone()));
        let mut party = Self { mailbox, running: Some(running), output: None, halt: None, over: false };
        party.resume();
        party
    }

    /// Lets the script run until it waits, if something has happened since it last did.
    fn resume(&mut self) {
        while self.mailbox.state().has_changed() {
            let Some(running) = &mut self.running else { return };
            self.mailbox.state().awaited.clear();
            // Nobody is to be woken: each call of the driver that changes something comes here.
            let polled = running.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            let misuse = self.mailbox.state().misuse;
            match (misuse, polled) {
                (Some(misuse), _) => self.end(Misuse::Input(misuse).into()),
                (None, Poll::Ready(Ok(output))) => self.complete(output),
                (None, Poll::Ready(Err(halt))) => self.end(halt),
                (None, Poll::Pending) => {}
            }
        }
    }

    /// The script has returned its answer. What a peer has sent beyond it is that peer's breach.
    fn complete(&mut self, output: T) {
        self.running = None;
        self.mailbox.state().awaited.clear();
        let surplus = self.mailbox.state().surplus();
        match surplus {
            Some(fault) => self.end(fault.into()),
            None => self.output = Some(output),
        }
    }

    fn end(&mut self, halt: Halt) {
        self.over = true;
        self.halt = Some(halt);
        (self.running, self.output) = (None, None);
        self.mailbox.state().clear();
    }

    /// What the script has halted with just now, if it is a fault.
    fn fault(&mut self) -> Result<(), Fault> {
        match self.halt.take() {
            Some(Halt::Fault(fault)) => Err(fault),
            other => {
                self.halt = other;
                Ok(())
            }
        }
    }
}

impl<T: Send> Party for Script<T> {
    type Output = T;

    fn poll_send(&mut self, to: PartyId) -> Option<Frame> {
        if let Some(frame) = self.mailbox.state().pack(to) {
            return Some(frame);
        }
        self.resume();
        self.mailbox.state().pack(to)
    }

    fn receive(&mut self, from: PartyId, frame: Frame) -> Result<(), Fault> {
        if self.over {
            // An ending that nobody has asked for yet comes first.
            return if self.halt.is_some() { self.fault() } else { Err(Misuse::Over.into()) };
        }
        let taken = self.mailbox.state().take(from, frame, self.running.is_some());
        if let Err(fault) = taken {
            self.end(fault.clone().into());
            self.halt = None;
            return Err(fault);
        }
        self.resume();
        self.fault()
    }

    fn lost(&mut self, who: PartyId) -> Result<(), Stall> {
        self.mailbox.state().lose(who);
        self.resume();
        match self.halt.take() {
            Some(Halt::Stalled(stall)) => Err(stall),
            other => {
                self.halt = other;
                Ok(())
            }
        }
    }

    fn waits_for(&self, who: PartyId) -> bool {
        self.mailbox.state().awaited.contains(&who)
    }

    fn poll_checkpoint(&mut self) -> Option<Checkpoint> {
        self.resume();
        self.mailbox.state().hand_out()
    }

    fn stored(&mut self) {
        self.mailbox.state().note_stored();
        self.resume();
    }

    fn poll_halt(&mut self) -> Option<Halt> {
        self.resume();
        self.halt.take()
    }

    fn progress(&self) -> Progress {
        self.mailbox.state().progress
    }

    fn output(&mut self) -> Option<T> {
        self.resume();
        self.output.take()
    }
}

impl Mailbox {
    /// The party whose script this is.
    #[must_use]
    pub fn me(&self) -> PartyId {
        self.me
    }

    /// The peers that are not lost, in the order of their names.
    #[must_use]
    pub fn peers(&self) -> Vec<PartyId> {
        self.state().peers.iter().filter(|(_, peer)| !peer.lost).map(|(id, _)| *id).collect()
    }

    /// Whether the link to `who` was given up.
    #[must_use]
    pub fn is_lost(&self, who: PartyId) -> bool {
        self.state().peers.get(&who).is_some_and(|peer| peer.lost)
    }

    /// Names the round that begins; violations that are seen from now on carry it. It is 0 at first.
    pub fn round(&self, round: u32) {
        self.state().round = round;
    }

    /// Says where the session stands, for [`Party::progress`] and in every stall.
    pub fn progress(&self, stage: &'static str, done: u64, total: u64) {
        self.state().progress = Progress { stage, done, total };
    }

    /// Puts a message to `to` in the queue; to a party that is lost, nothing. Who sends much waits with
    /// [`Mailbox::drained`] in between, or it all stands in memory. A message larger than [`Frame::MAX_BODY`] ends the
    /// script with [`Misuse::Input`].
    pub fn send(&self, to: PartyId, body: impl Into<Bytes>) {
        let (mut state, body) = (self.state(), body.into());
        let fits = body.len() <= Frame::MAX_BODY;
        match state.peers.get_mut(&to) {
            Some(peer) if fits && !peer.lost => peer.out.push_back(body),
            Some(_) if fits => {}
            Some(_) => state.misuse = Some("a message is larger than a frame"),
            None => state.misuse = Some(NO_PEER),
        }
    }

    /// Puts the same message to every peer that is not lost in the queue.
    pub fn broadcast(&self, body: impl Into<Bytes>) {
        let body = body.into();
        self.peers().into_iter().for_each(|peer| self.send(peer, body.clone()));
    }

    /// Waits until every message to `to` has left, or `to` is lost.
    pub async fn drained(&self, to: PartyId) {
        poll_fn(|_| {
            let mut state = self.state();
            match state.peers.get(&to) {
                Some(peer) if !peer.lost && !peer.out.is_empty() => Poll::Pending,
                Some(_) => Poll::Ready(()),
                None => state.misused(),
            }
        })
        .await;
    }

    /// The next message of `from`, in the order in which it was sent. What came before the loss is still there after it.
    ///
    /// # Errors
    /// A [`Stall`] if `from` is lost. With `?` the script ends; without it, it goes on without `from`.
    pub async fn receive(&self, from: PartyId) -> Result<Bytes, Stall> {
        poll_fn(|_| {
            let mut state = self.state();
            let stage = state.progress.stage;
            match state.peers.get_mut(&from) {
                Some(peer) => match peer.arrived.pop_front() {
                    Some(body) => {
                        peer.arrived_bytes = peer.arrived_bytes.saturating_sub(held(&body));
                        Poll::Ready(Ok(body))
                    }
                    None if peer.lost => Poll::Ready(Err(Stall { who: from, stage })),
                    None => {
                        state.awaited.insert(from);
                        Poll::Pending
                    }
                },
                None => state.misused(),
            }
        })
        .await
    }

    /// One message of each of these parties, in the order of their names, once each has sent one or is lost.
    pub async fn gather(&self, from: &[PartyId]) -> BTreeMap<PartyId, Result<Bytes, Stall>> {
        let mut gathered = BTreeMap::new();
        for peer in from {
            gathered.insert(*peer, self.receive(*peer).await);
        }
        gathered
    }

    /// Waits until these bytes are durable in `slot`, where they take the place of earlier ones. What must not leave
    /// before is sent after this.
    pub async fn checkpoint(&self, slot: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        let mine = self.state().ask_to_store(Checkpoint::new(slot, bytes));
        poll_fn(|_| if self.state().stored >= mine { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// The fault of `who`, in the round that runs: `return Err(mailbox.blame(who, code, None))`.
    #[must_use]
    pub fn blame(&self, who: PartyId, code: &'static str, index: Option<u64>) -> Halt {
        Fault::of(who)(Violation { code, round: self.state().round, index }).into()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whoever panicked while holding the lock was a script, and it does not run again; the state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const NO_PEER: &str = "a message to or from somebody who is no peer of the session";

/// What a message that waits counts for.
fn held(body: &Bytes) -> usize {
    body.len().saturating_add(Roles::MESSAGE_BYTES)
}

impl State {
    /// The script spoke of a party that it does not have; the wait never ends and the script is ended.
    fn misused<W>(&mut self) -> Poll<W> {
        self.misuse = Some(NO_PEER);
        Poll::Pending
    }

    /// Whether something has happened since this was last asked.
    fn has_changed(&mut self) -> bool {
        mem::take(&mut self.changed)
    }

    fn pack(&mut self, to: PartyId) -> Option<Frame> {
        let peer = self.peers.get_mut(&to)?;
        let body = peer.out.pop_front()?;
        self.changed |= peer.out.is_empty();
        Some(peer.channel.pack(body))
    }

    /// Puts a frame's body where the script finds it, if it is the sender's next one and the script still runs.
    fn take(&mut self, from: PartyId, frame: Frame, running: bool) -> Result<(), Fault> {
        let round = self.round;
        let blame = Fault::of(from);
        let refuse = |code, index| Err(blame(Violation { code, round, index }));
        let Some(peer) = self.peers.get_mut(&from) else { return refuse(code::NOT_A_PARTY, None) };
        if peer.lost {
            // It was given up, so what was on its way does not count.
            return Ok(());
        }
        let sequence = frame.sequence;
        let body = peer.channel.unpack(frame, round).map_err(&blame)?;
        if !running {
            return refuse(code::UNEXPECTED, None);
        }
        peer.arrived_bytes = peer.arrived_bytes.saturating_add(held(&body));
        if peer.arrived_bytes > self.backlog_bytes.max(held(&body)) {
            return refuse(code::BACKLOG, Some(sequence));
        }
        peer.arrived.push_back(body);
        self.changed = true;
        Ok(())
    }

    /// The fault of the first peer whose message nobody asked for.
    fn surplus(&self) -> Option<Fault> {
        let (who, _) = self.peers.iter().find(|(_, peer)| !peer.lost && !peer.arrived.is_empty())?;
        Some(Fault::of(*who)(Violation { code: code::UNEXPECTED, round: self.round, index: None }))
    }

    fn lose(&mut self, who: PartyId) {
        if let Some(peer) = self.peers.get_mut(&who) {
            peer.lost = true;
            peer.out.clear();
            self.changed = true;
        }
    }

    fn ask_to_store(&mut self, checkpoint: Checkpoint) -> u64 {
        self.to_store.push_back(checkpoint);
        self.asked += 1;
        self.asked
    }

    fn hand_out(&mut self) -> Option<Checkpoint> {
        if self.storing {
            return None;
        }
        let checkpoint = self.to_store.pop_front()?;
        self.storing = true;
        Some(checkpoint)
    }

    fn note_stored(&mut self) {
        // Only a checkpoint that was handed out can be durable.
        if mem::take(&mut self.storing) {
            self.stored += 1;
            self.changed = true;
        }
    }

    /// Drops what is on its way in and out.
    fn clear(&mut self) {
        self.to_store.clear();
        self.peers.values_mut().for_each(|peer| {
            (peer.out, peer.arrived, peer.arrived_bytes) = (VecDeque::new(), VecDeque::new(), 0);
        });
        self.progress = Progress { stage: "over", done: 0, total: 0 };
    }
}
