//! What the fuzz target of this room calls.

use bytes::Bytes;

use super::message::{MAX_BODY, Piece, decode_outcome, encode_outcome, words};
use crate::store::PublicKey;

/// A key that there is: the base point, written as RFC 8032 has it.
const KEY: [u8; 32] = {
    let mut key = [0x66; 32];
    key[0] = 0x58;
    key
};

/// Bytes of a member or a leader as a piece and as the answer to one: what is read is within the bounds, means the same
/// when it is written and read again, and is signed in words that say each thing on a line of its own.
///
/// # Panics
/// If that is not so: never, if this room is right.
pub fn message(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    if let Some(piece) = Piece::decode(bytes.clone()) {
        assert!(piece.body.len() <= MAX_BODY, "a piece is too long");
        assert!(!piece.place.opens || piece.place.number == 0, "a line opens in its middle");
        let words = words(&piece.place, &piece.body);
        assert_eq!(words.split(|byte| *byte == b'\n').count(), 8, "what is signed can be read in two ways");
        let key = PublicKey::from_bytes(&KEY).expect("a fixed, valid key");
        assert!(!piece.is_signed_by(&key), "a signature by nobody");
        assert_eq!(Piece::decode(piece.clone().encode()), Some(piece), "a piece is not written as it was read");
    }
    if let Some(outcome) = decode_outcome(bytes) {
        assert_eq!(decode_outcome(encode_outcome(outcome)), Some(outcome), "an answer is not written as it was read");
    }
}
