//! What two daemons say to each other about their logs: bytes ↔ messages.

use bytes::Bytes;
use prost::Message as _;
use tacitly_attestation::checkpoint::SignedCheckpoint;
use tacitly_attestation::hash::Hash;

/// The generated contract.
#[allow(missing_docs, clippy::pedantic, unreachable_pub)]
pub mod generated {
    include!("generated/tacitly.attest.v1.rs");
}

use generated as pb;

pub(super) type Ask = pb::request::What;
pub(super) type Answer = pb::reply::What;

pub(super) fn encode_ask(ask: Ask) -> Bytes {
    pb::Request { what: Some(ask) }.encode_to_vec().into()
}

pub(super) fn encode_answer(answer: Answer) -> Bytes {
    pb::Reply { what: Some(answer) }.encode_to_vec().into()
}

pub(super) fn decode_ask(bytes: Bytes) -> Option<Ask> {
    pb::Request::decode(bytes).ok()?.what
}

pub(super) fn decode_answer(bytes: Bytes) -> Option<Answer> {
    pb::Reply::decode(bytes).ok()?.what
}

/// The last checkpoint that was cosigned, if there is one.
pub(super) fn cosigned(checkpoint: Option<&SignedCheckpoint>) -> Answer {
    let checkpoint = checkpoint.map(SignedCheckpoint::encode).unwrap_or_default();
    Answer::Cosigned(pb::Cosigned { checkpoint: checkpoint.into() })
}

/// The hashes of a proof; `None` if they are not whole.
pub(super) fn read_hashes(bytes: &[u8]) -> Option<Vec<Hash>> {
    let (hashes, rest) = bytes.as_chunks();
    rest.is_empty().then(|| hashes.iter().copied().map(Hash).collect())
}

pub(super) fn write_hashes(hashes: &[Hash]) -> Bytes {
    hashes.iter().flat_map(|hash| hash.0).collect::<Vec<u8>>().into()
}
