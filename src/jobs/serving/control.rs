//! What this party's operators and applications ask of services.

use std::sync::Arc;

use bytes::Bytes;
use data_encoding::HEXLOWER;

use super::super::core::{Core, parse_id};
use super::super::kind::Kinds;
use super::super::machine::Event;
use super::super::shell::Shell;
use super::super::state::State;
use super::asking::{AskedEntry, Questions};
use super::json::JsonForm;
use super::quota::Budget;
use super::services::{RunningService, not_serving};
use crate::attest::queries::{Code, MAX_QUESTIONS};
use crate::attest::random;
use crate::codes::{self, Error};
use crate::store::{EventFilter, Job};

/// Questions of one caller.
#[derive(Clone, Default)]
pub struct Ask {
    /// The job that serves.
    pub job: String,
    /// The questions, asked, answered and charged as one.
    pub questions: Vec<Bytes>,
    /// What for, a code.
    pub purpose: String,
    /// The caller's key; empty: a fresh one.
    pub key: String,
}

/// What came back.
#[derive(Clone)]
pub struct Reply {
    /// One answer for each question.
    pub answers: Vec<Bytes>,
    /// What is on record of them.
    pub entries: Vec<AskedEntry>,
}

/// How a service stands here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceView {
    /// When its set-up was over.
    pub since: String,
    /// Questions answered since this process began.
    pub answered: u64,
    /// Questions refused.
    pub refused: u64,
    /// Questions of ours.
    pub asked: u64,
    /// What is left of its material, by stream.
    pub material: Vec<(String, u64)>,
    /// What is left of the budgets that our rules give.
    pub budgets: Vec<Budget>,
}

/// How questions and answers of a service that runs stand in JSON.
pub struct ServiceForm {
    /// The job that serves.
    pub job: String,
    /// Its kind.
    pub kind: String,
    /// The form.
    pub form: Box<dyn JsonForm>,
}

/// The services of one party, as its operators and applications have them.
#[derive(Clone)]
pub struct ServiceControl {
    core: Arc<Core>,
    kinds: Kinds,
    shell: Shell,
}

impl ServiceControl {
    pub(in crate::jobs) fn new(core: Arc<Core>, kinds: Kinds, shell: Shell) -> Self {
        Self { core, kinds, shell }
    }

    /// Has a service answer and ask nothing here until it is let go on. The others go on.
    ///
    /// # Errors
    /// [`codes::JOB_STATE`] if the job is no service, [`codes::JOB_UNKNOWN`] or an error of the store.
    pub async fn pause(&self, id: &str, by: &str) -> Result<(), Error> {
        let job = self.service(id).await?;
        self.shell.happen(job.id, Event::Paused { by: by.to_owned() }).await?;
        Ok(())
    }

    /// Lets a service go on that was paused here.
    ///
    /// # Errors
    /// As [`ServiceControl::pause`].
    pub async fn unpause(&self, id: &str, by: &str) -> Result<(), Error> {
        let job = self.service(id).await?;
        self.shell.happen(job.id, Event::Unpaused { by: by.to_owned() }).await?;
        Ok(())
    }

    /// Ends a service, at once and for all parties.
    ///
    /// # Errors
    /// As [`ServiceControl::pause`].
    pub async fn revoke(&self, id: &str, by: &str) -> Result<(), Error> {
        let (job, me) = (self.service(id).await?, self.core.me());
        let why = Error::new(codes::REVOKED, format!("revoked by an operator of {me}")).with(me);
        self.shell.happen(job.id, Event::Ended { state: State::Revoked, why, by: by.to_owned() }).await?;
        Ok(())
    }

    /// Asks a service. The same key gives the same answers, and is charged once, whatever has happened meanwhile; a caller
    /// that goes away keeps nothing from being asked to its end.
    ///
    /// # Errors
    /// [`codes::NOT_SERVING`] if the job does not serve here or there; [`codes::BAD_REQUEST`] for questions that cannot be
    /// asked; [`codes::OVER_QUOTA`], [`codes::REFUSED_BY_RULE`] or another refusal, which is on record if the other party
    /// gave it; [`codes::REQUEST_KEY`] if other questions were asked under the key; [`codes::PEER_LOST`];
    /// [`codes::PROTOCOL_VIOLATION`] naming who broke the rules; an error of the store or the log.
    pub async fn ask(&self, ask: Ask) -> Result<Reply, Error> {
        let bad = |text: String| Error::new(codes::BAD_REQUEST, text);
        let service = self.running(&ask.job).await?;
        let purpose = Code::parse(&ask.purpose).map_err(|error| bad(format!("the purpose: {error}")))?;
        // Before the kind takes material for them.
        if !(1..=MAX_QUESTIONS).contains(&ask.questions.len()) {
            return Err(bad(format!("a batch has 1 to {MAX_QUESTIONS} questions")));
        }
        let key = if ask.key.is_empty() { HEXLOWER.encode(&random::<16>()?) } else { ask.key };
        let number = ask.questions.len();
        let questions = Arc::new(Questions::new(service.clone(), ask.questions, purpose, &key));
        let kind = self.kinds.find(&service.run.terms().kind)?.clone();
        let (run, asked) = (service.run.clone(), questions.clone());
        let unexpected = |_| Error::internal("asking ended unexpectedly");
        let answers = tokio::spawn(async move { kind.ask(run, asked).await }).await.map_err(unexpected)?;
        let answers = answers.inspect_err(|why| {
            if why.code == codes::PROTOCOL_VIOLATION {
                self.core.blame(service.run.job().id, why.clone());
            }
        })?;
        if answers.len() != number {
            return Err(Error::internal("a kind gave another number of answers than there were questions"));
        }
        service.counts.asked(number);
        Ok(Reply { answers, entries: questions.entries() })
    }

    /// How questions and answers of a service stand in JSON.
    ///
    /// # Errors
    /// [`codes::JOB_UNKNOWN`]; [`codes::NOT_SERVING`], [`codes::REVOKED`] or [`codes::TERMS_EXPIRED`] if the job does not
    /// serve here; an error of the store.
    pub async fn form(&self, id: &str) -> Result<ServiceForm, Error> {
        self.form_of(&*self.running(id).await?)
    }

    /// The forms of all services that run here, by the numbers of their jobs.
    ///
    /// # Errors
    /// An error of ours, if one is of a kind that is not known.
    pub fn forms(&self) -> Result<Vec<ServiceForm>, Error> {
        self.shell.services.all().iter().map(|service| self.form_of(service)).collect()
    }

    /// How a service stands here; none for a job that is none.
    ///
    /// # Errors
    /// [`codes::JOB_UNKNOWN`] or an error of the store.
    pub async fn view(&self, id: &str) -> Result<Option<ServiceView>, Error> {
        let job = self.core.find(id).await?;
        let filter = EventFilter { job: Some(job.id), ..EventFilter::default() };
        let since = self.core.store.events().list(&filter).await?.into_iter();
        let begins = |event: &crate::store::Event| event.detail["to"] == State::Serving.name();
        let Some(since) = since.filter(begins).map(|event| event.at.to_string()).next() else { return Ok(None) };
        let Some(service) = self.shell.services.find(job.id) else {
            return Ok(Some(ServiceView { since, ..ServiceView::default() }));
        };
        let material = self.left(&service).await?;
        let budgets = service.quota.budgets(&service.run).await?;
        let [answered, refused, asked] = service.counts.read();
        Ok(Some(ServiceView { since, answered, refused, asked, material, budgets }))
    }

    /// What is left of the material of all services that run, by job and stream.
    ///
    /// # Errors
    /// An error of the store.
    pub async fn material(&self) -> Result<Vec<(String, u64)>, Error> {
        let mut all = Vec::new();
        for service in self.shell.services.all() {
            let left = self.left(&service).await?;
            all.extend(left.into_iter().map(|(stream, left)| (format!("{} {stream}", service.run.job().id), left)));
        }
        Ok(all)
    }

    async fn left(&self, service: &RunningService) -> Result<Vec<(String, u64)>, Error> {
        let mut material = Vec::new();
        for stream in service.service.streams() {
            let stand = self.core.reserve.stand(&stream).await?;
            material.push((stream.name, stand.end.saturating_sub(stand.next)));
        }
        Ok(material)
    }

    fn form_of(&self, service: &RunningService) -> Result<ServiceForm, Error> {
        let (job, terms) = (service.run.job().id.to_string(), service.run.terms());
        let form = self.kinds.find(&terms.kind)?.json(terms);
        Ok(ServiceForm { job, kind: terms.kind.clone(), form })
    }

    async fn running(&self, id: &str) -> Result<Arc<RunningService>, Error> {
        match self.shell.services.find(parse_id(id)?) {
            Some(service) => Ok(service),
            None => Err(not_serving(&self.core.find(id).await?)),
        }
    }

    async fn service(&self, id: &str) -> Result<Job, Error> {
        let job = self.core.find(id).await?;
        if job.state.parse().is_ok_and(State::is_service) {
            return Ok(job);
        }
        Err(Error::new(codes::JOB_STATE, format!("the job is {} and no service", job.state)))
    }
}
