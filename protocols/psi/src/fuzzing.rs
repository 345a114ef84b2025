//! The bodies of the fuzz targets, as ordinary functions, so that a stable test replays what a fuzzer found.
//!
//! Each takes arbitrary bytes and panics only if a promise of this crate is broken.

use std::collections::VecDeque;

use bytes::Bytes;
use tacitly_core::{Fault, Frame, Party, PartyId, Seed};

use crate::ideal;
use crate::items::Items;
use crate::party::{PsiAnswer, PsiOutcome, PsiParty};
use crate::terms::{Flow, Member, PsiTerms};
use crate::wire::{self, Due};

/// Bytes to a message and back: the same bytes, or an error.
///
/// The first byte says which message is due, the second how many entries, the rest is the frame's body.
pub fn wire(data: &[u8]) {
    let [kind, count, body @ ..] = data else { return };
    let body = Bytes::copy_from_slice(body);
    let due = Due { round: 1, at: 0, count: usize::from(*count) };
    let again = match kind % 6 {
        0 => wire::read_opening(body.clone()).map(|terms| wire::write_opening(&terms)),
        1 => wire::read_points(body.clone(), due).map(wire::write_points),
        2 => wire::read_set_digest(body.clone(), 1).map(wire::write_set_digest),
        3 => wire::read_tags(body.clone(), 11, due).map(wire::write_tags),
        4 => wire::read_tags_digest(body.clone(), 1).map(wire::write_tags_digest),
        _ => wire::read_order(body.clone(), 1).map(wire::write_order),
    };
    if let Ok(again) = again {
        assert_eq!(again, body, "what was read is not written back as it was");
    }
}

/// Bytes into a live party at any stage of its session, then the honest rest: the right answer or a named culprit.
///
/// The first byte chooses the job, the second the stage, the rest is the body that arrives then.
pub fn receive(data: &[u8]) {
    let [job, stage, body @ ..] = data else { return };
    let mut world = World::new(*job);
    let mut taken = 0;
    while world.step() {
        if let Some(frame) = world.to[0].front_mut() {
            if taken == *stage {
                frame.body = Bytes::copy_from_slice(body);
                world.touched[0] = true;
            }
            taken = taken.saturating_add(1);
        }
        world.deliver(0);
        world.deliver(1);
    }
    world.finish();
}

/// A list of deliveries, losses and changes on both links, one byte each: the three legal endings hold.
pub fn ops(data: &[u8]) {
    let [job, ops @ ..] = data else { return };
    let mut world = World::new(*job);
    let mut ops = ops.iter().copied();
    while let Some(op) = ops.next() {
        world.step();
        let link = usize::from(op & 1);
        let queue = &mut world.to[link];
        let before = queue.clone();
        match op >> 1 & 7 {
            0..=2 => {
                world.deliver(link);
                continue;
            }
            3 => {
                queue.pop_front();
            }
            4 => {
                if let Some(frame) = queue.front().cloned() {
                    queue.push_front(frame);
                }
            }
            5 => {
                if queue.len() > 1 {
                    queue.swap(0, 1);
                }
            }
            6 => {
                let (place, change) = (ops.next().unwrap_or(0), ops.next().unwrap_or(1));
                if let Some(frame) = queue.front_mut().filter(|frame| !frame.body.is_empty()) {
                    let mut body = frame.body.to_vec();
                    let place = usize::from(place) % body.len();
                    body[place] ^= change;
                    frame.body = body.into();
                }
            }
            _ => {
                let number = u64::from(ops.next().unwrap_or(0));
                if let Some(frame) = queue.front_mut() {
                    if number & 1 == 0 {
                        frame.sequence ^= number >> 1;
                    } else {
                        frame.session.0[0] ^= (number >> 1) as u8;
                    }
                }
            }
        }
        world.touched[link] |= world.to[link] != before;
    }
    while world.step() {
        world.deliver(0);
        world.deliver(1);
    }
    world.finish();
}

/// Two parties and the links between them; the party and the link at index 0 are of `a`.
struct World {
    terms: PsiTerms,
    items: [Items; 2],
    parties: [PsiParty; 2],
    /// Frames on their way to each party.
    to: [VecDeque<Frame>; 2],
    /// Whether a link to a party delivered anything but what was sent.
    touched: [bool; 2],
    endings: [Option<Result<PsiOutcome, Fault>>; 2],
}

/// Frames in flight towards one party.
const CREDIT: usize = 3;

fn ids() -> [PartyId; 2] {
    ["a", "b"].map(|name| name.parse().expect("a fixed, valid name"))
}

impl World {
    fn new(choice: u8) -> Self {
        let [a, b] = ids();
        let (flow, receivers): (_, &[PartyId]) = match choice % 5 {
            0 => (Flow::Intersect, &[a]),
            1 => (Flow::Intersect, &[b]),
            2 => (Flow::Intersect, &[a, b]),
            3 => (Flow::Align, &[a, b]),
            _ => (Flow::Cardinality, &[a, b]),
        };
        let lists: [&[&str]; 2] = [&["ada", "bob", "cy"], &["dan", "cy", "ada", "eve", "fay"]];
        let member = |id, list: &[&str]| {
            let member = Member::new(id, list.len() as u64);
            if choice & 0x80 == 0 { member } else { member.padded(6) }
        };
        let terms = PsiTerms::new(flow, [member(a, lists[0]), member(b, lists[1])], receivers, &["raw"], "fuzz")
            .and_then(|terms| terms.with_chunk(2))
            .expect("fixed, valid terms");
        let items = || lists.map(|list| list.iter().collect::<Items>());
        let party = |id, items, seed| {
            PsiParty::new(terms.clone(), id, "all", items, Seed::from_bytes([seed; 32]), None).expect("a valid input")
        };
        let [first, second] = items();
        Self {
            parties: [party(a, first, 1), party(b, second, 2)],
            items: items(),
            terms,
            to: [VecDeque::new(), VecDeque::new()],
            touched: [false; 2],
            endings: [None, None],
        }
    }

    /// Stores checkpoints, lets both send within their credit and collects answers. Returns whether frames are left.
    fn step(&mut self) -> bool {
        let ids = ids();
        for me in 0..2 {
            let party = &mut self.parties[me];
            if party.poll_checkpoint().is_some() {
                party.stored();
            }
            while self.to[1 - me].len() < CREDIT
                && let Some(frame) = party.poll_send(ids[1 - me])
            {
                assert!(frame.body.len() <= Frame::MAX_BODY);
                self.to[1 - me].push_back(frame);
            }
            if let Some(outcome) = party.output() {
                assert!(self.endings[me].is_none(), "a party that has ended gave an answer");
                self.endings[me] = Some(Ok(outcome));
            }
        }
        self.to.iter().any(|queue| !queue.is_empty())
    }

    fn deliver(&mut self, me: usize) {
        if let Some(frame) = self.to[me].pop_front()
            && let Err(fault) = self.parties[me].receive(ids()[1 - me], frame)
            && !matches!(self.endings[me], Some(Err(_)))
        {
            self.endings[me] = Some(Err(fault));
        }
    }

    /// Gives both links up and checks both endings.
    fn finish(mut self) {
        let ids = ids();
        self.step();
        for me in 0..2 {
            let (own, peers) = (&self.items[me], &self.items[1 - me]);
            match &self.endings[me] {
                Some(Ok(found)) => {
                    let ideal = ideal::outcome(&self.terms, ids[me], own, peers);
                    assert!(ideal::same_answer(found, &ideal), "{found:?} is not {ideal:?}");
                }
                Some(Err(fault)) => {
                    assert!(self.touched[me], "an honest peer on a clean link is blamed: {fault}");
                    assert_eq!(fault.culprit(), Some(ids[1 - me]), "{fault}");
                    assert!(self.parties[me].poll_send(ids[1 - me]).is_none());
                }
                None => {
                    let stall = self.parties[me].lost(ids[1 - me]).expect_err("without an ending it must stall");
                    assert_eq!(stall.who, ids[1 - me]);
                }
            }
        }
        // Where both gave aligned rows, they gave one order.
        if let [Some(Ok(a)), Some(Ok(b))] = &self.endings
            && let (PsiAnswer::Aligned(a), PsiAnswer::Aligned(b)) = (&a.answer, &b.answer)
        {
            assert!(ideal::same_order((&self.items[0], a), (&self.items[1], b)));
        }
    }
}
