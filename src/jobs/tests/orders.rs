//! Two hundred seeded orders of events with the rows on real stores: a crash between any two effects, and the store is
//! opened again.

use std::collections::BTreeMap;
use std::sync::Arc;

use tacitly_attestation::entry::{Body, ResultStatus, SignedEntry};
use tacitly_core::PartyId;
use tokio::runtime::Runtime;

use super::super::consent::ledger;
use super::super::ends::Ends;
use super::super::machine::tests::live;
use super::super::machine::tests::weather;
use super::super::machine::tests::world::{Rows, Weather, World};
use super::super::machine::{self, Effect, Job, Ledger, Member, Quorum};
use super::super::part::Summary;
use super::super::running::Machine;
use super::super::state::State;
use super::super::terms::JobTerms;
use super::office::{Office, Town, Toy};
use crate::store::{Decision, EventFilter};

/// The parties of one world, on their stores.
struct Stores {
    town: Town,
    terms: JobTerms,
    quorum: Quorum,
    serves: bool,
    offices: BTreeMap<PartyId, Office>,
    machines: BTreeMap<PartyId, Machine>,
    runtime: Arc<Runtime>,
}

impl Stores {
    fn of(first: &Ledger, runtime: Arc<Runtime>) -> Self {
        let names: Vec<PartyId> = first.parties.keys().copied().collect();
        let town = Town::of(&names);
        let receivers = first.parties.iter().filter(|(_, member)| member.receives).map(|(name, _)| *name).collect();
        let terms = town.terms(first.leader, &receivers);
        let open = |name: &PartyId| (*name, runtime.block_on(town.open(*name, Toy::reading())));
        let offices = names.iter().map(open).collect();
        Self { town, terms, quorum: first.quorum, serves: first.serves, offices, machines: BTreeMap::new(), runtime }
    }

    /// The one exact result of a party.
    fn result(&self, party: PartyId) -> Vec<u8> {
        format!("what {party} learns of {}", self.terms.job).into_bytes()
    }
}

impl Rows for Stores {
    fn create(&mut self, ledger: &Ledger) {
        let office = &self.offices[&ledger.me];
        let signed = |(party, member): (&PartyId, &Member)| match &member.decision {
            machine::Decision::Signed(consent) => Some((*party, Decision::Signed(consent.clone()))),
            machine::Decision::Open | machine::Decision::Refused => None,
        };
        let signed = ledger.parties.iter().filter_map(signed).collect();
        let row = self.runtime.block_on(office.note(&self.terms, ledger.state, &signed));
        self.machines.insert(ledger.me, Machine::of(row, Job::of(ledger.clone())));
    }

    fn commit(&mut self, after: &Job, effects: &[Effect]) {
        let me = after.ledger.me;
        let machine = self.machines.get_mut(&me).unwrap();
        self.runtime.block_on(self.offices[&me].shell.commit(machine, after, effects)).unwrap();
    }

    fn compute(&mut self, ledger: &Ledger, whole: bool) {
        let core = self.offices[&ledger.me].core.clone();
        let result = self.result(ledger.me);
        self.runtime.block_on(async {
            // Nobody computes before everybody has put the agreement on record.
            for party in self.machines.keys() {
                self.offices[party].agree(&self.terms).await;
            }
            let receives = ledger.parties[&ledger.me].receives;
            if receives {
                core.store.secrets().put_result_part(self.terms.job, 0, &result).await.unwrap();
            }
            if whole {
                let summary = Summary { parts: u32::from(receives), items: 1, ..Default::default() };
                let bytes = serde_json::to_vec(&summary).unwrap();
                core.store.secrets().put_checkpoint(self.terms.job, "summary", &bytes).await.unwrap();
                Ends(&core).record_done(&self.machines[&ledger.me].row).await.unwrap();
            }
        });
    }

    fn reopen(&mut self, party: PartyId) -> Option<Ledger> {
        self.machines.remove(&party);
        let office = self.offices.remove(&party).unwrap();
        let office = self.runtime.block_on(async {
            office.crash().await;
            self.town.open(party, Toy::reading()).await
        });
        let row = self.runtime.block_on(office.core.store.jobs().get(self.terms.job)).ok();
        let kept = row.as_ref().map(|row| ledger(row, party, (self.quorum, self.serves)).unwrap());
        if let (Some(row), Some(kept)) = (row, &kept) {
            self.machines.insert(party, Machine::of(row, Job::of(kept.clone())));
        }
        self.offices.insert(party, office);
        kept
    }

    fn judge(&self, party: PartyId) {
        self.runtime.block_on(async {
            let core = &self.offices[&party].core;
            let row = core.store.jobs().get(self.terms.job).await.unwrap();
            let state: State = row.state.parse().unwrap();
            assert!(state.is_over(), "{party} is {state}");
            let received = state == State::Done && row.party(party).unwrap().receives;
            let result = core.store.secrets().result(row.id).await.unwrap();
            assert_eq!(result.map(|bytes| bytes.to_vec()), received.then(|| self.result(party)), "{party} is {state}");
            assert_eq!(row.failure.is_none(), state == State::Done, "{party} does not say why it is {state}");
            // The secrets of the job are gone, and it was ended once.
            assert!(
                core.store.secrets().checkpoint_labels(row.id).await.unwrap().is_empty(),
                "{party} keeps checkpoints"
            );
            let filter = EventFilter { job: Some(row.id), ..EventFilter::default() };
            let events = core.store.events().list(&filter).await.unwrap();
            let ends = events
                .iter()
                .filter(|event| event.detail["to"] == state.name() && event.detail["from"] != state.name());
            assert_eq!(ends.count(), 1, "{party} ended more than once");
            // What was released is what is on record, once.
            let log = core.recorder.log();
            let entries = (0..log.head().size).map(|at| SignedEntry::parse(&log.entry(at).unwrap()).unwrap());
            if state != State::Done {
                return;
            }
            let done = entries.filter(|entry| match entry.entry().body() {
                Body::Result(result) => result.status == ResultStatus::Done && result.output.is_some() == received,
                _ => false,
            });
            assert_eq!(done.count(), 1, "{party}: what was released is on record");
        });
    }
}

/// Lives through orders of events on real stores; returns how many jobs ended well everywhere.
fn orders(kind: Weather, seeds: std::ops::Range<u64>) -> usize {
    let runtime = Arc::new(tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap());
    let mut well = 0;
    for seed in seeds {
        let stores = |first: &Ledger| Some(Box::new(Stores::of(first, runtime.clone())) as Box<dyn Rows>);
        let world = live(World::with_rows(kind, seed, stores), seed);
        well += usize::from(world.all.values().all(|process| process.state() == Some(State::Done)));
    }
    well
}

#[test]
fn in_two_hundred_orders_on_real_stores_a_job_ends_once_with_one_exact_result_or_says_why() {
    let crashing = |parties, receivers| Weather { crashes: 5, ..weather(parties, Quorum::All, receivers) };
    assert_eq!(orders(crashing(2, 2), 0..60), 60);
    assert_eq!(orders(crashing(7, 3), 60..100), 40);
    let ended = orders(Weather { endings: 4, ..crashing(2, 1) }, 100..160);
    let ended_of_seven = orders(Weather { endings: 4, ..crashing(7, 7) }, 160..200);
    assert!((1..60).contains(&ended) && ended_of_seven < 40, "{ended} and {ended_of_seven} orders ended well");
}
