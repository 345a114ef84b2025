//! Asking another party's jobs, once or until there is an answer.

use tacitly_core::PartyId;

use super::message::{Answer, Ask, decode_answer, encode_ask, generated as pb};
use crate::codes::Error;
use crate::peers::Peers;

/// The name under which other parties ask for jobs.
pub(super) const SERVICE: &str = "jobs";
/// The name under which they ask under standing jobs: questions, which come in another pace.
pub(super) const QUESTIONS: &str = "questions";

/// Asks another party's jobs once; nothing if there is no answer that can be read, after a pause.
pub(super) async fn once(peers: &Peers, party: PartyId, ask: Ask) -> Option<Answer> {
    decode_answer(&peers.ask_once(party, SERVICE, encode_ask(ask)).await?)
}

/// Asks another party's jobs, however long it is away.
pub(super) async fn until_answered(peers: &Peers, party: PartyId, ask: Ask) -> Answer {
    let answer = peers.ask_until_answered(party, SERVICE, encode_ask(ask)).await;
    decode_answer(&answer).unwrap_or(Answer::Busy(pb::Busy {}))
}

/// Asks another party's jobs, waiting for its link no longer than the reconnect window.
pub(super) async fn within_window(peers: &Peers, party: PartyId, ask: Ask) -> Result<Answer, Error> {
    let answer = peers.ask_within_window(party, SERVICE, encode_ask(ask)).await?;
    Ok(decode_answer(&answer).unwrap_or(Answer::Busy(pb::Busy {})))
}
