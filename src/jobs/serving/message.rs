//! What two daemons say to each other under a standing job: bytes ↔ messages.

use bytes::Bytes;
use prost::Message as _;
use tacitly_core::PartyId;
use tacitly_core::text::printable;

use super::super::message::MAX_REASON;
use crate::codes::{self, Code, Error};

/// The generated contract.
#[allow(missing_docs, clippy::pedantic, unreachable_pub)]
pub mod generated {
    include!("../generated/tacitly.questions.v1.rs");
}

use generated as pb;

pub(in crate::jobs) type Ask = pb::request::What;
pub(in crate::jobs) type Answer = pb::reply::What;

/// Codes that speak of the request or of the service itself; all others are the affair of who says them.
const TOLD: [&Code; 9] = [
    codes::BAD_REQUEST,
    codes::LIMIT,
    codes::MATERIAL_NONE,
    codes::NOT_SERVING,
    codes::OVER_QUOTA,
    codes::REFUSED_BY_RULE,
    codes::REFUSED_NO_RULE,
    codes::REVOKED,
    codes::TERMS_EXPIRED,
];

pub(in crate::jobs) fn encode_ask(ask: Ask) -> Bytes {
    pb::Request { what: Some(ask) }.encode_to_vec().into()
}

pub(in crate::jobs) fn encode_answer(answer: Answer) -> Bytes {
    pb::Reply { what: Some(answer) }.encode_to_vec().into()
}

pub(in crate::jobs) fn decode_ask(bytes: &Bytes) -> Option<Ask> {
    pb::Request::decode(bytes.clone()).ok()?.what
}

pub(in crate::jobs) fn decode_answer(bytes: &Bytes) -> Option<Answer> {
    pb::Reply::decode(bytes.clone()).ok()?.what
}

/// What a peer may hear of our error: always the code; the words only where they are about its request or the service.
pub(in crate::jobs) fn reason(error: &Error) -> pb::Reason {
    let text = if TOLD.contains(&error.code) { error.text.clone() } else { String::new() };
    pb::Reason { code: error.code.name.to_owned(), text }
}

/// A peer's refusal as an error of ours.
pub(in crate::jobs) fn refusal(peer: PartyId, reason: Option<&pb::Reason>) -> Error {
    let code = reason.and_then(|reason| codes::by_name(&reason.code));
    let text = reason.map(|reason| printable(&reason.text, MAX_REASON)).unwrap_or_default();
    let error = match code {
        Some(code) if TOLD.contains(&code) => {
            let words = if text.is_empty() { code.cause.to_owned() } else { text };
            Error::new(code, format!("{peer}: {words}"))
        }
        Some(code) => Error::new(codes::PEER_FAILED, format!("{peer} gave no answer: {}", code.name)),
        None => Error::new(codes::PEER_FAILED, format!("{peer} gave no answer and no known reason")),
    };
    error.with(peer)
}

/// A refusal that a peer has put on record, for a reason that is the name of a code.
pub(in crate::jobs) fn refused(peer: PartyId, reason: &str) -> Error {
    refusal(peer, Some(&pb::Reason { code: reason.to_owned(), text: String::new() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_keeps_its_words_where_they_are_about_the_service_and_its_code_everywhere() {
        let peer = "shop".parse().unwrap();
        let told = refusal(peer, Some(&reason(&Error::new(codes::OVER_QUOTA, "100\x1b questions a day"))));
        assert_eq!((told.code, told.text.as_str()), (codes::OVER_QUOTA, r"shop: 100\u{1b} questions a day"));
        let own = refusal(peer, Some(&reason(&Error::new(codes::DATASET_INPUT, "line 7"))));
        assert_eq!((own.code, own.who), (codes::PEER_FAILED, Some(peer)));
        assert!(own.text.contains("dataset-input") && !own.text.contains("line 7"));
        assert_eq!(refusal(peer, None).code, codes::PEER_FAILED);
    }
}
