//! Jobs of two parties, `bank` and `shop`, for all tests of this crate.
#![allow(dead_code, missing_docs, unreachable_pub)]

use tacitly_core::simulate::{Ending, Network, Report};
use tacitly_core::{Checkpoint, Fault, Frame, Party, PartyId, Seed};
use tacitly_psi::{Flow, Items, Member, PsiAnswer, PsiOutcome, PsiParty, PsiTerms, ideal};

pub fn bank() -> PartyId {
    "bank".parse().unwrap()
}

pub fn shop() -> PartyId {
    "shop".parse().unwrap()
}

pub fn peer_of(id: PartyId) -> PartyId {
    if id == bank() { shop() } else { bank() }
}

/// Sets of both parties by name: empty, one, none in common, half in common, all equal, one inside the other.
pub const SHAPES: [(&str, &[u32], &[u32]); 9] = [
    ("both are empty", &[], &[]),
    ("the bank's is empty", &[], &[1, 2, 3, 4, 5]),
    ("the shop's is empty", &[1, 2, 3, 4, 5], &[]),
    ("one equal item", &[7], &[7]),
    ("one different item", &[7], &[8]),
    ("nothing in common", &[1, 2, 3, 4, 5], &[6, 7, 8, 9]),
    ("half in common", &[1, 2, 3, 4, 5, 6, 7], &[9, 7, 5, 3, 1, 11, 13, 15, 17]),
    ("all equal", &[1, 2, 3, 4, 5, 6], &[6, 5, 4, 3, 2, 1]),
    ("one within the other", &[4], &[1, 2, 3, 4, 5, 6, 7, 8, 9]),
];

/// A job with the sets of both parties.
#[derive(Clone, Debug)]
pub struct Job {
    pub flow: Flow,
    pub receivers: Vec<PartyId>,
    pub banks: Vec<u32>,
    pub shops: Vec<u32>,
    pub padded: Option<u64>,
    pub chunk: u64,
    pub name: String,
    pub label: String,
    pub seed: u8,
}

impl Job {
    pub fn new(flow: Flow, receivers: &[PartyId]) -> Self {
        Self {
            flow,
            receivers: receivers.to_vec(),
            banks: SHAPES[6].1.to_vec(),
            shops: SHAPES[6].2.to_vec(),
            padded: None,
            chunk: 3,
            name: "job-1".to_owned(),
            label: "all".to_owned(),
            seed: 1,
        }
    }

    pub fn all_flows_and_receivers() -> Vec<Self> {
        let (bank, shop) = (bank(), shop());
        vec![
            Self::new(Flow::Intersect, &[bank]),
            Self::new(Flow::Intersect, &[shop]),
            Self::new(Flow::Intersect, &[bank, shop]),
            Self::new(Flow::Align, &[bank, shop]),
            Self::new(Flow::Cardinality, &[bank]),
            Self::new(Flow::Cardinality, &[bank, shop]),
        ]
    }

    pub fn sets(self, banks: &[u32], shops: &[u32]) -> Self {
        Self { banks: banks.to_vec(), shops: shops.to_vec(), ..self }
    }

    pub fn items(&self, id: PartyId) -> Items {
        let numbers = if id == bank() { &self.banks } else { &self.shops };
        numbers.iter().map(|number| format!("person-{number}")).collect()
    }

    pub fn terms(&self) -> PsiTerms {
        let member = |id, numbers: &[u32]| Member { id, items: numbers.len() as u64, padded: self.padded };
        let members = [member(bank(), &self.banks), member(shop(), &self.shops)];
        let terms = PsiTerms::new(self.flow, members, &self.receivers, &["raw"], &self.name).unwrap();
        terms.with_chunk(self.chunk).unwrap()
    }

    pub fn try_party(&self, id: PartyId, resume: Option<Checkpoint>) -> Result<PsiParty, Fault> {
        let seed = Seed::from_bytes([self.seed; 32]).derive(id.as_str());
        PsiParty::new(self.terms(), id, &self.label, self.items(id), seed, resume)
    }

    pub fn party(&self, id: PartyId) -> PsiParty {
        self.try_party(id, None).unwrap()
    }

    pub fn network(&self) -> Network<PsiOutcome> {
        Network::new(vec![boxed(bank(), self.party(bank())), boxed(shop(), self.party(shop()))])
    }

    pub fn schedule(&self) -> Seed {
        Seed::from_bytes([self.seed; 32]).derive("schedule")
    }

    pub fn ideal(&self, id: PartyId) -> PsiOutcome {
        ideal::outcome(&self.terms(), id, &self.items(id), &self.items(peer_of(id)))
    }
}

pub fn boxed(id: PartyId, party: PsiParty) -> (PartyId, Box<dyn Party<Output = PsiOutcome>>) {
    (id, Box::new(party))
}

/// Both ended with the ideal answer and, where rows are aligned, in one order.
pub fn assert_ideal(job: &Job, report: &Report<PsiOutcome>, case: &str) {
    let case = format!("{} for {:?}, {case}", job.flow, job.receivers);
    let [banks, shops] = [bank(), shop()].map(|id| {
        let Ending::Answer(found) = report.ending(id) else {
            panic!("{case}: {id} ended with {:?}", report.ending(id))
        };
        let ideal = job.ideal(id);
        assert!(ideal::same_answer(found, &ideal), "{case}: {found:?} is not {ideal:?}");
        found.answer.clone()
    });
    if let (PsiAnswer::Aligned(banks), PsiAnswer::Aligned(shops)) = (banks, shops) {
        let same = ideal::same_order((&job.items(bank()), &banks), (&job.items(shop()), &shops));
        assert!(same, "{case}: {banks:?} and {shops:?} name other items");
    }
}

/// A party with its peer played by hand: everything it sends until it waits.
pub fn drain(party: &mut PsiParty, to: PartyId) -> Vec<Frame> {
    std::iter::from_fn(|| party.poll_send(to)).collect()
}
