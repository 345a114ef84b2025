//! The role a party plays for the peer's set: mask it a second time, and answer it once it is whole.

use std::sync::Arc;

use rayon::prelude::*;
use sha2::{Digest, Sha256};
use tacitly_core::{Seed, Violation};
use tacitly_curve25519_batch::{SecretScalar, mul_encode};
use zeroize::Zeroizing;

use crate::message::{BlindedPoints, ListDigest, POINT_BYTES, Tags};
use crate::order::random_order;
use crate::session::{AnswererSecrets, RunningDigest, Session, TASK};
use crate::terms::Flow;
use crate::violation;
use crate::wire::Due;

/// The round in which the peer's list comes.
const SETS: u32 = 1;

/// One party and the peer's set.
///
/// Learns: the tags of the peer's items masked by both, which say something only beside the answers to one's own list.
///
/// Answers exist only in the last state. It is reached when the whole list is in, and its digest is durable or equal to
/// the one that was durable before, so a peer gets answers for one list per job, whatever crashes in between:
///
/// ```
/// use tacitly_psi::{Absorbing, Answerer, Answering, BlindedPoints, Complete, ListDigest};
/// fn rounds(mut answerer: Answerer<Absorbing>, points: BlindedPoints, claimed: ListDigest) {
///     answerer.absorb(&points).unwrap();
///     let complete: Answerer<Complete> = answerer.finish(claimed).unwrap();
///     let answering: Answerer<Answering> = complete.stored();
///     let _answers = answering.answer();
/// }
/// ```
///
/// ```compile_fail
/// use tacitly_psi::{Absorbing, Answerer, Answering, BlindedPoints, Complete, ListDigest};
/// fn answers_before_the_digest_is_durable(complete: Answerer<Complete>) {
///     let _answers = complete.answer();
/// }
/// ```
pub struct Answerer<S> {
    session: Arc<Session>,
    state: S,
}

/// The peer's list is coming in.
pub struct Absorbing {
    key: Arc<SecretScalar>,
    done: usize,
    tags: Vec<u8>,
    digest: RunningDigest,
    order: Seed,
}

/// The peer's list is whole; its digest is not yet durable.
pub struct Complete {
    tags: Arc<PeerTags>,
    digest: ListDigest,
    order: Seed,
}

/// The answers are on their way out.
pub struct Answering {
    tags: Arc<PeerTags>,
    /// Place among the answers → place in the list; the same place where there is none.
    shuffle: Option<Zeroizing<Vec<u32>>>,
    done: usize,
    digest: RunningDigest,
}

/// What [`Answerer::answer`] gives.
pub enum Answered {
    /// The next answers.
    Chunk(Tags, Answerer<Answering>),
    /// Every answer is out: their digest.
    All(ListDigest),
}

/// The tags of the peer's list, masked by both, in the order of the list.
pub struct PeerTags {
    pub(crate) bytes: Vec<u8>,
    pub(crate) tag_bytes: usize,
}

impl PeerTags {
    /// The tags in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.bytes.chunks_exact(self.tag_bytes)
    }
}

impl Answerer<Absorbing> {
    /// Waits for the peer's list.
    #[must_use]
    pub fn new(session: Arc<Session>, secrets: AnswererSecrets) -> Self {
        // The peer's list has at most MAX_ROWS entries: the session has checked.
        let capacity = session.peer().list() as usize * session.terms().tag_bytes();
        let state = Absorbing {
            key: secrets.key,
            done: 0,
            tags: Vec::with_capacity(capacity),
            digest: session.set_digest(session.peer().id),
            order: secrets.order,
        };
        Self { session, state }
    }

    /// The points that the next frame must hold; none when all are in.
    pub(crate) fn due(&self) -> Due {
        let (at, length) = (self.state.done, self.session.peer().list() as usize);
        Due { round: SETS, at, count: self.session.next_count(length, at) }
    }

    /// How many points are in.
    #[must_use]
    pub fn done(&self) -> usize {
        self.state.done
    }

    /// Multiplies the next points of the peer's list and keeps their tags.
    ///
    /// # Errors
    /// [`violation::LOW_ORDER_POINT`] if a point has low order, [`violation::COUNT`] if the list is longer than agreed.
    pub fn absorb(&mut self, points: &BlindedPoints) -> Result<(), Violation> {
        let tag_bytes = self.session.terms().tag_bytes();
        let state = &mut self.state;
        let input = points.as_points();
        if state.done + input.len() > self.session.peer().list() as usize {
            return Err(Violation { code: violation::COUNT, round: SETS, index: Some(input.len() as u64) });
        }
        let mut twice = vec![[0; POINT_BYTES]; input.len()];
        mul_encode(&state.key, input, &mut twice).map_err(|bad| Violation {
            code: violation::LOW_ORDER_POINT,
            round: SETS,
            index: Some((state.done + bad.index) as u64),
        })?;
        let first = state.tags.len();
        state.tags.resize(first + input.len() * tag_bytes, 0);
        state.tags[first..].par_chunks_mut(TASK * tag_bytes).zip(twice.par_chunks(TASK)).for_each(|(out, twice)| {
            for (out, point) in out.chunks_exact_mut(tag_bytes).zip(twice) {
                out.copy_from_slice(&tag_hash(point)[..tag_bytes]);
            }
        });
        state.digest.update(input.as_flattened());
        state.done += input.len();
        Ok(())
    }

    /// Ends the list with the digest that the peer gives for it.
    ///
    /// # Errors
    /// [`violation::COUNT`] if points are missing, [`violation::SET_DIGEST`] if these are not the ones that were sent.
    pub fn finish(self, claimed: ListDigest) -> Result<Answerer<Complete>, Violation> {
        let Self { session, state } = self;
        let refused = |code| Err(Violation { code, round: SETS, index: None });
        if state.done as u64 != session.peer().list() {
            return refused(violation::COUNT);
        }
        let digest = state.digest.finish();
        if digest != claimed {
            return refused(violation::SET_DIGEST);
        }
        let tags = Arc::new(PeerTags { bytes: state.tags, tag_bytes: session.terms().tag_bytes() });
        Ok(Answerer { session, state: Complete { tags, digest, order: state.order } })
    }
}

/// The hash whose first bytes are an entry's tag. With 18 bytes of domain it is one block.
fn tag_hash(point: &[u8; POINT_BYTES]) -> [u8; 32] {
    Sha256::new().chain_update(b"tacitly-psi-1 tag\n").chain_update(point).finalize().into()
}

impl Answerer<Complete> {
    /// What must be durable before the first answer leaves.
    #[must_use]
    pub fn digest(&self) -> ListDigest {
        self.state.digest
    }

    /// The tags, for comparing them with the answers to one's own list.
    #[must_use]
    pub fn tags(&self) -> Arc<PeerTags> {
        Arc::clone(&self.state.tags)
    }

    /// The caller has made [`Answerer::digest`] durable: the answers may leave.
    #[must_use]
    pub fn stored(self) -> Answerer<Answering> {
        let Self { session, state } = self;
        let shuffle =
            (session.flow() == Flow::Cardinality).then(|| random_order(session.peer().list() as u32, state.order));
        let digest = session.tags_digest(session.me().id);
        Answerer { session, state: Answering { tags: state.tags, shuffle, done: 0, digest } }
    }

    /// Goes on after a resumption, in which answers for the list with the digest `earlier` may have left before.
    ///
    /// # Errors
    /// [`violation::SET_CHANGED`] if this list is another.
    pub fn resumed(self, earlier: ListDigest) -> Result<Answerer<Answering>, Violation> {
        if self.state.digest == earlier {
            Ok(self.stored())
        } else {
            Err(Violation { code: violation::SET_CHANGED, round: SETS, index: None })
        }
    }
}

impl Answerer<Answering> {
    /// How many answers are out.
    #[must_use]
    pub fn done(&self) -> usize {
        self.state.done
    }

    /// The next answers, in the order of the peer's list, or in a secret random order where only their number may be
    /// learned.
    #[must_use]
    pub fn answer(mut self) -> Answered {
        let state = &mut self.state;
        let tag_bytes = state.tags.tag_bytes;
        let count = self.session.next_count(self.session.peer().list() as usize, state.done);
        if count == 0 {
            return Answered::All(self.state.digest.finish());
        }
        let places = state.done..state.done + count;
        let bytes = match &state.shuffle {
            None => state.tags.bytes[places.start * tag_bytes..places.end * tag_bytes].to_vec(),
            Some(shuffle) => {
                let mut bytes = Vec::with_capacity(count * tag_bytes);
                for place in &shuffle[places] {
                    let at = *place as usize * tag_bytes;
                    bytes.extend_from_slice(&state.tags.bytes[at..at + tag_bytes]);
                }
                bytes
            }
        };
        state.digest.update(&bytes);
        state.done += count;
        Answered::Chunk(Tags { bytes: bytes.into(), tag_bytes }, self)
    }
}
