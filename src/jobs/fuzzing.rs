//! What the fuzz targets of this room call.

use bytes::Bytes;
use tacitly_core::text::is_plain;
use tacitly_core::{PartyId, Terms};

use super::message::{Answer, Ask, decode_answer, decode_ask, encode_answer, encode_ask, error, generated as pb};
use super::terms::JobTerms;
use crate::codes::{self, Error};

/// Bytes of a peer as a question and as an answer: what is read means the same when it is written and read again, and
/// its words can be shown.
///
/// # Panics
/// If that is not so: never, if this room is right.
pub fn message(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    if let Some(ask) = decode_ask(&bytes) {
        if let Ask::Standing(pb::Standing { reason, .. }) = &ask {
            can_be_shown(reason.as_ref());
        }
        assert_eq!(decode_ask(&encode_ask(ask.clone())), Some(ask), "a question is not written as it was read");
    }
    if let Some(answer) = decode_answer(&bytes) {
        if let Answer::Standing(pb::Standing { reason, .. }) = &answer {
            can_be_shown(reason.as_ref());
        }
        let again = decode_answer(&encode_answer(answer.clone()));
        assert_eq!(again, Some(answer), "an answer is not written as it was read");
    }
}

/// A peer's reason has become ours: short, and nothing in it speaks to a terminal.
fn can_be_shown(reason: Option<&pb::Reason>) {
    let peer: PartyId = "shop".parse().expect("a fixed, valid name");
    let shown = error(peer, reason).to_string();
    assert!(is_plain(&shown), "{shown:?}");
    assert!(shown.len() < 8_000, "{shown:?}");
}

/// Terms that are read as those of a job are written as the same bytes, and have a leader among two parties or more of whom
/// somebody receives.
///
/// # Panics
/// If that is not so: never, if this room is right.
pub fn terms(data: &[u8]) {
    let Ok(terms) = Terms::parse(data) else { return };
    let Ok(read) = JobTerms::from_terms(&terms) else { return };
    assert_eq!(read.to_terms().canonical(), data, "terms are signed as they were read");
    assert!(read.parties.contains_key(&read.leader) && read.parties.len() >= 2);
    assert_eq!(read.others(read.leader).count() + 1, read.parties.len());
    assert!(!read.receivers().is_empty(), "somebody receives a result");
    // What stands in lists, explanations and pages word for word; parameters are shown as values, which are quoted.
    let parties = read.parties.values().flat_map(|party| [Some(&party.role), party.dataset.as_ref()]);
    let words = [Some(&read.kind), Some(&read.purpose)].into_iter().chain(parties).flatten();
    words.for_each(|word| assert!(is_plain(word), "{word:?}"));
    read.params.fields().for_each(|(name, value)| {
        let shown = Error::new(codes::BAD_REQUEST, format!("{name} is {value}"));
        assert!(is_plain(&shown.text), "{:?}", shown.text);
    });
}
