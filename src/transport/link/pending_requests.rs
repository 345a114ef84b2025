//! What we ask the peer outside any session, until it is answered.

use std::collections::BTreeMap;

use bytes::Bytes;
use tacitly_core::PartyId;
use tokio::sync::oneshot;

use super::turns::Turns;
use crate::transport::envelope::Envelope;
use crate::transport::error::LinkError;

type Answer = Result<Bytes, LinkError>;

pub(super) struct PendingRequests {
    next: u64,
    /// Those that wait for an answer, and whether they have gone out.
    waiting: BTreeMap<u64, (oneshot::Sender<Answer>, bool)>,
    unasked: Turns<(u64, Bytes)>,
}

impl PendingRequests {
    pub(super) fn new() -> Self {
        Self { next: 1, waiting: BTreeMap::new(), unasked: Turns::default() }
    }

    /// Asks a service of the peer.
    pub(super) fn ask(&mut self, service: &str, body: Bytes) -> (u64, oneshot::Receiver<Answer>) {
        let id = self.next;
        self.next += 1;
        let (sender, answer) = oneshot::channel();
        self.waiting.insert(id, (sender, false));
        self.unasked.push(service, (id, body));
        (id, answer)
    }

    /// Nobody waits for the answer any more.
    pub(super) fn forget(&mut self, id: u64) {
        if self.waiting.remove(&id).is_some_and(|(_, gone)| !gone) {
            self.unasked.retain(|(unasked, _)| *unasked != id);
        }
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

    /// The connection is gone, and with it every answer under way.
    pub(super) fn interrupt(&mut self, peer: PartyId) {
        let gone: Vec<u64> = self.waiting.iter().filter(|(_, (_, gone))| *gone).map(|(id, _)| *id).collect();
        for (asker, _) in gone.into_iter().filter_map(|id| self.waiting.remove(&id)) {
            let _ = asker.send(Err(LinkError::Interrupted { peer }));
        }
    }

    /// Fails every question.
    pub(super) fn end_all(&mut self, error: &LinkError) {
        self.unasked.clear();
        for (_, (asker, _)) in std::mem::take(&mut self.waiting) {
            let _ = asker.send(Err(error.clone()));
        }
    }

    /// The next question that should go out.
    pub(super) fn outbound(&mut self) -> Option<Envelope> {
        let (service, (id, body)) = self.unasked.pop()?;
        if let Some((_, gone)) = self.waiting.get_mut(&id) {
            *gone = true;
        }
        Some(Envelope::Request { id, service, body })
    }
}
