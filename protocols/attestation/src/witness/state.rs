//! What a witness knows of one log, and the rules by which it goes on.

use super::{AddCheckpoint, ForkEvidence};
use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::hash::{Hash, empty_root};
use crate::note::{KeyRing, NoteSignature, Signer, VerifierKey};
use crate::tree::verify_consistency;

/// One log as a witness knows it: whose signatures count, and the last checkpoint cosigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessState {
    origin: String,
    keys: KeyRing,
    head: Option<Head>,
}

/// The last checkpoint that a witness cosigned: the record it keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The checkpoint with the log's own signature, so that it can serve as evidence.
    pub checkpoint: SignedCheckpoint,
    /// When it was cosigned, in seconds since 1970.
    pub time: u64,
}

/// A checkpoint that the witness may go on to, once the caller has stored it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advance {
    before: Option<Head>,
    after: Head,
}

/// A head that is durable and may be cosigned.
#[derive(Debug)]
pub struct Stored(Head);

/// Why a witness does not cosign. [`http_status`](Self::http_status) gives the answer of the specification.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WitnessRefusal {
    /// The checkpoint is of another log.
    #[error("this witness does not know the log")]
    UnknownLog,
    /// The log's signature is missing or does not verify.
    #[error("no trusted key of the log has signed the checkpoint")]
    NotSigned,
    /// The old size is larger than the new one.
    #[error("the old size lies above the checkpoint's size")]
    OldAboveNew,
    /// The old size is not the one cosigned last: the log should ask again from there.
    #[error("the last size cosigned is {known}")]
    Conflict {
        /// The size cosigned last.
        known: u64,
    },
    /// The log signed two trees of the same size, or proved that its tree was another one at the size known. Keep the
    /// evidence: it convicts the log before everybody.
    #[error("the log has signed two histories that differ at size {}", .0.size())]
    Fork(Box<ForkEvidence>),
    /// The proof does not show that the new tree extends the old one. Keep the request: it may be a fork.
    #[error("the proof does not show that the tree only grew")]
    Inconsistent,
}

impl WitnessRefusal {
    /// The HTTP status of tlog-witness. With 409 goes the size known, in decimal and with a line feed.
    #[must_use]
    pub fn http_status(&self) -> u16 {
        match self {
            Self::UnknownLog => 404,
            Self::NotSigned => 403,
            Self::OldAboveNew => 400,
            Self::Fork(evidence) if !evidence.proof.is_empty() => 422,
            Self::Conflict { .. } | Self::Fork(_) => 409,
            Self::Inconsistent => 422,
        }
    }
}

impl WitnessState {
    /// The log `origin`, of which nothing has been cosigned. Keys of another name than the origin count as well: a
    /// log may have rotated or delegated them.
    #[must_use]
    pub fn new(origin: &str, keys: KeyRing) -> Self {
        Self { origin: origin.to_owned(), keys, head: None }
    }

    /// The log of which `head` was cosigned last, as read back from the store. A witness whose store is lost must
    /// begin with a new key.
    #[must_use]
    pub fn resume(head: Head, keys: KeyRing) -> Self {
        Self { origin: head.checkpoint.checkpoint().origin.clone(), keys, head: Some(head) }
    }

    /// The last checkpoint cosigned.
    #[must_use]
    pub fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// The last size cosigned, 0 if none.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.known().0
    }

    fn known(&self) -> (u64, Hash) {
        self.head.as_ref().map_or((0, empty_root()), |head| {
            let Checkpoint { size, root, .. } = head.checkpoint.checkpoint();
            (*size, *root)
        })
    }

    /// Judges a request that arrives at `now`, in seconds since 1970. Nothing changes: store the [`Advance`], then
    /// cosign.
    ///
    /// # Errors
    /// A [`WitnessRefusal`].
    ///
    /// Source: C2SP tlog-witness, `add-checkpoint`.
    pub fn consider(&self, request: &AddCheckpoint, now: u64) -> Result<Advance, WitnessRefusal> {
        let offered = request.checkpoint.checkpoint();
        if offered.origin != self.origin {
            return Err(WitnessRefusal::UnknownLog);
        }
        if !request.checkpoint.verify(&self.keys).is_ok_and(|signed| !signed.is_empty()) {
            return Err(WitnessRefusal::NotSigned);
        }
        if request.old > offered.size {
            return Err(WitnessRefusal::OldAboveNew);
        }
        let checkpoint = request.checkpoint.signed_by(&self.keys);
        let (size, root) = self.known();
        if let Some(head) = self.head.as_ref().filter(|_| offered.size == size && offered.root != root) {
            // Whatever size it claims to come from: this one convicts the log.
            let evidence = ForkEvidence { known: head.checkpoint.clone(), offered: checkpoint, proof: Vec::new() };
            return Err(WitnessRefusal::Fork(Box::new(evidence)));
        }
        if request.old != size {
            return Err(WitnessRefusal::Conflict { known: size });
        }
        let empty = offered.size == 0 && offered.root != empty_root();
        if empty || verify_consistency(size, &root, offered.size, &offered.root, &request.proof).is_err() {
            // A log that proves its other history convicts itself.
            let evidence = self.head.as_ref().map(|head| ForkEvidence {
                known: head.checkpoint.clone(),
                offered: checkpoint,
                proof: request.proof.clone(),
            });
            let convicting = evidence.filter(|evidence| evidence.verify(&self.keys).is_ok());
            return Err(
                convicting.map_or(WitnessRefusal::Inconsistent, |evidence| WitnessRefusal::Fork(evidence.into()))
            );
        }
        // A clock that was set back must not make this witness say that it saw the larger tree first.
        let time = self.head.as_ref().map_or(now, |head| head.time.max(now));
        Ok(Advance { before: self.head.clone(), after: Head { checkpoint, time } })
    }

    /// Goes on to the new head, if no other request came between.
    ///
    /// # Errors
    /// [`WitnessRefusal::Conflict`] if the head is not the one that the request was considered against.
    pub fn apply(&mut self, advance: &Advance) -> Result<(), WitnessRefusal> {
        if self.head != advance.before {
            return Err(WitnessRefusal::Conflict { known: self.size() });
        }
        self.head = Some(advance.after.clone());
        Ok(())
    }
}

impl Advance {
    /// The head that must still be in the store when [`after`](Self::after) replaces it.
    #[must_use]
    pub fn before(&self) -> Option<&Head> {
        self.before.as_ref()
    }

    /// The head to store.
    #[must_use]
    pub fn after(&self) -> &Head {
        &self.after
    }

    /// The caller has replaced the one by the other in one atomic, durable step.
    #[must_use]
    pub fn stored(self) -> Stored {
        Stored(self.after)
    }
}

impl Stored {
    /// The witness's signature line. `key` is of [`KeyUse::Cosignature`](crate::note::KeyUse) and used by this
    /// witness alone.
    ///
    /// # Errors
    /// What the signer refuses.
    pub fn cosign<S: Signer + ?Sized>(&self, key: &VerifierKey, signer: &S) -> Result<NoteSignature, S::Error> {
        self.0.checkpoint.cosign(self.0.time, key, signer)
    }
}
