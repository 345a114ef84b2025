//! Bytes to messages and back. What is read here has its size, count and encoding checked against the agreed terms;
//! the generated types stay in this file.

use bytes::Bytes;
use prost::Message as _;
use tacitly_core::{Terms, Violation, code};

use crate::message::{BlindedPoints, ListDigest, OrderDigest, POINT_BYTES, Tags};
use crate::violation::{COUNT, POINT_ENCODING};

use generated::Message;
use generated::message::Body;

#[allow(missing_docs, unreachable_pub, clippy::all)]
mod generated {
    include!("generated/tacitly.psi.v1.rs");
}

/// The entries that the next frame of a list must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// The round, for naming a violation.
    pub round: u32,
    /// The place of the first entry in the list.
    pub at: usize,
    /// How many entries.
    pub count: usize,
}

pub(crate) fn write_opening(terms: &Terms) -> Bytes {
    write(Body::Opening(terms.canonical().into()))
}

pub(crate) fn write_points(points: BlindedPoints) -> Bytes {
    write(Body::Points(points.0))
}

pub(crate) fn write_set_digest(digest: ListDigest) -> Bytes {
    write(Body::SetDigest(digest.0.to_vec().into()))
}

pub(crate) fn write_tags(tags: Tags) -> Bytes {
    write(Body::Tags(tags.bytes))
}

pub(crate) fn write_tags_digest(digest: ListDigest) -> Bytes {
    write(Body::TagsDigest(digest.0.to_vec().into()))
}

pub(crate) fn write_order(order: OrderDigest) -> Bytes {
    write(Body::Order([&order.count.to_be_bytes()[..], &order.digest].concat().into()))
}

fn write(body: Body) -> Bytes {
    Message { body: Some(body) }.encode_to_vec().into()
}

pub(crate) fn read_opening(body: Bytes) -> Result<Terms, Violation> {
    match read(body, 0)? {
        Body::Opening(terms) => Terms::parse(&terms).map_err(|_| refused(code::MALFORMED, 0)),
        _ => Err(refused(code::UNEXPECTED, 0)),
    }
}

pub(crate) fn read_points(body: Bytes, due: Due) -> Result<BlindedPoints, Violation> {
    let Body::Points(bytes) = read(body, due.round)? else { return Err(refused(code::UNEXPECTED, due.round)) };
    check_count(&bytes, POINT_BYTES, due)?;
    let points = BlindedPoints(bytes);
    match points.as_points().iter().position(|point| !is_canonical(point)) {
        None => Ok(points),
        Some(place) => Err(Violation { code: POINT_ENCODING, round: due.round, index: Some((due.at + place) as u64) }),
    }
}

pub(crate) fn read_set_digest(body: Bytes, round: u32) -> Result<ListDigest, Violation> {
    match read(body, round)? {
        Body::SetDigest(bytes) => Ok(ListDigest(exactly(&bytes, round)?)),
        _ => Err(refused(code::UNEXPECTED, round)),
    }
}

pub(crate) fn read_tags(body: Bytes, tag_bytes: usize, due: Due) -> Result<Tags, Violation> {
    let Body::Tags(bytes) = read(body, due.round)? else { return Err(refused(code::UNEXPECTED, due.round)) };
    check_count(&bytes, tag_bytes, due)?;
    Ok(Tags { bytes, tag_bytes })
}

pub(crate) fn read_tags_digest(body: Bytes, round: u32) -> Result<ListDigest, Violation> {
    match read(body, round)? {
        Body::TagsDigest(bytes) => Ok(ListDigest(exactly(&bytes, round)?)),
        _ => Err(refused(code::UNEXPECTED, round)),
    }
}

pub(crate) fn read_order(body: Bytes, round: u32) -> Result<OrderDigest, Violation> {
    let Body::Order(bytes) = read(body, round)? else { return Err(refused(code::UNEXPECTED, round)) };
    let (count, digest) = bytes.split_first_chunk().ok_or(refused(code::MALFORMED, round))?;
    Ok(OrderDigest { count: u64::from_be_bytes(*count), digest: exactly(digest, round)? })
}

/// The one field of a message. It shares the frame's memory: nothing is allocated.
fn read(body: Bytes, round: u32) -> Result<Body, Violation> {
    let length = body.len();
    let message = Message::decode(body).map_err(|_| refused(code::MALFORMED, round))?;
    // One field in its shortest encoding is the shortest of all encodings of a message, so whatever has this length is
    // this encoding: unknown fields, repeated fields and padded numbers all make it longer.
    if message.encoded_len() != length {
        return Err(refused(code::MALFORMED, round));
    }
    message.body.ok_or(refused(code::MALFORMED, round))
}

fn check_count(bytes: &[u8], entry_bytes: usize, due: Due) -> Result<(), Violation> {
    if !bytes.len().is_multiple_of(entry_bytes) {
        return Err(refused(code::MALFORMED, due.round));
    }
    let found = bytes.len() / entry_bytes;
    if found == due.count {
        Ok(())
    } else {
        Err(Violation { code: COUNT, round: due.round, index: Some(found as u64) })
    }
}

fn exactly<const N: usize>(bytes: &[u8], round: u32) -> Result<[u8; N], Violation> {
    bytes.try_into().map_err(|_| refused(code::MALFORMED, round))
}

/// Whether the little-endian number is below 2^255 - 19.
fn is_canonical(point: &[u8; POINT_BYTES]) -> bool {
    let [lowest, middle @ .., highest] = point;
    *highest < 0x7f || (*highest == 0x7f && (middle.iter().any(|byte| *byte != 0xff) || *lowest < 0xed))
}

fn refused(code: &'static str, round: u32) -> Violation {
    Violation { code, round, index: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUE: Due = Due { round: 1, at: 10, count: 2 };

    fn points(bytes: &[[u8; 32]]) -> Bytes {
        write_points(BlindedPoints(bytes.concat().into()))
    }

    fn code_of<T>(result: Result<T, Violation>) -> (&'static str, Option<u64>) {
        let violation = result.err().unwrap();
        (violation.code, violation.index)
    }

    #[test]
    fn every_message_reads_back_as_written() {
        let terms = Terms::new().with("version", 1);
        assert_eq!(read_opening(write_opening(&terms)).unwrap(), terms);
        let list = BlindedPoints([[1; 32], [2; 32]].concat().into());
        assert_eq!(read_points(write_points(list.clone()), DUE).unwrap(), list);
        let tags = Tags { bytes: vec![7; 22].into(), tag_bytes: 11 };
        assert_eq!(read_tags(write_tags(tags.clone()), 11, DUE).unwrap(), tags);
        let digest = ListDigest([3; 32]);
        assert_eq!(read_set_digest(write_set_digest(digest), 1).unwrap(), digest);
        assert_eq!(read_tags_digest(write_tags_digest(digest), 2).unwrap(), digest);
        let order = OrderDigest { count: 9, digest: [4; 32] };
        assert_eq!(read_order(write_order(order), 3).unwrap(), order);
    }

    #[test]
    fn any_encoding_but_the_shortest_is_malformed() {
        let good = write_set_digest(ListDigest([3; 32])).to_vec();
        let padded_length = [&good[..1], &[0xa0, 0x00], &good[2..]].concat();
        let unknown_field = [&good[..], &[0x78, 0x01]].concat();
        let repeated = [&good[..], &good[..]].concat();
        let short = good[..good.len() - 1].to_vec();
        for bytes in [padded_length, unknown_field, repeated, short, vec![], vec![0xff; 40]] {
            assert_eq!(code_of(read_set_digest(bytes.clone().into(), 1)).0, code::MALFORMED, "{bytes:?}");
        }
    }

    #[test]
    fn the_wrong_kind_is_unexpected_and_a_wrong_length_malformed() {
        assert_eq!(code_of(read_set_digest(points(&[[1; 32]]), 1)).0, code::UNEXPECTED);
        assert_eq!(code_of(read_points(write_set_digest(ListDigest([3; 32])), DUE)).0, code::UNEXPECTED);
        assert_eq!(code_of(read_opening(points(&[[1; 32]]))).0, code::UNEXPECTED);
        for body in [Body::SetDigest(vec![0; 31].into()), Body::SetDigest(vec![0; 33].into())] {
            assert_eq!(code_of(read_set_digest(write(body), 1)).0, code::MALFORMED);
        }
        assert_eq!(code_of(read_order(write(Body::Order(vec![0; 7].into())), 3)).0, code::MALFORMED);
        assert_eq!(code_of(read_opening(write(Body::Opening("{}x".into())))).0, code::MALFORMED);
    }

    #[test]
    fn lists_hold_exactly_the_entries_that_are_due() {
        for found in [0, 1, 3] {
            assert_eq!(code_of(read_points(points(&vec![[1; 32]; found]), DUE)), (COUNT, Some(found as u64)));
        }
        assert_eq!(code_of(read_points(write(Body::Points(vec![0; 63].into())), DUE)).0, code::MALFORMED);
        let tags = |length: usize| write_tags(Tags { bytes: vec![0; length].into(), tag_bytes: 11 });
        assert_eq!(code_of(read_tags(tags(33), 11, DUE)), (COUNT, Some(3)));
        assert_eq!(code_of(read_tags(tags(23), 11, DUE)).0, code::MALFORMED);
    }

    #[test]
    fn points_are_numbers_below_the_prime() {
        let number = |low: u8, high: u8| {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (low, high);
            bytes
        };
        assert!(read_points(points(&[number(0xec, 0x7f), number(0xff, 0x7e)]), DUE).is_ok());
        for bad in [number(0xed, 0x7f), number(0xff, 0x7f), number(0, 0x80), number(0xff, 0xff)] {
            assert_eq!(code_of(read_points(points(&[[9; 32], bad]), DUE)), (POINT_ENCODING, Some(11)));
        }
    }
}
