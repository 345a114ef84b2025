//! What the fuzz target of this room calls.

use bytes::Bytes;
use prost::Message as _;

use super::generated as pb;
use super::wire::{from_wire, to_wire};

/// Bytes of a stranger's stream as an envelope: one that is read means the same when it is written and read again, and
/// what it says of itself can be shown.
///
/// # Panics
/// If that is not so: never, if this room is right.
pub fn envelope(data: &[u8]) {
    let Ok(message) = pb::Envelope::decode(Bytes::copy_from_slice(data)) else { return };
    match from_wire(message) {
        Ok(envelope) => {
            let bytes = to_wire(envelope.clone()).encode_to_vec();
            let again = pb::Envelope::decode(bytes.as_slice()).map(from_wire);
            assert_eq!(again, Ok(Ok(envelope)), "an envelope is not written as it was read");
        }
        Err(rule) => assert!(super::envelope::is_code(rule), "{rule:?} is not the name of a rule"),
    }
}
