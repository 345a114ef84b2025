//! Asking a peer about a job, for as long as it may take.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tacitly_core::PartyId;

use super::machine::Event;
use super::message::{self, Answer, Ask, generated as pb};
use super::office::Jobs;
use crate::codes::Trouble;
use crate::store::Job;

/// The name under which peers ask for this service.
pub(super) const SERVICE: &str = "jobs";
/// The pause before a peer is asked again whose answer cannot be read.
const PAUSE: Duration = Duration::from_millis(200);

/// Why working on an attempt ended before its end.
pub(super) enum Gone {
    /// Somebody else has moved the job, or the daemon stops: there is nothing left to do here.
    Stopped,
    /// The link to a peer was given up.
    Lost(Trouble),
    /// A peer's process is another one now: the attempt is void, the next one may begin at once.
    Restarted,
    /// The job cannot end well.
    Trouble(Trouble),
}

impl<T: Into<Trouble>> From<T> for Gone {
    fn from(error: T) -> Self {
        Self::Trouble(error.into())
    }
}

impl Jobs {
    /// Asks the peer once; nothing if there is no answer that can be read, after a pause.
    pub(super) async fn ask_once(&self, peer: PartyId, ask: Ask) -> Option<Answer> {
        let answer = self.peers.ask_once(peer, SERVICE, message::encode_ask(ask)).await?;
        self.read(&answer).await
    }

    /// Asks the peer, waiting for its link no longer than the reconnect window.
    pub(super) async fn ask_within_window(&self, peer: PartyId, ask: Ask) -> Result<Answer, Gone> {
        let question = message::encode_ask(ask);
        loop {
            let asked = self.peers.ask_within_window(peer, SERVICE, question.clone());
            if let Some(answer) = self.read(&asked.await.map_err(Gone::Lost)?).await {
                return Ok(answer);
            }
        }
    }

    /// Asks the peer, however long it is away.
    pub(super) async fn ask_until_answered(&self, peer: PartyId, ask: Ask) -> Answer {
        let question = message::encode_ask(ask);
        loop {
            let answer = self.peers.ask_until_answered(peer, SERVICE, question.clone()).await;
            if let Some(answer) = self.read(&answer).await {
                return answer;
            }
        }
    }

    /// An answer that can be read; otherwise nothing, after a pause.
    async fn read(&self, answer: &Bytes) -> Option<Answer> {
        let answer = message::decode_answer(answer);
        if answer.is_none() {
            tokio::time::sleep(PAUSE).await;
        }
        answer
    }

    /// Says something to the peer, however long it is away.
    pub(super) fn tell(self: &Arc<Self>, peer: PartyId, ask: Ask) {
        let this = self.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                _said = this.ask_until_answered(peer, ask) => {}
                () = this.closing.cancelled() => {}
            }
        });
    }

    /// The peer has answered a question of an attempt with how the job stands there: it is over, or not known.
    pub(super) async fn hear_in_attempt(self: &Arc<Self>, job: &Job, peer: PartyId, answer: Answer) -> Gone {
        let event = match answer {
            Answer::Unknown(_) => Ok(Event::Unknown { from: peer }),
            Answer::Standing(standing) => self.step_of(job, peer, &standing).await,
            _ => return Gone::Restarted,
        };
        match event {
            Ok(event) => self.happen_at_last(job.id, event),
            Err(why) => return Gone::Trouble(why),
        }
        Gone::Restarted
    }

    async fn step_of(&self, job: &Job, from: PartyId, standing: &pb::Standing) -> Result<Event, Trouble> {
        let standing = self.read_standing(job, from, standing).await?;
        Ok(Event::Standing { from, standing, answers: None })
    }
}
