//! The role a party plays for its own set: mask it, let it go, and read the answers.

use std::sync::Arc;

use rayon::prelude::*;
use sha2::{Digest, Sha256};
use tacitly_core::{Misuse, Seed, Violation};
use tacitly_curve25519_batch::{SecretScalar, hash_mul_encode};
use zeroize::Zeroizing;

use crate::items::Items;
use crate::matching::{OwnTags, pack};
use crate::message::{BlindedPoints, ListDigest, Tags};
use crate::order::random_order;
use crate::session::{AskerSecrets, RunningDigest, Session, TASK};
use crate::violation;
use crate::wire::Due;

/// The round in which answers come.
const ANSWERS: u32 = 2;

/// One party and its own set.
///
/// Learns: in the last state, and only if the peer answers, the tags of its own items masked by both.
///
/// The states follow one another by value, so a list cannot leave twice and no answer is read before the list is out:
///
/// ```
/// use tacitly_psi::{Asker, Blinded, Blinding, ListDigest, Tags, AwaitAnswers};
/// fn rounds(mut asker: Asker<Blinding>, tags: Tags, digest: ListDigest) {
///     let mut waiting = loop {
///         match asker.blind() {
///             Blinded::Chunk(_points, rest) => asker = rest,
///             Blinded::All(_digest, waiting) => break waiting,
///         }
///     };
///     waiting.absorb(&tags);
///     let _own_tags = waiting.finish(digest);
/// }
/// ```
///
/// ```compile_fail
/// use tacitly_psi::{Asker, Blinded, Blinding, ListDigest, Tags, AwaitAnswers};
/// fn answers_before_the_list_is_out(mut asker: Asker<Blinding>, tags: Tags) {
///     asker.absorb(&tags);
/// }
/// ```
pub struct Asker<S> {
    session: Arc<Session>,
    state: S,
}

/// The list is on its way out.
pub struct Blinding {
    key: Arc<SecretScalar>,
    items: Items,
    padding: Seed,
    /// Place in the list → item; an index behind the last item stands for padding.
    order: Zeroizing<Vec<u32>>,
    /// The hashes of the items of one frame.
    uniform: Zeroizing<Vec<[u8; 32]>>,
    done: usize,
    digest: RunningDigest,
}

/// The list is out; its tags are awaited, if this party is a receiver.
pub struct AwaitAnswers {
    items: Items,
    order: Zeroizing<Vec<u32>>,
    tags: Vec<u128>,
    digest: RunningDigest,
}

/// What [`Asker::blind`] gives.
pub enum Blinded {
    /// The next entries of the list.
    Chunk(BlindedPoints, Asker<Blinding>),
    /// Every entry is out: the digest of the list.
    All(ListDigest, Asker<AwaitAnswers>),
}

impl Asker<Blinding> {
    /// Puts the items, filled up with padding, into their secret random order.
    ///
    /// # Errors
    /// [`Misuse::Input`] if there are not as many items as the terms say.
    pub fn new(session: Arc<Session>, items: Items, secrets: AskerSecrets) -> Result<Self, Misuse> {
        let me = session.me();
        let (found, list) = (items.len() as u64, me.list());
        let fits = match me.padded {
            None => found == me.items,
            Some(length) => found <= length.min(me.items),
        };
        if !fits {
            return Err(Misuse::Input("there are more or fewer items than the terms say"));
        }
        let state = Blinding {
            key: secrets.key,
            padding: secrets.padding,
            // At most MAX_ROWS: the session has checked.
            order: random_order(list as u32, secrets.order),
            uniform: Zeroizing::new(vec![[0; 32]; session.next_count(list as usize, 0)]),
            done: 0,
            digest: session.set_digest(me.id),
            items,
        };
        Ok(Self { session, state })
    }

    /// How many entries are out.
    #[must_use]
    pub fn done(&self) -> usize {
        self.state.done
    }

    /// Masks the next entries of the list: for each the u-coordinate of the secret scalar times the point that the
    /// item hashes to.
    #[must_use]
    pub fn blind(self) -> Blinded {
        let Self { session, mut state } = self;
        let count = session.next_count(state.order.len(), state.done);
        if count == 0 {
            let list = state.order.len();
            let waiting = AwaitAnswers {
                items: state.items,
                order: state.order,
                tags: Vec::with_capacity(if session.receives() { list } else { 0 }),
                digest: session.tags_digest(session.peer().id),
            };
            return Blinded::All(state.digest.finish(), Asker { session, state: waiting });
        }
        let chosen = &state.order[state.done..state.done + count];
        let uniform = &mut state.uniform[..count];
        let start = session.item_hash();
        uniform.par_chunks_mut(TASK).zip(chosen.par_chunks(TASK)).for_each(|(out, chosen)| {
            let gathered = state.items.gather(chosen);
            let mut items = gathered.iter();
            for (out, index) in out.iter_mut().zip(chosen) {
                let item = if (*index as usize) < state.items.len() { items.next() } else { None };
                *out = match item {
                    Some(item) => start.clone().chain_update(item).finalize().into(),
                    None => padding(&state.padding, *index),
                };
            }
        });
        let mut points = vec![[0; 32]; count];
        hash_mul_encode(&state.key, uniform, &mut points);
        let points = points.into_flattened();
        state.digest.update(&points);
        state.done += count;
        Blinded::Chunk(BlindedPoints(points.into()), Self { session, state })
    }
}

/// What stands in for the hash of an item where there is none: nobody else can hash anything to it.
fn padding(secret: &Seed, index: u32) -> [u8; 32] {
    Sha256::new().chain_update(secret.expose()).chain_update(index.to_be_bytes()).finalize().into()
}

impl Asker<AwaitAnswers> {
    /// The answers that the next frame must hold; none when all are in.
    pub(crate) fn due(&self) -> Due {
        let at = self.state.tags.len();
        Due { round: ANSWERS, at, count: self.session.next_count(self.state.order.len(), at) }
    }

    /// How many answers are in.
    #[must_use]
    pub fn done(&self) -> usize {
        self.state.tags.len()
    }

    /// Takes the next answers. Tags beyond the end of the list are ignored here; wherever bytes become [`Tags`], their
    /// number has been checked.
    pub fn absorb(&mut self, tags: &Tags) {
        let state = &mut self.state;
        state.digest.update(&tags.bytes);
        let first = state.tags.len();
        let room = state.order.len() - first;
        state.tags.extend(tags.iter().take(room).zip(first..).map(|(tag, place)| pack(tag, place)));
    }

    /// Ends the answers with the digest that the peer gives for them.
    ///
    /// # Errors
    /// [`violation::COUNT`] if answers are missing, [`violation::TAGS_DIGEST`] if these are not the ones that were sent.
    pub fn finish(self, claimed: ListDigest) -> Result<OwnTags, Violation> {
        let Self { session, state } = self;
        let refused = |code| Err(Violation { code, round: ANSWERS, index: None });
        if state.tags.len() != state.order.len() {
            return refused(violation::COUNT);
        }
        if state.digest.finish() != claimed {
            return refused(violation::TAGS_DIGEST);
        }
        Ok(OwnTags { session, items: state.items, order: state.order, tags: state.tags })
    }
}
