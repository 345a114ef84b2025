//! What a kind of job tells the engine. Everything that only one kind knows stands in its own folder and behind this.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tacitly_core::{Checkpoint, Fault, Misuse, PartyId, Seed, Terms};

use super::machine::Quorum;
use super::part::{Input, PartParty, Stop, Summary, Task};
use super::run::Run;
use super::serving::{Base64, Draft, JsonForm, Questions, ServiceRun, Serving};
use super::terms::JobTerms;
use crate::codes::{self, Error};
use crate::policy::{LimitName, Rule};
use crate::store::Dataset;
use crate::transport::Pending;

/// A kind of job. What it says of terms is a function of the terms, the same at every party.
///
/// What a job costs is a line of [`JobKind::explain`], in the kind's own units, since nothing but a person reads it; what
/// came of a job is [`Summary::figures`], shown by name by every face, so that no kind has to print its own.
pub trait JobKind: Send + Sync + 'static {
    /// Its name in terms, rules, the ledger and the API.
    fn name(&self) -> &'static str;

    /// The protocol that it computes by.
    fn protocol(&self) -> Protocol;

    /// What its result is.
    fn shape(&self) -> Shape;

    /// The limits of a rule that it understands.
    fn limits(&self) -> &'static [LimitName] {
        &[]
    }

    /// Completes what our operator asks of a job that `leader` will lead: roles, parameters that follow from our dataset.
    ///
    /// # Errors
    /// [`codes::BAD_REQUEST`] for a job that cannot be.
    fn complete(&self, asked: Asked, _leader: PartyId, _local: &Local) -> Result<Asked, Error> {
        Ok(asked)
    }

    /// Whether terms make a job of this kind. Every party asks before it signs.
    ///
    /// # Errors
    /// [`codes::BAD_REQUEST`] for roles, datasets or parameters that are none of this kind's.
    fn check(&self, terms: &JobTerms) -> Result<(), Error>;

    /// Whether the terms fit our own data, and what we add to them when we sign: often nothing.
    ///
    /// # Errors
    /// [`codes::TERMS_DIFFER`] or another refusal, in words that the leader may read.
    fn review(&self, _terms: &JobTerms, _local: &Local) -> Result<Vec<u8>, Error> {
        Ok(Vec::new())
    }

    /// Who must sign and begin, and how many may be lost.
    fn quorum(&self, _terms: &JobTerms) -> Quorum {
        Quorum::All
    }

    /// What a party learns: all of it. `offers` are there once every party has made its own.
    fn learns(&self, terms: &JobTerms, offers: Option<&Offers>, who: PartyId) -> Vec<Learned>;

    /// What a person reads before approving beside what everybody learns: a word and a sentence each.
    fn explain(&self, _terms: &JobTerms, _local: &Local) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// The party of one part of an attempt: a function of what it is given, so that whoever computes a part makes the same.
    /// A kind without parts has none.
    ///
    /// # Errors
    /// [`Fault`] for an input or checkpoints that do not fit the task.
    fn party(&self, _task: &Task, _input: Input, _seed: Seed, _kept: Vec<Checkpoint>) -> Result<PartParty, Fault> {
        Err(Misuse::Input("this kind of job has no parts").into())
    }

    /// Reads what an attempt needs.
    fn prepare(self: Arc<Self>, run: Run) -> Pending<'static, Result<Box<dyn Prepared>, Stop>>;

    /// Whether a job of these terms serves where another is done: attempts are its set-up then, after which every party
    /// serves until the job is revoked or its time is over. A set-up has no result. It leaves artefacts and material, which
    /// fit those of the other parties whatever attempts they come from.
    fn serves(&self, _terms: &JobTerms) -> bool {
        false
    }

    /// Begins to serve, at every party, after the set-up and after every start.
    ///
    /// # Errors
    /// [`Stop`]: what may pass is tried again; a service that failed is over.
    fn serve(self: Arc<Self>, _run: ServiceRun) -> Pending<'static, Result<Serving, Stop>> {
        Box::pin(async { Err(Error::internal("a kind of job that serves nothing was to serve").into()) })
    }

    /// The asker's half: puts one caller's questions to whom it chooses, and makes one answer for each of what comes back.
    /// Unless it says otherwise, they go as they are to the only other party.
    ///
    /// # Errors
    /// What [`Questions::put`] says, or why these are no questions.
    fn ask(self: Arc<Self>, run: ServiceRun, questions: Arc<Questions>) -> Pending<'static, Result<Vec<Bytes>, Error>> {
        Box::pin(async move {
            let others: Vec<PartyId> = run.others().into_iter().collect();
            let [to] = others[..] else {
                return Err(Error::new(codes::BAD_REQUEST, "the kind of this job asks nobody by itself"));
            };
            let draft = async || Ok(Draft { questions: questions.all().to_vec(), ..Draft::default() });
            Ok(questions.put(to, draft).await?.answers)
        })
    }

    /// How the questions and answers of a service of these terms stand in JSON; unless it says otherwise, as [`Base64`].
    fn json(&self, _terms: &JobTerms) -> Box<dyn JsonForm> {
        Box::new(Base64)
    }
}

/// One attempt of which our data is read.
pub trait Prepared: Send {
    /// What this party tells all others before anything runs, such as the size of its set. The first attempt's word
    /// stands: a later one that would say something else ends the job.
    fn offer(&self) -> Vec<u8>;

    /// Runs the attempt to its end. What we receive is kept by then.
    fn run(self: Box<Self>, run: Run, offers: Offers) -> Pending<'static, Result<Summary, Stop>>;
}

/// What each party has offered. Parties that the job goes on without are missing.
pub type Offers = BTreeMap<PartyId, Bytes>;

/// A protocol and its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// Its name in agreements.
    pub code: &'static str,
    /// Its version: another one is another protocol.
    pub version: u64,
}

/// What the result of a kind of job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Rows of the receiver's own dataset.
    Rows,
    /// A number, the result's items, and nothing else.
    Number,
    /// Bytes that are handed out as they are.
    Document,
}

impl Shape {
    /// The name that the API gives it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Number => "number",
            Self::Document => "document",
        }
    }
}

/// One thing that a party learns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learned {
    /// A word for agreements: 1 to 64 of `a-z`, `0-9` and `-`.
    pub code: &'static str,
    /// The same in words that follow "learns".
    pub sentence: String,
}

/// What our operator asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Who takes part, we among them.
    pub parties: BTreeMap<PartyId, AskedParty>,
    /// What the kind asks beside that.
    pub params: Terms,
}

/// One party, as our operator names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AskedParty {
    /// As what; empty: the kind decides.
    pub role: String,
    /// Its dataset, if it brings one.
    pub dataset: Option<String>,
    /// Whether it receives a result.
    pub receives: bool,
}

impl AskedParty {
    /// The role that stands in the terms, where every party has one.
    pub(super) fn role_in_terms(&self) -> &str {
        if self.role.is_empty() { "party" } else { &self.role }
    }
}

/// What a party knows by itself when it is asked about terms.
#[derive(Clone, Debug)]
pub struct Local {
    /// This party.
    pub me: PartyId,
    /// The dataset that it brings.
    pub dataset: Option<Dataset>,
    /// Its rules for the other parties and that dataset.
    pub rules: BTreeMap<PartyId, Rule>,
    /// What parties have added to the terms, as far as it knows: its own word and the leader's at the least.
    pub contributions: BTreeMap<PartyId, Vec<u8>>,
}

impl Local {
    /// What a party knows that has no dataset, no rules and no word of anybody.
    #[must_use]
    pub fn of(me: PartyId) -> Self {
        Self { me, dataset: None, rules: BTreeMap::new(), contributions: BTreeMap::new() }
    }
}

/// The kinds of job that this party knows.
#[derive(Clone, Default)]
pub struct Kinds(Vec<Arc<dyn JobKind>>);

impl Kinds {
    /// These kinds, in this order. Of two with one name the first one counts.
    #[must_use]
    pub fn new(kinds: impl IntoIterator<Item = Arc<dyn JobKind>>) -> Self {
        Self(kinds.into_iter().collect())
    }

    /// The kind of this name.
    ///
    /// # Errors
    /// [`codes::BAD_REQUEST`] with the names that there are.
    pub fn find(&self, name: &str) -> Result<&Arc<dyn JobKind>, Error> {
        self.0.iter().find(|kind| kind.name() == name).ok_or_else(|| {
            let names = self.names().join(", ");
            Error::new(codes::BAD_REQUEST, format!("there is no kind of job {name:?}; the kinds are {names}"))
        })
    }

    /// All names.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|kind| kind.name()).collect()
    }

    /// Every limit that a rule may name, once each.
    #[must_use]
    pub fn limits(&self) -> Vec<LimitName> {
        let mut limits: Vec<LimitName> = Vec::new();
        for limit in self.0.iter().flat_map(|kind| kind.limits()) {
            if limits.iter().all(|known| known.name != limit.name) {
                limits.push(*limit);
            }
        }
        limits
    }
}
