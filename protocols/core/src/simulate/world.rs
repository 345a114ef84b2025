//! What outlives an attempt: links, processes, disks, and the log of the run.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand::RngExt;
use rand::rngs::ChaCha20Rng;

use super::incident::{Event, Incident};
use super::report::Sent;
use super::tamper::Tap;
use crate::{Checkpoint, PartyId};

/// The world of one run.
pub(super) struct World {
    pub(super) rng: ChaCha20Rng,
    tap: Option<Tap>,
    /// Who is linked to whom, both ways; everybody to everybody if there is none.
    linked: Option<BTreeSet<(PartyId, PartyId)>>,
    /// Incidents to come, the next one first.
    pending: VecDeque<Event>,
    pub(super) steps_left: u64,
    /// The ways that are closed.
    cut: BTreeSet<(PartyId, PartyId)>,
    dead: BTreeSet<PartyId>,
    disks: BTreeMap<PartyId, BTreeMap<String, Checkpoint>>,
    pub(super) sent: Vec<Sent>,
    pub(super) happened: Vec<Event>,
    pub(super) told: BTreeSet<(PartyId, PartyId)>,
    pub(super) touched: BTreeSet<PartyId>,
}

impl World {
    pub(super) fn new(
        rng: ChaCha20Rng,
        tap: Option<Tap>,
        linked: Option<BTreeSet<(PartyId, PartyId)>>,
        mut events: Vec<Event>,
        steps_left: u64,
    ) -> Self {
        events.sort_by_key(|event| event.at);
        Self {
            rng,
            tap,
            linked,
            pending: events.into(),
            steps_left,
            cut: BTreeSet::new(),
            dead: BTreeSet::new(),
            disks: BTreeMap::new(),
            sent: Vec::new(),
            happened: Vec::new(),
            told: BTreeSet::new(),
            touched: BTreeSet::new(),
        }
    }

    /// Whether something that happens once in `times` happens now.
    pub(super) fn once_in(&mut self, times: u32) -> bool {
        self.rng.random_range(0..times) == 0
    }

    /// One of these.
    pub(super) fn choose<I: Copy>(&mut self, items: &[I]) -> Option<I> {
        if items.is_empty() { None } else { items.get(self.rng.random_range(0..items.len())).copied() }
    }

    pub(super) fn shuffle(&mut self, items: &mut [usize]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.rng.random_range(0..=at));
        }
    }

    pub(super) fn are_linked(&self, a: PartyId, b: PartyId) -> bool {
        a != b && self.linked.as_ref().is_none_or(|linked| linked.contains(&(a, b)))
    }

    pub(super) fn is_cut(&self, from: PartyId, to: PartyId) -> bool {
        self.cut.contains(&(from, to))
    }

    pub(super) fn is_dead(&self, who: PartyId) -> bool {
        self.dead.contains(&who)
    }

    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The next incident, if its moment has come.
    pub(super) fn due(&mut self) -> Option<Incident> {
        if self.pending.front()?.at > self.sent.len() { None } else { self.happen() }
    }

    /// The next incident, whose moment this is.
    pub(super) fn happen(&mut self) -> Option<Incident> {
        let event = self.pending.pop_front()?;
        self.happened.push(event);
        match event.what {
            Incident::Crash(who) => {
                self.dead.insert(who);
            }
            Incident::Restart(who) => {
                self.dead.remove(&who);
            }
            Incident::Cut { from, to } => {
                self.cut.insert((from, to));
            }
            Incident::Heal { from, to } => {
                self.cut.remove(&(from, to));
            }
        }
        Some(event.what)
    }

    /// Notes a frame as sent, and says what is delivered in its place.
    pub(super) fn cross(&mut self, sent: Sent) -> Vec<Sent> {
        let number = self.sent.len();
        self.sent.push(sent.clone());
        let Some(tap) = &mut self.tap else { return vec![sent] };
        let delivered = tap(number, sent.clone());
        if delivered != [sent.clone()] {
            self.touched.insert(sent.from);
            self.touched.extend(delivered.iter().map(|delivered| delivered.from));
        }
        delivered
    }

    pub(super) fn store(&mut self, who: PartyId, checkpoint: Checkpoint) {
        self.disks.entry(who).or_default().insert(checkpoint.slot.clone(), checkpoint);
    }

    pub(super) fn kept(&self, who: PartyId) -> Vec<Checkpoint> {
        self.disks.get(&who).map_or_else(Vec::new, |slots| slots.values().cloned().collect())
    }
}
