//! The network in memory: every protocol's honest runs and its adversary, deterministic from one seed.
//!
//! A [`Network`] polls its parties and carries their frames over first-in-first-out links with bounded credit. A
//! [`Tap`] sits on every link and decides what is delivered; [`Tamper`] is the fault table that every protocol runs.
//! Each party ends in an [`Ending`]: an answer, a fault with its culprit, or a stall. Nothing else exists.

use std::collections::{BTreeMap, VecDeque};

use rand::{Rng, RngExt};

use crate::{Checkpoint, Fault, Frame, Party, PartyId, Seed, Stall};

/// Frames in flight per link before `poll_send` is no longer called.
const CREDIT: usize = 4;

/// How a party's session ended.
#[derive(Debug)]
pub enum Ending<T> {
    /// With its answer.
    Answer(T),
    /// With a fault.
    Fault(Fault),
    /// Because a peer it cannot do without went away.
    Stalled(Stall),
}

impl<T> Ending<T> {
    /// The answer, if it ended with one.
    pub fn answer(&self) -> Option<&T> {
        if let Self::Answer(answer) = self { Some(answer) } else { None }
    }

    /// The peer blamed, if it ended with a fault that blames one.
    pub fn culprit(&self) -> Option<PartyId> {
        if let Self::Fault(fault) = self { fault.culprit() } else { None }
    }

    /// The code of the violation, if it ended with one.
    pub fn code(&self) -> Option<&'static str> {
        if let Self::Fault(Fault::Peer { violation, .. }) = self { Some(violation.code) } else { None }
    }
}

/// What a run of a [`Network`] left behind.
#[derive(Debug)]
pub struct Report<T> {
    /// Each party's ending.
    pub endings: BTreeMap<PartyId, Ending<T>>,
    /// Every frame sent, in order, before the tap: a golden transcript, or material for a replay.
    pub sent: Vec<Sent>,
    /// What each party last made durable, for the party that resumes.
    pub checkpoints: BTreeMap<PartyId, Checkpoint>,
}

/// A frame as its sender gave it to the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Sender.
    pub from: PartyId,
    /// Receiver.
    pub to: PartyId,
    /// The frame.
    pub frame: Frame,
}

impl<T> Report<T> {
    /// Bytes of all frame bodies.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.sent.iter().map(|sent| sent.frame.body.len() as u64).sum()
    }

    /// The ending of one party.
    ///
    /// # Panics
    /// If `id` took no part: a mistake in the test.
    #[must_use]
    pub fn ending(&self, id: PartyId) -> &Ending<T> {
        &self.endings[&id]
    }
}

/// Decides what is delivered when a frame crosses a link: nothing, the frame, or anything else.
///
/// Arguments: the running number of the frame in this run, and the frame with its ends.
/// Whatever stands in the result is delivered in that order.
pub type Tap = Box<dyn FnMut(usize, Sent) -> Vec<Sent>>;

/// Parties, links and a tap.
pub struct Network<T> {
    parties: Vec<(PartyId, Box<dyn Party<Output = T>>)>,
    tap: Tap,
    crash: Option<(PartyId, usize)>,
}

impl<T: Send + 'static> Network<T> {
    /// A network of these parties, each linked to each, with an honest tap.
    #[must_use]
    pub fn new(parties: Vec<(PartyId, Box<dyn Party<Output = T>>)>) -> Self {
        Self { parties, tap: Box::new(|_, sent| vec![sent]), crash: None }
    }

    /// The same network with a tap on every link.
    #[must_use]
    pub fn tapped(mut self, tap: impl FnMut(usize, Sent) -> Vec<Sent> + 'static) -> Self {
        self.tap = Box::new(tap);
        self
    }

    /// The same network in which `who` disappears once `frames` frames have been sent in all.
    #[must_use]
    pub fn crashing(mut self, who: PartyId, frames: usize) -> Self {
        self.crash = Some((who, frames));
        self
    }

    /// The same network with one entry of the fault table applied to the frame numbered `at`.
    ///
    /// `foreign` is a frame sent in another session in the same direction, for [`Tamper::Replay`].
    #[must_use]
    pub fn tampered(mut self, tamper: Tamper, at: usize, foreign: Option<Frame>) -> Self {
        let stranger: PartyId = "stranger".parse().unwrap_or_else(|_| unreachable!("a fixed, valid name"));
        let mut waiting: Option<Sent> = None;
        self.tap = Box::new(move |number, sent| {
            if let Some(earlier) = waiting.take_if(|earlier| (earlier.from, earlier.to) == (sent.from, sent.to)) {
                return vec![sent, earlier];
            }
            if number != at {
                return vec![sent];
            }
            let edited = |edit: &dyn Fn(&mut Vec<u8>)| {
                let mut body = sent.frame.body.to_vec();
                edit(&mut body);
                Sent { frame: Frame { body: body.into(), ..sent.frame.clone() }, ..sent.clone() }
            };
            match tamper {
                Tamper::Drop => vec![],
                Tamper::Duplicate => vec![sent.clone(), sent],
                Tamper::Reorder => {
                    waiting = Some(sent);
                    vec![]
                }
                Tamper::Truncate => vec![edited(&|body| {
                    body.pop();
                })],
                Tamper::Flip { byte } => vec![edited(&|body| {
                    let len = body.len().max(1);
                    if let Some(byte) = body.get_mut(byte % len) {
                        *byte ^= 0x55;
                    }
                })],
                Tamper::Replay => {
                    let frame = foreign.clone().unwrap_or_else(|| sent.frame.clone());
                    vec![Sent { frame, ..sent }]
                }
                Tamper::WrongSender => vec![Sent { from: stranger, ..sent }],
                Tamper::Early => {
                    let mut early = sent.clone();
                    early.frame.sequence += 1;
                    vec![early, sent]
                }
                Tamper::Late => {
                    vec![sent.clone(), Sent { frame: Frame { sequence: u64::MAX, ..sent.frame.clone() }, ..sent }]
                }
            }
        });
        self
    }

    /// Runs until every party has ended. `schedule` decides which link moves next.
    ///
    /// When nothing moves, each party still open is told, one peer after another, that the peer is lost; a party that
    /// claims to go on without anyone ends as stalled all the same.
    #[must_use]
    pub fn run(mut self, schedule: Seed) -> Report<T> {
        let mut rng = schedule.into_rng();
        let ids: Vec<PartyId> = self.parties.iter().map(|(id, _)| *id).collect();
        let mut links: BTreeMap<(PartyId, PartyId), VecDeque<Sent>> = BTreeMap::new();
        let mut endings: BTreeMap<PartyId, Ending<T>> = BTreeMap::new();
        let mut faulted: Vec<PartyId> = Vec::new();
        let mut sent_log: Vec<Sent> = Vec::new();
        let mut checkpoints: BTreeMap<PartyId, Checkpoint> = BTreeMap::new();
        loop {
            if let Some((who, _)) = self.crash.take_if(|(_, frames)| sent_log.len() >= *frames) {
                faulted.push(who);
                endings.insert(who, Ending::Stalled(Stall { who, stage: "crashed" }));
            }
            let mut moved = false;
            let mut order: Vec<usize> = (0..self.parties.len()).collect();
            shuffle(&mut order, &mut rng);
            for at in order {
                let (id, party) = &mut self.parties[at];
                let id = *id;
                if faulted.contains(&id) {
                    continue;
                }
                while let Some(checkpoint) = party.poll_checkpoint() {
                    checkpoints.insert(id, checkpoint);
                    party.stored();
                    moved = true;
                }
                for peer in &ids {
                    let in_flight = links.get(&(id, *peer)).map_or(0, VecDeque::len);
                    if *peer == id || in_flight >= CREDIT {
                        continue;
                    }
                    if let Some(frame) = party.poll_send(*peer) {
                        let sent = Sent { from: id, to: *peer, frame };
                        let number = sent_log.len();
                        sent_log.push(sent.clone());
                        for delivered in (self.tap)(number, sent) {
                            links.entry((id, delivered.to)).or_default().push_back(delivered);
                        }
                        moved = true;
                    }
                }
            }
            let ready: Vec<(PartyId, PartyId)> =
                links.iter().filter(|(_, queue)| !queue.is_empty()).map(|(link, _)| *link).collect();
            if !ready.is_empty() {
                let link = ready[rng.random_range(0..ready.len())];
                if let Some(sent) = links.get_mut(&link).and_then(VecDeque::pop_front) {
                    moved = true;
                    if let Some((_, party)) = self.parties.iter_mut().find(|(id, _)| *id == sent.to)
                        && !faulted.contains(&sent.to)
                        && let Err(fault) = party.receive(sent.from, sent.frame)
                    {
                        faulted.push(sent.to);
                        endings.insert(sent.to, Ending::Fault(fault));
                    }
                }
            }
            for (id, party) in &mut self.parties {
                if !endings.contains_key(id)
                    && let Some(answer) = party.output()
                {
                    endings.insert(*id, Ending::Answer(answer));
                    moved = true;
                }
            }
            if !moved && !self.tell_lost(&ids, &mut endings) {
                return Report { endings, sent: sent_log, checkpoints };
            }
        }
    }

    /// Tells the parties that still wait that their peers are gone. Returns whether anyone's state changed.
    fn tell_lost(&mut self, ids: &[PartyId], endings: &mut BTreeMap<PartyId, Ending<T>>) -> bool {
        let mut changed = false;
        for (id, party) in &mut self.parties {
            if endings.contains_key(id) {
                continue;
            }
            changed = true;
            let stall = ids.iter().filter(|peer| *peer != id).find_map(|peer| party.lost(*peer).err());
            let ending = match (party.output(), stall) {
                (Some(answer), _) => Ending::Answer(answer),
                (None, Some(stall)) => Ending::Stalled(stall),
                (None, None) => Ending::Stalled(Stall { who: *id, stage: "waiting for nobody" }),
            };
            endings.insert(*id, ending);
        }
        changed
    }
}

/// The fault table: what a network or a lying peer does to one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tamper {
    /// It never arrives.
    Drop,
    /// It arrives twice.
    Duplicate,
    /// It arrives after its successor.
    Reorder,
    /// Its last byte is missing.
    Truncate,
    /// One byte is changed.
    Flip {
        /// Which, modulo the length.
        byte: usize,
    },
    /// A frame recorded in another session arrives in its place.
    Replay,
    /// The link attributes it to a party that is not in the session.
    WrongSender,
    /// It claims a place it has not reached.
    Early,
    /// It is repeated with a place far behind the end.
    Late,
}

impl Tamper {
    /// Every entry of the table, with a few places for the changed byte.
    pub const TABLE: [Self; 12] = [
        Self::Drop,
        Self::Duplicate,
        Self::Reorder,
        Self::Truncate,
        Self::Flip { byte: 0 },
        Self::Flip { byte: 1 },
        Self::Flip { byte: 40 },
        Self::Flip { byte: usize::MAX },
        Self::Replay,
        Self::WrongSender,
        Self::Early,
        Self::Late,
    ];
}

fn shuffle(items: &mut [usize], rng: &mut impl Rng) {
    for at in (1..items.len()).rev() {
        items.swap(at, rng.random_range(0..=at));
    }
}
