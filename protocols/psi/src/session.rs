//! One party's view of one session: the agreed terms, who is who, and the secrets drawn for it.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tacitly_core::{Misuse, PartyId, Seed, SessionTag, Terms, TermsHash};
use tacitly_curve25519_batch::SecretScalar;

use crate::message::ListDigest;
use crate::terms::{Flow, MAX_ROWS, Member, PsiTerms};

/// Entries of a frame that one task hashes at a time, as many as one task of the kernel multiplies.
pub(crate) const TASK: usize = 512;

/// The agreed terms as one party sees them in the session of one label.
///
/// Every digest that either side makes starts from here, so nothing made in one session fits another.
#[derive(Clone, Debug)]
pub struct Session {
    terms: PsiTerms,
    canonical: Terms,
    hash: TermsHash,
    tag: SessionTag,
    label: String,
    me: Member,
    peer: Member,
}

impl Session {
    /// The view of the party `me` on the session that runs `label` (such as `all` or `bucket-17`).
    ///
    /// # Errors
    /// [`Misuse::Input`] if the terms do not name `me`, [`Misuse::TooManyRows`] if a list is longer than
    /// [`MAX_ROWS`].
    pub fn new(terms: PsiTerms, me: PartyId, label: &str) -> Result<Self, Misuse> {
        let [first, second] = *terms.members();
        let (me, peer) = match me {
            id if id == first.id => (first, second),
            id if id == second.id => (second, first),
            _ => return Err(Misuse::Input("the terms do not name this party")),
        };
        if let Some(found) = [me.list(), peer.list()].into_iter().find(|length| *length > MAX_ROWS) {
            return Err(Misuse::TooManyRows { found, limit: MAX_ROWS });
        }
        let canonical = terms.to_terms();
        let hash = canonical.hash();
        Ok(Self { tag: SessionTag::of(&hash, label), label: label.to_owned(), terms, canonical, hash, me, peer })
    }

    /// The agreed terms.
    #[must_use]
    pub fn terms(&self) -> &PsiTerms {
        &self.terms
    }

    /// This side.
    #[must_use]
    pub fn me(&self) -> &Member {
        &self.me
    }

    /// The other side.
    #[must_use]
    pub fn peer(&self) -> &Member {
        &self.peer
    }

    /// Whether this side learns the result.
    #[must_use]
    pub fn receives(&self) -> bool {
        self.terms.receivers().contains(&self.me.id)
    }

    /// Whether the other side learns the result, so that this side answers its list.
    #[must_use]
    pub fn answers(&self) -> bool {
        self.terms.receivers().contains(&self.peer.id)
    }

    /// The name of the session on every frame.
    #[must_use]
    pub fn tag(&self) -> SessionTag {
        self.tag
    }

    /// What this session's tag would be under other terms.
    pub(crate) fn tag_under(&self, terms: &Terms) -> SessionTag {
        SessionTag::of(&terms.hash(), &self.label)
    }

    /// The terms as they go over the wire.
    pub(crate) fn canonical(&self) -> &Terms {
        &self.canonical
    }

    pub(crate) fn flow(&self) -> Flow {
        self.terms.flow()
    }

    /// How many entries the next frame of a list of `length` holds when `done` are through.
    pub(crate) fn next_count(&self, length: usize, done: usize) -> usize {
        (length - done).min(self.terms.chunk() as usize)
    }

    /// The start of an item's hash, one full block: 32 bytes of domain, 32 of terms. Most items then cost one block.
    pub(crate) fn item_hash(&self) -> Sha256 {
        Sha256::new().chain_update(b"tacitly-psi-1: item to uniform.\n").chain_update(self.hash.0)
    }

    pub(crate) fn set_digest(&self, sender: PartyId) -> RunningDigest {
        self.digest(b"tacitly-psi-1 set\n", sender)
    }

    pub(crate) fn tags_digest(&self, sender: PartyId) -> RunningDigest {
        self.digest(b"tacitly-psi-1 tags\n", sender)
    }

    fn digest(&self, domain: &[u8], sender: PartyId) -> RunningDigest {
        let name = sender.as_str().as_bytes();
        let start = self.bound_to(domain).chain_update([name.len() as u8]).chain_update(name);
        RunningDigest(start)
    }

    /// A hash bound to this session and to a domain, which ends with a line feed and holds no other.
    pub(crate) fn bound_to(&self, domain: &[u8]) -> Sha256 {
        Sha256::new().chain_update(domain).chain_update(self.hash.0).chain_update(self.tag.0)
    }
}

/// The digest of a list that is still passing.
#[derive(Clone)]
pub(crate) struct RunningDigest(Sha256);

impl RunningDigest {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> ListDigest {
        ListDigest(self.0.finalize().into())
    }
}

/// What a party draws for the role that asks. Not `Clone`, `Debug`, `PartialEq`; wiped on drop.
pub struct AskerSecrets {
    pub(crate) key: Arc<SecretScalar>,
    pub(crate) order: Seed,
    pub(crate) padding: Seed,
}

/// What a party draws for the role that answers. Not `Clone`, `Debug`, `PartialEq`; wiped on drop.
pub struct AnswererSecrets {
    pub(crate) key: Arc<SecretScalar>,
    pub(crate) order: Seed,
}

impl Session {
    /// The part of `seed` that belongs to this session: another job, label or terms give an independent one, so a seed
    /// that is used twice by mistake still gives two scalars.
    #[must_use]
    pub fn bind(&self, seed: &Seed) -> Seed {
        seed.derive(&format!("tacitly-psi-1 {} {}", self.hash, self.label))
    }

    /// Draws the secrets of both roles from a bound seed. Both hold the one secret multiplier of this session, which is
    /// wiped when both lists are through.
    #[must_use]
    pub fn draw(bound: &Seed) -> (AskerSecrets, AnswererSecrets) {
        let key = Arc::new(SecretScalar::random(&mut bound.derive("scalar").into_rng()));
        let asker =
            AskerSecrets { key: Arc::clone(&key), order: bound.derive("list order"), padding: bound.derive("padding") };
        (asker, AnswererSecrets { key, order: bound.derive("answer order") })
    }
}
