//! Comparing the tags of both lists.

use std::sync::Arc;

use rayon::prelude::*;
use sha2::Digest;
use tacitly_core::{Fault, Misuse, Violation};
use zeroize::Zeroizing;

use crate::answerer::PeerTags;
use crate::items::Items;
use crate::message::OrderDigest;
use crate::session::Session;
use crate::terms::{Flow, MAX_ROWS};
use crate::violation;

/// Bits of a packed tag that hold its place. Above them is room for 13 bytes, the longest tag.
const PLACE_BITS: u32 = 24;
const _: () = assert!(MAX_ROWS < 1 << PLACE_BITS);

/// A tag and its place in one number that sorts by the tag: no pointer, no allocation per item.
pub(crate) fn pack(tag: &[u8], place: usize) -> u128 {
    let number = tag.iter().fold(0, |number, byte| number << 8 | u128::from(*byte));
    number << PLACE_BITS | place as u128
}

fn tag_of(packed: u128) -> u128 {
    packed >> PLACE_BITS
}

fn place_of(packed: u128) -> usize {
    (packed & ((1 << PLACE_BITS) - 1)) as usize
}

/// All answers to one's own list.
pub struct OwnTags {
    pub(crate) session: Arc<Session>,
    pub(crate) items: Items,
    pub(crate) order: Zeroizing<Vec<u32>>,
    pub(crate) tags: Vec<u128>,
}

/// The entries of one's own list that the peer's list holds too, sorted by tag.
pub struct Matched {
    session: Arc<Session>,
    items: usize,
    order: Zeroizing<Vec<u32>>,
    common: Vec<u128>,
}

impl OwnTags {
    /// Finds the tags that both lists hold.
    ///
    /// # Errors
    /// [`violation::REPEATED_POINT`] if the peer's list holds an item twice. Where two answers are equal:
    /// [`Misuse::Input`] if two of our items are, [`violation::REPEATED_TAG`] if they are not.
    pub fn compare(self, peer: &PeerTags) -> Result<Matched, Fault> {
        let Self { session, items, order, mut tags } = self;
        let blame = |code, round, index| Fault::of(session.peer().id)(Violation { code, round, index });
        let mut theirs: Vec<u128> = peer.iter().enumerate().map(|(place, tag)| pack(tag, place)).collect();
        theirs.par_sort_unstable();
        if let Some(place) = repeat(&theirs) {
            return Err(blame(violation::REPEATED_POINT, 1, Some(place as u64)));
        }
        tags.par_sort_unstable();
        if let Some(place) = repeat(&tags) {
            let place = (session.flow() != Flow::Cardinality).then_some(place as u64);
            return Err(if items.repeat() {
                Misuse::Input("two items are equal").into()
            } else {
                blame(violation::REPEATED_TAG, 2, place)
            });
        }
        let mut rest = theirs.into_iter().map(tag_of).peekable();
        tags.retain(|own| {
            while rest.next_if(|their| *their < tag_of(*own)).is_some() {}
            rest.next_if_eq(&tag_of(*own)).is_some()
        });
        Ok(Matched { items: items.len(), session, order, common: tags })
    }
}

/// The place of the later of two entries with equal tags.
fn repeat(sorted: &[u128]) -> Option<usize> {
    sorted.windows(2).find(|pair| tag_of(pair[0]) == tag_of(pair[1])).map(|pair| place_of(pair[1]))
}

impl Matched {
    /// How many there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.common.len() as u64
    }

    /// The indices of the items, in the order of their tags, which is the same for both parties.
    #[must_use]
    pub fn aligned(&self) -> Vec<u32> {
        let index = |packed: &u128| self.order.get(place_of(*packed)).copied();
        // Padding matches nothing, unless a tag of it collides: then there is no item to name.
        self.common.iter().filter_map(index).filter(|index| (*index as usize) < self.items).collect()
    }

    /// The indices of the items, ascending.
    #[must_use]
    pub fn ascending(&self) -> Vec<u32> {
        let mut indices = self.aligned();
        indices.sort_unstable();
        indices
    }

    /// What both parties compare to be sure that they have the same order.
    #[must_use]
    pub fn order_digest(&self) -> OrderDigest {
        let mut digest = self.session.bound_to(b"tacitly-psi-1 order\n").chain_update(self.size().to_be_bytes());
        for packed in &self.common {
            digest.update(tag_of(*packed).to_be_bytes());
        }
        OrderDigest { count: self.size(), digest: digest.finalize().into() }
    }
}

#[cfg(test)]
mod tests {
    use tacitly_core::PartyId;

    use super::*;
    use crate::terms::{Member, PsiTerms};

    #[test]
    fn packed_tags_sort_by_tag_and_keep_their_place() {
        let longest = pack(&[0xff; 13], (1 << PLACE_BITS) - 1);
        assert_eq!(longest, u128::MAX);
        assert_eq!((tag_of(longest), place_of(longest)), ((1 << 104) - 1, (1 << PLACE_BITS) - 1));
        assert!(pack(&[1, 0], 9) < pack(&[1, 1], 0) && pack(&[1, 1], 0) < pack(&[1, 1], 1));
    }

    #[test]
    fn padding_whose_tag_collides_with_an_item_of_the_peer_names_no_item() {
        let ids: [PartyId; 2] = ["a", "b"].map(|id| id.parse().unwrap());
        let members = ids.map(|id| Member::new(id, 2).padded(3));
        let terms = PsiTerms::new(Flow::Intersect, members, &ids, &["raw"], "j").unwrap();
        // The padding, index 2, stands at place 0 of the list.
        let own = OwnTags {
            session: Arc::new(Session::new(terms, ids[0], "all").unwrap()),
            items: ["x", "y"].into_iter().collect(),
            order: Zeroizing::new(vec![2, 1, 0]),
            tags: vec![pack(b"tag-pad", 0), pack(b"tag-y..", 1), pack(b"tag-x..", 2)],
        };
        let peer = PeerTags { bytes: b"tag-y..tag-padtag-z..".to_vec(), tag_bytes: 7 };
        assert_eq!(own.compare(&peer).unwrap_or_else(|fault| panic!("{fault}")).ascending(), [1]);
    }
}
