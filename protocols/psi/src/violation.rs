//! How a peer can break the rules of an intersection, beyond the codes in [`tacitly_core::code`].

/// A frame holds more or fewer entries than the terms fix for it. The index is the number found.
pub const COUNT: &str = "count";
/// A point is not encoded as a number below 2^255 - 19. The index is its place in the list.
pub const POINT_ENCODING: &str = "point-encoding";
/// A point of low order, which no item ever maps to. The index is its place in the list.
pub const LOW_ORDER_POINT: &str = "low-order-point";
/// The list is not the one whose digest its sender gives.
pub const SET_DIGEST: &str = "set-digest";
/// After a resumption the list is another than the one that was answered before.
pub const SET_CHANGED: &str = "set-changed";
/// The list holds an item twice. The index is the place of the later one.
pub const REPEATED_POINT: &str = "repeated-point";
/// The tags are not those whose digest their sender gives.
pub const TAGS_DIGEST: &str = "tags-digest";
/// Two different items of ours got the same tag. The index is the place of the later one; without a place where
/// the tags are shuffled.
pub const REPEATED_TAG: &str = "repeated-tag";
/// The common order of rows, or their number, is another on the peer's side.
pub const ORDER_DIGEST: &str = "order-digest";
