//! The leader hands pieces on between members of an attempt. It reads none, and hands on none that its receiver would
//! have to blame it for.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tacitly_core::PartyId;
use tokio::sync::Semaphore;

use super::circle::{ADDRESS, Circle, Finding, ORDER, SIGNATURE};
use super::message::{LineId, Outcome, Piece, Place, decode_outcome};
use super::post::Post;

/// The most pieces of one member that are under way.
const MOST_UNDER_WAY: usize = 8;
/// The most lines between two members; older ones are forgotten.
const MOST_LINES: usize = 4;

/// The leader of an attempt, between its members.
pub(super) struct Leader {
    circle: Circle,
    post: Arc<dyn Post>,
    finding: Arc<Finding>,
    under_way: BTreeMap<PartyId, Semaphore>,
    lines: Mutex<BTreeMap<(PartyId, PartyId), VecDeque<Course>>>,
}

/// How far a line has come.
struct Course {
    line: LineId,
    opener: PartyId,
    /// The next piece of whoever opened it.
    openers: u64,
    /// The next piece of the other end.
    others: u64,
}

impl Course {
    fn next(&mut self, from: PartyId) -> &mut u64 {
        if from == self.opener { &mut self.openers } else { &mut self.others }
    }
}

impl Leader {
    pub(super) fn new(circle: Circle, post: Arc<dyn Post>, finding: Arc<Finding>) -> Self {
        let under_way = circle.keys.keys().map(|party| (*party, Semaphore::new(MOST_UNDER_WAY))).collect();
        Self { circle, post, finding, under_way, lines: Mutex::default() }
    }

    /// A member brings a piece; `bytes` are the same piece as it came.
    pub(super) async fn forward(&self, asker: PartyId, piece: Piece, bytes: Bytes) -> Outcome {
        let Some(places) = self.under_way.get(&asker) else { return Outcome::Gone };
        // A member that keeps to its own bound always finds a place.
        let Ok(_place) = places.try_acquire() else { return Outcome::Later };
        let Place { from, to, .. } = piece.place;
        let key = self.circle.keys.get(&from).filter(|_| {
            let leader = self.circle.leader;
            from == asker && from != to && from != leader && to != leader && self.circle.keys.contains_key(&to)
        });
        let Some(key) = key else { return self.accuse(asker, ADDRESS) };
        if !piece.is_signed_by(key) {
            return self.accuse(asker, SIGNATURE);
        }
        if let Some(outcome) = self.place(&piece.place) {
            return outcome;
        }
        if !self.post.reaches(to) {
            return Outcome::Away;
        }
        let outcome = self.post.put(to, bytes).await.and_then(decode_outcome).unwrap_or(Outcome::Away);
        if outcome == Outcome::Taken {
            self.taken(&piece.place);
        }
        outcome
    }

    /// Whether a piece is where it should be on its line; what to say of it if it is not handed on.
    fn place(&self, place: &Place) -> Option<Outcome> {
        let Place { from, to, line, opens, number, .. } = *place;
        let mut all = self.lines();
        let lines = all.entry(pair(from, to)).or_default();
        if !lines.iter().any(|course| course.line == line) {
            if !opens {
                return Some(Outcome::Gone);
            }
            if lines.len() >= MOST_LINES {
                lines.pop_front();
            }
            lines.push_back(Course { line, opener: from, openers: 0, others: 0 });
        }
        let next = *lines.iter_mut().find(|course| course.line == line)?.next(from);
        // The one before the next is said again by whoever has not heard that it was taken.
        match number {
            _ if number > next => Some(self.accuse(from, ORDER)),
            _ if next - number <= 1 => None,
            _ => Some(Outcome::Taken),
        }
    }

    fn taken(&self, place: &Place) {
        let Place { from, to, line, number, .. } = *place;
        let mut all = self.lines();
        let lines = all.entry(pair(from, to)).or_default();
        if let Some(course) = lines.iter_mut().find(|course| course.line == line) {
            let next = course.next(from);
            *next = (*next).max(number + 1);
        }
    }

    fn accuse(&self, member: PartyId, rule: &'static str) -> Outcome {
        self.finding.accuse(member, rule);
        Outcome::Gone
    }

    fn lines(&self) -> MutexGuard<'_, BTreeMap<(PartyId, PartyId), VecDeque<Course>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pair(one: PartyId, other: PartyId) -> (PartyId, PartyId) {
    (one.min(other), one.max(other))
}
