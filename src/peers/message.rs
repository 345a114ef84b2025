//! What two daemons say to each other outside sessions: bytes ↔ questions to a service, and replies.

use bytes::Bytes;
use prost::Message as _;

/// The generated contract.
#[allow(missing_docs, clippy::pedantic, unreachable_pub)]
pub mod generated {
    include!("generated/tacitly.peers.v1.rs");
}

use generated as pb;

pub(super) use pb::reply::What as Reply;
pub(super) use pb::request::What as Request;

/// A service's answer; `None`: the asker is to come again.
pub(super) fn encode_reply(answer: Option<Bytes>) -> Bytes {
    let what = Some(answer.map_or(Reply::Busy(pb::Busy {}), Reply::Body));
    pb::Reply { what }.encode_to_vec().into()
}

pub(super) fn decode_reply(bytes: Bytes) -> Option<Reply> {
    pb::Reply::decode(bytes).ok()?.what
}

pub(super) fn encode_request(request: Request) -> Bytes {
    pb::Request { what: Some(request) }.encode_to_vec().into()
}

pub(super) fn decode_request(bytes: Bytes) -> Option<Request> {
    pb::Request::decode(bytes).ok()?.what
}

/// The answer to a request that was followed.
pub(super) fn noted() -> Bytes {
    pb::Noted {}.encode_to_vec().into()
}
