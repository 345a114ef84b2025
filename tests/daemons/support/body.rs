//! The bodies of an intersection's frames, taken apart and put together by hand.

use bytes::Bytes;

/// The fields of the protocol's messages.
pub(crate) const POINTS: u32 = 2;
const TAGS: u32 = 4;

/// A message of the protocol with one field.
pub(crate) fn message(field: u32, content: &[u8]) -> Bytes {
    let mut body = Vec::new();
    prost::encoding::encode_key(field, prost::encoding::WireType::LengthDelimited, &mut body);
    prost::encoding::encode_varint(content.len() as u64, &mut body);
    body.extend_from_slice(content);
    body.into()
}

/// The field of a message of the protocol, and what it holds.
pub(crate) fn content(mut body: Bytes) -> (u32, Vec<u8>) {
    let (field, _) = prost::encoding::decode_key(&mut body).unwrap();
    let length = prost::encoding::decode_varint(&mut body).unwrap();
    assert_eq!(length, body.len() as u64);
    (field, body.to_vec())
}

/// Whether a message holds answers: what an honest party releases once.
pub(crate) fn is_answers(body: &Bytes) -> bool {
    content(body.clone()).0 == TAGS
}

/// The message of a list with other entries in it.
pub(crate) fn entries(body: Bytes, size: usize, edit: impl Fn(&mut Vec<Vec<u8>>)) -> Bytes {
    let (field, bytes) = content(body);
    let mut list: Vec<Vec<u8>> = bytes.chunks(size).map(<[u8]>::to_vec).collect();
    edit(&mut list);
    message(field, &list.concat())
}

/// The message of a list of points with other points in it.
pub(crate) fn points(edit: impl Fn(&mut Vec<Vec<u8>>) + Send + 'static) -> impl Fn(Bytes) -> Bytes + Send + 'static {
    move |body| {
        assert_eq!(content(body.clone()).0, POINTS);
        entries(body, 32, &edit)
    }
}

/// The number `2^255 - 19 + offset`, least significant byte first.
pub(crate) fn prime_plus(offset: i8) -> [u8; 32] {
    let mut bytes = [0xff; 32];
    bytes[0] = 0xed_u8.wrapping_add_signed(offset);
    bytes[31] = 0x7f;
    bytes
}

/// A small number in the same form.
pub(crate) fn small(number: u8) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[0] = number;
    bytes
}
