//! Both roles of one party behind the one shape that drivers know.

use std::mem;
use std::sync::Arc;

use bytes::Bytes;
use tacitly_core::{Channel, Checkpoint, Fault, Frame, Misuse, Party, PartyId, Progress, Seed, Stall, Violation, code};

use crate::answerer::{Absorbing, Answered, Answerer, Answering, Complete, PeerTags};
use crate::asker::{Asker, AwaitAnswers, Blinded, Blinding};
use crate::checkpoint::{self, Fingerprint};
use crate::items::Items;
use crate::matching::Matched;
use crate::message::{ListDigest, OrderDigest};
use crate::session::Session;
use crate::terms::{Flow, PsiTerms};
use crate::{violation, wire};

/// What a party holds when a session has ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PsiOutcome {
    /// What it learned.
    pub answer: PsiAnswer,
    /// The length of the peer's list, padding included.
    pub peer_size: u64,
}

/// What a session tells one party.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PsiAnswer {
    /// Nothing: it served the other side.
    Served,
    /// The indices of its items that the peer holds too, ascending.
    Matched(Vec<u32>),
    /// The same indices in an order that both parties share: the first index of each names the same item, and so on.
    Aligned(Vec<u32>),
    /// How many items both hold.
    Size(u64),
}

/// One party of a two-party intersection.
///
/// It plays two roles at once: the [`Asker`] for its own set and the [`Answerer`] for the peer's. Own points leave and
/// the peer's are multiplied as they come, so computing and the network overlap. What leaves depends on the seed and
/// the input only, never on timing: frames are the same bytes in the same order in every run.
///
/// Learns: a receiver what [`PsiAnswer`] says of its flow; everyone the length of the peer's list. Model: semi-honest.
/// The README of this crate has the whole table.
pub struct PsiParty {
    session: Arc<Session>,
    channel: Channel,
    fingerprint: Option<Fingerprint>,
    /// The digest of the list that was answered before a resumption.
    earlier: Option<ListDigest>,
    sending: Sending,
    receiving: Receiving,
    release: Release,
    /// Our own list is out and its answers come.
    waiting: Option<Asker<AwaitAnswers>>,
    checkpoint: Option<Checkpoint>,
    order: Option<OrderDigest>,
    outcome: Option<PsiOutcome>,
    over: bool,
}

/// What leaves next.
enum Sending {
    Opening(Asker<Blinding>),
    Set(Asker<Blinding>),
    Answers,
    Order,
    Nothing,
}

/// What must come next.
enum Receiving {
    Opening(Answerer<Absorbing>),
    Set(Answerer<Absorbing>),
    Answers(Arc<PeerTags>),
    Order(OrderDigest),
    Nothing,
}

/// How far the answers are that this party gives.
enum Release {
    /// The peer's list is not whole, or nothing is answered.
    Nothing,
    /// The digest of the peer's list is not yet durable.
    Storing(Answerer<Complete>),
    Ready(Answerer<Answering>),
}

impl PsiParty {
    /// The slot of the one checkpoint that a party gives.
    pub const CHECKPOINT_SLOT: &str = checkpoint::SLOT;

    /// The stage in which our own list leaves, as [`Party::progress`] names it.
    pub const BLINDING: &str = "blinding our items";

    /// The party `me` in the session that runs `label` under `terms`; a job in one session calls it `all`, one in
    /// buckets has a label per bucket. `items` are distinct; their indices are what the answer speaks of.
    ///
    /// `seed` is drawn fresh for the job and sealed until the job has ended. A session that was cut off starts again with
    /// the same seed, label and items, and with the last [`Checkpoint`] that the earlier party gave, if it gave one.
    ///
    /// It computes for some milliseconds per hundred thousand items: call it on a compute pool.
    ///
    /// # Errors
    /// [`Misuse::TooManyRows`] above [`MAX_ROWS`](crate::MAX_ROWS), [`Misuse::Input`] if `me` is no party, if the
    /// number of items is not the agreed one, or if the checkpoint is of another session, seed or input.
    pub fn new(
        terms: PsiTerms,
        me: PartyId,
        label: &str,
        items: Items,
        seed: Seed,
        resume: Option<Checkpoint>,
    ) -> Result<Self, Fault> {
        let session = Arc::new(Session::new(terms, me, label)?);
        let bound = session.bind(&seed);
        let fingerprint = session.answers().then(|| Fingerprint::of(&items, &bound));
        let earlier = match (&resume, fingerprint) {
            (None, _) => None,
            (Some(earlier), Some(own)) => Some(checkpoint::read(earlier, &session, own)?),
            (Some(_), None) => return Err(Misuse::Input("a party that answers nothing has no checkpoint").into()),
        };
        let (asking, answering) = Session::draw(&bound);
        let asker = Asker::new(Arc::clone(&session), items, asking)?;
        let answerer = Answerer::new(Arc::clone(&session), answering);
        let served = PsiOutcome { answer: PsiAnswer::Served, peer_size: session.peer().list() };
        Ok(Self {
            channel: Channel::new(session.tag()),
            fingerprint,
            earlier,
            sending: Sending::Opening(asker),
            receiving: Receiving::Opening(answerer),
            release: Release::Nothing,
            waiting: None,
            checkpoint: None,
            order: None,
            outcome: (!session.receives()).then_some(served),
            over: false,
            session,
        })
    }

    /// The frame bodies in their one order: opening, points, set digest, answers, answers' digest, order.
    fn next_body(&mut self) -> Option<Bytes> {
        match mem::replace(&mut self.sending, Sending::Nothing) {
            Sending::Opening(asker) => {
                self.sending = Sending::Set(asker);
                Some(wire::write_opening(self.session.canonical()))
            }
            // No point leaves before the peer has shown the same terms.
            Sending::Set(asker) if matches!(self.receiving, Receiving::Opening(_)) => {
                self.sending = Sending::Set(asker);
                None
            }
            Sending::Set(asker) => match asker.blind() {
                Blinded::Chunk(points, rest) => {
                    self.sending = Sending::Set(rest);
                    Some(wire::write_points(points))
                }
                Blinded::All(digest, waiting) => {
                    self.waiting = self.session.receives().then_some(waiting);
                    self.sending = if self.session.answers() { Sending::Answers } else { Sending::Nothing };
                    Some(wire::write_set_digest(digest))
                }
            },
            Sending::Answers => match mem::replace(&mut self.release, Release::Nothing) {
                Release::Ready(answerer) => match answerer.answer() {
                    Answered::Chunk(tags, rest) => {
                        self.sending = Sending::Answers;
                        self.release = Release::Ready(rest);
                        Some(wire::write_tags(tags))
                    }
                    Answered::All(digest) => {
                        let aligns = self.session.flow() == Flow::Align;
                        self.sending = if aligns { Sending::Order } else { Sending::Nothing };
                        Some(wire::write_tags_digest(digest))
                    }
                },
                unready => {
                    self.sending = Sending::Answers;
                    self.release = unready;
                    None
                }
            },
            Sending::Order => match self.order.take() {
                Some(order) => Some(wire::write_order(order)),
                None => {
                    self.sending = Sending::Order;
                    None
                }
            },
            Sending::Nothing => None,
        }
    }

    fn take(&mut self, frame: Frame) -> Result<(), Fault> {
        let blame = Fault::of(self.session.peer().id);
        let round = self.round();
        let unexpected = || Violation { code: code::UNEXPECTED, round, index: None };
        if let Receiving::Opening(_) = self.receiving {
            self.compare_terms(&frame)?;
        }
        let body = self.channel.unpack(frame, round).map_err(&blame)?;
        self.receiving = match mem::replace(&mut self.receiving, Receiving::Nothing) {
            Receiving::Opening(answerer) => {
                // The tag is ours, so whatever is not our terms contradicts it.
                if wire::read_opening(body).map_err(&blame)? != *self.session.canonical() {
                    return Err(blame(Violation { code: code::MALFORMED, round, index: None }));
                }
                Receiving::Set(answerer)
            }
            Receiving::Set(mut answerer) => {
                let due = answerer.due();
                if due.count > 0 {
                    let points = wire::read_points(body, due).map_err(&blame)?;
                    answerer.absorb(&points).map_err(&blame)?;
                    Receiving::Set(answerer)
                } else {
                    let claimed = wire::read_set_digest(body, round).map_err(&blame)?;
                    self.complete(answerer.finish(claimed).map_err(&blame)?)?
                }
            }
            Receiving::Answers(theirs) => {
                let mut asker = self.waiting.take().ok_or_else(unexpected).map_err(&blame)?;
                let due = asker.due();
                if due.count > 0 {
                    let tag_bytes = self.session.terms().tag_bytes();
                    asker.absorb(&wire::read_tags(body, tag_bytes, due).map_err(&blame)?);
                    self.waiting = Some(asker);
                    Receiving::Answers(theirs)
                } else {
                    let claimed = wire::read_tags_digest(body, round).map_err(&blame)?;
                    self.learn(asker.finish(claimed).map_err(&blame)?.compare(&theirs)?)
                }
            }
            Receiving::Order(ours) => {
                let theirs = wire::read_order(body, round).map_err(&blame)?;
                // An honest peer knows the order only from answers that are all out.
                if !matches!(self.sending, Sending::Order | Sending::Nothing) {
                    return Err(blame(unexpected()));
                }
                if ours != theirs {
                    return Err(blame(Violation { code: violation::ORDER_DIGEST, round, index: None }));
                }
                Receiving::Nothing
            }
            Receiving::Nothing => return Err(blame(unexpected())),
        };
        Ok(())
    }

    /// Other terms give another session tag, so terms are compared before the tag is judged: two honest sides that
    /// disagree must hear in which field, and not accuse each other. An opening whose tag is not that of its own terms
    /// is no disagreement.
    fn compare_terms(&self, frame: &Frame) -> Result<(), Fault> {
        if frame.session != self.session.tag()
            && frame.sequence == 0
            && frame.body.len() <= Frame::MAX_BODY
            && let Ok(theirs) = wire::read_opening(frame.body.clone())
            && frame.session == self.session.tag_under(&theirs)
        {
            let who = self.session.peer().id;
            self.session.canonical().agree_with(&theirs).map_err(|mismatch| Fault::Terms { who, mismatch })?;
        }
        Ok(())
    }

    /// The peer's set is whole: what must come next, and whether its answers may leave.
    fn complete(&mut self, answerer: Answerer<Complete>) -> Result<Receiving, Fault> {
        let next = if self.session.receives() { Receiving::Answers(answerer.tags()) } else { Receiving::Nothing };
        self.release = match (self.fingerprint, self.earlier) {
            (None, _) => Release::Nothing,
            (Some(_), Some(earlier)) => {
                Release::Ready(answerer.resumed(earlier).map_err(Fault::of(self.session.peer().id))?)
            }
            (Some(own), None) => {
                self.checkpoint = Some(checkpoint::write(&self.session, own, answerer.digest()));
                Release::Storing(answerer)
            }
        };
        Ok(next)
    }

    /// The answer is there: what must come next.
    fn learn(&mut self, matched: Matched) -> Receiving {
        let answer = match self.session.flow() {
            Flow::Intersect => PsiAnswer::Matched(matched.ascending()),
            Flow::Align => PsiAnswer::Aligned(matched.aligned()),
            Flow::Cardinality => PsiAnswer::Size(matched.size()),
        };
        self.outcome = Some(PsiOutcome { answer, peer_size: self.session.peer().list() });
        if self.session.flow() == Flow::Align {
            let order = matched.order_digest();
            self.order = Some(order);
            Receiving::Order(order)
        } else {
            Receiving::Nothing
        }
    }

    /// The round in which the next frame is expected, or the last one.
    fn round(&self) -> u32 {
        match self.receiving {
            Receiving::Opening(_) => 0,
            Receiving::Set(_) => 1,
            Receiving::Answers(_) => 2,
            Receiving::Order(_) => 3,
            Receiving::Nothing => match self.session.flow() {
                Flow::Align => 3,
                Flow::Intersect | Flow::Cardinality if self.session.receives() => 2,
                Flow::Intersect | Flow::Cardinality => 1,
            },
        }
    }

    /// Whether nothing is left to send or to receive.
    fn is_complete(&self) -> bool {
        !self.over && matches!((&self.sending, &self.receiving), (Sending::Nothing, Receiving::Nothing))
    }

    /// Ends without an answer and drops every secret.
    fn end(&mut self) {
        self.over = true;
        self.sending = Sending::Nothing;
        self.receiving = Receiving::Nothing;
        self.release = Release::Nothing;
        (self.waiting, self.checkpoint, self.order, self.outcome) = (None, None, None, None);
    }
}

impl Party for PsiParty {
    type Output = PsiOutcome;

    fn poll_send(&mut self, to: PartyId) -> Option<Frame> {
        if to != self.session.peer().id {
            return None;
        }
        let body = self.next_body()?;
        Some(self.channel.pack(body))
    }

    fn receive(&mut self, from: PartyId, frame: Frame) -> Result<(), Fault> {
        if self.over {
            return Err(Misuse::Over.into());
        }
        let taken = if from == self.session.peer().id {
            self.take(frame)
        } else {
            Err(Fault::of(from)(Violation { code: code::NOT_A_PARTY, round: self.round(), index: None }))
        };
        taken.inspect_err(|_| self.end())
    }

    fn lost(&mut self, who: PartyId) -> Result<(), Stall> {
        if who != self.session.peer().id || self.over || self.is_complete() {
            return Ok(());
        }
        let stage = self.progress().stage;
        self.end();
        Err(Stall { who, stage })
    }

    fn poll_checkpoint(&mut self) -> Option<Checkpoint> {
        self.checkpoint.take()
    }

    fn stored(&mut self) {
        // Only a checkpoint that was handed out can be durable.
        if self.checkpoint.is_some() {
            return;
        }
        self.release = match mem::replace(&mut self.release, Release::Nothing) {
            Release::Storing(answerer) => Release::Ready(answerer.stored()),
            other => other,
        };
    }

    fn progress(&self) -> Progress {
        let (own, peers) = (self.session.me().list(), self.session.peer().list());
        let at = |stage, done: usize, total| Progress { stage, done: done as u64, total };
        match (&self.sending, &self.receiving, &self.release) {
            _ if self.over => at("over", 0, 0),
            (_, Receiving::Opening(_), _) => at("agreeing on the terms", 0, 1),
            (Sending::Set(asker), ..) => at(Self::BLINDING, asker.done(), own),
            (_, Receiving::Set(answerer), _) => at("multiplying the peer's items", answerer.done(), peers),
            (_, _, Release::Storing(_)) => at("storing the digest of the peer's set", 0, 1),
            (_, _, Release::Ready(answerer)) => at("answering the peer", answerer.done(), peers),
            (_, Receiving::Answers(_), _) => {
                at("awaiting answers", self.waiting.as_ref().map_or(0, Asker::<AwaitAnswers>::done), own)
            }
            (_, Receiving::Order(_), _) | (Sending::Order, ..) => at("comparing the order", 0, 1),
            _ => at("done", 1, 1),
        }
    }

    fn output(&mut self) -> Option<PsiOutcome> {
        if self.is_complete() { self.outcome.take() } else { None }
    }
}
