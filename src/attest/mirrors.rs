//! Mirrors of our log: peers that keep a whole copy of it and say, each with a key of its own, how far.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use tacitly_attestation::checkpoint::SignedCheckpoint;
use tacitly_attestation::note::{KeyUse, NoteSignature, VerifierKey};
use tacitly_core::PartyId;
use tokio::task::spawn_blocking;

use super::keys::mirror_name;
use super::message::{self, Answer, generated as pb};
use super::witnesses::Witnesses;
use crate::chain::{ChainError, Log};
use crate::codes::{self, Error};
use crate::peers::Peers;

/// Bytes of entries after which an answer is long enough.
const ENOUGH_BYTES: usize = 256 << 10;

/// The peers that may keep a copy of our log.
pub(super) struct Mirrors {
    entitled: BTreeSet<PartyId>,
    peers: Arc<Peers>,
    log: Log,
    witnesses: Arc<Witnesses>,
}

impl Mirrors {
    /// Those of the peers that are `entitled` to a copy of `log`. What they show of it goes to its witnesses, too.
    pub(super) fn new(entitled: BTreeSet<PartyId>, peers: Arc<Peers>, log: Log, witnesses: Arc<Witnesses>) -> Self {
        Self { entitled, peers, log, witnesses }
    }

    /// A peer asks for entries of our log, to keep them.
    ///
    /// # Errors
    /// [`Error`] of the log, also if there are no such entries.
    pub(super) async fn show(&self, to: PartyId, asked: pb::CopyFrom) -> Result<Answer, Error> {
        if !self.entitled.contains(&to) || asked.origin != self.log.origin() {
            return Ok(Answer::NotEntitled(pb::NotEntitled {}));
        }
        let log = self.log.clone();
        let piece = spawn_blocking(move || piece(&log, asked.from, asked.size)).await;
        Ok(Answer::Copied(piece.map_err(|_| Error::internal("the log was left while it was read"))??))
    }

    /// A mirror says how far it holds our log.
    ///
    /// # Errors
    /// [`codes::BAD_REQUEST`] or [`codes::PROTOCOL_VIOLATION`] if what it says is no cosignature of our log by a key of its
    /// own for that; [`codes::LOG_OLD`] if it holds more than we do; [`Error`] of the store or the log.
    pub(super) async fn handle_mirror_cosignature(
        &self,
        from: PartyId,
        kept: &pb::MirrorCosignature,
    ) -> Result<Answer, Error> {
        let unreadable = || Error::new(codes::BAD_REQUEST, "the peer's message cannot be read").with(from);
        if !self.entitled.contains(&from) {
            return Ok(Answer::NotEntitled(pb::NotEntitled {}));
        }
        let checkpoint = SignedCheckpoint::parse(&kept.checkpoint).map_err(|_| unreadable())?;
        let line = NoteSignature::parse(&kept.line).map_err(|_| unreadable())?;
        let key = <[u8; 32]>::try_from(&kept.key[..]).map_err(|_| unreadable())?;
        if key == *self.peers.key_of(from).await?.as_bytes() {
            let text = "its key as a mirror is its key as a witness";
            return Err(Error::new(codes::PROTOCOL_VIOLATION, text).with(from));
        }
        let key = VerifierKey::new(&mirror_name(from), KeyUse::Cosignature, &key).map_err(|_| unreadable())?;
        // Whoever holds more of our log than we do shows that ours is an old copy.
        if self.witnesses.hear_of_our_log(from, checkpoint.clone()).await?.is_none() {
            return Err(unreadable());
        }
        let log = self.log.clone();
        let added = spawn_blocking(move || log.add_kept(&checkpoint, line, &key)).await;
        added.map_err(|_| Error::internal("the log was left while it was written"))??;
        Ok(Answer::Noted(pb::Noted {}))
    }
}

/// Some entries from `from` on, and the proof that with them the log is the beginning of its tree of `size` entries.
fn piece(log: &Log, from: u64, size: u64) -> Result<pb::Copied, ChainError> {
    let (mut piece, mut bytes) = (pb::Copied::default(), 0);
    log.each_between(from, size, |_, entry| {
        bytes += entry.len();
        piece.entries.push(Bytes::copy_from_slice(entry));
        Ok(bytes < ENOUGH_BYTES)
    })?;
    let until = from.saturating_add(piece.entries.len() as u64);
    piece.proof = message::write_hashes(&log.consistency(until, size)?);
    Ok(piece)
}
