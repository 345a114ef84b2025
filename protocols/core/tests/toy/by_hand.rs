//! The sum as a state machine. It makes none of the mistakes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;

use tacitly_core::{Channel, Checkpoint, Fault, Frame, Misuse, Party, PartyId, Progress, Stall, Violation, code};

use super::{CHANGED, SUM_SLOT, Seat, Sum, id, read_number, read_sum, write_number, write_sum};

pub(super) struct SumParty {
    seat: Seat,
    channels: BTreeMap<PartyId, Channel>,
    out: BTreeMap<PartyId, Vec<u8>>,
    lost: BTreeSet<PartyId>,
    to_store: VecDeque<Checkpoint>,
    storing: Option<String>,
    state: State,
    answer: Option<Sum>,
}

enum State {
    Gathering(BTreeMap<PartyId, u64>),
    Storing(Sum),
    AwaitSum,
    Done,
    Over,
}

impl SumParty {
    pub(super) fn new(seat: Seat) -> Self {
        let peers = seat.members();
        let is_hub = seat.me == id(0);
        let mut party = Self {
            channels: peers.iter().map(|peer| (*peer, Channel::new(seat.session))).collect(),
            out: BTreeMap::new(),
            lost: BTreeSet::new(),
            to_store: VecDeque::new(),
            storing: None,
            state: if is_hub { State::Gathering(BTreeMap::new()) } else { State::AwaitSum },
            answer: None,
            seat,
        };
        if !is_hub {
            party.out.insert(id(0), write_number(party.seat.number));
        }
        party
    }

    fn round(&self) -> u32 {
        if matches!(self.state, State::Gathering(_)) { 1 } else { 2 }
    }

    fn take(&mut self, from: PartyId, frame: Frame) -> Result<(), Fault> {
        let (round, blame) = (self.round(), Fault::of(from));
        let refuse = |code| blame(Violation { code, round, index: None });
        let channel = self.channels.get_mut(&from).ok_or_else(|| refuse(code::NOT_A_PARTY))?;
        let body = channel.unpack(frame, round).map_err(&blame)?;
        match &mut self.state {
            State::Gathering(numbers) if !numbers.contains_key(&from) => {
                let number = read_number(&body).ok_or_else(|| refuse(code::MALFORMED))?;
                match self.seat.kept.get(from.as_str()) {
                    Some(earlier) if *earlier != *body => return Err(refuse(CHANGED)),
                    Some(_) => {}
                    None => self.to_store.push_back(Checkpoint::new(from.as_str(), body.to_vec())),
                }
                numbers.insert(from, number);
                self.add_up();
            }
            State::AwaitSum => {
                self.answer = Some(read_sum(&body).ok_or_else(|| refuse(code::MALFORMED))?);
                self.state = State::Done;
            }
            _ => return Err(refuse(code::UNEXPECTED)),
        }
        Ok(())
    }

    /// The sum, once everybody has sent a number or is lost.
    fn add_up(&mut self) {
        let State::Gathering(numbers) = &self.state else { return };
        if !self.channels.keys().all(|member| numbers.contains_key(member) || self.lost.contains(member)) {
            return;
        }
        let mut counted = numbers.clone();
        counted.insert(self.seat.me, self.seat.number);
        for member in &self.lost {
            if let Some(number) = self.seat.kept.get(member.as_str()).and_then(|bytes| read_number(bytes)) {
                counted.entry(*member).or_insert(number);
            }
        }
        let kept = self.seat.kept.get(SUM_SLOT).and_then(|bytes| read_sum(bytes));
        let sum = kept.unwrap_or_else(|| Sum { total: counted.values().sum(), of: counted.into_keys().collect() });
        self.to_store.push_back(Checkpoint::new(SUM_SLOT, write_sum(&sum)));
        self.state = State::Storing(sum);
    }
}

impl Party for SumParty {
    type Output = Sum;

    fn poll_send(&mut self, to: PartyId) -> Option<Frame> {
        let body = self.out.remove(&to)?;
        Some(self.channels.get_mut(&to)?.pack(body))
    }

    fn receive(&mut self, from: PartyId, frame: Frame) -> Result<(), Fault> {
        if matches!(self.state, State::Over) {
            return Err(Misuse::Over.into());
        }
        self.take(from, frame).inspect_err(|_| {
            self.state = State::Over;
            self.out.clear();
            self.to_store.clear();
        })
    }

    fn lost(&mut self, who: PartyId) -> Result<(), Stall> {
        let needs = match &self.state {
            State::Gathering(numbers) => !self.seat.job.tolerant && !numbers.contains_key(&who),
            State::AwaitSum => true,
            State::Storing(_) | State::Done | State::Over => false,
        };
        if needs && self.channels.contains_key(&who) {
            let stage = self.progress().stage;
            self.state = State::Over;
            return Err(Stall { who, stage });
        }
        self.out.remove(&who);
        self.lost.insert(who);
        self.add_up();
        Ok(())
    }

    fn poll_checkpoint(&mut self) -> Option<Checkpoint> {
        let checkpoint = if self.storing.is_none() { self.to_store.pop_front() } else { None };
        self.storing = checkpoint.as_ref().map(|checkpoint| checkpoint.slot.clone()).or(self.storing.take());
        checkpoint
    }

    fn stored(&mut self) {
        if self.storing.take().as_deref() != Some(SUM_SLOT) {
            return;
        }
        if let State::Storing(sum) = mem::replace(&mut self.state, State::Done) {
            let present = self.channels.keys().filter(|member| !self.lost.contains(member));
            self.out = present.map(|member| (*member, write_sum(&sum))).collect();
            self.answer = Some(sum);
        }
    }

    fn progress(&self) -> Progress {
        let stage = match &self.state {
            State::Gathering(_) => "gathering",
            State::Storing(_) => "storing the sum",
            State::AwaitSum => "awaiting the sum",
            State::Done => "done",
            State::Over => "over",
        };
        Progress { stage, done: 0, total: 0 }
    }

    fn output(&mut self) -> Option<Sum> {
        self.answer.take()
    }
}
