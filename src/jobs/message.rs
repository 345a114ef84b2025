//! What two daemons say to each other about a job: bytes ↔ messages.

use bytes::Bytes;
use prost::Message as _;
use tacitly_core::PartyId;
use tacitly_core::text::printable;

use crate::codes::{self, Error};

/// The generated contract.
#[allow(missing_docs, clippy::pedantic, unreachable_pub)]
pub mod generated {
    include!("generated/tacitly.jobs.v1.rs");
}

use generated as pb;

pub(super) type Ask = pb::request::What;
pub(super) type Answer = pb::reply::What;

/// The longest reason that is kept of a peer's words.
pub(super) const MAX_REASON: usize = 512;

pub(super) fn encode_ask(ask: Ask) -> Bytes {
    pb::Request { what: Some(ask) }.encode_to_vec().into()
}

pub(super) fn encode_answer(answer: Answer) -> Bytes {
    pb::Reply { what: Some(answer) }.encode_to_vec().into()
}

pub(super) fn decode_ask(bytes: &Bytes) -> Option<Ask> {
    pb::Request::decode(bytes.clone()).ok()?.what
}

pub(super) fn decode_answer(bytes: &Bytes) -> Option<Answer> {
    pb::Reply::decode(bytes.clone()).ok()?.what
}

/// What a peer may hear of our error: always the code; the words only where they are about the request itself.
pub(super) fn reason(error: &Error) -> pb::Reason {
    let about_the_request = [
        codes::TERMS_DIFFER,
        codes::REFUSED_NO_RULE,
        codes::REFUSED_BY_RULE,
        codes::REFUSED_BY_PERSON,
        codes::BELOW_MINIMUM,
        codes::LIMIT,
        codes::BAD_REQUEST,
    ];
    let text = if about_the_request.contains(&error.code) { error.text.clone() } else { String::new() };
    let who = error.who.map(|who| who.to_string()).unwrap_or_default();
    pb::Reason { code: error.code.name.to_owned(), text, who }
}

/// A peer's reason as an error of ours. Codes that speak of the request itself are taken over; all others are the peer's
/// own affair and become [`codes::PEER_FAILED`], naming its code.
pub(super) fn error(peer: PartyId, reason: Option<&pb::Reason>) -> Error {
    let code = reason.and_then(|reason| codes::by_name(&reason.code));
    let text = reason.map(|reason| printable(&reason.text, MAX_REASON)).unwrap_or_default();
    match code {
        Some(code)
            if [
                codes::TERMS_DIFFER,
                codes::REFUSED_NO_RULE,
                codes::REFUSED_BY_RULE,
                codes::REFUSED_BY_PERSON,
                codes::BELOW_MINIMUM,
                codes::LIMIT,
                codes::CANCELLED,
            ]
            .contains(&code) =>
        {
            let words = if text.is_empty() { code.cause.to_owned() } else { text };
            Error::new(code, format!("{peer}: {words}")).with(peer)
        }
        Some(code) => Error::new(codes::PEER_FAILED, format!("{peer} ended the job with {}", code.name)).with(peer),
        None => Error::new(codes::PEER_FAILED, format!("{peer} ended the job without a known reason")).with(peer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_hears_the_code_of_our_error_and_no_words_about_our_data() {
        let ours = Error::new(codes::DATASET_INPUT, "customers.csv: line 7, column mobile");
        assert_eq!(reason(&ours), pb::Reason { code: "dataset-input".to_owned(), ..pb::Reason::default() });
        let peer = "shop".parse().unwrap();
        let theirs = error(peer, Some(&reason(&ours)));
        assert_eq!((theirs.code, theirs.who), (codes::PEER_FAILED, Some(peer)));
        assert!(theirs.text.contains("dataset-input"));
    }

    #[test]
    fn a_refusal_keeps_its_code_and_words_and_nothing_in_them_commands_a_terminal() {
        let refusal =
            pb::Reason { code: "refused-by-rule".to_owned(), text: "no\x1b[31m\nred".to_owned(), who: String::new() };
        let theirs = error("shop".parse().unwrap(), Some(&refusal));
        assert_eq!((theirs.code, theirs.text.as_str()), (codes::REFUSED_BY_RULE, r"shop: no\u{1b}[31m\u{a}red"));
    }
}
