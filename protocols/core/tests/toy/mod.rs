//! A toy protocol of any number of parties: a star adds up one number of each.
//!
//! Every member sends its number to the hub. The hub keeps each in a slot of its own, keeps the sum before it is out, and
//! sends the sum with the names of those it stands for to everybody. A tolerant sum leaves out whoever is lost; a strict
//! one cannot. There are two forms, a script and a state machine by hand, with the same messages; and mistakes that a
//! protocol might make, which the simulator has to find.
#![allow(dead_code, unreachable_pub)]

mod by_hand;
mod scripted;

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};
use tacitly_core::simulate::{Network, Report};
use tacitly_core::{Checkpoint, Party, PartyId, Roles, SessionTag, Terms};

/// What a member sends the second time is not what it sent the first time.
pub const CHANGED: &str = "number-changed";

/// The slot of the sum; each member's number has a slot of the member's name.
const SUM_SLOT: &str = "the sum";

/// How a toy is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    ByHand,
    Script,
}

pub const FORMS: [Form; 2] = [Form::ByHand, Form::Script];

/// What is wrong with a toy. The names say what the hub or a member does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    Nothing,
    CountsTheLostAsZero,
    ReleasesBeforeItIsDurable,
    WaitsForTheLost,
    BlamesTheLost,
    StallsForTheWrongOne,
}

/// What everybody learns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sum {
    pub total: u64,
    pub of: BTreeSet<PartyId>,
}

#[derive(Clone, Debug)]
pub struct Job {
    pub form: Form,
    pub parties: u64,
    pub tolerant: bool,
    pub mistake: Mistake,
    pub label: &'static str,
}

impl Job {
    pub fn new(form: Form, parties: u64, tolerant: bool) -> Self {
        Self { form, parties, tolerant, mistake: Mistake::Nothing, label: "all" }
    }

    pub fn ids(&self) -> Vec<PartyId> {
        (0..self.parties).map(id).collect()
    }

    pub fn network(&self) -> Network<Sum> {
        let job = self.clone();
        Network::built(self.ids(), 3, move |birth| Ok(job.party(birth.who, birth.attempt, birth.kept))).star(id(0))
    }

    pub fn party(&self, me: PartyId, attempt: u32, kept: &[Checkpoint]) -> Box<dyn Party<Output = Sum>> {
        let hub = id(0);
        let terms = Terms::new().with("protocol", "toy.sum").with("parties", self.parties);
        let session = SessionTag::of(&terms.hash(), &format!("{}, attempt {attempt}", self.label));
        let peers = if me == hub { self.ids() } else { vec![hub] };
        let kept = kept.iter().map(|checkpoint| (checkpoint.slot.clone(), checkpoint.bytes.clone())).collect();
        let seat = Seat { session, me, peers, number: number(me), kept, job: self.clone() };
        match self.form {
            Form::Script => Box::new(scripted::party(seat)),
            Form::ByHand => Box::new(by_hand::SumParty::new(seat)),
        }
    }

    /// Whether this is the sum of whom it names, and names all if none may be left out.
    pub fn is_right(&self, who: PartyId, sum: &Sum) -> bool {
        let all = self.ids();
        let whole = self.tolerant || sum.of.len() == all.len();
        let own = who != id(0) || sum.of.contains(&who);
        whole
            && own
            && sum.of.iter().all(|id| all.contains(id))
            && sum.total == sum.of.iter().map(|id| number(*id)).sum::<u64>()
    }

    /// What a run must never leave behind, in words.
    pub fn complaint(&self, report: &Report<Sum>) -> Option<String> {
        let illegal = report.check(|who, sum| self.is_right(who, sum)).err().map(|illegal| illegal.to_string());
        let answers: Vec<&Sum> = report.answers().map(|(_, sum)| sum).collect();
        let differ = answers.windows(2).find(|pair| pair[0] != pair[1]);
        illegal.or(differ.map(|pair| format!("two results: {:?} and {:?}", pair[0], pair[1])))
    }
}

/// What one party of the toy begins with.
pub struct Seat {
    session: SessionTag,
    me: PartyId,
    peers: Vec<PartyId>,
    number: u64,
    kept: BTreeMap<String, Vec<u8>>,
    job: Job,
}

impl Seat {
    fn roles(&self) -> Roles {
        Roles::new(self.session, self.me, self.peers.iter().copied())
    }

    /// The members, without the hub itself.
    fn members(&self) -> Vec<PartyId> {
        self.peers.iter().copied().filter(|peer| *peer != self.me).collect()
    }
}

pub fn id(number: u64) -> PartyId {
    format!("p{number}").parse().unwrap()
}

/// The number of a party: no two subsets of the first 40 parties have the same sum.
pub fn number(id: PartyId) -> u64 {
    1 << id.as_str()[1..].parse::<u32>().unwrap()
}

fn sealed(content: &[u8]) -> Vec<u8> {
    [&Sha256::digest(content)[..8], content].concat()
}

fn opened(body: &[u8]) -> Option<&[u8]> {
    let (digest, content) = body.split_at_checked(8)?;
    (Sha256::digest(content)[..8] == *digest).then_some(content)
}

pub fn write_number(number: u64) -> Vec<u8> {
    sealed(&number.to_be_bytes())
}

fn read_number(body: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(opened(body)?.try_into().ok()?))
}

fn write_sum(sum: &Sum) -> Vec<u8> {
    let names: Vec<&str> = sum.of.iter().map(PartyId::as_str).collect();
    sealed(&[&sum.total.to_be_bytes()[..], names.join(" ").as_bytes()].concat())
}

fn read_sum(body: &[u8]) -> Option<Sum> {
    let (total, names) = opened(body)?.split_first_chunk()?;
    let of = std::str::from_utf8(names).ok()?.split(' ').map(|name| name.parse().ok()).collect::<Option<_>>()?;
    Some(Sum { total: u64::from_be_bytes(*total), of })
}
