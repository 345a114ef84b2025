//! The network in one process, for tests, simulation and Python: the same connections as the real one, over queues.
//!
//! A cut behaves as on a real wire: what is sent waits, nothing is told, and a link notices by silence. A [`Tap`] may
//! change what crosses, which a real network under TLS cannot; it stands for a lying peer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tacitly_core::PartyId;
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, LastSeen, Pending, Transport};
use super::envelope::Envelope;
use super::error::LinkError;
use super::identity::Pin;
use super::streams::{Heard, Incoming, Outgoing, Sender, Senders, outgoing};

/// Envelopes that wait in each half of a direction.
const QUEUE: usize = 2;

/// Decides what is delivered when an envelope crosses from the first party to the second.
pub type Tap = Box<dyn FnMut(PartyId, PartyId, Envelope) -> Vec<Envelope> + Send>;

type Arrival = Result<Connection, LinkError>;

/// The place where parties in one process meet. A clone is the same place.
#[derive(Clone)]
pub struct MemoryHub {
    state: Arc<Mutex<State>>,
    /// Counts the changes of `cuts`, so that waiting carriers look again.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    parties: BTreeMap<PartyId, Door>,
    cuts: BTreeSet<(PartyId, PartyId)>,
    lines: Vec<(PartyId, PartyId, CancellationToken)>,
    tap: Option<Tap>,
}

struct Door {
    arrived: mpsc::Sender<Arrival>,
    closing: CancellationToken,
}

impl Default for MemoryHub {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryHub {
    /// A place with nobody in it.
    #[must_use]
    pub fn new() -> Self {
        Self { state: Arc::default(), changes: watch::Sender::new(0) }
    }

    /// The transport of `party`. An earlier one of the same party is closed, as when a process restarts.
    #[must_use]
    pub fn join(&self, party: PartyId) -> MemoryTransport {
        self.leave(party);
        let (arrived, arrivals) = mpsc::channel(16);
        let closing = CancellationToken::new();
        self.locked().parties.insert(party, Door { arrived, closing: closing.clone() });
        MemoryTransport { me: party, hub: self.clone(), arrivals: tokio::sync::Mutex::new(arrivals), closing }
    }

    /// Takes `party` away at once, as when its process is killed.
    pub fn leave(&self, party: PartyId) {
        let door = self.locked().parties.remove(&party);
        if let Some(door) = door {
            door.closing.cancel();
            self.break_lines(|one, other| one == party || other == party);
        }
    }

    /// Lets nothing through between two parties, and tells neither.
    pub fn cut(&self, one: PartyId, other: PartyId) {
        self.locked().cuts.insert(ordered(one, other));
        self.changes.send_modify(|count| *count += 1);
    }

    /// Ends a [`cut`](Self::cut): what waited goes through.
    pub fn heal(&self, one: PartyId, other: PartyId) {
        self.locked().cuts.remove(&ordered(one, other));
        self.changes.send_modify(|count| *count += 1);
    }

    /// Breaks the connections between two parties; what was under way is lost, and both notice at once.
    pub fn sever(&self, one: PartyId, other: PartyId) {
        self.break_lines(|a, b| (a, b) == ordered(one, other));
    }

    fn break_lines(&self, between: impl Fn(PartyId, PartyId) -> bool) {
        self.locked().lines.retain(|(one, other, line)| {
            let broken = between(*one, *other);
            if broken {
                line.cancel();
            }
            !broken
        });
    }

    /// Sits on every direction of every connection.
    pub fn tap(&self, tap: impl FnMut(PartyId, PartyId, Envelope) -> Vec<Envelope> + Send + 'static) {
        self.locked().tap = Some(Box::new(tap));
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_cut(&self, one: PartyId, other: PartyId) -> bool {
        self.locked().cuts.contains(&ordered(one, other))
    }

    /// Carries envelopes from one end to the other until the line is cut or either end lets go.
    async fn carry(
        self,
        (from, to): (PartyId, PartyId),
        mut sent: Outgoing,
        delivered: mpsc::Sender<Envelope>,
        heard: LastSeen,
        line: CancellationToken,
    ) {
        let mut changes = self.changes.subscribe();
        while let Some(envelope) = sent.next().await {
            while self.is_cut(from, to) {
                if changes.changed().await.is_err() {
                    return;
                }
            }
            // What is under way when a line breaks is lost, even if it could still be delivered.
            if line.is_cancelled() {
                return;
            }
            let envelopes = match &mut self.locked().tap {
                Some(tap) => tap(from, to, envelope),
                None => vec![envelope],
            };
            for envelope in envelopes {
                heard.beat();
                if delivered.send(envelope).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn ordered(one: PartyId, other: PartyId) -> (PartyId, PartyId) {
    (one.min(other), one.max(other))
}

/// One party's transport in a [`MemoryHub`].
pub struct MemoryTransport {
    me: PartyId,
    hub: MemoryHub,
    arrivals: tokio::sync::Mutex<mpsc::Receiver<Arrival>>,
    closing: CancellationToken,
}

impl MemoryTransport {
    async fn connect(&self, peer: PartyId) -> Arrival {
        let unreachable =
            |detail: &str| LinkError::Unreachable { peer, address: "memory".to_owned(), detail: detail.to_owned() };
        if self.closing.is_cancelled() {
            return Err(LinkError::ShuttingDown);
        }
        let line = self.closing.child_token();
        let (arrived, theirs) = {
            let mut state = self.hub.locked();
            if state.cuts.contains(&ordered(self.me, peer)) {
                return Err(unreachable("the link is cut"));
            }
            let door = state.parties.get(&peer).ok_or_else(|| unreachable("nobody is there"))?;
            let door = (door.arrived.clone(), door.closing.clone());
            state.lines.retain(|(_, _, line)| !line.is_cancelled());
            let (one, other) = ordered(self.me, peer);
            state.lines.push((one, other, line.clone()));
            door
        };
        let watched = line.clone();
        tokio::spawn(async move {
            let _ = watched.run_until_cancelled(theirs.cancelled()).await;
            watched.cancel();
        });
        let (our_pulse, their_pulse) = (LastSeen::new(), LastSeen::new());
        let ways = |ends, heard: &LastSeen| {
            let [(sessions, in_sessions), (requests, in_requests)] = [(); 2].map(|()| self.way(ends, &line, heard));
            (Senders { sessions, requests }, Incoming::new(in_sessions, in_requests))
        };
        let (our_senders, their_streams) = ways((self.me, peer), &their_pulse);
        let (their_senders, our_streams) = ways((peer, self.me), &our_pulse);
        let end = |peer, outgoing, incoming, last_seen| Connection {
            peer,
            dialler: self.me,
            pin: None,
            outgoing,
            incoming,
            last_seen,
            cut: line.clone().drop_guard(),
        };
        let theirs = end(self.me, their_senders, their_streams, their_pulse);
        arrived.send(Ok(theirs)).await.map_err(|_| unreachable("nobody is there"))?;
        Ok(end(peer, our_senders, our_streams, our_pulse))
    }

    /// One stream from one end to the other.
    fn way(&self, ends: (PartyId, PartyId), line: &CancellationToken, heard: &LastSeen) -> (Sender, Heard) {
        let (sender, sent) = outgoing();
        let (delivered, stream) = mpsc::channel(QUEUE);
        let carried = self.hub.clone().carry(ends, sent, delivered, heard.clone(), line.clone());
        tokio::spawn(line.clone().run_until_cancelled_owned(carried));
        (sender, Box::pin(ReceiverStream::new(stream).map(Ok)))
    }
}

impl Transport for MemoryTransport {
    fn me(&self) -> PartyId {
        self.me
    }

    fn can_dial(&self, _: PartyId) -> bool {
        true
    }

    fn dial(&self, peer: PartyId) -> Pending<'_, Arrival> {
        Box::pin(self.connect(peer))
    }

    fn accept(&self) -> Pending<'_, Option<Arrival>> {
        Box::pin(async {
            let mut arrivals = self.arrivals.lock().await;
            self.closing.run_until_cancelled(arrivals.recv()).await.flatten()
        })
    }

    fn still_admits(&self, _: PartyId, _: Option<Pin>) -> bool {
        true
    }

    fn close(&self) {
        self.closing.cancel();
    }
}
