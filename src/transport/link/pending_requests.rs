//! PendingRequests and answers outside any session: ours to the peer, and the peer's to us.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use tacitly_core::PartyId;
use tokio::sync::oneshot;

use crate::transport::envelope::Envelope;
use crate::transport::error::LinkError;

/// The code of a request that is declined because too many are being handled.
pub const BUSY: &str = "busy";

type Answer = Result<Bytes, LinkError>;

pub(super) struct PendingRequests {
    next: u64,
    /// Ours that wait for an answer, and whether they have gone out.
    waiting: BTreeMap<u64, (oneshot::Sender<Answer>, bool)>,
    unasked: VecDeque<(u64, Bytes)>,
    /// How many of the peer's are being answered.
    answering: usize,
    answers: VecDeque<Envelope>,
}

impl PendingRequests {
    pub(super) fn new() -> Self {
        Self { next: 1, waiting: BTreeMap::new(), unasked: VecDeque::new(), answering: 0, answers: VecDeque::new() }
    }

    /// Asks the peer.
    pub(super) fn ask(&mut self, body: Bytes) -> (u64, oneshot::Receiver<Answer>) {
        let id = self.next;
        self.next += 1;
        let (sender, answer) = oneshot::channel();
        self.waiting.insert(id, (sender, false));
        self.unasked.push_back((id, body));
        (id, answer)
    }

    /// Nobody waits for the answer any more.
    pub(super) fn forget(&mut self, id: u64) {
        self.waiting.remove(&id);
        self.unasked.retain(|(unasked, _)| *unasked != id);
    }

    /// The peer has answered.
    pub(super) fn answered(
        &mut self,
        peer: PartyId,
        id: u64,
        outcome: Result<Bytes, String>,
    ) -> Result<(), &'static str> {
        match self.waiting.remove(&id) {
            Some((asker, true)) => {
                // The asker may have given up at this moment.
                let _ = asker.send(outcome.map_err(|code| LinkError::Declined { peer, code }));
                Ok(())
            }
            // An answer that came too late for its asker.
            None if (1..self.next).contains(&id) => Ok(()),
            _ => Err("response-id"),
        }
    }

    /// The peer asks; false if it has asked too much already.
    pub(super) fn begin_answer(&mut self, most: usize) -> bool {
        let room = self.answering + self.answers.len() < most;
        self.answering += usize::from(room);
        room
    }

    /// The answer to one of the peer's questions, or `None` if the connection it came on is gone.
    pub(super) fn end_answer(&mut self, answer: Option<Envelope>) {
        self.answering -= 1;
        self.answers.extend(answer);
    }

    /// The connection is gone, and with it every answer under way.
    pub(super) fn interrupt(&mut self, peer: PartyId) {
        self.answers.clear();
        let gone: Vec<u64> = self.waiting.iter().filter(|(_, (_, gone))| *gone).map(|(id, _)| *id).collect();
        for (asker, _) in gone.into_iter().filter_map(|id| self.waiting.remove(&id)) {
            let _ = asker.send(Err(LinkError::Interrupted { peer }));
        }
    }

    /// Fails every question of ours.
    pub(super) fn end_all(&mut self, error: &LinkError) {
        self.unasked.clear();
        for (_, (asker, _)) in std::mem::take(&mut self.waiting) {
            let _ = asker.send(Err(error.clone()));
        }
    }

    /// What should go out next.
    pub(super) fn outbound(&mut self) -> Option<Envelope> {
        self.answers.pop_front().or_else(|| {
            let (id, body) = self.unasked.pop_front()?;
            if let Some((_, gone)) = self.waiting.get_mut(&id) {
                *gone = true;
            }
            Some(Envelope::Request { id, body })
        })
    }

    /// Whether an answer of ours is still to be made or sent.
    pub(super) fn owes(&self) -> bool {
        self.answering > 0 || !self.answers.is_empty()
    }
}
