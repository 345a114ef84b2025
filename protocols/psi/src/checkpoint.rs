//! What must be durable before the first answer leaves, so that a resumed session answers the same list again or none.

use sha2::{Digest, Sha256};
use tacitly_core::{Checkpoint, Misuse, Seed};

use crate::items::Items;
use crate::message::ListDigest;
use crate::session::Session;

/// The slot of the one thing that a party of an intersection keeps.
pub(crate) const SLOT: &str = "peer-set";

const FORMAT: &[u8] = b"tacitly-psi-checkpoint-1\n";

/// A fingerprint of our own items. It is keyed with the seed, so it says nothing to whoever lacks that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(crate) fn of(items: &Items, bound: &Seed) -> Self {
        let mut digest = Sha256::new().chain_update(bound.derive("fingerprint").expose());
        let (bytes, ends) = items.parts();
        digest.update((ends.len() as u64).to_be_bytes());
        for ends in ends.chunks(512) {
            let mut buffer = [0; 512 * 8];
            buffer.as_chunks_mut().0.iter_mut().zip(ends).for_each(|(out, end)| *out = end.to_be_bytes());
            digest.update(&buffer[..ends.len() * 8]);
        }
        Self(digest.chain_update(bytes).finalize().into())
    }
}

/// Format, session, fingerprint of our items, digest of the peer's list.
pub(crate) fn write(session: &Session, own: Fingerprint, peer: ListDigest) -> Checkpoint {
    Checkpoint::new(SLOT, [FORMAT, &session.tag().0, &own.0, &peer.0].concat())
}

/// The digest of the peer's list for which answers may have left.
///
/// # Errors
/// [`Misuse::Input`] if it is not a checkpoint, or one of another session or of other items.
pub(crate) fn read(checkpoint: &Checkpoint, session: &Session, own: Fingerprint) -> Result<ListDigest, Misuse> {
    let other = Misuse::Input("this is not a checkpoint of an intersection");
    let rest = checkpoint.bytes.strip_prefix(FORMAT).filter(|_| checkpoint.slot == SLOT).ok_or(other.clone())?;
    let rest = rest.strip_prefix(&session.tag().0).ok_or(Misuse::Input("the checkpoint is of another session"))?;
    let rest = rest.strip_prefix(&own.0).ok_or(Misuse::Input("the checkpoint was made with other items or seed"))?;
    rest.try_into().map(ListDigest).map_err(|_| other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_depends_on_every_byte_every_cut_and_the_seed() {
        let of =
            |items: &[&str], seed| Fingerprint::of(&items.iter().collect::<Items>(), &Seed::from_bytes([seed; 32]));
        let first = of(&["ab", "c"], 1);
        assert_eq!(first, of(&["ab", "c"], 1));
        for other in [of(&["ab", "d"], 1), of(&["a", "bc"], 1), of(&["ab", "c", ""], 1), of(&["ab", "c"], 2)] {
            assert_ne!(first, other);
        }
    }
}
