//! What other parties' daemons ask under standing jobs.

use std::sync::Arc;

use bytes::Bytes;
use tacitly_core::PartyId;

use super::super::asking::QUESTIONS;
use super::super::core::{Core, parse_id};
use super::super::shell::Shell;
use super::answering;
use super::message::{self, Answer, Ask, generated as pb};
use super::services::{RunningService, not_serving};
use super::sessions;
use crate::codes::{self, Error};
use crate::peers::Handler;
use crate::transport::Pending;

/// Answers under standing jobs.
pub(in crate::jobs) struct QuestionsHandler {
    core: Arc<Core>,
    shell: Shell,
}

impl Handler for QuestionsHandler {
    fn service(&self) -> &'static str {
        QUESTIONS
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
        sessions::accept(&self.core, &service, from, asked).await?;
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
