//! Parties, links and what is to go wrong.

use std::collections::{BTreeMap, BTreeSet};

use super::attempt::{Attempt, Born};
use super::incident::{Event, Incident};
use super::report::{Ending, Report, Sent};
use super::tamper::{Tamper, Tap};
use super::world::World;
use crate::{Checkpoint, Frame, Party, PartyId, Seed};

/// What a party is built from when an attempt begins.
pub struct Birth<'k> {
    /// Who is born.
    pub who: PartyId,
    /// The number of the attempt, from 0.
    pub attempt: u32,
    /// What it made durable in earlier attempts: the last checkpoint of every slot.
    pub kept: &'k [Checkpoint],
}

type Factory<T> = Box<dyn FnMut(Birth<'_>) -> Born<T>>;

/// Parties, links, and a list of what goes wrong.
pub struct Network<T> {
    ids: Vec<PartyId>,
    factory: Factory<T>,
    attempts: u32,
    tap: Option<Tap>,
    linked: Option<BTreeSet<(PartyId, PartyId)>>,
    events: Vec<Event>,
    steps: u64,
}

impl<T: Send + 'static> Network<T> {
    /// Steps that a run may take unless told otherwise; each moves a few frames.
    pub const STEPS: u64 = 1 << 20;

    /// A network of these parties for one attempt, each linked to each, in which nothing goes wrong.
    #[must_use]
    pub fn new(parties: Vec<(PartyId, Box<dyn Party<Output = T>>)>) -> Self {
        let ids = parties.iter().map(|(id, _)| *id).collect();
        let mut parties: BTreeMap<PartyId, Box<dyn Party<Output = T>>> = parties.into_iter().collect();
        let given = move |birth: Birth<'_>| {
            parties.remove(&birth.who).ok_or(crate::Misuse::Input("a party is given once, for one attempt").into())
        };
        Self::of(ids, Box::new(given), 1)
    }

    /// A network of parties that `factory` builds, each linked to each, in which nothing goes wrong. When an attempt has
    /// ended without a fault and without all answers, all that are alive are built again from what they have kept, for at
    /// most `attempts` attempts.
    #[must_use]
    pub fn built(
        ids: impl IntoIterator<Item = PartyId>,
        attempts: u32,
        factory: impl FnMut(Birth<'_>) -> Born<T> + 'static,
    ) -> Self {
        Self::of(ids.into_iter().collect(), Box::new(factory), attempts)
    }

    fn of(ids: Vec<PartyId>, factory: Factory<T>, attempts: u32) -> Self {
        Self { ids, factory, attempts, tap: None, linked: None, events: Vec::new(), steps: Self::STEPS }
    }

    /// The same network as a star: every party is linked to `hub` and to nobody else.
    #[must_use]
    pub fn star(mut self, hub: PartyId) -> Self {
        self.linked = Some(self.ids.iter().flat_map(|id| [(*id, hub), (hub, *id)]).collect());
        self
    }

    /// The same network with a tap on every link.
    #[must_use]
    pub fn tapped(mut self, tap: impl FnMut(usize, Sent) -> Vec<Sent> + 'static) -> Self {
        self.tap = Some(Box::new(tap));
        self
    }

    /// The same network with one entry of the fault table applied to the frame numbered `at`.
    ///
    /// `foreign` is a frame sent in another session in the same direction, for [`Tamper::Replay`].
    #[must_use]
    pub fn tampered(mut self, tamper: Tamper, at: usize, foreign: Option<Frame>) -> Self {
        self.tap = Some(tamper.tap(at, foreign));
        self
    }

    /// The same network in which these incidents happen, besides those that it has.
    #[must_use]
    pub fn suffering(mut self, events: impl IntoIterator<Item = Event>) -> Self {
        self.events.extend(events);
        self
    }

    /// The same network in which `who` disappears once `frames` frames have been sent in all.
    #[must_use]
    pub fn crashing(self, who: PartyId, frames: usize) -> Self {
        self.suffering([Event { at: frames, what: Incident::Crash(who) }])
    }

    /// The same network with another bound on the steps of a run. Parties that have not ended by then are in a livelock.
    #[must_use]
    pub fn bounded(mut self, steps: u64) -> Self {
        self.steps = steps;
        self
    }

    /// Runs until every party has ended, or nothing moves any more. `schedule` decides who moves next, who notices a loss
    /// first, and whether a cut outlasts the patience of its ends.
    #[must_use]
    pub fn run(mut self, schedule: Seed) -> Report<T> {
        let mut world = World::new(schedule.into_rng(), self.tap, self.linked, self.events, self.steps);
        let mut earlier = Vec::new();
        let mut number = 0;
        let endings = loop {
            let mut born = Vec::new();
            for who in self.ids.iter().copied() {
                let kept = world.kept(who);
                let party = (!world.is_dead(who)).then(|| (self.factory)(Birth { who, attempt: number, kept: &kept }));
                born.push((who, party));
            }
            let endings = Attempt::new(&mut world, born).run();
            number += 1;
            if number >= self.attempts || !is_resumable(&endings) {
                break endings;
            }
            // Whoever waits to try again waits for somebody to come back.
            while let Some(incident) = world.happen() {
                if matches!(incident, Incident::Restart(_) | Incident::Heal { .. }) {
                    break;
                }
            }
            earlier.push(endings);
        };
        Report {
            endings,
            earlier,
            kept: self.ids.iter().map(|id| (*id, world.kept(*id))).filter(|(_, kept)| !kept.is_empty()).collect(),
            sent: world.sent,
            happened: world.happened,
            told: world.told,
            touched: world.touched,
        }
    }
}

/// Whether another attempt may come further: somebody has no answer, and nobody broke a rule.
fn is_resumable<T>(endings: &BTreeMap<PartyId, Ending<T>>) -> bool {
    endings.values().any(|ending| matches!(ending, Ending::Stalled(_) | Ending::Crashed))
        && !endings.values().any(|ending| matches!(ending, Ending::Fault(_) | Ending::Stuck(_)))
}
