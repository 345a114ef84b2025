//! Asking a peer's daemon about logs.

use tacitly_core::PartyId;

use super::message::{self, Answer, Ask};
use crate::codes::{self, Error};
use crate::peers::Peers;

/// The name under which peers ask for what this room answers.
pub(super) const SERVICE: &str = "attest";

/// Asks the peer, once.
///
/// # Errors
/// As [`Peers::ask`]; [`codes::PEER_FAILED`] if the answer cannot be read.
pub(super) async fn ask(peers: &Peers, peer: PartyId, ask: Ask) -> Result<Answer, Error> {
    let answer = peers.ask(peer, SERVICE, message::encode_ask(ask)).await?;
    let unreadable = || Error::new(codes::PEER_FAILED, format!("{peer} gave an answer that cannot be read"));
    message::decode_answer(answer).ok_or_else(|| unreadable().with(peer))
}
