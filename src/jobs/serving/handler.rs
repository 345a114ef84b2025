//! What other parties' daemons ask under standing jobs.

use std::num::NonZeroU64;
use std::sync::Arc;

use bytes::Bytes;
use tacitly_core::PartyId;

use super::super::asking::QUESTIONS;
use super::super::core::{Core, parse_id};
use super::super::part::Stop;
use super::super::shell::Shell;
use super::answering;
use super::message::{self, Answer, Ask, generated as pb};
use super::service::Opened;
use super::services::{RunningService, not_serving};
use super::sessions;
use crate::codes::{self, Error};
use crate::peers::Handler;
use crate::transport::{Pace, Pending};

/// The longest word about what a session is for.
const MOST_OPENING: usize = 1 << 16;

/// How fast one peer may ask: faster than any service answers, each of which has places of its own for questions.
const QUESTIONS_A_SECOND: NonZeroU64 = const { NonZeroU64::new(20_000).unwrap() };

/// Answers under standing jobs.
pub(in crate::jobs) struct QuestionsHandler {
    core: Arc<Core>,
    shell: Shell,
}

impl Handler for QuestionsHandler {
    fn service(&self) -> &'static str {
        QUESTIONS
    }

    fn pace(&self) -> Pace {
        Pace::Own { per_second: QUESTIONS_A_SECOND, at_once: QUESTIONS_A_SECOND.get() }
    }

    fn answer(self: Arc<Self>, from: PartyId, body: Bytes) -> Pending<'static, Option<Bytes>> {
        Box::pin(async move {
            let ask = message::decode_ask(&body)?;
            Some(message::encode_answer(self.hear(from, ask).await))
        })
    }
}

impl QuestionsHandler {
    pub(in crate::jobs) fn new(core: Arc<Core>, shell: Shell) -> Self {
        Self { core, shell }
    }

    async fn hear(&self, from: PartyId, ask: Ask) -> Answer {
        let answered = match ask {
            Ask::Open(asked) => self.open(from, asked).await,
            Ask::Question(asked) => self.question(from, asked).await,
        };
        answered.unwrap_or_else(|why| {
            tracing::info!(peer = %from, code = why.code.name, "nothing was given under a standing job");
            Answer::Refused(pb::Refused { reason: Some(message::reason(&why)) })
        })
    }

    async fn open(&self, from: PartyId, asked: pb::Open) -> Result<Answer, Error> {
        let service = self.running(&asked.job, from).await?;
        accept(&self.core, &service, from, asked).await?;
        Ok(Answer::Opened(pb::Opened {}))
    }

    async fn question(&self, from: PartyId, asked: pb::Question) -> Result<Answer, Error> {
        let service = self.running(&asked.job, from).await?;
        let answered = answering::answer(&self.shell.services, &service, from, asked.request).await;
        let reply = answered.inspect_err(|why| {
            // Who signs what is none of a question, or lies about one, cannot go on with this service.
            if why.code == codes::PROTOCOL_VIOLATION {
                self.core.blame(service.run.job().id, why.clone());
            }
        })?;
        Ok(Answer::Served(pb::Served { reply }))
    }

    /// The service that a party of its job asks.
    async fn running(&self, job: &str, from: PartyId) -> Result<Arc<RunningService>, Error> {
        let id = parse_id(job)?;
        match self.shell.services.find(id) {
            Some(service) if service.run.others().contains(&from) => Ok(service),
            _ => Err(not_serving(&self.core.find_with(job, from).await?)),
        }
    }
}

/// Another party opens a session: our service says whether, and with what.
async fn accept(core: &Arc<Core>, service: &Arc<RunningService>, from: PartyId, asked: pb::Open) -> Result<(), Error> {
    let malformed = |text: &str| Error::new(codes::BAD_REQUEST, text);
    let nonce: [u8; sessions::NONCE] =
        asked.nonce[..].try_into().map_err(|_| malformed("a session is told by 16 bytes"))?;
    if asked.opening.len() > MOST_OPENING {
        return Err(malformed("what a session is for is said in 64 KiB at most"));
    }
    let many = || Error::new(codes::NOT_SERVING, "as many sessions of this service as may be are open");
    let place = service.session_place(from).ok_or_else(many)?;
    let tag = sessions::tag(service.run.job(), from, core.me(), &nonce);
    let session = service.service.session(Opened { from, tag, opening: asked.opening }).await?;
    let link = sessions::link(core, from, tag)?;
    let (core, stop, job) = (core.clone(), service.stop.clone(), service.run.job().id);
    core.tasks.clone().spawn(async move {
        let _place = place;
        match stop.run_until_cancelled(sessions::drive(&core, link, session)).await {
            None | Some(Ok(()) | Err(Stop::Stopped | Stop::Restarted)) => {}
            Some(Err(Stop::Lost(why))) => tracing::warn!(%job, text = why.text, "a session of the service was lost"),
            // Whoever breaks the protocol of a service cannot go on in it.
            Some(Err(Stop::Failed(why))) if why.code == codes::PROTOCOL_VIOLATION => core.blame(job, why),
            Some(Err(Stop::Failed(why))) => {
                tracing::warn!(%job, code = why.code.name, text = why.text, "a session of the service failed");
            }
        }
    });
    Ok(())
}
