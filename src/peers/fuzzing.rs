//! What the fuzz target of this room calls.

use bytes::Bytes;

use super::message::{Reply, decode_reply, decode_request, encode_reply, encode_request};

/// Bytes of a peer as a reply and a request to this room: what is read means the same when it is written and
/// read again.
///
/// # Panics
/// If that is not so: never, if this room is right.
pub fn message(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    if let Some(reply) = decode_reply(bytes.clone()) {
        let answer = match reply.clone() {
            Reply::Body(body) => Some(body),
            Reply::Busy(_) => None,
        };
        assert_eq!(decode_reply(encode_reply(answer)), Some(reply), "a reply is not written as it was read");
    }
    if let Some(request) = decode_request(bytes) {
        let again = decode_request(encode_request(request.clone()));
        assert_eq!(again, Some(request), "a request is not written as it was read");
    }
}
