//! One attempt at a job: every party from its birth to its ending.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::incident::Incident;
use super::report::{Ending, Sent, Stuck};
use super::world::World;
use crate::{Checkpoint, Fault, Halt, Party, PartyId};

/// Frames in flight per link before `poll_send` is no longer called.
const CREDIT: usize = 4;

/// In how many steps, on average, a loss that can be noticed is noticed while other things still move.
const STEPS_TO_NOTICE: u32 = 16;

/// A party, or why there is none.
pub(super) type Born<T> = Result<Box<dyn Party<Output = T>>, Fault>;

struct Node<T> {
    id: PartyId,
    /// Gone once it has faulted, stalled or crashed.
    party: Option<Box<dyn Party<Output = T>>>,
    /// Handed out and not yet durable; meanwhile the party neither sends nor receives.
    storing: Option<Checkpoint>,
}

pub(super) struct Attempt<'w, T> {
    world: &'w mut World,
    nodes: Vec<Node<T>>,
    ids: Vec<PartyId>,
    /// Frames on their way, by the real sender and the receiver.
    ways: BTreeMap<(PartyId, PartyId), VecDeque<Sent>>,
    endings: BTreeMap<PartyId, Ending<T>>,
    /// Who has given whom up.
    given_up: BTreeSet<(PartyId, PartyId)>,
}

impl<'w, T: Send> Attempt<'w, T> {
    /// Begins with these parties. Whoever is dead takes no part.
    pub(super) fn new(world: &'w mut World, born: Vec<(PartyId, Option<Born<T>>)>) -> Self {
        let mut endings = BTreeMap::new();
        let ids = born.iter().map(|(id, _)| *id).collect();
        let mut nodes = Vec::new();
        for (id, born) in born {
            let party = match born {
                Some(Ok(party)) => Some(party),
                Some(Err(fault)) => {
                    endings.insert(id, Ending::Fault(fault));
                    None
                }
                None => {
                    endings.insert(id, Ending::Crashed);
                    None
                }
            };
            nodes.push(Node { id, party, storing: None });
        }
        Self { world, nodes, ids, ways: BTreeMap::new(), endings, given_up: BTreeSet::new() }
    }

    /// Runs until nothing moves and nothing can happen any more.
    pub(super) fn run(mut self) -> BTreeMap<PartyId, Ending<T>> {
        loop {
            while let Some(incident) = self.world.due() {
                self.suffer(incident);
            }
            let Some(left) = self.world.steps_left.checked_sub(1) else {
                return self.stuck(|stage| Stuck::Livelock { stage });
            };
            self.world.steps_left = left;
            let moved = self.sweep(true) | self.collect() | self.deliver() | self.collect();
            let noticed = self.world.once_in(STEPS_TO_NOTICE) && self.notice(Self::has_lost);
            // A sweep that leaves some out proves nothing; one that asks everybody does.
            if moved || noticed || self.sweep(false) || self.collect() {
                continue;
            }
            if self.open().next().is_none() {
                return self.endings;
            }
            // Links that are slow to come back and patience that is short are the same thing: the seed decides.
            let jump = self.world.has_pending() && self.world.once_in(2);
            if !jump && (self.notice(Self::has_lost) || self.notice(Self::hears_nothing_of_a_liar)) {
                continue;
            }
            match self.world.happen() {
                Some(incident) => self.suffer(incident),
                None if jump => {}
                None => return self.stuck(|stage| Stuck::Deadlock { stage }),
            }
        }
    }

    /// Those without an ending.
    fn open(&self) -> impl Iterator<Item = PartyId> {
        self.ids.iter().copied().filter(|id| !self.endings.contains_key(id))
    }

    fn stuck(mut self, how: impl Fn(&'static str) -> Stuck) -> BTreeMap<PartyId, Ending<T>> {
        for node in &self.nodes {
            if let Some(party) = &node.party {
                self.endings.entry(node.id).or_insert_with(|| Ending::Stuck(how(party.progress().stage)));
            }
        }
        self.endings
    }

    fn suffer(&mut self, incident: Incident) {
        let Incident::Crash(who) = incident else { return };
        let Some(node) = self.nodes.iter_mut().find(|node| node.id == who) else { return };
        node.party = None;
        if let Some(checkpoint) = node.storing.take()
            && self.world.once_in(2)
        {
            self.world.store(who, checkpoint);
        }
        self.endings.entry(who).or_insert(Ending::Crashed);
    }

    /// Asks the parties in some order, or only a part of them, for checkpoints and frames.
    fn sweep(&mut self, some: bool) -> bool {
        let mut moved = false;
        let mut order: Vec<usize> = (0..self.nodes.len()).collect();
        self.world.shuffle(&mut order);
        for at in order {
            if !some || !self.world.once_in(4) {
                moved |= self.ask(at);
            }
        }
        moved
    }

    fn ask(&mut self, at: usize) -> bool {
        let Self { world, nodes, ids, ways, given_up, .. } = self;
        let Some(Node { id, party: Some(party), storing }) = nodes.get_mut(at) else { return false };
        let id = *id;
        if let Some(checkpoint) = storing.take() {
            world.store(id, checkpoint);
            party.stored();
            return true;
        }
        *storing = party.poll_checkpoint();
        if storing.is_some() {
            return true;
        }
        let mut moved = false;
        for peer in ids.iter().copied() {
            let in_flight = ways.get(&(id, peer)).map_or(0, VecDeque::len);
            if in_flight >= CREDIT || !world.are_linked(id, peer) || given_up.contains(&(id, peer)) {
                continue;
            }
            if let Some(frame) = party.poll_send(peer) {
                for delivered in world.cross(Sent { from: id, to: peer, frame }) {
                    ways.entry((id, delivered.to)).or_default().push_back(delivered);
                }
                moved = true;
            }
        }
        moved
    }

    /// Delivers the next frame of one link.
    fn deliver(&mut self) -> bool {
        let storing = |to: PartyId| self.nodes.iter().any(|node| node.id == to && node.storing.is_some());
        let is_ready = |way: &(PartyId, PartyId)| !self.world.is_cut(way.0, way.1) && !storing(way.1);
        let open = self.ways.iter().filter(|(_, frames)| !frames.is_empty()).map(|(way, _)| *way);
        let ready: Vec<(PartyId, PartyId)> = open.filter(is_ready).collect();
        let Some(way) = self.world.choose(&ready) else { return false };
        let Some(sent) = self.ways.get_mut(&way).and_then(VecDeque::pop_front) else { return false };
        if !self.given_up.contains(&(sent.to, way.0))
            && let Some(node) = self.nodes.iter_mut().find(|node| node.id == sent.to)
            && let Some(party) = &mut node.party
            && let Err(fault) = party.receive(sent.from, sent.frame)
        {
            node.party = None;
            self.endings.insert(sent.to, Ending::Fault(fault));
        }
        true
    }

    /// Takes what the parties have come to.
    fn collect(&mut self) -> bool {
        let mut moved = false;
        for Node { id, party, .. } in &mut self.nodes {
            let Some(running) = party else { continue };
            let ending = match running.poll_halt() {
                Some(halt) => {
                    *party = None;
                    Some(match halt {
                        Halt::Fault(fault) => Ending::Fault(fault),
                        Halt::Stalled(stall) => Ending::Stalled(stall),
                    })
                }
                None if self.endings.contains_key(id) => None,
                None => running.output().map(Ending::Answer),
            };
            if let Some(ending) = ending {
                self.endings.insert(*id, ending);
                moved = true;
            }
        }
        moved
    }

    /// Tells one party that it has lost one that it can notice the loss of. Returns whether there was any.
    fn notice(&mut self, noticeable: impl Fn(&Self, PartyId, PartyId) -> bool) -> bool {
        let mut losses = Vec::new();
        for who in self.open() {
            let known = |peer: PartyId| self.given_up.contains(&(who, peer)) || !self.world.are_linked(who, peer);
            losses.extend(
                self.ids.iter().filter(|peer| !known(**peer) && noticeable(self, who, **peer)).map(|peer| (who, *peer)),
            );
        }
        let Some((who, peer)) = self.world.choose(&losses) else { return false };
        self.given_up.insert((who, peer));
        self.world.told.insert((who, peer));
        self.ways.remove(&(peer, who));
        if let Some(node) = self.nodes.iter_mut().find(|node| node.id == who)
            && let Some(party) = &mut node.party
            && let Err(stall) = party.lost(peer)
        {
            node.party = None;
            self.endings.insert(who, Ending::Stalled(stall));
        }
        true
    }

    /// Whether `who` can notice that `peer` is gone: its process has ended or its session has, the way is closed, or it
    /// has given `who` up itself.
    fn has_lost(&self, who: PartyId, peer: PartyId) -> bool {
        let is_over = self.nodes.iter().any(|node| node.id == peer && node.party.is_none());
        let is_apart = self.world.is_cut(who, peer) || self.world.is_cut(peer, who);
        is_over || is_apart || self.given_up.contains(&(peer, who))
    }

    /// Whether `who` waits in vain in a run in which somebody's frames were touched: for that party, or for one that has
    /// its answer. A liar may fall silent, and may lead honest parties to part ways.
    fn hears_nothing_of_a_liar(&self, _: PartyId, peer: PartyId) -> bool {
        let touched = &self.world.touched;
        touched.contains(&peer) || !touched.is_empty() && matches!(self.endings.get(&peer), Some(Ending::Answer(_)))
    }
}
