//! What the fuzz target of this room calls.

use bytes::Bytes;

use super::message::{
    MAX_QUESTIONS, decode_answer, decode_ask, decode_questions, decode_served, encode_answer, encode_ask,
    encode_questions, encode_served, read_hashes, write_hashes,
};

/// Bytes of a peer as a question and as an answer about logs: what is read means the same when it is written and read
/// again, and its hashes are whole or none.
///
/// # Panics
/// If that is not so: never, if this room is right.
pub fn message(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    if let Some(ask) = decode_ask(bytes.clone()) {
        assert_eq!(decode_ask(encode_ask(ask.clone())), Some(ask), "a question is not written as it was read");
    }
    if let Some(answer) = decode_answer(bytes.clone()) {
        let again = decode_answer(encode_answer(answer.clone()));
        assert_eq!(again, Some(answer), "an answer is not written as it was read");
    }
    if let Some(questions) = decode_questions(bytes.clone()) {
        assert!((1..=MAX_QUESTIONS).contains(&questions.questions.len()));
        let again = decode_questions(encode_questions(&questions));
        assert!(again.is_some_and(|again| again == questions), "questions are not written as they were read");
    }
    if let Some(served) = decode_served(bytes.clone()) {
        let again = decode_served(encode_served(&served));
        assert!(again.is_some_and(|again| again == served), "answers are not written as they were read");
    }
    if let Some(hashes) = read_hashes(data) {
        assert_eq!(write_hashes(&hashes), bytes);
    }
}
