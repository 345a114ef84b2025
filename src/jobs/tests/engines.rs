//! Whole engines that meet in memory: a job of a kind that none of them was made for goes through links, terms, rules,
//! agreement, ledger and log of as many parties as one likes.

#[path = "../../../tests/daemons/toys/kinds.rs"]
mod kinds;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tacitly_attestation::certificate::verify;
use tacitly_attestation::entry::{Body, Code, Count, Kind, LeafHash, StatementValue};
use tacitly_attestation::note::KeyUse;
use tacitly_core::{PartyId, Terms};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_stream::StreamExt as _;

use super::super::core::Settings;
use super::super::engine::{Below, Jobs};
use super::super::kind::{Asked, AskedParty, Kinds};
use super::super::proposals::Submission;
use super::super::rendezvous::RendezvousRequest;
use super::super::state::State;
use super::super::view::JobView;
use super::office::{PLACES, Town, id};
use crate::attest::{Attestation, ProfileSettings, Record, witness_name};
use crate::chain::{NoteKey, Witness};
use crate::codes;
use crate::datasets::{Datasets, Names, NewDataset};
use crate::peers::{Background, Directory, Handler, Inbox, Peers};
use crate::relay::Relay;
use crate::session::Network;
use crate::store::NoteSigner;
use crate::transport::{self, Grpc, MemoryHub, TlsIdentity};

/// The name of everybody's dataset.
const AMOUNTS: &str = "amounts";
/// How long a job may take, on a machine that does something else as well.
const PATIENCE: Duration = Duration::from_mins(3);

/// A party with all its rooms, but for a port and an operator.
struct Member {
    jobs: Arc<Jobs>,
    datasets: Arc<Datasets>,
    /// What answers others; its inbox does not keep it.
    _services: Vec<Arc<dyn Handler>>,
}

impl Member {
    /// Starts a party of a town that is reached through this hub.
    async fn start(town: &Town, hub: &MemoryHub, me: PartyId) -> Self {
        let (store, signer, home) = (town.store(me).await, town.keys[&me].clone(), town.home(me));
        let directory = Arc::new(Directory::new(me, store.clone(), signer.clone()).await.unwrap());
        let (inbox, links) = (Arc::new(Inbox::default()), transport::Settings::default());
        let network = Network::start(Arc::new(hub.join(me)), directory.clone(), inbox.clone(), links.clone()).unwrap();
        let identity = TlsIdentity::generate(me, Timestamp::UNIX_EPOCH, Timestamp::now()).unwrap();
        let grpc = Grpc::new(identity, directory.clone(), None, links.clone());
        let window = links.reconnect_window;
        let peers = Arc::new(Peers::new(store.clone(), network, grpc, directory, signer.clone(), None, window));
        let background = Background::default();
        let relay = Arc::new(Relay::new(me, signer.clone(), peers.clone(), links));
        let note = NoteSigner(signer.clone());
        let key = NoteKey::new(&witness_name(me), KeyUse::Cosignature, signer.public_key().as_bytes(), note).unwrap();
        let record = Record {
            signer: signer.clone(),
            log: town.log(me),
            witness: Witness::open(&home.join("witness"), &home.join("evidence"), key).unwrap(),
            external: Vec::new(),
            mirrors: BTreeSet::new(),
            copies: None,
            profile: ProfileSettings::default(),
        };
        // Its peers do not witness its log: forty times forty cosignatures are another test's matter.
        let attestation = Arc::new(Attestation::new(record, &store, &peers, &background));
        let kinds = Kinds::new(kinds::toys());
        let names = Names { kinds: kinds.names(), limits: kinds.limits() };
        let recorder = attestation.recorder().clone();
        let datasets = Arc::new(Datasets::new(store.clone(), recorder, names, 1 << 20, 1 << 20));
        let settings = Settings {
            me,
            jobs_per_peer: 10,
            proposals_per_hour: 100,
            running_jobs: PLACES,
            deadline: Duration::from_mins(10),
            idle: Duration::from_mins(10),
        };
        let services: Vec<Arc<dyn Handler>> = vec![attestation.clone(), relay.clone()];
        let below = Below { store, signer, attestation, peers, relay, datasets: datasets.clone() };
        let jobs = Arc::new(Jobs::new(settings, below, kinds, &background));
        let services = [services, jobs.handlers().into()].concat();
        inbox.open(services.clone());
        Self { jobs, datasets, _services: services }
    }

    /// The job, once it is done here.
    async fn await_done(&self, job: &str) -> JobView {
        loop {
            match self.jobs.get(job).await {
                Ok(view) if view.state == State::Done => return view,
                Ok(view) => assert!(!view.state.is_over(), "{view:?}"),
                // Nobody has told us of it yet.
                Err(error) => assert_eq!(error.code, codes::JOB_UNKNOWN, "{error}"),
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Our result, a number for each part.
    async fn result(&self, job: &str) -> Vec<i64> {
        let mut pieces = self.jobs.result(job, Vec::new(), "").await.unwrap();
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.next().await {
            bytes.extend_from_slice(&piece.unwrap());
        }
        String::from_utf8(bytes).unwrap().lines().map(|line| line.parse().unwrap()).collect()
    }
}

/// Parties that all know each other and may add up each other's columns.
struct Consortium {
    members: BTreeMap<PartyId, Member>,
    amounts: BTreeMap<PartyId, Vec<i64>>,
    _town: Town,
}

impl Consortium {
    async fn of(count: usize) -> Self {
        let names: Vec<PartyId> = (0..count).map(|at| id(&format!("party-{at}"))).collect();
        let (town, hub) = (Town::of(&names), MemoryHub::new());
        let (mut members, mut amounts) = (BTreeMap::new(), BTreeMap::new());
        for (at, me) in names.iter().enumerate() {
            let member = Member::start(&town, &hub, *me).await;
            let column: Vec<i64> = (0..10).map(|row| (at as i64 + 1) * (row - 3)).collect();
            let rows: Vec<String> = (0..).zip(&column).map(|(row, amount)| format!("id-{row},{amount}\n")).collect();
            let path = town.home(*me).join("amounts.csv");
            std::fs::write(&path, "id,amount\n".to_owned() + &rows.concat()).unwrap();
            let allow = names.iter().filter(|other| *other != me).map(ToString::to_string).collect();
            let keys = vec![("id".to_owned(), "raw".to_owned())];
            let new = NewDataset { name: AMOUNTS.to_owned(), path, keys, allow, ..NewDataset::default() };
            member.datasets.add(new, "operator").await.unwrap();
            members.insert(*me, member);
            amounts.insert(*me, column);
        }
        Self { members, amounts, _town: town }
    }

    /// The sum of all columns, in so many parts.
    fn sums(&self, parts: usize) -> Vec<i64> {
        let of_part = |part| self.amounts.values().flat_map(|column| column.iter().skip(part).step_by(parts)).sum();
        (0..parts).map(of_part).collect()
    }

    /// A sum of so many parts, with the datasets of these.
    fn asked(&self, datasets_of: impl Fn(PartyId) -> bool, parts: u64) -> Asked {
        let party = |me: &PartyId| {
            let dataset = datasets_of(*me).then(|| AMOUNTS.to_owned());
            (*me, AskedParty { role: String::new(), dataset, receives: true })
        };
        Asked { parties: self.members.keys().map(party).collect(), params: Terms::new().with("parts", parts) }
    }

    /// Runs a sum of so many parts that this party leads, to its end at everybody.
    async fn adds(&self, leader: &str, parts: u64) {
        let asked = self.asked(|_| true, parts);
        let submission =
            Submission { kind: "add".to_owned(), asked, purpose: "test".to_owned(), ..Submission::default() };
        let job = self.members[&id(leader)].jobs.submit(submission, "operator").await.unwrap().id;
        self.ends_well(&job, leader, parts).await;
    }

    /// The sum is done and the same wherever somebody looks.
    async fn ends_well(&self, job: &str, leader: &str, parts: u64) {
        let sums = self.sums(parts as usize);
        let summary = serde_json::json!({ "sum": sums.iter().sum::<i64>(), "parties": self.members.len() });
        let mut notes: BTreeSet<LeafHash> = BTreeSet::new();
        for (name, member) in &self.members {
            let done = timeout(PATIENCE, member.await_done(job)).await;
            let Ok(view) = done else { panic!("{name}: {:?}", member.jobs.get(job).await) };
            assert_eq!((view.leader.as_str(), view.result_items), (leader, Some(parts)), "{name}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&view.summary).unwrap(), summary, "{name}");
            assert!(view.parties.iter().all(|party| party.has_result && !party.left_out), "{name}");
            // Members hear of each other's signatures in the agreement.
            assert!(view.parties.iter().all(|party| party.decision == "signed"), "{name}");
            assert_eq!(member.result(job).await, sums, "{name}");
            let explained = member.jobs.explain(job).await.unwrap();
            assert_eq!(explained.matches("the sum of everybody's numbers").count(), self.members.len(), "{explained}");
            // One note, signed by all and the same in everybody's log, and everybody's data in the evidence.
            let verdict = verify(&member.jobs.evidence(job).await.unwrap(), None).unwrap();
            let agreed = verdict.entries.iter().find(|entry| entry.entry.kind() == Kind::Agreement).unwrap();
            assert_eq!((agreed.signed.len(), verdict.gaps().len()), (self.members.len(), 0), "{name}");
            let data = verdict.entries.iter().filter(|entry| entry.entry.kind() == Kind::Dataset);
            assert_eq!(data.count(), self.members.len(), "{name}");
            // And the sum, as this kind of job states it in words of its own.
            let stated = verdict.entries.iter().find(|entry| entry.entry.kind() == Kind::Statement).unwrap();
            let Body::Statement(stated) = stated.entry.body() else { panic!("{stated:?}") };
            let sum: i64 = sums.iter().sum();
            let magnitude = StatementValue::Count(Count::new(sum.unsigned_abs()).unwrap());
            assert_eq!(stated.fields.get(&Code::parse("magnitude").unwrap()), Some(&magnitude), "{name}");
            notes.insert(agreed.leaf);
        }
        assert_eq!(notes.len(), 1, "the same agreement for all");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_three_and_seven_parties_add_their_columns_through_the_engine() {
    for count in [2, 3, 7] {
        let consortium = Consortium::of(count).await;
        consortium.adds("party-0", 1).await;
        // Whoever leads, and in parts.
        consortium.adds("party-1", 3).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_programs_that_ask_for_the_same_sum_meet_and_none_names_the_datasets_of_others() {
    let consortium = Consortium::of(3).await;
    let mut asking = JoinSet::new();
    for (me, member) in &consortium.members {
        let (me, jobs) = (*me, member.jobs.clone());
        let asked = consortium.asked(|party| party == me, 2);
        let (name, kind, wait) = ("monthly".to_owned(), "add".to_owned(), PATIENCE);
        let request = RendezvousRequest { name, kind, asked, purpose: "test".to_owned(), wait };
        asking.spawn(async move { jobs.rendezvous(request).await });
    }
    let jobs: BTreeSet<String> = asking.join_all().await.into_iter().map(|met| met.unwrap().id).collect();
    assert_eq!(jobs.len(), 1, "all are told of one job");
    consortium.ends_well(jobs.first().unwrap(), "party-0", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forty_parties_add_their_columns_through_the_engine() {
    Consortium::of(40).await.adds("party-7", 2).await;
}
