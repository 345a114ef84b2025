//! A party by itself: its store, log and keys are real, and so is its network, on which nobody else is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tacitly_attestation::entry::{AgreementEntry, Attendance, Code, Count, Digest, Id, Participant};
use tacitly_attestation::hash::Hash;
use tacitly_attestation::note::KeyUse;
use tacitly_core::{PartyId, Seed};
use tempfile::TempDir;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::super::consent::{CONSENT_CONTEXT, Signatures, consented};
use super::super::core::{Core, Settings, about_job};
use super::super::kind::{JobKind, Kinds, Learned, Offers, Prepared, Protocol, Shape};
use super::super::machine::{Event, Finish, Message, Quorum, Standing, Task as Side};
use super::super::part::{MakeParty, Stop, Summary};
use super::super::places::Places;
use super::super::reserve::Reserve;
use super::super::run::Run;
use super::super::running::RunningJobs;
use super::super::shell::Shell;
use super::super::state::State;
use super::super::terms::{JobTerms, PartyTerms};
use crate::attest::Recorder;
use crate::attest::queries::Queries;
use crate::chain::{Log, NoteKey};
use crate::codes::Error;
use crate::datasets::{Datasets, Names};
use crate::peers::{Directory, Inbox, Peers};
use crate::relay::Relay;
use crate::session::Network;
use crate::store::{
    Consent, Decision, FileSigner, Job, JobId, JobParty, NewJob, NewPeer, NoteSigner, Sealer, SealingKey, Signer,
    Store, StoreError,
};
use crate::transport::{Grpc, MemoryHub, PeerDirectory, Pending, Roster, TlsIdentity};

/// Jobs that compute at the same time.
pub(super) const PLACES: usize = 2;

/// A party whose daemon runs.
pub(super) struct Office {
    pub(super) core: Arc<Core>,
    pub(super) shell: Shell,
}

/// The parties of a test, each with its folder and its key.
pub(super) struct Town {
    pub(super) folder: TempDir,
    pub(super) keys: BTreeMap<PartyId, Arc<dyn Signer>>,
}

pub(super) fn id(name: &str) -> PartyId {
    name.parse().unwrap()
}

impl Town {
    pub(super) fn of(names: &[PartyId]) -> Self {
        // What is written counts, and not that it outlives the machine: in memory, where there is such a folder.
        let in_memory = tempfile::tempdir_in("/dev/shm");
        let folder = in_memory.or_else(|_| tempfile::tempdir()).unwrap();
        let key = |name: &PartyId| -> Arc<dyn Signer> {
            let home = folder.path().join(name.as_str());
            std::fs::create_dir(&home).unwrap();
            Arc::new(FileSigner::create(&home.join("identity.pem")).unwrap())
        };
        let keys = names.iter().map(|name| (*name, key(name))).collect();
        Self { folder, keys }
    }

    pub(super) fn home(&self, party: PartyId) -> PathBuf {
        self.folder.path().join(party.as_str())
    }

    /// The store in a party's folder, in which all others are its peers.
    pub(super) async fn store(&self, me: PartyId) -> Arc<Store> {
        let path = self.home(me).join("party.db");
        let store = Store::open(&path, Sealer::new(SealingKey::from_bytes([1; 32]))).await.unwrap();
        for (party, key) in self.keys.iter().filter(|(party, _)| **party != me) {
            let peer = NewPeer { id: *party, address: None, signing_key: key.public_key(), pins: Vec::new() };
            match store.peers().add(peer, "operator").await {
                Ok(_) | Err(StoreError::AlreadyExists { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        Arc::new(store)
    }

    /// The attestation log in a party's folder.
    pub(super) fn log(&self, me: PartyId) -> Log {
        let note = NoteSigner(self.keys[&me].clone());
        let public = *self.keys[&me].public_key().as_bytes();
        let key = NoteKey::new(&format!("tacitly/{me}"), KeyUse::Text, &public, note).unwrap();
        Log::open(&self.home(me).join("log"), key).unwrap()
    }

    /// Starts a party's daemon over what stands in its folder.
    pub(super) async fn open(&self, me: PartyId, kind: Arc<dyn JobKind>) -> Office {
        let (store, signer) = (self.store(me).await, self.keys[&me].clone());
        let recorder = Arc::new(Recorder::new(me, signer.clone(), store.clone(), self.log(me)));
        let reserve = Reserve::new(store.clone());
        let (events, steps) = unbounded_channel();
        let known = Arc::new(peers(me, &store, signer.clone()).await);
        let relay = Relay::new(me, signer.clone(), known.clone(), crate::transport::Settings::default());
        let core = Arc::new(Core {
            settings: Settings {
                me,
                jobs_per_peer: 10,
                proposals_per_hour: 100,
                running_jobs: PLACES,
                deadline: Duration::from_secs(600),
                idle: Duration::from_secs(600),
            },
            store: store.clone(),
            signer: signer.clone(),
            recorder: recorder.clone(),
            peers: known,
            relay: Arc::new(relay),
            datasets: Arc::new(Datasets::new(store.clone(), recorder.clone(), Names::default(), 1 << 20, 1 << 20)),
            running: RunningJobs::default(),
            reserve,
            queries: Arc::new(Queries::new(store, recorder)),
            places: Places::new(PLACES),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            events,
            closing_entries: tokio::sync::Mutex::default(),
        });
        let shell = Shell::start(core.clone(), Kinds::new([kind]), steps);
        Office { core, shell }
    }

    /// Terms of a job that nobody brings data to.
    pub(super) fn terms(&self, leader: PartyId, receivers: &BTreeSet<PartyId>) -> JobTerms {
        let party = |(party, key): (&PartyId, &Arc<dyn Signer>)| {
            let (role, receives) = ("party".to_owned(), receivers.contains(party));
            (*party, PartyTerms { role, key: key.public_key(), dataset: None, receives })
        };
        JobTerms {
            job: JobId::fresh(),
            kind: Toy::NAME.to_owned(),
            leader,
            parties: self.keys.iter().map(party).collect(),
            params: tacitly_core::Terms::new(),
            purpose: String::new(),
            nonce: [7; 16],
            expires: None,
        }
    }

    /// A party's signature under terms.
    pub(super) fn consent(&self, party: PartyId, terms: &JobTerms) -> Box<Consent> {
        let words = consented(terms.job, terms.to_terms().hash(), &[]);
        let signature = self.keys[&party].sign(CONSENT_CONTEXT, &words).unwrap();
        Box::new(Consent { contribution: Vec::new(), signature })
    }

    /// All parties have signed.
    pub(super) fn all_signed(&self, terms: &JobTerms) -> BTreeMap<PartyId, Decision> {
        terms.parties.keys().map(|party| (*party, Decision::Signed(self.consent(*party, terms)))).collect()
    }
}

async fn peers(me: PartyId, store: &Arc<Store>, signer: Arc<dyn Signer>) -> Peers {
    let directory = Arc::new(Directory::new(me, store.clone(), signer.clone()).await.unwrap());
    let identity = TlsIdentity::generate(me, Timestamp::UNIX_EPOCH, Timestamp::now()).unwrap();
    let known: Arc<dyn PeerDirectory> = directory.clone();
    let (transport, settings) = (Arc::new(MemoryHub::new().join(me)), crate::transport::Settings::default());
    let inbox = Arc::new(Inbox::default());
    let network = Network::start(transport, Arc::new(Roster::new()), inbox, settings.clone()).unwrap();
    let grpc = Grpc::new(identity, known, None, settings);
    Peers::new(store.clone(), network, grpc, directory, signer, None, Duration::from_secs(600))
}

impl Office {
    /// Writes a job down that has come this far. Whoever is not in `decisions` has not decided.
    pub(super) async fn note(&self, terms: &JobTerms, state: State, decisions: &BTreeMap<PartyId, Decision>) -> Job {
        let party = |(party, asked): (&PartyId, &PartyTerms)| JobParty {
            party: *party,
            dataset: None,
            receives: asked.receives,
            decision: decisions.get(party).cloned().unwrap_or(Decision::Open),
            left_out: false,
            receipt: None,
            entry: None,
        };
        let new = NewJob {
            id: terms.job,
            kind: terms.kind.clone(),
            leader: terms.leader,
            parties: terms.parties.iter().map(party).collect(),
            dataset: None,
            state: state.name().to_owned(),
            terms: terms.to_terms(),
            failure: None,
            request_key: None,
            by: "test".to_owned(),
        };
        self.core.store.jobs().create(new).await.unwrap().into_job()
    }

    /// Puts the agreement on record, as an attempt does before it computes.
    pub(super) async fn agree(&self, terms: &JobTerms) {
        let recorder = &self.core.recorder;
        let subject = about_job(terms.job);
        if recorder.recorded(&subject, "agreement").await.unwrap().is_some() {
            return;
        }
        let code = |text: &str| Code::parse(text).unwrap();
        let ours = match terms.dataset_of(self.core.me()) {
            Some(name) => self.core.datasets.attest(name).await.unwrap().map(|recorded| recorded.entry.leaf()),
            None => None,
        };
        let participant = |party: &PartyId| Participant {
            party: *party,
            role: code("party"),
            dataset: ours.filter(|_| *party == self.core.me()),
            contribution: None,
            offer: None,
            learns: vec![code("nothing")],
            attendance: Attendance::Signs,
        };
        let body = AgreementEntry {
            job: Id(terms.job.to_bytes()),
            protocol: code("toy"),
            version: Count::new(1).unwrap(),
            terms: Digest(Hash(terms.to_terms().hash().0)),
            purpose: code("unstated"),
            parties: terms.parties.keys().map(participant).collect(),
            limits: Vec::new(),
            expires: None,
            price: None,
        };
        let entry = recorder.sign_entry(recorder.header(Vec::new()).unwrap(), body).unwrap();
        recorder.record(&subject, entry).await.unwrap();
    }

    /// As leader of two: the other party has room, and begins; by then our attempt computes.
    pub(super) async fn begin(&self, job: JobId, other: PartyId) {
        let says = |state, attempt, task, free, answers| Event::Standing {
            from: other,
            standing: Standing {
                state,
                attempt,
                task,
                free,
                receipts: BTreeMap::new(),
                left_out: BTreeSet::new(),
                failure: None,
            },
            answers: Some(answers),
        };
        let with: BTreeSet<PartyId> = [self.core.me(), other].into();
        self.shell.happen(job, Event::Started).await.unwrap();
        let room = says(State::Approved, 0, Side::None, true, Message::Begin { attempt: 1 });
        self.shell.happen(job, room).await.unwrap();
        self.reaches(job, State::Running).await;
        let begun = says(State::Running, 1, Side::Computing, false, Message::Start { attempt: 1, with });
        assert_eq!(self.shell.happen(job, begun).await.unwrap().task, Side::Computing);
    }

    /// An attempt as its kind sees it.
    pub(super) fn run(&self, job: &Job, attempt: u32) -> Run {
        let work = self.core.running.of(job.id).begin(attempt, Instant::now() + Duration::from_secs(600));
        let with = job.parties.iter().map(|party| party.party).collect();
        let seed = Seed::from_bytes([7; 32]);
        let make_party: MakeParty = Arc::new(|task, input, seed, kept| Toy::reading().party(task, input, seed, kept));
        let attempt = (attempt, with);
        Run::new(self.core.clone(), job.clone(), Quorum::All, attempt, work, (seed, make_party)).unwrap()
    }

    /// Our result is stored, as a kind and its attempt leave it.
    pub(super) async fn keep(&self, job: JobId, result: &[u8]) {
        self.core.store.secrets().put_result_part(job, 0, result).await.unwrap();
        let summary = Summary { parts: 1, items: 1, ..Summary::default() };
        self.core.store.secrets().put_checkpoint(job, "summary", &serde_json::to_vec(&summary).unwrap()).await.unwrap();
    }

    /// Our attempt has come to its end.
    pub(super) async fn finished(&self, job: JobId) -> Event {
        let hash = self.core.store.jobs().get(job).await.unwrap().terms_hash;
        let receipt = Signatures(&self.core).receipt(hash).unwrap();
        Event::Finished { attempt: 1, how: Finish::Computed(Some(receipt)), quick: false }
    }

    pub(super) async fn state(&self, job: JobId) -> State {
        self.core.store.jobs().get(job).await.unwrap().state.parse().unwrap()
    }

    /// Waits until the job is in this state.
    pub(super) async fn reaches(&self, job: JobId, state: State) {
        let mut changes = self.core.running.changes();
        let reached = async {
            while self.state(job).await != state {
                changes.changed().await.unwrap();
            }
        };
        let reached = tokio::time::timeout(Duration::from_secs(60), reached).await;
        assert!(reached.is_ok(), "{job} is not {state} but {}", self.state(job).await);
    }

    /// The process is gone, before its attempts have begun. Its files can be opened again.
    pub(super) async fn crash(self) {
        self.core.closing.cancel();
        self.core.peers.network().shutdown(Duration::ZERO).await;
    }
}

/// A kind of job whose attempts read for ever, or end as soon as they have begun.
pub(super) struct Toy {
    ends_at_once: bool,
}

impl Toy {
    pub(super) const NAME: &'static str = "toy";

    pub(super) fn reading() -> Arc<Self> {
        Arc::new(Self { ends_at_once: false })
    }

    pub(super) fn in_vain() -> Arc<Self> {
        Arc::new(Self { ends_at_once: true })
    }
}

impl JobKind for Toy {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn protocol(&self) -> Protocol {
        Protocol { code: "toy", version: 1 }
    }

    fn shape(&self) -> Shape {
        Shape::Document
    }

    fn check(&self, _: &JobTerms) -> Result<(), Error> {
        Ok(())
    }

    fn learns(&self, _: &JobTerms, _: Option<&Offers>, _: PartyId) -> Vec<Learned> {
        vec![Learned { code: "nothing", sentence: "nothing".to_owned() }]
    }

    fn prepare(self: Arc<Self>, _: Run) -> Pending<'static, Result<Box<dyn Prepared>, Stop>> {
        Box::pin(async move { if self.ends_at_once { Err(Stop::Restarted) } else { std::future::pending().await } })
    }
}
