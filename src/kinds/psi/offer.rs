//! What a party says of its set before anything runs.

use serde::{Deserialize, Serialize};
use tacitly_core::PartyId;

use super::plan::Capacity;
use crate::codes::Error;
use crate::jobs::Offers;

/// A party's set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Offer {
    /// Its distinct keys.
    pub(super) items: u64,
    /// Its rule sets a minimum, so that it learns the size before it releases anything.
    pub(super) wants_size: bool,
    /// What fits into its memory.
    pub(super) capacity: Capacity,
}

impl Offer {
    pub(super) fn to_bytes(self) -> Result<Vec<u8>, Error> {
        serde_json::to_vec(&self).map_err(|error| Error::internal(error.to_string()))
    }

    pub(super) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// The offer of a party.
    pub(super) fn of(offers: &Offers, party: PartyId) -> Result<Self, Error> {
        let offer = offers.get(&party).and_then(|bytes| Self::of_bytes(bytes));
        offer.ok_or_else(|| Error::lie(party, "what it says of its set cannot be read"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_reads_back_and_nothing_else_is_one() {
        let offer = Offer { items: u64::MAX, wants_size: true, capacity: Capacity { whole: 4, bucket: 2 } };
        assert_eq!(Offer::of_bytes(&offer.to_bytes().unwrap()), Some(offer));
        for bytes in ["", "{}", "[]", r#"{"items":-1,"wants_size":true,"capacity":{"whole":1,"bucket":1}}"#] {
            assert_eq!(Offer::of_bytes(bytes.as_bytes()), None, "{bytes}");
        }
        let peer = "shop".parse().unwrap();
        let offers = Offers::from([(peer, bytes::Bytes::from_static(b"no"))]);
        assert_eq!(Offer::of(&offers, peer).unwrap_err().who, Some(peer));
    }
}
